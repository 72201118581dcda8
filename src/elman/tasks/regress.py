"""The task of giving each sequence, or each step of it, a number."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator

from elman.errors import DataError, UsageError
from elman.report.parts import Numbers, Part
from elman.settings import check_settings
from elman.settings.base import Conflict
from elman.settings.ensemble import EnsembleSettings
from elman.settings.network import Share
from elman.settings.reservoir import ReservoirTaskSettings
from elman.settings.rows import RowSettings
from elman.settings.series import NumberLoss
from elman.tasks.numbers import METRICS, WITHIN
from elman.tasks.numbers import Numbers as NumberColumn
from elman.tasks.rows import Rows
from elman.tasks.task import Answer, Batch, Column, Data, Found, Metric, Read, Values
from elman.tasks.wide_rows import WideRowTask
from elman.tasks.wide_text import WideText

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from elman.compiler.cell import Cell
    from elman.nn.state import State
    from elman.tasks.baselines import Baseline

QUANTILES = (0.1, 0.5, 0.9)


class RegressorSettings(RowSettings, EnsembleSettings, ReservoirTaskSettings):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Every setting of a regressor: those of `RowSettings`, and these."""

    loss: NumberLoss = Field(
        "squared",
        description="Loss of the numbers. quantile predicts several quantiles of each number, which do not cross: the "
        "network sorts its outputs.",
    )
    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (), description="Quantiles to predict with the loss quantile. By default 0.1, 0.5 and 0.9."
    )
    huber_delta: float = Field(
        1.0, gt=0, description="Error from which Huber's loss is linear. In standard deviations of the target."
    )
    tolerance: float | None = Field(
        None,
        gt=0,
        description="Largest error of a right number. The share of right numbers is scored as within_tolerance.",
    )
    dropout: Share = Field(0.2, description="Fraction of the features to drop between layers.")
    learning_rate: float = Field(4e-3, gt=0, description="Learning rate of the optimizer.")
    epochs: PositiveInt | None = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        None, description="Passes over the data. By default 8 to 40, the fewer the more data there are."
    )
    wide: Literal["ngrams", "off"] = Field(
        "ngrams",
        description="Add a linear model of TF-IDF n-grams of texts. It is fitted to the training texts, and both are "
        "weighed on the validation texts; quantiles and numbers of steps have none.",
    )

    @field_validator("quantiles", mode="before")
    @classmethod
    def _one_quantile_is_a_list_too(cls, value: Any) -> Any:
        return (value,) if isinstance(value, float) else value

    def _conflicts(self) -> "Iterator[Conflict]":
        if self.quantiles and self.loss != "quantile":
            yield Conflict(("loss", "quantiles"), "quantiles are for the loss quantile.")
        if self.closed_form and self.loss != "squared":
            yield Conflict(("fitter", "loss"), "ridge minimises squared errors.")
        if self.feedback_scaling and self.loss == "quantile":
            yield Conflict(("feedback_scaling", "loss"), "one number is fed back, and not several quantiles.")
        if self.metric == WITHIN.name and self.tolerance is None:
            yield Conflict(("metric", "tolerance"), f"{WITHIN.name} needs a tolerance.")
        if list(self.quantiles) != sorted(set(self.quantiles)):
            yield Conflict(("quantiles",), "expected ascending quantiles, each once.")


