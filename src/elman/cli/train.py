"""`elman train`: a command for each task, made from what the task declares."""

import inspect
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from elman.cli.options import AsJson, Out, Overwrite, Resume, Threads, examples, held_back, use_threads
from elman.cli.output import emit, emit_json, say_notes, say_unknown
from elman.errors import UsageError, nearest

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
# What `--validation-fraction` gives is settled here.
_OWN = ("validation_fraction",)


_START = Annotated[
    Path | None,
    typer.Option(
        "--start-from",
        metavar="MODEL",
        show_default=False,
        help="Start with the embedding and the recurrent layers of another model; see --freeze.",
    ),
]


class _Tasks(TyperGroup):
    """A sub-command for each task; its file is imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the tasks."""
        # pydantic is not needed by a command that lists no task.
        from elman.tasks import TASKS

        return list(TASKS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of a task; None if there is no such task."""
        from elman.tasks import TASKS, find_task

        return command_of(find_task(cmd_name)) if cmd_name in TASKS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command of the task, or raise an error that names the tasks."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UsageError(f"There is no task `{args[0]}`.", fix=nearest(args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the words of the command line, at least one."""
        if all(word.startswith("-") for word in args) and not set(args) & set(ctx.help_option_names):
            ctx.fail("Missing argument 'TASK'.")
        return super().parse_args(ctx, args)


tasks = typer.Typer(
    cls=_Tasks,
    help="Train a model, save it and report; see each task's own --help.",
    rich_markup_mode=None,
    subcommand_metavar="TASK ...",
    context_settings=CONTEXT,
)


@tasks.callback()
def _train() -> None:
    """Train a model, save it and report; see each task's own --help."""


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.add_typer(tasks, name="train")


def command_of(task: Any) -> Any:
    """Return the command that trains a model of a task."""
    from elman.cli.flags import flags_of, given_values, option_of
    from elman.cli.reading import reading_flags

    flags = flags_of(task.settings_class, without=_OWN)
    reading = reading_flags([task])
    noun = task.source.noun

    def train(**values: Any) -> None:
        _train_task(task, given_values(flags, values), {name: values.get(name) for name in reading}, values)

    train.__doc__ = _help(task)
    fixed: dict[str, tuple[Any, Any]] = {
        "context": (typer.Context, ...),
        "data": (_data(task), ...),
        "out": (Out, ...),
        **{name: (annotation, None) for name, annotation in reading.items()},
        "validation": (_text_option("--validation", "FILE", f"{noun.capitalize()} to compare epochs by."), None),
        "validation_fraction": (_fraction(noun), None),
        "start_from": (_START, None),
        "resume": (Resume, False),
        "overwrite": (Overwrite, False),
        "threads": (Threads, None),
        "as_json": (AsJson, False),
        **{flag.name: (option_of(flag), None) for flag in flags},
    }
    return built(task.name, train, fixed, examples(*task.examples) if task.examples else None)


def built(name: str, function: Callable[..., None], fixed: dict[str, tuple[Any, Any]], epilog: str | None) -> Any:
    """Return a command that typer makes of a function and its parameters: a type and a default for each name."""
    parameters = [
        inspect.Parameter(
            key,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=annotation,
            default=inspect.Parameter.empty if default is ... else default,
        )
        for key, (annotation, default) in fixed.items()
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {key: annotation for key, (annotation, _) in fixed.items()}
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=CONTEXT)
    app.command(name, epilog=epilog)(function)
    return typer.main.get_command(app)


def _train_task(task: Any, settings: dict[str, Any], columns: dict[str, Any], given: dict[str, Any]) -> None:
    data, validation, out = given["data"], given["validation"], given["out"]
    fraction = held_back(validation, given["validation_fraction"])
    # These import torch, which takes seconds: only when everything said so far makes sense.
    from elman.cli.folder import open_folder, stopped_in
    from elman.data.text.corpus import is_read_once
    from elman.folders import RunFolder
    from elman.models import OtherModel, model_for
    from elman.models.runs import Run, carry_out, closing_lines
    from elman.training.progress import progress_for

    paths = [*(data if task.source.several else [data]), *([] if validation is None else [validation])]
    twice = next((path for path in paths if paths.count(path) > 1 and is_read_once(Path(path))), None)
    if twice is not None:
        noun = task.source.noun
        raise UsageError(
            f"{twice} can be read once only, and was given as both {noun.removesuffix('s')}s.", fix="Give another file."
        )
    use_threads(given["threads"])
    model = model_for(task.name)(**settings, validation_fraction=fraction)
    model.settings()
    # A text that can be read once only is not read in vain.
    RunFolder(out).check(resume=given["resume"], overwrite=given["overwrite"])
    train = task.source.read(data, task.columns, columns)
    say_notes(train)
    held = None
    if validation is not None:
        held = task.source.read(validation, task.columns, columns, known=task.source.known(train, task.columns))
        say_notes(held)
    model.set_params(**{name: value for name, value in train.settings.items() if name not in settings})
    command = given["context"].obj
    going_on = open_folder(out, command=command, resume=given["resume"], overwrite=given["overwrite"])
    with stopped_in(out):
        how = {} if given["start_from"] is None else {"start": OtherModel(given["start_from"])}
        example = "" if "-" in paths else shlex.quote(str(paths[-1] if validation is not None else paths[0]))
        run = Run(out, train, held, command, resume=going_on, how=how, example=example)
        result = carry_out(run, model, progress_for(sys.stderr, model.report_every))
    if validation is None and model.held_ is not None:
        say_notes(model.held_)
    say_unknown(result, model.task_.tokens, task.effect)
    if given["as_json"]:
        emit_json(result)
        return
    for line in closing_lines(model, result, run):
        emit(line)


def _help(task: Any) -> str:
    return (
        f"Train a {task.noun} ({task.summary}), save it and report.\n\n"
        "Without --validation a part of DATA is held back; the scores are on what was not trained on. Ctrl-C stops a "
        "run after saving it, and --resume continues it as if it had never stopped, or goes on with a finished one "
        "that is given more --epochs.\n\nDefaults are in [brackets]."
    )


def _data(task: Any) -> Any:
    several = task.source.several
    argument = typer.Argument(
        metavar="FILE..." if several else "DATA", show_default=False, help=f"{task.source.help} - is standard input."
    )
    return Annotated[list[str] if several else str, argument]


def _text_option(flag: str, metavar: str, line: str) -> Any:
    return Annotated[
        str | None, typer.Option(flag, metavar=metavar, show_default=False, help=f"{line} [a part of DATA]")
    ]


def _fraction(noun: str) -> Any:
    option = typer.Option(
        "--validation-fraction",
        metavar="F",
        show_default=False,
        help="Fraction of DATA held back to compare epochs by; 0 for none. [0.1]",
    )
    return Annotated[float | None, option]
