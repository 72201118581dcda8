"""`elman evaluate`: the scores of a model of any task."""

from typing import Annotated, Any

import typer

from elman.cli.lazy import lazy
from elman.cli.options import AsJson, Model, Threads, Unknown, examples, use_threads
from elman.cli.output import emit, emit_json, say_notes, say_unknown


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(
        cls=lazy(_command),
        epilog=examples(
            "elman evaluate words-model test.csv",
            "elman evaluate words-model test.tsv --no-header --text 2 --label 1 --json",
            "elman evaluate book-model other-book.txt --dynamic 0.1",
        ),
    )(evaluate)


def evaluate() -> None:
    """Evaluate a model.

    On labelled data: the scores, the majority rate to beat, and the confusion matrix. A language model on a text: bits
    a character and a byte, perplexity, the loss in nats a token.
    """


def _command() -> Any:
    from elman.cli.flags import option_of
    from elman.cli.reading import option_flags, reading_flags
    from elman.cli.train import built
    from elman.tasks import TASKS, find_task

    known = list(map(find_task, TASKS))
    reading, options = reading_flags(known), option_flags(known)
    help = "Data of the kind that the model was trained on. - is standard input."
    fixed: dict[str, tuple[Any, Any]] = {
        "model": (Model, ...),
        "data": (Annotated[str, typer.Argument(metavar="DATA", show_default=False, help=help)], ...),
        **{name: (annotation, None) for name, annotation in reading.items()},
        "unknown": (Unknown, None),
        **{name: (option_of(flag), None) for name, flag in options.items()},
        "threads": (Threads, None),
        "as_json": (AsJson, False),
    }

    def run(**values: Any) -> None:
        _evaluate(values, list(reading), options)

    return built("evaluate", run, fixed, None)


def _evaluate(values: dict[str, Any], reading: list[str], options: dict[str, Any]) -> None:
    from elman.cli.flags import given_values
    from elman.cli.reading import refuse_others
    from elman.models import open_model
    from elman.tasks.task import Found

    use_threads(values["threads"])
    model = open_model(values["model"])
    task = model.task
    refuse_others(task, {name: values[name] for name in (*reading, *options)}, values["model"])
    how = {name: values[name] for name in reading}
    data = task.source.read(values["data"], task.columns, how, known=model.known())
    say_notes(data)
    given = given_values(options.values(), values)
    scores = model.evaluate_values(data, unknown=values["unknown"], **given)
    say_unknown(scores, model.task_.tokens, task.effect)
    if values["as_json"]:
        emit_json({"model": str(values["model"]), "data": values["data"], **given, **scores})
        return
    for number, part in enumerate(model.task_.report(Found(scores))):
        for line in part.lines():
            emit(line)
        if not number:
            emit()
