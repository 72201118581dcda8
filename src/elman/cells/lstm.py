"""Long short-term memory."""

from elman.compiler.cell import cell
from elman.compiler.language import Next, affine, dropout, sigmoid, tanh


@cell
def lstm(x, h, c, *, activation=tanh, recurrent_activation=sigmoid, candidate_dropout=0.0, use_bias=True):
    """Long short-term memory, with a forget gate and without peepholes.

    i = σ(x·W_i + h·U_i + b_i)        f = σ(x·W_f + h·U_f + b_f)
    g = tanh(x·W_g + h·U_g + b_g)     o = σ(x·W_o + h·U_o + b_o)
    c' = f∘c + i∘g                    h' = o∘tanh(c')

    Options:
        activation: of g and of c', tanh if not said otherwise.
        recurrent_activation: of the gates i, f, o; sigmoid if not said otherwise.
        candidate_dropout: the probability of dropping a feature of g while training, others at every step.
        use_bias: whether the b are there.

    Source:
        S. Hochreiter, J. Schmidhuber, Long Short-Term Memory, Neural Computation 9, 1997; the forget gate is from
        F. A. Gers, J. Schmidhuber, F. Cummins, Learning to Forget, Neural Computation 12, 2000, equations 3.1 to 3.6.
        Differences: one block a cell; the squashing functions are tanh; the forget bias starts from 1
        (R. Józefowicz et al., 2015). Dropout of g: S. Semeniuta, A. Severyn, E. Barth, Recurrent Dropout without
        Memory Loss, 2016.
    """
    zero, one = (0.0, 1.0) if use_bias else (None, None)
    i = recurrent_activation(affine("input", x, h, bias=zero))
    f = recurrent_activation(affine("forget", x, h, bias=one))
    g = activation(affine("cell", x, h, bias=zero))
    g = dropout("cell", g, candidate_dropout)
    o = recurrent_activation(affine("output", x, h, bias=zero))
    c = f * c + i * g
    return Next(h=o * activation(c), c=c)
