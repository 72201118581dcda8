"""The flow of the gradient through a network's recurrent layers, watched while it is trained."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from elman.dynamics import Flow, flow_of, observed_layers
from elman.dynamics.flow import plot_of
from elman.errors import UsageError
from elman.nn.recurrent import Recurrent
from elman.report.parts import Part
from elman.report.plots import Panel, Plot, Trace
from elman.settings.training import RunSettings
from elman.tasks.task import Batch, Data, Task

# Batches that are compared for the longest sequences.
COMPARED = 8
SEQUENCES, STEPS = 8, 200
KIND = "gradients"


class GradientEvent(NamedTuple):
    """The flow of the gradient after an epoch.

    Attributes:
        epoch: from 1.
        flows: of each recurrent layer and direction.
    """

    epoch: int
    flows: Sequence[Flow]

    def lines(self) -> list[str]:
        """Return a line for each layer."""
        return [f"  gradient of {flow.summary}" for flow in self.flows]

    def row(self) -> dict[str, Any]:
        """Return the row of the log."""
        return {"epoch": self.epoch, "layers": [flow.to_json() for flow in self.flows]}


def check_watched(network: nn.Module, settings: RunSettings) -> None:
    """Refuse to watch gradients of a network without recurrent layers."""
    layers = any(isinstance(module, Recurrent) for module in network.modules())
    if settings.watch_gradients is not None and not layers:
        raise UsageError(
            "Expected a network with a recurrent layer to watch gradients in, got one without.",
            fix="Leave out watch_gradients (--watch-gradients), or give a cell.",
        )


def watch_gradients(network: nn.Module, task: Task, data: Data, epoch: int) -> GradientEvent:
    """Return the flow of the gradient on up to eight sequences, and 200 steps of each.

    Args:
        network: is read in evaluation mode.
        task: reads the batch.
        data: the batch with the longest sequences among some is used.
        epoch: from 1.

    Raises:
        UsageError: the network has no recurrent layer, or the data have no sequence with a step.
    """
    batch = longest_batch(data)
    layers = observed_layers(network, lambda: task.read(network, batch), SEQUENCES)
    return GradientEvent(epoch, list(flow_of(layers, steps=STEPS, exponents=1)))


def longest_batch(data: Data) -> Batch:
    """Return the batch of the longest sequences, of up to eight batches of the data.

    Raises:
        UsageError: there are no data.
    """
    plan = data.plan(0)
    if not len(plan):
        raise UsageError("Expected at least one sequence, got none.", fix="Give other data.")
    some = {round(number * (len(plan) - 1) / (COMPARED - 1)) for number in range(COMPARED)}
    batches = (data.read(plan[index]) for index in sorted(some))
    return max(batches, key=lambda batch: batch.tokens / max(batch.sequences, 1))


def gradient_parts(log: Sequence[Mapping[str, Any]]) -> list[Part]:
    """Return the parts of a report on the gradients that a run has watched, none if it has not.

    Args:
        log: its rows.
    """
    rows = [row for row in log if row["kind"] == KIND]
    if not rows:
        return []
    events = [GradientEvent(row["epoch"], [Flow.from_json(each) for each in row["layers"]]) for row in rows]
    panels = [
        Panel(
            f"{flow.layer} by epoch",
            "epoch",
            "change of ln ‖∂h_T/∂h_t‖ a step",
            [Trace([event.epoch for event in events], [event.flows[index].norms.slope for event in events])],
        )
        for index, flow in enumerate(events[-1].flows)
    ]
    note = "0 is a gradient that neither vanishes nor explodes."
    return [Plot("Gradients over the epochs", panels, note), plot_of(events[-1].flows)]
