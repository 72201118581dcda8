"""Long short-term memory."""

from elman.compiler.cell import cell
from elman.compiler.language import Next, affine, dropout, sigmoid, tanh


@cell
def lstm(
    x,
    h,
    c,
    *,
    activation=tanh,
    recurrent_activation=sigmoid,
    output_activation=None,
    use_bias=True,
    unit_forget_bias=True,
    candidate_dropout=0.0,
):
    """Long short-term memory, with a forget gate and without peepholes.

    i = σ(x·W_i + h·U_i + b_i)        f = σ(x·W_f + h·U_f + b_f)
    g = tanh(x·W_g + h·U_g + b_g)     o = σ(x·W_o + h·U_o + b_o)
    c' = f∘c + i∘g                    h' = o∘tanh(c')

    Options:
        activation: of g and of c', tanh if not said otherwise.
        recurrent_activation: of the gates i, f, o; sigmoid if not said otherwise.
        output_activation: of c', if it differs from that of g.
        use_bias: whether the affines have biases; true if not said otherwise.
        unit_forget_bias: start the bias of the forget gate from 1, and from 0 if false; true if not said otherwise.
        candidate_dropout: the probability of dropping a feature of g while training, others at every step.

    Source:
        S. Hochreiter, J. Schmidhuber, Long Short-Term Memory, Neural Computation 9, 1997; the forget gate is from
        F. A. Gers, J. Schmidhuber, F. Cummins, Learning to Forget, Neural Computation 12, 2000, equations 3.1 to 3.6.
        Differences: one block a cell; the squashing functions are tanh; the forget bias starts from 1
        (R. Józefowicz et al., 2015). Dropout of g: S. Semeniuta, A. Severyn, E. Barth, Recurrent Dropout without
        Memory Loss, 2016.
    """
    bias = 0.0 if use_bias else None
    forget_bias = 1.0 if use_bias and unit_forget_bias else bias
    output = activation if output_activation is None else output_activation
    i = recurrent_activation(affine("input", x, h, bias=bias))
    f = recurrent_activation(affine("forget", x, h, bias=forget_bias))
    g = activation(affine("cell", x, h, bias=bias))
    g = dropout("cell", g, candidate_dropout)
    o = recurrent_activation(affine("output", x, h, bias=bias))
    c = f * c + i * g
    return Next(h=o * output(c), c=c)
