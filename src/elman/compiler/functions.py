"""The words that compute: element by element, and over the features."""

import builtins
import itertools
import math
from collections.abc import Sequence

from elman.compiler.lines import user_line
from elman.compiler.value import Number, Value, apply, current, row_of


def where(condition: Value | Number, value: Value | Number, other: Value | Number) -> Value:
    """Return `value` where the condition is not zero, else `other`, element by element."""
    return apply("where", condition, value, other)


def concat(*values: Value) -> Value:
    """Join values one after another, so that their sizes add up."""
    return current().make("concat", *(row_of(value, "concat") for value in values))


def split(value: Value, parts: int | Sequence[int]) -> list[Value]:
    """Cut a value into parts.

    Args:
        value: any value.
        parts: number of equal parts, or the size of each part; they add up to `value.size`.
    """
    owner = current()
    size = row_of(value, "split").size
    if isinstance(parts, int):
        sizes = [size // parts] * parts if parts > 0 else []
    else:
        sizes = list(parts)
    if builtins.sum(sizes) != size or any(part < 1 for part in sizes):
        owner.fail(
            f"a value of size {size} cannot be split into {parts}.", user_line(), "The parts must add up to the size."
        )
    edges = [builtins.sum(sizes[:index]) for index in range(len(sizes) + 1)]
    return [value[start:stop] for start, stop in itertools.pairwise(edges)]


def sum(value: Value) -> Value:
    """Return the sum over the features, of size 1."""
    return current().make("sum", row_of(value, "sum"))


def mean(value: Value) -> Value:
    """Return the mean over the features, of size 1."""
    return sum(value) / value.size


def max(value: Value) -> Value:
    """Return the largest feature, of size 1, whose gradient several equal ones share."""
    return current().make("max", row_of(value, "max"))


def exp(value: Value | Number) -> Value:
    """Return e to the power of the value."""
    return apply("exp", value)


def log(value: Value | Number) -> Value:
    """Return the natural logarithm."""
    return apply("log", value)


def sqrt(value: Value | Number) -> Value:
    """Return the square root."""
    return apply("sqrt", value)


def square(value: Value | Number) -> Value:
    """Return the value times itself."""
    return apply("square", value)


def reciprocal(value: Value | Number) -> Value:
    """Return one divided by the value."""
    return apply("reciprocal", value)


def sin(value: Value | Number) -> Value:
    """Return the sine of radians."""
    return apply("sin", value)


def cos(value: Value | Number) -> Value:
    """Return the cosine of radians."""
    return apply("cos", value)


def tanh(value: Value | Number) -> Value:
    """Return the hyperbolic tangent."""
    return apply("tanh", value)


def sigmoid(value: Value | Number) -> Value:
    """Return the logistic function `1 / (1 + exp(-value))`."""
    return apply("sigmoid", value)


def relu(value: Value | Number) -> Value:
    """Return the value where it is positive, else 0."""
    return apply("relu", value)


def sign(value: Value | Number) -> Value:
    """Return -1, 0 or 1, with the gradient 0."""
    return apply("sign", value)


def maximum(value: Value | Number, other: Value | Number) -> Value:
    """Return the larger of two, element by element.

    Where they are equal, they share the gradient.
    """
    return apply("maximum", value, other)


def minimum(value: Value | Number, other: Value | Number) -> Value:
    """Return the smaller of two, element by element.

    Where they are equal, they share the gradient.
    """
    return apply("minimum", value, other)


def linear(value: Value | Number) -> Value | Number:
    """Return the value itself: no activation."""
    return value


def softplus(value: Value | Number) -> Value:
    """Return `log(1 + exp(value))`, computed without overflow."""
    return apply("softplus", value)


def silu(value: Value) -> Value:
    """Return `value · sigmoid(value)`, also called swish."""
    return value * sigmoid(value)


def elu(value: Value, alpha: float = 1.0) -> Value:
    """Return the value where it is positive, else `alpha · (exp(value) - 1)`.

    The slope at 0 is alpha.
    """
    below = value < 0.0
    return where(below, alpha * expm1(where(below, value, 0.0)), leaky_relu(value, alpha))


def leaky_relu(value: Value, slope: float = 0.01) -> Value:
    """Return the value where it is positive, else the value times the slope."""
    return where(value > 0.0, value, slope * value)


def hard_sigmoid(value: Value) -> Value:
    """Return `value/6 + 1/2`, limited to 0 to 1 (as in Keras 3 and torch)."""
    return _ramp(value, 3.0)


def _ramp(value: Value, width: float) -> Value:
    """Rise from 0 at -width to 1 at width, with the gradient 0 at both."""
    rising = (value + width) / (2.0 * width)
    return where(abs(value) < width, rising, stop_gradient(minimum(maximum(rising, 0.0), 1.0)))


def softsign(value: Value) -> Value:
    """Return `value / (1 + |value|)`."""
    return value / (1.0 + abs(value))


def softmax(value: Value) -> Value:
    """Return the exponentials of the features, divided by their sum."""
    shifted = exp(value - stop_gradient(max(value)))
    return shifted / sum(shifted)


def floor(value: Value | Number) -> Value:
    """Round down to a whole number, with the gradient 0."""
    return apply("floor", value)


def round(value: Value | Number) -> Value:
    """Round to the nearest whole number, to the even one of two, with the gradient 0."""
    return apply("round", value)


def remainder(value: Value | Number, divisor: Value | Number) -> Value:
    """Return `value - divisor · floor(value / divisor)`: zero, or of the divisor's sign."""
    return apply("remainder", value, divisor)


def erf(value: Value | Number) -> Value:
    """Return the error function."""
    return apply("erf", value)


def erfc(value: Value | Number) -> Value:
    """Return `1 - erf(value)`, with all its digits where it is small."""
    return apply("erfc", value)


def log1p(value: Value | Number) -> Value:
    """Return `log(1 + value)`, with all its digits where the value is small."""
    return apply("log1p", value)


def expm1(value: Value | Number) -> Value:
    """Return `exp(value) - 1`, with all its digits where the value is small."""
    return apply("expm1", value)


def stop_gradient(value: Value | Number) -> Value:
    """Return the value itself, as a constant for the gradient."""
    return apply("stop_gradient", value)


def cumsum(value: Value) -> Value:
    """Return the running sums of the features."""
    return current().make("cumsum", row_of(value, "cumsum"), attribute=False)


def outer(value: Value, other: Value) -> Value:
    """Return all products of a feature of one and a feature of the other: a matrix, row by row.

    Its size is `value.size · other.size`; feature `i · other.size + j` is `value[i] · other[j]`.
    """
    owner = current()
    owner.has_own_sizes = True
    return owner.make("outer", row_of(value, "outer"), row_of(other, "outer"))


def contract(matrix: Value, value: Value, *, transposed: bool = False) -> Value:
    """Multiply a matrix that is a value of the step by a vector.

    Args:
        matrix: its entries, row after row, as `outer` gives them.
        value: a feature for each of the matrix's columns; for each of its rows if transposed.
        transposed: multiply by the transposed matrix: the sum of its rows, each times a feature of the value.

    Returns:
        A feature for each of the matrix's rows; for each of its columns if transposed.
    """
    if not isinstance(transposed, bool):
        current().fail(f"Expected transposed=True or False, got {transposed!r}.", user_line(), "Write transposed=True.")
    return current().make("contract", row_of(matrix, "contract"), row_of(value, "contract"), attribute=transposed)


def gelu(value: Value, *, approximate: str = "none") -> Value:
    """Return `value · Φ(value)` with the normal distribution Φ.

    Args:
        value: any value.
        approximate: `tanh` for `value/2 · (1 + tanh(√(2/π) · (value + 0.044715 · value³)))`.
    """
    if approximate == "none":
        return 0.5 * value * erfc(value * -math.sqrt(0.5))
    if approximate != "tanh":
        current().fail(
            f"Expected approximate='none' or 'tanh', got {approximate!r}.", user_line(), "Give one of the two."
        )
    return value * sigmoid(math.sqrt(8.0 / math.pi) * (value + 0.044715 * value**3))


def mish(value: Value) -> Value:
    """Return `value · tanh(softplus(value))`."""
    return value * tanh(softplus(value))


def selu(value: Value) -> Value:
    """Return 1.0507 times `elu` with alpha 1.6733, which keeps mean and variance."""
    return 1.0507009873554804934193349852946 * elu(value, 1.6732632423543772848170429916717)


def celu(value: Value, alpha: float = 1.0) -> Value:
    """Return the value where it is positive, else `alpha · (exp(value/alpha) - 1)`.

    The slope at 0 is 1.
    """
    below = value < 0.0
    return where(below, alpha * expm1(where(below, value, 0.0) / alpha), value)


def relu6(value: Value) -> Value:
    """Limit the value to 0 to 6."""
    return _cut_off(value, 0.0, 6.0)


def hard_tanh(value: Value) -> Value:
    """Limit the value to -1 to 1."""
    return _cut_off(value, -1.0, 1.0)


def _cut_off(value: Value, low: float, high: float) -> Value:
    """Limit the value to a range, with the gradient 0 at its ends."""
    return where(value <= low, low, where(value >= high, high, value))


def hard_silu(value: Value) -> Value:
    """Return `value · hard_sigmoid(value)`, also called hard swish."""
    return value * hard_sigmoid(value)


def sparse_plus(value: Value) -> Value:
    """Return `(value + 1)² / 4` from -1 to 1, and elsewhere what `relu` gives."""
    within = abs(value) < 1.0
    return where(within, square(where(within, value, 0.0) + 1.0) / 4.0, relu(value))


def sparse_sigmoid(value: Value) -> Value:
    """Return `value/2 + 1/2`, limited to 0 to 1."""
    return _ramp(value, 1.0)


def squareplus(value: Value, b: float = 4.0) -> Value:
    """Return `(value + √(value² + b)) / 2`, with all its digits where it is small."""
    root = sqrt(square(value) + b)
    return where(value >= 0.0, root + value, b / (root + abs(value))) / 2.0


def log_sigmoid(value: Value) -> Value:
    """Return the logarithm of `sigmoid(value)`, computed without overflow."""
    return -softplus(-value)


def log_softmax(value: Value) -> Value:
    """Return the logarithm of `softmax(value)`, computed without overflow."""
    shifted = value - stop_gradient(max(value))
    return shifted - log(sum(exp(shifted)))


def tanh_shrink(value: Value) -> Value:
    """Return `value - tanh(value)`."""
    return value - tanh(value)


def soft_shrink(value: Value, threshold: float = 0.5) -> Value:
    """Move the value towards 0 by the threshold, to 0 where it is nearer."""
    return where(abs(value) <= threshold, 0.0, value - threshold * sign(value))


def hard_shrink(value: Value, threshold: float = 0.5) -> Value:
    """Return the value where it is farther from 0 than the threshold, else 0."""
    return where(abs(value) <= threshold, 0.0, value)


def glu(value: Value) -> Value:
    """Multiply the first half of the features by the sigmoid of the second half."""
    half, gate = split(value, 2)
    return half * sigmoid(gate)
