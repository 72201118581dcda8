"""`elman demo`: a first model in two minutes, offline."""

import csv
import io
import random
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.cli.commands import add
from elman.cli.options import AsJson, Seed, use_threads
from elman.cli.output import emit, emit_json, say, say_missing_baseline
from elman.errors import UsageError
from elman.report.figures import figure, table

if TYPE_CHECKING:
    from elman.models.runs import Run
    from elman.tasks.task import Values

FOLDER = Path("elman-demo")
TEST_FILE = "test.csv"
TEST_FRACTION, VALIDATION_FRACTION = 0.1, 0.1
SHOWN_WORDS = 8
SETTINGS: dict[str, Any] = {
    "tokens": "characters", "cell": "lstm", "hidden_size": 128, "embedding": 32, "bidirectional": True,
    "dropout": 0.3, "epochs": 12, "batch_size": 64, "learning_rate": 0.003, "schedule": "cosine", "patience": 12,
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add(app, demo, "elman demo", "elman demo --out /tmp/elman-demo --seed 3 --json")


def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for the model and its report.")] = FOLDER,
    seed: Seed = None,
    threads: Annotated[int, typer.Option("--threads", min=1, metavar="N", help="Threads to compute with.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted demo.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a first model in two minutes, offline.

    Is an English word positive or negative? An LSTM reads the letters of words that people rated (the lexicon of
    the package vaderSentiment) and is tested on words that it never saw.
    """
    from elman.cli.folder import run_in
    from elman.data.known.datasets import vader_words
    from elman.folders import RunFolder
    from elman.models import SequenceClassifier
    from elman.models.runs import Run, carry_out
    from elman.tasks.classify import Classify
    from elman.tasks.task import Values
    from elman.training.progress import progress_for

    # Minibatches this small gain nothing from a second thread, which costs much on a busy machine.
    use_threads(threads)
    seed = seed or 0
    words = vader_words()
    source, columns = Classify.source, Classify.columns
    labelled = Values({"text": words.texts, "label": words.labels}, source=words.source)
    rest, test = source.split(labelled, columns, TEST_FRACTION, seed)
    train, validation = source.split(rest, columns, VALIDATION_FRACTION, seed)
    again = shlex.split(RunFolder(out).command or "")[1:2] == ["demo"]
    if RunFolder(out).state == "model" and not again:
        raise UsageError(
            "The folder holds a model that the demo did not make.", where=str(out), fix="Give another folder as --out."
        )
    sizes = [f"{len(each.columns['text']):,}" for each in (train, validation, test)]
    say(f"{sizes[0]} words to train on, {sizes[1]} to choose the best epoch by, {sizes[2]} to test on.")
    estimator = SequenceClassifier(**SETTINGS, seed=seed)
    with run_in(out, command=context.obj, resume=resume, overwrite=again and not resume) as going_on:
        _write_words(out / TEST_FILE, test)
        example = shlex.quote(str(out / TEST_FILE))
        how: dict[str, Any] = {"resume": going_on, "example": example, "text": "stupendous", "baseline": None}
        run = Run(out, train, validation, command=context.obj, test=test, **how)
        result = carry_out(run, estimator, progress_for(sys.stderr, estimator.report_every))
    say_missing_baseline(result)
    result["predictions"] = _some_predictions(estimator, test, seed)
    if as_json:
        emit_json(result)
        return
    for line in _lines(estimator, result, run):
        emit(line)


def _write_words(path: Path, words: "Values") -> None:
    """Write the test words to a file, for `elman evaluate`."""
    from elman.files import atomic_write

    lines = io.StringIO()
    rows = zip(words.columns["text"], words.columns["label"], strict=True)
    csv.writer(lines, lineterminator="\n").writerows([("text", "label"), *rows])
    atomic_write(path, lines.getvalue())


def _some_predictions(estimator: Any, words: "Values", seed: int) -> list[dict[str, Any]]:
    """Return the answers to a few test words drawn at random, right or wrong."""
    from elman.tasks.rows import select

    size = len(words.columns["text"])
    chosen = select(words, random.Random(seed).sample(range(size), min(SHOWN_WORDS, size)))
    return [
        {
            "text": row.values["text"],
            "truth": row.values["label"],
            "label": str(row.answer.value),
            "probability": row.answer.probability,
        }
        for row in estimator.answered(chosen)
    ]


def _lines(estimator: Any, result: dict[str, Any], run: "Run") -> Iterator[str]:
    from elman.models.runs import closing_lines

    rows = [
        (
            each["text"],
            each["label"],
            figure(each["probability"], percent=True),
            "" if each["label"] == each["truth"] else "wrong",
        )
        for each in result["predictions"]
    ]
    yield from table(rows, header=("test word", "answer", "probability", ""))
    yield ""
    yield from closing_lines(estimator, result, run)
