"""Text written token by token by a network that reads what it has written."""

from collections import deque
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from torch import nn

from elman.data.text.coders import Coder
from elman.errors import UsageError
from elman.generation.position import fingerprint_weights, read_position, with_position
from elman.generation.sampling import Sampler
from elman.generation.writing import MEMORY, Writer, never_drawn, read_prompt
from elman.nn.state import State
from elman.nn.token_stream import TokenStream
from elman.settings import check_settings
from elman.settings.generation import GenerationSettings as GenerationSettings


class LanguageModelNetwork(Protocol):
    """A network that can be fed token by token."""

    def stream(self, state: State | None = None, *, batch_size: int = 1) -> TokenStream:
        """Return the network fed one token at a time. See `TokenStream`."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Return the weights by name, as a module of torch does."""
        ...


class Samples(Iterator[tuple[str, ...]]):
    """Several texts written side by side: at each turn, what the next token adds to each of them.

    A piece may be empty: while a character lacks some of its bytes, and for a text that has ended. All texts have the
    same prompt, and random numbers of their own; text i does not depend on how many there are. However long the texts
    become, the memory it takes stays the same.

    Before anything was read, the next token is drawn from the network's scores for an output of zeros (its bias, in
    most networks).

    Args:
        network: gives a `stream`.
        coder: texts to tokens and back; the unknown token is never drawn.
        settings: how to generate.
        prompt: what the texts begin with; it is read, not given back.
        state: to continue from: `state` of a generator, of one text or of as many texts as there are samples.

    Attributes:
        tokens: the numbers drawn last, `(samples,)`; empty before the first turn.
        log_probabilities: their natural logarithms in the network's own distribution, `(samples,)`.

    Raises:
        DataError: a prompt with tokens that the model has not learned.
        UsageError: a state of another number of texts, or one without a token to read next; or, from a turn, that the
            turn before was interrupted.
        ModelError: a state of another model.
    """

    def __init__(
        self,
        network: LanguageModelNetwork,
        coder: Coder,
        settings: GenerationSettings,
        *,
        prompt: str = "",
        state: State | None = None,
    ):
        self.settings = settings
        self.vocabulary = coder.vocabulary
        self.tokens = np.zeros(0, np.int64)
        prompt_tokens = read_prompt(prompt, coder, unknown=settings.unknown)
        self._network = network
        self._stream = network.stream(batch_size=settings.samples)
        self._sampler = Sampler(settings, settings.samples, first=never_drawn(coder))
        self._writers = [Writer(coder) for _ in range(settings.samples)]
        self._recent = deque([np.full(settings.samples, -1)] * MEMORY, MEMORY)
        self._turns = 0
        # Of these turns, those that were none of a text: it had ended when the others were rewound.
        self._missed = np.zeros(settings.samples, np.int64)
        self._ended: dict[int, State] = {}
        self._ended_at: dict[int, int] = {}
        self._is_whole = True
        if state is not None:
            self._go_on(state, bool(prompt_tokens))
        self._read(prompt_tokens)

    @property
    def target(self):
        """What runs the recurrent layers, and why."""
        return self._stream.target

    @property
    def log_probabilities(self) -> np.ndarray:
        """See the class."""
        return self._sampler.log_probabilities() if len(self.tokens) else np.zeros(0)

    @property
    def turns(self) -> int:
        """How many turns were taken, without those that were rewound."""
        return self._turns

    @property
    def lengths(self) -> list[int]:
        """Tokens that were written for each text."""
        return [self._ended_at.get(text, self._turns - missed) for text, missed in enumerate(self._missed.tolist())]

    @property
    def state(self) -> State:
        """Where the texts are now: what another generator, or `rewind`, goes on from.

        The network's states before the last token of each text, and that token, which is still to be read.

        Raises:
            UsageError: the last turn was interrupted.
        """
        self._require_whole()
        now = self._now()
        if not self._ended:
            return now
        texts = range(self.settings.samples)
        return State.concatenate([self._ended.get(text, now.select([text])) for text in texts])

    def rewind(self, state: State) -> None:
        """Continue from an earlier state. Tokens written since then count as not written.

        Args:
            state: an earlier value of `state`.

        Raises:
            UsageError: a state of another number of texts, or one without a token to read next.
            ModelError: a state of another model.
        """
        lengths = np.array(self.lengths)
        # Tokens were drawn for texts that had ended, too.
        drawn = self._sampler.drawn - (self._turns - self._missed - lengths)
        self._go_on(state, False)
        left = (lengths - (drawn - self._sampler.drawn).clip(0)).clip(0)
        self._turns = int(left.max())
        self._missed = self._turns - left
        self.tokens = self.tokens[:0]

    def __next__(self) -> tuple[str, ...]:
        self._require_whole()
        if self._turns == self.settings.length or len(self._ended) == self.settings.samples:
            raise StopIteration
        self._is_whole = False
        stream, unread = self._stream, self._recent[-1]
        if unread[0] < 0:
            scores = stream.first_scores()
        else:
            stream.read(unread)
            scores = stream.scores()
        drawn = self._sampler.draw(scores)
        self.tokens = drawn
        self._recent.append(drawn)
        self._turns += 1
        ended = self._ended
        pieces = tuple(["" if text in ended else self._write(text, token) for text, token in enumerate(drawn.tolist())])
        self._is_whole = True
        return pieces

    def _write(self, text: int, token: int) -> str:
        piece, stop = self._writers[text].write(token), self.settings.stop
        if stop is not None:
            tail = self._tails[text] + piece
            self._tails[text] = self._tail(tail)
            if stop in tail:
                self._ended[text], self._ended_at[text] = self._now().select([text]), self._turns
        return piece

    def _tail(self, text: str) -> str:
        """Return the end of a text in which a stop may begin."""
        return text[max(0, len(text) - len(self.settings.stop or "") + 1) :]

    def _now(self) -> State:
        recent = np.stack(list(self._recent), 1)
        return with_position(self._stream.state, recent, self._sampler.drawn, self.vocabulary, self._weights)

    @cached_property
    def _weights(self) -> int:
        # All weights are read for it, so that only one who deals with states waits for it.
        return fingerprint_weights(self._network.named_parameters())

    def _require_whole(self) -> None:
        if not self._is_whole:
            raise UsageError(
                "The generator was interrupted in the middle of a token.",
                fix="Go on from a state taken before with rewind(state), or begin the text again.",
            )

    def _read(self, tokens: list[int]) -> None:
        """Read all but the last of these tokens, and first the one that was not read yet."""
        for token in tokens:
            if self._recent[-1][0] >= 0:
                self._stream.read(self._recent[-1])
            self._recent.append(np.full(self.settings.samples, token))
        self._resume_writers()

    def _resume_writers(self) -> None:
        recent = np.stack(list(self._recent), 1).tolist()
        self._tails = [self._tail(writer.go_on(row)) for writer, row in zip(self._writers, recent, strict=True)]

    def _go_on(self, state: State, has_prompt: bool) -> None:
        position = read_position(state, self.settings.samples, self.vocabulary, self._weights, has_prompt)
        self._stream.state = position.state
        self._is_whole = False
        self._recent = deque([position.recent[:, column].copy() for column in range(MEMORY)], MEMORY)
        self._sampler.drawn = position.drawn
        self._ended, self._ended_at = {}, {}
        self._resume_writers()
        self._is_whole = True


