"""Plans of which sequences form a batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from elman.errors import DataError, UsageError

# A pool is sorted by length: large enough that batches are even, small enough that epochs differ.
_BATCHES_PER_POOL = 64


class Minibatch(NamedTuple):
    """What one step of training reads.

    Attributes:
        inputs: of the model.
        targets: the expected outputs.
        sequences: number of them.
        tokens: steps of all of them.
    """

    inputs: Any
    targets: Tensor
    sequences: int
    tokens: int


def plan_batches(
    lengths: Sequence[int] | np.ndarray,
    *,
    batch_size: int | None = None,
    tokens_per_batch: int | None = None,
    shuffle: bool = True,
    bucketing: bool = True,
    seed: int = 0,
    epoch: int = 0,
) -> list[list[int]]:
    """Return the indices of each batch, with every sequence in exactly one batch.

    With `shuffle`, the order is drawn from (seed, epoch); with bucketing it is cut into pools, each pool is sorted by
    length and cut into batches of similar lengths, and the batches are shuffled. Without `shuffle`, it is the given
    order, or with bucketing the order of lengths, short first. The same arguments give the same plan, and no other
    random state is read or changed.

    >>> plan_batches([5, 1, 4, 2], tokens_per_batch=6, shuffle=False)
    [[1, 3], [2], [0]]

    Args:
        lengths: (examples,) steps of each sequence.
        batch_size: sequences per batch, or
        tokens_per_batch: steps per batch at most. An empty sequence counts as one step, and a sequence
            longer than this is a batch of its own.
        shuffle: draw the order anew for each epoch.
        bucketing: put sequences of similar lengths together.
        seed: of the drawing, 0 or more.
        epoch: of the drawing, 0 or more.

    Raises:
        UsageError: both or neither of the sizes, a size below 1, a negative seed or epoch.
        DataError: a negative length.
    """
    _check_settings(batch_size, tokens_per_batch, seed, epoch)
    steps = _counted_steps(lengths)
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(steps)) if shuffle else np.arange(len(steps))
    pools = _pools(order, steps, batch_size, tokens_per_batch) if shuffle and bucketing else [order]
    if bucketing:
        pools = [pool[np.argsort(steps[pool], kind="stable")] for pool in pools]
    batches = [batch for pool in pools for batch in _cut(pool, steps, batch_size, tokens_per_batch)]
    if shuffle and bucketing:
        batches = [batches[index] for index in random.permutation(len(batches))]
    return batches


def cut_evenly(steps: Sequence[int], parts: int) -> list[list[int]]:
    """Return the positions of each of several parts that have nearly the same number of steps.

    The longest sequence goes first, each to the part with the fewest steps so far; every part keeps the given order.

    >>> cut_evenly([9, 1, 4, 5, 1], 2)
    [[0, 1], [2, 3, 4]]

    Args:
        steps: of each sequence; an empty one counts as one step.
        parts: their number; some are empty if there are fewer sequences.
    """
    found: list[list[int]] = [[] for _ in range(parts)]
    sums = [0] * parts
    for position in sorted(range(len(steps)), key=lambda each: -steps[each]):
        part = min(range(parts), key=sums.__getitem__)
        found[part].append(position)
        sums[part] += max(steps[position], 1)
    return [sorted(part) for part in found]


def _check_settings(batch_size: int | None, tokens_per_batch: int | None, seed: int, epoch: int) -> None:
    if (batch_size is None) == (tokens_per_batch is None):
        raise UsageError(
            "Expected either batch_size or tokens_per_batch, got both or neither.",
            where=f"batch_size={batch_size}, tokens_per_batch={tokens_per_batch}",
            fix="Give one of the two and leave the other None.",
        )
    smallest = {"batch_size": 1, "tokens_per_batch": 1, "seed": 0, "epoch": 0}
    given = {"batch_size": batch_size, "tokens_per_batch": tokens_per_batch, "seed": seed, "epoch": epoch}
    wrong = [f"{name}={value}" for name, value in given.items() if value is not None and value < smallest[name]]
    if wrong:
        raise UsageError(
            f"Too small for a plan: {', '.join(wrong)}.",
            fix="Sizes are 1 or more, seed and epoch 0 or more.",
        )


def _counted_steps(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    counted = np.asarray(lengths, dtype=np.int64)
    if (counted < 0).any():
        index = int(np.argmax(counted < 0))
        raise DataError(
            f"Expected lengths of zero or more, got {counted[index]}.",
            where=f"sequence {index}",
            fix="Give the number of steps of each sequence.",
        )
    return np.maximum(counted, 1)


def _pools(
    order: np.ndarray, steps: np.ndarray, batch_size: int | None, tokens_per_batch: int | None
) -> list[np.ndarray]:
    if not len(order):
        return []
    per_batch = batch_size or (tokens_per_batch or 1) / steps.mean()
    size = max(1, int(per_batch * _BATCHES_PER_POOL))
    return [order[begin : begin + size] for begin in range(0, len(order), size)]


def _cut(pool: np.ndarray, steps: np.ndarray, batch_size: int | None, tokens_per_batch: int | None) -> list[list[int]]:
    if batch_size is not None:
        return [pool[begin : begin + batch_size].tolist() for begin in range(0, len(pool), batch_size)]
    batches, room = [], 0
    for index, taken in zip(pool.tolist(), steps[pool].tolist(), strict=True):
        if not batches or taken > room:
            batches.append([])
            room = tokens_per_batch
        batches[-1].append(index)
        room -= taken
    return batches
