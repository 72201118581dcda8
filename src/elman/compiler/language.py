"""The words in which the step of a cell is written.

A step is an ordinary function. It runs once, on `Value`s instead of numbers, and its operations are kept as a graph.
"""

import functools
import math
import operator
from typing import Any

from elman.compiler.functions import (
    celu,
    concat,
    contract,
    cos,
    cumsum,
    elu,
    erf,
    erfc,
    exp,
    expm1,
    floor,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    linear,
    log,
    log1p,
    log_sigmoid,
    log_softmax,
    max,
    maximum,
    mean,
    minimum,
    mish,
    outer,
    reciprocal,
    relu,
    relu6,
    remainder,
    round,
    selu,
    sigmoid,
    sign,
    silu,
    sin,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    split,
    sqrt,
    square,
    squareplus,
    stop_gradient,
    sum,
    tanh,
    tanh_shrink,
    where,
)
from elman.compiler.graph import TRANSPOSED, Draw, Parameter, Per
from elman.compiler.graph import transposed as turned
from elman.compiler.lines import user_line
from elman.compiler.starts import Start, read_start
from elman.compiler.starts import chrono as chrono
from elman.compiler.starts import delay_line as delay_line
from elman.compiler.starts import glorot as glorot
from elman.compiler.starts import identity as identity
from elman.compiler.starts import normal as normal
from elman.compiler.starts import opposite as opposite
from elman.compiler.starts import orthogonal as orthogonal
from elman.compiler.starts import ring as ring
from elman.compiler.starts import small_world as small_world
from elman.compiler.starts import sparse as sparse
from elman.compiler.starts import uniform as uniform
from elman.compiler.value import WORDS, Matrix, Recording, Value, current, row_of
from elman.compiler.value import Next as Next
from elman.compiler.value import power as power
from elman.errors import UsageError

Initial = Any  # a number, an array, a distribution or its name: see `elman.compiler.starts`


def affine(
    name: str, *values: Value, size: int | None = None, bias: Initial | None = 0.0, initial: Initial | None = None
) -> Value:
    """Return `a·W_a + b·W_b + … + bias`, with learned matrices and a learned bias.

    Args:
        name: the parameters are called `name/0`, `name/1`, … (a matrix for each value, `(value size, size)`) and
            `name/bias` (`(size,)`). Each name is used once in a step.
        values: one or more values of any sizes.
        size: of the result; the layer's hidden size if not given.
        bias: the initial value of the bias: a number, an array, or a distribution; `None` for no bias.
        initial: the initial value of the matrices, one for all or a tuple with one for each value; `None` leaves it to
            the layer's `init`.
    """
    owner = current()
    _check_name(owner, name)
    if not values:
        owner.fail(f"affine `{name}` has no value to multiply.", user_line(), f'Write affine("{name}", x, h).')
    columns = _check_size(owner, name, size)
    starts = initial if isinstance(initial, tuple) else (initial,) * len(values)
    if len(starts) != len(values):
        owner.fail(
            f"affine `{name}` multiplies {len(values)} values, got {len(starts)} initial values.",
            user_line(),
            "Give a tuple with one for each value, or a single one for all.",
        )
    terms = [
        _product(owner, f"{name}/{position}", value, columns, start)
        for position, (value, start) in enumerate(zip(values, starts, strict=True))
    ]
    if bias is not None:
        terms.insert(1, _vector(f"{name}/bias", columns, "bias", bias))
    return functools.reduce(operator.add, terms)


def _product(owner: Recording, name: str, value: Value, columns: int, initial: Initial | None) -> Value:
    operand = row_of(value, "affine")
    shape = operand.size, columns
    owner.declare(Parameter(name, shape, "input", _matrix_start(owner, name, initial, shape)))
    return owner.make("product", operand, attribute=(name, *shape))


def matrix(
    name: str,
    rows: int | None = None,
    columns: int | None = None,
    *,
    initial: Initial | None = None,
    learned: bool = True,
) -> Matrix:
    """Declare a matrix for `product`, which may multiply by it several times.

    Args:
        name: its name in the layer's weights; used once in a step.
        rows: the size of the values that it multiplies; the layer's hidden size if not given.
        columns: the size of the product; the layer's hidden size if not given.
        initial: its initial value: a number, an array `(rows, columns)`, or a distribution such as `orthogonal()`;
            `None` leaves it to the layer's `init`.
        learned: whether it is trained; otherwise it is saved with the layer and keeps its initial value.
    """
    owner = current()
    _check_name(owner, name)
    shape = _check_size(owner, name, rows), _check_size(owner, name, columns)
    _check_learned(owner, name, learned)
    owner.declare(Parameter(name, shape, "input", _matrix_start(owner, name, initial, shape), learned))
    return Matrix(owner, name, shape)


def product(value: Value, matrix: Matrix, transposed: bool = False) -> Value:
    """Multiply a value by a matrix.

    The gradients of all products by one matrix add up.

    Args:
        value: of size `rows`; of size `columns` for the transposed matrix.
        matrix: from `matrix(...)`, of this step.
        transposed: multiply by the transposed matrix.
    """
    owner = current()
    if not isinstance(matrix, Matrix) or matrix.owner is not owner:
        kind = "a matrix of another step" if isinstance(matrix, Matrix) else f"a {type(matrix).__name__}"
        owner.fail(
            f"`product` expected a matrix of this step, got {kind}.",
            user_line(),
            'Declare it in the step: product(h, matrix("recurrent", h.size, h.size)).',
        )
    if not isinstance(transposed, bool):
        owner.fail(f"`transposed` is {transposed!r}.", user_line(), "Give True or False.")
    name, shape = (turned(matrix.name), matrix.shape[::-1]) if transposed else (matrix.name, matrix.shape)
    return owner.make("product", row_of(value, "product"), attribute=(name, *shape))


