"""The case `news-bilstm`: its name, its minibatches, and that all sides learn the same from them."""

import pytest
import torch

from elman.bench import news
from elman.bench.cases import LISTED, find_cases
from elman.bench.learning import MINIBATCHES
from elman.bench.news_case import NewsCase
from elman.bench.run import run_case, sides_of
from elman.bench.table import lines_of
from elman.errors import UsageError
from elman.recipes import RECIPES

SMALL = NewsCase(batch=3, steps=6, input_size=5, hidden_size=4, words=50, labels=3)

SIDES = ["elman", "torch.nn packed", "torch.nn packed, shuffled", "torch.nn padded"]


def losses(run) -> list[float]:
    return [run() for _ in range(5)]


def test_the_case_has_the_sizes_of_the_recipe():
    (case,) = find_cases(["news-bilstm"])
    assert case == LISTED["news-bilstm"]
    with pytest.raises(UsageError, match="no case"):
        find_cases(["news-bilstm-b3"])
    settings = RECIPES["news-bilstm"].settings
    assert (case.words, case.input_size, case.hidden_size) == (20_000, settings["embedding"], settings["hidden_size"])
    assert (case.batch, case.layers) == (settings["batch_size"], settings["num_layers"])
    network = news.network_of(news.NewsWork(case))
    assert sum(each.numel() for each in network.parameters()) == RECIPES["news-bilstm"].reported["parameters"]


def test_useful_operations():
    one = 4 * 4 * (5 + 4) + 4 * 4 * (8 + 4)
    assert SMALL.operations == 2 * 3 * 3 * 6 * 2 * one


def test_minibatches_are_of_like_lengths_and_padded_with_zeros():
    work = news.NewsWork(SMALL)
    assert len(work.minibatches) == MINIBATCHES
    for batch in work.minibatches:
        assert batch.words.batch_size == len(batch.padded) == len(batch.labels) == 3
        assert (batch.padded != 0).sum(1).tolist() == batch.words.lengths.tolist()
        assert batch.words.data.min() > 0
    assert len({int(length) for batch in work.minibatches for length in batch.words.lengths}) > 2


def test_shuffled_minibatches_have_the_same_sequences_in_unlike_lengths():
    work = news.NewsWork(SMALL)
    every = [[each for batch in found for each in batch.words.to_list()] for found in (work.minibatches, work.shuffled)]
    like, shuffled = (sorted(each.flatten().tolist() for each in found) for found in every)
    assert like == shuffled
    spread = [
        sum(float(batch.words.lengths.float().std()) for batch in found) for found in (work.minibatches, work.shuffled)
    ]
    assert spread[0] < spread[1] / 2


def test_torch_learns_the_same_with_packed_sequences_and_not_with_padding():
    work = news.NewsWork(SMALL)
    mine, others = losses(news.side(work)), news.peers(work)
    packed, padded = losses(others["torch.nn packed"]), losses(others["torch.nn padded"])
    assert packed[0] == pytest.approx(mine[0], rel=1e-5)
    # torch's LSTM has two biases, each of which takes a step.
    assert packed == pytest.approx(mine, rel=2e-3)
    assert padded[1] != pytest.approx(packed[1], rel=1e-6)
    assert len(set(mine)) == 5


@pytest.mark.skipif(not news.has_keras(), reason="Keras is not installed")
def test_keras_learns_the_same():
    work = news.NewsWork(SMALL)
    torch.testing.assert_close(losses(news.keras_side(work)), losses(news.side(work)), rtol=1e-3, atol=1e-4)


def test_without_keras_the_other_sides_are_measured(monkeypatch):
    monkeypatch.setattr(news, "has_keras", lambda: False)
    assert list(sides_of(SMALL)) == SIDES


def test_a_result_is_in_a_table_of_its_own(monkeypatch):
    class Machine:
        peak = None

        def measure(self): ...

    monkeypatch.setattr(news, "has_keras", lambda: False)
    result = run_case(SMALL, Machine(), repeat=1, seconds=0.0)  # pyright: ignore[reportArgumentType]
    assert result.record()["mode"] == "training a classifier"
    lines = lines_of([result])
    assert lines[0] == "classifiers, a minibatch of training"
    assert sum("news-bilstm" in line for line in lines) == 1
