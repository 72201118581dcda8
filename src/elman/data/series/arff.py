"""Series in `.arff` files, as the UCR and UEA archives have them: a series a row, or channels in one relation."""

import re
from typing import NamedTuple

import numpy as np

from elman.data.files import Mistakes, Source, position
from elman.data.series.ts import Read
from elman.data.series.values import FIX, SeriesName, flag_of_targets, numbers_in, targets_in, without_end
from elman.data.tables.header import LABEL_NAMES, plain_name
from elman.errors import DataError, nearest

_ATTRIBUTE = re.compile(r"@attribute\s+('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S+)\s+(.+)", re.IGNORECASE)
_FIELD = re.compile(r"\s*('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^,]*)\s*(?:,|$)")


class _Attribute(NamedTuple):
    name: str
    kind: str
    labels: frozenset[str] = frozenset()


def read_arff(source: Source, label: str | int | None, *, numeric: bool, labelled: bool) -> Read:
    r"""Read a file of `@attribute` lines and rows of data.

    A file with a relational attribute has the channels of a series in one field, separated by `\n` and each with its
    values by commas. The target is the attribute `label`, else that with a usual name, else the last if its values are
    listed or numbers are wanted.

    Args:
        source: the file.
        label: name or number of the target; None to find it.
        numeric: whether the targets are numbers.
        labelled: whether targets are wanted.

    Raises:
        DataError: the header or rows are wrong, each named with its line and column.
    """
    attributes, end = _header(source)
    target = _target(source, attributes, label, numeric=numeric)
    relational = [index for index, each in enumerate(attributes) if each.kind == "relational"]
    _check_kinds(source, attributes, target, relational, numeric=numeric)
    mistakes, series, targets, lines = Mistakes(source.name), [], [], []
    for number, line in enumerate(source.lines[end:], start=end + 1):
        text = line.strip()
        if not text or text.startswith("%"):
            continue
        fields = _fields(text)
        if text.startswith("{") or len(fields) != len(attributes):
            got = "a sparse row" if text.startswith("{") else f"{len(fields)}"
            mistakes.add(number, None, f"expected {len(attributes)} fields, got {got}")
            continue
        if labelled and target is not None:
            at = lambda _, line=number: (line, attributes[target].name)  # noqa: E731
            targets += targets_in([fields[target]], mistakes, at, numeric=numeric)
            listed = attributes[target].labels
            if listed and targets[-1] not in ("", "?", *listed):
                mistakes.add(
                    number, attributes[target].name, f"the label {targets[-1]!r} is not among those of @attribute"
                )
        if relational:
            series.append(_channels(fields[relational[0]], number, mistakes))
        else:
            columns = [index for index in range(len(fields)) if index != target]
            own = [fields[index] for index in columns]
            values = numbers_in(own, mistakes, lambda n, line=number, c=columns: (line, c[n] + 1))
            series.append(without_end(values)[:, None])
        lines.append(number)
    _check_channels(series, lines, mistakes)
    mistakes.raise_any(FIX)
    if not series:
        raise DataError(f"{source.name} has no rows after @data.", fix="Give at least one row.")
    first = 1 if target == 0 and not relational else 0
    names = [_name(source.name, line, first, relational=bool(relational)) for line in lines]
    return Read(series, targets if labelled and target is not None else None, names, lines)


def _name(source: str, line: int, first: int, *, relational: bool) -> SeriesName:
    where = f"{source}, {position(line)}"
    if relational:
        return SeriesName(where, lambda step, channel: f"{where}, channel {channel + 1}, step {step + 1}")
    return SeriesName(where, lambda step, _: f"{where}, column {first + step + 1}")


