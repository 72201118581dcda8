"""Labels, which keep their type: strings, integers or truth values."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from elman.data.listing import listed
from elman.data.tables.given import values_of
from elman.data.tables.header import LABEL_NAMES
from elman.errors import DataError

Label = str | int | bool
# An integer as it is written in one way only, and no larger than NumPy holds.
_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}")
_SHOWN_LABELS = 12


@dataclass(frozen=True)
class Labels:
    """The labels a model knows, sorted; an answer is a position among them.

    >>> labels = Labels.of(["no", "yes", "no"])
    >>> labels.classes, labels.positions(["yes"])
    (('no', 'yes'), [1])

    Args:
        classes: all of one type, in order.
    """

    classes: tuple[Label, ...]

    @classmethod
    def of(cls, labels: Iterable[Label]) -> Self:
        """Return the labels that occur among these, which `labels_of` gave.

        Raises:
            DataError: there is only one.
        """
        classes = tuple(sorted(set(labels)))
        if len(classes) == 1:
            raise DataError(f"There is only one label, {classes[0]!r}.", fix="Give sequences of two or more labels.")
        return cls(classes)

    @classmethod
    def from_json(cls, value: Sequence[Label]) -> Self:
        """Return the labels that `to_json` wrote."""
        return cls(tuple(value))

    def to_json(self) -> list[Label]:
        """Return the labels as JSON has them, each of its own type."""
        return list(self.classes)

    def array(self) -> np.ndarray:
        """Return the labels as scikit-learn's `classes_`, `(labels,)` of their own type."""
        return np.array(self.classes)

    def positions(self, labels: Sequence[Label]) -> list[int]:
        """Return the position of each label.

        Raises:
            DataError: as for `check_known`.
        """
        self.check_known(labels)
        known = {label: position for position, label in enumerate(self.classes)}
        return [known[label] for label in labels]

    def check_known(
        self, labels: Sequence[Label], where: Sequence[str] = (), *, name: str = "label", fix: str = ""
    ) -> None:
        """Refuse labels that the model does not know, or of another type.

        Args:
            labels: to look for.
            where: the position of each, for messages; their numbers from 1 if not given.
            name: of their column.
            fix: a further sentence for the repair.

        Raises:
            DataError: names the first of them with their positions, and the known labels.
        """
        wrong = [f"{where[row] if where else f'{name} {row + 1}'}: {labels[row]!r}" for row in self.unknown(labels)]
        if wrong:
            raise DataError(
                f"{len(wrong):,} of {len(labels):,} {name}s are unknown to the model.",
                where="\n".join(listed(wrong)),
                fix=f"Known {name}s: {self.shown()}. {fix}".rstrip(),
            )

    def unknown(self, labels: Sequence[Label]) -> list[int]:
        """Return the positions of unknown labels, from 0, where 1, True and "1" are different.

        >>> Labels((0, 1)).unknown([1, True, "1"])
        [1, 2]
        """
        known = {(type(label), label) for label in self.classes}
        return [row for row, label in enumerate(labels) if (type(label), label) not in known]

    def from_written(self, labels: Sequence[Label]) -> list[Label]:
        """Return labels of a file as those known labels that are spelled alike, if there are any.

        >>> Labels((0, 1)).from_written(["1", "x"]), Labels(("0", "1")).from_written([1])
        ([1, 'x'], ['1'])
        """
        known: Mapping[str, Label] = {written(label): label for label in self.classes}
        return [known.get(written(label), label) for label in labels]

    def shown(self) -> str:
        """List the first labels for a message."""
        names = list(map(repr, self.classes[:_SHOWN_LABELS]))
        more = len(self.classes) - len(names)
        return ", ".join(names) + (f", … and {more:,} more" if more else "")


def written(label: Label) -> str:
    """Return the spelling of a label in a file, which is the same for `True` and `true`.

    >>> written(True), written("true"), written(1)
    ('true', 'true', '1')
    """
    text = str(label)
    return text.lower() if text.lower() in ("true", "false") else text


def read_labels(texts: Sequence[str]) -> list[Label]:
    """Return the labels of a file, as integers if all are, else without white space around.

    >>> read_labels(["1", "-1"]), read_labels(["1", "01"])
    ([1, -1], ['1', '01'])
    """
    bare = [text.strip() for text in texts]
    return [int(label) for label in bare] if all(map(_INTEGER.fullmatch, bare)) else list(bare)


def labels_of(labels: Any) -> list[Label]:
    """Return labels given from Python as plain values, all of one type.

    Args:
        labels: a list, an array, a column of a data frame; of strings, integers or truth values, also NumPy's.

    Raises:
        DataError: other values, missing ones, or several types, such as 1 and "1"; with their positions from 1.
    """
    found = [_plain(label) for label in values_of(labels, "labels", column="label", usual=LABEL_NAMES)]
    wrong = [
        f"label {number}: {str(label)[:40]} ({type(label).__name__})"
        for number, label in enumerate(found, start=1)
        if not isinstance(label, str | int)
    ]
    if wrong:
        raise DataError(
            f"Expected strings, integers or truth values as labels, got {wrong[0].partition(': ')[2]}.",
            where="\n".join(listed(wrong)),
            fix="Convert the labels, such as with y.astype(int) or y.astype(str), and leave out rows without one.",
        )
    _check_one_type(found)
    return found


def _plain(label: Any) -> Any:
    """Return a label as a value of one of Python's own types."""
    if isinstance(label, np.generic):
        label = label.item()
    for kind in (bool, int, str):
        if isinstance(label, kind):
            return kind(label)
    return label


def _check_one_type(labels: Sequence[Label]) -> None:
    first: dict[type, str] = {}
    for number, label in enumerate(labels, start=1):
        first.setdefault(type(label), f"label {number}: {label!r} ({type(label).__name__})")
    if len(first) > 1:
        raise DataError(
            f"Expected labels of one type, got {len(first)} types.",
            where="\n".join(first.values()),
            fix="Give labels of one type, such as [str(label) for label in labels].",
        )
