"""The laws of tasks, over every entry of TASKS."""

import copy
import gc
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch.utils._pytree import tree_map_only

from elman.cli.app import run
from elman.models import Model, model_for, open_task_model
from elman.tasks import TASKS, find_task
from elman.tasks.task import Batch
from elman.training import TrainingInterrupted
from elman.training.evaluation import evaluate
from elman.training.listener import BatchEvent, Silent

ROWS = [("ab" * (n % 4) + "c" * (n % 3) or "d", "xyz"[n % 3]) for n in range(36)]
SENTENCES = [(["the", "dog", "ate", "it"][: 1 + n % 4], ["D", "N", "V", "N"][: 1 + n % 4]) for n in range(24)]
SERIES = [[n % 7 / 2 + t * (1 + n % 3) - 2.5 for t in range(1 + n % 5)] for n in range(30)]
TEXT = "the cat sat on the mat; the dog sat on the log.\n" * 12
PAIRS = [(f"{'abc'[n % 3]} x", f"{'abc'[n // 3 % 3]} y") for n in range(36)]
SOURCES = ["ab" * (1 + n % 4) + "c" * (n % 3) for n in range(30)]
VECTORS = [[float(n % 3), float(n % 5), 1.0] for n in range(30)]
TEXTS = [f"{['one', 'two', 'three'][n % 3]} and {n % 5}" for n in range(30)]
LONGER = [[float((3 * n + 7 * step) % 11) for step in range(20 + 5 * n)] for n in range(3)]
SMALL = {"hidden_size": 6, "epochs": 2, "seed": 3}


class Example(NamedTuple):
    """Data of a task: values for `fit`, the same as a file, and small settings."""

    values: tuple[Any, ...]
    file: str
    content: str
    settings: dict[str, Any]


EXAMPLES = {
    "classify": Example(
        tuple(map(list, zip(*ROWS, strict=True))),
        "rows.csv",
        "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS),
        # A longer run begins as a shorter one does only if the learning rate does not depend on the epochs.
        {**SMALL, "batch_size": 4, "dropout": 0.2, "dense": (5,), "schedule": "constant"},
    ),
    "regress": Example(
        (SERIES, [float(n % 5) for n in range(len(SERIES))]),
        "series.csv",
        "target,t0,t1,t2,t3,t4\n" + "".join(f"{n % 5},{','.join(map(str, each))}\n" for n, each in enumerate(SERIES)),
        {**SMALL, "batch_size": 4, "dropout": 0.2, "segment": 2, "views": ("values", "log"), "schedule": "constant"},
    ),
    "compare": Example(
        (PAIRS, [("same" if one[0] == other[0] else "other") for one, other in PAIRS]),
        "pairs.csv",
        "first,second,target\n" + "".join(f"{a},{b},{'same' if a[0] == b[0] else 'other'}\n" for a, b in PAIRS),
        {**SMALL, "tokens": "words", "embedding": 5, "batch_size": 8, "dense": (5,), "schedule": "constant"},
    ),
    "tag": Example(
        tuple(map(list, zip(*SENTENCES, strict=True))),
        "sentences.tsv",
        "\n".join("".join(f"{w}\t{t}\n" for w, t in zip(*each, strict=True)) for each in SENTENCES),
        {**SMALL, "batch_size": 4, "input_dropout": 0.2, "embedding": 5, "characters": 4, "schedule": "constant"},
    ),
    "language": Example(
        (TEXT,), "text.txt", TEXT, {**SMALL, "embedding_size": 5, "streams": 3, "window": 12, "output_dropout": 0.2}
    ),
    "forecast": Example(
        (LONGER,),
        "series.csv",
        "series,value\n" + "".join(f"{n},{value}\n" for n, each in enumerate(LONGER) for value in each),
        {**SMALL, "horizon": 3, "window": 6, "batch_size": 8, "output_dropout": 0.2, "schedule": "constant"},
    ),
    "translate": Example(
        (SOURCES, [each.upper()[::-1] for each in SOURCES]),
        "pairs.tsv",
        "source\ttarget\n" + "".join(f"{each}\t{each.upper()[::-1]}\n" for each in SOURCES),
        # Tokens of its own are read too, so that the schedule and the random numbers are part of what is resumed.
        {
            **SMALL,
            "tokens": "characters",
            "embedding": 5,
            "batch_size": 8,
            "schedule": "constant",
            "forcing_schedule": "linear",
            "forcing_batches": 10,
            "teacher_forcing": 0.3,
            "professor_forcing": 0.1,
        },
    ),
    "describe": Example(
        (VECTORS, TEXTS),
        "vectors.csv",
        "target,t0,t1,t2\n"
        + "".join(f"{text},{','.join(map(str, each))}\n" for text, each in zip(TEXTS, VECTORS, strict=True)),
        {**SMALL, "embedding": 5, "batch_size": 8, "schedule": "constant"},
    ),
}
every_task = pytest.mark.parametrize("name", TASKS)
with_rows = pytest.mark.parametrize("name", [name for name in TASKS if find_task(name).source.has_rows])


def new(name: str, **changes: Any) -> Model:
    return model_for(name)(**{**EXAMPLES[name].settings, **changes})


@pytest.fixture(scope="module")
def fitted() -> Callable[[str], Model]:
    found: dict[str, Model] = {}

    def of(name: str) -> Model:
        if name not in found:
            found[name] = new(name).fit(*EXAMPLES[name].values)
        return found[name]

    return of


def weights(model: Model) -> dict[str, torch.Tensor]:
    return model.model_.state_dict()


def assert_same(one: Model, other: Model) -> None:
    assert weights(one).keys() == weights(other).keys()
    assert [name for name, value in weights(one).items() if not torch.equal(value, weights(other)[name])] == []


