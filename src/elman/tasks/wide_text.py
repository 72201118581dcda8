"""Texts that a network reads token by token, and a linear model by their n-grams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elman.data.text.unknown import UnknownTally
from elman.tasks.kinds import Text
from elman.tasks.task import Unknown

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from elman.data.ragged.ragged import Ragged
    from elman.data.text.ngrams import NgramRows, Ngrams


@dataclass(frozen=True)
class WideTexts:
    """Texts as ids, with the features of their n-grams.

    Attributes:
        ids: tokens, `(total,)`.
        ngrams: features of each text.
    """

    ids: "Ragged"
    ngrams: "NgramRows"

    @property
    def lengths(self) -> "Tensor":
        """The number of tokens of each text, `(texts,)`."""
        return self.ids.lengths

    def select(self, rows: Sequence[int]) -> "WideTexts":
        """Return these texts in this order."""
        return WideTexts(self.ids.select(rows), self.ngrams.select(rows))

    def tensors(self) -> "Mapping[str, Tensor]":
        """Return the tokens by these names, for a hash of the data; the n-grams are of the same texts."""
        return self.ids.tensors()


class WideText(Text):
    """Texts as `Text` encodes them, with their n-grams where the settings ask for a linear model beside the network.

    Attributes:
        ngrams: the features that are known; None without a linear model.
    """

    ngrams: "Ngrams | None" = None

    def learn(self, values: Sequence[Any], folder: "Path | None" = None) -> "Ragged | WideTexts":
        """Learn the vocabulary and the n-grams, and encode the values."""
        # This imports torch.
        from elman.data.text.ngrams import Ngrams

        ids = super().learn(values, folder)
        if self.settings.wide == "off" or self.settings.tokens == "values":
            return ids
        self.ngrams = Ngrams("texts" if self.settings.tokens in ("characters", "bytes") else "words")
        return WideTexts(ids, self.ngrams.learn(values))

    def encode(
        self,
        values: Sequence[Any],
        *,
        unknown: Unknown | None = None,
        folder: "Path | None" = None,
        tally: UnknownTally | None = None,
    ) -> "Ragged | WideTexts":
        """Encode texts or arrays, with the errors of `Text.encode`."""
        ids = super().encode(values, unknown=unknown, folder=folder, tally=tally)
        return ids if self.ngrams is None else WideTexts(ids, self.ngrams.encode(values))

    def sizes(self) -> dict[str, Any]:
        """Return the sizes that a network needs to read the batches."""
        return {**super().sizes(), "wide": None if self.ngrams is None else len(self.ngrams)}

    def to_json(self) -> dict[str, Any]:
        """Return the vocabulary, or the number of features of a step; and the n-grams."""
        return {**super().to_json(), "wide": None if self.ngrams is None else self.ngrams.to_json()}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        from elman.data.text.ngrams import Ngrams

        super().load(document)
        self.ngrams = None if document["wide"] is None else Ngrams.from_json(document["wide"])
