"""The flow of the gradient through a recurrent layer, its memory, and what to do about it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from elman.dynamics.gradient_norms import GradientNorms, gradient_norms
from elman.dynamics.lyapunov import lyapunov_exponents
from elman.dynamics.trajectory import Layer, trajectories
from elman.errors import UsageError
from elman.report.plots import Panel, Plot, Trace

Verdict = Literal["vanishing", "exploding", "healthy"]

# The gradient of a loss at the end is this much smaller, or larger, at the first step.
LIMIT = math.log(1000.0)
ADVICE: dict[Verdict, str] = {
    "vanishing": "Start the recurrent matrix from orthogonal or identity (--recurrent-start), use a cell with gates "
    "and long memory from the start (--cell lstm --longest-memory STEPS), penalise the vanishing (--vanishing-penalty) "
    "or train with --optimizer hessian-free.",
    "exploding": "Clip the gradient (--clip-norm 1), lower the learning rate, start the recurrent matrix from "
    "orthogonal (--recurrent-start), or let gradients go back fewer steps (--backpropagation-steps).",
    "healthy": "Gradients reach the first steps; what is not learned has other reasons.",
}
RESERVOIR_ADVICE: dict[Verdict, str] = {
    "vanishing": "The reservoir forgets its beginning. For a longer memory give a spectral radius nearer to 1 or a "
    'smaller leaking rate (--cell-options "recurrent=sparse(0.99, 0.1),leak=0.3").',
    "exploding": "States that differ drift apart, and the output depends on the initial state. Give a smaller spectral "
    'radius (--cell-options "recurrent=sparse(0.8, 0.1)"), or a larger input_scaling.',
    "healthy": "The last state still depends on the first. A regressor of steps can leave the first ones out of the "
    "fit (--warmup-steps).",
}


@dataclass(frozen=True)
class Flow:
    """How the gradient flows through one layer.

    Attributes:
        layer: its name.
        norms: of ∂h_T/∂h_t.
        exponents: the largest Lyapunov exponents, in descending order.
        is_fixed: whether the layer is a reservoir, whose weights are not learned.
    """

    layer: str
    norms: GradientNorms
    exponents: Sequence[float]
    is_fixed: bool = False

    @property
    def steps(self) -> int:
        """Steps of the longest sequence."""
        return len(self.norms.logarithms) - 1

    @property
    def change(self) -> float:
        """Logarithm of the factor by which the gradient grows from the last step to the first."""
        return self.norms.slope * self.steps if self.steps else 0.0

    @property
    def verdict(self) -> Verdict:
        """Vanishing below a thousandth at the first step, exploding above a thousand, else healthy."""
        if self.norms.logarithms[-1] == -math.inf or self.change < -LIMIT:
            return "vanishing"
        return "exploding" if self.change > LIMIT else "healthy"

    @property
    def summary(self) -> str:
        """What was found."""
        memory = self.norms.memory
        reach = "does not fall" if math.isinf(memory) else f"falls to 1/e in {memory:.3g} steps"
        if self.norms.logarithms[-1] == -math.inf:
            lost = self.norms.logarithms.index(-math.inf)
            reach = f"is 0 from {lost} step{'s' * (lost != 1)} before the end"
        return f"{self.layer}: {self.verdict}; over {self.steps:,} step{'s' * (self.steps != 1)} it {reach}."

    @property
    def sentence(self) -> str:
        """What was found, and what to do."""
        advice = RESERVOIR_ADVICE if self.is_fixed else ADVICE
        return f"The gradient of {self.summary} {advice[self.verdict]}"

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON holds it, with None for infinity."""
        found = {
            "layer": self.layer,
            "verdict": self.verdict,
            "steps": self.steps,
            "slope": self.norms.slope,
            "memory": self.norms.memory,
            "lyapunov_exponents": list(self.exponents),
            "exact": self.norms.exact,
            "log_norms": self.norms.logarithms,
            "sequences": self.norms.sequences,
            "fixed": self.is_fixed,
        }
        return {name: _finite(value) for name, value in found.items()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Flow":
        """Return the flow that `to_json` gave."""
        logarithms = [-math.inf if value is None else value for value in document["log_norms"]]
        norms = GradientNorms(logarithms, document["sequences"], document["exact"])
        exponents = [-math.inf if value is None else value for value in document["lyapunov_exponents"]]
        return cls(document["layer"], norms, exponents, document.get("fixed", False))


def flow_of(
    layers: Sequence[Layer], *, steps: int | None = None, exponents: int = 5, probes: int | None = None
) -> Iterator[Flow]:
    """Yield how the gradient flows through each layer.

    Args:
        layers: with what they read.
        steps: read at most so many of each sequence.
        exponents: number of Lyapunov exponents.
        probes: as for `gradient_norms`.

    Raises:
        UsageError: no sequence has a step, or the states of a layer are not finite.
    """
    for trajectory in trajectories(layers, steps):
        if not trajectory.states.isfinite().all():
            raise UsageError(
                f"Expected finite states of {trajectory.layer.name}, got others.",
                fix="Train the model again, with a lower learning rate or --clip-norm; its weights are damaged or its "
                "states grow without limit.",
            )
        found = lyapunov_exponents(trajectory, exponents) if exponents else []
        graph = trajectory.layer.graph
        is_fixed = graph.fixed.issuperset(graph.parameter_names)
        yield Flow(trajectory.layer.name, gradient_norms(trajectory, probes=probes), found, is_fixed)


def plot_of(flows: Sequence[Flow]) -> Plot:
    """Return a plot of the norms of each layer against the distance."""
    panels = [
        Panel(
            flow.layer,
            "distance T - t in steps",
            "log10 of the gradient's norm",
            [
                Trace(*_points(flow.norms), label=flow.layer),
                Trace([0, flow.steps], [0.0, flow.change / math.log(10)], form="dashes", colour="ink", label="slope"),
            ],
        )
        for flow in flows
    ]
    return Plot("Flow of the gradient", panels, " ".join(flow.sentence for flow in flows))


def _points(norms: GradientNorms) -> tuple[list[float], list[float]]:
    kept = [(float(x), y / math.log(10)) for x, y in enumerate(norms.logarithms) if math.isfinite(y)]
    return [x for x, _ in kept], [y for _, y in kept]


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
