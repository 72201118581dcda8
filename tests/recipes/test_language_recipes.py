"""Recipes of language models: the own cell beside the built-in one, stopped runs, the parts of a text."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from experiments import torch_language
from experiments.torch_language import SameStart, TorchBody, TorchLanguageModel

from elman.data.known.texts import Texts
from elman.data.ragged.ragged import Ragged
from elman.data.text.corpus import open_corpus
from elman.errors import DataError, UsageError
from elman.models import LanguageModel
from elman.nn.torch import GRU
from elman.recipes import RECIPES
from elman.recipes import texts as module
from elman.recipes.recipe import Recipe
from elman.recipes.texts import alphabet_of
from elman.training.listener import BatchEvent, Silent

SMALL = {"hidden_size": 6, "embedding_size": 5, "streams": 4, "window": 8, "epochs": 2, "checkpoint_batches": 1}
SMALL |= {"softmax": "full", "cutoffs": None}


def small(name: str, **changes) -> Recipe:
    recipe = RECIPES[name]
    return replace(recipe, settings={**recipe.settings, **SMALL, **changes})


def untimed(result: dict) -> dict:
    return {name: value for name, value in result.items() if name not in ("seconds", "tokens_per_second")}


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> Texts:
    """A short text in the place of the data sets."""
    parts = ("the cat sat on the mat. " * 12, "the rat sat. ", "a zebra sat on the cat. ")
    found = Texts(*(open_corpus(part) for part in parts))
    monkeypatch.setattr(module, "open_text", lambda name, folder: found)
    return found


def test_the_own_cell_learns_as_the_built_in_one(texts: Texts):
    built_in, own = (small(name).run(Path()) for name in ("wiki-chars-gru", "wiki-chars-own-gru"))
    assert own["parameters"] == built_in["parameters"]
    assert own["vocabulary"] == built_in["vocabulary"]
    # Their parameters are drawn in another order, so they are equal in distribution only.
    assert own["loss"] == pytest.approx(built_in["loss"], rel=0.1)
    assert own["part"] == "test"
    assert len(own["training_losses"]) == SMALL["epochs"]


def test_the_alphabet_is_that_of_all_parts(texts: Texts):
    assert alphabet_of(texts) == " taeh.cmnosbrz"
    known = small("wiki-chars-gru").run(Path())
    assert known["unknown"] == 0
    assert small("shakespeare-chars", num_layers=1, dropout=0.0).run(Path())["unknown"] > 0


def test_without_a_test_part_the_validation_part_is_judged(texts: Texts, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "open_text", lambda name, folder: texts._replace(test=None))
    result = small("wiki-chars-gru").run(Path())
    assert result["part"] == "validation"
    assert result["tokens"] == len("the rat sat. ") - 1


def test_a_recipe_goes_on_where_it_was_stopped(texts: Texts, tmp_path: Path):
    recipe = small("wiki-chars-own-gru")
    whole = recipe.run(Path(), folder=tmp_path / "whole")

    class Stop(Silent):
        def batch(self, event: BatchEvent) -> None:
            if (event.epoch, event.batch) == (2, 3):
                raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        recipe.run(Path(), folder=tmp_path / "parts", listener=Stop())
    resumed = recipe.run(Path(), folder=tmp_path / "parts", resume=True)
    assert untimed(resumed) == untimed(whole)
    assert LanguageModel.load(tmp_path / "parts").evaluate("the cat")["loss"] > 0


def test_the_network_on_layers_of_torch_reads_on_from_a_state_as_elmans_layers_do():
    body = TorchBody(3, 5, num_layers=2, dropout=0.4).eval()
    layers = [GRU(size, 5, batch_first=True) for size in (3, 5)]
    for layer, judged in zip(layers, body.layers, strict=True):
        layer.load_state_dict(judged.state_dict())
    table = torch.randn(7, 3)
    ids = torch.randint(0, 7, (2, 8))
    expected = table[ids]
    for layer in layers:
        expected, _ = layer(expected)
    first, state = body(Ragged.from_dense(ids[:, :4]), table=table)
    second, _ = body(Ragged.from_dense(ids[:, 4:]), state, table)
    torch.testing.assert_close(torch.cat([steps.data.view(2, 4, 5) for steps in (first, second)], 1), expected)


def test_a_recipe_runs_on_layers_of_torch(texts: Texts):
    result = small("wiki-chars-gru").run(Path(), kind=TorchLanguageModel)
    assert result["loss"] == pytest.approx(small("wiki-chars-gru").run(Path())["loss"], rel=0.1)


def test_layers_of_torch_and_elmans_learn_alike_from_the_same_weights(texts: Texts):
    theirs, ours = (small("wiki-chars-gru").run(Path(), kind=kind) for kind in (TorchLanguageModel, SameStart))
    # Torch's layers have two biases, which learn twice as fast together.
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
    assert ours["training_losses"] == pytest.approx(theirs["training_losses"], rel=1e-3)


def test_a_damaged_data_set_is_not_passed_over_for_another(tmp_path: Path):
    recipe = RECIPES["wiki-chars-gru"]
    with pytest.raises(DataError, match="enwik8-prefix will do, too"):
        recipe.open(tmp_path)
    (tmp_path / "enwik8").mkdir()
    (tmp_path / "enwik8" / "enwik8").write_text("not all of it")
    with pytest.raises(DataError) as caught:
        recipe.open(tmp_path)
    assert "expected sha256" in str(caught.value)
    assert "will do" not in str(caught.value)


@pytest.mark.parametrize(("name", "said"), [("shakespeare-chars", "another cell"), ("wiki-chars-gr", "wiki-chars-gru")])
def test_recipes_that_torchs_gru_cannot_repeat_are_refused(name: str, said: str, tmp_path: Path):
    with pytest.raises(UsageError, match=said):
        torch_language.main([name, "--data", str(tmp_path)])
