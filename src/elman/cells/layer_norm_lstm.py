"""Long short-term memory with layer normalisation."""

from elman.compiler.cell import cell
from elman.compiler.language import Next, affine, mean, parameter, sigmoid, split, sqrt, square, tanh


def normalised(name, value, *, epsilon):
    """Scale a value to mean 0 and variance 1 over its features, and multiply by a learned gain."""
    centred = value - mean(value)
    return parameter(name, value.size, initial=1.0) * centred / sqrt(mean(square(centred)) + epsilon)


@cell
def layer_norm_lstm(x, h, c, *, epsilon=1e-5, use_bias=True, unit_forget_bias=True):
    """Long short-term memory with layer normalisation of both products and of the cell.

    (i, f, g, o) = LN(x·W; a) + LN(h·U; b) + biases
    c' = σ(f)∘c + σ(i)∘tanh(g)        h' = σ(o)∘tanh(LN(c'; d) + e)

    LN(v; a) = a∘(v - mean v) / sqrt(var v + ε), with mean and variance over the features; each product is normalised
    over its four parts together.

    Options:
        epsilon: ε, added to the variance.
        use_bias: whether the gates and g have biases; true if not said otherwise. The shift e stays.
        unit_forget_bias: start the bias of the forget gate from 1, and from 0 if false; true if not said otherwise.

    Source:
        J. L. Ba, J. R. Kiros, G. E. Hinton, Layer Normalization, 2016, equations 20 to 22. Differences: the shifts of
        the two normalised products and the bias are one vector a gate; the forget bias starts from 1; ε, which the
        paper does not give.
    """
    products = normalised("input_gain", affine("input", x, size=4 * c.size, bias=None), epsilon=epsilon)
    products += normalised("hidden_gain", affine("hidden", h, size=4 * c.size, bias=None), epsilon=epsilon)
    i, f, g, o = split(products, 4)
    if use_bias:
        i += parameter("input_bias")
        f += parameter("forget_bias", initial=1.0 if unit_forget_bias else 0.0)
        g += parameter("cell_bias")
        o += parameter("output_bias")
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c = f * c + i * g
    return Next(h=o * tanh(normalised("cell_gain", c, epsilon=epsilon) + parameter("cell_shift")), c=c)
