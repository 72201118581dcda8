"""Lines of the user's code, to quote in messages."""

import linecache
import sys
from pathlib import Path
from types import FrameType

from elman.compiler.graph import Source


def user_line() -> Source:
    """Return the innermost line that belongs neither to the compiler nor to torch or numpy."""
    frame = sys._getframe(1)
    while frame.f_back and in_library(frame):
        frame = frame.f_back
    return Source(frame.f_code.co_filename, frame.f_lineno)


def in_library(frame: FrameType) -> bool:
    """Return whether the frame runs code of the compiler, of torch or of numpy."""
    module = frame.f_globals.get("__name__", "")
    return module.startswith("elman.compiler.") or module.split(".")[0] in ("torch", "numpy")


def quote(line: Source | None) -> str | None:
    """Return a line's file and number and, below them, its text."""
    if line is None:
        return None
    text = linecache.getline(line.file, line.line).strip()
    file = Path(line.file)
    near = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return f"{near}:{line.line}\n  {text}" if text else f"{near}:{line.line}"
