"""Networks that read a sequence or a vector and write a sequence: encoder, bridge, decoder."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.decoder import Decoder, DecoderState
from elman.errors import UsageError
from elman.network_parts import build_steps, example_of, read_steps
from elman.nn.embedding import Embedding
from elman.nn.recurrent import Recurrent
from elman.nn.state import State


class Encoder(nn.Module):
    """The layers that read the source: embedding and recurrent body.

    Args:
        settings: the layers.
        cell: the cell itself, where `settings.cell` only names it.
        sizes: of what it reads, by name, as for `StepNetwork`.

    Attributes:
        output_size: features of a step of the result.
    """

    def __init__(self, settings: Any, cell: Cell | None, **sizes: Any):
        super().__init__()
        self.output_size = build_steps(self, settings, cell, **sizes)

    def forward(self, source: Ragged) -> tuple[Ragged, Tensor]:
        """Return the outputs of all steps, and the last outputs `(batch, output size)`."""
        steps, last = read_steps(self, source)
        assert last is not None
        return steps, last


class VectorEncoder(nn.Module):
    """The layers that read a vector: dense layers, whose outputs start the decoder.

    With attention, each number of the vector, with a learned row for its position, is a step to look at.

    Args:
        settings: `dense`, `dropout`, `hidden_size` and `attention` are read.
        features: of a vector.
    """

    body = None

    def __init__(self, settings: Any, features: int):
        super().__init__()
        sizes = (features, *(settings.dense or (settings.hidden_size,)))
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(settings.dropout)]
        self.dense = nn.Sequential(*layers)
        self.output_size = sizes[-1]
        self.scale: Tensor
        self.register_buffer("scale", torch.stack([torch.zeros(features), torch.ones(features)]))
        self.position = self.value = None
        if settings.attention != "none":
            self.position = nn.Parameter(torch.randn(features, self.output_size) * 0.1)
            self.value = nn.Linear(1, self.output_size)

    def learn_scale(self, vectors: Tensor) -> None:
        """Learn mean and deviation of each number of the vectors `(rows, features)`."""
        deviation = vectors.double().std(0, unbiased=False)
        deviation = torch.where(deviation > 0, deviation, 1.0)
        self.scale.copy_(torch.stack([vectors.double().mean(0), deviation]))

    def forward(self, vectors: Tensor) -> tuple[Ragged, Tensor]:
        """Return a step for each number, and a row for each vector `(batch, output size)`."""
        vectors = (vectors.to(self.scale) - self.scale[0]) / self.scale[1]
        row = self.dense(vectors)
        if self.value is None:
            return Ragged.from_dense(row[:, None]), row
        steps = torch.relu(self.value(vectors[..., None]) + self.position)
        return Ragged.from_dense(steps), row


class Bridge(nn.Module):
    """The first states of recurrent layers as a function of a row: tanh of a linear layer for each state.

    Args:
        features: of a row.
        layers: the recurrent layers.
    """

    def __init__(self, features: int, layers: Sequence[Recurrent]):
        super().__init__()
        self.shapes = [
            {name: (tensor.shape[0], tensor.shape[2]) for name, tensor in layer.zero_state(1).tensors.items()}
            for layer in layers
        ]
        sizes = [places * size for shapes in self.shapes for places, size in shapes.values()]
        self.linear = nn.ModuleList(nn.Linear(features, size) for size in sizes)

    def forward(self, row: Tensor) -> tuple[State, ...]:
        """Return the states of each layer for rows `(batch, features)`."""
        values = (torch.tanh(linear(row)) for linear in self.linear)
        return tuple(
            State(
                {name: next(values).unflatten(1, shape).transpose(0, 1).contiguous() for name, shape in shapes.items()}
            )
            for shapes in self.shapes
        )


class EncoderDecoder(nn.Module):
    """A network that reads a sequence, or a vector, and writes another sequence.

    The encoder reads the source; its last outputs give the decoder its first states, and its steps are the memory that
    the decoder attends to. See `Decoder`.

    Args:
        settings: the layers.
        tokens: number of token ids of the target.
        source: sizes of the source, by name, as for `StepNetwork`; None for vectors.
        features: of a vector.
        unused_ids: of the target, how many of the first ids are not tokens, such as that of unknown tokens.
        begin, end: the ids around each target.
        cell: the cell itself, where `settings.cell` only names it.
        counts: how often each token of the targets comes in training, `(tokens,)`.

    Raises:
        UsageError: settings that do not fit together.
    """

    def __init__(
        self,
        settings: Any,
        tokens: int,
        *,
        source: Mapping[str, Any] | None = None,
        features: int | None = None,
        unused_ids: int = 1,
        begin: int,
        end: int,
        cell: Cell | None = None,
        counts: Tensor | None = None,
    ):
        super().__init__()
        self.settings = settings
        self.begin, self.end = begin, end
        if (source is None) == (features is None):
            raise UsageError("Expected sizes of a source or of vectors.", fix="Give either source or features.")
        deviation = settings.embedding**-0.5 if settings.tied else 1.0
        if source is not None:
            encoder: Encoder | VectorEncoder = Encoder(
                settings.model_copy(update={"embedding_deviation": settings.embedding_deviation or deviation}),
                cell,
                **source,
            )
        else:
            assert features is not None
            encoder = VectorEncoder(settings, features)
        self.encoder = encoder
        embedding = getattr(encoder, "embedding", None)
        if source is None or not settings.joint or embedding is None:
            embedding = Embedding(
                tokens,
                settings.embedding,
                zeros=unused_ids,
                deviation=settings.embedding_deviation or deviation,
                dropout=settings.token_dropout,
                row_dropout=settings.embedding_dropout,
            )
        self.decoder = Decoder(settings, tokens, encoder.output_size, embedding, cell=cell, counts=counts)
        self.bridge = Bridge(encoder.output_size, self.decoder.layers)
        # Minibatches of training, by which schedules of forcing go.
        self.batches: Tensor
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    @property
    def body(self) -> Recurrent | None:
        """The recurrent layers of the encoder."""
        return self.encoder.body  # type: ignore[return-value]

    @property
    def bodies(self) -> list[Recurrent | None]:
        """The recurrent layers of the encoder and of the decoder."""
        return [self.body, *self.decoder.layers]

    def encode(self, source: Any) -> DecoderState:
        """Return the decoder's state before the first token.

        Args:
            source: `Ragged` ids `(total,)` or numbers `(total, feature)`, or vectors `(batch, features)`.
        """
        steps, last = self.encoder(source)
        ids = source.to_padded() if self.settings.copying and isinstance(source, Ragged) else None
        return self.decoder.start(self.bridge(last), steps, ids)

    def shifted(self, target: Ragged) -> tuple[Ragged, Ragged]:
        """Return all ids but the last, which the decoder reads, and all but the first."""
        offsets, lengths = target.offsets, target.lengths - 1
        found = []
        for left_out in (offsets[1:] - 1, offsets[:-1]):
            kept = torch.ones(target.total, dtype=torch.bool).index_fill(0, left_out, False)
            index = kept.nonzero().squeeze(1).to(target.data.device)
            found.append(Ragged(target.data.index_select(0, index), lengths))
        return found[0], found[1]

    def example(self) -> tuple[Any, Ragged]:
        """Return a small batch of the kind that the network reads: sources with their targets."""
        encoder = self.encoder
        is_vector = isinstance(encoder, VectorEncoder)
        source = torch.zeros(2, encoder.scale.shape[1]) if is_vector else example_of(encoder, None)
        lengths = [4, 2]
        return source, Ragged(torch.full((sum(lengths),), self.end), lengths)

    def forward(self, source: Any, target: Ragged) -> Tensor:
        """Return the logits of each token after the first, `(total - batch, tokens)`.

        Args:
            source: as for `encode`.
            target: ids `(total,)`, each sequence with its begin and end marks.
        """
        inputs, _ = self.shifted(target)
        return self.decoder.logits(self.decoder(inputs, self.encode(source)))
