"""Minibatches of series as cases: one network of the recipe `appliance-series` in training, one without segments."""

from dataclasses import dataclass

from elman.bench.news_case import CLASSIFYING

GATES = 3


@dataclass(frozen=True)
class SeriesCase:
    """One minibatch of training: segments, each read by a linear layer; a bidirectional GRU, its mean and maximum.

    Args:
        name: the name of the case.
        batch: series.
        shortest: steps of the shortest series.
        steps: of the longest.
        input_size: numbers of a step.
        segment: steps that are read together; without the linear layer where it is 1.
        hidden_size: units of each direction, and of the linear layer.
        labels: outputs.
    """

    name: str
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
        numbers, hidden = self.segment * self.input_size, self.hidden_size
        reading, size = (numbers * hidden, hidden) if self.segment > 1 else (0, numbers)
        return 2.0 * 3 * segments * (reading + 2 * GATES * hidden * (size + hidden))


_CASES = (SeriesCase("appliance-series"), SeriesCase("appliance-steps", 32, input_size=1, segment=1, hidden_size=64))
SERIES_CASES: dict[str, SeriesCase] = {case.name: case for case in _CASES}
