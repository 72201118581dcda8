"""One family of exceptions: the problem, where it is, and the repair."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class ElmanError(Exception):
    """A mistake that elman can name.

    Printed, it reads: the problem; where it is, indented; the repair.

    Args:
        problem: a sentence that says what is wrong.
        where: file and line, row and column, or field; one or more lines.
        fix: what to do about it, a sentence.
    """

    def __init__(self, problem: str, *, where: str | None = None, fix: str | None = None):
        super().__init__(problem, where, fix)
        self.problem = problem
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        where = [f"  {line}" for line in (self.where or "").splitlines()]
        return "\n".join([self.problem, *where, *([self.fix] if self.fix else [])])

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
    """An optional package that a call needs and that is not installed."""


class ModelError(ElmanError):
    """A model folder or a checkpoint that is missing, damaged, foreign or from a later version."""


class TrainingError(ElmanError):
    """A run that cannot go on, as when its loss is no longer a number."""


class MemoryFullError(ElmanError):
    """A minibatch for which the memory of the CPU or of a GPU is too small."""


class NotFittedError(ElmanError, ValueError, AttributeError):
    """An answer was asked of a model that has learned nothing yet."""


@contextmanager
def os_errors_as(kind: type[ElmanError], problem: str, *, where: object = None, fix: str) -> Iterator[None]:
    """Raise this error for a failure of the operating system, with its reason as the problem.

    Args:
        kind: the error to raise.
        problem: what cannot be done, without a full stop.
        where: the position, printed as a string.
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
    """Suggest the nearest valid option, for the end of a fix.

    >>> nearest("lstn", ["lstm", "gru"])
    'Did you mean `lstm`? Valid: gru, lstm.'
    """
    names = sorted(str(option) for option in options)
    close = difflib.get_close_matches(str(name), names, n=1)
    guess = f"Did you mean `{close[0]}`? " if close else ""
    return f"{guess}Valid: {', '.join(names)}."