class Regress(WideRowTask):
    """One number per sequence, or one for each step: squared, absolute, Huber's or quantile loss."""

    name = "regress"
    summary = "a number for each sequence"
    noun = "regressor"
    settings_class = RegressorSettings
    columns = (
        Column(
            "text",
            WideText,
            "input",
            "Column of the texts: name or number from 1; several as 2,3. [by usual names, else the first]",
        ),
        Column(
            "target",
            NumberColumn,
            "target",
            "Column of the numbers: name or number from 1. [by usual names, else the second]",
            numeric=True,
        ),
    )
    source = Rows()
    baseline_names = ("mean", "ridge")
    asked_baselines = ("reservoir",)
    unscored = "Give sequences that are longer than warmup_steps (--warmup-steps): their first steps are not scored."
    metrics = (
        *METRICS,
        WITHIN,
        Metric("loss", note="Of the standardised numbers."),
        Metric("count", compares=False, title="numbers"),
    )
    examples = (
        "elman train regress ratings.csv --text review --target stars --out stars",
        "elman train regress lexicon.tsv --text 1 --target 2 --loss quantile --out lexicon",
        "elman train regress HouseholdPower_TRAIN.ts --out power",
        "elman train regress steps.csv --series id --time t --target load --out load",
    )

    @classmethod
    def resolve(cls, settings: Any, values: Values, *, validated: bool) -> tuple[Any, Sequence[str]]:
        """Decide what a step is, and the number of epochs and the regularisers that suit it."""
        # This imports numpy.
        from elman.tasks.choices import resolve_classifier

        quantile, target = settings.loss == "quantile", values.columns["target"]
        changed: dict[str, Any] = {"quantiles": QUANTILES} if quantile and not settings.quantiles else {}
        if quantile or (len(target) and hasattr(target[0], "__len__")):
            changed["wide"] = "off"
        settings = check_settings(type(settings), {**settings.model_dump(), **changed}) if changed else settings
        resolved, notes = resolve_classifier(settings, values.columns["text"], validated=validated)
        if settings.epochs is None:
            # Numbers are learned more slowly than labels.
            longer = {**resolved.model_dump(), "epochs": 2 * resolved.epochs}
            resolved = check_settings(type(settings), longer)
        return resolved, notes

    @classmethod
    def baselines(cls) -> "Sequence[Baseline]":
        """Return the mean of the training rows, ridge regression, and a reservoir."""
        # Imported late: numpy is needed only for training.
        from elman.tasks.number_baselines import MeanNumber, RidgeNumber
        from elman.tasks.reservoir_baselines import EchoNumber

        return MeanNumber("target"), RidgeNumber("text", "target"), EchoNumber("text", "target")

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The quantiles that are predicted; none for other losses."""
        return self.settings.quantiles if self.settings.loss == "quantile" else ()

    def prepare(self, network: Any, encoded: Mapping[str, Any], *, fit: bool) -> Mapping[str, Any]:
        """Learn the scale of numbers, and fit the linear model of texts."""
        check_steps(encoded["text"], encoded["target"])
        return super().prepare(network, encoded, fit=fit)

    def new_wide(self, features: int) -> Any:
        """Return a linear model of the numbers that has learned nothing."""
        # This imports torch.
        from elman.nn.wide import Wide

        return Wide(features, 1, "squared")

    def wide_targets(self, encoded: Any) -> "Tensor":
        """Return the standardised numbers, `(rows, 1)`."""
        return encoded.float().unsqueeze(1)

    def network(self, cell: "Cell | None") -> Any:
        """Build the network: embed, recurrent body, pooling of whole sequences, dense layers."""
        # Imported late: torch is needed only for training.
        from elman.networks import Ensemble, RowNetwork, StepNetwork
        from elman.nn.regression import mean_numbers

        sizes, outputs = self.encoders["text"].sizes(), max(1, len(self.quantiles))
        features, members = sizes.pop("wide", None), self.settings.ensemble
        if not self.encoders["target"].each_step:
            if self.settings.feedback_scaling:
                raise UsageError(
                    "Feedback needs a target for each step, got one for each sequence.",
                    fix="Leave out feedback_scaling (--feedback-scaling). A column that is the same at all steps of "
                    "each series is read as a target of the series.",
                )
            if members > 1:
                network = Ensemble(self.settings, outputs, members, average=mean_numbers, cell=cell, **sizes)
            else:
                network = RowNetwork(self.settings, outputs, cell=cell, **sizes)
            network.wide = None if features is None else self.new_wide(features)
            return network
        if self.settings.segment > 1:
            raise UsageError("Segments have no number for each step.", fix="Leave segment (--segment) at 1.")
        if members > 1:
            raise UsageError("Targets of each step have one network.", fix="Leave ensemble (--ensemble) at 1.")
        return StepNetwork(self.settings, outputs, cell=cell, **sizes)

    def read(self, network: Any, batch: Batch, state: "State | None" = None) -> Read:
        """Read a batch, with standardised outputs `(numbers,)`, or `(numbers, quantiles)`."""
        from elman.nn.regression import number_loss

        outputs, targets = self._outputs(network, batch), batch["target"]
        if self.encoders["target"].each_step:
            check_steps(batch["text"], targets)
            targets = targets.data
        settings, counted, wanted = self.settings, outputs, targets.to(outputs.dtype)
        if (kept := self.counted(batch)) is not None:
            counted, wanted = outputs[kept], wanted[kept]
        count = len(wanted)
        if is_ensemble := network.training and settings.ensemble > 1:
            # Each network of an ensemble learns for itself.
            wanted = wanted.expand(settings.ensemble, -1)
        loss = number_loss(settings.loss, counted, wanted, self.quantiles, delta=settings.huber_delta)
        return Read(loss, count, outputs.mean(0) if is_ensemble else outputs)

    def counted(self, batch: Batch) -> "Tensor | None":
        """Return which steps are after the warm-up, None for all of them.

        Targets of whole sequences are all counted.
        """
        first = self.settings.warmup_steps
        if not first or not self.encoders["target"].each_step:
            return None
        return batch["target"].step_index() >= first

    def readout(self, network: Any, batch: Batch) -> Any:
        """Return the standardised numbers."""
        targets = batch["target"]
        if self.encoders["target"].each_step:
            check_steps(batch["text"], targets)
            return targets.map(lambda numbers: numbers.unsqueeze(1))
        return targets.unsqueeze(1)

    def scores(self, data: Data) -> Any:
        """Return the scores of the numbers, in their units."""
        from elman.tasks.numbers import NumberScores

        restored = self.encoders["target"].restored
        return NumberScores("target", restored, self._point, self.counted, self.settings.tolerance)

    def answers(self, network: Any, batch: Batch) -> list[Answer]:
        """Return the number of each sequence, or of each of its steps, and its quantiles."""
        # This imports torch.
        from elman.data.ragged.finite import check_finite

        outputs = self._outputs(network, batch)
        check_finite(batch["text"].replace(outputs) if self.encoders["target"].each_step else outputs)
        restored = self.encoders["target"].restored
        values, bounds = restored(self._point(outputs)), restored(outputs)
        if self.encoders["target"].each_step:
            rows = batch["text"].replace(values).to_list()
            if not self.quantiles:
                return [Answer(row.tolist()) for row in rows]
            each = [row.T.tolist() for row in batch["text"].replace(bounds).to_list()]
        else:
            rows = values
            if not self.quantiles:
                return [Answer(value) for value in values.tolist()]
            each = bounds.tolist()
        names = [f"q{share:g}" for share in self.quantiles]
        return [
            Answer(row.tolist(), bounds=dict(zip(names, own, strict=True))) for row, own in zip(rows, each, strict=True)
        ]

    def check(self, batch: Batch, read: Read) -> None:
        """Refuse outputs that are not finite."""
        from elman.data.ragged.finite import check_finite

        each_step = self.encoders["target"].each_step
        check_finite(batch["text"].replace(read.outputs) if each_step else read.outputs)

    def uses(self) -> Sequence[str]:
        """Return commands that read a file if the sequences are numbers, which cannot be typed."""
        return [line.replace("--text {text}", "{data}") for line in self.use] if self.tokens == "values" else self.use

    def summary_of(self) -> str:
        """Return what this model does."""
        what = "each step of a sequence" if self.encoders["target"].each_step else "each sequence"
        return f"Gives {what} of {self.settings.tokens} a number."

    def report(self, found: Found) -> list[Part]:
        """Return the scores, predictions against true numbers, residuals and the worst predictions."""
        from elman.tasks.number_report import residual_parts

        return [Numbers(list(self.figures(found.scores))), *residual_parts(found, "target")]

    def _outputs(self, network: Any, batch: Batch) -> "Tensor":
        from elman.devices import widened
        from elman.nn.regression import without_crossing

        known = {}
        if network.training and self.settings.feedback_scaling and self.settings.fitter != "force":
            # Teacher forcing: the targets are fed back.
            known["known"] = self.readout(network, batch).map(lambda rows: rows.to(next(network.parameters()).dtype))
        outputs = network(batch["text"], **known)
        outputs = widened(outputs.data if self.encoders["target"].each_step else outputs)
        return without_crossing(outputs) if self.quantiles else outputs.squeeze(-1)

    def _point(self, outputs: "Tensor") -> "Tensor":
        """Return the prediction among the outputs: of several quantiles that nearest to the median."""
        if not self.quantiles:
            return outputs
        return outputs[..., min(range(len(self.quantiles)), key=lambda n: abs(self.quantiles[n] - 0.5))]


def check_steps(sequences: Any, targets: Any) -> None:
    """Refuse targets of steps that are not as many as the steps.

    Args:
        sequences: a batch.
        targets: of each sequence, or a batch of those of each step.

    Raises:
        DataError: names the sequences from 1.
    """
    if not hasattr(targets, "lengths"):
        return
    steps, numbers = sequences.lengths.tolist(), targets.lengths.tolist()
    wrong = [n for n, (one, other) in enumerate(zip(steps, numbers, strict=True)) if one != other]
    if wrong:
        raise DataError(
            "Expected a target for each step, got other numbers of targets.",
            where="\n".join(f"sequence {n + 1}: {steps[n]} steps, {numbers[n]} targets" for n in islice(wrong, 5)),
            fix="Give as many targets as steps, or one number for each sequence.",
        )
