"""Reservoirs with options on the command line: the answers of `EchoStateNetwork`, and mistakes."""

from pathlib import Path

import numpy as np
import pytest

from elman import EchoStateNetwork

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.standard_normal((90, 2))
TARGETS = np.convolve(INPUTS[:, 0] * np.roll(INPUTS[:, 1], 1), [0.0, 0.7, 0.3])[:90]
TARGETS = (TARGETS - TARGETS.mean()) / TARGETS.std()
LONG = ("--series", "id", "--time", "t", "--target", "y")
PLAIN = ("--cell", "reservoir", "--no-bidirectional", "--scaling", "none", "--validation-fraction", 0)
SMALL = ("--hidden-size", 20, "--seed", 4, "--warmup-steps", 5, "--ridges", 0.01)
SAME = {"hidden_size": 20, "seed": 4, "warmup_steps": 5, "ridges": 0.01, "read_input": False}
OPTIONS = {
    "--num-reservoirs 2 --read-input": {"num_reservoirs": 2, "read_input": True},
    "--plasticity-rate 0.001 --plasticity-steps 60": {"plasticity_rate": 0.001, "plasticity_steps": 60},
    "--lags 2 --lag-stride 2 --degree 3": {"lags": 2, "lag_stride": 2, "degree": 3},
    "--feedback-scaling 0.3": {"feedback_scaling": 0.3},
    "--feedback-scaling 0.3 --fitter force": {"feedback_scaling": 0.3, "fitter": "force"},
    "--num-reservoirs 2 --fitter rls --forgetting 0.99": {"fitter": "rls", "num_reservoirs": 2, "forgetting": 0.99},
    "--num-reservoirs 2 --solver qr": {"solver": "qr", "num_reservoirs": 2},
}


def table(path: Path, inputs: np.ndarray = INPUTS, targets: np.ndarray = TARGETS, series: int = 1) -> Path:
    rows = [
        f"{t},{a!r},{b!r},{y!r}" for t, ((a, b), y) in enumerate(zip(inputs.tolist(), targets.tolist(), strict=True))
    ]
    path.write_text("\n".join(["id,t,a,b,y", *(f"s{number},{row}" for number in range(series) for row in rows), ""]))
    return path


def answer_of(done):
    return done.json["predictions"][0]["target"]


@pytest.mark.parametrize("flags", OPTIONS)
def test_a_trained_reservoir_predicts_as_an_echo_state_network(flags, elman, tmp_path):
    steps, out = table(tmp_path / "steps.csv"), tmp_path / "model"
    done = elman("train", "regress", steps, "--out", out, *LONG, *PLAIN, *SMALL, *flags.split())
    assert done.code == 0, done.err
    done = elman("predict", out, steps, "--json")
    assert done.code == 0, done.err
    wanted = EchoStateNetwork(**{**SAME, **OPTIONS[flags]}).fit(INPUTS, TARGETS).predict(INPUTS)
    np.testing.assert_allclose(answer_of(done), wanted, atol=1e-4)
    assert elman("evaluate", out, steps).code == 0
    assert elman("summary", out).code == 0


def test_a_series_is_forecast_with_the_options(elman, tmp_path):
    series = tmp_path / "series.csv"
    series.write_text("\n".join(["x", *(repr(float(each)) for each in np.sin(np.arange(120) / 4)), ""]))
    flags = ("--horizon", 4, "--window", 16, "--cell", "reservoir", "--hidden-size", 30)
    for more in (["--num-reservoirs", 2, "--plasticity-rate", 0.001], ["--lags", 3, "--fitter", "rls"]):
        out = tmp_path / more[0]
        done = elman("train", "forecast", series, "--out", out, *flags, *more, "--baseline", "reservoir")
        assert done.code == 0, done.err
        found = [float(line.split(",")[1]) for line in elman("predict", out, series).out.splitlines()[1:]]
        np.testing.assert_allclose(found, np.sin(np.arange(120, 124) / 4), atol=0.15)


@pytest.mark.parametrize("flags", [["--lags", 2], ["--feedback-scaling", 0.2]])
def test_gradients_of_networks_that_have_none_are_refused(flags, elman, tmp_path):
    steps, out = table(tmp_path / "steps.csv"), tmp_path / "model"
    assert elman("train", "regress", steps, "--out", out, *LONG, *PLAIN, *SMALL, *flags).code == 0
    done = elman("gradients", out, steps)
    assert done.code == 2
    assert "recurrent layer" in done.err or "output feedback" in done.err


def with_gap(path: Path) -> Path:
    lines = table(path).read_text().splitlines()
    lines[40] = lines[40].replace(lines[40].split(",")[2], "nan")
    path.write_text("\n".join([*lines, ""]))
    return path


MISTAKES = [
    (["--warmup-steps", 90], "no rows to learn from"),
    (["--num-reservoirs", 2, "--cell", "lstm"], "only the cell reservoir has them"),
    (["--feedback-scaling", 1, "--bidirectional"], "No such option"),
    (["--fitter", "force"], "force needs feedback"),
    (["--lags", 3, "--num-reservoirs", 2], "a next-generation reservoir has no units"),
    (["--forgetting", 0.9], "only the fitters rls and force forget"),
    (["--solver", "svd"], "expected one of products, qr"),
    (["--noise", -1, "--lags", 0], "lags: expected a value greater than 0"),
]


@pytest.mark.parametrize(("flags", "message"), MISTAKES)
def test_a_mistake_is_one_message(flags, message, elman, tmp_path):
    steps = table(tmp_path / "steps.csv")
    done = elman("train", "regress", steps, "--out", tmp_path / "model", *LONG, *PLAIN, "--hidden-size", 20, *flags)
    assert done.code in (1, 2)
    assert message in " ".join(done.err.split())
    assert done.err.count("elman: error") == 1


def test_a_missing_number_within_a_series_is_named(elman, tmp_path):
    done = elman("train", "regress", with_gap(tmp_path / "gap.csv"), "--out", tmp_path / "m", *LONG, *PLAIN, *SMALL)
    assert done.code in (1, 2)
    assert done.err.count("elman: error") == 1


@pytest.mark.parametrize("task", ["classify", "tag", "forecast"])
def test_a_task_without_an_output_for_each_step_says_why_it_has_no_feedback(task, elman, words, tmp_path):
    flags = [] if task == "forecast" else ["--no-bidirectional"]
    given = ("--out", tmp_path / "model", "--cell", "reservoir", "--feedback-scaling", 1)
    done = elman("train", task, words, *given, *flags)
    assert done.code in (1, 2)
    assert "feedback_scaling: a" in done.err


@pytest.mark.parametrize(
    "options", [["--fitter", "ridge"], ["--fitter", "rls"], ["--fitter", "ridge", "--solver", "qr"]]
)
def test_constant_targets_and_more_features_than_steps_have_an_answer(options, elman, tmp_path):
    steps = table(tmp_path / "steps.csv", INPUTS[:20], np.full(20, 7.0))
    out = tmp_path / "model"
    done = elman("train", "regress", steps, "--out", out, *LONG, *PLAIN, *SMALL, "--num-reservoirs", 3, *options)
    assert done.code == 0, done.err
    np.testing.assert_allclose(float(answer_of(elman("predict", out, steps, "--json"))), 7.0, atol=1e-3)
    done = elman("train", "regress", steps, "--out", out, *LONG, *PLAIN, "--feedback-scaling", 1, "--overwrite")
    assert done.code == 2
    assert "the same at all steps" in done.err
