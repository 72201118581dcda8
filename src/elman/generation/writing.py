"""Tokens joined to text as they come, and prompts taken apart."""

import codecs
import re
import reprlib
from collections.abc import Callable, Sequence

from elman.data.listing import listed
from elman.data.text.coders import LINE_END, Coder
from elman.data.text.corpus import encode_utf8
from elman.errors import DataError
from elman.settings.generation import LONGEST_STOP

# Tokens that a state remembers: enough for any stop text, which may take a token for each of its bytes.
MEMORY = 4 * LONGEST_STOP
SHOWN_TOKENS = 200

# How sentencepiece writes a blank, a byte, and what it has no piece for.
_BLANK, _BYTE, _NO_PIECE = "▁", re.compile("<0x([0-9A-F]{2})>"), "<unk>"


class Writer:
    """Writes one text: each token as what it adds to the text.

    What it gives, put together, is what the coder's `decode` gives for all tokens; a character whose bytes are not all
    there yet is held back until they are. Bytes that are not UTF-8 become `\N{REPLACEMENT CHARACTER}`.

    Args:
        coder: texts to tokens and back.

    >>> from elman.data.text.coders import CoderSettings, WordCoder
    >>> from elman.data.text.vocabulary import Vocabulary
    >>> writer = Writer(WordCoder(CoderSettings(tokens="words"), Vocabulary(["so", "it", "goes"], unknown="refuse")))
    >>> [writer.write(token) for token in (0, 1, 2)]
    ['so', ' it', ' goes']
    """

    def __init__(self, coder: Coder):
        kind, vocabulary = coder.settings.tokens, coder.vocabulary
        unknown = "<unknown>" if kind == "words" else "\N{REPLACEMENT CHARACTER}"
        self._tokens = [*[unknown] * len(vocabulary.specials), *vocabulary.tokens]
        self._bytes = [_as_bytes(kind, token) for token in self._tokens] if kind in ("bytes", "subwords") else []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._blank = ""
        self.write: Callable[[int], str] = {
            "characters": self._tokens.__getitem__,
            "bytes": self._write_bytes,
            "subwords": self._write_bytes,
            "words": self._write_word,
        }[kind]

    def go_on(self, recent: Sequence[int]) -> str:
        """Continue after these last tokens of the text, the latest last, -1 where there were none.

        Returns:
            What they are as a text.
        """
        self._decoder.reset()
        self._blank = ""
        return "".join([self.write(token) for token in recent if token >= 0])

    def _write_bytes(self, token: int) -> str:
        return self._decoder.decode(self._bytes[token])

    def _write_word(self, token: int) -> str:
        word = self._tokens[token]
        blank, self._blank = self._blank, _blank_after(word)
        return word if word == LINE_END else blank + word


def never_drawn(coder: Coder) -> int:
    """Count the first tokens that are not text: the unknown one, if there is one."""
    vocabulary = coder.vocabulary
    return len(vocabulary.specials) + (vocabulary.tokens[:1] == (_NO_PIECE,) and coder.settings.tokens == "subwords")


def _as_bytes(kind: str, token: str) -> bytes:
    if kind == "bytes":
        return bytes.fromhex(token)
    byte = _BYTE.fullmatch(token)
    return bytes.fromhex(byte[1]) if byte else token.replace(_BLANK, " ").encode()


def _blank_after(word: str) -> str:
    return "" if word == LINE_END else " "


def read_prompt(prompt: str, coder: Coder, *, unknown: str = "refuse") -> list[int]:
    """Return the numbers of a prompt's tokens.

    Args:
        prompt: a text, maybe empty.
        coder: texts to tokens and back.
        unknown: `refuse`, or `allow` to read a token that the model does not know as the unknown one.

    Raises:
        DataError: tokens that the model does not know, which are named; half of a surrogate pair; no string.
    """
    if not isinstance(prompt, str):
        raise DataError(f"The prompt is a {type(prompt).__name__}.", fix="Give a text, perhaps an empty one.")
    # Bytes from a shell that are not UTF-8 become such halves; no text that a model learned has any.
    encode_utf8(prompt, "the prompt")
    vocabulary, kind = coder.vocabulary, coder.settings.tokens
    tokens = coder.tokens(prompt)
    strange = vocabulary.unknown_tokens(tokens)
    has_entry = "unknown" in vocabulary.specials
    if strange and not (unknown == "allow" and has_entry):
        positions = [f"{reprlib.repr(token)}, token {tokens.index(token) + 1} of {len(tokens)}" for token in strange]
        instead = (
            'or say unknown="allow" (--unknown allow) to read them as unknown'
            if has_entry
            else f"which this model has no entry for; it knows these: {_shown(vocabulary.tokens)}"
        )
        raise DataError(
            f"The prompt has {kind} that the model has not learned: {', '.join(map(reprlib.repr, strange[:10]))}"
            f"{' …' if len(strange) > 10 else ''}.",
            where="\n".join(listed(positions)),
            fix=f"Leave them out of the prompt (--prompt), {instead}.",
        )
    return coder.encode(prompt).tolist()


def _shown(tokens: Sequence[str]) -> str:
    return " ".join([*map(repr, tokens[:SHOWN_TOKENS]), *(["…"] if len(tokens) > SHOWN_TOKENS else [])])
