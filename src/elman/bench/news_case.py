"""A minibatch of news as a case: the network of the recipe `news-bilstm`, in training."""

from dataclasses import dataclass

NAME = "news-bilstm"
CLASSIFYING = "training a classifier"
LAYERS = 2
GATES = 4


@dataclass(frozen=True)
class NewsCase:
    """One minibatch of training: an embedding, two bidirectional LSTM layers, their last states, a dense layer.

    Args:
        batch: sequences.
        steps: mean length of a sequence, in words.
        input_size: features of an embedded word.
        hidden_size: units of each layer and direction.
        words: rows of the embedding.
        labels: outputs.
    """

    batch: int = 32
    steps: int = 38
    input_size: int = 128
    hidden_size: int = 64
    words: int = 20_000
    labels: int = 4
    cell: str = "lstm"
    ragged: bool = True

    @property
    def name(self) -> str:
        """The name of the case."""
        return NAME

    @property
    def mode(self) -> str:
        """Forward, backward and the optimiser's step."""
        return CLASSIFYING

    @property
    def layers(self) -> int:
        """Recurrent layers, one on another."""
        return LAYERS

    @property
    def operations(self) -> float:
        """Useful floating-point operations of a minibatch of mean length: those of the matrix products."""
        inputs = self.input_size + (LAYERS - 1) * 2 * self.hidden_size
        weights = 2 * (inputs + LAYERS * self.hidden_size) * GATES * self.hidden_size
        return 2.0 * 3 * self.batch * self.steps * weights


NEWS_CASES: dict[str, NewsCase] = {NAME: NewsCase()}
