"""The task of telling the next token of a text."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from elman.language_network import LanguageNetwork
from elman.nn.state import State
from elman.sequences.ragged import Ragged
from elman.sequences.streams import TokenStreams
from elman.sequences.token_text import Counts
from elman.tasks.base import Step


class Language:
    """The next token of a text: cross entropy in nats, bits a character and a byte, perplexity.

    bits_per_character = loss · targets / (characters · ln 2)        perplexity = exp(loss)

    with the characters (or bytes) that the targets stand for, also where a token is a word; so that models of one text
    can be compared whatever their tokens are, as long as none of its tokens is unknown.

    Args:
        counts: of the training text.
        unit: what the tokens are: `characters`, `bytes`, `words` or `subwords`. Epochs of bytes are compared by bits a
            byte, others by bits a character.
    """

    name = "language"
    larger_is_better = False

    def __init__(self, counts: Counts, *, unit: str = "characters"):
        self.unit = unit
        self.metric = "bits_per_byte" if unit == "bytes" else "bits_per_character"
        self._share = _share(counts, self.metric)

    def step(self, model: nn.Module, inputs: Ragged, targets: Tensor, state: State | None) -> Step:
        """Reads a window `(total,)` of every stream on from a state."""
        assert isinstance(model, LanguageNetwork)
        reading = model.read(inputs, state)
        loss = model.head.loss(reading.outputs.data, targets)
        return Step(loss, reading.last.detach())

    def metric_of(self, loss: float) -> float:
        """Bits a character, or a byte, of the training text."""
        return loss / math.log(2) * self._share

    def count(self, targets: Tensor) -> int:
        """Number of tokens to be told."""
        return len(targets)

    def judge(
        self,
        model: nn.Module,
        data: TokenStreams,
        between: Callable[[], Any] | None = None,
        *,
        adapt: Callable[[Tensor], None] | None = None,
    ) -> dict[str, float]:
        """Every score over the windows of a text, read in order with carried state; see `language_scores`.

        Args:
            model: in the mode it is to be judged in.
            data: the streams of the text.
            between: called after each window.
            adapt: given the mean loss of each window, after it was counted (dynamic evaluation).
        """
        total, tokens, state = 0.0, 0, None
        for number in range(len(data)):
            inputs, targets = data.window_at(number)
            step = self.step(model, inputs, targets, state)
            total, tokens, state = total + step.loss.item() * len(targets), tokens + len(targets), step.state
            if adapt is not None:
                adapt(step.loss)
            if between is not None:
                between()
        return language_scores(total / tokens, data.text.counts)


def language_scores(loss: float, counts: Counts) -> dict[str, float]:
    """The scores of a text.

    Args:
        loss: mean over its tokens after the first, in nats.
        counts: of the text.

    Returns:
        `loss`, `bits_per_character`, `bits_per_byte`, `perplexity` (infinite beyond what a float holds), `tokens` told,
        and `unknown`, how many of those tokens the vocabulary does not have.

    >>> language_scores(math.log(2), Counts(tokens=9, characters=8, bytes=16, unknown=0))["bits_per_byte"]
    0.5
    """
    return {
        "loss": loss,
        **{name: loss / math.log(2) * _share(counts, name) for name in ("bits_per_character", "bits_per_byte")},
        "perplexity": math.exp(loss) if loss < 700 else math.inf,
        "tokens": counts.tokens - 1,
        "unknown": counts.unknown,
    }


def _share(counts: Counts, metric: str) -> float:
    """Targets for each character, or byte, that they stand for."""
    size = counts.bytes if metric == "bits_per_byte" else counts.characters
    return (counts.tokens - 1) / size if size else math.nan
