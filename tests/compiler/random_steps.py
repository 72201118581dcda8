"""Steps drawn at random: every operation of the language, in any order, on any values."""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from elman import (
    Next,
    affine,
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
    hard_silu,
    log,
    log1p,
    max,
    maximum,
    mean,
    minimum,
    outer,
    parameter,
    power,
    reciprocal,
    relu,
    round,
    sigmoid,
    sign,
    sin,
    softmax,
    softplus,
    split,
    sqrt,
    square,
    sum,
    tanh,
    where,
)  # fmt: skip
from elman.compiler.value import Value

# Each keeps its result within bounds, and away from points where a rounding would decide.
UNARY: tuple[Callable[[Value], Value], ...] = (
    tanh,
    sigmoid,
    relu,
    sin,
    cos,
    abs,
    sum,
    mean,
    max,
    lambda v: -v,
    lambda v: -(-v),  # noqa: B002
    lambda v: v + 0.0,
    lambda v: 1.0 * v,
    lambda v: v / 1.0,
    lambda v: v - (-tanh(v)),
    lambda v: v[:],
    lambda v: v[-1],
    lambda v: concat(v),
    lambda v: concat(v, tanh(v))[: v.size],
    lambda v: concat(tanh(v), v)[1 : v.size + 1],
    lambda v: split(concat(v, v), 2)[1][: v.size][:1],
    lambda v: tanh(0.5) * v,
    lambda v: concat(v, exp(-1.0)),
    lambda v: exp(tanh(v)),
    lambda v: log(1.5 + abs(v)),
    lambda v: sqrt(0.5 + abs(v)),
    lambda v: square(tanh(v)),
    lambda v: reciprocal(1.5 + abs(v)),
    lambda v: sign(v - 0.37),
    lambda v: (v < 0.213) * v,
    lambda v: (v <= 0.17) + v,
    lambda v: (sign(v - 0.51) == 1.0) * v,
    lambda v: (sign(v - 0.51) != 1.0) * v,
    lambda v: where(v > 0.31, tanh(v), 0.25),
    lambda v: floor(tanh(v) + 0.37),
    lambda v: round(tanh(v)) * v,
    erf,
    erfc,
    lambda v: log1p(abs(v)),
    lambda v: expm1(tanh(v)),
    softplus,
    elu,
    gelu,
    hard_silu,
    cumsum,
    softmax,
    lambda v: power(0.5 + abs(v), 1.3),
    lambda v: outer(v[:2], tanh(v[:3])),
    lambda v: contract(concat(v, v), tanh(v)),
    lambda v: contract(concat(v, v), v[:2], transposed=True),
)
BINARY: tuple[Callable[[Value, Value], Value], ...] = (
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: tanh(a) * b,
    lambda a, b: a / (1.5 + abs(b)),
    maximum,
    minimum,
    lambda a, b: where(a > 0.123, a, b),
    lambda a, b: power(0.5 + abs(a), tanh(b)),
    lambda a, b: (tanh(a) + 20.1) % (5.0 + tanh(b) / 9.0),
    lambda a, b: contract(outer(a, tanh(b)), tanh(b)),
)
LEARNED: tuple[Callable[[str, Value, Value], Value], ...] = (
    lambda name, a, b: tanh(affine(name, a, b)),
    lambda name, a, b: affine(name, a, size=1 + b.size % 3, bias=None),
    lambda name, a, b: parameter(name, 1) * a,
    lambda name, a, b: concat(parameter(name), b),
)


@dataclass(frozen=True)
class RandomStep:
    """A step as numbers: which operation is done on which of the values made so far."""

    states: int
    instructions: tuple[tuple[int, int, int], ...]
    picks: tuple[int, ...]

    def __call__(self, x: Value, *states: Value) -> Next:
        values = [x, *states]
        for number, (operation, first, second) in enumerate(self.instructions):
            values.append(self._apply(f"p{number}", operation, _take(values, first), _take(values, second)))
        wide = [value for value in values if value.size == states[0].size]
        following = {f"s{place}": wide[pick % len(wide)] for place, pick in enumerate(self.picks[: self.states])}
        everything = concat(*(mean(tanh(value)) for value in values))
        return Next(**following, output=everything)

    def _apply(self, name: str, operation: int, a: Value, b: Value) -> Value:
        kinds = [*UNARY, *BINARY, *LEARNED]
        chosen = kinds[operation % len(kinds)]
        if chosen in UNARY:
            return chosen(a)
        if chosen in LEARNED:
            return chosen(name, a, b)
        return chosen(a, b if a.size == b.size else mean(b))

    def function(self) -> Callable[..., Next]:
        """The step with as many states as it has, as a function to make a cell of."""
        run = self
        by_states: dict[int, Callable[..., Next]] = {
            1: lambda x, s0: run(x, s0),
            2: lambda x, s0, s1: run(x, s0, s1),
            3: lambda x, s0, s1, s2: run(x, s0, s1, s2),
        }
        return by_states[self.states]


def _take(values: list[Value], index: int) -> Value:
    return values[index % len(values)]


_index = st.integers(0, 11)

STEPS = st.builds(
    RandomStep,
    states=st.integers(1, 3),
    instructions=st.lists(
        st.tuples(st.integers(0, len(UNARY) + len(BINARY) + len(LEARNED) - 1), _index, _index), min_size=1, max_size=12
    ).map(tuple),
    picks=st.tuples(_index, _index, _index),
)
