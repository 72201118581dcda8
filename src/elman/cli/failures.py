"""How a command that fails ends: one message, one exit code, no traceback."""

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from elman.cli.output import emit_json, say
from elman.cli.together import speaks
from elman.errors import ElmanError, UsageError
from elman.files import FULL, discard
from elman.folders import resume_command

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130

# typer has its own copy of click since 0.26 and shares the installed one before; this is the base in both.
ClickException: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


class RunStopped(KeyboardInterrupt):
    """Ctrl-C outside the trainer's own minibatches; the last checkpoint is kept."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.folder = folder


class Stopped(KeyboardInterrupt):
    """Ctrl-C in a command that reports the state of its work.

    Args:
        problem: what to say.
        result: of the work so far, for the JSON object of the command.
    """

    def __init__(self, problem: ElmanError, result: Mapping[str, Any]):
        super().__init__(problem)
        self.problem = problem
        self.result = result


def report_failure(error: BaseException, *, command: str, as_json: bool, debug: bool) -> int:
    """Report an error and return the exit code.

    Args:
        error: what ended the command.
        command: the command line that was run, quoted for a shell.
        as_json: also print one JSON object with `error`, `where` and `fix`, and the result so far.
        debug: also print the traceback of a defect.
    """
    code, problem = _explain(error, command)
    if not speaks():
        # Another process of the run has already reported an error.
        return code
    if debug and not isinstance(error, ClickException):
        say("".join(traceback.format_exception(error)).rstrip())
    say(f"elman: {'interrupted' if code == INTERRUPTED else 'error'}: {problem}")
    try:
        if as_json:
            result = error.result if isinstance(error, Stopped) else {}
            emit_json({**result, "error": problem.problem, "where": problem.where, "fix": problem.fix})
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        # Standard output is full; the message is on standard error.
        discard(sys.stdout)
    return code


def _explain(error: BaseException, command: str) -> tuple[int, ElmanError]:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, _interruption(error, command)
    if isinstance(error, ClickException):
        return WRONG_USAGE, _usage(error)
    if isinstance(error, UsageError):
        return WRONG_USAGE, error
    if isinstance(error, ElmanError):
        return FAILED, error
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _no_memory(error)):
        return FAILED, ElmanError(
            "The memory is full.",
            fix="Try a smaller network (--hidden-size), or smaller minibatches (--batch-size; of a text --streams).",
        )
    if isinstance(error, OSError) and error.errno in FULL:
        return FAILED, ElmanError(
            f"The disk is full: {error.strerror}.",
            where=None if error.filename is None else str(error.filename),
            fix="Make room, or write to another disk; TMPDIR names the folder of temporary files.",
        )
    if isinstance(error, OSError) and error.filename is not None:
        reason = error.strerror or type(error).__name__
        return FAILED, ElmanError(f"{reason}.", where=str(error.filename), fix="Check the path and its permissions.")
    return FAILED, ElmanError(
        f"A defect in elman: {type(error).__name__}: {error}",
        fix="Please report it with what ELMAN_DEBUG=1 prints when the command is run again.",
    )


def _no_memory(error: RuntimeError) -> bool:
    """Return whether torch raised it because the memory of the CPU or of a GPU is full."""
    return "can't allocate memory" in str(error) or "out of memory" in str(error)


def _interruption(error: KeyboardInterrupt, command: str) -> ElmanError:
    if isinstance(error, Stopped):
        return error.problem
    # The trainer's own class knows where the run stopped; importing it here would import torch.
    folder = getattr(error, "folder", None)
    if folder is None:
        return ElmanError("Stopped; nothing was being saved.", fix=f"Start again with: {command}")
    position = f" in epoch {error.epoch} after minibatch {error.batch}" if hasattr(error, "epoch") else ""  # pyright: ignore[reportAttributeAccessIssue]
    return ElmanError(
        f"Stopped{position}; everything up to the last checkpoint is saved.",
        where=str(folder),
        fix=f"Continue with: {resume_command(command)}",
    )


def _usage(error: Any) -> ElmanError:
    context = getattr(error, "ctx", None)
    name = context.command_path if context else "elman"
    message = error.format_message().rstrip(".")
    return UsageError(f"{message}.", fix=f"See: {name} --help")
