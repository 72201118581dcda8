"""The minimal gated recurrent unit, whose gate reads the input alone."""

from elman.compiler.cell import cell
from elman.compiler.language import affine, sigmoid


@cell
def min_gru(x, h, *, use_bias=True):
    """Minimal gated unit: gate and candidate depend on the input alone.

    z = σ(x·W_z + b_z)     h' = (1 - z)∘h + z∘(x·W_n + b_n)

    Options:
        use_bias: whether the affines have biases; true if not said otherwise.

    Source:
        L. Feng et al., Were RNNs All We Needed?, 2024, section 3.1, in the form with values of both signs. No
        difference.
    """
    bias = 0.0 if use_bias else None
    z = sigmoid(affine("update", x, bias=bias))
    return (1.0 - z) * h + z * affine("candidate", x, bias=bias)
