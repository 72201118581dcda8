"""The flags that say how data are read, as the tasks declare them, and which of them fit a model."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from elman.errors import UsageError


def reading_flags(tasks: Iterable[Any], *, columns: bool = True) -> dict[str, Any]:
    """Return the annotation of each flag of these tasks' columns and files, by name.

    Args:
        tasks: whose flags.
        columns: whether those of the columns are among them.
    """
    found: dict[str, Any] = {}
    for task in tasks:
        for name, annotation in _own(task, columns=columns).items():
            found.setdefault(name, annotation)
    return found


def option_flags(tasks: Iterable[Any]) -> dict[str, Any]:
    """Return the flags that are settings of these tasks' evaluations, by name."""
    from elman.cli.flags import flags_of

    found: dict[str, Any] = {}
    for task in tasks:
        for flag in flags_of(task.options_class):
            found.setdefault(flag.name, flag)
    return found


def refuse_others(task: Any, given: Mapping[str, Any], model: Path) -> None:
    """Refuse flags that are for models of other tasks.

    Args:
        task: of the model.
        given: values of flags by name; None for those that were not given.
        model: the folder, for the message.

    Raises:
        UsageError: names the flags.
    """
    from elman.tasks import TASKS, find_task

    own = {*_own(task), *task.options_class.model_fields}
    wrong = [name for name, value in given.items() if value is not None and name not in own]
    if wrong:
        others = [each for each in map(find_task, TASKS) if wrong[0] in {*_own(each), *each.options_class.model_fields}]
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
        raise UsageError(
            f"{flags}: only for a {' or a '.join(each.noun for each in others)}.",
            where=str(model),
            fix="Leave them out.",
        )


def _own(task: Any, *, columns: bool = True) -> dict[str, Any]:
    shown = task.columns if columns and task.source.columns_are_flags else ()
    flags = {column.name: _option(f"--{column.name}", str, "COL", column.help) for column in shown}
    for name, kind, metavar, line in task.source.options:
        flags[name] = _option(f"--{name}/--no-{name}" if kind is bool else f"--{name}", kind, metavar, line)
    return flags


def _option(flag: str, kind: type, metavar: str, line: str) -> Any:
    option = typer.Option(flag, metavar=metavar or None, show_default=False, help=line)
    return Annotated[kind | None, option]
