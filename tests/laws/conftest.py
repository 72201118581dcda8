"""Laws of one cell run together."""

from pathlib import Path
from typing import Any

import pytest
import torch

from elman import CELLS
from tests.refusals import drawn

CELL_NAMES = list(CELLS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    laws = [item for item in items if item.path.parent == Path(__file__).parent]
    # Laws of one cell and dtype, or of one layer, run one after another, while their kernels are kept.
    together = iter(sorted(laws, key=turn))
    items[:] = [next(together) if item.path.parent == Path(__file__).parent else item for item in items]


def turn(item: pytest.Item) -> tuple[Any, ...]:
    """Return what laws are ordered by: a cell and its dtype; then the module of the test, and the name of its case."""
    parameters = drawn(item)
    cell = parameters["cell"]
    if cell in CELL_NAMES:
        return 0, CELL_NAMES.index(cell), parameters.get("dtype") != torch.float32
    return 1, item.path.name, str(cell)
