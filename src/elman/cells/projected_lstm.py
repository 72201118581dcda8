"""Long short-term memory with a recurrent projection."""

from elman.compiler.cell import cell
from elman.compiler.language import Next, affine, sigmoid, tanh


@cell
def projected_lstm(
    x,
    h,
    c,
    *,
    projection=None,
    activation=tanh,
    recurrent_activation=sigmoid,
    output_activation=None,
    use_bias=True,
    unit_forget_bias=True,
):
    """Long short-term memory whose output is a smaller, learned projection of the cell's.

    i = σ(x·W_i + h·U_i + b_i)        f = σ(x·W_f + h·U_f + b_f)
    g = tanh(x·W_g + h·U_g + b_g)     o = σ(x·W_o + h·U_o + b_o)
    c' = f∘c + i∘g                    h' = (o∘tanh(c'))·P

    The states differ in size: c has the hidden size, h the size of the projection.

    Options:
        projection: features of h; half of the hidden size, at least 1, if not said otherwise.
        activation: of g and of c', tanh if not said otherwise.
        recurrent_activation: of the gates i, f, o; sigmoid if not said otherwise.
        output_activation: of c', if it differs from that of g.
        use_bias: whether the affines have biases; true if not said otherwise.
        unit_forget_bias: start the bias of the forget gate from 1, and from 0 if false; true if not said otherwise.

    Source:
        H. Sak, A. Senior, F. Beaufays, Long Short-Term Memory Based Recurrent Neural Network Architectures for Large
        Vocabulary Speech Recognition, 2014, equations 1 to 7. Differences, with which it is torch's LSTM with
        proj_size: no peepholes, no second projection that the next step does not read (their p), and the forget bias
        starts from 1.
    """
    bias = 0.0 if use_bias else None
    forget_bias = 1.0 if use_bias and unit_forget_bias else bias
    output = activation if output_activation is None else output_activation
    i = recurrent_activation(affine("input", x, h, bias=bias))
    f = recurrent_activation(affine("forget", x, h, bias=forget_bias))
    g = activation(affine("cell", x, h, bias=bias))
    o = recurrent_activation(affine("output", x, h, bias=bias))
    c = f * c + i * g
    size = max(1, c.size // 2) if projection is None else projection
    return Next(h=affine("projection", o * output(c), size=size, bias=None), c=c)
