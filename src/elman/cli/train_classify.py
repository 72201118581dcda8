"""`elman train classify`: a model from a file of labelled texts."""

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.cli.options import (
    AsJson,
    Encoding,
    Header,
    LabelColumn,
    LabelledData,
    Out,
    Overwrite,
    Quote,
    Resume,
    Separator,
    TextColumn,
    Threads,
    examples,
    held_back,
    use_threads,
)
from elman.cli.output import emit, emit_json
from elman.cli.settings import CLASSIFIER_FLAGS, takes_settings

if TYPE_CHECKING:
    from elman.sequences.tables import Table


def register(app: typer.Typer) -> None:
    """Adds the command to the app."""
    app.command(
        "classify",
        epilog=examples(
            "elman train classify reviews.csv --out reviews",
            "elman train classify words.txt --text 1 --label 2 --hidden-size 200 --dense 100 --out words",
            "elman train classify news.tsv --text title --label topic --tokens words --embedding 100 --out news",
            "elman train classify words.txt --cell my_cells.py:leaky --out words",
        ),
    )(classify)


@takes_settings(CLASSIFIER_FLAGS)
def classify(
    context: typer.Context,
    data: LabelledData,
    out: Out,
    settings: dict[str, Any],
    text: TextColumn = None,
    label: LabelColumn = None,
    header: Header = None,
    separator: Separator = None,
    quote: Quote = None,
    encoding: Encoding = None,
    validation: Annotated[
        str | None,
        typer.Option(
            "--validation",
            metavar="FILE",
            show_default=False,
            help="Labelled texts to judge each epoch on. [a part of DATA]",
        ),
    ] = None,
    validation_fraction: Annotated[
        float | None,
        typer.Option(
            "--validation-fraction",
            metavar="F",
            show_default=False,
            help="Part of DATA held back to judge each epoch on; 0 for none. [0.1]",
        ),
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Train a model that gives each text a label, save it and report.

    Without --validation a part of DATA is held back; the scores are on what was not trained on.
    Ctrl-C stops a run after saving it, and --resume continues it as if it had never stopped.

    Defaults stand in [brackets].
    """
    fraction = held_back(validation, validation_fraction)
    # These import torch, which takes seconds: only when everything said so far makes sense.
    from elman.cli.folder import open_folder
    from elman.cli.runs import Run, carry_out, closing_lines
    from elman.estimators import SequenceClassifier

    use_threads(threads)
    estimator = SequenceClassifier(**settings, validation_fraction=fraction)
    estimator.settings()
    columns = {
        "text": text,
        "label": label,
        "header": header,
        "separator": separator,
        "quote": quote,
        "encoding": encoding,
    }
    learn, judge = _read_both(data, validation, fraction, columns, seed=settings.get("seed", 0))
    if learn.is_numeric and "tokens" not in settings:
        estimator.set_params(tokens="values")
    going_on = open_folder(out, command=context.obj, resume=resume, overwrite=overwrite)
    example = shlex.quote(validation or data) if "-" not in (validation, data) else "DATA"
    estimator.table_format_ = learn.format
    result = carry_out(Run(out, learn, judge, command=context.obj, resume=going_on, example=example), estimator)
    if as_json:
        emit_json(result)
        return
    for line in closing_lines(result, data=example, text=None if learn.is_numeric else "TEXT"):
        emit(line)


def _read_both(
    data: str, validation: str | None, fraction: float, columns: dict[str, Any], *, seed: int
) -> "tuple[Table, Table | None]":
    """What to train on, and what to judge each epoch on."""
    from elman.cli.data import known_format, read_labelled, tell, with_known_labels

    table = read_labelled(data, **columns)
    if validation is None:
        if not fraction:
            return table, None
        learn, held = table.split(fraction, seed)
        tell(held)
        return learn, held
    classes = set(table.labels or [])
    held = read_labelled(validation, known=known_format(table.format, classes), **columns)
    return table, with_known_labels(held, classes)
