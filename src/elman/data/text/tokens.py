"""Text split into tokens, and tokens joined into text."""

import re
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import regex

from elman.data.text.graphemes import characters
from elman.errors import DataError, UsageError, nearest

TokenKind = Literal["characters", "bytes", "words"]
WordEnds = Literal["punctuation", "blanks", "strip"]

_WITHOUT_MARKS = str.maketrans("", "", string.punctuation)

# A word keeps an apostrophe between its letters and a point or comma between its digits. Marks, joiners and format
# characters belong to the character before them, save for the zero width space, which parts words.
_WORD_OR_MARK = regex.compile(
    r"""
    (?<word> \w (?: \w | (?!\u200b)[\p{M}\p{Cf}] )* )
    (?: ['’] (?=[^\W\d]) (?&word) | [.,] (?<=\d.) (?=\d) (?&word) )*
    | (?![\s\x1c-\x1f]) \X (?: (?!\u200b)[\p{M}\p{Cf}] )*
    """,
    regex.VERBOSE,
)
# The same for a text that has nothing to join, in a quarter of the time.
_ASCII_WORD_OR_MARK = re.compile(r"\w+(?:'(?=[^\W\d])\w+|[.,](?<=\d.)(?=\d)\w+)*|[^\w\s]")


@dataclass(frozen=True)
class Tokenizer:
    """Splits a text into tokens, always in the same way.

    - `characters`: what a reader takes for one, see `characters`. Joining gives the text back.
    - `bytes`: the bytes of UTF-8, each as two hexadecimal digits. Joining gives the text back;
      bytes that are not UTF-8 are joined as `\N{REPLACEMENT CHARACTER}`.
    - `words`: runs of Unicode letters, digits and underscores with their marks and joiners, and each
      punctuation mark or emoji as a token of its own, save for apostrophes inside a word and points and
      commas inside a number. Blanks are left out, and joining puts one between all tokens. With
      `split_at="blanks"` words end only at blanks; `split_at="strip"` first removes the punctuation marks of
      ASCII, which with lower case is Keras's `lower_and_strip_punctuation`.

    >>> Tokenizer("words").split("Don't pay 3.50, friend!")
    ["Don't", 'pay', '3.50', ',', 'friend', '!']
    >>> Tokenizer("bytes").split("né")
    ['6e', 'c3', 'a9']
    >>> Tokenizer("words", lower_case=True, split_at="strip").split("Don't pay 3.50, friend!")
    ['dont', 'pay', '350', 'friend']

    Args:
        kind: characters, bytes or words.
        lower_case: turn the text into lower case before it is split.
        split_at: where words end: `punctuation`, `blanks` or `strip`.

    Raises:
        UsageError: no such kind, or no such end of words.
    """

    kind: TokenKind
    lower_case: bool = False
    split_at: WordEnds = "punctuation"

    def __post_init__(self):
        if self.kind not in _SPLITS:
            raise UsageError(f"There is no kind of tokens `{self.kind}`.", fix=nearest(self.kind, _SPLITS))
        if self.split_at not in _WORDS:
            raise UsageError(f"Words cannot be split at `{self.split_at}`.", fix=nearest(self.split_at, _WORDS))

    def split(self, text: str) -> list[str]:
        """Split a text into its tokens, in order.

        Raises:
            DataError: bytes were asked of a text with half a surrogate pair, which has none.
        """
        split = _WORDS[self.split_at] if self.kind == "words" else _SPLITS[self.kind]
        return split(text.lower() if self.lower_case else text)

    def join(self, tokens: Iterable[str]) -> str:
        """Join tokens to a text.

        Raises:
            DataError: a token of the kind bytes that is not two hexadecimal digits.
        """
        return _JOINS[self.kind](tokens)


def _split_bytes(text: str) -> list[str]:
    try:
        return [f"{byte:02x}" for byte in text.encode()]
    except UnicodeEncodeError as error:
        raise DataError(
            "The text cannot be written as bytes: it holds half of a surrogate pair.",
            where=f"character {error.start + 1} of {text[max(0, error.start - 20) : error.start + 20]!r}",
            fix="Repair the text where it was decoded, or use characters.",
        ) from None


def _join_bytes(tokens: Iterable[str]) -> str:
    found = list(tokens)
    bad = next((token for token in found if not re.fullmatch("[0-9a-f]{2}", token)), None)
    if bad is not None:
        raise DataError(
            f"The token {bad!r} is not a byte.",
            where=f"token {found.index(bad) + 1} of {len(found)}",
            fix="A token of the kind bytes is two hexadecimal digits, as 'c3'.",
        )
    return bytes.fromhex("".join(found)).decode(errors="replace")


def _split_words(text: str) -> list[str]:
    if text.isascii():
        return _ASCII_WORD_OR_MARK.findall(text)
    return [match[0] for match in _WORD_OR_MARK.finditer(text)]


def _split_without_marks(text: str) -> list[str]:
    return text.translate(_WITHOUT_MARKS).split()


_WORDS: dict[str, Callable[[str], list[str]]] = {
    "punctuation": _split_words,
    "blanks": str.split,
    "strip": _split_without_marks,
}
_SPLITS: dict[str, Callable[[str], list[str]]] = {
    "characters": characters,
    "bytes": _split_bytes,
    "words": _split_words,
}
_JOINS: dict[str, Callable[[Iterable[str]], str]] = {"characters": "".join, "bytes": _join_bytes, "words": " ".join}
