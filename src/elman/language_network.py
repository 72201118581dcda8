"""The network of language models: embed, recurrent body, a head over the tokens."""

from typing import Any, NamedTuple, overload

import torch
from torch import Tensor, nn

from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.network_parts import build_activation_regulariser, build_body, embed
from elman.nn.embedding import Embedding
from elman.nn.regularisers import SequenceDropout
from elman.nn.softmax import AdaptiveSoftmax, SampledSoftmax, Softmax
from elman.nn.state import State
from elman.nn.token_stream import TokenStream
from elman.settings.network import LanguageNetworkSettings as LanguageNetworkSettings

Head = Softmax | AdaptiveSoftmax


class Reading(NamedTuple):
    """The results of a batch before the head.

    Attributes:
        steps: the outputs of the recurrent body at every step, `(total, feature)`.
        outputs: the same with features dropped, as the head reads them.
        last: the last states.
    """

    steps: Ragged
    outputs: Ragged
    last: State


class LanguageNetwork(nn.Module):
    """A network that reads tokens and predicts the next token at every step.

    Args:
        settings: the layers.
        tokens: number of token ids.
        counts: how often each comes in the training text `(tokens,)`, for the heads that start from it.
        cell: the cell itself, where `settings.cell` only names it (from a file, or from a saved model).

    >>> network = LanguageNetwork(LanguageNetworkSettings(hidden_size=5, embedding_size=3), tokens=7)
    >>> outputs, last = network(torch.tensor([[1, 2, 3], [6, 0, 1]]))
    >>> outputs.shape, network.head.logits(outputs).shape
    (torch.Size([2, 3, 5]), torch.Size([2, 3, 7]))
    """

    def __init__(
        self,
        settings: LanguageNetworkSettings,
        tokens: int,
        *,
        counts: Tensor | None = None,
        cell: Cell | None = None,
    ):
        super().__init__()
        self.settings = settings
        self.tokens = tokens
        # Rows that are also the head's weights must give small logits to begin with.
        deviation = settings.embedding_size**-0.5 if settings.tied else 1.0
        rows, dropped = settings.embedding_size, settings.embedding_dropout
        self.embedding = Embedding(tokens, rows, deviation=deviation, row_dropout=dropped)
        self.input_dropout = SequenceDropout(settings.input_dropout) if settings.input_dropout else None
        self.body = build_body(settings, settings.embedding_size, cell)
        self.output_dropout = SequenceDropout(settings.output_dropout) if settings.output_dropout else None
        self.activation = build_activation_regulariser(settings)
        self.head = _head(settings, self.body.output_size, tokens, counts, self.embedding.table.weight)

    @overload
    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]: ...
    @overload
    def forward(self, tokens: Ragged, state: State | None = None) -> tuple[Ragged, State]: ...
    def forward(self, tokens: Any, state: State | None = None) -> tuple[Any, State]:
        """Read tokens on from a state.

        Args:
            tokens: ids, a `Ragged` batch `(total,)` or a tensor `(batch, time)`.
            state: where to go on from; zeros if not given.

        Returns:
            The rows that the head reads, in the form of the tokens: `Ragged` with `(total, feature)`, or `(batch, time,
            feature)`. And the last states.
        """
        if isinstance(tokens, Ragged):
            reading = self.read(tokens, state)
            return reading.outputs, reading.last
        lengths = torch.full((tokens.shape[0],), tokens.shape[1])
        reading = self.read(Ragged(tokens.flatten(), lengths), state)
        return reading.outputs.data.unflatten(0, tokens.shape), reading.last

    def read(self, tokens: Ragged, state: State | None = None) -> Reading:
        """Read a `Ragged` batch as `forward` does, and return the body's outputs too."""
        rows, table = embed(self.embedding, tokens, plain=self.training and self.input_dropout is not None)
        if self.input_dropout is not None:
            rows = self.input_dropout(rows)
        steps, last = self.body(rows, state, table)
        outputs = steps if self.output_dropout is None else self.output_dropout(steps)
        if self.activation is not None:
            outputs = self.activation(steps, outputs)
        return Reading(steps, outputs, last)

    def answer(self, tokens: Ragged) -> Tensor:
        """Return the logits of the token after each step, `(total, tokens)`."""
        return self.head(self.read(tokens).outputs.data)

    def stream(self, state: State | None = None, *, batch_size: int = 1) -> TokenStream:
        """Return a `TokenStream`, which runs the network one token at a time.

        Args:
            state: where to go on from; zeros if not given.
            batch_size: texts that run side by side, if no state is given.
        """
        return TokenStream(self.embedding.rows(), self.body, self.head, state, batch_size=batch_size)

    def example(self) -> Ragged:
        """Return a small batch, as the network reads it."""
        return Ragged(torch.zeros(4, dtype=torch.int64), [3, 1])


def _head(settings: LanguageNetworkSettings, features: int, tokens: int, counts: Tensor | None, table: Tensor) -> Head:
    tied = table if settings.tied else None
    match settings.softmax:
        case "adaptive":
            return AdaptiveSoftmax(features, tokens, cutoffs=settings.cutoffs, counts=counts)
        case "sampled":
            return SampledSoftmax(features, tokens, samples=settings.softmax_samples, counts=counts, tied=tied)
        case "full":
            return Softmax(features, tokens, counts=counts, tied=tied)
