"""`elman evaluate`: how well a model does on labelled data, or on a text."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from elman.cli.options import (
    AsJson,
    Encoding,
    Header,
    LabelColumn,
    Model,
    Quote,
    Separator,
    TextColumn,
    Threads,
    Unknown,
    examples,
    use_threads,
)
from elman.cli.output import FLATTERED, emit, emit_json, on_one_line, percent, say_unknown, table
from elman.errors import UsageError

SHOWN_LABELS = 12


def register(app: typer.Typer) -> None:
    """Adds the command to the app."""
    app.command(
        epilog=examples(
            "elman evaluate words-model test.csv",
            "elman evaluate words-model test.tsv --no-header --text 2 --label 1 --json",
            "elman evaluate book-model other-book.txt --dynamic 0.1",
        )
    )(evaluate)


def evaluate(
    model: Model,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            show_default=False,
            help="Labelled texts: CSV, TSV, TXT or JSONL; for a language model a text. - is standard input.",
        ),
    ],
    text: TextColumn = None,
    label: LabelColumn = None,
    header: Header = None,
    separator: Separator = None,
    quote: Quote = None,
    encoding: Encoding = None,
    unknown: Unknown = None,
    dynamic: Annotated[
        float | None,
        typer.Option(
            "--dynamic",
            min=0,
            metavar="RATE",
            show_default=False,
            help="A language model learns the text as it reads it, at this rate.",
        ),
    ] = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Judge a model.

    On labelled texts: the scores, the majority rate to beat, and what was taken for what. A
    language model on a text: bits a character and a byte, perplexity, the loss in nats a token.
    """
    from elman.estimators import LanguageModel, SequenceClassifier, open_model

    use_threads(threads)
    estimator = open_model(model)
    options = {
        "text": text,
        "label": label,
        "header": header,
        "separator": separator,
        "quote": quote,
        "encoding": encoding,
    }
    if isinstance(estimator, LanguageModel):
        _refuse([f"--{name}" for name, value in options.items() if value is not None], "a classifier", model)
        _evaluate_language(estimator, model, data, dynamic, unknown, as_json)
        return
    assert isinstance(estimator, SequenceClassifier)
    _refuse(["--dynamic"] if dynamic is not None else [], "a language model", model)
    from elman.cli.data import known_format, places_named, read_labelled, with_known_labels

    classes = estimator.classes_.tolist()
    known = known_format(estimator.table_format_, classes)
    texts = with_known_labels(read_labelled(data, known=known, **options), classes)
    with places_named(texts.places):
        scores = estimator.evaluate(texts.texts, texts.labels or [], unknown=unknown)
    say_unknown(scores, estimator.get_params()["tokens"])
    if as_json:
        emit_json({"model": str(model), "data": data, **scores})
        return
    for line in score_lines(scores):
        emit(line)


def _evaluate_language(
    estimator: Any, model: Path, data: str, dynamic: float | None, unknown: str | None, as_json: bool
) -> None:
    scores = estimator.evaluate(Path(data), dynamic=dynamic, unknown=unknown)
    say_unknown(scores, estimator.tokens, FLATTERED)
    if as_json:
        emit_json({"model": str(model), "data": data, "dynamic": dynamic, **scores})
        return
    shown = [(name.replace("_", " "), value) for name, value in scores.items() if name != "unknown"]
    for line in table(shown):
        emit(line)


def _refuse(flags: list[str], what: str, model: Path) -> None:
    if flags:
        raise UsageError(f"{', '.join(flags)}: only for {what}.", where=str(model), fix="Leave them away.")


def score_lines(scores: Mapping[str, Any]) -> Iterator[str]:
    """The lines that show an evaluation: its scores, then its confusion matrix.

    Args:
        scores: what `SequenceClassifier.evaluate` gave.
    """
    yield from table(
        [
            ("accuracy", percent(scores["accuracy"])),
            ("majority rate", percent(scores["majority"])),
            ("macro F1", percent(scores["macro_f1"])),
            ("loss", f"{scores['loss']:.4f}"),
            ("texts", f"{scores['count']:,}"),
        ]
    )
    yield ""
    yield from confusion_lines(scores["labels"], scores["confusion"])


def confusion_lines(labels: list[Any], confusion: list[list[int]]) -> Iterator[str]:
    """The confusion matrix as a table, or the pairs most often mixed up where the labels are many."""
    labels = [on_one_line(str(label)) for label in labels]
    if len(labels) <= SHOWN_LABELS:
        rows = [(truth, *row) for truth, row in zip(labels, confusion, strict=True)]
        yield from table(rows, header=("truth \\ answer", *labels))
        return
    pairs = sorted(
        (
            (count, labels[truth], labels[answer])
            for truth, row in enumerate(confusion)
            for answer, count in enumerate(row)
            if truth != answer and count
        ),
        key=lambda pair: -pair[0],
    )[:SHOWN_LABELS]
    if pairs:
        yield from table(pairs, header=("times", "truth", "answer"))
