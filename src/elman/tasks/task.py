"""The declaration of a task, from which everything else about it follows."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from elman.errors import DataError, UsageError, nearest
from elman.report.parts import Numbers, Part
from elman.settings import Settings
from elman.tasks.answers import Answer, Found, Row
from elman.tasks.batches import Batch, Data, Read
from elman.tasks.columns import Column, Encoder, Unknown, inputs, targets
from elman.tasks.metrics import Metric, Scores
from elman.tasks.sources import ENCODING, Asked, Known, Option, Source, Values

if TYPE_CHECKING:
    from torch import Tensor, nn

    from elman.compiler.cell import Cell
    from elman.data.ragged.ragged import Ragged
    from elman.nn.state import State
    from elman.tasks.baselines import Baseline

# A task is written with these names. Each has its file in this folder.
__all__ = [
    "ENCODING",
    "Answer",
    "Asked",
    "Batch",
    "Column",
    "Data",
    "Encoder",
    "Found",
    "Known",
    "Metric",
    "NoOptions",
    "Option",
    "Read",
    "Row",
    "Scores",
    "Source",
    "Task",
    "Unknown",
    "Values",
    "inputs",
    "targets",
]


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
        has_scale_free_readout: whether the largest of the outputs whose targets `readout` gives is the answer, so that
            their size does not count.
        starts_whole: whether a model that starts from another takes over its vocabularies and all its weights, not
            only its embedding and recurrent layers.
        effect: what unknown tokens do to the scores, at the end of the line that counts them.
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
    has_scale_free_readout: ClassVar[bool] = False
    starts_whole: ClassVar[bool] = False
    effect: ClassVar[str] = ""
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
            UsageError: the settings name a score that the task does not have, or by which models are not compared.
        """
        wanted = self.settings.metric
        known = {metric.name: metric for metric in self.metrics if metric.compares}
        if wanted in {metric.name for metric in self.metrics} - known.keys():
            raise UsageError(
                f"The score `{wanted}` does not say which of two models is better.",
                fix=f"Give another one: {', '.join(known)}.",
            )
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
    def resolve(cls, settings: Any, values: Values, *, validated: bool) -> tuple[Any, Sequence[str]]:
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

    def complete(self, network: Any, data: Data | None) -> None:  # noqa: B027 - most tasks have nothing to set
        """Set what is fitted to held-out data after the training.

        Args:
            network: trained, in evaluation mode.
            data: held out, in the batches of an evaluation.
        """

    @property
    def conclusion(self) -> str:
        """What was done with all data at the end, a clause."""
        if getattr(self.settings, "refit", False):
            return "the network was trained again, on the validation data too"
        return "the linear model was fitted to the validation data too"

    def inherit(self, network: Any, earlier: Any) -> None:
        """Give a network what held-out data decided: by default how its linear model is weighed.

        Args:
            network: new, to be trained on all data.
            earlier: trained without those that were held out, and complete.
        """
        if getattr(network, "wide", None) is not None:
            network.wide.inherit(earlier.wide)

    def conclude(self, network: Any, train: Values, held: Values) -> bool:
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
