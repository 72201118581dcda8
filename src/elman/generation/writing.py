"""Tokens joined to text as they come, and prompts taken apart."""

import codecs
from collections.abc import Callable, Sequence

from elman.errors import DataError
from elman.sequences.listing import listed
from elman.sequences.text import Tokenizer
from elman.sequences.vocabulary import Vocabulary

MEMORY = 4  # tokens: the longest character of UTF-8 has as many bytes


class Writer:
    """Writes one text: each token as what it adds to the text.

    What it gives, put together, is what the tokenizer's `join` gives for all tokens; a character whose bytes are not
    all there yet is held back until they are. Bytes that are no UTF-8 become `\N{REPLACEMENT CHARACTER}`.

    Args:
        tokenizer: how texts are split and joined.
        vocabulary: the tokens by their numbers.

    >>> writer = Writer(Tokenizer("words"), Vocabulary(["so", "it", "goes"], unknown="refuse"))
    >>> [writer.write(token) for token in (0, 1, 2)]
    ['so', ' it', ' goes']
    """

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary):
        self._first = len(vocabulary.specials)
        self._kind = tokenizer.kind
        # What a special entry adds: nothing, but for the unknown one.
        blank = "<unknown>" if self._kind == "words" else ""
        self._tokens = [blank if name == "unknown" else "" for name in vocabulary.specials] + list(vocabulary.tokens)
        self._bytes = [] if self._kind != "bytes" else [bytes.fromhex(token) for token in self._tokens]
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._blank = ""
        self.write: Callable[[int], str] = {
            "characters": self._tokens.__getitem__,
            "bytes": self._write_byte,
            "words": self._write_word,
        }[self._kind]

    def go_on(self, recent: Sequence[int]) -> None:
        """Be where these last tokens of the text leave off, the latest last; -1 where there were none."""
        self._blank = " " if self._tokens[recent[-1]] and recent[-1] >= 0 else ""
        if self._kind == "bytes":
            tail = b"".join(self._bytes[token] for token in recent if token >= 0)
            self._decoder.reset()
            self._decoder.decode(_unfinished(tail))

    def _write_byte(self, token: int) -> str:
        return self._decoder.decode(self._bytes[token])

    def _write_word(self, token: int) -> str:
        word = self._blank + self._tokens[token] if self._tokens[token] else ""
        if word:
            self._blank = " "
        return word


def _unfinished(tail: bytes) -> bytes:
    """The begin of a character that the last bytes of a text leave open; empty if they leave none.

    >>> _unfinished(b"n\\xc3"), _unfinished(b"n\\xc3\\xa9"), _unfinished(b"\\xa9\\xf0\\x9f\\x98")
    (b'\\xc3', b'', b'\\xf0\\x9f\\x98')
    """
    for start in range(max(0, len(tail) - MEMORY + 1), len(tail)):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoder.decode(tail[start:])
        if decoder.getstate()[0] == tail[start:]:
            return tail[start:]
    return b""


def read_prompt(prompt: str, tokenizer: Tokenizer, vocabulary: Vocabulary, *, unknown: str = "refuse") -> list[int]:
    """The numbers of a prompt's tokens.

    Args:
        prompt: a text, maybe empty.
        tokenizer: how it is split.
        vocabulary: the tokens that the model knows.
        unknown: `refuse`, or `allow` to read a token that the model does not know as the unknown one.

    Raises:
        DataError: tokens that the model does not know; names them.
    """
    tokens = tokenizer.split(prompt)
    strange = vocabulary.unknown_tokens(tokens)
    has_entry = "unknown" in vocabulary.specials
    if strange and not (unknown == "allow" and has_entry):
        places = [f"{token!r}, token {tokens.index(token) + 1} of {len(tokens)}" for token in strange]
        instead = (
            'or say unknown="allow" (--unknown allow) to read them as unknown'
            if has_entry
            else f"the model knows these: {_shown(vocabulary.tokens)}"
        )
        raise DataError(
            f"The prompt has {tokenizer.kind} that the model has not learned: {', '.join(map(repr, strange[:10]))}"
            f"{' …' if len(strange) > 10 else ''}.",
            where="\n".join(listed(places)),
            fix=f"Leave them out of the prompt (--prompt), {instead}.",
        )
    return vocabulary.encode(tokens)


def _shown(tokens: Sequence[str]) -> str:
    return " ".join(tokens) if len(tokens) <= 200 else " ".join([*tokens[:200], "…"])
