"""Cells that a target does not run are reported as skipped, and laws of one cell run together."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from elman import CELLS
from elman.compiler.dispatch import TARGETS

CELL_NAMES = list(CELLS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parameters = drawn(item)
        named = [each if isinstance(each, str) else None for each in (parameters["cell"], parameters.get("target"))]
        if reason := refusal(*named):
            item.add_marker(pytest.mark.skip(reason=reason))
    laws = [item for item in items if item.path.parent == Path(__file__).parent]
    # Laws of one cell and dtype, or of one layer, run one after another, while their kernels are kept.
    together = iter(sorted(laws, key=turn))
    items[:] = [next(together) if item.path.parent == Path(__file__).parent else item for item in items]


def drawn(item: pytest.Item) -> dict[str, Any]:
    """Return the parameters of a test by name, the name of a cell as `cell`."""
    found = dict(item.callspec.params) if hasattr(item, "callspec") else {}
    return {"cell": found.get("name"), **found}


@cache
def refusal(cell: str | None, name: str | None) -> str:
    """Return why a target does not run a cell, "" if it does."""
    target = TARGETS.get(name or "")
    if cell not in CELLS or target is None or target.refusal is None:
        return ""
    reason = target.refusal(CELLS[cell].trace(3, 4))
    return f"not supported by target {name}: {reason}" if reason else ""


def turn(item: pytest.Item) -> tuple[Any, ...]:
    """Return what laws are ordered by: a cell and its dtype; then the module of the test, and the name of its case."""
    parameters = drawn(item)
    cell = parameters["cell"]
    if cell in CELL_NAMES:
        return 0, CELL_NAMES.index(cell), parameters.get("dtype") != torch.float32
    return 1, item.path.name, str(cell)
