"""The words in which a cell's step is written.

A step is an ordinary function. It is run once, on `Value`s in place of numbers, and what it did is kept as a graph.
"""

import builtins
import functools
import itertools
import linecache
import math
import operator
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from elman.compiler.graph import Draw, Node, Nodes, Parameter, Per, Source
from elman.compiler.operations import Mismatch
from elman.errors import CellError

Number = int | float


class Recording:
    """What one run of a step has said so far: its nodes, its parameters and its draws."""

    def __init__(self, name: str, hidden_size: int):
        self.name = name
        self.hidden_size = hidden_size
        self.nodes = Nodes()
        self.has_own_sizes = False
        self.parameters: dict[str, tuple[Parameter, Source]] = {}
        self.draws: dict[Draw, Node] = {}

    def make(self, op: str, *args: Node, attribute: Any = None) -> "Value":
        """The value of an operation; a mismatch is told with the user's line."""
        place = user_line()
        try:
            return Value(self, self.nodes.make(op, args, attribute, place))
        except Mismatch as reason:
            self.fail(
                f"{reason}.", place, "Check the sizes: `value.size` gives that of a value, `size=` sets an affine's."
            )

    def declare(self, parameter: Parameter) -> None:
        """Add a parameter; each name is used once."""
        place = user_line()
        if parameter.name in self.parameters:
            before = self.parameters[parameter.name][1]
            self.fail(
                f"the name `{parameter.name.split('/')[0]}` names parameters twice (first at line {before.line}).",
                place,
                "Give each affine and each parameter a name of its own.",
            )
        self.parameters[parameter.name] = (parameter, place)

    def fail(self, problem: str, place: Source | None, fix: str) -> NoReturn:
        """Raise a `CellError` that names the cell and quotes the line."""
        raise CellError(f"{self.name}: {problem}", where=quote(place), fix=fix)


recording: ContextVar[Recording] = ContextVar("recording")


def user_line() -> Source:
    """The innermost line that is not the compiler's own, nor one of a library that it was called through."""
    frame = sys._getframe(1)
    while frame.f_back and in_library(frame):
        frame = frame.f_back
    return Source(frame.f_code.co_filename, frame.f_lineno)


def in_library(frame: FrameType) -> bool:
    """Whether the frame runs code of the compiler, of torch or of numpy."""
    module = frame.f_globals.get("__name__", "")
    return module.startswith("elman.compiler.") or module.split(".")[0] in ("torch", "numpy")


def quote(place: Source | None) -> str | None:
    """The place and, below it, the line that stands there."""
    if place is None:
        return None
    text = linecache.getline(place.file, place.line).strip()
    file = Path(place.file)
    near = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return f"{near}:{place.line}\n  {text}" if text else f"{near}:{place.line}"


# What numpy and torch call an operator of Python when a number or an array of theirs stands on its left.
OPERATORS = {
    "add": "add",
    "subtract": "sub",
    "sub": "sub",
    "multiply": "mul",
    "mul": "mul",
    "divide": "div",
    "div": "div",
}
OTHER_NAMES = {"linear": "affine", "matmul": "affine", "cat": "concat", "concatenate": "concat"}


