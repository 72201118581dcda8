"""Scores of a task: how they are named, shown and accumulated."""

from typing import Any, NamedTuple, Protocol

from elman.report.figures import figure
from elman.tasks.batches import Batch, Read


class Metric(NamedTuple):
    """A score with a name.

    Attributes:
        name: as `Scores.compute` has it.
        larger_is_better: how two of them are compared.
        percent: whether it is a share of 1 that is shown in percent.
        note: what it means, a sentence for the report.
        title: as people read it; made of the name if not given.
        decimals: shown of it, in place of the usual number of digits.
        compares: whether it says which of two models is better; the number of rows does not.
    """

    name: str
    larger_is_better: bool = False
    percent: bool = False
    note: str = ""
    title: str = ""
    decimals: int | None = None
    compares: bool = True

    def shown(self, value: float) -> str:
        """Return a value of it as people read it."""
        return figure(value, percent=self.percent) if self.decimals is None else f"{value:.{self.decimals}f}"

    @property
    def heading(self) -> str:
        """Its title."""
        return self.title or self.name.replace("_", " ")


class Scores(Protocol):
    """Scores that are accumulated over batches, in memory that does not grow with them."""

    def update(self, batch: Batch, read: Read) -> None:
        """Count a batch in."""
        ...

    def compute(self) -> dict[str, Any]:
        """Return every score, `loss` and the task's metrics among them."""
        ...
