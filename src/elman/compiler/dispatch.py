"""Which target runs a step, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from elman.compiler import reference
from elman.compiler.graph import Graph
from elman.compiler.order import TimeMajor
from elman.compiler.plan import Plan, plan
from elman.compiler.targets import eager
from elman.errors import UsageError, nearest

TargetName = Literal["eager", "reference"]


class Target(Protocol):
    """What runs a plan; see `targets.eager.run`."""

    def __call__(
        self,
        plan: Plan,
        weights: Mapping[str, Tensor],
        inputs: Sequence[Tensor],
        states: Sequence[Tensor],
        order: TimeMajor,
        *,
        backward: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The output at every step and the last states."""
        ...


@dataclass(frozen=True)
class Choice:
    """A target and the reason why it was chosen."""

    target: str
    reason: str

    def __str__(self) -> str:
        return f"{self.target}: {self.reason}"


def _run_reference(
    plan: Plan,
    weights: Mapping[str, Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    order: TimeMajor,
    *,
    backward: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    if torch.is_grad_enabled() and any(value.requires_grad for value in (*weights.values(), *inputs, *states)):
        raise UsageError(
            "The target `reference` gives no gradients.",
            fix="Run it under torch.no_grad(), or use the target `eager`.",
        )
    plain = lambda value: value.detach().cpu().numpy()  # noqa: E731
    output, last = reference.run(
        plan.graph,
        {name: plain(value) for name, value in weights.items()},
        [plain(value) for value in inputs],
        [plain(value) for value in states],
        order.lengths.tolist(),
        backward=backward,
    )
    return torch.as_tensor(output).to(inputs[0]), tuple(torch.as_tensor(value).to(inputs[0]) for value in last)


TARGETS: dict[str, Target] = {"eager": eager.run, "reference": _run_reference}


def choose(requested: str | None) -> Choice:
    """The target for a call.

    Args:
        requested: a target by name, or `None` to leave the choice to elman.

    Raises:
        UsageError: no such target.
    """
    if requested is None:
        return Choice("eager", "torch's operations, step by step: runs every cell on every device")
    if requested not in TARGETS:
        raise UsageError(f"There is no target `{requested}`.", fix=nearest(requested, TARGETS))
    return Choice(requested, "asked for by name")


def run(
    graph: Graph,
    weights: Mapping[str, Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    order: TimeMajor,
    *,
    backward: bool = False,
    target: str | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a step over every sequence of a batch on the target that fits; see `targets.eager.run`."""
    return TARGETS[choose(target).target](plan(graph), weights, inputs, states, order, backward=backward)
