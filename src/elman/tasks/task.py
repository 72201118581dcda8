"""The declaration of a task, from which everything else about it follows."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from elman.errors import DataError, UsageError, nearest
from elman.report.figures import figure
from elman.report.parts import Numbers, Part
from elman.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from elman.compiler.cell import Cell
    from elman.data.ragged.ragged import Ragged
    from elman.data.tables.table_format import TableFormat
    from elman.nn.state import State
    from elman.tasks.baselines import Baseline

Unknown = Literal["allow", "refuse"]


class Metric(NamedTuple):
    """A score with a name.

    Attributes:
        name: as `Scores.compute` has it.
        larger_is_better: how two of them are compared.
        percent: whether it is a share of 1 that is shown in percent.
        note: what it means, a sentence for the report.
        title: as people read it; made of the name if not given.
        decimals: shown of it, in place of the usual number of digits.
    """

    name: str
    larger_is_better: bool = False
    percent: bool = False
    note: str = ""
    title: str = ""
    decimals: int | None = None

    def shown(self, value: float) -> str:
        """Return a value of it as people read it."""
        return figure(value, percent=self.percent) if self.decimals is None else f"{value:.{self.decimals}f}"

    @property
    def heading(self) -> str:
        """Its title."""
        return self.title or self.name.replace("_", " ")


class Encoder(Protocol):
    """Values of a column to tensors, and what was learned to do so."""

    def learn(self, values: Any, folder: Path | None = None) -> Any:
        """Learn from the training values, and return them encoded.

        Args:
            values: of the training set.
            folder: of the run, where large values may be kept while it lasts.
        """
        ...

    def encode(self, values: Any, *, unknown: Unknown | None = None, folder: Path | None = None) -> Any:
        """Return these values as tensors, with what was learned.

        The encoder of an input also takes `tally`, an `UnknownTally` that counts its tokens.

        Args:
            values: of the same kind.
            unknown: what happens to tokens that training never saw, in place of the settings'.
            folder: as for `learn`.
        """
        ...

    def to_json(self) -> dict[str, Any]:
        """Return what was learned, as JSON holds it."""
        ...

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        ...


class Column(NamedTuple):
    """A column of the data: a flag of the command line, an argument of `fit`, a tensor of a batch.

    Attributes:
        name: of the flag and in a batch.
        encoder: makes its encoder from the settings.
        role: whether the network is given it, or asked for it.
        help: of the flag.
        stratified: whether each of its values is held out in the same proportion.
        numeric: whether its values are numbers.
    """

    name: str
    encoder: Callable[[Any], Encoder]
    role: Literal["input", "target"] = "input"
    help: str = ""
    stratified: bool = False
    numeric: bool = False


@dataclass(frozen=True)
class Batch:
    """What one step of training reads.

    Attributes:
        columns: encoded values by the names of their columns.
        sequences: number of them.
        tokens: steps of all of them.
    """

    columns: Mapping[str, Any]
    sequences: int
    tokens: int

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    def to(self, device: "torch.device") -> "Batch":
        """Return the batch with every tensor but lengths on a device."""
        if device.type == "cpu":
            return self
        # This imports torch.
        from elman.devices import moved

        return Batch(moved(self.columns, device), self.sequences, self.tokens)


class Read(NamedTuple):
    """One reading of a batch.

    Attributes:
        loss: mean over the targets, a scalar.
        targets: number of them.
        outputs: what the scores and the answers are made of.
        state: from which the next batch goes on, where batches follow one another.
        divisor: what the sum of the losses was divided by, where it is not the number of targets.
    """

    loss: "Tensor"
    targets: int
    outputs: Any = None
    state: "State | None" = None
    divisor: float | None = None

    @property
    def weight(self) -> float:
        """The weight of the loss among those of other parts of a minibatch."""
        return self.targets if self.divisor is None else self.divisor

    def on_cpu(self) -> "Read":
        """Return the loss and the outputs on the CPU, as scores are computed there."""
        if self.loss.device.type == "cpu":
            return self
        # This imports torch.
        from elman.devices import CPU, moved

        return Read(self.loss.to(CPU), self.targets, moved(self.outputs, CPU))


class Scores(Protocol):
    """Scores that are accumulated over batches, in memory that does not grow with them."""

    def update(self, batch: Batch, read: Read) -> None:
        """Count a batch in."""
        ...

    def compute(self) -> dict[str, Any]:
        """Return every score, `loss` and the task's metrics among them."""
        ...


