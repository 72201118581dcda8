"""The numbers of a language model's case: text and parameters, the same for every side, and what a batch is."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from elman.bench.language_case import LAYERS, LanguageCase
from elman.bench.work import draw_matrices
from elman.training.generators import own_generators

WINDOWS = 4
LEARNING_RATE = 1e-3

Run = Callable[[], Any]
# From characters, those that follow each, and the states carried on (at first `None`), to the mean nats a character and
# the next states.
Loss = Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]]


class LanguageWork:
    """What every side of a case is given.

    Args:
        case: the case; its numbers are drawn from a seed of their own.

    Attributes:
        text: ids of characters, `(batch, WINDOWS · steps + 1)`; the larger an id the rarer, as in a vocabulary.
        table: the embedded characters, `(alphabet, input_size)`.
        layers: the parameters of each recurrent layer.
        head: the softmax, to be copied: an `nn.Linear`, or an adaptive one as torch has it.
    """

    def __init__(self, case: LanguageCase):
        self.case = case
        draw = torch.Generator().manual_seed(0)
        # About as characters come in English: one in six is the most frequent one, one in 200 is beyond the 128th.
        shares = torch.arange(11.0, case.alphabet + 11).pow(-3)
        length = WINDOWS * case.steps + 1
        self.text = torch.multinomial(shares, case.batch * length, replacement=True, generator=draw).view(-1, length)
        self.table = torch.randn(case.alphabet, case.input_size, generator=draw)
        sizes = [case.input_size] + [case.hidden_size] * (LAYERS - 1)
        self.layers = tuple(draw_matrices(size, case.hidden_size, 3, draw) for size in sizes)
        with own_generators([], 0):
            self.head = _head(case)

    def window(self, number: int) -> tuple[Tensor, Tensor]:
        """Return the characters of a window and the next of each, `(batch, steps)`, in a cycle."""
        start = number % WINDOWS * self.case.steps
        rows = self.text[:, start : start + self.case.steps + 1]
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def _head(case: LanguageCase) -> nn.Module:
    if case.cutoffs:
        return nn.AdaptiveLogSoftmaxWithLoss(case.hidden_size, case.alphabet, list(case.cutoffs))
    return nn.Linear(case.hidden_size, case.alphabet)


def training(network: nn.Module, loss: Loss, work: LanguageWork) -> Run:
    """Return the training run of a batch: forward, backward and the optimiser's step.

    Args:
        network: whose parameters are learned.
        loss: of a batch.
        work: gives the characters.

    Returns:
        A function that learns from one batch and gives its loss.
    """
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)
    number, state = 0, None

    def run() -> float:
        nonlocal number, state
        found, state = loss(*work.window(number), state)
        number += 1
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
        return found.item()

    return run
