"""Every word of the language against torch's function of that name: values and gradients, also at the special points.

Found values are compared with those of torch in float64 of the same numbers, which are right but for torch's errors in
float64. Where torch has no such function, its operations on float64 say what is meant.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import mpmath
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

import elman
from elman import Next, cell
from elman.compiler.dispatch import GENERAL
from elman.compiler.graph import Graph
from elman.compiler.language import WORDS
from elman.compiler.starts import STARTS
from elman.compiler.testing.data import Data
from elman.compiler.testing.interpreted import interpreted_gradients
from tests.compiler.run import run

DTYPES = {"float32": torch.float32, "float64": torch.float64}
RUNS = [(target, name) for target in GENERAL for name in DTYPES if target != "reference" or name == "float64"]
ULPS = 8

INF, NAN = math.inf, math.nan
BENDS = [0.5, 1.0, 2.0, 3.0, 6.0]
FAR = [1e-20, 1e-6, 0.1, 1.5, 5.0, 18.0, 30.0, 80.0, 100.0, 1e4, 1e30]
PAIRED = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 1.5, -2.25, 1e-20, -1e-20, 1e15, INF, -INF, NAN]


def singles(dtype: torch.dtype) -> Tensor:
    """Zero of either sign, numbers too small to be normal, bends and a rounding around them, large, infinite, NaN."""
    info = torch.finfo(dtype)
    small = [info.tiny / 8, info.tiny, info.smallest_normal * 3]
    near = [edge * factor for edge in BENDS for factor in (1.0 - info.eps, 1.0, 1.0 + info.eps)]
    signed = torch.tensor([0.0, *small, *FAR, *near, INF], dtype=torch.float64)
    dense = torch.linspace(-12.0, 12.0, 1001, dtype=torch.float64)
    return torch.cat([signed, -signed, torch.tensor([NAN], dtype=torch.float64), dense]).to(dtype)


def pairs(dtype: torch.dtype) -> Tensor:
    """Every special point with every other, and numbers between."""
    generator = torch.Generator().manual_seed(0)
    dense = 3.0 * torch.randn(500, 2, generator=generator, dtype=torch.float64)
    return torch.cat([torch.tensor(list(product(PAIRED, PAIRED)), dtype=torch.float64), dense]).T.to(dtype)


@dataclass(frozen=True)
class Word:
    """How a word is compared.

    Args:
        ours: the word, on values of a step.
        theirs: the same on tensors.
        value: the error allowed, in units of the last place.
        slope: the same for gradients.
        floor: an error of values that is allowed everywhere, in units of the last place of 1.
        slope_floor: the same for gradients.
        tiny: an error of either that is allowed everywhere, in units of the smallest normal number.
        skip: where gradients are not compared.
        skip_value: where values are not compared.
        second: whether second derivatives are compared.
    """

    ours: Callable
    theirs: Callable
    value: float = ULPS
    slope: float = ULPS
    floor: float = 0.0
    slope_floor: float = 0.0
    tiny: float = 0.0
    skip: Callable[..., Tensor] = field(default=lambda *values: torch.zeros_like(values[0], dtype=torch.bool))
    skip_value: Callable[..., Tensor] = field(default=lambda *values: torch.zeros_like(values[0], dtype=torch.bool))
    second: bool = True


# torch's own kernels differ at NaN, between whole vectors and what is left of them.
AT_NAN = lambda value, *rest: value.isnan()  # noqa: E731


def hardsigmoid(x: Tensor) -> Tensor:
    """torch's own, with a slope of 1/6 that has float64's digits; torch's has float32's."""
    return torch.where(x.abs() < 3.0, (x + 3.0) / 6.0, F.hardsigmoid(x).detach())


def gelu(x: Tensor) -> Tensor:
    """torch's own, with all its digits."""
    return 0.5 * x * torch.erfc(-x * math.sqrt(0.5))


def gelu_tanh(x: Tensor) -> Tensor:
    """torch's own, with all its digits."""
    return x * torch.sigmoid(2.0 * math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3))


