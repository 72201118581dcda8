"""The labels of words: their numbers, and which may follow which."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elman.tasks.kinds import StepLabels
from elman.tasks.spans import Scheme, allowed_pairs, are_spans, detect_scheme

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from elman.data.ragged.ragged import Ragged
    from elman.tasks.tag import TagSettings

# The start or the end of a sentence, in place of a label.
_EDGE = None


class TagLabels(StepLabels):
    """A label for each word; encoded they are a `Ragged` batch of positions `(total,)`.

    Attributes:
        scheme: of labels that are spans; None for others.
        exceptions: pairs of consecutive labels of the training data that the scheme does not allow; None is the start
            or the end of a sentence.
    """

    def __init__(self, settings: "TagSettings"):
        super().__init__(settings)
        self._settings = settings
        self.scheme: Scheme | None = None
        self.exceptions: list[tuple[str | None, str | None]] = []

    def learn(self, values: Sequence[Sequence[Any]], folder: "Path | None" = None) -> "Ragged":
        """Learn the labels and, where they are spans, their scheme, and encode the values."""
        encoded = super().learn(values)
        if are_spans(self.each.labels):
            self.scheme = self._settings.scheme or detect_scheme(values)
            seen = {pair for labels in values for pair in zip([_EDGE, *labels], [*labels, _EDGE], strict=True)}
            self.exceptions = sorted((pair for pair in seen if not self._fits(*pair)), key=str)
        return encoded

    def allowed(self) -> "tuple[Tensor, Tensor, Tensor] | None":
        """Return which labels may be first, follow which, and be last.

        The shapes are `(labels,)`, `(labels, labels)` and `(labels,)`. Allowed is what the scheme allows and what the
        training data have. None allows all.
        """
        import torch

        if self.scheme is None:
            return None
        names = [*self.each.labels, _EDGE]
        starts, pairs, ends = map(torch.tensor, allowed_pairs(self.each.labels, self.scheme))
        for before, after in self.exceptions:
            row, column = names.index(before), names.index(after)
            if before is _EDGE:
                starts[column] = True
            elif after is _EDGE:
                ends[row] = True
            else:
                pairs[row, column] = True
        return starts, pairs, ends

    def to_json(self) -> dict[str, Any]:
        """Return the labels, the scheme and its exceptions."""
        return {**super().to_json(), "scheme": self.scheme, "exceptions": [list(pair) for pair in self.exceptions]}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        super().load(document)
        self.scheme = document.get("scheme")
        self.exceptions = [(before, after) for before, after in document.get("exceptions", [])]

    def _fits(self, before: str | None, after: str | None) -> bool:
        assert self.scheme is not None
        present = [label for label in (before, after) if label is not None]
        if not present:
            return True
        starts, pairs, ends = allowed_pairs(present, self.scheme)
        return starts[0] if before is None else ends[0] if after is None else pairs[0][-1]