class Value:
    """A value inside a step: a row of `size` numbers for every sequence, known by how it is computed."""

    __slots__ = ("node", "owner")

    def __init__(self, owner: Recording, node: Node):
        self.owner = owner
        self.node = node

    @property
    def size(self) -> int:
        """Length of the row."""
        return self.node.size

    def __add__(self, other: "Value | Number") -> "Value":
        return _apply("add", self, other)

    def __radd__(self, other: Number) -> "Value":
        return _apply("add", other, self)

    def __sub__(self, other: "Value | Number") -> "Value":
        return _apply("sub", self, other)

    def __rsub__(self, other: Number) -> "Value":
        return _apply("sub", other, self)

    def __mul__(self, other: "Value | Number") -> "Value":
        return _apply("mul", self, other)

    def __rmul__(self, other: Number) -> "Value":
        return _apply("mul", other, self)

    def __truediv__(self, other: "Value | Number") -> "Value":
        return _apply("div", self, other)

    def __rtruediv__(self, other: Number) -> "Value":
        return _apply("div", other, self)

    def __pow__(self, exponent: "Value | Number") -> "Value":
        return power(self, exponent)

    def __rpow__(self, base: Number) -> "Value":
        return power(base, self)

    def __matmul__(self, other: object) -> NoReturn:
        self._refuse("cannot be multiplied by a matrix with `@`", 'Write affine("name", value, bias=None).')

    __rmatmul__ = __matmul__

    def __neg__(self) -> "Value":
        return _apply("neg", self)

    def __abs__(self) -> "Value":
        return _apply("abs", self)

    def __lt__(self, other: "Value | Number") -> "Value":
        return _apply("less", self, other)

    def __le__(self, other: "Value | Number") -> "Value":
        return _apply("less_equal", self, other)

    def __gt__(self, other: "Value | Number") -> "Value":
        return _apply("less", other, self)

    def __ge__(self, other: "Value | Number") -> "Value":
        return _apply("less_equal", other, self)

    def __eq__(self, other: object) -> "Value":  # type: ignore[override]
        return _apply("equal", self, other)

    def __ne__(self, other: object) -> "Value":  # type: ignore[override]
        return 1.0 - _apply("equal", self, other)

    __hash__ = object.__hash__

    def __getitem__(self, features: int | slice) -> "Value":
        """Some of the features: `value[3]`, `value[:8]`."""
        if isinstance(features, int):
            if not -self.size <= features < self.size:
                self._refuse(
                    f"has no feature {features}: its size is {self.size}",
                    "Features count from 0, or from the last with -1.",
                )
            features = slice(features, features + 1 or None)
        if not isinstance(features, slice) or features.step not in (None, 1):
            self._refuse("takes features by number or by a range without a step", "Write value[start:stop].")
        start, stop, _ = features.indices(self.size)
        return self.owner.make("slice", self.node, attribute=(start, stop))

    def __repr__(self) -> str:
        return f"Value(size={self.size})"

    def _refuse(self, what: str, fix: str) -> NoReturn:
        self.owner.fail(f"a value inside a step {what}.", user_line(), fix)

    def __bool__(self) -> bool:
        self._refuse(
            "is neither true nor false while the step is traced, so Python cannot branch on it",
            "Use where(condition, value, other) instead of `if`, `and`, `or`, `not` and `while`.",
        )

    def __float__(self) -> float:
        self._refuse(
            "has no number yet, so it cannot become a Python number", "Use elman's own words, such as elman.tanh."
        )

    __int__ = __index__ = __float__  # type: ignore[assignment]

    def __len__(self) -> int:
        self._refuse("has no length", "Use value.size.")

    def __iter__(self):
        self._refuse("cannot be looped over", "Use split(value, parts), or value[start:stop].")

    def __array__(self, *_: Any, **__: Any):
        self._refuse("is no NumPy array", "Use elman's own words, such as elman.tanh in place of numpy.tanh.")

    def __array_ufunc__(self, function: Any, method: str, *args: Any, **named: Any):
        name = getattr(function, "__name__", "this")
        return _foreign_call("numpy", name, args, plain=method == "__call__" and not named)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: tuple = (), kwargs: Any = None):
        return _foreign_call("torch", getattr(function, "__name__", "this"), args, plain=not kwargs)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse(f"has no `{name}`", _own_word(name))


def _foreign_call(library: str, name: str, args: Sequence[Any], *, plain: bool) -> Value:
    if plain and name in OPERATORS and len(args) == 2:
        return _apply(OPERATORS[name], *args)
    return _current().fail(f"a value inside a step cannot go through {library}.{name}.", user_line(), _own_word(name))


