"""Series in `.ts` files, the form of sktime and aeon."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from elman.data.files import Mistakes, Source, position
from elman.data.series.values import FIX, SeriesName, numbers_in, targets_in
from elman.errors import DataError

_COMMENTS = ("#", "%")
_FLAGS = {"true": True, "false": False}


class Read(NamedTuple):
    """Series of a file.

    Attributes:
        series: each `(time, channel)` in float64, NaN where a value is missing.
        targets: of each as it is written, or a list of those of its steps; None where the file has none.
        names: of each in messages.
        lines: on which each begins.
        channels: names of the channels; empty if they have none.
    """

    series: list[np.ndarray]
    targets: list[Any] | None
    names: Sequence[str]
    lines: list[int]
    channels: tuple[str, ...] = ()


class _Header(NamedTuple):
    has_target: bool
    labels: frozenset[str]
    channels: int | None
    end: int


def read_ts(source: Source, *, numeric: bool, labelled: bool) -> Read:
    """Read a `.ts` file: lines that begin with `@`, then a series a line.

    Commas separate values; colons separate channels and the target.

    Args:
        source: the file.
        numeric: whether the targets are numbers.
        labelled: whether targets are wanted.

    Raises:
        DataError: the header or lines are wrong, each named with line and channel; or the steps have time stamps.
    """
    header = _header(source)
    if not any(line.lstrip("\ufeff ").startswith("@") for line in source.lines[: header.end]):
        raise DataError(
            f"{source.name} has no header of a .ts file.",
            where=position(1),
            fix="Give a file of series whose first lines begin with @, as @classLabel true a b; or rename it.",
        )
    mistakes, series, targets, lines = Mistakes(source.name), [], [], []
    expected = header.channels
    for number, line in enumerate(source.lines[header.end :], start=header.end + 1):
        if not (text := line.strip()) or text.startswith(_COMMENTS):
            continue
        channels = text.split(":")
        if header.has_target and len(channels) < 2:
            mistakes.add(number, None, "expected values, a colon and the target, got no colon")
            continue
        target = channels.pop() if header.has_target else ""
        expected = len(channels) if expected is None else expected
        if len(channels) != expected:
            mistakes.add(number, None, f"expected {expected} channels, got {len(channels)}")
            continue
        if labelled and header.has_target:
            targets += targets_in([target], mistakes, lambda _, line=number: (line, "target"), numeric=numeric)
            if header.labels and targets[-1] not in header.labels:
                mistakes.add(number, "target", f"the label {targets[-1]!r} is not among those of @classLabel")
        series.append(_steps(channels, number, mistakes))
        lines.append(number)
    mistakes.raise_any(FIX)
    if not series:
        raise DataError(f"{source.name} has a header but no series.", fix="Give at least one line of values.")
    names = [_name(source.name, line) for line in lines]
    return Read(series, targets if labelled and header.has_target else None, names, lines)


def _name(source: str, line: int) -> SeriesName:
    where = f"{source}, {position(line)}"
    return SeriesName(where, lambda step, channel: f"{where}, channel {channel + 1}, step {step + 1}")


def _steps(channels: list[str], line: int, mistakes: Mistakes) -> np.ndarray:
    """Return the steps of a line, `(time, channel)`."""
    columns = []
    for number, channel in enumerate(channels, start=1):
        fields = channel.split(",") if channel.strip() else []
        columns.append(numbers_in(fields, mistakes, lambda step, n=number: (line, f"channel {n}, step {step + 1}")))
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        mistakes.add(line, None, f"expected channels of one length, got {', '.join(map(str, lengths))} steps")
        return np.zeros((0, len(columns)))
    return np.stack(columns, axis=1)


def _header(source: Source) -> _Header:
    mistakes = Mistakes(source.name)
    has_target, labels, channels = False, frozenset[str](), None
    end = 0
    for number, line in enumerate(source.lines, start=1):
        text = line.strip().removeprefix("\ufeff")
        if text and not text.startswith((*_COMMENTS, "@")):
            break
        end = number
        word, _, rest = text.partition(" ")
        values = rest.split()
        match word.lower():
            case "@data":
                break
            case "@timestamps" if values and _FLAGS.get(values[0].lower()):
                raise DataError(
                    f"{source.name} has a time stamp at each value, and these are not read from .ts files.",
                    where=position(number),
                    fix="Write the series as CSV, a row a step, and give --series and --time.",
                )
            case "@classlabel" | "@targetlabel":
                has_target = bool(values) and _FLAGS.get(values[0].lower(), False)
                if not values or values[0].lower() not in _FLAGS:
                    mistakes.add(number, None, f"expected {word} true or false, got {rest!r}")
                labels = frozenset(values[1:]) if word.lower() == "@classlabel" else labels
            case "@dimensions" | "@dimension":
                channels = int(values[0]) if values and values[0].isdigit() else None
                if not channels:
                    mistakes.add(number, None, f"expected a number of channels, got {rest!r}")
            case "@univariate" if values and values[0].lower() == "true":
                channels = 1
    mistakes.raise_any("Correct the header.")
    return _Header(has_target, labels, channels, end)
