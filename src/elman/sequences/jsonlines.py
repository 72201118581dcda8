"""Rows of JSONL: one JSON object a line, fields by name, texts or sequences of numbers."""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from elman.errors import nearest
from elman.sequences.files import Mistakes, Source

_FIX = (
    'Write one JSON object a line, as {"text": "so good", "label": "positive"}, with the same fields in each; '
    'other fields are given by name, as text="title".'
)


class Record(NamedTuple):
    """One line: the text or the sequence of numbers, and the label."""

    line: int
    text: Any
    label: str | None


class _WrongError(Exception):
    """A line or a field is wrong: its column (a number, a name or None) and the reason."""

    def __init__(self, column: int | str | None, reason: str):
        super().__init__(column, reason)
        self.column, self.reason = column, reason


def read_records(source: Source, text: Sequence[str], label: str | None) -> list[Record]:
    """The records of a source.

    Args:
        source: the file.
        text: names of the fields that hold the text; several are joined by a blank.
        label: name of the field that holds the label; None for records without.

    Raises:
        DataError: every line that is no such record, with line and column or field.
    """
    mistakes, records = Mistakes(source.name), []
    end = max(number for number, line in enumerate(source.lines, start=1) if line.strip())
    for number, line in enumerate(source.lines[:end], start=1):
        try:
            row = _parse(line)
            records.append(Record(number, _text(row, text), None if label is None else _label(row, label)))
        except _WrongError as wrong:
            mistakes.add(number, wrong.column, wrong.reason)
    _check_kinds(records, text, mistakes)
    mistakes.raise_any(_FIX)
    return records


def has_field(source: Source, name: str) -> bool:
    """Whether any line is an object with this field; lines that cannot be read have none."""
    return any(name in row for row in map(_parse_or_nothing, source.lines))


def _parse_or_nothing(line: str) -> dict[str, Any]:
    try:
        return _parse(line)
    except _WrongError:
        return {}


def _parse(line: str) -> dict[str, Any]:
    if not line.strip():
        raise _WrongError(None, "the line is blank, where an object is expected")
    try:
        row = json.loads(line.rstrip("\r\n"), object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise _WrongError(error.colno, f"this is no valid JSON: {error.msg}") from None
    except ValueError:
        raise _WrongError(None, "a number in it has too many digits") from None
    except RecursionError:
        raise _WrongError(None, "the lists in it are nested too deep") from None
    if not isinstance(row, dict):
        raise _WrongError(1, f"{_kind(row)}, where an object is expected")
    return row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _WrongError(twice, "the field comes twice")
    return dict(pairs)


def _field(row: dict[str, Any], name: str) -> Any:
    if name not in row:
        raise _WrongError(name, f"the field is missing. {nearest(name, row)}" if row else "the object has no fields")
    return row[name]


def _text(row: dict[str, Any], names: Sequence[str]) -> Any:
    if len(names) == 1 and isinstance(numbers := _field(row, names[0]), list):
        return _checked_numbers(names[0], numbers)
    values = [(name, _field(row, name)) for name in names]
    wrong = next(((name, value) for name, value in values if not isinstance(value, str)), None)
    if wrong is not None:
        expected = "a text or a list of numbers" if len(names) == 1 else "a text"
        raise _WrongError(wrong[0], f"{_kind(wrong[1])}, where {expected} is expected")
    return " ".join(value for _, value in values)


def _checked_numbers(name: str, steps: list[Any]) -> list[Any]:
    sizes = {len(step) if isinstance(step, list) else None for step in steps}
    if len(sizes) > 1:
        raise _WrongError(name, f"its steps differ in their number of features: {sorted(map(_size_words, sizes))}")
    for number, step in enumerate(steps, start=1):
        for value in step if isinstance(step, list) else [step]:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise _WrongError(name, f"step {number} is {_kind(value)}, where a number is expected")
            if not _is_finite(value):
                raise _WrongError(name, f"step {number} is {str(value)[:20]}, where a finite number is expected")
    return steps


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of a float
        return False


def _size_words(size: int | None) -> str:
    return "a single number" if size is None else f"a list of {size}"


def _label(row: dict[str, Any], name: str) -> str:
    value = _field(row, name)
    if isinstance(value, str):
        if not value.strip():
            raise _WrongError(name, "the label is empty")
        return value
    if value is None or isinstance(value, list | dict):
        raise _WrongError(name, f"{_kind(value)}, where a label is expected")
    if not _is_finite(value):
        raise _WrongError(name, f"{value}, where a label is expected")
    return json.dumps(value)


def _check_kinds(records: list[Record], names: Sequence[str], mistakes: Mistakes) -> None:
    """Texts or numbers, and numbers of one feature size, in the whole file as in its first record."""
    shapes = [(record.line, _shape_words(record.text)) for record in records]
    expected = next((shape for _, shape in shapes if shape), "")
    for line, shape in shapes:
        if shape and shape != expected:
            mistakes.add(line, names[0], f"{shape}, where {expected} is expected as in the first record")


def _shape_words(text: Any) -> str:
    """What a text is made of; empty for an empty list, which fits any numbers."""
    if isinstance(text, str):
        return "a text"
    if not text:
        return ""
    return f"a list of lists of {len(text[0])} numbers" if isinstance(text[0], list) else "a list of numbers"


_KINDS = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")
