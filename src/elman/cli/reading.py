"""The flags that say how data are read, as the tasks declare them, and which of them fit a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elman.cli.commands import option
from elman.errors import UsageError


def reading_flags(*, columns: bool = True) -> dict[str, Any]:
    """Return the annotation of each flag of the columns and files of any task, by name.

    Args:
        columns: whether those of the columns are among them.
    """
    found: dict[str, Any] = {}
    for task in _tasks():
        found = {**flags_of_files(task, columns=columns), **found}
    return found


def input_flags() -> dict[str, Any]:
    """Return the annotations of the flags of input columns, of tasks that have several."""
    from elman.tasks.task import inputs

    several = [inputs(task.columns) for task in _tasks() if task.source.columns_are_flags]
    return {
        column.name: option(f"--{column.name}", "COL", column.help)
        for columns in several
        if len(columns) > 1
        for column in columns
        # The text itself has this flag.
        if column.name != "text"
    }


def option_flags() -> dict[str, Any]:
    """Return the flags that are settings of an evaluation of any task, by name."""
    from elman.cli.flags import flags_of

    return {flag.name: flag for task in _tasks() for flag in flags_of(task.options_class)}


def answer_flags() -> dict[str, Any]:
    """Return the flags that are settings of a prediction of any task, by name."""
    from elman.cli.flags import flags_of

    return {flag.name: flag for task in _tasks() for flag in flags_of(task.answer_options_class)}


def refuse_others(task: Any, given: Mapping[str, Any], model: Path) -> None:
    """Refuse flags that are for models of other tasks.

    Args:
        task: of the model.
        given: values of flags by name; None for those that were not given.
        model: the folder, for the message.

    Raises:
        UsageError: names the flags.
    """
    wrong = [name for name, value in given.items() if value is not None and name not in _names(task)]
    if wrong:
        others = [each.noun for each in _tasks() if wrong[0] in _names(each)]
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
        raise UsageError(f"{flags}: only for a {' or a '.join(others)}.", where=str(model), fix="Leave them out.")


def refuse_given(values: Mapping[str, Any], names: Sequence[str], noun: str, model: Path) -> None:
    """Refuse flags that were given and that a model has no use for.

    Args:
        values: of flags by name.
        names: of the flags.
        noun: of the model.
        model: the folder, for the message.

    Raises:
        UsageError: names the flags.
    """
    if wrong := [f"--{name.replace('_', '-')}" for name in names if values.get(name)]:
        raise UsageError(f"{', '.join(wrong)}: not for a {noun}.", where=str(model), fix="Leave them out.")


def flags_of_files(task: Any, *, columns: bool = True) -> dict[str, Any]:
    """Return the annotation of each flag of a task's columns and files, by name."""
    shown = task.columns if columns and task.source.columns_are_flags else ()
    flags = {column.name: option(f"--{column.name}", "COL", column.help) for column in shown}
    for name, kind, metavar, line in task.source.options:
        flag = f"--{name}/--no-{name}" if kind is bool else f"--{name}"
        flags[name] = option(flag, metavar, line, (list[str] if kind is list else kind) | None)
    return flags


def _names(task: Any) -> set[str]:
    return {*flags_of_files(task), *task.options_class.model_fields, *task.answer_options_class.model_fields}


def _tasks() -> list[Any]:
    # pydantic is not needed by a command without these flags.
    from elman.tasks import TASKS, find_task

    return [find_task(name) for name in TASKS]
