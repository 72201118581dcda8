"""The parameters of a test, and the cells that a target does not run."""

from functools import cache
from typing import Any

import pytest

from elman import CELLS
from elman.compiler.dispatch import TARGETS


def drawn(item: pytest.Item) -> dict[str, Any]:
    """Return the parameters of a test by name, the name of a cell as `cell`."""
    found = dict(item.callspec.params) if hasattr(item, "callspec") else {}  # type: ignore[attr-defined]
    return {"cell": found.get("name"), **found}


@cache
def refusal(cell: str | None, name: str | None) -> str:
    """Return why a target does not run a cell, "" if it does."""
    target = TARGETS.get(name or "")
    if cell not in CELLS or target is None or target.refusal is None:
        return ""
    reason = target.refusal(CELLS[cell].trace(3, 4))
    return f"not supported by target {name}: {reason}" if reason else ""