def sparse_plus(x: Tensor) -> Tensor:
    """Keras's."""
    return torch.where(
        x <= -1.0, 0.0 * x.nan_to_num(0, 0, 0), torch.where(x >= 1.0, x, (x.clamp(-1, 1) + 1.0) ** 2 / 4.0)
    )


def sparse_sigmoid(x: Tensor) -> Tensor:
    """Keras's."""
    return torch.where(x.abs() < 1.0, (x + 1.0) / 2.0, ((x + 1.0) / 2.0).clamp(0.0, 1.0).detach())


def squareplus(x: Tensor) -> Tensor:
    """Keras's, with all its digits."""
    root = torch.sqrt(x * x + 4.0)
    return torch.where(x >= 0.0, (root + x) / 2.0, 2.0 / (root + x.abs()))


def expm1(x: Tensor) -> Tensor:
    """torch's own, with the slope exp(x) also where torch's, which is `expm1(x) + 1`, has no digits left."""
    return torch.where(x < 0.0, F.elu(x), torch.expm1(x))


AT_MINUS_END = lambda value, *rest: ((value == 0) & value.signbit()) | (value == -INF)  # noqa: E731


# Why errors are allowed: a slope that is made from the value, as torch's, is 1 less a number near 1 (tanh, sigmoid,
# softsign, and what is made of them, times the value in mish and silu), or a difference of two numbers near its zero
# (silu, mish, hard_silu); `tanh_shrink` itself is such a difference. The slope of erf has x² in an exponent, rounded.
# What is smaller than a normal number has few digits, and torch's sigmoid and silu give 0 for it.
ONE: dict[str, Word] = {
    "exp": Word(elman.exp, torch.exp),
    "log": Word(elman.log, torch.log),
    "sqrt": Word(elman.sqrt, torch.sqrt),
    "square": Word(elman.square, torch.square),
    "reciprocal": Word(elman.reciprocal, torch.reciprocal),
    "sin": Word(elman.sin, torch.sin),
    "cos": Word(elman.cos, torch.cos),
    "tanh": Word(elman.tanh, torch.tanh, slope_floor=2.0),
    "sigmoid": Word(elman.sigmoid, torch.sigmoid, slope_floor=1.0, tiny=1.0),
    "relu": Word(elman.relu, torch.relu),
    "sign": Word(elman.sign, torch.sign, skip_value=AT_NAN),
    "linear": Word(elman.linear, lambda x: x * 1.0),
    "softplus": Word(elman.softplus, lambda x: F.softplus(x, threshold=40.0)),
    "silu": Word(elman.silu, F.silu, slope_floor=1.0, tiny=1.0),
    "elu": Word(elman.elu, F.elu, skip=AT_NAN),
    "elu 0.5": Word(lambda x: elman.elu(x, 0.5), lambda x: F.elu(x, 0.5), skip=AT_NAN),
    "leaky_relu": Word(elman.leaky_relu, F.leaky_relu),
    "leaky_relu 0.2": Word(lambda x: elman.leaky_relu(x, 0.2), lambda x: F.leaky_relu(x, 0.2)),
    "hard_sigmoid": Word(elman.hard_sigmoid, hardsigmoid, second=False),
    "softsign": Word(elman.softsign, F.softsign, slope_floor=1.0),
    "floor": Word(elman.floor, torch.floor),
    "round": Word(elman.round, torch.round),
    "erf": Word(elman.erf, torch.erf, slope_floor=0.5),
    "erfc": Word(elman.erfc, torch.erfc, slope_floor=0.5),
    "log1p": Word(elman.log1p, torch.log1p),
    "expm1": Word(elman.expm1, expm1),
    "stop_gradient": Word(elman.stop_gradient, lambda x: x.detach() + 0.0 * x.nan_to_num(0, 0, 0)),
    # torch's own subtract from 1, and have no digits left far below 0: they are compared below. An exponent has x²
    # roundings, down to -12. A slope has one rounding of 1, times that of the cubic, up to 50 where it still counts.
    "gelu": Word(elman.gelu, gelu, value=150, slope=150, slope_floor=1.0, tiny=1.0),
    "gelu tanh": Word(
        lambda x: elman.gelu(x, approximate="tanh"),
        gelu_tanh,
        value=150,
        slope=150,
        slope_floor=50.0,
        tiny=2.0,
        skip=lambda x: x.abs() > 1e13,
    ),
    "gelu, torch's": Word(elman.gelu, F.gelu, floor=4.0, slope_floor=8.0),
    "gelu tanh, torch's": Word(
        lambda x: elman.gelu(x, approximate="tanh"),
        lambda x: F.gelu(x, approximate="tanh"),
        floor=8.0,
        slope_floor=50.0,
        skip=lambda x: x.abs() > 1e13,
        second=False,
    ),
    "mish": Word(elman.mish, F.mish, slope_floor=16.0, tiny=1.0),
    "selu": Word(elman.selu, F.selu, skip=AT_NAN),
    "celu": Word(elman.celu, F.celu, skip=AT_NAN),
    "celu 2": Word(lambda x: elman.celu(x, 2.0), lambda x: F.celu(x, 2.0), skip=AT_NAN),
    "relu6": Word(elman.relu6, F.relu6, skip=AT_NAN),
    "hard_tanh": Word(elman.hard_tanh, F.hardtanh, skip=AT_NAN),
    "hard_silu": Word(elman.hard_silu, F.hardswish, skip=AT_NAN, slope_floor=1.0),
    "sparse_plus": Word(elman.sparse_plus, sparse_plus, skip=AT_NAN),
    "sparse_sigmoid": Word(elman.sparse_sigmoid, sparse_sigmoid),
    "squareplus": Word(
        elman.squareplus, squareplus, skip=lambda x: x.abs() > 1e18, skip_value=lambda x: x.abs() > 1e18
    ),
    "log_sigmoid": Word(elman.log_sigmoid, F.logsigmoid),
    "tanh_shrink": Word(elman.tanh_shrink, F.tanhshrink, floor=2.0, slope_floor=2.0),
    "soft_shrink": Word(elman.soft_shrink, F.softshrink, skip=AT_NAN),
    "hard_shrink": Word(elman.hard_shrink, F.hardshrink, skip=AT_NAN),
    "abs": Word(abs, torch.abs),
    "negation": Word(lambda x: -x, torch.neg),
    **{
        f"power {exponent}": Word(lambda x, e=exponent: x**e, lambda x, e=exponent: x**e)
        for exponent in (0, 1, 2, 3, 4, 5, 8, 13, -1, -2, -3, 2.25, -2.25, 30)
    },
    # Where torch takes a root for these, it gives another zero or infinity for -0 and for -infinity.
    **{
        f"power {exponent}": Word(lambda x, e=exponent: x**e, lambda x, e=exponent: x**e, skip=AT_MINUS_END)
        for exponent in (0.5, -0.5, 1.5)
    },
    # The exponent itself is rounded, and the logarithm of the base makes more of that.
    "power 0.1": Word(lambda x: x**0.1, lambda x: x**0.1, value=16, slope=64),
    **{f"{base} to a power": Word(lambda x, b=base: b**x, lambda x, b=base: b**x) for base in (2.0, 0.5, 0.0, 10.0)},
}

