"""From the scores of a network to the tokens that come next."""

import math
from collections.abc import Sequence

import numpy as np

from elman.errors import ModelError, ShapeError
from elman.settings.generation import GREEDY_TEMPERATURE
from elman.settings.generation import SamplingSettings as SamplingSettings

# The method of arrays takes a detour through Python to it.
_largest = np.maximum.reduce


class Sampler:
    """Draws the next token of several texts.

    p = softmax(scores / temperature), cut to `top_k` and then to `top_p` and scaled to the sum 1; token = the first
    whose cumulative probability, in the order of the tokens' numbers, exceeds u, one uniform number from [0, 1).

    All of it is computed in float64, so that scores which differ in their last bits, as those of two targets do, give
    the same token but for about one u in a million. Each text has random numbers of its own, from the seed and the
    text's index: text 2 is the same whether there are three texts or thirty. Number n of a text depends on n and the
    index alone, so that drawing can continue anywhere.

    Args:
        settings: how to draw.
        samples: texts, or the index of each.
        first: the first token that may be drawn; those before it (padding, unknown, begin) never are.

    Source:
        A. Holtzman et al., The Curious Case of Neural Text Degeneration, 2020, section 3 (top-p); A. Fan, M. Lewis,
        Y. Dauphin, Hierarchical Neural Story Generation, 2018 (top-k). Of equally probable tokens at the edge, those
        of lower number stay.

    >>> sampler = Sampler(SamplingSettings(temperature=0))
    >>> sampler.draw(np.log([[0.2, 0.5, 0.3]])), sampler.log_probabilities().round(2)
    (array([1]), array([-0.69]))
    """

    def __init__(self, settings: SamplingSettings, samples: int | Sequence[int] = 1, *, first: int = 0):
        self.settings = settings
        self.first = first
        self._is_greedy = settings.is_greedy
        self._colder, self._cut = 1.0 / max(settings.temperature, GREEDY_TEMPERATURE), (settings.top_k, settings.top_p)
        self._cuts = settings.top_k is not None or (settings.top_p or 1.0) < 1.0
        self._last: list[tuple[np.ndarray, int]] = []  # scores in float64, and the token that was drawn
        self._indices = range(samples) if isinstance(samples, int) else samples
        self._drawn = np.zeros(len(self._indices), np.int64)
        self.drawn = self._drawn

    @property
    def drawn(self) -> np.ndarray:
        """Tokens drawn for each text so far, `(samples,)`; set it to continue from another position."""
        return self._drawn.copy()

    @drawn.setter
    def drawn(self, drawn: Sequence[int] | np.ndarray) -> None:
        counts = np.asarray(drawn, np.int64)
        if counts.shape != self._drawn.shape or (counts < 0).any():
            raise ShapeError(
                f"{counts.tolist()} tokens were drawn for {len(self._drawn)} texts.", fix="Give a number from 0 each."
            )
        self._drawn[:] = counts
        pairs = zip(self._indices, counts.tolist(), strict=True)
        self._random = [_random_numbers(self.settings.seed, index, count) for index, count in pairs]

    def draw(self, scores: np.ndarray, texts: Sequence[int] | None = None) -> np.ndarray:
        """Draw the next token of each text.

        Args:
            scores: `(samples, tokens)`, any float type.
            texts: positions of the texts to draw for, if only some go on; `scores` has a row for each of them.

        Returns:
            int64, `(samples,)`.

        Raises:
            ModelError: scores that are not finite (NaN or infinity).
        """
        which = range(len(scores)) if texts is None else texts
        self._last = [self._draw_one(row, text) for text, row in zip(which, scores, strict=True)]
        self._drawn[which] += 1
        return np.array([token for _, token in self._last])

    def log_probabilities(self) -> np.ndarray:
        """Return the log probabilities of the last tokens at temperature 1, `(samples,)`."""
        return np.array([row[token] - np.logaddexp.reduce(row) for row, token in self._last])

    def _draw_one(self, scores: np.ndarray, text: int) -> tuple[np.ndarray, int]:
        row = scores.astype(np.float64)
        allowed = row[self.first :] if self.first else row
        peak = float(_largest(allowed))
        if not math.isfinite(peak):
            raise ModelError("The network's scores are not finite.", fix="Its training diverged: train it again.")
        token = int(allowed.argmax()) if self._is_greedy else self._choose(allowed - peak, self._random[text]())
        return row, token + self.first

    def _choose(self, row: np.ndarray, u: float) -> int:
        row *= self._colder
        weights = np.exp(row, row)
        if not self._cuts:
            return _inverse(weights, u)
        kept = likeliest(weights, *self._cut)
        return int(kept[_inverse(weights[kept], u)])


def _inverse(weights: np.ndarray, u: float) -> int:
    """Return the index at which the cumulative weights exceed the part u of their sum."""
    running = weights.cumsum()
    # u ≤ 1 − 2⁻⁵³ keeps the product below the sum itself, so that an index with some weight is found.
    return int(running.searchsorted(u * running[-1], "right"))


def likeliest(weights: np.ndarray, top_k: int | None = None, top_p: float | None = None) -> np.ndarray:
    """Return the indices of the largest weights that `top_k` and `top_p` keep, in order.

    >>> likeliest(np.array([1.0, 4.0, 2.0, 1.0]), top_p=0.7)
    array([1, 2])
    """
    if top_k is not None and top_k < len(weights):
        edge = np.partition(weights, -top_k)[-top_k]
        kept = np.flatnonzero(weights >= edge)
        kept = kept[np.argsort(-weights[kept], kind="stable")][:top_k]
    else:
        kept = np.argsort(-weights, kind="stable")
    if top_p is not None and top_p < 1.0:
        running = weights[kept].cumsum()
        kept = kept[: int(running.searchsorted(top_p * running[-1])) + 1]
    return np.sort(kept)


def _random_numbers(seed: int, text: int, position: int):
    """Yield the uniform numbers of a text from a position on, one for each call."""
    bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(text,)))
    return np.random.Generator(bits.advance(position)).random