class Data(Protocol):
    """A data set in batches."""

    @property
    def fingerprint(self) -> str:
        """A hash of the data: another data set has another."""
        ...

    def plan(self, epoch: int) -> Sequence[Any]:
        """Return what `read` takes for each batch of an epoch (from 0), in order."""
        ...

    def read(self, item: Any) -> Batch:
        """Return one batch."""
        ...

    def __len__(self) -> int: ...


class Answer(NamedTuple):
    """The answer to one row.

    Attributes:
        value: the label, the tags, the number.
        probability: of the value, where the network gives one.
        probabilities: of every value there could be, by its name.
        bounds: quantiles of the value by their names, where the network predicts them.
        score: of the value, where answers are ranked by a score.
        others: the next best answers, best first, where they were asked for.
    """

    value: Any
    probability: float | None = None
    probabilities: Mapping[str, float] | None = None
    bounds: Mapping[str, Any] | None = None
    score: float | None = None
    others: "Sequence[Answer]" = ()


class Row(NamedTuple):
    """A row that was answered: the values of its columns by name, and the answer."""

    values: Mapping[str, Any]
    answer: Answer


class Found(NamedTuple):
    """What a report is made of.

    Attributes:
        scores: of the evaluation.
        rows: the rows evaluated, each with its answer; read once.
        samples: what the model wrote while it was trained.
        explain: gives the pieces of an input with their weights, positive where they spoke for the first of two labels.
    """

    scores: Mapping[str, Any]
    rows: Iterable[Row] = ()
    samples: Sequence[str] = ()
    explain: "Callable[[Any, Any, Any], Sequence[tuple[str, float]]] | None" = None


@dataclass(frozen=True)
class Values:
    """Values of columns, from a file or from Python.

    Attributes:
        columns: by name.
        names: name of each row in messages, such as its file and line, or empty.
        source: the name of the file.
        notes: what was assumed to read it, one sentence each.
        settings: of the model, where the values decide them.
        form: how the file was read, to read others in the same way; None if it was not a labelled file.
        rows: index of each row among those that were given, if it has no name; empty for all of them.
        role: what the values are for, such as `validation `, for messages.
    """

    columns: Mapping[str, Any]
    names: Sequence[str] = ()
    source: str = "the data"
    notes: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    form: "TableFormat | None" = None
    rows: Sequence[int] = ()
    role: str = ""


class Known(NamedTuple):
    """What is known of data that others are read like.

    Attributes:
        form: how their file was read; None if it was not a labelled file.
        labels: those of each column that has labels, by its name.
        layout: which columns a table of series has; None for other data.
    """

    form: "TableFormat | None" = None
    labels: Mapping[str, Sequence[Any]] = {}
    layout: Any = None


class Option(NamedTuple):
    """A flag that says how a file is read: `bool` has a `--no-` form besides, and a `list` may be repeated."""

    name: str
    kind: type
    metavar: str
    help: str


ENCODING = Option("encoding", str, "NAME", "Of the file, such as utf-16 or cp1252. [utf-8]")


