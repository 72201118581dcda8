"""Initial values of parameters as plain data."""

import base64
import dataclasses
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from elman.compiler.starts import KINDS, Given, Start, word_of


def start_to_json(start: Start) -> dict[str, Any]:
    """Return a start as plain data, arrays as base64, in float32 where that is exact."""
    if isinstance(start, Given):
        return {"start": "given", "shape": list(start.shape), **_packed(start.numbers)}
    return {"start": word_of(type(start)), **dataclasses.asdict(start)}


def _packed(numbers: Sequence[float]) -> dict[str, str]:
    kind = "f" if all(_is_single(number) for number in numbers) else "d"
    return {"type": kind, "data": base64.b64encode(struct.pack(f"<{len(numbers)}{kind}", *numbers)).decode()}


def _is_single(number: float) -> bool:
    try:
        return struct.unpack("<f", struct.pack("<f", number))[0] == number
    except OverflowError:
        return False


def start_from_json(data: Mapping[str, Any]) -> Start:
    """Return the start that `start_to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: the data does not describe a start.
    """
    fields = dict(data)
    kind = fields.pop("start")
    if kind != "given":
        return KINDS[kind](**fields)
    try:
        content, size = base64.b64decode(fields["data"], validate=True), {"f": 4, "d": 8}[fields["type"]]
        numbers = struct.unpack(f"<{len(content) // size}{fields['type']}", content)
    except struct.error as error:
        raise ValueError(error) from None
    shape = tuple(fields["shape"])
    if math.prod(shape) != len(numbers):
        raise ValueError(shape)
    return Given(shape, struct.pack(f"<{len(numbers)}d", *numbers))
