"""A small task, small data and a small model, with everything in them that a resumed run could get wrong."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.settings.training import TrainingSettings
from elman.tasks.examples import Examples
from elman.tasks.task import Batch, Metric, Read


class Words:
    """Seeded random sequences of three features; the class is the sign of their sum."""

    def __init__(self, count: int = 40, seed: int = 0, longest: int = 6):
        generator = torch.Generator().manual_seed(seed)
        self.lengths: Sequence[int] = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
        self.data = [torch.randn(length, 3, generator=generator) for length in self.lengths]
        self.targets = torch.tensor([int(one.sum() > 0) for one in self.data])

    def examples(self, settings: TrainingSettings, *, shuffle: bool = True) -> Examples:
        inputs = Ragged.from_list(self.data, feature_shape=(3,)) if self.data else Ragged(torch.zeros(0, 3), [])
        return Examples({"inputs": inputs, "targets": self.targets}, settings, shuffle=shuffle)


class Signs:
    """Two classes by cross-entropy."""

    name = "signs"
    metric = Metric("accuracy", larger_is_better=True, percent=True)
    unit = "sequences"

    def read(self, network: nn.Module, batch: Batch, state: Any = None) -> Read:
        outputs = network(batch["inputs"].to_padded())
        return Read(self.loss(outputs, batch["targets"]), self.count(batch["targets"]), outputs)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets)

    def count(self, targets: Tensor) -> int:
        return len(targets)

    def scores(self, data: Any) -> "Scores":
        return Scores()

    def sample(self, network: nn.Module) -> None:
        """Nothing is written."""


class Scores:
    """Mean loss and accuracy."""

    def __init__(self):
        self.loss, self.hits, self.targets = 0.0, 0, 0

    def update(self, batch: Batch, read: Read) -> None:
        self.loss += read.loss.item() * read.targets
        self.hits += int((read.outputs.argmax(-1) == batch["targets"]).sum())
        self.targets += read.targets

    def compute(self) -> dict[str, float]:
        return {"loss": self.loss / self.targets, "accuracy": self.hits / self.targets}


class Net(nn.Module):
    """A GRU with dropout, and batch normalisation for its buffers."""

    def __init__(self, seed: int = 0, hidden: int = 5):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.gru = nn.GRU(3, hidden, batch_first=True)
            self.norm = nn.BatchNorm1d(hidden)
            self.dropout = nn.Dropout(0.3)
            self.head = nn.Linear(hidden, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        _, last = self.gru(inputs)
        return self.head(self.dropout(self.norm(last[0])))
