"""Texts that a network reads token by token, and a linear model by their n-grams."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elman.data.text.unknown import UnknownTally
from elman.tasks.kinds import Text
from elman.tasks.task import Unknown

if TYPE_CHECKING:
    from pathlib import Path

    from elman.data.ragged.ragged import Ragged
    from elman.data.text.ngrams import NgramRows, Ngrams, TextsWithNgrams


class WideText(Text):
    """Texts as `Text` encodes them, with their n-grams where the settings ask for a linear model beside the network.

    Attributes:
        ngrams: the features that are known; None without a linear model.
        rare: ids of the tokens that training has once; empty for a loaded model.
    """

    settings: Any
    ngrams: "Ngrams | None" = None
    rare: Sequence[int] = ()

    def learn(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, values: Sequence[Any], folder: "Path | None" = None
    ) -> "Ragged | TextsWithNgrams":
        """Learn the vocabulary and the n-grams, and encode the values."""
        # This imports torch.
        from elman.data.text.ngrams import TextsWithNgrams

        ids = super().learn(values, folder)
        if self.vocabulary is None:
            return ids
        counts = ids.data.flatten().bincount(minlength=len(self.vocabulary))
        self.rare = (counts == 1).nonzero().flatten().tolist()
        if self.settings.wide == "off":
            return ids
        return TextsWithNgrams(ids, self.learn_ngrams(values))

    def learn_ngrams(self, values: Sequence[str], least: int = 0) -> "NgramRows":
        """Learn the n-grams of these texts, see `Ngrams.learn`, in place of those that are known."""
        # This imports torch.
        from elman.data.text.ngrams import Ngrams

        self.ngrams = Ngrams("texts" if self.settings.tokens in ("characters", "bytes") else "words")
        return self.ngrams.learn(values, least)

    def encode(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        values: Sequence[Any],
        *,
        unknown: Unknown | None = None,
        folder: "Path | None" = None,
        tally: UnknownTally | None = None,
    ) -> "Ragged | TextsWithNgrams":
        """Encode texts or arrays, with the errors of `Text.encode`."""
        # This imports torch.
        from elman.data.text.ngrams import TextsWithNgrams

        ids = super().encode(values, unknown=unknown, folder=folder, tally=tally)
        return ids if self.ngrams is None else TextsWithNgrams(ids, self.ngrams.encode(values))

    def sizes(self) -> dict[str, Any]:
        """Return the sizes that a network needs to read the batches."""
        wide = None if self.ngrams is None else len(self.ngrams)
        return {**super().sizes(), "rare": self.rare, "wide": wide}

    @property
    def identity(self) -> dict[str, str]:
        """Those of `Text.identity`, and a hash of the n-grams."""
        if self.ngrams is None:
            return super().identity
        return {
            **super().identity,
            "n-grams": hashlib.sha256("\n".join(self.ngrams.names).encode(errors="surrogatepass")).hexdigest(),
        }

    def to_json(self) -> dict[str, Any]:
        """Return what `Text.to_json` does, and the n-grams."""
        return {**super().to_json(), "wide": None if self.ngrams is None else self.ngrams.to_json()}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        # This imports torch.
        from elman.data.text.ngrams import Ngrams

        super().load(document)
        self.ngrams = None if document["wide"] is None else Ngrams.from_json(document["wide"])
