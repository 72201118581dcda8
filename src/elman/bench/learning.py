"""Training on the minibatches of a case, the same for every side in torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.bench.timing import Run
from elman.settings import check_settings
from elman.settings.training import TrainingSettings
from elman.tasks.examples import Examples
from elman.tasks.task import Batch

MINIBATCHES = 16
LEARNING_RATE = 1e-3


def learning(network: nn.Module, logits: Callable[[Any], Tensor], minibatches: Sequence[Any]) -> Run:
    """Return the run of one minibatch: forward, backward and Adam's step.

    Args:
        network: what learns.
        logits: gives the logits `(batch, labels)` of a minibatch.
        minibatches: with `labels`; a run takes the next.
    """
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)
    following: Iterator[Any] = cycle(minibatches)

    def run() -> float:
        batch = next(following)
        loss = functional.cross_entropy(logits(batch), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def learning_both(network: Callable[..., nn.Module], work: Any) -> dict[str, Run]:
    """Return the runs of torch's layers on packed and on padded sequences.

    Packed sequences are also measured in minibatches of any lengths, as torch's loaders draw them.

    Args:
        network: builds a network that takes a minibatch, given the work and whether it `packs`.
        work: with `minibatches` of like lengths, and `shuffled` ones.
    """
    packed, shuffled, padded = (network(work, packs=packs) for packs in (True, True, False))
    return {
        "torch.nn packed": learning(packed, packed, work.minibatches),
        "torch.nn packed, shuffled": learning(shuffled, shuffled, work.shuffled),
        "torch.nn padded": learning(padded, padded, work.minibatches),
    }


def read_minibatches(columns: Mapping[str, Any], size: int, *, like_lengths: bool) -> list[Batch]:
    """Return the minibatches of an epoch.

    Args:
        columns: encoded examples.
        size: sequences in a minibatch.
        like_lengths: whether those of a minibatch are of like length, as elman's trainer groups them.
    """
    settings = check_settings(TrainingSettings, {"batch_size": size, "bucketing": like_lengths})
    examples = Examples(columns, settings)
    return [examples.read(item) for item in examples.plan(0)]
