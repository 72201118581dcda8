"""The minimal gated recurrent unit that reads no state in its gate."""

from elman.compiler.cell import cell
from elman.compiler.language import affine, sigmoid


@cell
def min_gru(x, h):
    """The minimal gated unit: gate and candidate depend on the input alone.

    z = σ(x·W_z + b_z)     h' = (1 - z)∘h + z∘(x·W_n + b_n)

    Source:
        L. Feng et al., Were RNNs All We Needed?, 2024, section 3.1, in the form with values of both signs. No
        difference.
    """
    z = sigmoid(affine("update", x))
    return (1.0 - z) * h + z * affine("candidate", x)
