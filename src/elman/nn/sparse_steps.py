"""The steps of one series through a reservoir whose recurrent matrix is mostly zeros."""

import warnings

import torch
from torch import Tensor

# Up to this fraction of weights, and from this number of units, products without the zeros take less time.
DENSITY, UNITS = {torch.float64: 0.1, torch.float32: 0.05}, 500


def is_worthwhile(recurrent: Tensor) -> bool:
    """Return whether steps of one series are faster without the zeros of a matrix."""
    units = len(recurrent)
    if units < UNITS or recurrent.device.type != "cpu" or not torch.backends.mkl.is_available():
        return False
    # Each unit of a sparse start reads at least one, and their number is drawn.
    return int(recurrent.count_nonzero()) <= 1.05 * DENSITY.get(recurrent.dtype, 0.0) * units**2


def to_rows(recurrent: Tensor) -> Tensor:
    """Return the transpose of a matrix in compressed rows (CSR)."""
    with warnings.catch_warnings():
        # torch says once that its sparse tensors may change.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return recurrent.T.contiguous().to_sparse_csr()


@torch.no_grad()
def run_sparse(drive: Tensor, rows: Tensor, state: Tensor, *, leak: float, is_linear: bool) -> Tensor:
    """Return the states at every step, `(time, units)`.

    h' = (1 - leak)·h + leak·activation(drive + h·W)

    Args:
        drive: `(time, units)`.
        rows: of the transpose of W, from `to_rows`.
        state: h before the first step, `(units,)`.
        leak: the leaking rate.
        is_linear: whether the activation is the identity, in place of tanh.
    """
    states = torch.empty_like(drive)
    for row, found in zip(drive.unbind(0), states.unbind(0), strict=True):
        torch.addmv(row, rows, state, out=found)
        if not is_linear:
            found.tanh_()
        if leak != 1.0:
            found.mul_(leak).add_(state, alpha=1.0 - leak)
        state = found
    return states
