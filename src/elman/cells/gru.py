"""The gated recurrent unit as published."""

from elman.compiler.cell import cell
from elman.compiler.language import affine, dropout, sigmoid, tanh


@cell
def gru(x, h, *, activation=tanh, recurrent_activation=sigmoid, use_bias=True, candidate_dropout=0.0):
    """Gated recurrent unit as published: the reset gate acts on the state before the product.

    z = σ(x·W_z + h·U_z + b_z)            r = σ(x·W_r + h·U_r + b_r)
    n = tanh(x·W_n + (r∘h)·U_n + b_n)     h' = z∘h + (1 - z)∘n

    Options:
        activation: of the candidate n, tanh if not said otherwise.
        recurrent_activation: of the gates z and r, sigmoid if not said otherwise.
        use_bias: whether the affines have biases; true if not said otherwise.
        candidate_dropout: the probability of dropping a feature of n while training, others at every step.

    Source:
        K. Cho et al., Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation,
        EMNLP 2014, equations 5 to 8. Difference: the gates and the candidate have biases. It is Keras's GRU with
        reset_after=False; torch has `gru_reset_after` only. Dropout of n: S. Semeniuta, A. Severyn, E. Barth,
        Recurrent Dropout without Memory Loss, 2016.
    """
    bias = 0.0 if use_bias else None
    z = recurrent_activation(affine("update", x, h, bias=bias))
    r = recurrent_activation(affine("reset", x, h, bias=bias))
    n = activation(affine("candidate", x, r * h, bias=bias))
    n = dropout("candidate", n, candidate_dropout)
    return z * h + (1.0 - z) * n