class Generator(Iterator[str]):
    """A text written token by token: iterate for its pieces.

    Args:
        samples: of one text.

    Attributes:
        samples: the one text as `Samples`.
    """

    def __init__(self, samples: Samples):
        self.samples = samples

    @property
    def token(self) -> int | None:
        """The number of the token drawn last; `None` before the first."""
        tokens = self.samples.tokens
        return int(tokens[0]) if len(tokens) else None

    @property
    def log_probability(self) -> float | None:
        """The natural logarithm of its probability in the network's own distribution; `None` before the first."""
        found = self.samples.log_probabilities
        return float(found[0]) if len(found) else None

    @property
    def state(self) -> State:
        """Where the text is now; see `Samples.state`."""
        return self.samples.state

    def rewind(self, state: State) -> None:
        """Continue from an earlier state. See `Samples.rewind`."""
        self.samples.rewind(state)

    def __next__(self) -> str:
        return next(self.samples)[0]


def write_text(network: Any, coder: Coder, length: int, seed: int) -> str:
    """Draw a text from a network's distribution, without touching torch's random numbers.

    Args:
        network: gives a `stream`.
        coder: texts to tokens and back.
        length: tokens.
        seed: of the text.
    """
    settings = check_settings(GenerationSettings, {"length": length, "seed": seed})
    return "".join(Generator(Samples(network, coder, settings)))
