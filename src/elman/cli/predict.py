"""`elman predict`: the label of each text."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from elman.cli.options import AsJson, Encoding, Header, Model, Quote, Separator, Threads, Unknown, examples, use_threads
from elman.cli.output import emit, emit_json, on_one_line, say_unknown
from elman.errors import UsageError
from elman.sequences.unknown import UnknownTally

CHUNK = 256


def register(app: typer.Typer) -> None:
    """Adds the command to the app."""
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
            metavar="DATA",
            show_default=False,
            help="Texts: a line each, CSV, TSV, JSONL, or a folder. - is standard input.",
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
            help="Column of the texts: name or number from 1. [as in training, else by usual names, else the first]",
        ),
    ] = None,
    header: Header = None,
    separator: Separator = None,
    quote: Quote = None,
    encoding: Encoding = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Show the probability of every label, not of the answer alone.")
    ] = False,
    unknown: Unknown = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Label texts.

    One line each: the text, its label and the probability of it, with tabs between. Tabs, line breaks and backslashes
    inside a text or a label are written with a backslash. A file is read as the training file was. With --json, one
    object holds all predictions, and no other line is printed.
    """
    from elman.cli.data import known_format, read_texts
    from elman.estimators import SequenceClassifier

    if (data is None) == (not text):
        raise UsageError("Give either DATA or --text.", fix='For instance: elman predict MODEL --text "stupendous"')
    options = {"text": column, "header": header, "separator": separator, "quote": quote, "encoding": encoding}
    flags = [f"--{'column' if name == 'text' else name}" for name, value in options.items() if value is not None]
    if not data and flags:
        raise UsageError(f"{', '.join(flags)}: only for DATA.", fix="Leave them out where --text gives the texts.")
    use_threads(threads)
    estimator: Any = SequenceClassifier.load(model)
    known, tally = known_format(estimator.table_format_, estimator.classes_.tolist()), UnknownTally()
    given = read_texts(data, known=known, **options) if data else _typed(text or [], estimator)
    # Someone who types texts wants each answer at once.
    chunk = 1 if data == "-" and sys.stdin.isatty() else CHUNK
    answers = _answers(estimator, given, unknown, chunk, tally)
    labels = [str(label) for label in estimator.classes_]
    if as_json:
        predictions = [_as_object(*each, estimator.classes_.tolist(), probabilities) for each in answers]
        say_unknown(vars(tally), estimator.tokens)
        emit_json({"model": str(model), "predictions": predictions})
        return
    for each in answers:
        emit(_as_line(*each, labels, probabilities))
    say_unknown(vars(tally), estimator.tokens)


def _typed(texts: list[str], estimator: Any) -> Iterator[tuple[str, str]]:
    """The texts of the command line, with their places."""
    if estimator.tokens == "values":
        raise UsageError(
            "This model reads sequences of numbers, and --text gives texts.", fix="Give DATA, a JSONL file of numbers."
        )
    return ((f"--text {on_one_line(each)[:60]}", each) for each in texts)


def _answers(
    estimator: Any, given: Iterable[tuple[str, Any]], unknown: str | None, size: int, tally: UnknownTally
) -> Iterator[tuple[str, list[float]]]:
    """Each text with the probabilities of its labels, computed by chunks as the texts come in."""
    from elman.cli.data import places_named

    waiting = iter(given)
    while chunk := list(islice(waiting, size)):
        places, texts = zip(*chunk, strict=True)
        with places_named(places):
            rows = estimator.predict_proba(list(texts), unknown=unknown, tally=tally).tolist()
        yield from zip(map(_as_text, texts), rows, strict=True)
        sys.stdout.flush()


def _as_text(given: Any) -> str:
    return given if isinstance(given, str) else json.dumps(given)


def _best(row: list[float]) -> int:
    return max(range(len(row)), key=row.__getitem__)


def _as_object(text: str, row: list[float], labels: list[Any], every: bool) -> dict[str, Any]:
    best = _best(row)
    answer = {"text": text, "label": labels[best], "probability": row[best]}
    return answer | ({"probabilities": dict(zip(labels, row, strict=True))} if every else {})


def _as_line(text: str, row: list[float], labels: list[str], every: bool) -> str:
    best = _best(row)
    shown = (
        [f"{on_one_line(label)}={share:.4f}" for label, share in zip(labels, row, strict=True)]
        if every
        else [f"{row[best]:.4f}"]
    )
    return "\t".join([on_one_line(text), on_one_line(labels[best]), *shown])
