"""Where the words of a command go: data to standard output, messages to standard error."""

import codecs
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from elman.files import print_if_read
from elman.sequences.unknown import UnknownTally

Row = Sequence[object]
# What unknown tokens do to the scores of a language model.
FLATTERED = "; the model predicts them as one token, so that its scores are too good"


def say(message: str = "") -> None:
    """A message for the person at the terminal, if anybody still reads it."""
    print_if_read(message, sys.stderr)


def write_anything() -> None:
    """Has standard output write with a backslash what its encoding cannot say, as a byte of another one in a path."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def emit(line: str = "") -> None:
    """A line of data."""
    sys.stdout.write(line + "\n")


def emit_json(value: Mapping[str, Any]) -> None:
    """One JSON object on one line, the last of standard output; a number that is not finite becomes null."""
    # Half of a surrogate pair is written by `backslashreplace` as JSON writes it; other characters are not.
    says_all = codecs.lookup(sys.stdout.encoding or "utf-8").name.startswith("utf")
    emit(json.dumps(_finite(value), ensure_ascii=not says_all, allow_nan=False, default=str))


def table(rows: Iterable[Row], *, header: Row | None = None) -> list[str]:
    """The lines of a table: words to the left, numbers to the right.

    >>> table([("lstm", 12), ("gru", 9)], header=("cell", "layers"))
    ['cell  layers', 'lstm      12', 'gru        9']
    """
    body = [list(row) for row in rows]
    shown = [[_shown(value) for value in row] for row in ([list(header)] if header else []) + body]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    numeric = [
        bool(body) and all(isinstance(row[column], int | float) or row[column] is None for row in body)
        for column in range(len(widths))
    ]
    return [
        "  ".join(
            word.rjust(width) if right else word.ljust(width)
            for word, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in shown
    ]


def say_unknown(scores: Mapping[str, Any], kind: str, effect: str = "") -> None:
    """Say in one line how many tokens were read as unknown, if any were.

    Args:
        scores: `tokens` and `unknown` are read.
        kind: of the tokens, in the plural.
        effect: what it does to the scores, at the end of the line.
    """
    if line := UnknownTally(scores.get("tokens", 0), scores.get("unknown", 0)).line(kind):
        say(f"elman: note: {line}{effect}.")


def on_one_line(text: str) -> str:
    r"""Write tabs, line ends and backslashes of a text with a backslash.

    >>> on_one_line("a\tb")
    'a\\tb'
    """
    for found, shown in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(found, shown)
    return text


def percent(share: float) -> str:
    """A share of 1 as a person reads it.

    >>> percent(0.7048)
    '70.5%'
    """
    return f"{100 * share:.1f}%"


def _shown(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    infinite = isinstance(value, float) and value in (float("inf"), float("-inf"))
    return None if infinite or value != value else value
