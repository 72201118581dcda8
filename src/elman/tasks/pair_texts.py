"""The texts of pairs, which may have one vocabulary."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elman.tasks.wide_text import WideText

if TYPE_CHECKING:
    from pathlib import Path


class PairText(WideText):
    """The first texts of pairs, with the pairs of words that are features of a linear model.

    Attributes:
        crosses: pairs of words, see `PairNgrams`.
    """

    def __init__(self, settings: Any):
        super().__init__(settings)
        self.crosses: list[int] = []

    def pairs(self) -> Any:
        """Return the features of two texts, `PairNgrams`."""
        # This imports torch.
        from elman.data.text.pair_ngrams import PairNgrams

        assert self.ngrams is not None
        return PairNgrams(self.ngrams, symmetric=self.settings.symmetric, crosses=self.crosses)

    def to_json(self) -> dict[str, Any]:
        """Return what `WideText.to_json` does, and the pairs of words."""
        return {**super().to_json(), "crosses": self.crosses}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        super().load(document)
        self.crosses = list(document["crosses"])


class SameText:
    """An encoder that reads texts as another one does, which also learns them.

    Args:
        other: the encoder that learns.
    """

    def __init__(self, other: WideText):
        self.other = other

    def learn(self, values: Sequence[Any], folder: "Path | None" = None) -> Any:
        """Encode the values, which the other encoder learned."""
        return self.other.encode(values)

    def encode(self, values: Sequence[Any], **how: Any) -> Any:
        """Encode texts or arrays as the other encoder does."""
        return self.other.encode(values, **how)

    def sizes(self) -> dict[str, Any]:
        """Return the sizes of the other encoder."""
        return self.other.sizes()

    @property
    def vocabulary(self) -> Any:
        """The tokens of the other encoder."""
        return self.other.vocabulary

    def to_json(self) -> dict[str, Any]:
        """Return nothing: the other encoder is saved."""
        return {}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over nothing."""


def learn_together(encoder: WideText, columns: Sequence[Sequence[Any]], folder: "Path | None") -> list[Any]:
    """Learn one vocabulary from several columns, and return each column encoded."""
    found = encoder.learn([value for column in columns for value in column], folder)
    parts, begin = [], 0
    for column in columns:
        parts.append(found.select(range(begin, begin + len(column))))
        begin += len(column)
    return parts
