"""A network for sequences: embed, recurrent body, pooling, dense layers; sizes are given once and wired here."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor, nn

from elman.cells import find_cell
from elman.compiler.cell import Cell
from elman.compiler.zoneout import zoneout
from elman.errors import UsageError
from elman.nn.embedding import Embedding, OneHot
from elman.nn.pooling import Pooling, PoolingName
from elman.nn.recurrent import Merge, Recurrent
from elman.nn.regularisers import ActivationRegulariser, SequenceDropout
from elman.sequences.ragged import Ragged
from elman.settings import Conflict, Settings

Share = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]

RECURRENT_REGULARISERS = (
    "output_dropout",
    "weight_drop",
    "zoneout",
    "activation_regularisation",
    "temporal_regularisation",
)

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class BodySettings(Settings):
    """The recurrent layers of a network, whatever stands before and after them.

    Args:
        cell: the cell of the recurrent layers, by name or `FILE.py:NAME`; `none` for no recurrent layer.
        cell_options: the cell's options, such as `{"activation": "relu"}`.
        hidden_size: of each recurrent layer and direction.
        num_layers: recurrent layers.
        input_dropout: the probability of dropping a feature of the rows that enter the recurrent layers, the same at
            all steps of a sequence.
        dropout: the same between recurrent layers.
        output_dropout: the same for what the last recurrent layer gives.
        weight_drop: the probability of dropping a weight of the recurrent matrices, for a whole batch.
        zoneout: the probability with which a feature of a state stays as it was, at each step: one for all states of
            the cell, or one for each by its name, such as `{"c": 0.5, "h": 0.05}`.
        activation_regularisation: weight in the loss of the mean square of the last recurrent layer's outputs.
        temporal_regularisation: the same of their changes from step to step.
        init: where the recurrent layers' parameters start from.
    """

    cell: str = "lstm"
    cell_options: dict[str, bool | str | float | None] = Field(default_factory=dict)
    hidden_size: PositiveInt = 128
    num_layers: PositiveInt = 1
    input_dropout: Share = 0.0
    dropout: Share = 0.0
    output_dropout: Share = 0.0
    weight_drop: Share = 0.0
    zoneout: Probability | dict[str, Probability] = Field(default_factory=dict)
    activation_regularisation: float = Field(0.0, ge=0)
    temporal_regularisation: float = Field(0.0, ge=0)
    init: Literal["keras", "torch"] = "keras"

    def _conflicts(self) -> Iterator[Conflict]:
        for name in RECURRENT_REGULARISERS:
            if self.cell == "none" and getattr(self, name):
                yield Conflict(("cell", name), "without a recurrent layer there is nothing to regularise.")


class NetworkSettings(BodySettings):
    """The layers of a network that gives one row a sequence; those of `BodySettings` besides.

    Args:
        embedding: how tokens become rows: `one-hot`, or the size of learned rows. Numbers are read as they are.
        bidirectional: whether they read both ways.
        merge: what becomes of the outputs of both directions.
        pooling: how the steps become one row: `last`, `mean`, `max`, `sum`, `attention`, `flatten`; several stand side
            by side.
        max_length: the steps that `flatten` has inputs for.
        dense: sizes of the dense layers between the pooled row and the answer.
        activation: of the dense layers.
        token_dropout: the probability of reading a token (or an n-gram) as unknown.
        embedding_dropout: the probability of reading a token, wherever it stands in the batch, as a row of zeros.
        dropout: between recurrent layers, and for the rows that enter each dense layer.
    """

    embedding: Literal["one-hot"] | PositiveInt = 64
    bidirectional: bool = False
    merge: Merge = "concat"
    pooling: tuple[PoolingName, ...] = Field(("last",), min_length=1)
    max_length: PositiveInt | None = None
    dense: tuple[PositiveInt, ...] = ()
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    token_dropout: Share = 0.0
    embedding_dropout: Share = 0.0

    @field_validator("pooling", "dense", mode="before")
    @classmethod
    def _one_is_a_list_too(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | int) else value

    def _conflicts(self) -> Iterator[Conflict]:
        if ("flatten" in self.pooling) != (self.max_length is not None):
            yield Conflict(("pooling", "max_length"), "flatten needs max_length, and nothing else takes it.")
        if self.cell == "none" and "last" in self.pooling:
            yield Conflict(("cell", "pooling"), "without a recurrent layer there is no last output to take.")
        for name in ("token_dropout", "embedding_dropout"):
            if self.embedding == "one-hot" and getattr(self, name):
                yield Conflict(("embedding", name), "only learned rows can drop tokens.")


class SequenceNetwork(nn.Module):
    """A network that reads a batch of sequences and gives one row for each.

    Args:
        settings: the layers.
        outputs: size of the rows.
        vocabulary_size: number of token ids, if it reads tokens.
        unused_ids: how many of the first ids stand for no token (unknown, padding): rows of zeros to begin with.
        features: features of a step, if it reads numbers.
        ngrams: ids of a step that add up.
        cell: the cell itself, where `settings.cell` only names it (from a file, or from a saved model).
    """

    def __init__(
        self,
        settings: NetworkSettings,
        outputs: int,
        *,
        vocabulary_size: int | None = None,
        unused_ids: int = 1,
        features: int | None = None,
        ngrams: int = 1,
        cell: Cell | None = None,
    ):
        super().__init__()
        self.settings = settings
        self.vocabulary_size = vocabulary_size
        self.features = features
        self.ngrams = ngrams
        self.embedding = _embedding(settings, vocabulary_size, unused_ids, ngrams)
        width = features if self.embedding is None else self.embedding.output_size
        assert width is not None
        self.dropout = SequenceDropout(settings.input_dropout) if settings.input_dropout else None
        self.body = None
        if settings.cell != "none":
            self.body = build_body(settings, width, cell, bidirectional=settings.bidirectional, merge=settings.merge)
            width = self.body.output_size
        self.output_dropout = SequenceDropout(settings.output_dropout) if settings.output_dropout else None
        self.activation = build_activation_regulariser(settings)
        self.pooling = Pooling(settings.pooling, width, settings.max_length)
        self.dense = _dense(settings, self.pooling.output_size, outputs)

    def forward(self, batch: Ragged) -> Tensor:
        """From ids `(total,)`, or numbers `(total, feature)`, to rows `(batch, outputs)`."""
        steps, table = embed(
            self.embedding, batch, plain=self.body is None or (self.training and self.dropout is not None)
        )
        if self.dropout is not None:
            steps = self.dropout(steps)
        if self.body is None:
            return self.dense(self.pooling(steps, None))
        steps, last = self.body(steps, table=table)
        dropped, end = steps, last.output
        if self.output_dropout is not None:
            dropped, end = self.output_dropout.with_last(steps, end)
        if self.activation is not None:
            dropped = self.activation(steps, dropped)
        return self.dense(self.pooling(dropped, end))

    def example(self) -> Ragged:
        """A small batch of the kind that the network reads."""
        lengths = [min(length, self.settings.max_length or length) for length in (3, 1)]
        if self.features is None:
            shape = (sum(lengths),) if self.ngrams == 1 else (sum(lengths), self.ngrams)
            return Ragged(torch.zeros(shape, dtype=torch.int64), lengths)
        return Ragged(torch.zeros(sum(lengths), self.features), lengths)


def embed(embedding: OneHot | Embedding | None, batch: Ragged, *, plain: bool = False) -> tuple[Ragged, Tensor | None]:
    """What the recurrent body reads: rows, or ids with the table that has their rows.

    Args:
        embedding: of the ids; None for numbers that are read as they are.
        batch: ids or numbers.
        plain: rows are wanted; they are also given where the embedding has hooks or was replaced by another module.
    """
    if embedding is None:
        return batch, None
    found = embedding.lookup(batch) if isinstance(embedding, OneHot | Embedding) and not plain else None
    return found or (embedding(batch), None)


LARGEST_ONE_HOT = 5_000


def _embedding(settings: NetworkSettings, size: int | None, unused: int, ngrams: int) -> OneHot | Embedding | None:
    if size is None:
        return None
    if settings.embedding != "one-hot":
        deviation = 1.0 if ngrams == 1 else 0.1
        return Embedding(
            size,
            settings.embedding,
            zeros=unused,
            deviation=deviation,
            dropout=settings.token_dropout,
            row_dropout=settings.embedding_dropout,
        )
    if ngrams > 1 or size > LARGEST_ONE_HOT:
        raise UsageError(
            f"One-hot rows are for one token a step out of at most {LARGEST_ONE_HOT:,}, and there are {size:,}.",
            fix="Say embedding=64, or another size.",
        )
    return OneHot(size, zeros=unused)


def build_body(settings: BodySettings, width: int, cell: Cell | None = None, **directions: Any) -> Recurrent:
    """The recurrent layers that these settings mean.

    Args:
        settings: the layers.
        width: features of a step that they read.
        cell: the cell itself, where `settings.cell` only names it.
        directions: `bidirectional` and `merge`, where both are read.
    """
    if cell is None:
        cell = find_cell(settings.cell).with_options(**settings.cell_options)
    # The cell of a saved model was saved with its zoneout.
    return Recurrent(
        cell if cell.is_restored else zoneout(cell, settings.zoneout),
        width,
        settings.hidden_size,
        num_layers=settings.num_layers,
        dropout=settings.dropout if settings.num_layers > 1 else 0.0,
        weight_drop=settings.weight_drop,
        init=settings.init,
        **directions,
    )


def build_activation_regulariser(settings: BodySettings) -> ActivationRegulariser | None:
    """The penalty on the outputs of the recurrent layers that the settings ask for."""
    weights = settings.activation_regularisation, settings.temporal_regularisation
    return ActivationRegulariser(*weights) if any(weights) else None


def _dense(settings: NetworkSettings, width: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in (*settings.dense, outputs):
        if settings.dropout:
            layers.append(nn.Dropout(settings.dropout))
        layers.append(nn.Linear(width, size))
        layers.append(ACTIVATIONS[settings.activation]())
        width = size
    return nn.Sequential(*layers[:-1])
