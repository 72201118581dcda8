"""How many of the required tokens a hypothesis has written, for lexically constrained search."""

from collections.abc import Sequence

import torch
from torch import Tensor

PADDING = -1


class Required:
    """Token sequences that must occur in targets, and the progress of hypotheses with each.

    Progress with a phrase is the length of its longest beginning that the hypothesis ends with (the state of the
    automaton of Knuth, Morris and Pratt), and stays at the phrase's length once the phrase has occurred. The bank of
    a hypothesis is the number of its required tokens: those of the phrases that occurred, and the longest progress
    with another one.

    Args:
        phrases: for each source, its phrases.
        device: of the tensors.

    Attributes:
        banks: 1 + the largest number of required tokens of a source.
        full: required tokens of each source, `(sources,)`.
        phrases: phrases of the source that has most of them.

    Source:
        D. E. Knuth, J. H. Morris, V. R. Pratt, Fast Pattern Matching in Strings, 1977.
    """

    def __init__(self, phrases: Sequence[Sequence[Sequence[int]]], device: torch.device | str = "cpu"):
        self.phrases = max(map(len, phrases), default=0)
        longest = max((len(phrase) for each in phrases for phrase in each), default=0)
        shape = (len(phrases), self.phrases, longest + 1)
        tokens, failure = torch.full(shape, PADDING), torch.zeros(shape, dtype=torch.int64)
        lengths = torch.zeros(shape[:2], dtype=torch.int64)
        for source, each in enumerate(phrases):
            for number, phrase in enumerate(each):
                tokens[source, number, : len(phrase)] = torch.tensor(phrase)
                failure[source, number, : len(phrase)] = torch.tensor(failures(phrase))
                lengths[source, number] = len(phrase)
        self._tokens, self._failure, self._lengths = (each.to(device) for each in (tokens, failure, lengths))
        self.full = self._lengths.sum(1)
        self.banks = int(self.full.max()) + 1 if len(phrases) else 1

    def advance(self, progress: Tensor, sources: Tensor, written: Tensor) -> Tensor:
        """Return the progress after each of several tokens.

        Args:
            progress: with each phrase, `(rows, phrases)`.
            sources: of the rows, `(rows,)`.
            written: tokens, `(rows, candidates)`.

        Returns:
            `(rows, candidates, phrases)`.
        """
        shape = (*written.shape, self.phrases)
        state = progress[:, None].expand(shape).clone()
        tokens = self._tokens[sources][:, None].expand(*shape, -1)
        failure = self._failure[sources][:, None].expand(*shape, -1)
        done = state >= self._lengths[sources][:, None]
        while True:
            fits = tokens.gather(-1, state[..., None])[..., 0] == written[..., None]
            falls = ~done & ~fits & (state > 0)
            if not bool(falls.any()):
                return state + (fits & ~done)
            state = torch.where(falls, failure.gather(-1, state[..., None])[..., 0], state)

    def next_tokens(self, progress: Tensor, sources: Tensor) -> Tensor:
        """Return the token that each phrase needs next, or -1 where it has occurred.

        Args:
            progress: with each phrase, `(rows, phrases)`.
            sources: of the rows, `(rows,)`.

        Returns:
            `(rows, phrases)`.
        """
        return self._tokens[sources].gather(-1, progress[..., None])[..., 0]

    def bank(self, progress: Tensor, sources: Tensor) -> Tensor:
        """Return the number of required tokens written.

        Args:
            progress: `(rows, …, phrases)`.
            sources: `(rows,)`.

        Returns:
            `(rows, …)`.
        """
        lengths = self._lengths[sources].reshape(len(sources), *[1] * (progress.dim() - 2), self.phrases)
        done = progress >= lengths
        partly = progress.masked_fill(done, 0)
        return (progress * done).sum(-1) + partly.amax(-1)


def failures(phrase: Sequence[int]) -> list[int]:
    """Return the failure function of a phrase, by Knuth, Morris and Pratt.

    Entry i is the length of the longest proper beginning of `phrase[:i]` that is also its end.

    >>> failures([1, 2, 1, 2, 3])
    [0, 0, 0, 1, 2]
    """
    found, state = [0], 0
    for position in range(1, len(phrase)):
        found.append(state)
        while state and phrase[position] != phrase[state]:
            state = found[state]
        state += phrase[position] == phrase[state]
    return found
