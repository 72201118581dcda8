"""Cells from a file of the user."""

import importlib.util
import sys
import traceback
from pathlib import Path

from elman.cells import find_cell
from elman.compiler.cell import Cell
from elman.errors import CellError, ElmanError, UsageError, nearest


def open_cell(cell: Cell | str) -> Cell:
    """Return a cell that is given as itself, by its name in `elman.CELLS`, or as `FILE.py:NAME`.

    Raises:
        UsageError: the cell, the file, or the name in the file is missing.
        CellError: the file cannot be run.
    """
    if isinstance(cell, Cell) or ".py" not in cell:
        return find_cell(cell)
    path, _, name = cell.rpartition(":") if not cell.endswith(".py") else (cell, "", "")
    file = Path(path)
    if not file.is_file():
        raise UsageError("There is no such file to read the cell from.", where=path, fix="Write FILE.py:NAME.")
    module = _run(file)
    cells = {key: value for key, value in vars(module).items() if isinstance(value, Cell) and not key.startswith("_")}
    own = {key: value for key, value in cells.items() if getattr(value.step, "__module__", None) == module.__name__}
    if not name and len(own) == 1:
        return next(iter(own.values()))
    if name in cells:
        return cells[name]
    if name and hasattr(module, name):
        raise UsageError(
            f"`{name}` in this file is not a cell.",
            where=path,
            fix="Put @cell above its function (from elman import cell).",
        )
    listed = nearest(name, own) if own else "The file has no cell: put @cell above the function of a step."
    raise UsageError(f"There is no cell `{name}` in this file." if name else "Which cell?", where=path, fix=listed)


def _run(file: Path):
    spec = importlib.util.spec_from_file_location(f"elman_user_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except ElmanError:
        raise
    except Exception as error:
        raise CellError(
            f"The file cannot be run: {type(error).__name__}: {error}",
            where=_line(file, error),
            fix="Run the file with Python alone to see the full error.",
        ) from error
    return module


def _line(file: Path, error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}\n  {(error.text or '').strip()}"
    mine = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file.resolve()]
    return f"{mine[-1].filename}:{mine[-1].lineno}\n  {mine[-1].line}" if mine else str(file)
