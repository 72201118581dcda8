"""Running sums over minibatches."""

from dataclasses import dataclass


@dataclass
class Meter:
    """Running sums over minibatches, from which means and rates are read.

    Attributes:
        batches: minibatches added.
        targets: targets in them; the means are over targets.
        loss: sum over the targets.
        metric: sum over the targets.
        sequences: sequences in them.
        tokens: steps of all these sequences.
        seconds: time spent on them.
    """

    batches: int = 0
    targets: int = 0
    loss: float = 0.0
    metric: float = 0.0
    sequences: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def add(self, loss: float, metric: float, targets: int, sequences: int, tokens: int, seconds: float) -> None:
        """Count one minibatch, given its means over its targets."""
        self.batches += 1
        self.targets += targets
        self.loss += loss * targets
        self.metric += metric * targets
        self.sequences += sequences
        self.tokens += tokens
        self.seconds += seconds

    def figures(self) -> dict[str, float]:
        """Return the mean loss and metric, sequences and tokens per second, and the seconds."""
        targets, seconds = max(self.targets, 1), max(self.seconds, 1e-9)
        return {
            "loss": self.loss / targets,
            "metric": self.metric / targets,
            "sequences_per_second": self.sequences / seconds,
            "tokens_per_second": self.tokens / seconds,
            "seconds": self.seconds,
        }
