"""Training on the minibatches of a case, the same for every side in torch."""

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.bench.timing import Run

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

    Args:
        network: builds a network that takes a minibatch, given the work and whether it `packs`.
        work: with `minibatches`.
    """
    packed, padded = (network(work, packs=packs) for packs in (True, False))
    return {
        "torch.nn packed": learning(packed, packed, work.minibatches),
        "torch.nn padded": learning(padded, padded, work.minibatches),
    }
