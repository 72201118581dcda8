"""Parallel streams cut from one text, read window by window with carried state."""

import numpy as np
import torch
from torch import Tensor

from elman.data.ragged.batches import Minibatch
from elman.data.ragged.ragged import Ragged
from elman.data.text.token_text import TokenText
from elman.errors import DataError

SHORTEST_JUDGED = 4_096


class TokenStreams:
    """One text as several streams that are read side by side, a window of each at a time.

    The targets are all tokens but the first, which has nothing before it; each is predicted exactly once. They are cut
    into `streams` parts that follow one another in the text and whose lengths differ by one at most, the longer ones
    first. A stream's inputs are the tokens before its targets, so that the first input of a stream is the last target
    of the stream before. Window w of a stream has its steps from `w · window` on; the last windows are shorter, and
    may be of unequal lengths. A caller who reads the windows in order and carries the state along reads each stream in
    one piece.

    Args:
        text: the text as ids.
        streams: their number.
        window: steps of each stream in a window: how far gradients go back.

    Raises:
        DataError: the text has less than a window for each stream.

    >>> from elman.data.text.token_text import Counts
    >>> text = TokenText(np.arange(8), Counts(8, 7, 7, 0), "", "a text")
    >>> streams = TokenStreams(text, streams=2, window=3)
    >>> for number in range(len(streams)):
    ...     inputs, targets = streams.window_at(number)
    ...     print(inputs.data.tolist(), inputs.lengths.tolist(), targets.tolist())
    [0, 1, 2, 4, 5, 6] [3, 3] [1, 2, 3, 5, 6, 7]
    [3] [1, 0] [4]
    """

    def __init__(self, text: TokenText, *, streams: int, window: int):
        targets = len(text) - 1
        if targets < streams * window:
            raise DataError(
                f"{text.name} has {len(text):,} tokens, which are too few for {streams} streams "
                f"of windows of {window}.",
                fix=f"Give {streams * window + 1:,} tokens or more, fewer streams (--streams), "
                "or a shorter window (--window).",
            )
        self.text = text
        self.streams = streams
        self.window = window
        parts = np.full(streams, targets // streams, dtype=np.int64)
        parts[: targets % streams] += 1
        self._lengths = parts
        self._starts = parts.cumsum() - parts

    @property
    def fingerprint(self) -> str:
        """Of the text, its vocabulary and how it is cut."""
        return f"{self.text.fingerprint} {self.streams} x {self.window}"

    def __len__(self) -> int:
        """Windows of an epoch."""
        return -(-int(self._lengths[0]) // self.window)

    def plan(self, epoch: int) -> range:
        """Return the numbers of an epoch's windows, always in the order of the text."""
        return range(len(self))

    def read(self, item: int, streams: range | None = None) -> Minibatch:
        """Read the window of this number as a minibatch.

        Args:
            item: number of the window.
            streams: those to read, which follow one another; all if not given. A minibatch without a token has no
                sequences.
        """
        inputs, targets = self.window_at(item, streams)
        return Minibatch(inputs, targets, inputs.batch_size if len(targets) else 0, len(targets))

    def window_at(self, number: int, streams: range | None = None) -> tuple[Ragged, Tensor]:
        """Return the window of this number, from 0, in every stream.

        Args:
            number: of the window.
            streams: those to read, which follow one another; all if not given.

        Returns:
            The inputs, `(total,)` ids of `streams` sequences, some perhaps empty; and the targets, `(total,)`.
        """
        begin, chosen = number * self.window, range(self.streams) if streams is None else streams
        rows = slice(chosen.start, chosen.stop)
        lengths = (self._lengths[rows] - begin).clip(0, self.window)
        # A stretch has the window's inputs and, one on, its targets.
        stretches = [
            self.text.ids[start : start + length + 1]
            for start, length in zip((self._starts[rows] + begin).tolist(), lengths.tolist(), strict=True)
            if length
        ] or [self.text.ids[:1]]
        inputs = np.concatenate([ids[:-1] for ids in stretches], dtype=np.int64)
        targets = np.concatenate([ids[1:] for ids in stretches], dtype=np.int64)
        return Ragged(torch.from_numpy(inputs), torch.from_numpy(lengths)), torch.from_numpy(targets)


def streams_to_judge(text: TokenText, *, streams: int, window: int) -> TokenStreams:
    """Cut a text for evaluation: as many steps at a time as in training, in fewer streams.

    A stream starts without the tokens that stand before it, which costs its first few predictions; so each has
    `SHORTEST_JUDGED` tokens at least. A text of one token, which nothing can be predicted of, is refused.

    Args:
        text: the text.
        streams: of training.
        window: of training.
    """
    targets = len(text) - 1
    if not targets:
        raise DataError(
            f"{text.name} has one token, which nothing stands before: there is nothing to predict.",
            fix="Give a longer text, or hold a larger part of one out.",
        )
    fewer = max(1, min(streams, targets // SHORTEST_JUDGED))
    return TokenStreams(text, streams=fewer, window=min(targets // fewer, streams * window // fewer))
