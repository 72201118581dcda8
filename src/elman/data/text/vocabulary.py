"""Tokens to numbers and back."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat
from typing import Any, Literal, Self

import numpy as np
import torch

from elman.data.listing import listed
from elman.data.ragged.ragged import Ragged
from elman.errors import DataError, ModelError, UsageError, nearest

UnknownPolicy = Literal["allow", "refuse"]

FORMAT = "elman vocabulary"
VERSION = 1


@dataclass(frozen=True, init=False)
class Vocabulary:
    """The tokens a model knows, each with its number.

    The special entries that were asked for come first, in the order padding, unknown, begin, end;
    the tokens follow in their order. Special entries are not tokens: a text that spells `<end>` does
    not reach the end mark.

    >>> letters = Vocabulary("abc")
    >>> letters.encode("cab?")
    [3, 1, 2, 0]
    >>> letters.decode([3, 1, 2, 0])
    ['c', 'a', 'b', '<unknown>']
    >>> len(letters), letters.specials
    (4, {'unknown': 0})

    Args:
        tokens: the tokens, each once: any strings, or one string as an alphabet of characters.
        unknown: `allow` gives tokens never seen an entry of their own; `refuse` has no such entry
            and raises on them.
        padding: have an entry for padding.
        begin: have an entry that marks the begin of a sequence.
        end: have an entry that marks the end of a sequence.

    Raises:
        DataError: tokens that occur twice, are empty or are not strings.
        UsageError: a policy other than allow and refuse.
    """

    tokens: tuple[str, ...]
    unknown: UnknownPolicy
    padding: bool
    begin: bool
    end: bool

    def __init__(
        self,
        tokens: Iterable[str],
        *,
        unknown: UnknownPolicy = "allow",
        padding: bool = False,
        begin: bool = False,
        end: bool = False,
    ):
        if unknown not in ("allow", "refuse"):
            raise UsageError(
                f"`{unknown}` is not a policy for unknown tokens.", fix=nearest(unknown, ["allow", "refuse"])
            )
        known = tuple(tokens)
        _check_tokens(known)
        values = {"tokens": known, "unknown": unknown, "padding": padding, "begin": begin, "end": end}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def build(
        cls,
        token_lists: Iterable[Iterable[str]],
        *,
        max_tokens: int | None = None,
        min_count: int = 1,
        unknown: UnknownPolicy = "allow",
        padding: bool = False,
        begin: bool = False,
        end: bool = False,
    ) -> Self:
        """Build the vocabulary of texts: the most frequent token first, ties by code point.

        >>> Vocabulary.build(["banana", "bandana"]).tokens
        ('a', 'n', 'b', 'd')
        >>> len(Vocabulary.build(["banana", "bandana"], max_tokens=3))
        3

        Args:
            token_lists: the tokens of each text.
            max_tokens: largest number of entries, the special ones among them: the size of an embedding.
            min_count: keep the tokens that come at least so often.
            unknown: as for the class; so are padding, begin and end.

        Raises:
            UsageError: a limit below 1, or `max_tokens` that leave no room for tokens beside the special entries.
        """
        counts = Counter(chain.from_iterable(token_lists))
        marks = {"unknown": unknown, "padding": padding, "begin": begin, "end": end}
        return cls.from_counts(counts, max_tokens=max_tokens, min_count=min_count, **marks)

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, int], *, max_tokens: int | None = None, min_count: int = 1, **marks: Any
    ) -> Self:
        """Build the vocabulary of tokens that were already counted. See `build`.

        >>> Vocabulary.from_counts({"b": 2, "a": 2, "c": 1}, min_count=2).tokens
        ('a', 'b')
        """
        for name, limit in (("max_tokens", max_tokens), ("min_count", min_count)):
            if limit is not None and limit < 1:
                raise UsageError(f"{name}: expected 1 or more, got {limit}.", fix=f"Give {name}=1 or more.")
        special = len(cls((), **marks).specials)
        if max_tokens is not None and max_tokens <= special:
            raise UsageError(
                f"max_tokens: expected more than {special}, the number of special entries, got {max_tokens}.",
                fix=f"Give max_tokens={special + 1} or more: the special entries count.",
            )
        often = sorted((token for token in counts if counts[token] >= min_count), key=lambda t: (-counts[t], t))
        return cls(often if max_tokens is None else often[: max_tokens - special], **marks)

    @cached_property
    def specials(self) -> dict[str, int]:
        """The number of each special entry by its name: padding, unknown, begin, end."""
        asked = {"padding": self.padding, "unknown": self.unknown == "allow", "begin": self.begin, "end": self.end}
        return {name: number for number, name in enumerate(name for name in asked if asked[name])}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens, start=len(self.specials))}

    def __len__(self) -> int:
        """Entries in all, the special ones included: the size of an embedding."""
        return len(self.specials) + len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._numbers

    def encode(self, tokens: Sequence[str], *, marks: bool = False) -> list[int]:
        """Return the number of each token.

        Args:
            tokens: the tokens; a string counts as its characters.
            marks: put the begin and end marks that this vocabulary has around them.

        Raises:
            DataError: a token never seen, under the policy `refuse`.
        """
        return self.encode_batch([tokens], marks=marks).data.tolist()

    def encode_batch(self, token_lists: Sequence[Sequence[str]], *, marks: bool = False) -> Ragged:
        """Return the numbers of the tokens of many texts, as int64 of shape (total,).

        >>> Vocabulary("abc").encode_batch(["ab", "", "c"])
        Ragged(3 sequences, 3 steps, longest 2, feature (), int64)

        Raises:
            DataError: tokens never seen, under the policy `refuse`; each with its position and text.
        """
        if self.unknown == "refuse":
            self._refuse_unknown(token_lists)
        unknown = repeat(self.specials.get("unknown", -1))
        before, after = self.marks() if marks else ((), ())
        numbers, lengths = array("q"), []
        for tokens in token_lists:
            numbers.extend(before)
            numbers.extend(map(self._numbers.get, tokens, unknown))
            numbers.extend(after)
            lengths.append(len(tokens) + len(before) + len(after))
        return Ragged(torch.from_numpy(np.array(numbers, np.int64)), lengths)

    def marks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the numbers of the marks before a sequence and after it."""
        return (self.specials["begin"],) if self.begin else (), (self.specials["end"],) if self.end else ()

    def _refuse_unknown(self, token_lists: Sequence[Sequence[str]]) -> None:
        mistakes: list[str] = []
        for number, tokens in enumerate(token_lists, start=1):
            unknown = [(index, token) for index, token in enumerate(tokens, start=1) if token not in self._numbers]
            text = _shown(tokens) if unknown else ""
            mistakes += [f"{token!r}, token {index} of {text} (text {number})" for index, token in unknown]
        if mistakes:
            raise DataError(
                f"{len(mistakes)} {'token is' if len(mistakes) == 1 else 'tokens are'} not in the vocabulary.",
                where="\n".join(listed(mistakes)),
                fix='Correct or remove them, or build the vocabulary with unknown="allow".',
            )

    def unknown_tokens(self, tokens: Iterable[str]) -> list[str]:
        """Return the tokens that this vocabulary does not have, each once, in order."""
        return list(dict.fromkeys(token for token in tokens if token not in self._numbers))

    def decode(self, numbers: Iterable[int] | torch.Tensor) -> list[str]:
        """Return the tokens of numbers, without padding, begin and end, unknown ones as `<unknown>`.

        Raises:
            DataError: a number that no entry has.
        """
        asked = numbers.tolist() if isinstance(numbers, torch.Tensor) else [int(number) for number in numbers]
        beyond = [number for number in asked if not 0 <= number < len(self)]
        if beyond:
            raise DataError(
                f"{beyond[0]} is not an entry of this vocabulary.",
                where=f"position {asked.index(beyond[0]) + 1} of {len(asked)}",
                fix=f"Give numbers from 0 to {len(self) - 1}; another vocabulary may have made these.",
            )
        entries = [None if name != "unknown" else "<unknown>" for name in self.specials] + list(self.tokens)
        return [token for number in asked if (token := entries[number]) is not None]

    def to_json(self) -> dict[str, Any]:
        """Return the vocabulary as a dict of plain values for `from_json`."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "unknown": self.unknown,
            "padding": self.padding,
            "begin": self.begin,
            "end": self.end,
            "tokens": list(self.tokens),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Restore the vocabulary that `to_json` wrote.

        Raises:
            ModelError: a value that is damaged, foreign or from a later version, with the reason.
        """
        reason = _foreign(value) or _damaged(value)
        if reason is None:
            assert isinstance(value, Mapping)  # _foreign refuses all else
            settings = {name: value[name] for name in ("unknown", "padding", "begin", "end")}
            try:
                return cls(value["tokens"], **settings)
            except DataError as error:
                reason = error.problem
        raise ModelError(
            "This is not a usable vocabulary.",
            where=reason,
            fix="Take the vocabulary file from the folder the model was saved to, unchanged, "
            "with a version of elman no older than the one that saved it.",
        )


