"""Initial values of parameters: named distributions, and given numbers."""

import dataclasses
import math
import re
import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from elman.errors import UsageError


@dataclass(frozen=True)
class Start:
    """The initial value of a parameter."""

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise a `UsageError` if a parameter of this shape cannot start like this."""

    def __str__(self) -> str:
        fields = ", ".join(f"{getattr(self, field.name):g}" for field in dataclasses.fields(self))
        return f"{word_of(type(self))}({fields})"


def word_of(kind: type[Start]) -> str:
    """Return the word of the language for a kind of start.

    >>> word_of(Uniform)
    'uniform'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


class _OfMatrix(Start):
    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse vectors."""
        if len(shape) != 2:
            raise UsageError(
                f"a vector cannot start from {self}.",
                fix="Give a number, or a distribution such as uniform(-0.1, 0.1).",
            )


@dataclass(frozen=True)
class Fill(Start):
    """One number everywhere."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Identity(_OfMatrix):
    """The identity times a scale."""

    scale: float = 1.0


@dataclass(frozen=True)
class Orthogonal(_OfMatrix):
    """A random matrix whose columns, or rows where there are fewer, are orthogonal and of length `gain`."""

    gain: float = 1.0


@dataclass(frozen=True)
class Glorot(_OfMatrix):
    """Uniform within ±gain·√(6 / (rows + columns))."""

    gain: float = 1.0


@dataclass(frozen=True)
class Uniform(Start):
    """Uniform between two numbers."""

    low: float
    high: float


@dataclass(frozen=True)
class Normal(Start):
    """Normal with a mean and a standard deviation."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Chrono(Start):
    """The logarithm of a number drawn uniformly from 1 to `longest - 1`."""

    longest: float

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse matrices."""
        if len(shape) != 1:
            raise UsageError(
                f"a matrix cannot start from {self}.", fix="Give it to a bias: affine(..., bias=chrono(100))."
            )


class _OfSquare(_OfMatrix):
    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse vectors, and matrices with more rows than columns or fewer."""
        super().check(shape)
        if shape[0] != shape[1]:
            raise UsageError(
                f"a matrix of shape {shape} cannot start from {self}, which is for square ones.",
                fix='Give it to the matrix of the state: matrix("recurrent", initial=sparse()).',
            )


@dataclass(frozen=True)
class Sparse(_OfSquare):
    """Uniform numbers among zeros, scaled to a spectral radius."""

    spectral_radius: float
    density: float


@dataclass(frozen=True)
class Ring(_OfSquare):
    """One weight from each unit to the next, and from the last to the first."""

    weight: float


@dataclass(frozen=True)
class DelayLine(_OfSquare):
    """One weight from each unit to the next."""

    weight: float


@dataclass(frozen=True)
class SmallWorld(_OfSquare):
    """Uniform numbers between neighbours on a ring, some moved elsewhere, scaled to a spectral radius."""

    spectral_radius: float
    neighbours: float
    rewired: float

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse matrices of too few units for the neighbours."""
        super().check(shape)
        if shape[0] <= self.neighbours:
            raise UsageError(
                f"{shape[0]} units cannot have {self.neighbours:g} neighbours each.",
                fix="Give more units, or fewer neighbours.",
            )


@dataclass(frozen=True)
class Opposite(Start):
    """Minus the initial value of another parameter."""

    name: str

    def __str__(self) -> str:
        return f"opposite({self.name!r})"


