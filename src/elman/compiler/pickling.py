"""Pickling of cells: by the name of the step if it can be imported, otherwise by the graphs."""

import importlib
import pickle
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from elman.errors import UsageError

if TYPE_CHECKING:
    from elman.compiler.cell import Cell

Reduced = tuple[Callable[..., Any], tuple[Any, ...]]


class CellPicklingError(UsageError, pickle.PicklingError):
    """A cell that can be pickled neither by its name nor by its graphs."""


def reduce_cell(cell: "Cell") -> Reduced:
    """Return what `Cell.__reduce__` returns.

    A step at the top of a module, or inside a class there, is found again by its name, although that is now the name
    of the decorated cell; a callable object that can be pickled, such as that of `zoneout`, is pickled itself. Any
    other step, such as a function inside a function, cannot be found again: the cell is pickled as it is in a model
    folder, as its graphs for the sizes that it was traced for.

    Raises:
        CellPicklingError: the step cannot be found again, and the cell has no graph yet.
    """
    if not cell.is_restored and _is_picklable((cell.options, cell.sizes)):
        if _is_importable(cell.step):
            return _open, (cell.step.__module__, cell.step.__qualname__, cell.options)
        if not _is_function(cell.step) and _is_picklable(cell.step):
            return type(cell), (cell.step, cell.options, cell.sizes)
    graphs = {**cell.graphs, **cell.in_use}
    if not graphs:
        raise CellPicklingError(
            f"The cell `{cell.name}` cannot be pickled: its step cannot be imported by name, and no layer has been "
            "built with it.",
            fix="Define the step at the top of a module, or build a layer first, so that its equations can be pickled.",
        )
    return _from_graphs, (type(cell), cell.name, cell.input, cell.states, cell.constants, graphs)


def _from_graphs(kind: "type[Cell]", *parts: Any) -> "Cell":
    return kind.from_graphs(*parts)


def _open(module: str, qualname: str, options: dict[str, Any]) -> "Cell":
    """Return the cell of a step that was pickled by name."""
    from elman.compiler.cell import Cell

    importlib.import_module(module)
    found = _find(module, qualname)
    if isinstance(found, Cell):
        return found.with_options(**options)
    if found is None:
        raise CellPicklingError(
            f"The pickled cell has the step `{qualname}` of the module `{module}`, which does not have it.",
            fix="Define it there again, or load a model folder, which carries the equations of its cells.",
        )
    return Cell(found, options)


def _find(module: str, qualname: str) -> Any:
    """Return the object of this name, None if there is none."""
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _is_importable(step: Any) -> bool:
    """Return whether the step's name leads to the step, or to its cell."""
    from elman.compiler.cell import Cell

    found = _find(getattr(step, "__module__", ""), getattr(step, "__qualname__", ""))
    return (found.step if isinstance(found, Cell) else found) is step


def has_own_step(cell: "Cell") -> bool:
    """Return whether the cell could still be traced for other sizes after unpickling."""
    return not cell.is_restored and reduce_cell(cell)[0] is not _from_graphs


def _is_function(step: Any) -> bool:
    return hasattr(step, "__code__")


def _is_picklable(value: Any) -> bool:
    try:
        pickle.dumps(value)
    # A user's object may raise anything when it cannot be pickled, such as TypeError or AttributeError.
    except Exception:
        return False
    return True
