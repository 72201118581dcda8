"""Rows of JSONL: one JSON object a line, fields by name, texts or sequences of numbers."""

import difflib
import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from elman.data.files import Mistakes, Source
from elman.data.tables.header import LABEL_NAMES, TEXT_NAMES, plain_name
from elman.data.tables.table_format import TableFormat
from elman.errors import nearest

_SHOWN_FIELDS = 12
_FIX = (
    'Write one JSON object a line, as {"text": "so good", "label": "positive"}, with the same fields in each; '
    "give other fields by name (--text title), those of an object within as --text review.title."
)
FLOAT32_MAX = 3.4028234663852886e38
Label = str | int | bool | float | list[float]


class Record(NamedTuple):
    """One line: the text or the sequence of numbers, and the label."""

    line: int
    text: Any
    label: Label | None


class Fields(NamedTuple):
    """The fields to read, and what was assumed to choose them."""

    text: list[str]
    label: str | None
    notes: list[str]


class _WrongError(Exception):
    """A line or a field is wrong: its column (a number, a name or None) and the reason."""

    def __init__(self, column: int | str | None, reason: str):
        super().__init__(column, reason)
        self.column, self.reason = column, reason


def choose_fields(
    source: Source,
    text: Sequence[str],
    label: str | None,
    known: TableFormat | None = None,
    *,
    labelled: bool = True,
    target: str = "label",
) -> Fields:
    """Choose the fields of the text and of the label.

    Fields that were asked for come first, then those of the training file, then those with usual names.

    Args:
        source: the file.
        text: the fields that were asked for; none to find one.
        label: the field that was asked for; None to find one.
        known: how the file that a model was trained on was read, if there is a model.
        labelled: whether labels are wanted.
        target: what a label is called in notes.
    """
    first = next((row for row in map(_parse_or_nothing, source.lines) if row), {})
    notes: list[str] = []
    if not text:
        names = known.text_names if known and _has_all(first, known.text_names) else ()
        text = names or [_usual_text(first, label)]
        notes.append(f"the texts are read from field {' and '.join(f'`{name}`' for name in text)}")
    if labelled and label is None:
        candidates = (known.label_name if known else None, _usual(first, "label", LABEL_NAMES - set(text)))
        label = next((name for name in candidates if name and has_field(source, name)), None)
        notes.append(
            f"the {target}s are read from field `{label}`"
            if label
            else f"there is no field `{target}`: texts without {target}s"
        )
    return Fields(list(text), label if labelled else None, notes)


def _usual_text(row: dict[str, Any], label: str | None) -> str:
    """Return the field of the text, or the only list of numbers, beside that of the label."""
    others = {name: value for name, value in row.items() if name != label}
    name = _usual(others, "text", TEXT_NAMES)
    lists = [each for each, value in others.items() if isinstance(value, list)]
    return lists[0] if name not in others and len(lists) == 1 else name


def _has_all(row: dict[str, Any], names: Sequence[str]) -> bool:
    return all(_found(row, name) is not _MISSING for name in names)


def _usual(row: dict[str, Any], name: str, usual: frozenset[str]) -> str:
    """Return this name if the row has it, else the only field with a usual name, else this name."""
    found = [field for field in row if plain_name(field) in usual]
    return name if name in row or len(found) != 1 else found[0]


def read_records(source: Source, text: Sequence[str], label: str | None, *, numeric: bool = False) -> list[Record]:
    """Read the records of a source.

    Args:
        source: the file.
        text: names of the fields that hold the text; several are joined by a blank. `a.b` is the field `b` of the
            object in the field `a`, where no field has that name itself.
        label: name of the field that holds the label; None for records without labels.
        numeric: whether the labels are numbers, or lists of a number for each step.

    Raises:
        DataError: names every wrong line, with its column or field.
    """
    mistakes, records = Mistakes(source.name), []
    end = max(number for number, line in enumerate(source.lines, start=1) if line.strip())
    for number, line in enumerate(source.lines[:end], start=1):
        try:
            records.append(_record(number, line, text, label, numeric=numeric))
        except _WrongError as wrong:
            mistakes.add(number, wrong.column, wrong.reason)
    _check_kinds(records, text, mistakes)
    if not numeric:
        _check_label_kinds(records, label, mistakes)
    mistakes.raise_any(_fix(source))
    return records


def read_record(source: Source, number: int, text: Sequence[str]) -> Record:
    """Read the record of a source with one line.

    Args:
        source: the line.
        number: of the line, for messages.
        text: as for `read_records`.

    Raises:
        DataError: the line is wrong.
    """
    try:
        return _record(number, source.lines[0], text, None)
    except _WrongError as wrong:
        mistakes = Mistakes(source.name)
        mistakes.add(number, wrong.column, wrong.reason)
        mistakes.raise_any(_FIX)
        raise


def _record(number: int, line: str, text: Sequence[str], label: str | None, *, numeric: bool = False) -> Record:
    row = _parse(line)
    read = _target if numeric else _label
    return Record(number, _text(row, text), None if label is None else read(row, label))


def _fix(source: Source) -> str:
    if source.lines[0].lstrip().startswith("["):
        return f"The file is one JSON array: write each of its objects on a line of its own. {_FIX}"
    return _FIX


def has_field(source: Source, name: str) -> bool:
    """Report whether any line is a valid object with this field."""
    return any(_found(row, name) is not _MISSING for row in map(_parse_or_nothing, source.lines))


def _parse_or_nothing(line: str) -> dict[str, Any]:
    try:
        return _parse(line)
    except _WrongError:
        return {}


