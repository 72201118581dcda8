"""The output of a command: data to standard output, messages to standard error."""

import codecs
import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from elman.files import print_if_read


def say(message: str = "") -> None:
    """Print a message on standard error, if it is still read."""
    print_if_read(message, sys.stderr)


def write_anything() -> None:
    """Make standard output escape characters that its encoding does not have, as in a path."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def emit(line: str = "") -> None:
    """Print a line of data."""
    sys.stdout.write(line + "\n")


def emit_rows(rows: Iterable[Sequence[Any]]) -> None:
    """Print rows of data as CSV, each when it is given."""
    _write_rows(sys.stdout, rows)


def rows_as_csv(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows of data as CSV, as `emit_rows` prints them."""
    text = io.StringIO()
    _write_rows(text, rows)
    return text.getvalue()


def _write_rows(file: TextIO, rows: Iterable[Sequence[Any]]) -> None:
    csv.writer(file, lineterminator="\n").writerows(rows)


def emit_json(value: Mapping[str, Any]) -> None:
    """Print a JSON object on one line, with null for numbers that are not finite."""
    # Half of a surrogate pair is written by `backslashreplace` as JSON writes it; other characters are not.
    says_all = codecs.lookup(sys.stdout.encoding or "utf-8").name.startswith("utf")
    emit(json.dumps(_finite(value), ensure_ascii=not says_all, allow_nan=False, default=str))


def say_references(scores: Mapping[str, Any]) -> None:
    """Say that the references look tokenised, if they do, on standard error."""
    if note := scores.get("reference_note"):
        say(f"elman: note: {note}.")


def say_unknown(scores: Mapping[str, Any], kind: str, effect: str = "") -> None:
    """Say in one line how many tokens were read as unknown, if any were.

    Args:
        scores: `tokens` and `unknown` are read.
        kind: of the tokens, in the plural.
        effect: what it does to the scores, at the end of the line.
    """
    # Imported late: most commands read no tokens.
    from elman.data.text.unknown import UnknownTally

    if line := UnknownTally(scores.get("tokens", 0), scores.get("unknown", 0)).line(kind):
        say(f"elman: note: {line}{effect}.")


def say_missing_baseline(result: Mapping[str, Any]) -> None:
    """Say why a baseline of a run is left out, if one is."""
    if "baseline_missing" in result:
        say(f"elman: note: {result['baseline_missing']}")


def say_notes(values: Any) -> None:
    """Say what was assumed to read the values of a file."""
    if values.notes:
        say(f"elman: note: {values.source}: {'; '.join(values.notes)}.")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    infinite = isinstance(value, float) and value in (float("inf"), float("-inf"))
    return None if infinite or value != value else value
