"""The values that a step computes with while it is traced, and the record of its operations."""

import math
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NoReturn

from elman.compiler.graph import Draw, Node, Nodes, Parameter, Source
from elman.compiler.lines import quote, user_line
from elman.compiler.operations import Mismatch
from elman.errors import CellError

Number = int | float

# The words of `elman.compiler.language`, which adds them here, for messages.
WORDS: dict[str, Callable[..., Any]] = {}


class Recording:
    """One run of a step: its nodes, its parameters and its draws so far."""

    def __init__(self, name: str, hidden_size: int):
        self.name = name
        self.hidden_size = hidden_size
        self.nodes = Nodes()
        self.has_own_sizes = False
        self.parameters: dict[str, tuple[Parameter, Source]] = {}
        self.draws: dict[Draw, Node] = {}
        self.line_of_next: Source | None = None

    def make(self, op: str, *args: Node, attribute: Any = None) -> "Value":
        """Add an operation, and report a mismatch with the user's line."""
        line = user_line()
        try:
            return Value(self, self.nodes.make(op, args, attribute, line))
        except Mismatch as reason:
            self.fail(
                f"{reason}.", line, "Check the sizes: `value.size` gives that of a value, `size=` sets an affine's."
            )

    def declare(self, parameter: Parameter) -> None:
        """Add a parameter, whose name must be new."""
        line = user_line()
        if parameter.name in self.parameters:
            name, before = parameter.name.split("/")[0], self.parameters[parameter.name][1]
            self.fail(
                f"the name `{name}` is used twice for parameters (first at line {before.line}).",
                line,
                "Give each affine and each parameter a name of its own.",
            )
        self.parameters[parameter.name] = (parameter, line)

    def fail(self, problem: str, line: Source | None, fix: str) -> NoReturn:
        """Raise a `CellError` that names the cell and quotes the line."""
        raise CellError(f"{self.name}: {problem}", where=quote(line), fix=fix)


recording: ContextVar[Recording] = ContextVar("recording")


# The names of Python's operators in numpy and torch, which handle their own values on the left.
OPERATORS = {
    "add": "add",
    "subtract": "sub",
    "sub": "sub",
    "multiply": "mul",
    "mul": "mul",
    "divide": "div",
    "div": "div",
    "remainder": "remainder",
    "power": "power",
    "pow": "power",
}
OTHER_NAMES = {
    "linear": "affine",
    "matmul": "affine",
    "cat": "concat",
    "concatenate": "concat",
    "pow": "power",
    "amax": "max",
    "detach": "stop_gradient",
    "ger": "outer",
    "rint": "round",
    "fmod": "remainder",
    "exponential": "exp",
    "swish": "silu",
    "hard_swish": "hard_silu",
    "hardswish": "hard_silu",
    "hardtanh": "hard_tanh",
    "hardsigmoid": "hard_sigmoid",
    "logsigmoid": "log_sigmoid",
    "tanhshrink": "tanh_shrink",
    "threshold": "where",
    "softshrink": "soft_shrink",
    "hardshrink": "hard_shrink",
}


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
        return apply("add", self, other)

    def __radd__(self, other: Number) -> "Value":
        return apply("add", other, self)

    def __sub__(self, other: "Value | Number") -> "Value":
        return apply("sub", self, other)

    def __rsub__(self, other: Number) -> "Value":
        return apply("sub", other, self)

    def __mul__(self, other: "Value | Number") -> "Value":
        return apply("mul", self, other)

    def __rmul__(self, other: Number) -> "Value":
        return apply("mul", other, self)

    def __truediv__(self, other: "Value | Number") -> "Value":
        return apply("div", self, other)

    def __rtruediv__(self, other: Number) -> "Value":
        return apply("div", other, self)

    def __pow__(self, exponent: "Value | Number") -> "Value":
        return power(self, exponent)

    def __rpow__(self, base: Number) -> "Value":
        return power(base, self)

    def __mod__(self, other: "Value | Number") -> "Value":
        return apply("remainder", self, other)

    def __rmod__(self, other: Number) -> "Value":
        return apply("remainder", other, self)

    def __matmul__(self, other: object) -> NoReturn:
        self._refuse(
            "cannot be multiplied by a matrix with `@`",
            'Write affine("name", value, bias=None), or product(value, matrix(...)).',
        )

    __rmatmul__ = __matmul__

    def __neg__(self) -> "Value":
        return apply("neg", self)

    def __abs__(self) -> "Value":
        return apply("abs", self)

    def __lt__(self, other: "Value | Number") -> "Value":
        return apply("less", self, other)

    def __le__(self, other: "Value | Number") -> "Value":
        return apply("less_equal", self, other)

    def __gt__(self, other: "Value | Number") -> "Value":
        return apply("less", other, self)

    def __ge__(self, other: "Value | Number") -> "Value":
        return apply("less_equal", other, self)

    def __eq__(self, other: object) -> "Value":  # type: ignore[override]
        return apply("equal", self, other)

    def __ne__(self, other: object) -> "Value":  # type: ignore[override]
        return 1.0 - apply("equal", self, other)

    __hash__ = object.__hash__

    def __getitem__(self, features: int | slice) -> "Value":
        """Return some of the features: `value[3]`, `value[:8]`."""
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
        self._refuse("is not a NumPy array", "Use elman's own words, such as elman.tanh instead of numpy.tanh.")

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


