"""Which columns of a table are the text and the label."""

from collections.abc import Sequence
from dataclasses import dataclass

from elman.errors import DataError, UsageError, nearest

Column = str | int


@dataclass(frozen=True)
class Columns:
    """The chosen columns, counted from 0, and what was assumed to choose them."""

    text: tuple[int, ...]
    label: int | None
    header: bool
    notes: tuple[str, ...]


def parse_text(text: str | int | Sequence[Column] | None) -> list[Column]:
    """The columns of the text as a list: `2,3` is [2, 3], `title` is ["title"], None is []."""
    if text is None:
        return []
    if isinstance(text, int):
        return [text]
    return [parse_column(part) for part in (text.split(",") if isinstance(text, str) else text)]


def parse_column(column: Column) -> Column:
    """A column as its number if it is written in digits, else as its name."""
    if isinstance(column, int):
        return column
    name = column.strip()
    return int(name) if name.isascii() and name.isdigit() else name


def choose_columns(
    first: list[str], text: list[Column], label: Column | None, header: bool | str, source: str
) -> Columns:
    """The columns to read, from what was asked and the first row.

    Args:
        first: the fields of the first row.
        text: names or numbers from 1; none to find the text.
        label: a name or a number from 1; None to find the label, if there is one.
        header: whether the first row holds the names: True, False or "auto".
        source: the name of the file, for messages.

    Raises:
        DataError: a column that is not there, or several ways to choose.
        UsageError: a column by name where a header was ruled out.
    """
    _check_header(header)
    asked = [*text, *([] if label is None else [label])]
    by_name = [column for column in asked if isinstance(column, str)]
    if header is False and by_name:
        raise UsageError(
            f"Column `{by_name[0]}` is given by name, and header=False says that there are no names.",
            fix="Give columns by number, from 1, or leave header out.",
        )
    if asked:
        return _asked_columns(first, text, label, header is True or bool(by_name), source)
    return _found_columns(first, header, source)


def _check_header(header: bool | str) -> None:
    if header not in (True, False, "auto"):
        raise UsageError(f"header={header!r} is not known.", fix='Give True, False or "auto".')


def _asked_columns(first: list[str], text: list[Column], label: Column | None, header: bool, source: str) -> Columns:
    notes = [] if header else ["the first line is taken as a row: the columns are given by number"]
    chosen = tuple(_index(column, first, header, source) for column in text)
    mark = None if label is None else _index(label, first, header, source)
    if label is None and header and "label" in _names(first):
        mark = _index("label", first, header, source)
        notes.append("the labels are taken from column `label`")
    elif label is None:
        notes.append("no column of labels was given: texts without labels")
    if not text:
        chosen = (_other_column(first, mark, header, source),)
        notes.append(f"the texts are taken from {_column_words(first, chosen[0], header)}")
    return Columns(chosen, mark, header, tuple(notes))


def _other_column(first: list[str], label: int | None, header: bool, source: str) -> int:
    names = _names(first)
    others = [index for index in range(len(first)) if index != label]
    if header and names.count("text") == 1 and names.index("text") in others:
        return names.index("text")
    if len(others) == 1:
        return others[0]
    raise _cannot_choose(first, header, source)


def _found_columns(first: list[str], header: bool | str, source: str) -> Columns:
    names = _names(first)
    if header is not False and "text" in names:
        label = _index("label", first, True, source) if "label" in names else None
        note = "columns `text` and `label` by their names" if label is not None else "column `text`, without labels"
        return Columns((_index("text", first, True, source),), label, True, (f"the first line is a header: {note}",))
    has_header = header is True
    said = "the first line is a header" if has_header else "the first line is taken as a row, not as a header"
    if len(first) == 1:
        return Columns((0,), None, has_header, (f"{said}; there is one column: texts without labels",))
    if len(first) == 2:
        columns = f"{_column_words(first, 0, has_header)} is the text, {_column_words(first, 1, has_header)} the label"
        return Columns((0,), 1, has_header, (f"{said}; {columns}",))
    raise _cannot_choose(first, has_header, source)


def _column_words(first: list[str], index: int, header: bool) -> str:
    return f"column `{first[index].strip()}`" if header else f"column {index + 1}"


def _names(first: list[str]) -> list[str]:
    return [name.strip() for name in first]


def _index(column: Column, first: list[str], header: bool, source: str) -> int:
    names = _names(first)
    if isinstance(column, int):
        if 1 <= column <= len(first):
            return column - 1
        raise DataError(
            f"{source} has no column {column}.",
            where="line 1: " + _listing(first),
            fix=f"Give a number from 1 to {len(first)}.",
        )
    if names.count(column) == 1:
        return names.index(column)
    if column in names:
        raise DataError(
            f"{source} has {names.count(column)} columns named `{column}`.",
            where="line 1: " + _listing(first),
            fix="Rename them, or give the column by number with header=True.",
        )
    raise DataError(
        f"{source} has no column named `{column}`.",
        where="line 1: " + _listing(first),
        fix=f"{nearest(column, names)} A file without a header has its columns by number, from 1.",
    )


def _cannot_choose(first: list[str], header: bool, source: str) -> DataError:
    return DataError(
        f"{source} has {len(first)} columns, and nothing says which are the text and the label.",
        where="line 1: " + _listing(first),
        fix='Give them by name or number, as text=2, label=1; several texts as text="2,3".',
    )


def _listing(first: list[str]) -> str:
    return ", ".join(f"{number} {name.strip()[:30]!r}" for number, name in enumerate(first, start=1))
