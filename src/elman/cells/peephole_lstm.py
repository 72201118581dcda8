"""Long short-term memory with gates that read the cell."""

from elman.compiler.cell import cell
from elman.compiler.language import Next, affine, parameter, sigmoid, tanh


@cell
def peephole_lstm(
    x,
    h,
    c,
    *,
    activation=tanh,
    recurrent_activation=sigmoid,
    output_activation=None,
    use_bias=True,
    unit_forget_bias=True,
):
    """Long short-term memory with peepholes: the gates read the cell through their own weights.

    i = σ(x·W_i + h·U_i + p_i∘c + b_i)     f = σ(x·W_f + h·U_f + p_f∘c + b_f)
    c' = f∘c + i∘tanh(x·W_g + h·U_g + b_g)
    o = σ(x·W_o + h·U_o + p_o∘c' + b_o)    h' = o∘tanh(c')

    Options:
        activation: of x·W_g + … and of c', tanh if not said otherwise.
        recurrent_activation: of the gates i, f, o; sigmoid if not said otherwise.
        output_activation: of c', if it differs from activation.
        use_bias: whether the affines have biases; true if not said otherwise.
        unit_forget_bias: start the bias of the forget gate from 1, and from 0 if false; true if not said otherwise.

    Source:
        F. A. Gers, J. Schmidhuber, Recurrent Nets that Time and Count, IJCNN 2000, in the form of A. Graves,
        Generating Sequences With Recurrent Neural Networks, 2013, equations 7 to 11. Differences: the forget bias
        starts from 1, the peepholes from 0.
    """
    bias = 0.0 if use_bias else None
    forget_bias = 1.0 if use_bias and unit_forget_bias else bias
    output = activation if output_activation is None else output_activation
    i = recurrent_activation(affine("input", x, h, bias=bias) + parameter("input_peephole") * c)
    f = recurrent_activation(affine("forget", x, h, bias=forget_bias) + parameter("forget_peephole") * c)
    c = f * c + i * activation(affine("cell", x, h, bias=bias))
    o = recurrent_activation(affine("output", x, h, bias=bias) + parameter("output_peephole") * c)
    return Next(h=o * output(c), c=c)
