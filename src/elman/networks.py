"""Networks for sequences: embed, recurrent body, then pooling and dense layers, or a head over the tokens."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor, nn

from elman.cells import find_cell
from elman.compiler.cell import Cell
from elman.compiler.zoneout import zoneout
from elman.data.ragged.ragged import Ragged
from elman.data.text.ngrams import NgramRows, TextsWithNgrams
from elman.data.text.start_rows import StartRows
from elman.errors import DataError, ShapeError, UsageError
from elman.nn.embedding import EachStep, Embedding, OneHot
from elman.nn.memory_starts import start_with_memory
from elman.nn.number_input import NumberInput
from elman.nn.penalties import read_each
from elman.nn.pooling import Pooling
from elman.nn.recurrent import Recurrent
from elman.nn.regularisers import ActivationRegulariser, RareDropout, SequenceDropout
from elman.nn.reservoir_body import ReservoirBody, shifted, with_table
from elman.nn.segments import Segments
from elman.nn.softmax import AdaptiveSoftmax, SampledSoftmax, Softmax
from elman.nn.stack import Stack
from elman.nn.state import State
from elman.nn.token_stream import TokenStream
from elman.nn.truncation import read_in_windows
from elman.nn.wide import Wide
from elman.settings import check_settings
from elman.settings.network import BodySettings, StepSettings
from elman.settings.network import LanguageNetworkSettings as LanguageNetworkSettings
from elman.settings.network import NetworkSettings as NetworkSettings
from elman.settings.reservoir import ReservoirTaskSettings, ReservoirUnits
from elman.settings.series import SeriesSettings

Head = Softmax | AdaptiveSoftmax

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "selu": nn.SELU}


class RowNetwork(nn.Module):
    """A network that reads a batch of sequences and gives one row for each.

    Args:
        settings: the layers.
        outputs: size of the rows.
        wide: number of features of a linear model whose logits are added, see `Wide`; None for no such model.
        sizes: of what it reads, by name; see `StepNetwork`.
        cell: the cell itself, where `settings.cell` only names it (from a file, or from a saved model).
    """

    def __init__(
        self,
        settings: NetworkSettings,
        outputs: int,
        *,
        cell: Cell | None = None,
        wide: int | None = None,
        **sizes: Any,
    ):
        super().__init__()
        width = build_steps(self, settings, cell, **sizes)
        self.max_length = settings.max_length
        self.pooling = Pooling(settings.pooling, width, settings.max_length)
        self.dense = dense_layers(settings, self.pooling.output_size, outputs)
        self.wide = None if wide is None else Wide(wide, outputs, "margin")

    def forward(self, batch: Ragged | TextsWithNgrams) -> Tensor:
        """Return rows `(batch, outputs)` of ids `(total,)` or numbers `(total, feature)`.

        In training they are without those of the linear model, and n-grams are not needed.
        """
        return _read_wide(self, batch)

    def read(self, batch: Ragged) -> Tensor:
        """Return the rows without those of the linear model."""
        steps, end = read_steps(self, batch)
        return self.dense(self.pooling(without_first(steps, getattr(self.settings, "warmup_steps", 0)), end))

    def example(self) -> Ragged | TextsWithNgrams:
        """Return a small batch of the kind that the network reads."""
        return _wide_example(example_of(self, self.max_length), self.wide)


class Ensemble(nn.Module):
    """Networks of the same layers that are trained side by side, each from first weights of its own, and averaged.

    Args:
        settings: the layers of each.
        outputs: size of the rows.
        members: number of networks.
        wide: number of features of one linear model beside all of them, as for `RowNetwork`.
        average: gives the average of rows `(members, batch, outputs)`; by default that of the probabilities of logits.
        how: `cell` and sizes, as for `RowNetwork`.

    Source:
        B. Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles, 2017,
        algorithm 1. Differences: without adversarial examples, and all networks read the same minibatches.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        outputs: int,
        members: int,
        *,
        wide: int | None = None,
        average: Callable[[Tensor], Tensor] | None = None,
        **how: Any,
    ):
        super().__init__()
        self.settings = settings
        self.average = average or _mean_probabilities
        self.members = nn.ModuleList(RowNetwork(settings, outputs, **how) for _ in range(members))
        self.wide = None if wide is None else Wide(wide, outputs, "margin")

    @property
    def body(self) -> Recurrent | None:
        """The recurrent layers of the first network."""
        return self.members[0].body  # type: ignore[return-value]

    def forward(self, batch: Ragged | TextsWithNgrams) -> Tensor:
        """Return rows `(batch, outputs)`, in training `(members, batch, outputs)`."""
        return _read_wide(self, batch)

    def read(self, batch: Ragged) -> Tensor:
        """Return the rows without the linear model."""
        rows = torch.stack(read_each(self.members, lambda member: member.read(batch)))
        return rows if self.training else self.average(rows)

    def example(self) -> Ragged | TextsWithNgrams:
        """Return a small batch of the kind that the networks read."""
        return _wide_example(self.members[0].example(), self.wide)  # type: ignore[operator]