def _header(source: Source) -> tuple[list[_Attribute], int]:
    attributes: list[_Attribute] = []
    mistakes, depth = Mistakes(source.name), 0
    for number, line in enumerate(source.lines, start=1):
        text = line.strip()
        if text.lower().startswith("@data"):
            mistakes.raise_any("Correct the header.")
            return attributes, number
        if text.lower().startswith("@end"):
            depth = max(0, depth - 1)
        elif text.lower().startswith("@attribute"):
            found = _ATTRIBUTE.fullmatch(text)
            if found is None:
                mistakes.add(number, None, f"expected @attribute NAME TYPE, got {text[:60]!r}")
                continue
            kind = found[2].strip().lower()
            if not depth:
                is_listed = kind.startswith("{")
                labels = _fields(found[2].strip().strip("{}")) if is_listed else []
                listed = frozenset(label.strip() for label in labels)
                attributes.append(_Attribute(_unquoted(found[1]), "listed" if is_listed else kind, listed))
            depth += kind == "relational"
    raise DataError(f"{source.name} has no line @data.", fix="Give a whole .arff file: attributes, @data, then rows.")


def _target(source: Source, attributes: list[_Attribute], label: str | int | None, *, numeric: bool) -> int | None:
    names = [each.name for each in attributes]
    if isinstance(label, int):
        if 1 <= label <= len(names):
            return label - 1
        raise DataError(f"{source.name} has no attribute {label}.", fix=f"Give a number from 1 to {len(names)}.")
    if label is not None:
        if label in names:
            return names.index(label)
        raise DataError(f"{source.name} has no attribute `{label}`.", fix=nearest(label, names[-12:]))
    usual = [index for index, name in enumerate(names) if plain_name(name) in LABEL_NAMES]
    if len(usual) == 1:
        return usual[0]
    last = len(attributes) - 1
    return last if attributes and (attributes[last].kind == "listed" or numeric) else None


def _check_kinds(
    source: Source, attributes: list[_Attribute], target: int | None, relational: list[int], *, numeric: bool
) -> None:
    wrong = [
        f"attribute `{each.name}`: {each.kind}"
        for index, each in enumerate(attributes)
        if index != target
        and each.kind not in ("numeric", "real", "integer")
        and not (index in relational[:1] and each.kind == "relational")
    ]
    if wrong or (relational and len(attributes) > 1 + (target is not None)):
        raise DataError(
            f"{source.name} has attributes that are not values of a series.",
            where="\n".join(wrong[:5]) or "numbers beside a relational attribute",
            fix="Give numeric attributes, or one relational attribute, and name the target with "
            f"{flag_of_targets(numeric=numeric)} NAME.",
        )


def _channels(field: str, line: int, mistakes: Mistakes) -> np.ndarray:
    """Return the steps of a relational field, `(time, channel)`."""
    columns = []
    for number, channel in enumerate(field.replace("\\n", "\n").split("\n"), start=1):
        fields = channel.split(",") if channel.strip() else []
        at = lambda step, n=number: (line, f"channel {n}, step {step + 1}")  # noqa: E731
        columns.append(without_end(numbers_in(fields, mistakes, at)))
    longest = max(map(len, columns))
    padded = [np.concatenate([column, np.full(longest - len(column), np.nan)]) for column in columns]
    return np.stack(padded, axis=1)


def _check_channels(series: list[np.ndarray], lines: list[int], mistakes: Mistakes) -> None:
    for steps, line in zip(series, lines, strict=True):
        if steps.shape[1] != series[0].shape[1]:
            mistakes.add(line, None, f"expected {series[0].shape[1]} channels, got {steps.shape[1]}")


def _fields(text: str) -> list[str]:
    fields, at = [], 0
    while at <= len(text):
        found = _FIELD.match(text, at)
        if found is None:
            return [*fields, text[at:]]
        fields.append(_unquoted(found[1].strip()))
        if found.end() == len(text) and not text[at : found.end()].endswith(","):
            break
        at = found.end()
    return fields


def _unquoted(text: str) -> str:
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""
    return re.sub(r"\\(['\"])", r"\1", text[1:-1]) if quoted else text
