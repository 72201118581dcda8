"""The simple recurrent network."""

from elman.compiler.cell import cell
from elman.compiler.language import affine, tanh


@cell
def simple_rnn(x, h, *, activation=tanh, use_bias=True):
    """Simple recurrent network: one layer that reads its input and its own last output.

    h' = activation(x·W + h·U + b)

    Options:
        activation: tanh if not said otherwise.
        use_bias: whether the affines have biases; true if not said otherwise.

    Source:
        J. L. Elman, Finding Structure in Time, Cognitive Science 14, 1990, figure 2. Differences: the paper's units
        are logistic; here tanh, as Keras and torch have it. Its output layer is the user's next layer.
    """
    return activation(affine("hidden", x, h, bias=0.0 if use_bias else None))