@dataclass(frozen=True)
class Given(Start):
    """Given numbers.

    Args:
        shape: of the array.
        data: its numbers in rows, float64, little-endian.
    """

    shape: tuple[int, ...]
    data: bytes = dataclasses.field(repr=False)

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse other shapes."""
        if shape != self.shape:
            raise UsageError(
                f"expected an array of shape {shape}, got one of shape {self.shape}.",
                fix="Give an array of that shape.",
            )

    @property
    def numbers(self) -> tuple[float, ...]:
        """The numbers, row by row."""
        return struct.unpack(f"<{len(self.data) // 8}d", self.data)

    def __str__(self) -> str:
        return "an array"


KINDS: dict[str, type[Start]] = {
    word_of(kind): kind
    for kind in (
        Fill, Identity, Orthogonal, Glorot, Uniform, Normal, Chrono, Sparse, Ring, DelayLine, SmallWorld, Opposite,
    )
}  # fmt: skip


def identity(scale: float = 1.0) -> Start:
    """Start a matrix, which need not be square, from the identity times a scale.

    Source:
        Q. V. Le, N. Jaitly, G. E. Hinton, A Simple Way to Initialize Recurrent Networks of Rectified Linear Units,
        2015.
    """
    return Identity(_number("the scale of identity", scale))


def orthogonal(gain: float = 1.0) -> Start:
    """Start a matrix from a random orthogonal one times a gain.

    Source:
        A. M. Saxe, J. L. McClelland, S. Ganguli, Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear
        Neural Networks, 2014.
    """
    return Orthogonal(_number("the gain of orthogonal", gain))


def glorot(gain: float = 1.0) -> Start:
    """Start a matrix from uniform numbers within ±gain·√(6 / (rows + columns)).

    Source:
        X. Glorot, Y. Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks, 2010.
    """
    return Glorot(_number("the gain of glorot", gain))


def uniform(low: float, high: float) -> Start:
    """Start a parameter from numbers drawn uniformly between two numbers."""
    low, high = _number("the low of uniform", low), _number("the high of uniform", high)
    if low > high:
        raise UsageError(
            f"uniform({low:g}, {high:g}) has its bounds in the wrong order.", fix=f"Write ({high:g}, {low:g})."
        )
    return Uniform(low, high)


def normal(mean: float = 0.0, deviation: float = 1.0) -> Start:
    """Start a parameter from normal numbers with a mean and a standard deviation."""
    mean, deviation = _number("the mean of normal", mean), _number("the deviation of normal", deviation)
    if deviation < 0.0:
        raise UsageError(f"normal has the standard deviation {deviation:g}.", fix="Give a number of at least 0.")
    return Normal(mean, deviation)


def chrono(longest: float) -> Start:
    """Start the bias of a forget gate so that it remembers for 1 to `longest` steps.

    The bias is the logarithm of a uniform number from 1 to `longest - 1`.

    The bias of the input gate starts from the opposite: `affine("input", x, h, bias=opposite("forget/bias"))`.

    Args:
        longest: the longest dependency to expect, in steps; more than 2.

    Source:
        C. Tallec, Y. Ollivier, Can Recurrent Neural Networks Warp Time?, 2018, section 2, equation 16.
    """
    found = _number("the longest of chrono", longest)
    if found <= 2.0:
        raise UsageError(f"chrono has the longest dependency {found:g}.", fix="Give a number of steps above 2.")
    return Chrono(found)


def sparse(spectral_radius: float = 0.9, density: float = 0.1) -> Start:
    """Start a square matrix from numbers in (-1, 1) among zeros, scaled to a spectral radius.

    Args:
        spectral_radius: largest modulus of the eigenvalues; above 0.
        density: fraction of the numbers that are not 0; above 0, at most 1. Every unit reads at least one unit.

    Source:
        H. Jaeger, The "Echo State" Approach to Analysing and Training Recurrent Neural Networks, 2001, section 5.
    """
    return Sparse(_positive("the spectral radius of sparse", spectral_radius), _density("sparse", density))


def ring(weight: float = 0.9) -> Start:
    """Start a square matrix from one weight from each unit to the next, in a ring.

    Its spectral radius is the weight's modulus.

    Source:
        A. Rodan, P. Tiňo, Minimum Complexity Echo State Network, 2011, section III: simple cycle reservoir.
    """
    return Ring(_number("the weight of ring", weight))


def delay_line(weight: float = 0.9) -> Start:
    """Start a square matrix from one weight from each unit to the next.

    Its spectral radius is 0: a state of n units remembers n steps.

    Source:
        A. Rodan, P. Tiňo, Minimum Complexity Echo State Network, 2011, section III: delay line reservoir.
    """
    return DelayLine(_number("the weight of delay_line", weight))


def small_world(spectral_radius: float = 0.9, neighbours: float = 4, rewired: float = 0.1) -> Start:
    """Start a square matrix from weights between neighbours, scaled to a spectral radius.

    The weights are uniform from -1 to 1.

    Args:
        spectral_radius: largest modulus of the eigenvalues; above 0.
        neighbours: from which each unit reads, half of them on each side; an even whole number of at least 2.
        rewired: fraction of these connections that come from a random unit instead.

    Source:
        D. J. Watts, S. H. Strogatz, Collective Dynamics of 'Small-World' Networks, 1998, figure 1. Differences:
        connections have a direction and a weight.
    """
    count = _number("the neighbours of small_world", neighbours)
    if count < 2 or count % 2:
        raise UsageError(f"small_world has {neighbours!r} neighbours.", fix="Give an even number of at least 2.")
    share = _number("the rewired fraction of small_world", rewired)
    if not 0.0 <= share <= 1.0:
        raise UsageError(f"small_world rewires a fraction of {rewired!r}.", fix="Give a number from 0 to 1.")
    return SmallWorld(_positive("the spectral radius of small_world", spectral_radius), count, share)


def opposite(name: str) -> Start:
    """Start a parameter from minus the initial value of another parameter of the step.

    Args:
        name: of the other parameter, such as `forget/bias`; it has the same shape.
    """
    if not isinstance(name, str):
        raise UsageError(f"opposite names a parameter, got {name!r}.", fix='Write opposite("forget/bias").')
    return Opposite(name)


STARTS = (identity, orthogonal, glorot, uniform, normal, chrono, sparse, ring, delay_line, small_world, opposite)
WITHOUT_ARGUMENTS: dict[str, Callable[[], Start]] = {
    "zeros": lambda: Fill(0.0),
    "ones": lambda: Fill(1.0),
    "identity": identity,
    "orthogonal": orthogonal,
    "glorot": glorot,
    "normal": normal,
    "sparse": sparse,
    "ring": ring,
    "delay_line": delay_line,
    "small_world": small_world,
}
HOW = (
    "Give a number, an array, one of " + ", ".join(map(repr, WITHOUT_ARGUMENTS)) + ", or a distribution such as "
    "uniform(-0.1, 0.1)."
)


def read_start(value: object, shape: tuple[int, ...]) -> Start:
    """Read what a user gives as the initial value of a parameter of this shape.

    Args:
        value: a start, the name of one without arguments or its function, a number, or an array (nested lists, NumPy,
            torch).
        shape: of the parameter.

    Raises:
        UsageError: the value is none of these, or does not fit the shape.
    """
    found = _read(value)
    found.check(shape)
    return found


def _read(value: Any) -> Start:
    if isinstance(value, Start):
        return value
    value = next((name for name, start in WITHOUT_ARGUMENTS.items() if start is value), value)
    if isinstance(value, str):
        if value not in WITHOUT_ARGUMENTS:
            raise UsageError(f"the name {value!r} is unknown.", fix=HOW)
        return WITHOUT_ARGUMENTS[value]()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return _array(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"it cannot start from {value!r}.", fix=HOW)
    return Fill(_number("the value", value))


def _number(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{what} is {value!r}.", fix="Give a finite number.")
    return float(value)


def _positive(what: str, value: object) -> float:
    found = _number(what, value)
    if found <= 0.0:
        raise UsageError(f"{what} is {value!r}.", fix="Give a number above 0.")
    return found


def _density(word: str, value: object) -> float:
    found = _positive(f"the density of {word}", value)
    if found > 1.0:
        raise UsageError(f"the density of {word} is {value!r}.", fix="Give a number above 0, at most 1.")
    return found


def _array(rows: Sequence[Any]) -> Given:
    shape = tuple(_shape(rows))
    numbers = array("d", (_number("an element of the array", number) for number in _flat(rows, shape)))
    return Given(shape, struct.pack(f"<{len(numbers)}d", *numbers))


def _shape(rows: Any) -> Iterator[int]:
    while isinstance(rows, list | tuple):
        yield len(rows)
        rows = rows[0] if rows else None


def _flat(rows: Any, shape: tuple[int, ...]) -> Iterator[Any]:
    if not shape:
        yield rows
    elif not isinstance(rows, list | tuple) or len(rows) != shape[0]:
        raise UsageError("an array has rows of several lengths.", fix="Give every row the same length.")
    else:
        for row in rows:
            yield from _flat(row, shape[1:])