def _mean_probabilities(rows: Tensor) -> Tensor:
    """Return the logarithms of the mean probabilities of logits."""
    return rows.log_softmax(2).logsumexp(0) - math.log(len(rows))


def _read_wide(network: Any, batch: Ragged | TextsWithNgrams) -> Tensor:
    """Return the rows of a network, with those of its linear model outside training."""
    rows = network.read(batch.ids if isinstance(batch, TextsWithNgrams) else batch)
    if network.wide is None or network.training:
        return rows
    if not isinstance(batch, TextsWithNgrams):
        raise ShapeError("Expected texts with n-grams, got ids alone.", fix="Give a TextsWithNgrams.")
    return network.wide.add(rows, batch.ngrams)


def _wide_example(ids: Ragged, wide: Wide | None) -> Ragged | TextsWithNgrams:
    if wide is None:
        return ids
    count = min(2, len(wide.weight))
    return TextsWithNgrams(ids, NgramRows(Ragged(torch.arange(count), [count, 0]), torch.ones(count)))


class StepNetwork(nn.Module):
    """A network that reads a batch of sequences and gives one row for each step.

    Args:
        settings: the layers.
        outputs: size of the rows.
        sizes: of what it reads, by name: `vocabulary_size`, number of token ids, if it reads tokens; `unused_ids`, how
            many of the first ids stand for no token (unknown, padding) and begin as rows of zeros; `features` of a
            step, if it reads numbers; `ngrams`, ids of a step that add up; `start`, pretrained rows of the embedding;
            `rare`, ids that `rare_dropout` reads as unknown; `numbers`, how numbers are read.
        cell: the cell itself, where `settings.cell` only names it (from a file, or from a saved model).
    """

    def __init__(self, settings: StepSettings, outputs: int, *, cell: Cell | None = None, **sizes: Any):
        super().__init__()
        self.dense = dense_layers(settings, build_steps(self, settings, cell, fed=outputs, **sizes), outputs)

    def forward(self, batch: Ragged, known: Ragged | None = None) -> Ragged:
        """Return rows `(total, outputs)` of ids `(total,)` or numbers `(total, feature)`.

        Args:
            batch: ids or numbers.
            known: of a network with feedback, the rows `(total, outputs)` to feed back, each at the step after it; its
                own rows if not given.
        """
        if known is None and isinstance(self.body, ReservoirBody) and self.body.outputs:
            return self.body.run_closed(with_table(*read_inputs(self, batch)), self.dense)
        steps, _ = read_steps(self, batch, fed=None if known is None else shifted(known))
        return steps.map(self.dense)

    def example(self) -> Ragged:
        """Return a small batch of the kind that the network reads."""
        return example_of(self, None)


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


LARGEST_ONE_HOT = 5_000


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


def _head(settings: LanguageNetworkSettings, features: int, tokens: int, counts: Tensor | None, table: Tensor) -> Head:
    tied = table if settings.tied else None
    match settings.softmax:
        case "adaptive":
            return AdaptiveSoftmax(features, tokens, cutoffs=settings.cutoffs, counts=counts)
        case "sampled":
            return SampledSoftmax(features, tokens, samples=settings.softmax_samples, counts=counts, tied=tied)
        case "full":
            return Softmax(features, tokens, counts=counts, tied=tied)
