"""`elman predict`: the answer to each row, of a model of any task that has answers."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from elman.cli.options import AsJson, Model, Threads, Unknown, examples, use_threads
from elman.cli.output import emit, emit_json, say
from elman.errors import UsageError

CHUNK = 256


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(
        epilog=examples(
            "elman predict words-model --text stupendous --text dreadful",
            "elman predict words-model words.txt > answers.tsv",
            "cut -f1 words.tsv | elman predict words-model - --probabilities",
        )
    )(predict)


def predict(
    model: Model,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", show_default=False, help="A file: one text a line, or CSV, TSV, JSONL. - is standard input."
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="TEXT", show_default=False, help="A text itself; may be repeated."),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            "--column",
            metavar="COL",
            show_default=False,
            help="Column of the texts in a CSV, TSV or JSONL file: name or number from 1. [text, or the first]",
        ),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Show the probability of every label, not of the answer alone.")
    ] = False,
    unknown: Unknown = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Predict the answer to each text.

    One line each: the text, its answer and the probability of it, with tabs between. Tabs, line breaks and
    backslashes inside a text are written with a backslash. With --json, one object holds all predictions, and no
    other line is printed.
    """
    if (data is None) == (not text):
        raise UsageError("Give either DATA or --text.", fix='For instance: elman predict MODEL --text "stupendous"')
    from elman.estimators import open_model
    from elman.tasks.task import targets

    use_threads(threads)
    opened = open_model(model)
    source = opened.task.source
    # Whether there are answers at all is known before any data are read.
    opened.answers([])
    notes, given = source.asked(data, column) if data else ((), _typed(source, text or []))
    for note in notes:
        say(f"elman: note: {note}.")
    # A user who types texts wants each answer at once.
    chunk = 1 if data == "-" and sys.stdin.isatty() else CHUNK
    answers = _answers(opened, given, unknown, chunk)
    if as_json:
        name = targets(opened.task.columns)[0].name
        emit_json({"model": str(model), "predictions": [_as_object(*each, name, probabilities) for each in answers]})
        return
    for each in answers:
        emit(_as_line(*each, probabilities))


def _typed(source: Any, texts: list[str]) -> Iterator[tuple[str, Any]]:
    return ((f"--text {text}", source.typed(text)) for text in texts)


def _answers(model: Any, given: Iterable[tuple[str, Any]], unknown: str | None, size: int) -> Iterator[tuple[Any, Any]]:
    """Each row with its answer, computed by chunks as the rows are read."""
    from elman.tasks.rows import places_named

    waiting = iter(given)
    while chunk := list(islice(waiting, size)):
        places, rows = zip(*chunk, strict=True)
        with places_named(places):
            answers = model.answers(rows, unknown=unknown)
        yield from zip(rows, answers, strict=True)
        sys.stdout.flush()


def _words(value: Any) -> str:
    """A row or an answer on one line: words with blanks between, numbers as JSON."""
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return " ".join(value)
    return value if isinstance(value, str) else json.dumps(value)


def _as_object(row: Any, answer: Any, name: str, every: bool) -> dict[str, Any]:
    found = {"text": row if isinstance(row, str) else _words(row), name: answer.value}
    if answer.probability is not None:
        found["probability"] = answer.probability
    return found | ({"probabilities": answer.probabilities} if every else {})


def _as_line(row: Any, answer: Any, every: bool) -> str:
    if every:
        shown = [f"{label}={share:.4f}" for label, share in (answer.probabilities or {}).items()]
    else:
        shown = [] if answer.probability is None else [f"{answer.probability:.4f}"]
    return "\t".join([_on_one_line(_words(row)), _on_one_line(_words(answer.value)), *shown])


def _on_one_line(text: str) -> str:
    for found, shown in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(found, shown)
    return text
