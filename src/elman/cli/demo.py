"""`elman demo`: a first model in two minutes, without a network."""

import csv
import io
import random
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.cli.options import AsJson, Seed, examples, use_threads
from elman.cli.output import emit, emit_json, percent, say, table
from elman.errors import UsageError

if TYPE_CHECKING:
    from elman.sequences.tables import Table

FOLDER = Path("elman-demo")
TEST_FILE = "test.csv"
TEST_FRACTION, VALIDATION_FRACTION = 0.1, 0.1
SHOWN_WORDS = 8
SETTINGS: dict[str, Any] = {
    "tokens": "characters", "cell": "lstm", "hidden_size": 128, "embedding": 32, "bidirectional": True,
    "dropout": 0.3, "epochs": 12, "batch_size": 64, "learning_rate": 0.003, "schedule": "cosine",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Adds the command to the app."""
    app.command(epilog=examples("elman demo", "elman demo --out /tmp/elman-demo --seed 3 --json"))(demo)


def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for the model and its report.")] = FOLDER,
    seed: Seed = None,
    threads: Annotated[int, typer.Option("--threads", min=1, metavar="N", help="Threads to compute with.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted demo.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a first model in two minutes, without a network.

    Is an English word positive or negative? A network reads the letters of words that people rated (the lexicon in
    the package vaderSentiment), and is judged on words that it never saw.
    """
    from elman.cli.folder import made_by, open_folder
    from elman.cli.runs import Run, carry_out
    from elman.estimators import SequenceClassifier
    from elman.folders import folder_state
    from elman.sequences.datasets import vader_words

    # A second thread has nothing to gain from minibatches this small, and much to lose on a busy machine.
    use_threads(threads)
    seed = seed or 0
    rest, test = vader_words().split(TEST_FRACTION, seed)
    learn, judge = rest.split(VALIDATION_FRACTION, seed)
    again = made_by(out, "demo")
    if folder_state(out) == "model" and not again:
        raise UsageError(
            "The folder holds a model that the demo did not make.", where=str(out), fix="Give another folder as --out."
        )
    going_on = open_folder(out, command=context.obj, resume=resume, overwrite=again and not resume)
    _write_words(out / TEST_FILE, test)
    say(f"{len(learn):,} words to train on, {len(judge):,} to choose the best epoch, {len(test):,} to test.")
    estimator = SequenceClassifier(**SETTINGS, seed=seed)
    example = shlex.quote(str(out / TEST_FILE))
    result = carry_out(
        Run(out, learn, judge, test=test, command=context.obj, resume=going_on, example=example), estimator
    )
    result["predictions"] = _some_predictions(estimator, test, seed)
    if as_json:
        emit_json(result)
        return
    for line in _lines(result):
        emit(line)


def _write_words(path: Path, words: "Table") -> None:
    """The test words as a file, for `elman evaluate`."""
    from elman.files import atomic_write

    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(
        [("text", "label"), *zip(words.texts, words.labels or [], strict=True)]
    )
    atomic_write(path, lines.getvalue())


def _some_predictions(estimator: Any, words: "Table", seed: int) -> list[dict[str, Any]]:
    """The answers to a few test words drawn at random, right or wrong."""
    rows = random.Random(seed).sample(range(len(words)), min(SHOWN_WORDS, len(words)))
    chosen = words.select(rows)
    chances = estimator.predict_proba(chosen.texts)
    return [
        {"text": text, "truth": truth, "label": str(answer), "probability": float(max(row))}
        for text, truth, answer, row in zip(
            chosen.texts, chosen.labels or [], estimator.predict(chosen.texts), chances, strict=True
        )
    ]


def _lines(result: dict[str, Any]) -> Iterator[str]:
    from elman.cli.runs import closing_lines

    rows = [
        (each["text"], each["label"], percent(each["probability"]), "" if each["label"] == each["truth"] else "wrong")
        for each in result["predictions"]
    ]
    yield from table(rows, header=("test word", "answer", "sure", ""))
    yield ""
    yield from closing_lines(result, data=shlex.quote(str(Path(result["model"]) / TEST_FILE)), text="stupendous")
