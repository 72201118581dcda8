"""`elman evaluate`: the scores of a model of any task."""

from typing import Annotated, Any

import typer

from elman.cli.commands import Parameters, add_lazily
from elman.cli.options import AsJson, Device, Model, Threads, Unknown, device_or_cpu, use_threads
from elman.cli.output import emit, emit_json, say_notes, say_references, say_unknown
from elman.errors import UsageError

_MISTAKES = Annotated[
    bool, typer.Option("--mistakes", help="Show the worst mistakes, and the words that spoke for each.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_lazily(
        app,
        evaluate,
        _parameters,
        "elman evaluate words-model test.csv",
        "elman evaluate words-model test.tsv --no-header --text 2 --label 1 --json",
        "elman evaluate book-model other-book.txt --dynamic 0.1",
        "elman evaluate passengers-model passengers.csv --origins 10 --stride 6",
    )


def _parameters() -> Parameters:
    from elman.cli.flags import option_of
    from elman.cli.reading import option_flags, reading_flags

    help = "Data of the kind that the model was trained on, in as many files as in training. - is standard input."
    return {
        "model": (Model, ...),
        "data": (Annotated[list[str], typer.Argument(metavar="DATA", show_default=False, help=help)], ...),
        **{name: (annotation, None) for name, annotation in reading_flags().items()},
        "unknown": (Unknown, None),
        **{name: (option_of(flag), None) for name, flag in option_flags().items()},
        "mistakes": (_MISTAKES, False),
        "threads": (Threads, None),
        "device": (Device, None),
        "as_json": (AsJson, False),
    }


def evaluate(**values: Any) -> None:
    """Evaluate a model on data that it was not trained on.

    For labels: the scores, the majority rate to beat, and the confusion matrix. For a language model: bits per
    character and per byte, perplexity, and the loss in nats per token. For a forecaster: errors and intervals of the
    forecasts from every step, or from --origins N that the model is trained again for. A simple model that was saved
    with it, such as a linear model, is scored on the same data.
    """
    from elman.cli.flags import given_values
    from elman.cli.reading import option_flags, reading_flags, refuse_given, refuse_others
    from elman.models import open_task_model
    from elman.models.runs import found_by
    from elman.tasks.baselines import beside

    use_threads(values["threads"])
    reading, options = reading_flags(), option_flags()
    model = open_task_model(values["model"]).to(device_or_cpu(values["device"]))
    task = model.task
    refuse_others(task, {name: values[name] for name in (*reading, *options)}, values["model"])
    if model.task_.answer_header() is not None:
        refuse_given(values, ("mistakes",), task.noun, values["model"])
    paths = _paths(values["data"], task)
    data = task.source.read(paths, task.columns, {name: values[name] for name in reading}, known=model.known())
    say_notes(data)
    given = given_values(options.values(), values)
    scores = model.evaluate_values(data, unknown=values["unknown"], **given)
    say_unknown(scores, model.task_.tokens, task.effect)
    say_references(scores)
    compared = model.baseline_values(data, **given)
    baseline = compared[-1].to_json() if compared else None
    if values["as_json"]:
        emit_json({"model": str(values["model"]), "data": paths, **given, **scores, "baseline": baseline})
        return
    rows = model.answered(data) if values["mistakes"] and task.source.has_rows else ()
    parts = beside(model.task_.report(found_by(model, scores, rows)), model.task_, compared)
    for number, part in enumerate(parts):
        for row, line in enumerate(part.lines()):
            if number and not row:
                emit()
            emit(line)


def _paths(given: list[str], task: Any) -> str | list[str]:
    """Return the file to evaluate on, or the files of a task that reads several.

    Raises:
        UsageError: several files for a task that reads one.
    """
    if len(given) == 1:
        return given[0]
    if not task.source.several:
        raise UsageError(f"Expected one file to evaluate a {task.noun} on, got {len(given)}.", fix="Give one file.")
    return given
