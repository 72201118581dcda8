"""A decoder as a search sees it, and what a search finds."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from elman.decoder import Step as Step
from elman.errors import ModelError, UsageError

ROWS_OF_BLOCK = 64


class Stepper(Protocol):
    """A decoder that reads one token of each row at a time."""

    def step(self, tokens: Tensor, state: Any) -> Step:
        """Read the last token of each row, int64 `(rows,)`, and score the next one."""
        ...

    def select(self, state: Any, rows: Tensor) -> Any:
        """Return a state of these rows in this order, some of them repeated or left out."""
        ...


class Hypothesis(NamedTuple):
    """A target that a search found.

    Attributes:
        tokens: without the start and end marks.
        score: the log probability under the penalties in use.
        log_probability: the natural logarithm of the model's probability, of the end mark too if there is one.
        attention: float array, a row for each token and then one for the end mark if there is one, a column for each
            source token; or None.
        finished: whether the end mark was written; if not, the target was cut at its maximum length, or no token was
            allowed to follow.
    """

    tokens: list[int]
    score: float
    log_probability: float
    attention: np.ndarray | None = None
    finished: bool = True


class Trail:
    """The parent and token of every row of every step, and its attention, from which targets are read back.

    Rows have numbers in the order in which they were made; the first are those of the sources before any token.

    Args:
        sources: rows before the first step.
        keeps_attention: whether targets get the attention of their steps.
    """

    def __init__(self, sources: int, *, keeps_attention: bool):
        self._sources, self._keeps_attention = sources, keeps_attention
        self._parents: list[int] = [-1] * sources
        self._tokens: list[int] = [-1] * sources
        self._attention: list[tuple[np.ndarray, np.ndarray]] = []

    def read(self, numbers: Tensor, attention: Tensor | None) -> None:
        """Keep the attention of a step, whose rows have these numbers, in rising order."""
        if self._keeps_attention and attention is not None:
            self._attention.append((numbers.cpu().numpy(), attention.detach().cpu().float().numpy()))

    def grow(self, parents: Tensor, tokens: Tensor) -> Tensor:
        """Add rows that continue others, and return their numbers."""
        begin = len(self._parents)
        self._parents += parents.tolist()
        self._tokens += tokens.tolist()
        return torch.arange(begin, len(self._parents), device=parents.device)

    def walk(self, number: int, *, ended: bool, memory: int) -> tuple[list[int], np.ndarray | None]:
        """Return the tokens of a row and its attention.

        Args:
            number: of the row.
            ended: whether the end mark was written after it.
            memory: the true length of its memory.
        """
        tokens, rows = [], [number] * ended
        while number >= self._sources:
            tokens.append(self._tokens[number])
            number = self._parents[number]
            rows.append(number)
        if not self._attention:
            return tokens[::-1], None
        found = np.zeros((len(rows), memory), self._attention[0][1].dtype)
        for step, row in enumerate(reversed(rows)):
            numbers, attention = self._attention[step]
            found[step] = attention[numbers.searchsorted(row), :memory]
        return tokens[::-1], found


def log_probabilities(logits: Tensor) -> Tensor:
    """Return the natural logarithm of the softmax of each row.

    The result overwrites the logits where that is possible.

    Args:
        logits: `(rows, vocabulary)`.

    Raises:
        ModelError: some are NaN or infinite, or all of a row are -inf.
    """
    found = logits.clone() if logits.is_inference() or not logits.is_contiguous() else logits
    # A block of rows stays in the processor's cache.
    for rows in found.split(ROWS_OF_BLOCK) if found.device.type == "cpu" else [found]:
        rows.copy_(rows.log_softmax(1))
    if not bool(torch.isfinite(found.amax(1)).all()):
        raise ModelError("The decoder's scores are not finite.", fix="Its training diverged: train it again.")
    return found


def covered(coverage: Tensor | None, attention: Tensor | None) -> Tensor:
    """Return the attention summed over the steps with that of one more step, float64.

    Args:
        coverage: before, `(rows, longest memory)`; None before the first step.
        attention: of the step, `(rows, longest memory)`. It may be narrower, if a decoder drops padding when the
            longest source leaves the batch.

    Raises:
        UsageError: a decoder without attention.
    """
    if attention is None:
        raise UsageError(
            "This decoder has no attention, which a coverage penalty needs.", fix="Set coverage_penalty=0."
        )
    now = attention.double()
    return now if coverage is None else coverage[:, : now.shape[1]] + now


def start_tokens(rows: int, start: int, device: torch.device | str) -> Tensor:
    """Return the start mark for each row, `(rows,)`."""
    return torch.full((rows,), start, dtype=torch.int64, device=device)


def as_lengths(lengths: Sequence[int] | Tensor) -> list[int]:
    """Return lengths as a list."""
    return lengths.tolist() if isinstance(lengths, Tensor) else [int(length) for length in lengths]
