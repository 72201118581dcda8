"""The reservoir of an echo state network."""

from elman.compiler.cell import cell
from elman.compiler.language import matrix, parameter, product, sparse, tanh, uniform

RECURRENT = sparse(0.9, 0.1)


@cell
def reservoir(x, h, *, recurrent=RECURRENT, input_scaling=1.0, bias_scaling=0.0, leak=1.0, activation=tanh):
    """Reservoir: a simple network of leaky units with fixed, random weights.

    h' = (1 - a)·h + a·activation(x·W_in + h·W + b)

    Options:
        recurrent: what the recurrent matrix W starts from: sparse(spectral_radius, density), ring(weight),
            delay_line(weight), small_world(…), or any other start of a square matrix.
        input_scaling: W_in is drawn uniformly from minus this to this.
        bias_scaling: the bias b likewise; there is none for 0.
        leak: the leaking rate a, above 0 to 1; 1 is a unit without memory of its own.
        activation: tanh if not said otherwise.

    Source:
        H. Jaeger et al., Optimization and Applications of Echo State Networks with Leaky-Integrator Neurons, 2007,
        equation 6, with a step of 1. Differences: without output feedback and noise.
    """
    inputs = matrix("inputs", x.size, h.size, initial=uniform(-input_scaling, input_scaling), learned=False)
    total = product(x, inputs) + product(h, matrix("recurrent", h.size, h.size, initial=recurrent, learned=False))
    if bias_scaling:
        total = total + parameter("bias", initial=uniform(-bias_scaling, bias_scaling), learned=False)
    new = activation(total)
    return new if leak == 1.0 else (1.0 - leak) * h + leak * new