class Source(ABC):
    """The origin of a task's values: rows of a table, or one long text.

    Attributes:
        noun: what it has, in the plural.
        help: what a file of it may be.
        has_rows: whether the values can be read again, row by row, and have answers.
        columns_are_flags: whether a file has columns that must be chosen.
        several: whether several files may be given, which follow one another.
        placeholder: what examples of commands call a file.
        options: flags that say how a file is read.
        numeric_files: what a file of sequences of numbers may be; empty where `help` says so.
    """

    noun: ClassVar[str]
    help: ClassVar[str]
    has_rows: ClassVar[bool] = True
    columns_are_flags: ClassVar[bool] = False
    several: ClassVar[bool] = False
    placeholder: ClassVar[str] = "DATA"
    options: ClassVar[tuple[Option, ...]] = ()
    numeric_files: ClassVar[str] = ""

    @abstractmethod
    def read(
        self,
        path: str | Sequence[str],
        columns: Sequence[Column],
        options: Mapping[str, Any],
        *,
        known: Known | None = None,
    ) -> Values:
        """Read a file.

        Args:
            path: the file, or `-` for standard input; a list of files where `several` says so.
            columns: of the task.
            options: flags of the columns and of `options` that were given, by name.
            known: what is known of the data that a model was trained on, which is how these are read as far as nothing
                else is given.

        Raises:
            DataError, UsageError: it cannot be read so.
        """
        ...

    def typed(self, text: str) -> Any:
        """Return the row that a text on the command line stands for."""
        return text

    def asked(self, path: str, options: Mapping[str, Any], known: Known | None = None) -> "Asked":
        """Read rows to predict, of which a text has none.

        Args:
            path: the file, or `-` for standard input.
            options: flags of `options` that were given, by name, and `column`, that of the first input.
            known: as for `read`.
        """
        return Asked((), iter(()))

    def asked_texts(self, path: str, options: Mapping[str, Any]) -> "Asked":
        """Read single texts, of which those that are nearest to another one are found.

        Args:
            path: as for `asked`.
            options: as for `asked`.

        Raises:
            UsageError: the rows of this kind have no single texts.
        """
        raise UsageError(f"No nearest texts are found among {self.noun}.", fix="Leave --nearest out.")

    def filled(
        self, path: str, answers: Sequence[Any], options: Mapping[str, Any], known: Known | None = None
    ) -> bytes:
        """Return a file with the answers in the column of its labels, and every other byte as it is.

        Args:
            path: the file, as `asked` read it.
            answers: to its rows, in order.
            options: as for `asked`.
            known: as for `asked`.

        Raises:
            UsageError: files of this kind are not filled.
        """
        raise UsageError(f"Files of {self.noun} cannot be filled with answers.", fix="Leave --fill out.")

    def known(self, values: Values, columns: Sequence[Column]) -> Known:
        """Return what is known of values, to read others like them."""
        return Known(values.form)

    @abstractmethod
    def take(self, values: Sequence[Any], columns: Sequence[Column], *, role: str = "") -> Values:
        """Return the values that Python gave, in the order of the columns, checked.

        Args:
            values: one for each column; targets may be left out.
            columns: of the task.
            role: what the data are for, such as `validation `, for messages.
        """

    @abstractmethod
    def split(self, values: Values, columns: Sequence[Column], fraction: float, seed: int) -> tuple[Values, Values]:
        """Return what to learn from, and the fraction held out."""

    def held_out(self, values: Values, columns: Sequence[Column], settings: Any) -> tuple[Values, Values]:
        """Return what to learn from, and what is held out, as the settings say."""
        return self.split(values, columns, settings.validation_fraction, settings.seed)

    @abstractmethod
    def data(self, encoded: Mapping[str, Any], settings: Any) -> Data:
        """Return encoded columns as the trainer reads them."""

    @abstractmethod
    def evaluated(self, encoded: Mapping[str, Any], settings: Any, options: Any = None) -> Data:
        """Return encoded columns in the batches of an evaluation."""

    def asking(self, encoded: Mapping[str, Any], settings: Any) -> Data:
        """Return the encoded columns of rows to answer, an item for each, in batches."""
        return self.evaluated(encoded, settings)

    @abstractmethod
    def facts(self, values: Values) -> str:
        """Return the size of the data in words, such as `12 texts`."""


class Asked(NamedTuple):
    """Rows to predict.

    Attributes:
        notes: what was assumed to read them, a sentence for each file.
        rows: where each row is, and its value.
    """

    notes: Sequence[str]
    rows: Iterator[tuple[str, Any]]


class NoOptions(Settings):
    """An evaluation or a prediction without options."""