def parameter(name: str, size: int | None = None, *, initial: Initial = 0.0, learned: bool = True) -> Value:
    """Declare a vector that a layer holds: a peephole, a gain, an initial slope.

    Args:
        name: its name in the layer's weights; used once in a step.
        size: number of elements; the layer's hidden size if not given.
        initial: its initial value: a number, an array `(size,)`, or a distribution such as `uniform(-1, 1)`.
        learned: whether it is trained; otherwise it is saved with the layer and keeps its initial value.
    """
    owner = current()
    _check_name(owner, name)
    _check_learned(owner, name, learned)
    return _vector(name, _check_size(owner, name, size), "vector", initial, learned)


def _vector(name: str, size: int, role: Any, initial: Initial, learned: bool = True) -> Value:
    owner = current()
    if isinstance(initial, int | float) and not isinstance(initial, bool) and math.isfinite(initial):
        start = float(initial)
    else:
        start = _read_start(owner, name, initial, (size,))
    owner.declare(Parameter(name, (size,), role, start, learned))
    return owner.make("vector", attribute=(name, size))


def _matrix_start(owner: Recording, name: str, initial: Initial | None, shape: tuple[int, int]) -> float | Start:
    """Return the start of a matrix, 0.0 to leave it to the layer's `init`."""
    return 0.0 if initial is None else _read_start(owner, name, initial, shape)


def _read_start(owner: Recording, name: str, initial: Initial, shape: tuple[int, ...]) -> Start:
    try:
        return read_start(initial, shape)
    except UsageError as mistake:
        owner.fail(f"the initial value of `{name}`: {mistake.problem}", user_line(), mistake.fix or "")


def _check_learned(owner: Recording, name: str, learned: object) -> None:
    if not isinstance(learned, bool):
        owner.fail(f"`learned` of `{name}` is {learned!r}.", user_line(), "Give True or False.")


def bernoulli(name: str, probability: float, *, size: int | None = None, per: Per = "step") -> Value:
    """Draw a row of ones and zeros while a layer trains, and use their mean in evaluation.

    Args:
        name: its name in the graph; used once in a step.
        probability: of a 1, from 0 to 1.
        size: features; the layer's hidden size if not given.
        per: `step`: drawn anew for each step of each sequence; `sequence`: once for all steps of a sequence.
    """
    owner = current()
    _check_name(owner, name)
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0.0 <= probability <= 1.0:
        owner.fail(f"`{name}` is drawn with probability {probability!r}.", user_line(), "Give a number from 0 to 1.")
    if per not in ("step", "sequence"):
        owner.fail(f"`{name}` is drawn per {per!r}.", user_line(), "Draw it per='step' or per='sequence'.")
    draw = Draw(f"{name}/draw", float(probability), per)
    if draw.name in (other.name for other in owner.draws):
        owner.fail(f"the name `{name}` is used for two draws.", user_line(), "Give each draw a name of its own.")
    value = owner.make("input", attribute=(draw.name, _check_size(owner, name, size)))
    owner.draws[draw] = value.node
    return value


def dropout(name: str, value: Value, probability: float, *, per: Per = "step") -> Value:
    """Drop features and scale up the others while a layer trains, not in evaluation.

    Args:
        name: of the draw, see `bernoulli`.
        value: to drop features of.
        probability: of dropping a feature, from 0 to below 1; nothing is drawn for 0.
        per: `step`: other features at every step; `sequence`: the same at all steps of a sequence.
    """
    owner = current()
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0.0 <= probability < 1.0:
        owner.fail(f"`{name}` drops with probability {probability!r}.", user_line(), "Give one from 0 to below 1.")
    if probability == 0.0:
        return value
    kept = bernoulli(name, 1.0 - probability, size=row_of(value, "dropout").size, per=per)
    return value * (kept / (1.0 - probability))


def _check_name(owner: Recording, name: object) -> None:
    if not isinstance(name, str) or not name.isidentifier() or name.endswith(TRANSPOSED):
        owner.fail(
            f"{name!r} cannot name parameters.",
            user_line(),
            'The first argument is a name of letters, digits and underscores: affine("update", x, h).',
        )


def _check_size(owner: Recording, name: str, size: object) -> int:
    owner.has_own_sizes |= size is not None
    size = owner.hidden_size if size is None else size
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        owner.fail(f"`{name}` has the size {size!r}.", user_line(), "Give a whole number of at least 1.")
    return size


WORDS |= {
    word.__name__: word
    for word in (
        affine, matrix, product, parameter, chrono, delay_line, glorot, identity, normal, opposite, orthogonal, ring,
        small_world, sparse, uniform,
        bernoulli, dropout, where, concat, split, sum, mean, max, power, exp, log, sqrt, square,
        reciprocal, sin, cos, tanh, sigmoid, relu, sign, maximum, minimum, linear, softplus, silu, elu, leaky_relu,
        hard_sigmoid, softsign, softmax, floor, round, remainder, erf, erfc, log1p, expm1, stop_gradient, cumsum, outer,
        contract, gelu, mish, selu, celu, relu6, hard_tanh, hard_silu, sparse_plus, sparse_sigmoid, squareplus,
        log_sigmoid, log_softmax, tanh_shrink, soft_shrink, hard_shrink, glu,
    )
}  # fmt: skip
