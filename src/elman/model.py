"""A network for sequences: embed, recurrent body, pooling, dense layers; sizes are given once and wired here."""

from typing import Any

import torch
from torch import Tensor, nn

from elman.cells import find_cell
from elman.compiler.cell import Cell
from elman.compiler.zoneout import zoneout
from elman.errors import UsageError
from elman.nn.embedding import Embedding, OneHot
from elman.nn.pooling import Pooling
from elman.nn.recurrent import Recurrent
from elman.nn.regularisers import ActivationRegulariser, SequenceDropout
from elman.sequences.ragged import Ragged
from elman.settings.network import BodySettings, StepSettings
from elman.settings.network import NetworkSettings as NetworkSettings

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class SequenceNetwork(nn.Module):
    """A network that reads a batch of sequences and gives one row for each.

    Args:
        settings: the layers.
        outputs: size of the rows.
        sizes: of what it reads, by name; see `StepNetwork`.
        cell: the cell itself, where `settings.cell` only names it (from a file, or from a saved model).
    """

    def __init__(self, settings: NetworkSettings, outputs: int, *, cell: Cell | None = None, **sizes: Any):
        super().__init__()
        width = _build_steps(self, settings, cell, **sizes)
        self.max_length = settings.max_length
        self.pooling = Pooling(settings.pooling, width, settings.max_length)
        self.dense = _dense(settings, self.pooling.output_size, outputs)

    def forward(self, batch: Ragged) -> Tensor:
        """From ids `(total,)`, or numbers `(total, feature)`, to rows `(batch, outputs)`."""
        return self.dense(self.pooling(*_read_steps(self, batch)))

    def example(self) -> Ragged:
        """Return a small batch of the kind that the network reads."""
        return _example(self, self.max_length)


class StepNetwork(nn.Module):
    """A network that reads a batch of sequences and gives one row for each step.

    Args:
        settings: the layers.
        outputs: size of the rows.
        sizes: of what it reads, by name: `vocabulary_size`, number of token ids, if it reads tokens; `unused_ids`, how
            many of the first ids stand for no token (unknown, padding) and begin as rows of zeros; `features` of a
            step, if it reads numbers; `ngrams`, ids of a step that add up.
        cell: the cell itself, where `settings.cell` only names it (from a file, or from a saved model).
    """

    def __init__(self, settings: StepSettings, outputs: int, *, cell: Cell | None = None, **sizes: Any):
        super().__init__()
        self.dense = _dense(settings, _build_steps(self, settings, cell, **sizes), outputs)

    def forward(self, batch: Ragged) -> Ragged:
        """From ids `(total,)`, or numbers `(total, feature)`, to rows `(total, outputs)`."""
        steps, _ = _read_steps(self, batch)
        return steps.map(self.dense)

    def example(self) -> Ragged:
        """Return a small batch of the kind that the network reads."""
        return _example(self, None)


def _build_steps(
    network: Any,
    settings: StepSettings,
    cell: Cell | None,
    *,
    vocabulary_size: int | None = None,
    unused_ids: int = 1,
    features: int | None = None,
    ngrams: int = 1,
) -> int:
    """Give a network its layers up to the outputs of the steps, whose size is returned."""
    network.settings = settings
    network.vocabulary_size = vocabulary_size
    network.features = features
    network.ngrams = ngrams
    network.embedding = _embedding(settings, vocabulary_size, unused_ids, ngrams)
    width = features if network.embedding is None else network.embedding.output_size
    assert width is not None
    network.dropout = SequenceDropout(settings.input_dropout) if settings.input_dropout else None
    network.body = None
    if settings.cell != "none":
        network.body = build_body(settings, width, cell, bidirectional=settings.bidirectional, merge=settings.merge)
        width = network.body.output_size
    network.output_dropout = SequenceDropout(settings.output_dropout) if settings.output_dropout else None
    network.activation = build_activation_regulariser(settings)
    return width


def _read_steps(network: Any, batch: Ragged) -> tuple[Ragged, Tensor | None]:
    """Return the outputs of the steps, and of the last step of each sequence; None without a recurrent layer."""
    dropout, body = network.dropout, network.body
    steps, table = embed(network.embedding, batch, plain=body is None or (network.training and dropout is not None))
    if dropout is not None:
        steps = dropout(steps)
    if body is None:
        return steps, None
    steps, last = body(steps, table=table)
    dropped, end = steps, last.output
    if network.output_dropout is not None:
        dropped, end = network.output_dropout.with_last(steps, end)
    if network.activation is not None:
        dropped = network.activation(steps, dropped)
    return dropped, end


def _example(network: Any, max_length: int | None) -> Ragged:
    lengths = [min(length, max_length or length) for length in (3, 1)]
    if network.features is None:
        shape = (sum(lengths),) if network.ngrams == 1 else (sum(lengths), network.ngrams)
        return Ragged(torch.zeros(shape, dtype=torch.int64), lengths)
    return Ragged(torch.zeros(sum(lengths), network.features), lengths)


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


def _embedding(settings: StepSettings, size: int | None, unused: int, ngrams: int) -> OneHot | Embedding | None:
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


def _dense(settings: StepSettings, width: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in (*settings.dense, outputs):
        if settings.dropout:
            layers.append(nn.Dropout(settings.dropout))
        layers.append(nn.Linear(width, size))
        layers.append(ACTIVATIONS[settings.activation]())
        width = size
    return nn.Sequential(*layers[:-1])