def _own_word(name: str) -> str:
    word = OTHER_NAMES.get(name, name)
    if word in WORDS:
        return f"Use elman.{word}."
    return f"`{name}` is not in the language of cells. Its words: {', '.join(sorted(WORDS))}."


def _current() -> Recording:
    found = recording.get(None)
    if found is None:
        raise CellError(
            "a word of the cell language was used outside a step.",
            where=quote(user_line()),
            fix="Write it inside a function marked with @cell; the layer runs that function.",
        )
    return found


def _node(value: object) -> Node:
    owner = _current()
    if isinstance(value, Value):
        if value.owner is not owner:
            owner.fail(
                "a value of another step, or of an earlier run of this one, is used.",
                user_line(),
                "Use only what this call of the step was given; what lasts from step to step must be a state.",
            )
        return value.node
    if isinstance(value, bool) or not isinstance(value, int | float):
        owner.fail(
            f"a value or a number was expected, and {_kind(value)} came.",
            user_line(),
            "What is learned comes from affine(...) or parameter(...); what a call gives is a keyword-only argument.",
        )
    return owner.make("number", attribute=float(value)).node


def _kind(value: object) -> str:
    return (
        "None" if value is None else f"a {type(value).__module__}.{type(value).__qualname__}".replace("builtins.", "")
    )


def _row(value: object, word: str) -> Node:
    node = _node(value)
    if node.op == "number":
        _current().fail(
            f"`{word}` takes values of the step, and the number {value} came.", user_line(), "Give a value."
        )
    return node


def _apply(op: str, *values: object) -> Value:
    return _current().make(op, *map(_node, values))


def affine(name: str, *values: Value, size: int | None = None, bias: float | None = 0.0) -> Value:
    """The sum `a·W_a + b·W_b + … + bias` with learned matrices and a learned bias of its own.

    Args:
        name: names the parameters `name/0`, `name/1`, … (a matrix for each value, `(value size, size)`) and
            `name/bias` (`(size,)`). Each name is used once in a step.
        values: one or more values of any sizes.
        size: size of the result; the layer's hidden size if not given.
        bias: what the bias starts from; `None` for no bias.
    """
    owner = _current()
    _check_name(owner, name)
    if not values:
        owner.fail(f"affine `{name}` has no value to multiply.", user_line(), f'Write affine("{name}", x, h).')
    columns = _check_size(owner, name, size)
    terms = [_product(owner, f"{name}/{position}", value, columns) for position, value in enumerate(values)]
    if bias is not None:
        terms.insert(1, _vector(f"{name}/bias", columns, "bias", bias))
    return functools.reduce(operator.add, terms)


def _product(owner: Recording, name: str, value: Value, columns: int) -> Value:
    operand = _row(value, "affine")
    owner.declare(Parameter(name, (operand.size, columns), "input"))
    return owner.make("product", operand, attribute=(name, operand.size, columns))


def parameter(name: str, size: int | None = None, *, initial: float = 0.0) -> Value:
    """A learned vector: a peephole, a gain, an initial slope.

    Args:
        name: its name in the layer's weights; used once in a step.
        size: number of elements; the layer's hidden size if not given.
        initial: the value all of it starts from.
    """
    owner = _current()
    _check_name(owner, name)
    return _vector(name, _check_size(owner, name, size), "vector", initial)


def _vector(name: str, size: int, role: Any, initial: object) -> Value:
    owner = _current()
    if isinstance(initial, bool) or not isinstance(initial, int | float) or not math.isfinite(initial):
        owner.fail(f"`{name}` starts from {initial!r}, which is no finite number.", user_line(), "Give a number.")
    owner.declare(Parameter(name, (size,), role, float(initial)))
    return owner.make("vector", attribute=(name, size))


