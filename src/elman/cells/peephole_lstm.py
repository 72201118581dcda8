"""Long short-term memory whose gates see the cell."""

from elman.compiler.cell import cell
from elman.compiler.language import Next, affine, parameter, sigmoid, tanh


@cell
def peephole_lstm(x, h, c):
    """Long short-term memory with peepholes: the gates see the cell through weights of their own.

    i = σ(x·W_i + h·U_i + p_i∘c + b_i)     f = σ(x·W_f + h·U_f + p_f∘c + b_f)
    c' = f∘c + i∘tanh(x·W_g + h·U_g + b_g)
    o = σ(x·W_o + h·U_o + p_o∘c' + b_o)    h' = o∘tanh(c')

    Source:
        F. A. Gers, J. Schmidhuber, Recurrent Nets that Time and Count, IJCNN 2000, in the form of A. Graves,
        Generating Sequences With Recurrent Neural Networks, 2013, equations 7 to 11. Differences: the forget bias
        starts from 1, the peepholes from 0.
    """
    i = sigmoid(affine("input", x, h) + parameter("input_peephole") * c)
    f = sigmoid(affine("forget", x, h, bias=1.0) + parameter("forget_peephole") * c)
    c = f * c + i * tanh(affine("cell", x, h))
    o = sigmoid(affine("output", x, h) + parameter("output_peephole") * c)
    return Next(h=o * tanh(c), c=c)
