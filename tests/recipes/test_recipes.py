"""The recipes: exact sizes, what they return, and that their text features are what they say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from elman.data.text.vocabulary import Vocabulary
from elman.errors import DataError
from elman.recipes import RECIPES
from elman.recipes.word_sentiment_best import SayVectors
from elman.recipes.word_vectors import WordVectors, embedding_rows, word_vectors
from elman.tasks.task import Batch
from elman.training.record import History

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the data sets are not in {DATA}; see its README for sources"
)


@needs_data
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("word-sentiment-dense", 313_502), ("word-sentiment-rnn", 65_702), ("word-sentiment-lstm", 201_902)],
)
def test_the_textbook_networks_have_their_exact_sizes(name, parameters, monkeypatch):
    untrained = History("accuracy", True)
    monkeypatch.setattr("elman.training.trainer.Trainer.run", lambda self, resume=False: untrained)
    result = RECIPES[name].run(DATA)
    assert result["parameters"] == parameters == result["reported"]["parameters"]
    assert result["majority"] == pytest.approx(511 / 725)
    assert result["count"] == 725
    assert 0.0 <= result["accuracy"] <= 1.0


def test_missing_data_is_named_with_where_to_get_it(tmp_path):
    for recipe in (recipe for recipe in RECIPES.values() if recipe.data):
        with pytest.raises(DataError, match=recipe.data[0]) as caught:
            recipe.run(tmp_path)
        assert "http" in str(caught.value)


def test_each_seed_has_a_folder_and_is_resumed_in_it(tmp_path):
    recipe = RECIPES["tag-toy"]
    first = recipe.run(tmp_path, folder=tmp_path / "runs", epochs=2, seeds=2)
    assert (tmp_path / "runs" / "config.json").exists()
    assert (tmp_path / "runs" / "seed-1" / "config.json").exists()
    more = recipe.run(tmp_path, folder=tmp_path / "runs", epochs=2, seeds=3, resume=True)
    assert more["seeds"] == [0, 1, 2]
    assert more["loss_each"][:2] == first["loss_each"]
    # Nothing was trained again.
    assert more["seconds_each"][:2] == first["seconds_each"]


def test_the_figures_of_several_seeds_are_those_of_each(tmp_path):
    recipe = RECIPES["tag-toy"]
    alone = [recipe.run(tmp_path, epochs=3, seed=seed) for seed in (4, 5, 6)]
    found = recipe.run(tmp_path, epochs=3, seed=4, seeds=3)
    for name in ("accuracy", "loss"):
        values = [result[name] for result in alone]
        assert found[f"{name}_each"] == values
        assert found[f"{name}_mean"] == pytest.approx(np.mean(values))
        assert found[f"{name}_deviation"] == pytest.approx(np.std(values, ddof=1))
        assert (found[f"{name}_min"], found[f"{name}_max"]) == (min(values), max(values))
    assert len(set(found["loss_each"])) == 3
    for name in ("parameters", "majority", "count", "reported", "source"):
        assert found[name] == alone[0][name]


def test_words_in_like_company_have_like_vectors():
    random = np.random.default_rng(0)
    sides = [["cat", "dog", "cow"], ["red", "blue", "green"]]
    company = [["eats", "sleeps", "runs"], ["paint", "colour", "bright"]]
    tokens = []
    for _ in range(3_000):
        side = random.integers(2)
        tokens += [
            str(random.choice(company[side])),
            str(random.choice(sides[side])),
            str(random.choice(company[side])),
            ".",
        ]
    found = word_vectors(tokens, features=6, leave_out={"cow"})
    place = {word: index for index, word in enumerate(found.words)}
    assert "cow" not in place
    cosine = found.vectors @ found.vectors.T
    assert cosine.diagonal() == pytest.approx(torch.ones(len(found.words)), abs=1e-5)
    assert cosine[place["cat"], place["dog"]] > cosine[place["cat"], place["red"]] + 0.2
    assert torch.equal(word_vectors(tokens, features=6).vectors, word_vectors(tokens, features=6).vectors)
    assert found.counts[place["cat"]] == tokens.count("cat")


def test_saying_vectors_is_scored_by_weighted_cosines():
    outputs = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    targets = torch.tensor([[1.0, 0.0, 3.0], [1.0, 0.0, 1.0]])
    task, scores = SayVectors(), SayVectors().scores(None)
    batch = Batch({"words": outputs, "vector": targets}, 2, 2)
    read = task.read(torch.nn.Identity(), batch)
    assert read.loss.item() == pytest.approx((0.0 * 3 + 1.0 * 1) / 2)
    assert read.targets == 2
    scores.update(batch, read)
    scores.update(batch, read)
    assert scores.compute() == pytest.approx({"loss": 0.5, "cosine": 0.5})


def test_rows_of_an_embedding_are_vectors_of_words_in_any_case():
    vectors = WordVectors(["a", "b", "B"], torch.ones(3), torch.eye(3))
    vocabulary = Vocabulary(["b", "A", "z", "B"])
    rows = embedding_rows(vocabulary, vectors, 0.1, seed=1)
    assert rows.shape == (5, 3)
    # The first row is that of unknown tokens.
    torch.testing.assert_close(rows[[1, 2, 4]], torch.eye(3)[[1, 0, 2]])
    assert torch.equal(rows, embedding_rows(vocabulary, vectors, 0.1, seed=1))
    assert not torch.equal(rows[[0, 3]], embedding_rows(vocabulary, vectors, 0.1, seed=2)[[0, 3]])