def _parse(line: str) -> dict[str, Any]:
    if not line.strip():
        raise _WrongError(None, "expected an object, got a blank line")
    try:
        row = json.loads(line.rstrip("\r\n"), object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise _WrongError(error.colno, f"this is not valid JSON: {error.msg}") from None
    except ValueError:
        raise _WrongError(None, "a number in it has too many digits") from None
    except RecursionError:
        raise _WrongError(None, "the lists in it are nested too deep") from None
    if not isinstance(row, dict):
        raise _WrongError(1, f"expected an object, got {_kind(row)}")
    return row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _WrongError(twice, "the field occurs twice")
    return dict(pairs)


_MISSING = object()


def _found(row: Any, name: str) -> Any:
    """Return the value of a field, which may be nested (`a.b`), or `_MISSING`."""
    if not isinstance(row, dict):
        return _MISSING
    if name in row:
        return row[name]
    outer, dot, inner = name.partition(".")
    return _found(row[outer], inner) if dot and outer in row else _MISSING


def _field(row: dict[str, Any], name: str) -> Any:
    if (value := _found(row, name)) is not _MISSING:
        return value
    outer = name.partition(".")[0]
    fields = [f"{outer}.{inner}" for inner in row[outer]] if isinstance(row.get(outer), dict) else list(row)
    raise _WrongError(name, f"the field is missing. {_near(name, fields)}" if fields else "the object has no fields")


def _near(name: str, fields: list[str]) -> str:
    return nearest(name, difflib.get_close_matches(name, fields, n=1, cutoff=0) + fields[: _SHOWN_FIELDS - 1])


def _text(row: dict[str, Any], names: Sequence[str]) -> Any:
    if len(names) == 1 and isinstance(numbers := _field(row, names[0]), list):
        return _checked_numbers(names[0], numbers)
    values = [(name, _field(row, name)) for name in names]
    wrong = next(((name, value) for name, value in values if not isinstance(value, str)), None)
    if wrong is not None:
        expected = "a text or a list of numbers" if len(names) == 1 else "a text"
        raise _WrongError(wrong[0], f"expected {expected}, got {_kind(wrong[1])}")
    return " ".join(value for _, value in values)


def _checked_numbers(name: str, steps: list[Any]) -> list[Any]:
    sizes = {len(step) if isinstance(step, list) else None for step in steps}
    if len(sizes) > 1:
        raise _WrongError(name, f"its steps differ in their number of features: {sorted(map(_size_words, sizes))}")
    for number, step in enumerate(steps, start=1):
        for value in step if isinstance(step, list) else [step]:
            if value is None or value != value:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise _WrongError(name, f"step {number}: expected a number, got {_kind(value)}")
            if not _is_finite(value):
                raise _WrongError(name, f"step {number}: expected a finite number, got {str(value)[:20]}")
            if abs(value) > FLOAT32_MAX:
                raise _WrongError(name, f"step {number} is {str(value)[:20]}, which is too large for float32")
    return [[_known(value) for value in step] if isinstance(step, list) else _known(step) for step in steps]


def _known(value: float | None) -> float:
    """Return a number, NaN for null."""
    return math.nan if value is None else value


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of a float: finite, and too large
        return True


def _size_words(size: int | None) -> str:
    return "a single number" if size is None else f"a list of {size}"


def _target(row: dict[str, Any], name: str) -> Label:
    """Return a number, or a number for each step."""
    value = _field(row, name)
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, bool) or not isinstance(each, int | float):
            raise _WrongError(name, f"expected a number, got {_kind(each)}")
        if not _is_finite(each):
            raise _WrongError(name, f"expected a finite number, got {each}")
    return value


def _label(row: dict[str, Any], name: str) -> Label:
    value = _field(row, name)
    if isinstance(value, str) and not value.strip():
        raise _WrongError(name, "the label is empty")
    if isinstance(value, float):
        raise _WrongError(name, f"expected a text, an integer, true or false as the label, got {value}")
    if not isinstance(value, str | int):
        raise _WrongError(name, f"expected a label, got {_kind(value)}")
    return value.strip() if isinstance(value, str) else value


def _check_label_kinds(records: list[Record], name: str | None, mistakes: Mistakes) -> None:
    """Refuse labels of another type than that of the first record."""
    kinds = [(record.line, record.label, _label_kind(record.label)) for record in records if record.label is not None]
    for line, label, kind in kinds:
        if kind != kinds[0][2]:
            expected = f"{kinds[0][2]} as in the first record ({json.dumps(kinds[0][1])})"
            mistakes.add(line, name, f"expected {expected}, got {kind} ({json.dumps(label)})")


def _label_kind(label: Label | None) -> str:
    return "true or false" if isinstance(label, bool) else "an integer" if isinstance(label, int) else "a text"


def _check_kinds(records: list[Record], names: Sequence[str], mistakes: Mistakes) -> None:
    """Refuse texts among numbers, numbers among texts, and other feature sizes than the first."""
    shapes = [(record.line, _shape_words(record.text)) for record in records]
    expected = next((shape for _, shape in shapes if shape), "")
    for line, shape in shapes:
        if shape and shape != expected:
            mistakes.add(line, names[0], f"expected {expected} as in the first record, got {shape}")


def _shape_words(text: Any) -> str:
    """Describe the type of a text, or return nothing for an empty list, which fits any numbers."""
    if isinstance(text, str):
        return "a text"
    if not text:
        return ""
    return f"a list of lists of {len(text[0])} numbers" if isinstance(text[0], list) else "a list of numbers"


_KINDS = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")
