"""The command `elman`: its sub-commands, and what all of them have in common."""

import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from elman.cli import (
    bench,
    datasets,
    demo,
    doctor,
    evaluate,
    explain,
    fuzz,
    generate,
    gradients,
    predict,
    recipe,
    search,
    summary,
    train,
)
from elman.cli.commands import CONTEXT, examples
from elman.cli.failures import report_failure
from elman.cli.output import emit, say, write_anything
from elman.errors import UsageError
from elman.files import discard
from elman.launch import check_launch, is_one_of_several

ORDER = [
    "demo",
    "train",
    "search",
    "evaluate",
    "predict",
    "generate",
    "summary",
    "gradients",
    "explain",
    "recipe",
    "data",
    "bench",
    "fuzz",
    "doctor",
]


class _Commands(TyperGroup):
    """The sub-commands in the order in which a user meets them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the sub-commands."""
        return list(ORDER)


app = typer.Typer(
    name="elman",
    cls=_Commands,
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
    epilog=examples("elman demo", "elman train classify texts.csv --out my-model"),
)
for module in (
    demo,
    train,
    search,
    evaluate,
    predict,
    generate,
    summary,
    gradients,
    explain,
    recipe,
    datasets,
    bench,
    fuzz,
    doctor,
):
    module.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        emit(f"elman {version('elman')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def elman(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (also: ELMAN_DEBUG=1).")
    ] = False,
) -> None:
    """Train, evaluate and use recurrent sequence models.

    Data goes to standard output, messages to standard error. With --json the last line of standard output is one
    JSON object. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (after saving).
    """
    check_launch()
    if is_one_of_several():
        # torch prints its own account of every process that it cannot reach; it reads this when it is imported.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if context.invoked_subcommand not in (None, "train") and is_one_of_several():
        raise UsageError(
            f"`elman {context.invoked_subcommand}` runs in one process, and torchrun started several.",
            fix="Start it without torchrun; only `elman train` divides its work among processes.",
        )
    if context.invoked_subcommand is None:
        emit(context.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    Args:
        arguments: the words after `elman`.
    """
    write_anything()
    with warnings.catch_warnings():
        warnings.showwarning = _say_warning
        try:
            return _invoke(list(arguments))
        except BrokenPipeError:
            discard(sys.stdout)
            return 0


def _invoke(arguments: list[str]) -> int:
    line = shlex.join(["elman", *arguments])
    try:
        code = _run_command(arguments, line)
        # Here, so that a full disk is reported as any other failure.
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        return report_failure(
            error,
            command=line,
            as_json="--json" in arguments,
            debug="--debug" in arguments or bool(os.environ.get("ELMAN_DEBUG")),
        )


def _run_command(arguments: list[str], line: str) -> int:
    command = typer.main.get_command(app)
    try:
        # Not `app()`: that would turn the trainer's own interruption, which knows its folder, into a bare exit.
        with command.make_context("elman", list(arguments), obj=line) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0


def _say_warning(message: Warning | str, category: type[Warning], *_where: object) -> None:
    say(f"elman: warning: {message}")
