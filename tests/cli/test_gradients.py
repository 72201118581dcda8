"""`elman gradients` on a small model."""

import math
from pathlib import Path

import pytest


def test_each_layer_has_a_table_and_a_verdict(elman, model: Path, words: Path):
    done = elman("gradients", model, words, "--exponents", 2)
    assert done.code == 0
    assert "memory in steps" in done.out
    assert "Lyapunov exponents" in done.out
    assert any(verdict in done.out for verdict in ("vanishing", "exploding", "healthy"))


def test_everything_as_json_and_a_plot(elman, model: Path, words: Path, tmp_path: Path):
    page = tmp_path / "gradients.html"
    done = elman("gradients", model, words, "--steps", 4, "--sequences", 3, "--plot", page, "--json")
    assert done.code == 0
    for layer in done.json["layers"]:
        assert layer["log_norms"][0] == 0.0
        assert layer["steps"] == 4 == len(layer["log_norms"]) - 1
        assert layer["sequences"][0] == 3
        assert layer["verdict"] in ("vanishing", "exploding", "healthy")
        assert all(math.isfinite(each) for each in layer["lyapunov_exponents"])
    assert "<svg" in page.read_text()


@pytest.mark.parametrize("wrong", [["--steps", 0], ["--exponents", -1]])
def test_counts_out_of_range_are_refused(elman, model: Path, words: Path, wrong: list):
    assert elman("gradients", model, words, *wrong).code == 2


def test_a_plot_in_a_missing_folder_is_refused_before_the_model_is_read(elman, words: Path, tmp_path: Path):
    done = elman("gradients", tmp_path / "no-model", words, "--plot", tmp_path / "missing" / "page.html")
    assert done.code == 2
    assert f"There is no folder {tmp_path / 'missing'} for the page." in done.err
