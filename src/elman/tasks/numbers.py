"""Numbers as targets: their encoder and their scores."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elman.data.listing import listed
from elman.errors import DataError
from elman.report.figures import figure
from elman.tasks.task import Batch, Metric, Read, Unknown

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

SHOWN = 40
# Of float32, in which networks compute.
LARGEST = 3.4028234663852886e38

METRICS = (
    Metric("rmse", title="RMSE", note="Root of the mean squared error, in the units of the target."),
    Metric("mae", title="MAE", note="Mean absolute error, in the units of the target."),
    Metric("r2", larger_is_better=True, title="R²", note="1 is perfect; the mean of these rows has 0."),
    Metric("pearson", larger_is_better=True, title="Pearson's r", note="Correlation of predictions and targets."),
)
WITHIN = Metric(
    "within_tolerance",
    larger_is_better=True,
    percent=True,
    note="Numbers whose error is at most the tolerance, in the units of the target.",
)


class Number:
    """One number per row; encoded they are standardised, `(rows,)` in float64.

    Attributes:
        mean: of the training rows.
        deviation: of the training rows; 1 if all are equal.
        notes: on what was learned.
    """

    def __init__(self, settings: Any = None):
        self.mean = 0.0
        self.deviation = 1.0
        self.notes: list[str] = []

    def learn(self, values: Sequence[Any], folder: "Path | None" = None) -> "Tensor":
        """Learn the mean and the deviation, and encode the values.

        Raises:
            DataError: as for `encode`.
        """
        found = self._tensor(values)
        self.mean = float(found.mean()) if len(found) else 0.0
        is_constant = bool((found == found[:1]).all())
        self.deviation = 1.0 if is_constant else float(found.std(correction=0)) or 1.0
        if is_constant and len(found) > 1:
            self.notes.append(f"All {len(found):,} targets are {figure(float(found[0]))}: there is nothing to learn.")
        return self.standardised(found)

    def encode(
        self, values: Sequence[Any], *, unknown: Unknown | None = None, folder: "Path | None" = None
    ) -> "Tensor":
        """Encode numbers.

        Raises:
            DataError: texts, truth values, missing values, NaN or infinity, named as `number N`.
        """
        return self.standardised(self._tensor(values))

    def standardised(self, values: "Tensor") -> "Tensor":
        """Return numbers less the mean, divided by the deviation."""
        return (values.double() - self.mean) / self.deviation

    def restored(self, values: "Tensor") -> "Tensor":
        """Return standardised numbers in the units of the data, in float64."""
        return values.double() * self.deviation + self.mean

    def to_json(self) -> dict[str, Any]:
        """Return the mean and the deviation."""
        return {"mean": self.mean, "deviation": self.deviation}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        self.mean, self.deviation = document["mean"], document["deviation"]

    @staticmethod
    def _tensor(values: Sequence[Any]) -> "Tensor":
        import torch

        return torch.tensor(numbers_of(values), dtype=torch.float64)


class Numbers(Number):
    """One number per row, or a list of a number for each step, which is encoded as a `Ragged` batch `(total,)`.

    Attributes:
        each_step: whether rows have a number for each step.
    """

    def __init__(self, settings: Any = None):
        super().__init__(settings)
        self.each_step = False

    def learn(self, values: Sequence[Any], folder: "Path | None" = None) -> Any:
        """Learn the mean and the deviation of all numbers, and encode the values."""
        self.each_step = bool(len(values)) and is_list(values[0])
        if not self.each_step:
            return super().learn(values, folder)
        flat, lengths = self._flat(values)
        return self._ragged(super().learn(flat), lengths)

    def encode(self, values: Sequence[Any], *, unknown: Unknown | None = None, folder: "Path | None" = None) -> Any:
        """Encode numbers, or a list of numbers for each row.

        Raises:
            DataError: as for `Number.encode`, or a number where lists are expected.
        """
        if not self.each_step:
            return super().encode(values)
        flat, lengths = self._flat(values)
        return self._ragged(super().encode(flat), lengths)

    def to_json(self) -> dict[str, Any]:
        """Return the mean and the deviation, and whether each step has a number."""
        return {**super().to_json(), "each_step": self.each_step}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        super().load(document)
        self.each_step = document["each_step"]

    @staticmethod
    def _flat(values: Sequence[Any]) -> tuple[list[float], list[int]]:
        wrong = [number for number, row in enumerate(values, 1) if not is_list(row)]
        if wrong:
            raise DataError(
                "Expected a list of a number for each step, got something else.",
                where=f"number {wrong[0]}: {_described(values[wrong[0] - 1])}",
                fix="Give each row a list of numbers, or each row one number.",
            )
        names = [f"number {row}, step {step}" for row, each in enumerate(values, 1) for step in range(1, len(each) + 1)]
        return numbers_of([value for row in values for value in row], names), [len(row) for row in values]

    @staticmethod
    def _ragged(found: "Tensor", lengths: list[int]) -> Any:
        from elman.data.ragged.ragged import Ragged

        return Ragged(found, lengths)


def is_list(value: Any) -> bool:
    """Report whether a target is a list of a number for each step."""
    return not isinstance(value, str | bytes) and hasattr(value, "__len__") and getattr(value, "ndim", 1) == 1


def numbers_of(values: Sequence[Any], names: Sequence[str] = ()) -> list[float]:
    """Return values as floats.

    Args:
        values: numbers of any type, NumPy's and torch's among them.
        names: of each value in messages; its number if not given.

    Raises:
        DataError: texts, truth values, missing values, NaN, infinity, or numbers that are too large for float32. Names
            each of them.

    >>> numbers_of([1, 2.5])
    [1.0, 2.5]
    >>> numbers_of([1, "two"])
    Traceback (most recent call last):
        ...
    elman.errors.DataError: Expected finite numbers, got one value that is not.
      number 2: the text 'two'
    Correct these values, or leave their rows out.
    """
    found = [_number(value) for value in values]
    wrong = [index for index, number in enumerate(found) if not math.isfinite(number)]
    if wrong:
        where = [f"{names[index] if names else f'number {index + 1}'}: {_described(values[index])}" for index in wrong]
        count = "one value that is not" if len(wrong) == 1 else f"{len(wrong):,} values that are not"
        raise DataError(
            f"Expected finite numbers, got {count}.",
            where="\n".join(listed(where)),
            fix="Correct these values, or leave their rows out.",
        )
    return found


def _number(value: Any) -> float:
    """Return a value as a float, NaN for one that is not a number."""
    if value is None or isinstance(value, str | bytes | bool) or str(getattr(value, "dtype", "")).endswith("bool"):
        return math.nan
    try:
        number = float(value)
        return number if abs(number) <= LARGEST else math.nan
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return math.nan


def _described(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, str | bytes):
        return f"the text {value[:SHOWN]!r}" if value else "an empty text"
    if isinstance(value, float) and LARGEST < abs(value) < math.inf:
        return f"{value}, too large for float32"
    if isinstance(value, bool | float):
        return str(value)
    return f"{type(value).__name__} {str(value)[:SHOWN]!r}"


class NumberScores:
    """Scores of numbers in the units of the data, in memory that does not grow with the rows.

    Args:
        column: of a batch, with the standardised targets.
        restored: standardised numbers in the units of the data; as they are if not given.
        point: the prediction of each row among the outputs; the outputs themselves if not given.
        kept: gives the numbers of a batch that are counted, as truth values; None for all of them.
        tolerance: largest error of a right prediction, in the units of the data; not scored if not given.
    """

    def __init__(
        self,
        column: str,
        restored: "Callable[[Tensor], Tensor] | None" = None,
        point: "Callable[[Any], Tensor] | None" = None,
        kept: "Callable[[Batch], Tensor | None] | None" = None,
        tolerance: float | None = None,
    ):
        self._column = column
        self._restored = restored or (lambda values: values.double())
        self._point = point or (lambda outputs: outputs)
        self._kept = kept or (lambda batch: None)
        self._tolerance = tolerance
        self._within = 0
        self._count = self._losses = 0
        self._loss = self._absolute = self._squared = 0.0
        # Means, and sums of squared distances from them: of the targets, of the predictions, and of both.
        self._means = [0.0, 0.0]
        self._spreads = [0.0, 0.0, 0.0]

    def update(self, batch: Batch, read: Read) -> None:
        """Count a batch."""
        targets = batch[self._column]
        targets = getattr(targets, "data", targets) if hasattr(targets, "lengths") else targets
        outputs = self._point(read.outputs).detach()
        if (kept := self._kept(batch)) is not None:
            outputs, targets = outputs[kept], targets[kept]
        self.count(self._restored(outputs), self._restored(targets))
        self._loss += float(read.loss.detach()) * read.targets
        self._losses += read.targets

    def count(self, predictions: "Tensor", targets: "Tensor") -> None:
        """Count predictions in the units of the data, without a loss.

        Args:
            predictions: of any shape.
            targets: of the same shape.
        """
        predicted, true = predictions.double().flatten().cpu(), targets.double().flatten().cpu()
        size = len(true)
        if not size:
            return
        self._absolute += float((predicted - true).abs().sum())
        if self._tolerance is not None:
            self._within += int(((predicted - true).abs() <= self._tolerance).sum())
        self._squared += float((predicted - true).square().sum())
        means = [float(true.mean()), float(predicted.mean())]
        one, other = true - means[0], predicted - means[1]
        spreads = [float((a * b).sum()) for a, b in ((one, one), (other, other), (one, other))]
        # T. Chan, G. Golub, R. LeVeque, Updating Formulae, 1979, equation 2.1.
        shifts = [new - old for new, old in zip(means, self._means, strict=True)]
        total = self._count + size
        share = self._count * size / total
        products = shifts[0] ** 2, shifts[1] ** 2, shifts[0] * shifts[1]
        self._spreads = [
            old + new + share * product for old, new, product in zip(self._spreads, spreads, products, strict=True)
        ]
        self._means = [old + shift * size / total for old, shift in zip(self._means, shifts, strict=True)]
        self._count = total

    def compute(self) -> dict[str, Any]:
        """Return every score by its name.

        `r2` is None if all targets are equal, `pearson` if all targets or all predictions are.
        """
        count, (true, predicted, both) = max(1, self._count), self._spreads
        return {
            "loss": self._loss / max(1, self._losses),
            "rmse": math.sqrt(self._squared / count),
            "mae": self._absolute / count,
            "r2": 1 - self._squared / true if true > 0 else None,
            "pearson": both / math.sqrt(true * predicted) if true > 0 and predicted > 0 else None,
            **({} if self._tolerance is None else {WITHIN.name: self._within / count}),
            "count": self._count,
        }