def bernoulli(name: str, probability: float, *, size: int | None = None, per: Per = "step") -> Value:
    """A row of ones and zeros, drawn at random while a layer trains; in evaluation its mean, the probability.

    Args:
        name: its name in the graph; used once in a step.
        probability: of a 1, from 0 to 1.
        size: features; the layer's hidden size if not given.
        per: `step`: drawn anew for each step of each sequence; `sequence`: once for all steps of a sequence.
    """
    owner = _current()
    _check_name(owner, name)
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0.0 <= probability <= 1.0:
        owner.fail(f"`{name}` is drawn with probability {probability!r}.", user_line(), "Give a number from 0 to 1.")
    if per not in ("step", "sequence"):
        owner.fail(f"`{name}` is drawn per {per!r}.", user_line(), "Draw it per='step' or per='sequence'.")
    draw = Draw(f"{name}/draw", float(probability), per)
    if draw.name in (other.name for other in owner.draws):
        owner.fail(f"the name `{name}` names two draws.", user_line(), "Give each draw a name of its own.")
    value = owner.make("input", attribute=(draw.name, _check_size(owner, name, size)))
    owner.draws[draw] = value.node
    return value


def dropout(name: str, value: Value, probability: float, *, per: Per = "step") -> Value:
    """The value with features dropped, and the others scaled up, while a layer trains; in evaluation the value.

    Args:
        name: of the draw, see `bernoulli`.
        value: what to drop features of.
        probability: of dropping a feature, from 0 to below 1; nothing is drawn for 0.
        per: `step`: others at every step; `sequence`: the same at all steps of a sequence.
    """
    owner = _current()
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0.0 <= probability < 1.0:
        owner.fail(f"`{name}` drops with probability {probability!r}.", user_line(), "Give one from 0 to below 1.")
    if probability == 0.0:
        return value
    kept = bernoulli(name, 1.0 - probability, size=_row(value, "dropout").size, per=per)
    return value * (kept / (1.0 - probability))


def _check_name(owner: Recording, name: object) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        owner.fail(
            f"{name!r} cannot name parameters.",
            user_line(),
            'The first argument is a name of letters, digits and underscores: affine("update", x, h).',
        )


def _check_size(owner: Recording, name: str, size: object) -> int:
    owner.has_own_sizes |= size is not None
    size = owner.hidden_size if size is None else size
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        owner.fail(f"`{name}` has the size {size!r}.", user_line(), "A size is a whole number from 1 on.")
    return size


class Next:
    """What a step returns: the next value of each state, by name, and the output if it is not the first state.

    >>> Next(h=1.0, c=2.0).states
    {'h': 1.0, 'c': 2.0}
    """

    def __init__(self, *unnamed: Any, output: Any = None, **states: Any):
        if unnamed:
            _current().fail(
                "`Next` was given a value without a name.", user_line(), "Name each state: Next(h=..., c=...)."
            )
        self.output = output
        self.states = states
        self.source = user_line()


def where(condition: Value | Number, value: Value | Number, other: Value | Number) -> Value:
    """`value` where the condition is not zero, else `other`, element by element."""
    return _apply("where", condition, value, other)


def concat(*values: Value) -> Value:
    """The values one after another: sizes add up."""
    return _current().make("concat", *(_row(value, "concat") for value in values))


def split(value: Value, parts: int | Sequence[int]) -> list[Value]:
    """The value cut into parts.

    Args:
        value: any value.
        parts: number of equal parts, or the size of each part; they add up to `value.size`.
    """
    owner = _current()
    size = _row(value, "split").size
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
    """The sum over the features, of size 1."""
    return _current().make("sum", _row(value, "sum"))


def mean(value: Value) -> Value:
    """The mean over the features, of size 1."""
    return sum(value) / value.size


def max(value: Value) -> Value:
    """The largest feature, of size 1; where several are equal, they share its gradient."""
    return _current().make("max", _row(value, "max"))


