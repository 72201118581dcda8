"""The steps of one series through a reservoir whose recurrent matrix is mostly zeros."""

import warnings
from typing import Protocol

import torch
from torch import Tensor

from elman.compiler.targets.llvm import sparse_steps
from elman.compiler.targets.llvm.memory import new_memory

# Up to this fraction of weights, and from this number of units, products without the zeros take less time.
UNITS, DENSITY = 500, 0.25
MKL_DENSITY = {torch.float64: 0.1, torch.float32: 0.05}
# The kernel counts states in 16 bits.
MOST_UNITS = 1 << 16


class SparseMatrix(Protocol):
    """A recurrent matrix without its zeros."""

    def run(self, drive: Tensor, state: Tensor, *, leak: float, is_linear: bool) -> Tensor:
        """Return the states at every step, `(time, units)`.

        h' = (1 - leak)·h + leak·activation(drive + h·W)

        Args:
            drive: `(time, units)`.
            state: h before the first step, `(units,)`.
            leak: the leaking rate.
            is_linear: whether the activation is the identity, in place of tanh.
        """
        ...


def compressed(recurrent: Tensor) -> SparseMatrix | None:
    """Return a matrix without its zeros, None if steps of one series are not faster with it."""
    units = len(recurrent)
    if units < UNITS or recurrent.device.type != "cpu":
        return None
    # Each unit of a sparse start reads at least one, and their number is drawn.
    density = int(recurrent.count_nonzero()) / (1.05 * units**2)
    if sparse_steps.is_available() and units < MOST_UNITS and recurrent.dtype in MKL_DENSITY:
        return Slots(recurrent) if density <= DENSITY else None
    has_rows = torch.backends.mkl.is_available() and density <= MKL_DENSITY.get(recurrent.dtype, 0.0)
    return CompressedRows(recurrent) if has_rows else None


class Slots:
    """The matrix as a kernel of elman reads it.

    Args:
        recurrent: `(units, units)`, float32 or float64; copied.
    """

    def __init__(self, recurrent: Tensor):
        self._slots = sparse_steps.pack(recurrent.detach().numpy())

    @torch.no_grad()
    def run(self, drive: Tensor, state: Tensor, *, leak: float, is_linear: bool) -> Tensor:
        """Return the states at every step, see `SparseMatrix`."""
        units = drive.shape[1]
        width = sparse_steps.width(units, str(drive.dtype).removeprefix("torch."))
        rows = new_memory(len(drive) + 1, width, drive.dtype)
        rows[:, units:] = 0.0
        rows[0, :units], rows[1:, :units] = state, drive
        sparse_steps.run(rows.numpy(), self._slots, leak=leak, is_linear=is_linear)
        return rows[1:, :units]


class CompressedRows:
    """The matrix in compressed rows (CSR), as torch multiplies it by MKL.

    Args:
        recurrent: `(units, units)`; copied.
    """

    def __init__(self, recurrent: Tensor):
        with warnings.catch_warnings():
            # torch says once that its sparse tensors may change.
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
            self._rows = recurrent.T.contiguous().to_sparse_csr()

    @torch.no_grad()
    def run(self, drive: Tensor, state: Tensor, *, leak: float, is_linear: bool) -> Tensor:
        """Return the states at every step, see `SparseMatrix`."""
        states = torch.empty_like(drive)
        for row, found in zip(drive.unbind(0), states.unbind(0), strict=True):
            torch.addmv(row, self._rows, state, out=found)
            if not is_linear:
                found.tanh_()
            if leak != 1.0:
                found.mul_(leak).add_(state, alpha=1.0 - leak)
            state = found
        return states
