"""A gated recurrent unit in a file as a user writes it: `--cell own_gru.py:own_gru`."""

from elman import affine, cell, sigmoid, split, tanh


@cell
def own_gru(x, h):
    """Compute both gates in one product, and the candidate of the state reset by r.

    z, r = σ(x·W + h·U + b)        n = tanh(x·W_n + (r∘h)·U_n + b_n)        h' = z∘h + (1 - z)∘n

    Source:
        The network of the textbook over Wikipedia's characters; the equations are those of `elman.CELLS["gru"]`.
    """
    z, r = split(sigmoid(affine("gates", x, h, size=2 * h.size)), 2)
    n = tanh(affine("candidate", x, r * h))
    return z * h + (1.0 - z) * n
