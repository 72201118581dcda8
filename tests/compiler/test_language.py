"""Every word of the language against NumPy, and every operation in every target's table."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

import elman
from elman import Next, cell
from elman.compiler.dispatch import GENERAL
from elman.compiler.graph import Nodes
from elman.compiler.language import WORDS
from elman.compiler.operations import BINARY, OPERATIONS, UNARY, Mismatch, size_of
from elman.compiler.reference import NUMPY
from elman.compiler.simplify import NUMBERS
from elman.compiler.simplify import _fold_numbers as fold
from elman.compiler.starts import STARTS
from elman.compiler.targets.eager import TORCH
from tests.compiler import test_words_against_torch
from tests.compiler.run import evaluate
from tests.laws.tolerances import assert_near

A = np.array([[-2.5, -1.0, 0.0, 0.5], [3.0, 1.0, 0.0, -0.25], [40.0, -40.0, 1e-3, 7.0]])
B = np.array([[1.5, -1.0, 2.0, -0.5], [-3.0, 0.25, 0.0, 4.0], [2.0, -40.0, -1.0, 0.125]])
POSITIVE = np.abs(A) + 0.125

softplus = np.vectorize(lambda x: x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x)))


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


# Each word: how it stands in a step, the same in NumPy, and what it is given.
ONE: dict[str, tuple[Callable, Callable, np.ndarray]] = {
    "exp": (elman.exp, np.exp, A),
    "log": (elman.log, np.log, POSITIVE),
    "sqrt": (elman.sqrt, np.sqrt, POSITIVE),
    "square": (elman.square, lambda x: x * x, A),
    "reciprocal": (elman.reciprocal, lambda x: 1 / x, POSITIVE),
    "sin": (elman.sin, np.sin, A),
    "cos": (elman.cos, np.cos, A),
    "tanh": (elman.tanh, np.tanh, A),
    "sigmoid": (elman.sigmoid, lambda x: 0.5 * (1 + np.tanh(x / 2)), A),
    "relu": (elman.relu, lambda x: np.where(x > 0, x, 0), A),
    "sign": (elman.sign, np.sign, A),
    "linear": (elman.linear, lambda x: x, A),
    "softplus": (elman.softplus, softplus, A),
    "silu": (elman.silu, lambda x: x / (1 + np.exp(-x)), A),
    "elu": (elman.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), A),
    "leaky_relu": (elman.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), A),
    "leaky_relu, steeper": (lambda x: elman.leaky_relu(x, 0.3), lambda x: np.where(x > 0, x, 0.3 * x), A),
    "hard_sigmoid": (elman.hard_sigmoid, lambda x: np.clip(x / 6 + 0.5, 0, 1), A),
    "softsign": (elman.softsign, lambda x: x / (1 + np.abs(x)), A),
    "softmax": (elman.softmax, softmax, A),
    "sum": (elman.sum, lambda x: x.sum(1, keepdims=True), A),
    "mean": (elman.mean, lambda x: x.mean(1, keepdims=True), A),
    "max": (elman.max, lambda x: x.max(1, keepdims=True), A),
    "split in two": (lambda x: elman.split(x, 2)[1], lambda x: x[:, 2:], A),
    "split by sizes": (lambda x: elman.split(x, [1, 3])[1], lambda x: x[:, 1:], A),
    "negation": (lambda x: -x, lambda x: -x, A),
    "abs": (abs, np.abs, A),
    "a feature": (lambda x: x[1], lambda x: x[:, 1:2], A),
    "the last feature": (lambda x: x[-1], lambda x: x[:, -1:], A),
    "some features": (lambda x: x[1:3], lambda x: x[:, 1:3], A),
    "number on the left": (lambda x: 2.0 - 3.0 / (1 + x), lambda x: 2.0 - 3.0 / (1 + x), POSITIVE),
    "numpy's number on the left": (lambda x: np.sqrt(2.0) * x, lambda x: math.sqrt(2.0) * x, A),
    "number to a value": (lambda x: 2**x, lambda x: 2**x, A),
    "numpy's number to a value": (lambda x: np.float64(2.0) ** x, lambda x: 2**x, A),
    "remainder by sign": (lambda x: x % 2.0 + 7.0 % (x + 50.0), lambda x: x % 2.0 + 7.0 % (x + 50.0), A),
    **{
        f"power {exponent}": (lambda x, e=exponent: elman.power(x, e), lambda x, e=exponent: x**e, A)
        for exponent in (0, 1, 2, 3, 4, 5, 8, 13, 2.0)
    },
    **{
        f"power {exponent}": (lambda x, e=exponent: x**e, lambda x, e=exponent: x**e, POSITIVE)
        for exponent in (-1, -2, -5, 0.5, -0.5, 1.5, 0.1, -2.25)
    },
}

TWO: dict[str, tuple[Callable, Callable]] = {
    "add": (lambda a, b: a + b, np.add),
    "sub": (lambda a, b: a - b, np.subtract),
    "mul": (lambda a, b: a * b, np.multiply),
    "div": (lambda a, b: a / (b + 10.0), lambda a, b: a / (b + 10.0)),
    "maximum": (elman.maximum, np.maximum),
    "minimum": (elman.minimum, np.minimum),
    "less": (lambda a, b: a < b, np.less),
    "less_equal": (lambda a, b: a <= b, np.less_equal),
    "greater": (lambda a, b: a > b, np.greater),
    "greater_equal": (lambda a, b: a >= b, np.greater_equal),
    "equal": (lambda a, b: a == b, np.equal),
    "not equal": (lambda a, b: a != b, np.not_equal),
    "where": (lambda a, b: elman.where(a > b, a, 2.0), lambda a, b: np.where(a > b, a, 2.0)),
    "concat": (elman.concat, lambda a, b: np.concatenate([a, b], 1)),
    "value to a value": (lambda a, b: abs(a + 0.1) ** b, lambda a, b: np.abs(a + 0.1) ** b),
    "sizes 4 and 1": (lambda a, b: a * elman.mean(b), lambda a, b: a * b.mean(1, keepdims=True)),
}

ARITHMETIC = [op for op in (*UNARY, *BINARY, "sum", "max") if op not in ("less", "less_equal", "equal")]

targets = pytest.mark.parametrize("target", GENERAL)


@targets
@pytest.mark.parametrize("word", ONE)
def test_a_word_of_one_value_is_numpys(word: str, target: str):
    in_step, in_numpy, rows = ONE[word]
    expected = torch.from_numpy(np.asarray(in_numpy(rows), np.float64))
    assert_near(evaluate(in_step, torch.from_numpy(rows), target=target), expected, torch.float64)


@targets
@pytest.mark.parametrize("word", TWO)
def test_a_word_of_two_values_is_numpys(word: str, target: str):
    in_step, in_numpy = TWO[word]
    expected = torch.from_numpy(np.asarray(in_numpy(A, B), np.float64))
    rows = torch.from_numpy(A), torch.from_numpy(B)
    assert_near(evaluate(in_step, *rows, target=target), expected, torch.float64)


def test_every_word_is_tested():
    tested = {name.split(",")[0].split(" ")[0] for name in (*ONE, *TWO, *test_words_against_torch.ALL)}
    starts = {start.__name__ for start in STARTS}
    assert set(WORDS) - tested == {"affine", "matrix", "product", "parameter", "bernoulli", "dropout"} | starts
    assert all(getattr(elman, name) is word for name, word in WORDS.items())


@targets
@pytest.mark.parametrize(
    "word", [elman.sigmoid, elman.tanh, elman.softplus, elman.elu, elman.silu, elman.softmax, elman.softsign]
)
def test_a_word_stays_finite_far_out(word: Callable, target: str):
    rows = torch.tensor([[-1000.0, 1000.0, 0.0]], dtype=torch.float64)
    found = evaluate(word, rows, target=target)
    assert found.isfinite().all()
    assert evaluate(word, rows.float(), target=target).isfinite().all()


@targets
def test_a_number_beyond_float32_is_infinite_there(target: str):
    rows = torch.tensor([[1.0, -1.0]])
    assert evaluate(lambda x: x < 1e300, rows, target=target).tolist() == [[1.0, 1.0]]


@targets
@pytest.mark.parametrize("op", ARITHMETIC)
def test_an_operation_hides_no_nan(op: str, target: str):
    rows = torch.tensor([[math.nan, 1.0]], dtype=torch.float64)
    words = {"neg": lambda x: -x, "abs": abs, "add": lambda x: x + 1, "sub": lambda x: x - 1}
    words |= {"mul": lambda x: x * 2, "div": lambda x: x / 2}
    words |= {"remainder": lambda x: elman.remainder(x, 2.0), "power": lambda x: x**2.5}
    words |= {"maximum": lambda x: elman.maximum(x, 0.0), "minimum": lambda x: elman.minimum(x, 0.0)}
    word = words.get(op) or WORDS[op]
    assert evaluate(word, rows, target=target)[0, 0].isnan()


@targets
def test_a_comparison_with_nan_is_false(target: str):
    rows = torch.tensor([[math.nan, 1.0]], dtype=torch.float64)
    for word in (lambda x: x < 2.0, lambda x: x <= 2.0, lambda x: x > 0.0, lambda x: x >= 0.0, lambda x: x == x):
        assert evaluate(word, rows, target=target).tolist() == [[0.0, 1.0]]
    assert evaluate(lambda x: x != x, rows, target=target).tolist() == [[1.0, 0.0]]


def test_every_target_knows_every_operation():
    by_itself = {"input", "state", "vector", "number", "product", "slice", "expand", "cumsum", "contract"}
    assert set(NUMPY) == set(OPERATIONS) - by_itself
    assert set(TORCH) == set(OPERATIONS) - by_itself - {"concat"}
    assert set(NUMBERS) == {*UNARY, *BINARY, "where"}


@pytest.mark.parametrize("op", [*UNARY, *BINARY, "where"])
def test_numbers_are_folded_as_the_reference_computes_them(op: str):
    points = (0.75, 0.25, -0.5, 0.0, -0.0, 1.0, -1.0, 2.5, -3.0, 5e-324, -1e-310, 1e-20, 40.0, -40.0, 1e300)
    for values in itertools.product(points, repeat=OPERATIONS[op].arity or 1):
        nodes = Nodes()
        folded = fold(nodes, nodes.make(op, [nodes.make("number", attribute=value) for value in values]))
        with np.errstate(all="ignore"):
            expected = float(NUMPY[op](*(np.array([value]) for value in values))[0])
        if folded is not None:
            assert folded.attribute == pytest.approx(expected, rel=4e-15, abs=0.0), values
        else:
            assert not math.isfinite(expected), values


@pytest.mark.parametrize(
    ("op", "attribute", "sizes", "reason"),
    [
        ("convolve", None, (3,), "`convolve` is not an operation of the language"),
        ("tanh", None, (3, 3), "`tanh` takes 1 values and got 2"),
        ("concat", None, (), "`concat` takes one or more values and got 0"),
        ("add", None, (3, 4), "values of sizes 3 and 4 do not fit together"),
        ("where", None, (1, 3, 4), "values of sizes 1 and 3 and 4 do not fit together"),
        ("product", ("a/0", 3, 5), (4,), "the matrix a/0 has 3 rows and the value has size 4"),
        ("slice", (2, 2), (4,), "features 2 to 2 are not within a value of size 4"),
        ("slice", (0, 5), (4,), "features 0 to 5 are not within a value of size 4"),
        ("number", "four", (), "`number` cannot have the attribute 'four'"),
        ("input", ("x", 0), (), "`input` cannot have the attribute ('x', 0)"),
        ("cumsum", None, (4,), "`cumsum` cannot have the attribute None"),
        ("contract", False, (6, 4), "a matrix of 6 entries cannot have 4 columns"),
        ("contract", True, (6, 4), "a matrix of 6 entries cannot have 4 rows"),
        ("slice", None, (4,), "`slice` cannot have the attribute None"),
    ],
)
def test_what_does_not_fit_an_operation_is_refused(op: str, attribute: object, sizes: tuple[int, ...], reason: str):
    with pytest.raises(Mismatch) as caught:
        size_of(op, attribute, sizes)
    assert str(caught.value) == reason


def test_affine_names_its_parameters_and_adds_them_up():
    @cell
    def step(x, h):
        y = elman.affine("wide", x, h, x, size=2, bias=0.5)
        return Next(h=elman.affine("next", h, bias=None), output=y * elman.parameter("gain", initial=3.0)[:2])

    graph = step.trace(3, 4)
    assert [(item.name, item.shape, item.role, item.initial) for item in graph.parameters] == [
        ("wide/0", (3, 2), "input", 0.0),
        ("wide/1", (4, 2), "recurrent", 0.0),
        ("wide/2", (3, 2), "input", 0.0),
        ("wide/bias", (2,), "bias", 0.5),
        ("next/0", (4, 4), "recurrent", 0.0),
        ("gain", (4,), "vector", 3.0),
    ]
