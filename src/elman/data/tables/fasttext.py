"""fastText's lines: `__label__` and the label, then the text."""

import re

from elman.data.files import Mistakes, Source

PREFIX = "__label__"
_LINE = re.compile(rf"{PREFIX}(\S+)[ \t]*(.*)", re.DOTALL)


def is_fasttext(source: Source) -> bool:
    """Report whether every line that is not blank begins with `__label__`."""
    return all(line.startswith(PREFIX) for line in source.lines if line.strip())


def read_fasttext(source: Source) -> tuple[list[str], list[str], list[int]]:
    """Read the texts, their labels, and the line of each.

    Raises:
        DataError: lines without a label or with several, each with its line.
    """
    mistakes, rows = Mistakes(source.name), []
    for number, line in enumerate(source.lines, start=1):
        found = _LINE.fullmatch(line.rstrip("\r\n"))
        if found is None:
            if line.strip():
                mistakes.add(number, 1, f"expected a label after {PREFIX}")
        elif found[2].startswith(PREFIX):
            mistakes.add(number, found.start(2) + 1, "expected one label, got a second one")
        else:
            rows.append((found[2], found[1], number))
    mistakes.raise_any("Write one label and the text a line, as: __label__positive so good.")
    texts, labels, lines = zip(*rows, strict=True)
    return list(texts), list(labels), list(lines)
