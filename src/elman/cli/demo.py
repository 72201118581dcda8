"""`elman demo`: a first model in two minutes, offline."""

import random
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from elman.cli.commands import add
from elman.cli.options import AsJson, Seed, use_threads
from elman.cli.output import emit, emit_json, rows_as_csv, say, say_missing_baseline
from elman.errors import UsageError, nearest
from elman.report.figures import figure, table

if TYPE_CHECKING:
    from elman.models.runs import Run
    from elman.tasks.task import Values

FOLDER = Path("elman-demo")
TEST_FILE = "test.csv"
TEST_FRACTION, VALIDATION_FRACTION = 0.1, 0.1
SHOWN_WORDS = 8
# Pairs to train on, and of each other part; and passes over them.
DATES, DATE_EPOCHS = (8_000, 500), 3
SETTINGS: dict[str, Any] = {
    "tokens": "characters", "cell": "lstm", "hidden_size": 128, "embedding": 32, "bidirectional": True,
    "dropout": 0.3, "epochs": 12, "batch_size": 64, "learning_rate": 0.003, "schedule": "cosine", "patience": 12,
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add(app, demo, "elman demo", "elman demo --task translate", "elman demo --out /tmp/elman-demo --seed 3 --json")


def demo(
    context: typer.Context,
    task: Annotated[
        str, typer.Option("--task", metavar="NAME", help="classify (words), or translate (dates to YYYY-MM-DD).")
    ] = "classify",
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for the model and its report.")] = FOLDER,
    seed: Seed = None,
    threads: Annotated[int, typer.Option("--threads", min=1, metavar="N", help="Threads to compute with.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted demo.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a first model in two minutes, offline.

    Is an English word positive or negative? An LSTM reads the letters of words that people rated (the lexicon of
    the package vaderSentiment) and is tested on words that it never saw. With --task translate, an encoder and a
    decoder with attention learn to write dates as YYYY-MM-DD.
    """
    from elman.cli.folder import run_in
    from elman.folders import RunFolder
    from elman.models.runs import Run, carry_out
    from elman.training.progress import progress_for

    if task not in _DEMOS:
        raise UsageError(f"There is no demo of `{task}`.", fix=nearest(task, _DEMOS))
    # Minibatches this small gain nothing from a second thread, which costs much on a busy machine.
    use_threads(threads)
    seed = seed or 0
    made = _DEMOS[task](seed)
    again = shlex.split(RunFolder(out).command or "")[1:2] == ["demo"]
    if RunFolder(out).state == "model" and not again:
        raise UsageError(
            "The folder holds a model that the demo did not make.", where=str(out), fix="Give another folder as --out."
        )
    sizes = [f"{len(next(iter(each.columns.values()))):,}" for each in (made.train, made.validation, made.test)]
    say(f"{sizes[0]} {made.noun} to train on, {sizes[1]} to choose the best epoch by, {sizes[2]} to test on.")
    with run_in(out, command=context.obj, resume=resume, overwrite=again and not resume) as going_on:
        _write_rows(out / TEST_FILE, made.test)
        example = shlex.quote(str(out / TEST_FILE))
        how: dict[str, Any] = {"resume": going_on, "example": example, "text": made.text, "baseline": None}
        run = Run(out, made.train, made.validation, command=context.obj, test=made.test, **how)
        result = carry_out(run, made.model, progress_for(sys.stderr, made.model.report_every))
    say_missing_baseline(result)
    result["predictions"] = _some_predictions(made, seed)
    if as_json:
        emit_json(result)
        return
    for line in _lines(made, result, run):
        emit(line)


class _Demo(NamedTuple):
    """A model with its data: what its rows are called, and a text to try."""

    model: Any
    train: "Values"
    validation: "Values"
    test: "Values"
    noun: str
    text: str


def _words(seed: int) -> _Demo:
    """Return the words that people rated, each with its label."""
    from elman.data.known.datasets import vader_words
    from elman.models import SequenceClassifier
    from elman.tasks.classify import Classify
    from elman.tasks.task import Values

    words = vader_words()
    source, columns = Classify.source, Classify.columns
    labelled = Values({"text": words.texts, "label": words.labels}, source=words.source)
    rest, test = source.split(labelled, columns, TEST_FRACTION, seed)
    train, validation = source.split(rest, columns, VALIDATION_FRACTION, seed)
    return _Demo(SequenceClassifier(**SETTINGS, seed=seed), train, validation, test, "words", "stupendous")


def _dates(seed: int) -> _Demo:
    """Return dates as people write them, with the same dates as YYYY-MM-DD."""
    from elman.models import Translator
    from elman.recipes.dates import date_parts
    from elman.recipes.translations import translate_dates

    model = Translator(**{**translate_dates.settings, "epochs": DATE_EPOCHS}, seed=seed)
    return _Demo(model, *date_parts(*DATES), "dates", "the 3rd of May 1998")


_DEMOS = {"classify": _words, "translate": _dates}


def _write_rows(path: Path, rows: "Values") -> None:
    """Write the test rows to a file, for `elman evaluate`."""
    from elman.files import atomic_write

    atomic_write(path, rows_as_csv([tuple(rows.columns), *zip(*rows.columns.values(), strict=True)]))


def _some_predictions(made: _Demo, seed: int) -> list[dict[str, Any]]:
    """Return the answers to a few test rows drawn at random, right or wrong."""
    from elman.tasks.rows import select

    text, target = made.test.columns
    size = len(made.test.columns[text])
    chosen = select(made.test, random.Random(seed).sample(range(size), min(SHOWN_WORDS, size)))
    return [
        {
            "text": row.values[text],
            "truth": row.values[target],
            target: str(row.answer.value),
            **{name: getattr(row.answer, name) for name in ("probability", "score") if getattr(row.answer, name)},
        }
        for row in made.model.answered(chosen)
    ]


def _lines(made: _Demo, result: dict[str, Any], run: "Run") -> Iterator[str]:
    from elman.models.runs import closing_lines

    target = list(made.test.columns)[1]
    share = "probability" in result["predictions"][0]
    rows = [
        (
            each["text"],
            each[target],
            *([figure(each["probability"], percent=True)] if share else []),
            "" if each[target] == each["truth"] else "wrong",
        )
        for each in result["predictions"]
    ]
    header = (f"test {made.noun.removesuffix('s')}", "answer", *(["probability"] if share else []), "")
    yield from table(rows, header=header)
    yield ""
    yield from closing_lines(made.model, result, run)
