"""Parts of a file that are predicted by themselves, so that all parts together are the whole."""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

from elman.errors import UsageError

Row = TypeVar("Row")
Answer = TypeVar("Answer")


class Shard(NamedTuple):
    """One of several consecutive parts, counted from 1."""

    number: int
    parts: int

    def rows(self, total: int) -> range:
        """Return the rows of this part.

        >>> [list(Shard(number, 3).rows(7)) for number in (1, 2, 3)]
        [[0, 1], [2, 3], [4, 5, 6]]
        """
        return range(total * (self.number - 1) // self.parts, total * self.number // self.parts)


def parse_shard(written: str) -> Shard:
    """Return the part that `I/N` names.

    Raises:
        UsageError: it is not such a part.
    """
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", written, re.ASCII)
    shard = Shard(int(found[1]), int(found[2])) if found else Shard(0, 0)
    if not 1 <= shard.number <= shard.parts:
        raise UsageError(
            f"Expected a part such as 1/4 for --shard, got {written!r}.",
            fix="Give I/N with I from 1 to N: --shard 1/4, … --shard 4/4.",
        )
    return shard


def answers_of_part(
    rows: range, given: Iterator[Row], answer: Callable[[Iterator[Row]], Iterator[Answer]], size: int
) -> Iterator[Answer]:
    """Yield the answers to some of the rows of a file, as they are among those to all rows.

    The rows before and after them that are in the same chunks are answered too: an answer may differ in its last bits
    with the rows beside it.

    Args:
        rows: their indices.
        given: all rows of the file.
        answer: gives the answers to rows, in chunks.
        size: of these chunks.
    """
    if not rows:
        return iter(())
    begin, end = rows.start // size * size, -(-rows.stop // size) * size
    return islice(answer(islice(given, begin, end)), rows.start - begin, rows.stop - begin)
