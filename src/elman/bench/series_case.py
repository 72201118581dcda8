"""A minibatch of series as a case: one network of the recipe `appliance-series`, in training."""

from dataclasses import dataclass

from elman.bench.news_case import CLASSIFYING

NAME = "appliance-series"
GATES = 3


@dataclass(frozen=True)
class SeriesCase:
    """One minibatch of training: segments, each read by a linear layer; a bidirectional GRU, its mean and maximum.

    Args:
        batch: series.
        shortest: steps of the shortest series.
        steps: of the longest.
        input_size: numbers of a step.
        segment: steps that are read together.
        hidden_size: units of each direction, and of the linear layer.
        labels: outputs.
    """

    batch: int = 16
    shortest: int = 100
    steps: int = 1_344
    input_size: int = 3
    segment: int = 5
    hidden_size: int = 128
    labels: int = 11
    cell: str = "gru_reset_after"
    ragged: bool = True

    @property
    def name(self) -> str:
        """The name of the case."""
        return NAME

    @property
    def mode(self) -> str:
        """Forward, backward and the optimiser's step."""
        return CLASSIFYING

    @property
    def layers(self) -> int:
        """Recurrent layers, one on another."""
        return 1

    @property
    def operations(self) -> float:
        """Useful floating-point operations of a minibatch of mean length: those of the matrix products."""
        segments = self.batch * (self.shortest + self.steps) / 2 / self.segment
        weights = self.segment * self.input_size * self.hidden_size + 2 * 2 * GATES * self.hidden_size**2
        return 2.0 * 3 * segments * weights


def parse_series(name: str) -> SeriesCase | None:
    """Return the case of a name, or None.

    >>> parse_series("appliance-series").batch
    16
    """
    return SeriesCase() if name == NAME else None


SERIES_CASES: dict[str, SeriesCase] = {NAME: SeriesCase()}
