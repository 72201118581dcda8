"""Parts of networks, built from their settings: embedding, recurrent body, dense layers; and how they are read."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elman.cells import find_cell
from elman.compiler.cell import Cell
from elman.compiler.zoneout import zoneout
from elman.data.ragged.ragged import Ragged
from elman.data.text.start_rows import StartRows
from elman.errors import DataError, UsageError
from elman.nn.embedding import EachStep, Embedding, OneHot
from elman.nn.memory_starts import start_with_memory
from elman.nn.number_input import NumberInput
from elman.nn.recurrent import Recurrent
from elman.nn.regularisers import ActivationRegulariser, RareDropout, SequenceDropout
from elman.nn.reservoir_body import ReservoirBody
from elman.nn.segments import Segments
from elman.nn.stack import Stack
from elman.nn.truncation import read_in_windows
from elman.settings import check_settings
from elman.settings.network import BodySettings, StepSettings
from elman.settings.reservoir import ReservoirTaskSettings, ReservoirUnits
from elman.settings.series import SeriesSettings

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "selu": nn.SELU}
LARGEST_ONE_HOT = 5_000


def build_steps(
    network: Any,
    settings: StepSettings,
    cell: Cell | None,
    *,
    vocabulary_size: int | None = None,
    unused_ids: int = 1,
    features: int | None = None,
    ngrams: int = 1,
    start: StartRows | None = None,
    rare: Sequence[int] = (),
    extra: int = 0,
    fed: int = 0,
    numbers: SeriesSettings | None = None,
) -> int:
    """Give a network its layers up to the outputs of the steps, whose size is returned.

    The sizes are those of `StepNetwork`; `extra` features are added to each step before the recurrent layers, and
    `fed` outputs are fed back to them if the settings say so.
    """
    network.settings = settings
    network.vocabulary_size = vocabulary_size
    network.features = features
    network.ngrams = ngrams
    network.embedding = build_embedding(settings, vocabulary_size, unused_ids, ngrams, start)
    width = features if network.embedding is None else network.embedding.output_size
    assert width is not None
    network.numbers, network.segments = None, None
    if numbers is not None and features is not None:
        kind, mask = numbers.scaling or "none", numbers.missing == "mask"
        network.numbers = NumberInput(features, kind, views=numbers.views, mask=mask)
        width = network.numbers.output_size
        if numbers.segment > 1:
            read = settings.hidden_size
            linear = EachStep(nn.Sequential(nn.Linear(numbers.segment * width, read), nn.ReLU()))
            network.segments, width = nn.Sequential(Segments(numbers.segment, shift=True), linear), read
    width += extra
    network.dropout = SequenceDropout(settings.input_dropout) if settings.input_dropout else None
    network.rare_dropout = None
    if settings.rare_dropout and vocabulary_size is not None and ngrams == 1:
        network.rare_dropout = RareDropout(vocabulary_size, rare, settings.rare_dropout)
    network.body = None
    if settings.cell != "none":
        directions = {"bidirectional": settings.bidirectional, "merge": settings.merge}
        network.body = build_body(settings, width, cell, fed=fed, **directions)
        width = network.body.output_size
    network.output_dropout = SequenceDropout(settings.output_dropout) if settings.output_dropout else None
    network.activation = build_activation_regulariser(settings)
    return width


def read_inputs(network: Any, batch: Ragged, extra: Tensor | None = None) -> tuple[Ragged, Tensor | None]:
    """Return what the recurrent body reads: rows, or ids and the table of their rows.

    Args:
        network: that `build_steps` gave its layers.
        batch: ids or numbers.
        extra: further features of each step, `(total, extra)`.
    """
    dropout = network.dropout
    if network.numbers is not None:
        batch = network.numbers(batch)
    if network.features is not None:
        batch = batch.to(next(network.parameters()).dtype)
    if network.segments is not None:
        batch = network.segments(batch)
    if network.rare_dropout is not None:
        batch = network.rare_dropout(batch)
    plain = network.body is None or extra is not None or (network.training and dropout is not None)
    steps, table = embed(network.embedding, batch, plain=plain)
    if dropout is not None:
        steps = dropout(steps)
    if extra is not None:
        steps = steps.replace(torch.cat([steps.data, extra], 1))
    return steps, table


def read_steps(
    network: Any, batch: Ragged, extra: Tensor | None = None, fed: Ragged | None = None
) -> tuple[Ragged, Tensor | None]:
    """Return the outputs of all steps and the last outputs, None without a recurrent layer.

    Args:
        network: that `build_steps` gave its layers.
        batch: ids or numbers.
        extra: further features of each step, `(total, extra)`.
        fed: of a network with feedback, what is fed back at each step, `(total, outputs)`.
    """
    body = network.body
    steps, table = read_inputs(network, batch, extra)
    if body is None:
        return steps, None
    window = network.settings.backpropagation_steps
    if window is not None and network.training:
        steps, end = read_in_windows(body, steps, window, table=table)
    else:
        steps, last = body(steps, table=table) if fed is None else body(steps, table=table, fed=fed)
        end = last.output
    dropped = steps
    if network.output_dropout is not None:
        dropped, end = network.output_dropout.with_last(steps, end)
    if network.activation is not None:
        dropped = network.activation(steps, dropped)
    return dropped, end


def without_first(steps: Ragged, count: int) -> Ragged:
    """Return the steps of each sequence after so many first ones.

    Raises:
        DataError: a sequence has no more steps than that.
    """
    if not count:
        return steps
    if len(steps) and (least := int(steps.lengths.min())) <= count:
        raise DataError(
            f"Expected sequences with more steps than the warm-up of {count:,}, got one of {least:,}.",
            fix="Give longer sequences, or a smaller warmup_steps (--warmup-steps).",
        )
    return Ragged(steps.data[steps.step_index() >= count], steps.lengths - count)


def example_of(network: Any, max_length: int | None) -> Ragged:
    """Return a small batch of the kind that the layers of `build_steps` read."""
    first = getattr(network.settings, "warmup_steps", 0)
    lengths = [first + min(length, max_length or length) for length in (3, 1)]
    if network.features is None:
        shape = (sum(lengths),) if network.ngrams == 1 else (sum(lengths), network.ngrams)
        return Ragged(torch.zeros(shape, dtype=torch.int64), lengths)
    return Ragged(torch.zeros(sum(lengths), network.features), lengths)


def embed(embedding: OneHot | Embedding | None, batch: Ragged, *, plain: bool = False) -> tuple[Ragged, Tensor | None]:
    """Return the rows that the recurrent body reads, or ids and the table of their rows.

    Args:
        embedding: of the ids; None for numbers that are read as they are.
        batch: ids or numbers.
        plain: rows are wanted; they are also given where the embedding has hooks or was replaced by another module.
    """
    if embedding is None:
        return batch, None
    found = embedding.lookup(batch) if isinstance(embedding, OneHot | Embedding) and not plain else None
    return found or (embedding(batch), None)


def build_embedding(
    settings: StepSettings, size: int | None, unused: int, ngrams: int = 1, start: StartRows | None = None
) -> OneHot | Embedding | None:
    """Build the layer that gives ids their rows, or return `None` for numbers."""
    if size is None:
        return None
    if settings.embedding != "one-hot":
        if settings.embedding_rows is not None and settings.embedding_rows < size:
            raise UsageError(
                f"Expected at least {size:,} rows of the embedding, one for each entry of the vocabulary, got "
                f"{settings.embedding_rows:,}.",
                fix=f"Give embedding_rows={size} or more, or max_tokens={settings.embedding_rows}.",
            )
        usual = (1.0 if ngrams == 1 else 0.1) if start is None else start.deviation
        deviation = settings.embedding_deviation or usual
        found = Embedding(
            settings.embedding_rows or size,
            settings.embedding,
            zeros=unused,
            deviation=deviation,
            dropout=settings.token_dropout,
            row_dropout=settings.embedding_dropout,
        )
        if start is not None:
            found.copy_rows(start.ids, start.rows)
        return found
    if ngrams > 1 or size > LARGEST_ONE_HOT:
        raise UsageError(
            f"One-hot rows are for one token a step out of at most {LARGEST_ONE_HOT:,}, and there are {size:,}.",
            fix="Say embedding=64, or another size.",
        )
    return OneHot(size, zeros=unused)


def build_body(settings: BodySettings, width: int, cell: Cell | None = None, fed: int = 0, **directions: Any) -> Any:
    """Build the recurrent layers of the settings.

    Args:
        settings: the layers.
        width: features of a step that they read.
        cell: the cell itself, where `settings.cell` only names it.
        fed: number of outputs that are fed back, if the settings say so.
        directions: `bidirectional` and `merge`, where both are read.
    """
    if isinstance(settings, ReservoirTaskSettings) and settings.reservoir_options:
        return ReservoirBody(_reservoir_units(settings), width, fed)
    if cell is None:
        cell = find_cell(settings.cell).with_options(**settings.cell_options)
    # The cell of a saved model was saved with its zoneout.
    cell = cell if cell.is_restored else zoneout(cell, settings.zoneout)
    how = {"weight_drop": settings.weight_drop, "init": settings.init, **directions}
    if sizes := getattr(settings, "layer_sizes", ()):
        body = Stack(cell, width, sizes, dropout=settings.dropout if len(sizes) > 1 else 0.0, **how)
    else:
        dropout = settings.dropout if settings.num_layers > 1 else 0.0
        body = Recurrent(cell, width, settings.hidden_size, num_layers=settings.num_layers, dropout=dropout, **how)
    start_with_memory(body, recurrent=settings.recurrent_start, longest_memory=settings.longest_memory)
    return body


def _reservoir_units(settings: Any) -> ReservoirUnits:
    """Return the reservoirs of a network's settings and of the options of its cell, checked."""
    names = ReservoirUnits.model_fields.keys() & type(settings).model_fields.keys()
    # The activation of the settings is that of the dense layers.
    given = {name: getattr(settings, name) for name in names - {"activation"}}
    return check_settings(ReservoirUnits, {**given, **settings.cell_options})


def build_activation_regulariser(settings: BodySettings) -> ActivationRegulariser | None:
    """Build the penalty on the outputs of the recurrent layers, if the settings have one."""
    weights = settings.activation_regularisation, settings.temporal_regularisation
    return ActivationRegulariser(*weights) if any(weights) else None


def dense_layers(settings: StepSettings, width: int, outputs: int) -> nn.Sequential:
    """Build the dense layers of the settings and the output layer, on rows of so many features."""
    layers: list[nn.Module] = []
    for size in (*settings.dense, outputs):
        if settings.dropout:
            layers.append(nn.Dropout(settings.dropout))
        layers.append(nn.Linear(width, size))
        layers.append(ACTIVATIONS[settings.activation]())
        width = size
    return nn.Sequential(*layers[:-1])
