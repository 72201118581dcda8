"""Answers to rows, and the content of a report."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple


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