class Matrix:
    """A matrix of a step, for `product` to multiply by; it is not a value and has no other use."""

    __slots__ = ("name", "owner", "shape")

    def __init__(self, owner: Recording, name: str, shape: tuple[int, int]):
        self.owner = owner
        self.name = name
        self.shape = shape

    def __repr__(self) -> str:
        return f"Matrix({self.name}, {self.shape[0]}, {self.shape[1]})"

    def _refuse(self, *_: Any) -> NoReturn:
        self.owner.fail(
            f"the matrix `{self.name}` is used as a value.",
            user_line(),
            f"Multiply by it: product(value, {self.name}), and compute with the products: "
            f"product(h, {self.name}) - product(h, {self.name}, transposed=True).",
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __matmul__ = __rmatmul__ = __pow__ = __neg__ = __getitem__ = __iter__ = __array__ = _refuse  # type: ignore[assignment]


def _foreign_call(library: str, name: str, args: Sequence[Any], *, plain: bool) -> Value:
    if plain and name in OPERATORS and len(args) == 2:
        return apply(OPERATORS[name], *args)
    return current().fail(f"a value inside a step cannot go through {library}.{name}.", user_line(), _own_word(name))


def _own_word(name: str) -> str:
    word = OTHER_NAMES.get(name, name)
    if word in WORDS:
        return f"Use elman.{word}."
    return f"`{name}` is not in the language of cells. Its words: {', '.join(sorted(WORDS))}."


def current() -> Recording:
    """Return the step that is being traced.

    Raises:
        CellError: no step is being traced.
    """
    found = recording.get(None)
    if found is None:
        raise CellError(
            "a word of the cell language was used outside a step.",
            where=quote(user_line()),
            fix="Write it inside a function marked with @cell; the layer runs that function.",
        )
    return found


def node_of(value: object) -> Node:
    """Return the node of a value of this step, or of a number, and refuse anything else."""
    owner = current()
    if isinstance(value, Value):
        if value.owner is not owner:
            owner.fail(
                "a value of another step, or of an earlier run of this one, is used.",
                user_line(),
                "Use only the arguments of this call; a value that lasts from step to step must be a state.",
            )
        return value.node
    if isinstance(value, Matrix):
        value._refuse()
    if isinstance(value, bool) or not isinstance(value, int | float):
        owner.fail(
            f"expected a value or a number, got {_kind(value)}.",
            user_line(),
            "Declare learned values with affine(...) or parameter(...); pass other data as a keyword-only argument.",
        )
    return owner.make("number", attribute=float(value)).node


def _kind(value: object) -> str:
    return (
        "None" if value is None else f"a {type(value).__module__}.{type(value).__qualname__}".replace("builtins.", "")
    )


def row_of(value: object, word: str) -> Node:
    """Return the node of a value of this step, for a word that takes no numbers."""
    node = node_of(value)
    if node.op == "number":
        current().fail(f"`{word}` expected a value of the step, got the number {value}.", user_line(), "Give a value.")
    return node


def apply(op: str, *values: object) -> Value:
    """Apply an operation to values and numbers."""
    return current().make(op, *map(node_of, values))


# Powers that other operations compute faster, with the results of torch's `pow`.
POWERS: dict[float, Callable[[Value], Value]] = {
    1.0: lambda value: value,
    2.0: lambda value: apply("square", value),
    3.0: lambda value: apply("square", value) * value,
    4.0: lambda value: apply("square", apply("square", value)),
    0.5: lambda value: apply("sqrt", value),
    -0.5: lambda value: apply("reciprocal", apply("sqrt", value)),
    -1.0: lambda value: apply("reciprocal", value),
}


def power(value: Value | Number, exponent: Value | Number) -> Value:
    """Raise a value to a power, as torch's `pow` does.

    A negative value has whole powers only, and any value to the power of 0 is 1.
    """
    if isinstance(exponent, Value):
        return apply("power", value, exponent)
    if isinstance(exponent, bool) or not isinstance(exponent, int | float) or not math.isfinite(exponent):
        current().fail(
            f"expected a finite number as the exponent, got {exponent!r}.", user_line(), "Give a number or a value."
        )
    base = value if isinstance(value, Value) else Value(current(), node_of(value))
    return POWERS[exponent](base) if exponent in POWERS else apply("power", base, exponent)


class Next:
    """What a step returns: the next value of each state, by name, and the output if it is not the first state.

    >>> Next(h=1.0, c=2.0).states
    {'h': 1.0, 'c': 2.0}
    """

    def __init__(self, *unnamed: Any, output: Any = None, **states: Any):
        if unnamed:
            current().fail(
                "`Next` was given a value without a name.", user_line(), "Name each state: Next(h=..., c=...)."
            )
        self.output = output
        self.states = states
        self.source = user_line()
