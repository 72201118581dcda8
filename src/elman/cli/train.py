"""`elman train`: a command for each task, made from what the task declares."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from elman.cli.commands import CONTEXT, built, option
from elman.cli.options import AsJson, Out, Overwrite, Resume, Threads, use_threads
from elman.cli.output import emit, emit_json, say_missing_baseline, say_notes, say_references, say_unknown
from elman.errors import UsageError, nearest

HELP = "Train a model, save it and write a report."
VALIDATION_FRACTION = 0.1


class TaskGroup(TyperGroup):
    """A sub-command for each task; its file is imported when it is asked for."""

    def command_of(self, task: Any) -> Any:
        """Return the command of a task, which trains a model."""
        return command_of(task)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the tasks."""
        # pydantic is not needed by a command that lists no task.
        from elman.tasks import TASKS

        return list(TASKS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of a task, or None if there is no such task."""
        from elman.tasks import TASKS, find_task

        return self.command_of(find_task(cmd_name)) if cmd_name in TASKS else None

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
    cls=TaskGroup,
    help=HELP,
    rich_markup_mode=None,
    subcommand_metavar="TASK ...",
    context_settings=CONTEXT,
)


@tasks.callback(help=HELP)
def _train() -> None:
    pass


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.add_typer(tasks, name="train")


def command_of(task: Any) -> Any:
    """Return the command that trains a model of a task."""
    from elman.cli.flags import flags_of, given_values, option_of
    from elman.cli.reading import flags_of_files
    from elman.cli.together import only_first_speaks

    flags = flags_of(task.settings_class, without=("validation_fraction",))
    reading, several = flags_of_files(task), task.source.several
    noun, data = task.source.noun.capitalize(), "FILES" if several else "DATA"
    argument = typer.Argument(
        metavar="FILE" if several else "DATA", show_default=False, help=f"{task.source.help} - is standard input."
    )

    def train(**values: Any) -> None:
        with only_first_speaks():
            _train_task(task, given_values(flags, values), {name: values.get(name) for name in reading}, values)

    train.__doc__ = (
        f"Train a {task.noun} ({task.summary}), save it and write a report.\n\n"
        "Without --validation a part of the data is held out, and the scores are those on that part. Ctrl-C saves the "
        "run and stops it; --resume continues it to the same result, or trains a finished one for more --epochs.\n\n"
        "Defaults are in [brackets]."
    )
    to_compare = f"{noun} to compare epochs by. [a part of {data}]"
    fraction = "Fraction of the data held out to compare epochs by; 0 for none. [0.1]"
    start = "Start with the embedding and the recurrent layers of another model; see --freeze."
    if task.starts_whole:
        start = f"Start with the vocabulary and all weights of another {task.noun}."
    parameters: dict[str, tuple[Any, Any]] = {
        "context": (typer.Context, ...),
        "data": (Annotated[list[str] if several else str, argument], ...),
        "out": (Out, ...),
        **{name: (annotation, None) for name, annotation in reading.items()},
        "validation": (option("--validation", "FILE", to_compare, (list[str] if several else str) | None), None),
        "validation_fraction": (option("--validation-fraction", "F", fraction, float | None), None),
        "start_from": (option("--start-from", "MODEL", start, Path | None), None),
        "baseline": (_baseline_option(task), None),
        "resume": (Resume, False),
        "overwrite": (Overwrite, False),
        "threads": (Threads, None),
        "as_json": (AsJson, False),
        **{flag.name: (option_of(flag), None) for flag in flags},
    }
    return built(task.name, train, parameters, *task.examples)


def _train_task(task: Any, settings: dict[str, Any], columns: dict[str, Any], given: dict[str, Any]) -> None:
    data, validation, out = given["data"], given["validation"] or None, given["out"]
    baseline = _known_baseline(task, given["baseline"])
    fraction = _held_out(validation, given["validation_fraction"])
    # These import torch, which takes seconds: only after the flags were checked.
    from elman.cli.folder import run_in
    from elman.data.text.corpus import is_read_once
    from elman.devices import find_device
    from elman.folders import RunFolder
    from elman.models import OtherModel, model_for
    from elman.models.runs import Run, carry_out, closing_lines, follow
    from elman.training.begin import goes_on
    from elman.training.processes import find_processes
    from elman.training.progress import progress_for

    compared = [] if validation is None else validation if task.source.several else [validation]
    paths = [*(data if task.source.several else [data]), *compared]
    twice = next((path for path in paths if paths.count(path) > 1 and is_read_once(Path(path))), None)
    if twice is not None:
        noun = task.source.noun
        raise UsageError(
            f"{twice} can be read only once, and was given as both {noun.removesuffix('s')}s.", fix="Give another file."
        )
    use_threads(given["threads"])
    model = model_for(task.name)(**settings, validation_fraction=fraction)
    is_first = find_processes().is_first
    find_device(model.settings().device)
    resume = goes_on(out, given["resume"])
    overwrite = given["overwrite"] and not (resume and not given["resume"])
    # Refused before the data, which may be readable only once, are read.
    if is_first:
        RunFolder(out).check(resume=resume, overwrite=overwrite)
    train = task.source.read(data, task.columns, columns)
    say_notes(train)
    held = None
    if validation is not None:
        held = task.source.read(validation, task.columns, columns, known=task.source.known(train, task.columns))
        say_notes(held)
    model.set_params(**{name: value for name, value in train.settings.items() if name not in settings})
    command = given["context"].obj
    how = {} if given["start_from"] is None else {"start": OtherModel(given["start_from"])}
    if not is_first:
        follow(Run(out, train, held, command, how=how), model)
        return
    with run_in(out, command=command, resume=resume, overwrite=overwrite) as going_on:
        example = "" if "-" in paths else _example(task, compared or paths)
        run = Run(out, train, held, command, resume=going_on, how=how, example=example, baseline=baseline)
        result = carry_out(run, model, progress_for(sys.stderr, model.report_every))
    if validation is None and model.held_ is not None:
        say_notes(model.held_)
    say_unknown(result, model.task_.tokens, task.effect)
    say_references(result)
    say_missing_baseline(result)
    if given["as_json"]:
        emit_json(result)
        return
    for line in closing_lines(model, result, run):
        emit(line)


def _example(task: Any, paths: Sequence[Any]) -> str:
    """Return the files to evaluate a model on, quoted: all if their rows belong together."""
    return shlex.join(map(str, paths if task.source.has_rows else paths[:1]))


def _held_out(validation: object, fraction: float | None) -> float:
    """Return the fraction of the data to hold out, 0 if --validation gives other data.

    Raises:
        UsageError: both are given.
    """
    if validation is not None and fraction is not None:
        raise UsageError("--validation and --validation-fraction exclude each other.", fix="Give one of the two.")
    if fraction is None:
        return VALIDATION_FRACTION if validation is None else 0.0
    return fraction


def _baseline_option(task: Any) -> Any:
    names = [*task.baseline_names, *task.asked_baselines, "off"]
    line = f"Simple model to compare the network with: {', '.join(names)}. [{[*task.baseline_names, 'off'][-2:][0]}]"
    return option("--baseline", "NAME", line)


def _known_baseline(task: Any, name: str | None) -> str | None:
    """Return the name of the last baseline to fit, None for all.

    Raises:
        UsageError: the task has no such baseline.
    """
    names = [*task.baseline_names, *task.asked_baselines, "off"]
    if name is not None and name not in names:
        raise UsageError(f"The task `{task.name}` has no baseline `{name}`.", fix=nearest(name, names))
    return name
