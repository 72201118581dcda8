"""A minibatch of sentence pairs as a case: the network of the recipe `translate-en-de`, in training."""

from dataclasses import dataclass

NAME = "translation"
TRANSLATING = "training a translator"
GATES = 3


@dataclass(frozen=True)
class TranslationCase:
    """One minibatch of training: bidirectional GRU, GRU, attention, GRU, softmax, each token forced.

    Args:
        batch: pairs.
        steps: mean length of a source and of a target, in tokens.
        input_size: features of an embedded token.
        hidden_size: units of each layer and direction.
        words: tokens of both sides.
    """

    batch: int = 64
    steps: int = 14
    input_size: int = 256
    hidden_size: int = 384
    words: int = 8_000
    cell: str = "gru_reset_after"
    ragged: bool = True

    @property
    def name(self) -> str:
        """The name of the case."""
        return NAME

    @property
    def mode(self) -> str:
        """Forward, backward and the optimiser's step."""
        return TRANSLATING

    @property
    def layers(self) -> int:
        """Recurrent layers: of the encoder in two directions, and two of the decoder."""
        return 3

    @property
    def operations(self) -> float:
        """Useful floating-point operations of a minibatch of mean length: those of the matrix products."""
        rows, hidden, memory = self.input_size, self.hidden_size, 2 * self.hidden_size
        recurrent = (2 * (rows + hidden) + (rows + hidden) + (hidden + memory + hidden)) * GATES * hidden
        others = memory * hidden + 2 * self.steps * hidden + (hidden + memory + rows) * rows + rows * self.words
        return 2.0 * 3 * self.batch * self.steps * (recurrent + others)


TRANSLATION_CASES: dict[str, TranslationCase] = {NAME: TranslationCase()}
