"""Long short-term memory with layer normalisation."""

from elman.compiler.cell import cell
from elman.compiler.language import Next, affine, mean, parameter, sigmoid, split, sqrt, square, tanh


def normalised(name, value, *, epsilon):
    """The value with mean 0 and variance 1 over its features, times a learned gain."""
    centred = value - mean(value)
    return parameter(name, value.size, initial=1.0) * centred / sqrt(mean(square(centred)) + epsilon)


@cell
def layer_norm_lstm(x, h, c, *, epsilon=1e-5):
    """Long short-term memory with layer normalisation of both products and of the cell.

    (i, f, g, o) = LN(x·W; a) + LN(h·U; b) + biases
    c' = σ(f)∘c + σ(i)∘tanh(g)        h' = σ(o)∘tanh(LN(c'; d) + e)

    LN(v; a) = a∘(v - mean v) / sqrt(var v + ε), with mean and variance over the features; each product is normalised
    over its four parts together.

    Options:
        epsilon: ε, added to the variance.

    Source:
        J. L. Ba, J. R. Kiros, G. E. Hinton, Layer Normalization, 2016, equations 20 to 22. Differences: the shifts of
        the two normalised products and the bias are one vector a gate; the forget bias starts from 1; ε, which the
        paper does not give.
    """
    products = normalised("input_gain", affine("input", x, size=4 * c.size, bias=None), epsilon=epsilon)
    products += normalised("hidden_gain", affine("hidden", h, size=4 * c.size, bias=None), epsilon=epsilon)
    i, f, g, o = split(products, 4)
    i = sigmoid(i + parameter("input_bias"))
    f = sigmoid(f + parameter("forget_bias", initial=1.0))
    g = tanh(g + parameter("cell_bias"))
    o = sigmoid(o + parameter("output_bias"))
    c = f * c + i * g
    return Next(h=o * tanh(normalised("cell_gain", c, epsilon=epsilon) + parameter("cell_shift")), c=c)
