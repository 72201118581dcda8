"""The recipes of news: exact sizes, which rows they read, and the search for the best number of epochs."""

from pathlib import Path

import pytest

from elman.errors import UsageError
from elman.models import SequenceClassifier
from elman.recipes import RECIPES
from elman.recipes.recipe import Parts, Recipe
from elman.settings import fields_of
from elman.tasks.task import Values
from elman.training.record import History

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the data sets are not in {DATA}; see its README for sources"
)
NEWS = {"news-rnn-titles": 1_281_364, "news-rnn": 1_281_364, "news-lstm": 1_282_372, "news-bilstm": 2_758_148}


@needs_data
@pytest.mark.parametrize("name", NEWS)
def test_the_textbook_networks_have_their_exact_sizes(name, monkeypatch):
    monkeypatch.setattr("elman.training.trainer.Trainer.run", lambda self, resume=False: History("accuracy", True))
    monkeypatch.setattr(SequenceClassifier, "evaluate_values", lambda self, values: {"accuracy": 0.0})
    result = RECIPES[name].run(DATA)
    assert result["parameters"] == NEWS[name] == result["reported"]["parameters"]


@needs_data
def test_the_rows_that_are_read():
    _, titles = RECIPES["news-rnn-titles"].open(DATA)
    _, news = RECIPES["news-bilstm"].open(DATA)
    assert titles.test is not None
    assert news.test is not None
    counts = [len(values.columns["text"]) for values in (titles.train, titles.test, news.train, news.test)]
    assert counts == [38_642, 7_600, 46_379, 7_600]
    assert news.test.columns["text"][0].startswith(titles.test.columns["text"][0] + " Unions representing workers")
    assert set(news.train.columns["label"]) == {"World", "Sports", "Business", "Sci/Tech"}


@pytest.mark.parametrize("name", NEWS)
def test_every_setting_of_the_network_is_explicit(name):
    """The defaults of a classifier are chosen for accuracy, and may change."""
    settings = RECIPES[name].settings
    wanted = {"cell", "hidden_size", "embedding", "bidirectional", "pooling", "dropout", "epochs", "batch_size"}
    assert wanted | {"tokens", "split", "lower_case", "max_tokens", "learning_rate"} <= settings.keys()
    assert settings.keys() <= fields_of(SequenceClassifier.task.settings_class).keys()


def small(**changes) -> Recipe:
    texts = ["aba", "abba", "cdc", "cdd"] * 10
    values = Values({"text": texts, "label": ["ab", "ab", "cd", "cd"] * 10})
    settings = {"hidden_size": 4, "epochs": 1, "batch_size": 4, "learning_rate": 0.02}
    return Recipe("small", "", "classify", (), lambda name, data: Parts(values, None, values), settings, **changes)


def test_the_best_number_of_epochs_is_found_on_held_out_rows_and_trained_on_all(tmp_path):
    recipe = small(most_epochs=4)
    result = recipe.run(tmp_path, best_epochs=True, folder=tmp_path / "run")
    assert 1 <= result["best_epochs"] <= 4
    assert len(result["training_losses"]) == result["best_epochs"]
    assert max(result["search_scores"]) == result["search_scores"][result["best_epochs"] - 1]
    plain = recipe.run(tmp_path, epochs=result["best_epochs"])
    assert plain["training_losses"] == result["training_losses"]
    assert "best_epochs" not in plain
    again = recipe.run(tmp_path, best_epochs=True, folder=tmp_path / "run", resume=True)
    assert (again["accuracy"], again["search_scores"]) == (result["accuracy"], result["search_scores"])


def test_a_recipe_without_a_search_says_so(tmp_path):
    with pytest.raises(UsageError, match="a fixed number of epochs"):
        small().run(tmp_path, best_epochs=True)
