"""Hessian-free optimisation: the steps of a truncated Newton method, whose curvature is the Gauss–Newton matrix."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from elman.settings.training import RunSettings
from elman.training.conjugate_gradients import Iterates, minimise
from elman.training.gauss_newton import GaussNewton, flat, split

# J. Martens, 2010, sections 4.1 and 4.7; J. Martens, I. Sutskever, 2012, sections 8.5, 10 and 13.
EXPONENT = 0.75
WARM_START = 0.95
LOW, HIGH = 0.25, 0.75
RAISED, LOWERED = 3 / 2, 2 / 3
SUFFICIENT, SHORTER, SHORTENINGS = 1e-2, 0.8, 60
PROBES = 8


class Problem(Protocol):
    """A minibatch as a function of the weights."""

    def gradient(self) -> Tensor:
        """Return the gradient of the objective, `(weights,)`."""
        ...

    def curvature(self) -> GaussNewton:
        """Return the curvature of the loss."""
        ...

    def value(self) -> float:
        """Return the objective at the weights as they are now."""
        ...


class HessianFree(Optimizer):
    """Hessian-free optimisation, one minibatch a step.

    A step minimises q(δ) = ½·δᵀ(G + λ·(I + μ·S))δ + gᵀδ by preconditioned conjugate gradients, which start from 0.95
    times the last δ. It goes back over their iterates while the objective falls, and then shortens δ until the
    objective falls by a hundredth of gᵀδ. λ is raised by 3/2 if the objective fell by less than a quarter of what q
    without λ expected, and lowered by 2/3 if by more than three quarters.

    Args:
        parameters: or groups of them.
        damping: the first λ.
        structural: μ, for the change of the recurrent layers' outputs.
        iterations: of conjugate gradients in a step, at most.
        weight_decay: added to the gradient and to the curvature.

    Source:
        J. Martens, Deep Learning via Hessian-Free Optimization, 2010; J. Martens, I. Sutskever, Learning Recurrent
        Neural Networks with Hessian-Free Optimization, 2011; the same, Training Deep and Recurrent Networks with
        Hessian-Free Optimization, 2012. Differences: the preconditioner has an estimate of the squared gradients of
        the rows; structural damping is by the squared distance of the states; the objective is that of the whole
        minibatch.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        *,
        damping: float = 0.1,
        structural: float = 0.0,
        iterations: int = 100,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, {"lr": 1.0, "weight_decay": weight_decay})
        self.first_damping = damping
        self.structural = structural
        self.iterations = iterations

    @property
    def parameters(self) -> list[Tensor]:
        """The parameters of all groups that are trained now."""
        return [each for group in self.param_groups for each in group["params"] if each.requires_grad]

    @property
    def damping(self) -> float:
        """The present λ."""
        known = [state["damping"] for state in self.state.values() if "damping" in state]
        return float(known[0]) if known else self.first_damping

    def step(self, problem: Any = None) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Change the weights, and return the objective after it.

        A step that does not lower the objective is not taken, and raises λ.

        Args:
            problem: of the minibatch.
        """
        parameters = self.parameters
        before, damping = [each.detach().clone() for each in parameters], self.damping
        decay = self._decay()
        gradient = problem.gradient() + decay * flat(before, parameters)
        begun = problem.value() + self._penalty(decay)
        curvature = problem.curvature()

        def value(change: Tensor) -> float:
            self._move(before, change)
            found = problem.value()
            return found + self._penalty(decay) if math.isfinite(found) else math.inf

        def product(vector: Tensor) -> Tensor:
            damped = damping * vector + decay * vector
            return curvature.product(vector, damping * self.structural) + damped

        scale = (curvature.squared_gradients(PROBES) + decay + damping) ** EXPONENT
        found = minimise(product, gradient, self._last(), scale, iterations=self.iterations)
        # Before the weights are moved, on which the curvature depends.
        expected = [self._undamped(curvature, damping, *each) for each in zip(found.steps, found.values, strict=True)]
        chosen, reached = _best(found, value)
        change = found.steps[chosen]
        # A change as small as the rounding of the objective says nothing.
        smallest = torch.finfo(gradient.dtype).eps * abs(begun)
        factor = 1.0 if abs(expected[chosen]) <= smallest else _factor((reached - begun) / expected[chosen])
        change, reached = _shortened(change, gradient, begun, reached, value)
        self._move(before, change)
        self._remember(found.steps[-1], damping * factor)
        return reached

    def _undamped(self, curvature: GaussNewton, damping: float, change: Tensor, value: float) -> float:
        """Return q(δ) without λ, from q(δ)."""
        added = float(change @ change)
        if self.structural:
            added += self.structural * curvature.structural_change(change)
        return value - 0.5 * damping * added

    def _decay(self) -> Tensor:
        """Return the weight decay of each weight."""
        parts = [
            torch.full_like(parameter, group["weight_decay"]).flatten()
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.requires_grad
        ]
        return torch.cat(parts)

    def _penalty(self, decay: Tensor) -> float:
        weights = flat([each.detach() for each in self.parameters], self.parameters)
        return 0.5 * float((decay * weights) @ weights)

    def _last(self) -> Tensor:
        """Return where conjugate gradients start."""
        parts = [self.state[each].get("direction") for each in self.parameters]
        return WARM_START * flat(parts, self.parameters)

    @torch.no_grad()
    def _move(self, before: list[Tensor], change: Tensor) -> None:
        parts = split(change, self.parameters)
        for parameter, old, part in zip(self.parameters, before, parts, strict=True):
            parameter.copy_(old + part)

    def _remember(self, direction: Tensor, damping: float) -> None:
        for parameter, part in zip(self.parameters, split(direction, self.parameters), strict=True):
            self.state[parameter] = {
                "direction": part.clone(),
                "damping": torch.tensor(damping, dtype=torch.float64, device=parameter.device),
            }


def build_hessian_free(groups: list[dict[str, Any]], settings: RunSettings) -> HessianFree:
    """Build the optimiser that the settings describe."""
    return HessianFree(
        groups,
        damping=settings.damping,
        structural=settings.structural_damping,
        iterations=settings.cg_iterations,
    )


def _best(found: Iterates, value: Callable[[Tensor], float]) -> tuple[int, float]:
    """Go back over the iterates while the objective falls, and return where, with the objective."""
    best = len(found.steps) - 1
    lowest = value(found.steps[best])
    for index in range(best - 1, -1, -1):
        reached = value(found.steps[index])
        if reached > lowest:
            break
        best, lowest = index, reached
    return best, lowest


def _shortened(
    change: Tensor, gradient: Tensor, begun: float, reached: float, value: Callable[[Tensor], float]
) -> tuple[Tensor, float]:
    """Shorten a step until the objective falls enough, to zeros if it never does."""
    slope, length = float(gradient @ change), 1.0
    if slope >= 0.0:
        return torch.zeros_like(change), begun
    for _ in range(SHORTENINGS):
        if reached <= begun + SUFFICIENT * length * slope:
            return length * change, reached
        length *= SHORTER
        reached = value(length * change)
    return torch.zeros_like(change), begun


def _factor(ratio: float) -> float:
    """Return the factor of λ for the ratio of the change of the objective to the expected one."""
    if ratio > HIGH:
        return LOWERED
    return RAISED if not ratio >= LOW else 1.0
