"""One family of exceptions: the problem, where it is, and the repair."""

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class ElmanError(Exception):
    """A mistake that elman can name.

    Printed, it reads: the problem; where it is, indented; the repair.

    Args:
        problem: what is wrong and what came instead, a sentence.
        where: the place (file and line, row and column, field), one or more lines.
        fix: what to do about it, a sentence.
    """

    def __init__(self, problem: str, *, where: str | None = None, fix: str | None = None):
        super().__init__(problem, where, fix)
        self.problem = problem
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        place = [f"  {line}" for line in (self.where or "").splitlines()]
        return "\n".join([self.problem, *place, *([self.fix] if self.fix else [])])

    def __reduce__(self):
        return _rebuild, (type(self), self.problem, self.where, self.fix)


def _rebuild(kind: type[ElmanError], problem: str, where: str | None, fix: str | None) -> ElmanError:
    return kind(problem, where=where, fix=fix)


class CellError(ElmanError, ValueError):
    """A cell whose step cannot be traced, or does not fit its sizes."""


class ShapeError(ElmanError, ValueError):
    """Tensors, lengths or states whose shapes do not fit each other or the layer."""


class DataError(ElmanError, ValueError):
    """A file or a value given as data that cannot be read as asked."""


class UsageError(ElmanError, ValueError):
    """A setting, an option or a call that makes no sense; the command line ends with exit code 2."""


class MissingPackageError(UsageError):
    """A package that elman was not installed with, and that what was asked for needs."""


class ModelError(ElmanError):
    """A model folder or a checkpoint that is missing, damaged, foreign or from a later version."""


class TrainingError(ElmanError):
    """A run that cannot go on, as when its loss is no longer a number."""


class NotFittedError(ElmanError, ValueError, AttributeError):
    """An answer was asked of a model that has learned nothing yet."""


@contextmanager
def os_errors_as(kind: type[ElmanError], problem: str, *, where: object = None, fix: str) -> Iterator[None]:
    """While it lasts, a file or folder that fails the operating system raises this error; its reason ends the problem.

    Args:
        kind: the error to raise.
        problem: what cannot be done, without a full stop.
        where: the place, printed as a string.
        fix: what to do about it.

    >>> with os_errors_as(DataError, "The text cannot be read", where="notes.txt", fix="Give a text."):
    ...     open("/")
    Traceback (most recent call last):
        ...
    elman.errors.DataError: The text cannot be read: Is a directory.
      notes.txt
    Give a text.
    """
    try:
        yield
    except OSError as error:
        raise kind(
            f"{problem}: {error.strerror or error}.", where=None if where is None else str(where), fix=fix
        ) from error


def nearest(name: object, options: Iterable[object]) -> str:
    """A hint that names the nearest valid option, for the end of a fix.

    >>> nearest("lstn", ["lstm", "gru"])
    'Did you mean `lstm`? Valid: gru, lstm.'
    """
    names = sorted(str(option) for option in options)
    close = difflib.get_close_matches(str(name), names, n=1)
    guess = f"Did you mean `{close[0]}`? " if close else ""
    return f"{guess}Valid: {', '.join(names)}."


def run_module(main: Callable[[], None]) -> None:
    """Run what `python -m` runs: a mistake that elman can name ends it with its message and code 1, Ctrl-C with 130."""
    try:
        main()
    except ElmanError as problem:
        sys.exit(f"error: {problem}")
    except KeyboardInterrupt as stop:
        # A training run tells where it stopped and how to go on.
        sys.stderr.write(f"{str(stop) or 'interrupted'}\n")
        sys.exit(130)
