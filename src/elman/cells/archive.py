"""Cells as plain data, so that a saved model carries its equations and needs no code of the user."""

from collections.abc import Iterable, Mapping
from typing import Any

from elman.compiler.cell import Cell
from elman.compiler.graph import Graph, from_json, to_json
from elman.compiler.operations import Mismatch
from elman.compiler.verify import verify
from elman.errors import ModelError

Sizes = tuple[int, int, Mapping[str, int]]


def cell_to_json(cell: Cell, sizes: Iterable[Sizes]) -> dict[str, Any]:
    """Return a cell as plain data: its name, its states, and its graph for each of these sizes.

    Args:
        cell: the cell.
        sizes: input size, hidden size and the sizes of the constants, for each graph.
    """
    return {
        "name": cell.name,
        "input": cell.input,
        "states": list(cell.states),
        "constants": list(cell.constants),
        "graphs": [
            {
                "input_size": input_size,
                "hidden_size": hidden_size,
                "constants": dict(constants),
                "graph": to_json(cell.trace(input_size, hidden_size, constants)),
            }
            for input_size, hidden_size, constants in sizes
        ],
    }


def cell_from_json(data: Mapping[str, Any]) -> Cell:
    """Return the cell that `cell_to_json` wrote, for the sizes it was written with.

    Raises:
        ModelError: the data is damaged.
    """
    try:
        graphs: dict[tuple, Graph] = {
            (item["input_size"], item["hidden_size"], tuple(sorted(item["constants"].items()))): verify(
                from_json(item["graph"])
            )
            for item in data["graphs"]
        }
        return Cell.from_graphs(data["name"], data["input"], tuple(data["states"]), tuple(data["constants"]), graphs)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, Mismatch) as error:
        raise ModelError(
            "The cell in the model's configuration is damaged.",
            where=f"{type(error).__name__}: {error}",
            fix="Copy the whole model folder again from where it was saved.",
        ) from None