TWO: dict[str, Word] = {
    "add": Word(lambda a, b: a + b, torch.add),
    "sub": Word(lambda a, b: a - b, torch.sub),
    "mul": Word(lambda a, b: a * b, torch.mul),
    "div": Word(lambda a, b: a / b, torch.div),
    "maximum": Word(elman.maximum, torch.maximum),
    "minimum": Word(elman.minimum, torch.minimum),
    # The exponent less 1 is even or odd only while it has a digit for that.
    "power": Word(elman.power, torch.pow, tiny=1.0, skip=lambda a, b: (a < 0) & (b > 1e7) & b.isfinite()),
    "remainder": Word(elman.remainder, torch.remainder, skip=lambda a, b: ~torch.remainder(a, b).isfinite()),
    "where": Word(lambda a, b: elman.where(a, b, a), lambda a, b: torch.where(a != 0, b, a)),
    "less": Word(lambda a, b: (a < b) * 1.0, lambda a, b: (a < b).double() + 0.0 * a.nan_to_num(0, 0, 0)),
}


ROWS = [
    [0.0, 0.0, 0.0, 0.0],
    [-0.0, 0.0, 1.0, 1.0],
    [3.0, -1.0, 3.0, 0.5],
    [1e30, -1e30, 0.0, 1.0],
    [-INF, 0.0, 1.0, -2.0],
    [-INF, -INF, -INF, -INF],
    [INF, 0.0, 1.0, -2.0],
    [INF, 1.0, INF, -2.0],
    [NAN, 1.0, 2.0, 3.0],
    [1e-30, -1e-30, 100.0, -100.0],
    list(torch.linspace(-3.0, 2.0, 38).tolist()),
    list((5.0 * torch.randn(22, generator=torch.Generator().manual_seed(1))).tolist()),
]


