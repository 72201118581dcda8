"""A small task, small data and a small model, with everything in them that a resumed run could get wrong."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Words:
    """Seeded random sequences of three features; the class is the sign of their sum."""

    def __init__(self, count: int = 40, seed: int = 0, longest: int = 6):
        generator = torch.Generator().manual_seed(seed)
        self.lengths: Sequence[int] = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
        self.data = [torch.randn(length, 3, generator=generator) for length in self.lengths]
        self.targets = torch.tensor([int(one.sum() > 0) for one in self.data])

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(torch.cat(self.data).numpy().tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        inputs = nn.utils.rnn.pad_sequence([self.data[index] for index in indices], batch_first=True)
        return inputs, self.targets[indices]


class Signs:
    """Two classes by cross-entropy."""

    name = "signs"
    metric = "accuracy"
    larger_is_better = True

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets)

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.argmax(-1) == targets).float().mean()

    def count(self, targets: Tensor) -> int:
        return len(targets)

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        return {"loss": self.loss(outputs, targets).item(), "accuracy": self.hits(outputs, targets).item()}


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
