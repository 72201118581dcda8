"""Conjugate gradients, with the iterates to go back to."""

import math
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

Product = Callable[[Tensor], Tensor]

# J. Martens, Deep Learning via Hessian-Free Optimization, 2010, sections 4.4 and 4.6.
SMALLEST_PROGRESS = 5e-4
LEAST_INTERVAL = 10
SPACING = 1.3


class Iterates(NamedTuple):
    """The iterates that were kept.

    Attributes:
        steps: the values of x, the last iterate last.
        values: q(x) of each.
        iterations: how many there were.
    """

    steps: list[Tensor]
    values: list[float]
    iterations: int


def minimise(
    product: Product, gradient: Tensor, start: Tensor, preconditioner: Tensor | None = None, *, iterations: int = 100
) -> Iterates:
    """Minimise q(x) = ½·x·(Ax) + g·x by conjugate gradients until progress is small.

    They stop at iteration i if q(x) < 0 and (q(x) - q(x, k iterations before)) / q(x) < k·0.0005, where
    k = max(10, i / 10); at a direction without positive curvature; or after so many iterations. The iterates
    ⌈1.3ⁿ⌉ are kept, and the last one.

    Args:
        product: returns Ax, with A symmetric.
        gradient: g, `(weights,)`.
        start: the first x.
        preconditioner: the diagonal of a matrix that is like A, positive; none for the identity.
        iterations: at most.

    Source:
        J. Martens, 2010, algorithm 2 and sections 4.4 and 4.6; J. Martens, I. Sutskever, Training Deep and Recurrent
        Networks with Hessian-Free Optimization, 2012, sections 9 and 10.
    """
    scale = (lambda rest: rest) if preconditioner is None else (lambda rest: rest / preconditioner)
    x, rest = start.clone(), product(start) + gradient
    scaled = scale(rest)
    direction, size = -scaled, float(rest @ scaled)
    history, kept, values = [_value(x, rest, gradient)], [], []
    done, next_kept = 0, 1.0
    while done < iterations and size > 0.0:
        curved = product(direction)
        curvature = float(direction @ curved)
        if not curvature > 0.0 or not math.isfinite(curvature):
            break
        length = size / curvature
        x = x + length * direction
        rest = rest + length * curved
        scaled = scale(rest)
        before, size = size, float(rest @ scaled)
        direction = (size / before) * direction - scaled
        done += 1
        history.append(_value(x, rest, gradient))
        if done >= math.ceil(next_kept):
            kept.append(x)
            values.append(history[-1])
            next_kept *= SPACING
        if _is_slow(history):
            break
    if not kept or kept[-1] is not x:
        kept.append(x)
        values.append(history[-1])
    return Iterates(kept, values, done)


def _value(x: Tensor, rest: Tensor, gradient: Tensor) -> float:
    """Return q(x), from Ax + g."""
    return 0.5 * float(x @ (rest + gradient))


def _is_slow(history: list[float]) -> bool:
    done = len(history) - 1
    interval = max(LEAST_INTERVAL, done // 10)
    last = history[-1]
    if done <= interval or last >= 0.0:
        return False
    return (last - history[-1 - interval]) / last < interval * SMALLEST_PROGRESS