def _shown(tokens: Sequence[str]) -> str:
    text = tokens if isinstance(tokens, str) else ("" if all(len(token) == 1 for token in tokens) else " ").join(tokens)
    return repr(text if len(text) <= 60 else text[:59] + "…")


def _check_tokens(tokens: tuple[str, ...]) -> None:
    mistakes = [
        f"entry {index}: {token!r} is not a string" if not isinstance(token, str) else f"entry {index} is empty"
        for index, token in enumerate(tokens, start=1)
        if not isinstance(token, str) or not token
    ]
    if not mistakes:
        mistakes = [f"{token!r} comes {count} times" for token, count in Counter(tokens).items() if count > 1]
    if mistakes:
        raise DataError(
            f"The tokens of a vocabulary must be strings, each once: {mistakes[0]}.",
            where="\n".join(listed(mistakes)),
            fix="Use Vocabulary.build(...) to count the tokens of texts.",
        )


# What from_json looks for, and the test that each value must pass.
_FIELDS = {
    "unknown": ("'allow' or 'refuse'", lambda value: value in ("allow", "refuse")),
    "padding": ("true or false", lambda value: isinstance(value, bool)),
    "begin": ("true or false", lambda value: isinstance(value, bool)),
    "end": ("true or false", lambda value: isinstance(value, bool)),
    "tokens": ("a list of strings", lambda value: isinstance(value, list)),
}


def _foreign(value: object) -> str | None:
    if not isinstance(value, Mapping):
        return f"it is not an object with fields but {type(value).__name__}"
    if value.get("format") != FORMAT:
        return f"its field `format` is {value.get('format')!r}, where {FORMAT!r} is expected"
    if value.get("version") != VERSION:
        return f"its version is {value.get('version')!r}, and this elman reads version {VERSION}"
    return None


def _damaged(value: Any) -> str | None:
    missing = [name for name in _FIELDS if name not in value]
    if missing:
        return f"its field `{missing[0]}` is missing"
    foreign = sorted(set(value) - set(_FIELDS) - {"format", "version"})
    if foreign:
        return f"its field `{foreign[0]}` is not known"
    wrong = [name for name, (_, passes) in _FIELDS.items() if not passes(value[name])]
    if wrong:
        return f"its field `{wrong[0]}` is {str(value[wrong[0]])[:60]!r}, where {_FIELDS[wrong[0]][0]} is expected"
    return None
