"""One formatter of values, one table, and the versions, for the terminal, the card and the report."""

import platform
from collections.abc import Iterable, Sequence
from typing import Any

Row = Sequence[object]


def figure(value: object, *, percent: bool = False, trim: bool = False) -> str:
    """Return a value as people read it.

    Args:
        value: a number, a truth value, a list of them, or anything else as it is printed.
        percent: a number is a share of 1.
        trim: leave out zeros at the end of a fraction, as for a setting.

    >>> figure(0.7048, percent=True), figure(0.3712), figure(1234), figure((100, 50)), figure(None), figure(True)
    ('70.5%', '0.3712', '1,234', '100, 50', '–', 'yes')
    >>> figure(1.5e-7), figure(123456.7)
    ('1.5e-07', '123,456.7000')
    >>> figure((0.3, 1e-3), trim=True)
    '0.3, 0.001'
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{100 * value:.1f}%" if percent else _real(value, trim)
    if isinstance(value, int):
        return f"{100 * value:.1f}%" if percent else f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(figure(each, percent=percent, trim=trim) for each in value)
    return "–" if value is None else str(value)


def significant(value: Any) -> Any:
    """Return a number, or lists of them, with six significant digits and the whole part.

    A network of float32 has about seven.

    >>> significant(2.3879773988046713), significant([0.1 + 0.2, 1e-9 / 3]), significant(1234567.89), significant(7)
    (2.38798, [0.3, 3.33333e-10], 1234568.0, 7)
    """
    if isinstance(value, list | tuple):
        return [significant(each) for each in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}")


def table(rows: Iterable[Row], *, header: Row | None = None) -> list[str]:
    """Return the lines of a table: words to the left, numbers to the right.

    >>> table([("lstm", 12), ("gru", 9)], header=("cell", "layers"))
    ['cell  layers', 'lstm      12', 'gru        9']
    """
    body = [list(row) for row in rows]
    shown = [[figure(value) for value in row] for row in ([list(header)] if header else []) + body]
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


def versions() -> dict[str, str]:
    """Return the versions that a result depends on: elman, torch, numpy and Python."""
    # Slow to import, and every `elman --help` imports this file.
    from importlib.metadata import version

    return {**{name: version(name) for name in ("elman", "torch", "numpy")}, "python": platform.python_version()}


def _real(value: float, trim: bool) -> str:
    if value and not 1e-3 <= abs(value) < float("inf"):
        return f"{value:.4g}"
    fixed = f"{value:,.4f}"
    return fixed.rstrip("0").removesuffix(".") if trim else fixed


def on_one_line(text: str) -> str:
    r"""Write tabs, line ends and backslashes of a text with a backslash.

    >>> on_one_line("a\tb")
    'a\\tb'
    """
    for found, shown in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(found, shown)
    return text
