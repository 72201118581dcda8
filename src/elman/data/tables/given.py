"""Sequences and labels given in Python: lists, arrays, columns of data frames."""

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from elman.data.tables.header import plain_name
from elman.errors import DataError

_SHOWN_COLUMNS = 8


def values_of(
    given: Any, what: str, *, column: str, usual: frozenset[str] = frozenset(), is_single: bool = False
) -> list[Any]:
    """Return the values of a list, an array, or a column of a data frame.

    Args:
        given: a list, tuple, array, column, or generator; or a data frame that has the column.
        what: what the values are, for messages: `texts`, `labels`.
        column: the name of the column to read of a data frame.
        usual: other names that it may have, if only one column of the data frame has one of them.
        is_single: whether the only column of a data frame is read under any name.

    Raises:
        DataError: a string, a dict, a set, a data frame without the column, or a value that has no items.
    """
    if (names := _column_names(given)) is not None:
        found = [name for name in names if plain_name(str(name)) in usual]
        if column in names or len(found) == 1:
            return values_of(given[column if column in names else found[0]], what, column=column)
        if len(names) == 1 and is_single:
            return values_of(given[names[0]], what, column=column)
        raise _frame_error(names, what, column)
    if isinstance(given, str | bytes | bytearray):
        raise DataError(
            f"Expected a list of {what}, got the {type(given).__name__} {str(given)[:40]!r}.",
            fix=f"Give a list, also for one: [{str(given)[:40]!r}].",
        )
    if isinstance(given, Mapping | AbstractSet):
        first = next(iter(given), column)
        repair = f"Give one of its values: data[{first!r}]." if isinstance(given, Mapping) else "Give a list."
        raise DataError(f"Expected a list of {what}, got a {type(given).__name__}, which has no order.", fix=repair)
    for method in ("to_pylist", "tolist" if _is_column(given) else ""):
        if method and hasattr(given, method):
            return getattr(given, method)()
    if not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0:
        raise DataError(f"Expected a list of {what}, got {type(given).__name__}.", fix="Give a list or an array.")
    return list(given)


# The beginning of messages that count sequences or labels from 1.
NUMBERED = re.compile(r"^(text|sequence|label|number) (\d+)\b(, step (\d+)\b(, channel (\d+)\b)?)?", re.MULTILINE)


def _is_column(given: Any) -> bool:
    """Report whether it is a column of a pandas or polars data frame."""
    return hasattr(given, "name") and hasattr(given, "dtype")


def _column_names(given: Any) -> list[Any] | None:
    """Return the names of the columns of a data frame, or None for anything else."""
    if isinstance(given, Mapping) or not hasattr(given, "__getitem__"):
        return None
    names = getattr(given, "column_names", None)
    if names is None:
        names = getattr(given, "columns", None)
    # Arrays with named fields, of NumPy.
    if names is None and getattr(getattr(given, "dtype", None), "names", None):
        names = given.dtype.names
    return None if names is None or callable(names) else list(names)


def _frame_error(names: list[Any], what: str, column: str) -> DataError:
    shown = ", ".join(map(repr, names[:_SHOWN_COLUMNS])) + (" …" if len(names) > _SHOWN_COLUMNS else "")
    first = names[0] if names else column
    return DataError(
        f"Expected a list of {what}, got a table without a column {column!r}.",
        where=f"its columns: {shown}",
        fix=f"Give the column: df[{first!r}], or rename it to {column!r}.",
    )
