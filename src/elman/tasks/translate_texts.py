"""The texts of a translator: sources, and targets that a decoder writes."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elman.settings import check_settings
from elman.settings.decoding import DecodingOptions, DecodingSettings
from elman.settings.text import EncoderSettings
from elman.tasks.kinds import Text

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from elman.data.ragged.ragged import Ragged

# Of a text, which limits of lengths do not count.
MARKS = 2
# A target may be longer than those of training by this factor.
SPARE = 1.25
READ = ("lower_case", "min_count", "max_tokens", "unknown", "split")
# No blank is written before these marks, and none after those.
_CLOSING, _OPENING = re.compile(r" ([.,;:!?%)\]}…»”])"), re.compile(r"([(\[{«„“¿¡]) ")


class MarkedText(Text):
    """Texts as token ids between a begin and an end mark.

    Args:
        settings: of a translator.
        tokens: what a step is; that of the settings if not given.
    """

    def __init__(self, settings: Any, tokens: str | None = None):
        given = {name: getattr(settings, name) for name in READ}
        kind = tokens or settings.tokens
        kind = "words" if kind == "auto" else kind
        if kind != "words":
            given["split"] = "punctuation"
        super().__init__(check_settings(EncoderSettings, {**given, "tokens": kind, "marks": True}))

    @property
    def begin(self) -> int:
        """The id before a text."""
        assert self.vocabulary is not None
        return self.vocabulary.specials["begin"]

    @property
    def end(self) -> int:
        """The id after a text."""
        assert self.vocabulary is not None
        return self.vocabulary.specials["end"]

    @property
    def never_written(self) -> list[int]:
        """The ids that no answer has: those of the begin mark and of unknown tokens."""
        assert self.vocabulary is not None
        return [id for name, id in self.vocabulary.specials.items() if name != "end"]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids, which have no marks.

        Words are joined with blanks, but not before closing marks such as a comma and after opening ones.
        """
        assert self.vocabulary is not None
        if self.subwords is not None:
            shift = len(self.vocabulary.specials) - 1
            return self.subwords.decode(id - shift for id in ids)
        text = self._join(self.vocabulary.decode(list(ids)))
        if self.settings.tokens != "words" or self.settings.split != "punctuation":
            return text
        return _OPENING.sub(r"\1", _CLOSING.sub(r"\1", text))

    def _join(self, tokens: Sequence[str]) -> str:
        # This imports regex.
        from elman.data.text.tokens import Tokenizer

        return Tokenizer(self.settings.tokens).join(tokens)  # type: ignore[arg-type]

    def shown(self, ids: Iterable[int]) -> list[str]:
        """Return a short text for each id, with its marks."""
        assert self.vocabulary is not None
        marks = {id: f"<{name}>" for name, id in self.vocabulary.specials.items()}
        return [marks.get(id) or self.vocabulary.decode([id])[0] for id in ids]


@dataclass(frozen=True)
class Targets:
    """Target texts as they were given, and their ids.

    Attributes:
        ids: with marks, `(total,)`.
        texts: one for each.
    """

    ids: "Ragged"
    texts: Sequence[str]

    @property
    def lengths(self) -> "Tensor":
        """Ids of each."""
        return self.ids.lengths

    def select(self, rows: Sequence[int]) -> "Targets":
        """Return these rows, in this order."""
        return Targets(self.ids.select(rows), [self.texts[row] for row in rows])

    def tensors(self) -> dict[str, "Tensor"]:
        """Return the ids and their lengths."""
        return self.ids.tensors()

    def __len__(self) -> int:
        return len(self.texts)


class TargetText(MarkedText):
    """The texts that are written.

    Attributes:
        counts: how often each id occurs in the training texts; None for a saved model.
        other: the encoder of the sources where both have one vocabulary, else None.
        longest: tokens of the longest training target, with its end mark; 0 if it is not known.
        growth: how many of them a source token has, at most, beyond `max_length_extra`; 0 if it is not known.
    """

    def __init__(self, settings: Any):
        super().__init__(settings, getattr(settings, "target_tokens", None))
        self.counts: Tensor | None = None
        self.other: MarkedText | None = None
        self.longest, self.growth = 0, 0.0

    def measure(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Learn how long the targets of training are.

        Args:
            sources: tokens of each source, without marks.
            targets: of its target, with the end mark.
        """
        extra = DecodingSettings.model_fields["max_length_extra"].default
        self.longest = max(targets, default=0)
        pairs = zip(sources, targets, strict=True)
        self.growth = max(((target - extra) / source for source, target in pairs if source), default=0.0)

    def allowing(self, options: DecodingOptions) -> DecodingOptions:
        """Return options that allow targets as long as those of training.

        Limits that were given stay as they are.
        """
        needed = {"max_length": math.ceil(SPARE * self.longest), "max_length_factor": SPARE * self.growth}
        longer = {
            name: value
            for name, value in needed.items()
            if name not in options.model_fields_set and value > getattr(options, name)
        }
        return options.model_copy(update=longer)

    def share(self, other: MarkedText) -> None:
        """Take over the vocabulary of the sources."""
        self.other = other
        self.vocabulary, self.subwords = other.vocabulary, other.subwords

    def learn(self, values: Sequence[Any], folder: "Path | None" = None) -> Targets:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Learn the vocabulary, unless it is that of the sources, and encode the values."""
        found = super().learn(values, folder)
        self.count(found)
        return Targets(found, list(values))

    def count(self, ids: "Ragged") -> None:
        """Count the ids of the training texts."""
        # This imports torch.
        import torch

        assert self.vocabulary is not None
        self.counts = torch.bincount(ids.data, minlength=len(self.vocabulary))
        self.counts[self.never_written] = 0

    def encode(self, values: Sequence[Any], **how: Any) -> Targets:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Encode texts, which are kept."""
        return Targets(super().encode(values, **how), list(values))

    def to_json(self) -> dict[str, Any]:
        """Return the vocabulary, unless it is that of the sources, and how long the targets are."""
        lengths = {"longest": self.longest, "growth": self.growth}
        return {**({"shared": True} if self.other is not None else super().to_json()), **lengths}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` returned. The encoder of the sources is loaded before."""
        if document.get("shared") and self.other is not None:
            self.share(self.other)
        else:
            super().load(document)
        self.longest, self.growth = document.get("longest", 0), document.get("growth", 0.0)
