"""Long short-term memory with a recurrent projection."""

from elman.compiler.cell import cell
from elman.compiler.language import Next, affine, sigmoid, tanh


@cell
def projected_lstm(x, h, c, *, projection=None):
    """Long short-term memory whose output is a smaller, learned projection of the cell's.

    i = σ(x·W_i + h·U_i + b_i)        f = σ(x·W_f + h·U_f + b_f)
    g = tanh(x·W_g + h·U_g + b_g)     o = σ(x·W_o + h·U_o + b_o)
    c' = f∘c + i∘g                    h' = (o∘tanh(c'))·P

    The states differ in size: c has the hidden size, h the size of the projection.

    Options:
        projection: features of h; half of the hidden size, at least 1, if not said otherwise.

    Source:
        H. Sak, A. Senior, F. Beaufays, Long Short-Term Memory Based Recurrent Neural Network Architectures for Large
        Vocabulary Speech Recognition, 2014, equations 1 to 7. Differences, with which it is torch's LSTM with
        proj_size: no peepholes, no second projection that the next step does not read (their p), and the forget bias
        starts from 1.
    """
    i = sigmoid(affine("input", x, h))
    f = sigmoid(affine("forget", x, h, bias=1.0))
    g = tanh(affine("cell", x, h))
    o = sigmoid(affine("output", x, h))
    c = f * c + i * g
    size = max(1, c.size // 2) if projection is None else projection
    return Next(h=affine("projection", o * tanh(c), size=size, bias=None), c=c)
