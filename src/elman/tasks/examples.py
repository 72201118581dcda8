"""Rows in batches: shuffled for training, in order for an evaluation."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from elman.data.hashing import hash_of
from elman.data.ragged.batches import cut_evenly, plan_batches
from elman.tasks.task import Batch

# Nothing is kept for a backward pass, so that a larger batch fits where one of the training does.
LARGER_BATCHES = 4


class Examples:
    """Encoded columns as a data set, in batches of like lengths.

    Args:
        columns: by name, each with a row for each example: `Ragged`, `SpelledWords`, or a tensor `(examples, …)`.
        settings: `batch_size` or `tokens_per_batch`, `bucketing` and `seed` are read.
        shuffle: draw the order anew for each epoch; in order, batches are four times as large.
    """

    def __init__(self, columns: Mapping[str, Any], settings: Any, *, shuffle: bool = True):
        self.columns = dict(columns)
        self._settings = settings
        self._shuffle = shuffle
        ragged = [column.lengths for column in self.columns.values() if not isinstance(column, Tensor)]
        # Rows that are not sequences count as one step each.
        ones = [1] * (0 if ragged else len(next(iter(self.columns.values()))))
        self.lengths: list[int] = torch.stack(ragged).sum(0).tolist() if ragged else ones

    @property
    def fingerprint(self) -> str:
        """A hash of every column."""
        tensors = {}
        for name, column in self.columns.items():
            parts = {"": column} if isinstance(column, Tensor) else column.tensors()
            tensors |= {f"{name} {part}": tensor for part, tensor in parts.items()}
        return hash_of(tensors)

    def plan(self, epoch: int) -> list[list[int]]:
        """Return the indices of the examples in each batch."""
        settings, larger = self._settings, 1 if self._shuffle else LARGER_BATCHES
        return plan_batches(
            self.lengths,
            batch_size=settings.batch_size and settings.batch_size * larger,
            tokens_per_batch=settings.tokens_per_batch and settings.tokens_per_batch * larger,
            shuffle=self._shuffle,
            bucketing=settings.bucketing,
            seed=settings.seed,
            epoch=epoch,
        )

    def read(self, item: list[int]) -> Batch:
        """Return the examples of these indices."""
        columns = {
            name: column[item] if isinstance(column, Tensor) else column.select(item)
            for name, column in self.columns.items()
        }
        return Batch(columns, len(item), sum(map(self.lengths.__getitem__, item)))

    def part(self, item: list[int], rank: int, size: int) -> list[int]:
        """Return the share of a batch that one of several processes reads."""
        positions = cut_evenly([self.lengths[index] for index in item], size)[rank]
        return [item[position] for position in positions]

    def __len__(self) -> int:
        return len(self.lengths)
