"""The parts of a report: each has its lines for a terminal, and the page has a form for each kind."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from elman.report.figures import figure, on_one_line, table

SHOWN_LABELS = 20
TERMINAL_LABELS = 12
SHOWN_CHARACTERS = 400
WORST = 30


class Part(ABC):
    """One part of a report."""

    kind: ClassVar[str]

    @abstractmethod
    def lines(self) -> Iterator[str]:
        """Yield what a terminal shows of it."""


@dataclass(frozen=True)
class Numbers(Part):
    """Scores side by side.

    Attributes:
        rows: title, value and a sentence on each.
        share: a score from 0 to 1 that is also drawn as a bar.
        against: what a simple answer scores, as a mark on the bar.
        remark: a sentence on all of them.
    """

    kind = "numbers"
    rows: Sequence[tuple[str, str, str]]
    share: float | None = None
    against: float | None = None
    remark: str = ""

    def lines(self) -> Iterator[str]:
        """Yield a line for each score."""
        yield from table([(title, value) for title, value, _ in self.rows])


@dataclass(frozen=True)
class Curve(Part):
    """One quantity over the epochs of a run.

    Attributes:
        name: what it is, such as `loss`.
        train: epochs done to value, on the training data.
        validation: epochs done to value, on the validation data; empty without any.
    """

    kind = "curve"
    name: str
    train: Mapping[float, float]
    validation: Mapping[float, float] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Yield nothing: a terminal shows the epochs while they are trained."""
        return iter(())


@dataclass(frozen=True)
class Confusion(Part):
    """How often each label (row) was answered as each (column): the matrix, or the pairs most often mixed up.

    Attributes:
        labels: in order.
        counts: a row for each true label.
    """

    kind = "confusion"
    labels: Sequence[Any]
    counts: Sequence[Sequence[int]]

    @property
    def pairs(self) -> list[tuple[int, Any, Any]]:
        """Times, true label and answer of every confusion, the most frequent first."""
        found = [
            (count, self.labels[truth], self.labels[answer])
            for truth, row in enumerate(self.counts)
            for answer, count in enumerate(row)
            if truth != answer and count
        ]
        return sorted(found, key=lambda pair: -pair[0])

    @property
    def is_small(self) -> bool:
        """Whether the whole matrix fits a page."""
        return len(self.labels) <= SHOWN_LABELS

    @property
    def rows(self) -> list[tuple[Any, list[tuple[int, float]]]]:
        """Each true label, with the count and the share of each answer."""
        return [
            (label, [(count, count / max(1, sum(row))) for count in row])
            for label, row in zip(self.labels, self.counts, strict=True)
        ]

    def lines(self) -> Iterator[str]:
        """Yield the matrix, or the pairs most often mixed up where the labels are many."""
        if len(self.labels) <= TERMINAL_LABELS:
            labels = [on_one_line(str(label)) for label in self.labels]
            rows = [(truth, *row) for truth, row in zip(labels, self.counts, strict=True)]
            yield from table(rows, header=("truth \\ answer", *labels))
        elif self.pairs:
            pairs = [(count, *(on_one_line(str(label)) for label in both)) for count, *both in self.pairs]
            yield from table(pairs[:TERMINAL_LABELS], header=("times", "truth", "answer"))


@dataclass(frozen=True)
class Examples(Part):
    """Rows of a table with a heading, such as the worst mistakes.

    Attributes:
        title: the heading.
        header: a word for each field.
        rows: fields of each row; long ones are cut.
        note: a sentence on them.
    """

    kind = "examples"
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""

    @property
    def shown(self) -> list[list[str]]:
        """The rows as the page has them."""
        return [[cut(figure(value)) for value in row] for row in self.rows]

    def lines(self) -> Iterator[str]:
        """Yield nothing: `elman predict` shows rows."""
        return iter(())


@dataclass(frozen=True)
class Picture(Part):
    """A text that is shown as it is.

    Attributes:
        title: the heading.
        text: with its lines.
    """

    kind = "picture"
    title: str
    text: str

    def lines(self) -> Iterator[str]:
        """Yield the text."""
        yield from self.text.splitlines()


class TaggedWord(NamedTuple):
    """A word with its tags.

    Attributes:
        word: as it is written.
        answer: the tag that was answered.
        truth: the true tag; None where it is not known.
    """

    word: str
    answer: str
    truth: str | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether the answer is not the truth."""
        return self.truth is not None and self.answer != self.truth

    @property
    def shown(self) -> str:
        """The answer, and the truth where it differs."""
        return f"{self.answer} ≠ {self.truth}" if self.is_wrong else self.answer


@dataclass(frozen=True)
class TaggedText(Part):
    """Sentences whose words have tags: the page colours right and wrong answers.

    Attributes:
        title: the heading.
        sentences: words of each.
        note: a sentence on them.
    """

    kind = "tagged"
    title: str
    sentences: Sequence[Sequence[TaggedWord]]
    note: str = ""

    def lines(self) -> Iterator[str]:
        """Yield the title and a line for each sentence, with mistakes in brackets."""
        yield self.title
        for sentence in self.sentences:
            yield " ".join(
                f"[{on_one_line(each.word)}/{each.answer}, not {each.truth}]"
                if each.is_wrong
                else f"{on_one_line(each.word)}/{each.answer}"
                for each in sentence
            )


def cut(text: str) -> str:
    """Return a text of at most `SHOWN_CHARACTERS`, and a sign where it was cut."""
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"


def share_interval(share: float, count: int) -> tuple[float, float]:
    """Return the 95% confidence interval of a share measured on `count` answers (Wilson's).

    >>> [round(bound, 3) for bound in share_interval(0.5, 100)]
    [0.404, 0.596]
    """
    z = 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    # Rounding must not put a perfect or hopeless share outside its own interval.
    return min(share, max(0.0, middle - reach)), max(share, min(1.0, middle + reach))
