"""Lines of the user's own, to quote in messages."""

import linecache
import sys
from pathlib import Path
from types import FrameType

from elman.compiler.graph import Source


def user_line() -> Source:
    """The innermost line that is not the compiler's own, nor one of a library that it was called through."""
    frame = sys._getframe(1)
    while frame.f_back and in_library(frame):
        frame = frame.f_back
    return Source(frame.f_code.co_filename, frame.f_lineno)


def in_library(frame: FrameType) -> bool:
    """Whether the frame runs code of the compiler, of torch or of numpy."""
    module = frame.f_globals.get("__name__", "")
    return module.startswith("elman.compiler.") or module.split(".")[0] in ("torch", "numpy")


def quote(place: Source | None) -> str | None:
    """The place and, below it, the line that stands there."""
    if place is None:
        return None
    text = linecache.getline(place.file, place.line).strip()
    file = Path(place.file)
    near = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return f"{near}:{place.line}\n  {text}" if text else f"{near}:{place.line}"
