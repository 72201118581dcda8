"""The cells that come with elman, one a file: equations, paper, differences from it."""

from elman.cells.gru import gru
from elman.cells.gru_reset_after import gru_reset_after
from elman.cells.layer_norm_lstm import layer_norm_lstm
from elman.cells.lstm import lstm
from elman.cells.min_gru import min_gru
from elman.cells.peephole_lstm import peephole_lstm
from elman.cells.projected_lstm import projected_lstm
from elman.cells.reservoir import reservoir
from elman.cells.simple_rnn import simple_rnn
from elman.compiler.cell import Cell
from elman.errors import UsageError, nearest

CELLS: dict[str, Cell] = {
    cell.name: cell
    for cell in (
        simple_rnn, lstm, gru, gru_reset_after, peephole_lstm, projected_lstm, layer_norm_lstm, min_gru, reservoir,
    )
}  # fmt: skip


def find_cell(cell: "Cell | str") -> Cell:
    """Return the cell itself, or elman's cell of that name.

    Raises:
        UsageError: no cell has that name.
    """
    if isinstance(cell, Cell):
        return cell
    if cell not in CELLS:
        raise UsageError(f"There is no cell `{cell}`.", fix=nearest(cell, CELLS))
    return CELLS[cell]
