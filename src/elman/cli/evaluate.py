"""`elman evaluate`: how well a model does on labelled data."""

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from elman.cli.options import (
    AsJson,
    Header,
    LabelColumn,
    LabelledData,
    Model,
    Separator,
    TextColumn,
    Threads,
    Unknown,
    examples,
    use_threads,
)
from elman.cli.output import emit, emit_json, percent, table

SHOWN_LABELS = 12


def register(app: typer.Typer) -> None:
    """Adds the command to the app."""
    app.command(
        epilog=examples(
            "elman evaluate words-model test.csv",
            "elman evaluate words-model test.tsv --no-header --text 2 --label 1 --json",
        )
    )(evaluate)


def evaluate(
    model: Model,
    data: LabelledData,
    text: TextColumn = None,
    label: LabelColumn = None,
    header: Header = None,
    separator: Separator = None,
    unknown: Unknown = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Judge a model on labelled texts.

    Shows the scores, the majority rate to beat, and what was taken for what.
    """
    from elman.cli.data import check_labels, lines_of, places_named, read_labelled
    from elman.estimators import SequenceClassifier

    use_threads(threads)
    estimator = SequenceClassifier.load(model)
    texts = read_labelled(data, text=text, label=label, header=header, separator=separator)
    check_labels(texts, estimator.classes_)
    with places_named(lines_of(texts)):
        scores = estimator.evaluate(texts.texts, texts.labels or [], unknown=unknown)
    if as_json:
        emit_json({"model": str(model), "data": data, **scores})
        return
    for line in score_lines(scores):
        emit(line)


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