class Task(ABC):
    """A task with its settings and its encoders.

    Args:
        settings: of `settings_class`.
        encoders: of the columns, by name; new ones if not given.

    Attributes:
        name: of the command `elman train NAME`.
        summary: what is learned, a phrase.
        noun: what a model is called, such as `classifier`.
        settings_class: every setting, with descriptions.
        options_class: settings of an evaluation.
        answer_options_class: settings of a prediction.
        columns: of the data.
        source: where their values come from.
        metrics: the scores with a name, of which the first compares epochs unless the setting `metric` names another.
        use: commands for the card and the closing lines, with `{model}`, `{data}` and `{text}` in them.
        has_probabilities: whether `elman predict` can show the probabilities of answers, or weights of tokens.
        effect: what unknown tokens do to the scores, at the end of the line that counts them.
        conclusion: what `conclude` did, a clause.
        damaged: the repair of a network whose outputs are not finite.
        unscored: the repair of data without a target to score.
        examples: commands for the help of `elman train NAME`.
        baseline_names: of the simple models that `baselines` gives, in order.
        asked_baselines: of those that follow them, each of which is fitted only if it is named.
        temperature: by which logits are divided before they become probabilities; 1 until held-out data say otherwise.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    noun: ClassVar[str] = "model"
    settings_class: ClassVar[type[Settings]]
    options_class: ClassVar[type[Settings]] = NoOptions
    answer_options_class: ClassVar[type[Settings]] = NoOptions
    columns: ClassVar[tuple[Column, ...]]
    source: ClassVar[Source]
    metrics: ClassVar[tuple[Metric, ...]]
    use: ClassVar[tuple[str, ...]] = ("elman predict {model} --text {text}", "elman evaluate {model} {data}")
    has_probabilities: ClassVar[bool] = True
    effect: ClassVar[str] = ""
    conclusion: ClassVar[str] = "the linear model was fitted to the validation data too"
    unscored: ClassVar[str] = "Give data with known targets."
    damaged: ClassVar[str] = "The weights are damaged: train the model again, with a lower learning rate."
    examples: ClassVar[tuple[str, ...]] = ()
    baseline_names: ClassVar[tuple[str, ...]] = ()
    asked_baselines: ClassVar[tuple[str, ...]] = ()
    temperature: float = 1.0

    def __init__(self, settings: Any, encoders: Mapping[str, Any] | None = None):
        self.settings = settings
        self.encoders = dict(encoders or {column.name: column.encoder(settings) for column in self.columns})

    @classmethod
    def summary_line(cls) -> str:
        """Return the first line of the docstring of its models."""
        return f"A {cls.noun}: {cls.summary}."

    @property
    def metric(self) -> Metric:
        """The metric by which epochs are compared.

        Raises:
            UsageError: the settings name a score that the task does not have.
        """
        wanted = self.settings.metric
        known = {metric.name: metric for metric in self.metrics}
        if wanted is not None and wanted not in known:
            raise UsageError(f"The task `{self.name}` has no score `{wanted}`.", fix=nearest(wanted, known))
        return known[wanted] if wanted is not None else self.metrics[0]

    @property
    def unit(self) -> str:
        """What rates are counted in."""
        return "sequences"

    @property
    def tokens(self) -> str:
        """What the tokens of its inputs are, in the plural."""
        return getattr(self.settings, "tokens", "words")

    @classmethod
    def baselines(cls) -> "Sequence[Baseline]":
        """Return new simple models to compare a network with.

        They are those of `baseline_names`, the strongest of which is the last, and then those of `asked_baselines`.
        """
        return ()

    def uses(self) -> Sequence[str]:
        """Return the commands of `use` that fit this model."""
        return self.use

    def check(self, batch: Batch, read: Read) -> None:
        """Refuse outputs that are not finite.

        Args:
            batch: that was read.
            read: what `read` gave for it.

        Raises:
            DataError: counts the rows of the batch from 1.
        """
        loss = read.loss.item()
        if not math.isfinite(loss):
            raise DataError(f"The network's output is not finite: its loss is {loss}.", fix=self.damaged)

    @classmethod
    def resolve(cls, settings: Any, values: "Values", *, validated: bool) -> tuple[Any, Sequence[str]]:
        """Return the settings as the data decide them, and notes on it.

        Args:
            settings: as they were given.
            values: of the training set, before data are held out.
            validated: whether there is a validation set.
        """
        return settings, ()

    def learn(self, values: Mapping[str, Any], folder: Path | None = None) -> dict[str, Any]:
        """Have each encoder learn its column of the training set, and return the columns encoded.

        Args:
            values: columns by name.
            folder: of the run, as for `Encoder.learn`.
        """
        return {name: encoder.learn(values[name], folder) for name, encoder in self.encoders.items()}

    def prepare(self, network: Any, encoded: Mapping[str, Any], *, fit: bool) -> Mapping[str, Any]:
        """Fit what is not learned by steps of the training, and return the columns that these read.

        Args:
            network: new.
            encoded: columns of the training set by name.
            fit: false where a checkpoint has the weights.
        """
        return encoded

    def complete(self, network: Any, data: "Data | None") -> None:  # noqa: B027 - most tasks have nothing to set
        """Set what is fitted to held-out data after the training.

        Args:
            network: trained, in evaluation mode.
            data: held out, in the batches of an evaluation.
        """

    def conclude(self, network: Any, train: "Values", held: "Values") -> bool:
        """Fit what need not be held out to all data, and return whether there was anything to fit.

        Args:
            network: complete.
            train: what the network was trained on.
            held: what elman held out of the training set.
        """
        return False

    @abstractmethod
    def network(self, cell: "Cell | None") -> "nn.Module":
        """Return the network, its parameters drawn from torch's generator.

        Args:
            cell: of the recurrent layers, where the settings only name it.
        """

    @abstractmethod
    def read(self, network: Any, batch: Batch, state: "State | None" = None) -> Read:
        """Read a batch: forward pass and loss. The targets may be seen.

        Args:
            network: what `network` gave.
            batch: with a target in it.
            state: after the batch before, where they follow one another.
        """

    def readout(self, network: Any, batch: Batch) -> "Tensor | Ragged":
        """Return the targets of the output layer, for a fitter that solves for it.

        Args:
            network: what `network` gave.
            batch: with a target in it.

        Returns:
            `(rows, outputs)`, or a `Ragged` batch of such rows for the steps.

        Raises:
            UsageError: the output layer of this task, or with these settings, is not found by least squares.
        """
        raise UsageError(
            f"The output layer of the task `{self.name}` is not fitted by ridge regression.",
            fix="Give fitter='gradient' (--fitter gradient).",
        )

    def counted(self, batch: Batch) -> "Tensor | None":
        """Return which rows of `readout` are learned from and scored, None for all of them."""
        return None

    def logits(self, network: Any, batch: Batch) -> "tuple[Tensor, Tensor] | None":
        """Return what probabilities are calibrated by, None for a task without any.

        Returns:
            Logits `(rows, labels)`, and the positions of the true labels `(rows,)`.
        """
        return None

    @abstractmethod
    def scores(self, data: Data) -> Scores:
        """Return scores that have counted nothing.

        Args:
            data: what they are about.
        """

    def answers(self, network: Any, batch: Batch) -> list[Answer]:
        """Return the answer to each row of a batch, which has the inputs only.

        Raises:
            UsageError: the task has no answers to rows.
        """
        raise UsageError(f"The task `{self.name}` has no answers to rows.")

    def answer_header(self) -> Sequence[str] | None:
        """Return the columns of a table of answers, or None if each answer is one line."""
        return None

    def answer_rows(self, row: Any, answer: Answer) -> Sequence[Sequence[Any]]:
        """Return the rows of the table for one answer.

        Args:
            row: that was answered.
            answer: to it.
        """
        return ()

    def adapting(self, network: Any, options: Any) -> "tuple[Any, Callable[[Tensor], None] | None]":
        """Return the network to evaluate, and a function that is given each batch's loss."""
        return network, None

    def sample(self, network: Any) -> str | None:
        """Return something that the network wrote, to be shown while it is trained."""
        return None

    def summary_of(self) -> str:
        """Return what this model does, a sentence for its card."""
        return f"{self.summary[0].upper()}{self.summary[1:]}."

    def title_of(self) -> str:
        """Return what this model is about, a few words for the title of its report."""
        return self.summary

    def facts(self) -> dict[str, Any]:
        """Return what a run should say of this model, by name."""
        return {}

    def figures(self, scores: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Yield the scores as people read them: title, value and note."""
        for metric in self.metrics:
            if scores.get(metric.name) is not None:
                yield metric.heading, metric.shown(scores[metric.name]), metric.note

    def report(self, found: Found) -> list[Part]:
        """Return what an evaluation shows, besides curves and settings."""
        return [Numbers(list(self.figures(found.scores)))]


def inputs(columns: Iterable[Column]) -> list[Column]:
    """Return the columns that the network is given."""
    return [column for column in columns if column.role == "input"]


def targets(columns: Iterable[Column]) -> list[Column]:
    """Return the columns that are predicted."""
    return [column for column in columns if column.role == "target"]