def power(value: Value | Number, exponent: Value | Number) -> Value:
    """`value` to a power: whole numbers of any value, other numbers, and values, of positive values."""
    if isinstance(exponent, Value):
        return exp(exponent * log(value))
    if isinstance(exponent, bool) or not isinstance(exponent, int | float) or not math.isfinite(exponent):
        _current().fail(f"the exponent {exponent!r} is no finite number.", user_line(), "Give a number or a value.")
    if exponent != int(exponent):
        return sqrt(value) if exponent == 0.5 else exp(exponent * log(value))
    if exponent < 0:
        return _apply("reciprocal", power(value, -exponent))
    if exponent == 0:
        return value * 0.0 + 1.0  # type: ignore[return-value]
    half = power(value, exponent // 2) if exponent > 1 else None
    even = _apply("square", half) if half is not None else None
    if even is None:
        return value if isinstance(value, Value) else _apply("add", value, 0.0)
    return even * value if exponent % 2 else even


def exp(value: Value | Number) -> Value:
    """e to the power of the value."""
    return _apply("exp", value)


def log(value: Value | Number) -> Value:
    """The natural logarithm."""
    return _apply("log", value)


def sqrt(value: Value | Number) -> Value:
    """The square root."""
    return _apply("sqrt", value)


def square(value: Value | Number) -> Value:
    """The value times itself."""
    return _apply("square", value)


def reciprocal(value: Value | Number) -> Value:
    """One divided by the value."""
    return _apply("reciprocal", value)


def sin(value: Value | Number) -> Value:
    """The sine, of radians."""
    return _apply("sin", value)


def cos(value: Value | Number) -> Value:
    """The cosine, of radians."""
    return _apply("cos", value)


def tanh(value: Value | Number) -> Value:
    """The hyperbolic tangent."""
    return _apply("tanh", value)


def sigmoid(value: Value | Number) -> Value:
    """The logistic function `1 / (1 + exp(-value))`."""
    return _apply("sigmoid", value)


def relu(value: Value | Number) -> Value:
    """The value where it is positive, else 0."""
    return _apply("relu", value)


def sign(value: Value | Number) -> Value:
    """-1, 0 or 1; its gradient is 0."""
    return _apply("sign", value)


def maximum(value: Value | Number, other: Value | Number) -> Value:
    """The larger of two, element by element; where they are equal, they share the gradient."""
    return _apply("maximum", value, other)


def minimum(value: Value | Number, other: Value | Number) -> Value:
    """The smaller of two, element by element; where they are equal, they share the gradient."""
    return _apply("minimum", value, other)


def linear(value: Value | Number) -> Value | Number:
    """The value itself: no activation."""
    return value


def softplus(value: Value) -> Value:
    """`log(1 + exp(value))`, computed without overflow."""
    return relu(value) + log(1.0 + exp(-abs(value)))


def silu(value: Value) -> Value:
    """`value · sigmoid(value)`, also called swish."""
    return value * sigmoid(value)


def elu(value: Value) -> Value:
    """The value where it is positive, else `exp(value) - 1`."""
    return where(value > 0.0, value, exp(minimum(value, 0.0)) - 1.0)


def leaky_relu(value: Value, slope: float = 0.01) -> Value:
    """The value where it is positive, else the value times the slope."""
    return where(value > 0.0, value, slope * value)


def hard_sigmoid(value: Value) -> Value:
    """`value/6 + 1/2`, cut off at 0 and 1 (as in Keras 3 and torch)."""
    return minimum(maximum(value / 6.0 + 0.5, 0.0), 1.0)


def softsign(value: Value) -> Value:
    """`value / (1 + |value|)`."""
    return value / (1.0 + abs(value))


def softmax(value: Value) -> Value:
    """Positive features that sum to 1, in proportion to the exponential of the value's."""
    shifted = exp(value - max(value))
    return shifted / sum(shifted)


WORDS: dict[str, Callable[..., Any]] = {
    word.__name__: word
    for word in (
        affine, parameter, bernoulli, dropout, where, concat, split, sum, mean, max, power, exp, log, sqrt, square,
        reciprocal, sin, cos, tanh, sigmoid, relu, sign, maximum, minimum, linear, softplus, silu, elu, leaky_relu,
        hard_sigmoid, softsign, softmax,
    )
}  # fmt: skip
