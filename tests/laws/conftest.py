"""Cells that a target does not run are reported as skipped, with the reason."""

import pytest

from elman import CELLS
from elman.compiler.dispatch import TARGETS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        drawn = item.callspec.params if hasattr(item, "callspec") else {}
        cell, target = drawn.get("cell", drawn.get("name")), TARGETS.get(drawn.get("target"))
        if cell not in CELLS or target is None or target.refusal is None:
            continue
        if reason := target.refusal(CELLS[cell].trace(3, 4)):
            item.add_marker(pytest.mark.skip(reason=f"not supported by target {drawn['target']}: {reason}"))