def test_every_task_has_an_example():
    assert EXAMPLES.keys() == TASKS.keys()


@every_task
def test_what_is_saved_is_what_is_loaded(name: str, fitted, tmp_path: Path):
    fitted(name).save(tmp_path / "m")
    again = open_task_model(tmp_path / "m")
    assert type(again) is type(fitted(name))
    assert_same(fitted(name), again)
    values = EXAMPLES[name].values
    assert again.evaluate(*values) == fitted(name).evaluate(*values)
    if find_task(name).source.has_rows:
        assert again.answers(values[0]) == fitted(name).answers(values[0])


@every_task
def test_the_same_seed_gives_the_same_bits(name: str, fitted):
    assert_same(fitted(name), new(name).fit(*EXAMPLES[name].values))


class Stop(Silent):
    """Interrupts the run after one of its minibatches."""

    def batch(self, event: BatchEvent) -> None:
        if (event.epoch, event.batch) == (2, 2):
            raise RuntimeError("stopped")


@every_task
def test_a_stopped_run_ends_with_the_same_bits(name: str, fitted, tmp_path: Path):
    settings = {"checkpoint_batches": 1}
    with pytest.raises((RuntimeError, TrainingInterrupted)):
        new(name, **settings).fit(*EXAMPLES[name].values, folder=tmp_path, listener=Stop())
    resumed = new(name, **settings).fit(*EXAMPLES[name].values, folder=tmp_path, resume=True)
    assert_same(fitted(name), resumed)


@every_task
def test_a_finished_run_goes_on_to_the_bits_of_a_longer_one(name: str, tmp_path: Path):
    values = EXAMPLES[name].values
    new(name, epochs=2).fit(*values, folder=tmp_path)
    longer = new(name, epochs=3).fit(*values, folder=tmp_path, resume=True)
    assert len(longer.history_.epochs) == 3
    assert_same(new(name, epochs=3).fit(*values), longer)


def are_near(one: Any, other: Any) -> bool:
    """Report whether answers are equal, numbers up to rounding."""
    return one == (pytest.approx(other, abs=1e-5) if isinstance(other, float) else other)


@with_rows
def test_a_row_has_the_same_answer_alone_and_in_any_batch(name: str, fitted):
    rows = EXAMPLES[name].values[0]
    together = fitted(name).answers(rows)
    alone = [answer for row in rows for answer in fitted(name).answers([row])]
    backwards = fitted(name).answers(rows[::-1])[::-1]
    for found in (alone, backwards):
        values = zip(found, together, strict=True)
        assert all(are_near(one.value, other.value) for one, other in values)
    for one, other in zip(together, backwards, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-6)


@every_task
def test_the_command_line_gives_what_python_gives(name: str, tmp_path: Path):
    example = EXAMPLES[name]
    data = tmp_path / example.file
    data.write_text(example.content)
    flags = [
        word
        for setting, value in example.settings.items()
        for word in (
            f"--{setting.replace('_', '-')}",
            ",".join(map(str, value)) if isinstance(value, tuple) else str(value),
        )
    ]
    assert run(["train", name, str(data), "--out", str(tmp_path / "m"), "--validation-fraction", "0", *flags]) == 0
    python = new(name).fit(*example.values)
    assert_same(open_task_model(tmp_path / "m"), python)
    models = open_task_model(tmp_path / "m"), python
    scores = [[each[:4] for each in model.baseline(*example.values)] for model in models]
    assert scores[0] == scores[1] != []


@every_task
def test_baselines_are_copied_and_saved_with_a_model(name: str, tmp_path: Path):
    model, values = new(name, epochs=1).fit(*EXAMPLES[name].values), EXAMPLES[name].values
    expected = [each[:4] for each in model.baseline(*values)]
    model.save(tmp_path / "m")
    copies = [open_task_model(tmp_path / "m"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    copies[0].save(tmp_path / "again")
    for again in (*copies, open_task_model(tmp_path / "again")):
        assert [each[:4] for each in again.baseline(*values)] == expected


class Endless:
    """A data set that gives one batch over and over, and holds no other."""

    def __init__(self, batch: Batch, times: int, counts: Any):
        self._batch, self._times, self.counts = batch, times, counts

    def plan(self, epoch: int) -> range:
        return range(self._times)

    def read(self, item: int) -> Batch:
        return self._batch

    def __len__(self) -> int:
        return self._times


@every_task
def test_scores_take_memory_that_does_not_grow_with_the_data(name: str, fitted):
    model = fitted(name)
    task, values = model.task_, model.train_
    encoded = {key: encoder.encode(values.columns[key]) for key, encoder in task.encoders.items()}
    data = task.source.evaluated(encoded, task.settings)
    first = data.plan(0)[0]
    # Scores of texts take a hundred times as long as others. Two rows are enough, since each minibatch counts.
    batch = data.read(first[:2] if name in ("translate", "describe") else first)
    with torch.inference_mode():
        read = task.read(model.model_, batch)
    held = []
    for times in (10, 10, 2500):
        scores = task.scores(Endless(batch, times, getattr(data, "counts", None)))
        tracemalloc.start()
        for _ in range(times):
            outputs = tree_map_only(torch.Tensor, torch.clone, read.outputs)
            scores.update(batch, read._replace(loss=read.loss.clone(), outputs=outputs))
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    # The first time, what is imported is held, too; Python keeps up to 45 kB of freed tuples. A number kept for each
    # minibatch would be more.
    assert held[2] < held[1] + 60_000
    once = evaluate(model.model_, task, data)
    assert once.keys() == scores.compute().keys()
