"""The gated recurrent unit of cuDNN, torch and Keras."""

from elman.compiler.cell import cell
from elman.compiler.language import affine, dropout, sigmoid, tanh


@cell
def gru_reset_after(x, h, *, activation=tanh, recurrent_activation=sigmoid, use_bias=True, candidate_dropout=0.0):
    """Gated recurrent unit of cuDNN and torch: the reset gate acts after the product.

    z = σ(x·W_z + h·U_z + b_z)                     r = σ(x·W_r + h·U_r + b_r)
    n = tanh(x·W_n + b_n + r∘(h·U_n + d_n))        h' = z∘h + (1 - z)∘n

    Options:
        activation: of the candidate n, tanh if not said otherwise.
        recurrent_activation: of the gates z and r, sigmoid if not said otherwise.
        use_bias: whether the affines have biases; true if not said otherwise.
        candidate_dropout: the probability of dropping a feature of n while training, others at every step.

    Source:
        J. Chung et al., Empirical Evaluation of Gated Recurrent Neural Networks on Sequence Modeling, 2014, section
        3.2 with the product taken first, as in cuDNN. Difference from torch.nn.GRU and from Keras's GRU
        (reset_after=True): those keep two biases for each gate, here their sum is one; the candidate keeps both.
        Dropout of n: S. Semeniuta, A. Severyn, E. Barth, Recurrent Dropout without Memory Loss, 2016.
    """
    bias = 0.0 if use_bias else None
    z = recurrent_activation(affine("update", x, h, bias=bias))
    r = recurrent_activation(affine("reset", x, h, bias=bias))
    n = activation(affine("candidate", x, bias=bias) + r * affine("memory", h, bias=bias))
    n = dropout("candidate", n, candidate_dropout)
    return z * h + (1.0 - z) * n