def first(x: Tensor) -> Tensor:
    return x[..., : x.shape[-1] // 2]


def rest(x: Tensor) -> Tensor:
    return x[..., x.shape[-1] // 2 :]


# Words that read whole rows: the same on a value and on a tensor whose last axis are its features. What sums up rounds
# in another order than torch, so that what is left of large numbers that cancel is not compared.
WHOLE: dict[str, tuple[Callable, Callable]] = {
    "sum": (elman.sum, lambda x: x.sum(-1, keepdim=True)),
    "mean": (elman.mean, lambda x: x.mean(-1, keepdim=True)),
    "max": (elman.max, lambda x: x.amax(-1, keepdim=True)),
    "softmax": (elman.softmax, lambda x: x.softmax(-1)),
    "log_softmax": (elman.log_softmax, lambda x: x.log_softmax(-1)),
    "glu": (elman.glu, F.glu),
    "cumsum": (elman.cumsum, lambda x: x.cumsum(-1)),
    "concat": (lambda x: elman.concat(x, x * x), lambda x: torch.cat([x, x * x], -1)),
    "split": (lambda x: elman.split(x, 2)[1], rest),
    "outer": (
        lambda x: elman.outer(*elman.split(x, 2)),
        lambda x: (first(x).unsqueeze(-1) * rest(x).unsqueeze(-2)).flatten(-2),
    ),
    "contract": (
        lambda x: elman.contract(elman.concat(x, x[: x.size // 2], x), elman.split(x, 2)[1]),
        lambda x: (torch.cat([x, first(x), x], -1).unflatten(-1, (5, -1)) @ rest(x).unsqueeze(-1)).squeeze(-1),
    ),
    "contract transposed": (
        lambda x: elman.contract(elman.concat(x, x[: x.size // 2], x), elman.split(x, 2)[1], transposed=True),
        lambda x: (
            rest(x).unsqueeze(-2) @ torch.cat([x, first(x), x], -1).unflatten(-1, (x.shape[-1] // 2, 5))
        ).squeeze(-2),
    ),
}
PRODUCTS = ("outer", "contract", "contract transposed", "concat", "glu")
# Their results are not a function of values alone, or they are no values at all.
UNCOMPARED = {"affine", "matrix", "product", "parameter", "bernoulli", "dropout"}
UNCOMPARED |= {start.__name__ for start in STARTS}


ALL = (*ONE, *TWO, *WHOLE)


def step_of(expression: Callable, size: int, count: int) -> Graph:
    """A step with the expression of as many parts of its input as its output."""

    def step(x, h):
        parts = [x[place * size : (place + 1) * size] for place in range(count)]
        return Next(h=h, output=expression(*parts))

    return cell(step).trace(size * count, 1)


def upstream(output: Tensor) -> Tensor:
    """The gradient of the results, another one for each where a whole row makes them."""
    return torch.linspace(1.0, 1.5, output.shape[-1], dtype=output.dtype).expand_as(output)


def ours(word: Callable, values: Tensor, target: str, d_output: Callable = torch.ones_like) -> tuple[Tensor, Tensor]:
    """The word of `(arguments, numbers)`: values `(numbers,)` and gradients of the arguments."""
    graph = step_of(word, values.shape[1], len(values))
    x = values.reshape(1, -1).clone().requires_grad_(target != "reference")
    state = values.new_zeros(1, 1)
    output, _ = run(graph, [x, state], [1], target)
    if target == "reference":
        data = Data((1,), False, (x, state), (d_output(output), torch.zeros_like(state)))
        slope = interpreted_gradients(graph, data)[0]
    else:
        slope = torch.zeros_like(x)
        if output.requires_grad:
            (slope,) = torch.autograd.grad(output, [x], d_output(output), materialize_grads=True)
    return output.detach()[0], slope.reshape(values.shape)


def theirs(word: Callable, values: Tensor, d_output: Callable = torch.ones_like) -> tuple[Tensor, Tensor]:
    """The same by torch in float64."""
    parts = values.double().requires_grad_()
    output = word(*parts)
    (slope,) = torch.autograd.grad(output, [parts], d_output(output), materialize_grads=True)
    return output.detach(), slope


def unit(values: Tensor, dtype: torch.dtype) -> Tensor:
    """A unit of the last place of each number; of the largest one for what is beyond."""
    size = values.abs().to(dtype).nan_to_num().clamp(max=torch.finfo(dtype).max / 4)
    return (torch.nextafter(size, torch.tensor(INF, dtype=dtype)) - size).double()


def wrong(found: Tensor, wanted: Tensor, ulps: float, floor: float, tiny: float) -> Tensor:
    """Where two results differ by more than what is allowed; NaN and infinity must be the same."""
    dtype = found.dtype
    rounded = wanted.to(dtype)
    allowed = ulps * unit(wanted, dtype) + floor * torch.finfo(dtype).eps + tiny * torch.finfo(dtype).tiny
    same = (found == rounded) | (found.isnan() & rounded.isnan())
    return ~(same | ((found.double() - wanted).abs() <= allowed))


def report(name: str, what: str, places: Tensor, values: Tensor, found: Tensor, wanted: Tensor) -> str:
    """The first few points that are wrong."""
    rows = [
        f"{name} at {values[:, place].tolist()}: {what} {found[place]!r}, expected {wanted[place].to(found.dtype)!r}"
        for place in places.nonzero().flatten()[:6].tolist()
    ]
    return "\n".join([f"{int(places.sum())} points", *rows])


def test_every_word_is_compared():
    assert {name.split()[0].rstrip(",") for name in ALL} >= set(WORDS) - UNCOMPARED


@pytest.mark.parametrize(("target", "dtype"), RUNS)
@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_values_and_gradients_are_torchs(name: str, target: str, dtype: str):
    word, values = (ONE[name], singles(DTYPES[dtype])[None]) if name in ONE else (TWO[name], pairs(DTYPES[dtype]))
    found, slopes = ours(word.ours, values, target)
    wanted, wanted_slopes = theirs(word.theirs, values)
    places = wrong(found, wanted, word.value, word.floor, word.tiny) & ~word.skip_value(*values)
    assert not places.any(), report(name, "value", places, values, found, wanted)
    for slope, wanted_slope in zip(slopes, wanted_slopes, strict=True):
        places = wrong(slope, wanted_slope, word.slope, word.slope_floor, word.tiny) & ~word.skip(*values)
        assert not places.any(), report(name, "gradient", places, values, slope, wanted_slope)


def second_derivatives(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Of a function of each number alone."""
    x = values.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    if not slope.requires_grad:
        return torch.zeros_like(values)
    return torch.autograd.grad(slope.sum(), x, materialize_grads=True)[0]


@pytest.mark.parametrize("name", [name for name, word in ONE.items() if word.second])
def test_second_derivatives_are_torchs(name: str):
    word, values = ONE[name], singles(torch.float64)[None]
    values = values[:, values[0].isfinite() & (values[0].abs() < 100.0) & ~word.skip(*values)]
    graph = step_of(word.ours, values.shape[1], 1)
    eager = lambda x: run(graph, [x, x.new_zeros(1, 1)], [1], "eager")[0]  # noqa: E731
    if not eager(values.clone().requires_grad_()).requires_grad:
        return
    found = second_derivatives(eager, values)[0]
    wanted = second_derivatives(word.theirs, values[0])
    places = wrong(found, wanted, 64, 64 + word.slope_floor, 1.0)
    assert not places.any(), report(name, "second derivative", places, values, found, wanted)


@pytest.mark.parametrize(("target", "dtype"), RUNS)
@pytest.mark.parametrize("name", WHOLE)
def test_words_of_whole_rows_are_torchs(name: str, target: str, dtype: str):
    mine, torchs = WHOLE[name]
    for row in ROWS:
        values = torch.tensor([row], dtype=torch.float64).to(DTYPES[dtype])
        found, slopes = ours(mine, values, target, upstream)
        wanted, wanted_slopes = theirs(torchs, values, upstream)
        finite = values[values.isfinite()].abs().tolist()
        scale = max([1.0, *finite]) ** (2 if name in PRODUCTS else 1)
        places = wrong(found, wanted, ULPS, 64 * scale, 0.0)
        assert not places.any(), report(name, "value", places, found[None], found, wanted)
        places = wrong(slopes[0], wanted_slopes[0], ULPS, 64 * scale, 0.0)
        assert not places.any(), report(name, "gradient", places, values, slopes[0], wanted_slopes[0])


# The same in mpmath, with more digits than torch has: where torch has no such function, or few digits left.
MORE_DIGITS: dict[str, tuple[Callable, Callable]] = {
    "softplus": (elman.softplus, lambda x: mpmath.log1p(mpmath.exp(x))),
    "log_sigmoid": (elman.log_sigmoid, lambda x: -mpmath.log1p(mpmath.exp(-x))),
    "gelu": (elman.gelu, lambda x: x * mpmath.ncdf(x)),
    "erfc": (elman.erfc, mpmath.erfc),
    "expm1": (elman.expm1, mpmath.expm1),
    "log1p of a square": (lambda x: elman.log1p(x * x), lambda x: mpmath.log1p(x * x)),
    "elu": (elman.elu, lambda x: x if x > 0 else mpmath.expm1(x)),
    "squareplus": (elman.squareplus, lambda x: (x + mpmath.sqrt(x * x + 4)) / 2),
    "sparse_plus": (elman.sparse_plus, lambda x: mpmath.mpf(0) if x < -1 else (x + 1) ** 2 / 4 if x < 1 else x),
    "sparse_sigmoid": (elman.sparse_sigmoid, lambda x: min(max((x + 1) / 2, mpmath.mpf(0)), mpmath.mpf(1))),
}


@pytest.mark.parametrize(("target", "dtype"), RUNS)
@pytest.mark.parametrize("name", MORE_DIGITS)
def test_values_and_gradients_have_their_digits(name: str, target: str, dtype: str):
    mine, exact = MORE_DIGITS[name]
    values = torch.tensor([[-18.0, -9.0, -5.0, -2.5, -0.5, -1e-4, 1e-4, 0.5, 2.5, 5.0, 18.0]], dtype=DTYPES[dtype])
    found, slopes = ours(mine, values, target)
    with mpmath.workdps(320):
        points = [mpmath.mpf(x) for x in values[0].tolist()]
        wanted = torch.tensor([float(exact(x)) for x in points], dtype=torch.float64)
        wanted_slopes = torch.tensor([float(mpmath.diff(exact, x)) for x in points], dtype=torch.float64)
    # The square of what is rounded stands in an exponent: x² roundings, here up to 324, and as many of the square.
    ulps = 648.0 if name in ("gelu", "erfc") else 2.0 * ULPS
    places = wrong(found, wanted, ulps, 0.0, 1.0)
    assert not places.any(), report(name, "value", places, values, found, wanted)
    places = wrong(slopes[0], wanted_slopes, ulps, 1.0 if name == "log_sigmoid" else 0.0, 1.0)
    assert not places.any(), report(name, "gradient", places, values, slopes[0], wanted_slopes)


@pytest.mark.parametrize(
    ("activation", "slope"), [("softplus", 0.5), ("elu", 1.0), ("selu", 1.75809934), ("relu", 0.0)]
)
def test_a_layer_learns_from_a_silent_input(activation: str, slope: float):
    layer = elman.SimpleRNN(3, 4, activation=activation)
    layer(torch.zeros(1, 1, 3))[0].sum().backward()
    gradient = dict(layer.named_parameters())[next(name for name, _ in layer.named_parameters() if "bias" in name)].grad
    torch.testing.assert_close(gradient, torch.full_like(gradient, slope))
