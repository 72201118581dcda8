"""The cases of series: their names, their minibatches, and that all sides learn the same from them."""

from dataclasses import replace

import pytest

from elman.bench import series
from elman.bench.cases import LISTED, find_cases
from elman.bench.learning import MINIBATCHES
from elman.bench.run import run_case, sides_of
from elman.bench.series_case import SeriesCase
from elman.bench.table import lines_of
from elman.errors import UsageError
from elman.recipes import RECIPES

SMALL = SeriesCase("small", batch=3, shortest=2, steps=57, input_size=2, segment=2, hidden_size=5, labels=3)


STEPS = replace(SMALL, segment=1)

SIDES = ["elman", "torch.nn packed", "torch.nn packed, shuffled", "torch.nn padded"]


def losses(run) -> list[float]:
    return [run() for _ in range(5)]


def test_the_case_has_the_sizes_of_the_recipe():
    (case,) = find_cases(["appliance-series"])
    assert case == LISTED["appliance-series"]
    with pytest.raises(UsageError, match="no case"):
        find_cases(["appliance-series-b3"])
    assert find_cases(["appliance-s*"]) == [LISTED["appliance-series"], LISTED["appliance-steps"]]
    settings = RECIPES["appliance-series"].settings
    assert (case.batch, case.segment, case.input_size) == (
        settings["batch_size"],
        settings["segment"],
        len(settings["views"]),
    )


def test_useful_operations():
    one = 2 * 2 * 5 + 2 * 2 * 3 * 5 * 5
    assert SMALL.operations == pytest.approx(2 * 3 * 3 * 29.5 / 2 * one)
    assert STEPS.operations == pytest.approx(2 * 3 * 3 * 29.5 * 2 * 3 * 5 * (2 + 5))


def test_minibatches_are_of_like_lengths_and_padded_with_zeros():
    work = series.SeriesWork(SMALL)
    assert len(work.minibatches) == MINIBATCHES
    for batch in work.minibatches:
        assert (batch.padded != 0).any(2).sum(1).tolist() == batch.series.lengths.tolist()
        assert batch.series.batch_size == len(batch.labels) == 3
    lengths = {int(length) for batch in work.minibatches for length in batch.series.lengths}
    assert 2 <= min(lengths) < max(lengths) <= 57
    assert len(lengths) > 5


def test_shuffled_minibatches_have_the_same_sequences_in_unlike_lengths():
    work = series.SeriesWork(SMALL)
    every = [
        [each for batch in found for each in batch.series.to_list()] for found in (work.minibatches, work.shuffled)
    ]
    like, shuffled = (sorted(each.flatten().tolist() for each in found) for found in every)
    assert like == shuffled
    spread = [
        sum(float(batch.series.lengths.float().std()) for batch in found) for found in (work.minibatches, work.shuffled)
    ]
    assert spread[0] < spread[1] / 2


@pytest.mark.parametrize("case", [SMALL, STEPS], ids=["segments", "steps"])
def test_torch_learns_the_same_with_packed_sequences_and_not_with_padding(case: SeriesCase):
    work = series.SeriesWork(case)
    mine, others = losses(series.side(work)), series.peers(work)
    packed, padded = losses(others["torch.nn packed"]), losses(others["torch.nn padded"])
    assert packed[0] == pytest.approx(mine[0], rel=1e-5)
    # torch's GRU has two biases of each gate, each of which takes a step.
    assert packed == pytest.approx(mine, rel=2e-3)
    assert padded != pytest.approx(packed, rel=1e-4)
    assert len(set(mine)) == 5


def test_a_result_is_in_the_table_of_classifiers():
    class Machine:
        peak = None

        def measure(self): ...

    assert list(sides_of(SMALL)) == SIDES
    result = run_case(SMALL, Machine(), repeat=1, seconds=0.0)  # pyright: ignore[reportArgumentType]
    assert result.record()["mode"] == "training a classifier"
    lines = lines_of([result])
    assert lines[0] == "classifiers, a minibatch of training"
    assert sum("small" in line for line in lines) == 1
