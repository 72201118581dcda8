"""The task of giving each sequence one of several labels."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from elman.report.answers import Explained, Reliability
from elman.report.figures import figure
from elman.report.parts import WORST, Confusion, Examples, Numbers, Part, share_interval
from elman.settings.base import Conflict
from elman.settings.reservoir import ReservoirTaskSettings
from elman.settings.rows import LabelSettings
from elman.tasks.kinds import Label
from elman.tasks.rows import Rows
from elman.tasks.task import Answer, Batch, Column, Data, Found, Metric, Read, Values
from elman.tasks.wide_rows import WideRowTask
from elman.tasks.wide_text import WideText

if TYPE_CHECKING:
    from torch import Tensor

    from elman.compiler.cell import Cell
    from elman.networks import Ensemble, RowNetwork
    from elman.nn.state import State
    from elman.tasks.baselines import Baseline
    from elman.tasks.calibration import CalibratedScores


ADVERSARIAL_SIZE = 5.0


class ClassifierSettings(LabelSettings, ReservoirTaskSettings):
    """Every setting of a classifier: those of `LabelSettings`, and these."""

    no_feedback: ClassVar[str] = "a classifier has one label for a sequence, and no output of each step to feed back."

    adversarial: float = Field(
        0.0,
        ge=0,
        description="Weight of the loss on changed embeddings in the loss. They are changed in the direction that "
        "raises the loss most (Miyato 2017); a step takes about twice as long. 1 is usual.",
    )
    virtual_adversarial: float = Field(
        0.0,
        ge=0,
        description="Weight of how far changed embeddings move the answer. They are changed in the direction that "
        "moves it most; a step takes about three times as long. 1 is usual.",
    )
    adversarial_size: float = Field(
        ADVERSARIAL_SIZE,
        gt=0,
        description="Norm of these changes for a text. Its unit is the root mean square of the embedding.",
    )

    def _conflicts(self) -> Iterator[Conflict]:
        for name in ("adversarial", "virtual_adversarial"):
            if getattr(self, name) and self.embedding == "one-hot":
                yield Conflict(("embedding", name), "one-hot rows are not learned, and nothing can change them.")
            if getattr(self, name) and self.closed_form:
                yield Conflict(("fitter", name), "ridge solves for one output layer by least squares, without it.")
            if getattr(self, name) and self.optimizer == "hessian-free":
                yield Conflict(("optimizer", name), "hessian-free reads a loss without gradients within it.")
        if self.adversarial_size != ADVERSARIAL_SIZE and not (self.adversarial or self.virtual_adversarial):
            yield Conflict(("adversarial", "adversarial_size"), "nothing is changed by this much.")


class Classify(WideRowTask):
    """One label per sequence: cross entropy, accuracy, the probability of each label."""

    name = "classify"
    summary = "one label for each sequence"
    noun = "classifier"
    settings_class = ClassifierSettings
    columns = (
        Column(
            "text",
            WideText,
            "input",
            "Column of the texts: name or number from 1; several as 2,3. [by usual names, else the first]",
        ),
        Column(
            "label",
            Label,
            "target",
            "Column of the labels: name or number from 1. [by usual names, else the second]",
            stratified=True,
        ),
    )
    source = Rows()
    baseline_names = ("majority", "linear")
    asked_baselines = ("reservoir",)
    has_scale_free_readout = True
    metrics = (
        Metric("accuracy", larger_is_better=True, percent=True),
        Metric(
            "majority",
            compares=False,
            percent=True,
            title="majority rate",
            note="Always giving the most frequent label.",
        ),
        Metric("macro_f1", True, percent=True, title="macro F1", note="Every label counts the same, however rare."),
        Metric("loss", note="Mean cross entropy of the calibrated probabilities, nats per answer."),
        Metric(
            "calibration_error",
            percent=True,
            note="Mean distance of the probability of an answer and the share of right answers, over 15 bins (ECE).",
        ),
        Metric("count", compares=False, title="texts"),
    )
    examples = (
        "elman train classify reviews.csv --out reviews",
        "elman train classify words.txt --text 1 --label 2 --hidden-size 200 --dense 100 --out words",
        "elman train classify news.tsv --text title --label topic --tokens words --embedding 100 --out news",
        "elman train classify words.txt --cell my_cells.py:leaky --out words",
    )

    @classmethod
    def resolve(cls, settings: Any, values: Values, *, validated: bool) -> tuple[Any, Sequence[str]]:
        """Decide what a step is, and the number of epochs and the regularisers that suit it."""
        # This imports numpy.
        from elman.tasks.choices import resolve_classifier

        return resolve_classifier(settings, values.columns["text"], validated=validated)

    def new_wide(self, features: int) -> Any:
        """Return a linear model of the labels that has learned nothing."""
        # This imports torch.
        from elman.nn.wide import Wide

        return Wide(features, len(self.labels), "margin")

    def wide_weights(self, encoded: Any) -> "Tensor | None":
        """Return the weight of the label of each row, where the settings weight the labels."""
        if self.settings.class_weight is None:
            return None
        # This imports torch.
        import torch

        return self._weights(torch.zeros(0))[encoded]

    @classmethod
    def baselines(cls) -> "Sequence[Baseline]":
        """Return the most frequent label, a linear model, and a reservoir."""
        # Imported late: numpy is needed only for training.
        from elman.tasks.baselines import Majority
        from elman.tasks.linear_baseline import Linear
        from elman.tasks.reservoir_baselines import EchoLabel

        return Majority("label"), Linear("text", "label"), EchoLabel("text", "label")

    @property
    def labels(self) -> list[Any]:
        """The labels, in the order of the outputs."""
        return self.encoders["label"].labels

    def network(self, cell: "Cell | None") -> "RowNetwork | Ensemble":
        """Build the network: embed, recurrent body, pooling, dense layers."""
        # Imported late: torch is needed only for training.
        from elman.networks import Ensemble, RowNetwork

        sizes = self.encoders["text"].sizes()
        if self.settings.ensemble > 1:
            return Ensemble(self.settings, len(self.labels), self.settings.ensemble, cell=cell, **sizes)
        return RowNetwork(self.settings, len(self.labels), cell=cell, **sizes)

    def read(self, network: Any, batch: Batch, state: "State | None" = None) -> Read:
        """Read a batch, with logits `(batch, labels)`."""
        from torch.nn import functional

        targets, smoothing = batch["label"], self.settings.label_smoothing

        def loss_of(outputs: "Tensor") -> "Tensor":
            # Each network of an ensemble learns for itself.
            rows, wanted = outputs.flatten(0, -2), targets.repeat(outputs.shape[0]) if outputs.dim() == 3 else targets
            weights = self._weights(outputs)
            return functional.cross_entropy(rows, wanted, weight=weights, label_smoothing=smoothing)

        outputs = self._read_texts(network, batch, loss_of)
        loss = loss_of(outputs)
        if outputs.dim() == 3:
            outputs = outputs.log_softmax(2).logsumexp(0)
        # Among the parts of a minibatch the weights of the labels count, not their number.
        weights = self._weights(outputs)
        return Read(loss, len(targets), outputs, None, None if weights is None else weights[targets].sum().item())

    def _read_texts(self, network: Any, batch: Batch, loss: "Callable[[Tensor], Tensor]") -> "Tensor":
        """Return the logits of a batch, and add the adversarial terms in training."""
        # This imports torch.
        from elman.devices import widened

        given = self.settings
        if not network.training or not (given.adversarial or given.virtual_adversarial):
            return widened(network(batch["text"]))
        # This imports torch.
        from elman.nn.adversarial import read_adversarially

        return read_adversarially(
            network,
            lambda: widened(network(batch["text"])),
            loss,
            adversarial=given.adversarial,
            virtual=given.virtual_adversarial,
            size=given.adversarial_size,
        )

    def readout(self, network: Any, batch: Batch) -> "Tensor":
        """Return 1 for the label of each sequence, and 0 for the others."""
        from torch.nn import functional

        return functional.one_hot(batch["label"].cpu(), len(self.labels))

    def logits(self, network: Any, batch: Batch) -> "tuple[Tensor, Tensor]":
        """Return the logits of the labels, and the positions of the true ones."""
        return self.read(network, batch).outputs, batch["label"]

    def scores(self, data: Data) -> "CalibratedScores":
        """Return the loss, accuracy, majority rate, F1, confusion matrix and calibration errors."""
        from elman.tasks.calibration import CalibratedScores

        return CalibratedScores(self.labels, "label", self.temperature)

    def answers(self, network: Any, batch: Batch) -> list[Answer]:
        """Return the most probable label of each sequence, and calibrated probabilities."""
        # This imports torch.
        from elman.data.ragged.finite import check_finite

        outputs = network(batch["text"])
        check_finite(outputs)
        rows = (outputs.double() / self.temperature).softmax(1).tolist()
        names = list(map(str, self.labels))
        positions = [max(range(len(row)), key=row.__getitem__) for row in rows]
        return [
            Answer(self.labels[best], row[best], dict(zip(names, row, strict=True)))
            for best, row in zip(positions, rows, strict=True)
        ]

    def check(self, batch: Batch, read: Read) -> None:
        """Refuse outputs that are not finite."""
        from elman.data.ragged.finite import check_finite

        check_finite(read.outputs)

    def uses(self) -> Sequence[str]:
        """Return commands that read a file if the sequences are numbers, which cannot be typed."""
        return [line.replace("--text {text}", "{data}") for line in self.use] if self.tokens == "values" else self.use

    def summary_of(self) -> str:
        """Return what this model does."""
        return f"Gives each sequence of {self.settings.tokens} one of {self.encoders['label'].described()}."

    def title_of(self) -> str:
        """Return the labels, or their number if they are many."""
        return ", ".join(map(str, self.labels)) if len(self.labels) <= 5 else f"{len(self.labels)} labels"

    def facts(self) -> dict[str, Any]:
        """Return the temperature of the probabilities."""
        return {"temperature": round(self.temperature, 4)}

    def report(self, found: Found) -> list[Part]:
        """Return the scores, the confusion matrix, the reliability and the worst mistakes."""
        scores = found.scores
        reliability = [reliability_of(scores, self.temperature)] if "reliability" in scores else []
        return [
            Numbers(list(self.figures(scores)), scores["accuracy"], scores["majority"], _interval(scores)),
            Confusion(scores["labels"], scores["confusion"]),
            *reliability,
            worst_mistakes(found),
        ]

    def _weights(self, outputs: Any) -> Any:
        # A loaded model does not know how often each label occurs; its loss is not weighted.
        if self.settings.class_weight is None or not self.encoders["label"].counts:
            return None
        counts = outputs.new_tensor(self.encoders["label"].counts).clamp(min=1)
        return counts.sum() / (len(counts) * counts)


def worst_mistakes(found: Found) -> Examples:
    """Return the wrong answers that the model was surest of, the surest first."""
    wrong = (
        (row.answer.probability or 0.0, -number, row)
        for number, row in enumerate(found.rows)
        if row.answer.value != row.values["label"]
    )
    worst = heapq.nlargest(WORST, wrong)
    rows = [
        (row.values["text"], str(row.values["label"]), str(row.answer.value), figure(sure, percent=True))
        for sure, _, row in worst
    ]
    title, header = "Worst mistakes", ("text", "truth", "answer", "probability")
    note = "The wrong answers that the model was surest of."
    explain = found.explain
    if explain is None:
        return Examples(title, header, rows, note)
    pieces = [explain(row.values["text"], row.answer.value, row.values["label"]) for _, _, row in worst]
    return Explained(title, header, rows, note, pieces)


def reliability_of(scores: Mapping[str, Any], temperature: float) -> Reliability:
    """Return how reliable the probabilities are, with the temperature and without it.

    Args:
        scores: of `CalibratedScores`.
        temperature: of the model.
    """
    from elman.tasks.calibration import bin_names

    errors = (figure(scores[name], percent=True) for name in ("calibration_error_before", "calibration_error"))
    before, after = errors
    remark = f"The expected calibration error is {after}"
    if temperature != 1:
        remark += f"; it is {before} without the temperature of {temperature:.2f}, which held-out data decided"
    return Reliability(list(zip(bin_names(), scores["reliability"], strict=True)), f"{remark}.")


def _interval(scores: Mapping[str, Any]) -> str:
    low, high = (figure(bound, percent=True) for bound in share_interval(scores["accuracy"], scores["count"]))
    return (
        f"The mark on the bar is the majority rate. On {figure(scores['count'])} answers the 95% interval of the "
        f"accuracy is {low} to {high}."
    )
