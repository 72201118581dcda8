"""From a long text to token ids and back, piece by piece: what a language model reads and writes."""

import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, Protocol

import numpy as np

from elman.data.text.corpus import Corpus, Locate, encode_utf8, numbered
from elman.data.text.graphemes import are_code_points, characters, cut_between_characters, first_character
from elman.data.text.tokens import Tokenizer
from elman.data.text.vocabulary import Vocabulary
from elman.errors import DataError
from elman.settings.text import CoderSettings as CoderSettings

CodePoints = 0x110000
LINE_END = "\n"
# Characters after which a text is cut wherever it is, so that memory does not grow with it.
LONGEST_PIECE = 2**20
SHOWN_UNKNOWN = 5


class Coder(Protocol):
    """Texts to token ids and back.

    Attributes:
        settings: how the text becomes tokens.
        vocabulary: the tokens; an id is a position in it.
    """

    settings: CoderSettings
    vocabulary: Vocabulary

    def encode(self, text: str, locate: Locate = numbered) -> np.ndarray:
        """Return the ids of a text, `(tokens,)`, in the smallest unsigned type that holds them.

        Args:
            text: the text.
            locate: gives the position of a character for messages.

        Raises:
            DataError: a token that is not known, where these are refused; half of a surrogate pair, which has no bytes.
        """
        ...

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text that may be unknown, in order."""
        ...

    def cut(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield the text in pieces that can be encoded separately. See `cut_after`."""
        ...

    def end_of_first(self, text: bytes) -> int:
        """Return the end of the first token of a text in UTF-8, in bytes from the text's start."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to text."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the coder as plain values for `coder_from_json`."""
        ...


class ByteCoder:
    """The bytes of UTF-8; an id is a byte.

    >>> ByteCoder(CoderSettings(tokens="bytes")).encode("né").tolist()
    [110, 195, 169]
    """

    def __init__(self, settings: CoderSettings):
        self.settings = settings
        self.vocabulary = Vocabulary([f"{byte:02x}" for byte in range(256)], unknown="refuse")

    def encode(self, text: str, locate: Locate = numbered) -> np.ndarray:
        """Encode the text as bytes."""
        return np.frombuffer(encode_utf8(text, locate=locate), dtype=np.uint8)

    def tokens(self, text: str) -> list[str]:
        """None: bytes spell every text."""
        return []

    def cut(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield the pieces unchanged."""
        return iter(pieces)

    def end_of_first(self, text: bytes) -> int:
        """After one byte."""
        return 1

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to text. Bytes that are not UTF-8 become the replacement character."""
        return bytes(ids).decode(errors="replace")

    def to_json(self) -> dict[str, Any]:
        """Return the settings. All bytes are known."""
        return {"settings": self.settings.model_dump(mode="json")}


class CharacterCoder:
    """Characters as `elman.data.text.graphemes` finds them; ids by a table of code points, of others by a dict."""

    def __init__(self, settings: CoderSettings, vocabulary: Vocabulary):
        self.settings = settings
        self.vocabulary = vocabulary
        self._missing = vocabulary.specials.get("unknown", len(vocabulary))
        self._known = {token: number for number, token in enumerate(vocabulary.tokens, len(vocabulary.specials))}
        self._table = np.full(CodePoints, self._missing, np.min_scalar_type(len(vocabulary)))
        single = {ord(token): number for token, number in self._known.items() if len(token) == 1}
        self._table[list(single)] = list(single.values())
        self._ids = smallest_type(len(vocabulary))

    def encode(self, text: str, locate: Locate = numbered) -> np.ndarray:
        """Encode each character as an id."""
        text = text.lower() if self.settings.lower_case else text
        if are_code_points(text):
            ids = self._table[code_points(text)]
        else:
            found = [self._known.get(character, self._missing) for character in characters(text)]
            ids = np.array(found, dtype=self._table.dtype)
        if self.vocabulary.unknown == "refuse" and len(ids) and int(ids.max()) == len(self.vocabulary):
            raise refused(self, text, locate)
        return ids.astype(self._ids, copy=False)

    def tokens(self, text: str) -> list[str]:
        """Return the characters of the text."""
        return characters(text.lower() if self.settings.lower_case else text)

    def cut(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield pieces that end with a whole character, or a whole word for lower case."""
        return cut_after(str.isspace, pieces) if self.settings.lower_case else cut_between_characters(pieces)

    def end_of_first(self, text: bytes) -> int:
        """After one character."""
        return len(first_character(text.decode()).encode())

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to characters, with the replacement character for the unknown one."""
        return "".join(_shown(token) for token in self.vocabulary.decode(ids))

    def to_json(self) -> dict[str, Any]:
        """Return the settings and the alphabet."""
        return {"settings": self.settings.model_dump(mode="json"), "vocabulary": self.vocabulary.to_json()}


class WordCoder:
    """Words and punctuation marks, and the ends of lines."""

    def __init__(self, settings: CoderSettings, vocabulary: Vocabulary):
        self.settings = settings
        self.vocabulary = vocabulary
        self._ids = smallest_type(len(vocabulary))

    def encode(self, text: str, locate: Locate = numbered) -> np.ndarray:
        """Encode each word and line end as an id."""
        words = self.tokens(text)
        if self.vocabulary.unknown == "refuse" and self.vocabulary.unknown_tokens(words):
            raise refused(self, text, locate)
        return np.array(self.vocabulary.encode(words), dtype=self._ids)

    def tokens(self, text: str) -> list[str]:
        """Return the words and line ends of the text."""
        return words_of(text, self.settings)

    def cut(self, pieces: Iterable[str]) -> Iterator[str]:
        """Pieces that end with a blank."""
        return cut_after(str.isspace, pieces)

    def end_of_first(self, text: bytes) -> int:
        """After the blanks at the start and a word, or a line end."""
        decoded = text.decode()
        first, start = next(_with_places(split_words(decoded, self.settings), decoded))
        return len(decoded[: start + len(first)].encode())

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to words with blanks between them, and none at the ends of lines."""
        text = " ".join(self.vocabulary.decode(ids))
        return text.replace(f" {LINE_END}", LINE_END).replace(f"{LINE_END} ", LINE_END)

    def to_json(self) -> dict[str, Any]:
        """Return the settings and the words."""
        return {"settings": self.settings.model_dump(mode="json"), "vocabulary": self.vocabulary.to_json()}


def learn_coder(corpus: Corpus, settings: CoderSettings) -> Coder:
    """Learn the coder of a training text in one pass.

    Raises:
        DataError: a text that is empty, or that has only one kind of token; or as `Corpus.pieces`.
    """
    match settings.tokens:
        case "bytes":
            _check_bytes(corpus)
            return ByteCoder(settings)
        case "subwords":
            # sentencepiece is an extra.
            from elman.data.text.subwords import learn_subwords

            return learn_subwords(corpus, settings)
        case "characters":
            if settings.alphabet:
                vocabulary = Vocabulary(dict.fromkeys(characters(settings.alphabet)), unknown=settings.unknown)
            else:
                vocabulary = _counted(_count_characters(corpus, settings), settings)
            return CharacterCoder(settings, _checked(vocabulary, corpus, settings))
        case "words":
            pieces = cut_after(str.isspace, corpus.pieces())
            counts = Counter(word for piece in pieces for word in words_of(piece, settings))
            return WordCoder(settings, _checked(_counted(counts, settings), corpus, settings))


def coder_from_json(value: Mapping[str, Any]) -> Coder:
    """Restore the coder that `to_json` wrote."""
    settings = CoderSettings(**value["settings"])
    match settings.tokens:
        case "bytes":
            return ByteCoder(settings)
        case "subwords":
            from elman.data.text.subwords import SubwordCoder

            return SubwordCoder.from_json(settings, value)
        case "characters":
            return CharacterCoder(settings, Vocabulary.from_json(value["vocabulary"]))
        case "words":
            return WordCoder(settings, Vocabulary.from_json(value["vocabulary"]))


def smallest_type(size: int) -> np.dtype:
    """Return the smallest unsigned type for ids from 0 to below `size`.

    >>> smallest_type(256), smallest_type(257)
    (dtype('uint8'), dtype('uint16'))
    """
    return np.min_scalar_type(max(size - 1, 0))


def code_points(text: str) -> np.ndarray:
    """Return the code point of each character, `(characters,)`."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def cut_after(ends: Callable[[str], bool], pieces: Iterable[str]) -> Iterator[str]:
    """Yield the text in pieces that end with a character of this kind, except for the last.

    Where none comes for `LONGEST_PIECE` characters, the text is cut before the last blank among them, which changes
    no token; or, if there is none, where they end: a token across that position becomes two, and lower case
    does not see what is beyond it.

    >>> list(cut_after(str.isspace, ["one t", "wo thr", "ee"]))
    ['one ', 'two ', 'three']
    """
    left = ""
    for piece in pieces:
        looked_at = len(left)
        left += piece
        end = next((place for place in range(len(left), looked_at, -1) if ends(left[place - 1])), 0)
        if not end and len(left) >= LONGEST_PIECE:
            end = max(left.rfind(" ", 1), 0) or len(left)
        if end:
            # What is left is cut off first, so that the whole is not kept while the piece is used.
            done, left = left[:end], left[end:]
            yield done
    if left:
        yield left


def words_of(text: str, settings: CoderSettings) -> list[str]:
    """Return the words of a text, lower-cased on request, with line ends as tokens."""
    return split_words(text.lower() if settings.lower_case else text, settings)


def split_words(text: str, settings: CoderSettings) -> list[str]:
    """Split a text into words and line ends, unchanged."""
    split = str.split if settings.split == "blanks" else Tokenizer("words").split
    first, *others = text.split(LINE_END)
    words = split(first)
    for line in others:
        words.append(LINE_END)
        words += split(line)
    return words


def _count_characters(corpus: Corpus, settings: CoderSettings) -> dict[str, int]:
    counts, joined = np.zeros(CodePoints, dtype=np.int64), Counter[str]()
    cut = partial(cut_after, str.isspace) if settings.lower_case else cut_between_characters
    for piece in cut(corpus.pieces()):
        text = piece.lower() if settings.lower_case else piece
        if are_code_points(text):
            counts += np.bincount(code_points(text), minlength=CodePoints)
        else:
            joined.update(characters(text))
    joined.update({chr(point): int(counts[point]) for point in counts.nonzero()[0].tolist()})
    return joined


def _counted(counts: Mapping[str, int], settings: CoderSettings) -> Vocabulary:
    return Vocabulary.from_counts(
        counts, max_tokens=settings.max_tokens, min_count=settings.min_count, unknown=settings.unknown
    )


def _checked(vocabulary: Vocabulary, corpus: Corpus, settings: CoderSettings) -> Vocabulary:
    if not vocabulary.tokens:
        raise DataError(
            f"{corpus.subject} has no {settings.tokens} to learn from.",
            fix="Give a text that is not empty, and hold out only a part of it"
            + (", or lower min_count (--min-count)." if settings.min_count > 1 else "."),
        )
    if len(vocabulary.tokens) == 1:
        raise DataError(
            f"The vocabulary has one entry only, {reprlib.repr(vocabulary.tokens[0])}: there is nothing to predict.",
            where=corpus.name,
            fix="Give a text with two kinds of tokens or more, or keep more of them.",
        )
    return vocabulary


def _check_bytes(corpus: Corpus) -> None:
    """Reads no further than to the second kind of byte."""
    kinds: set[int] = set()
    for piece in corpus.byte_pieces():
        kinds.update(piece)
        if len(kinds) > 1:
            return
    if not kinds:
        raise DataError(f"{corpus.subject} has no bytes to learn from.", fix="Give a text that is not empty.")
    raise DataError(
        f"There is one kind of byte only, 0x{kinds.pop():02x}: there is nothing to predict.",
        where=corpus.name,
        fix="Give a text with two kinds or more.",
    )


def refused(coder: Coder, text: str, locate: Locate) -> DataError:
    """Return the error that names the first unknown tokens of a text and their positions."""
    starts: dict[str, int] = {}
    cased = text.lower() if coder.settings.lower_case else text
    for token, start in _with_places(coder.tokens(text), cased):
        if token not in coder.vocabulary:
            starts.setdefault(token, start)
    names = {token: f"{token!r} (U+{ord(token):04X})" if len(token) == 1 else reprlib.repr(token) for token in starts}
    return DataError(
        f"There are {coder.settings.tokens} that are not in the vocabulary.",
        where="\n".join(f"{locate(start)}: {names[token]}" for token, start in islice(starts.items(), SHOWN_UNKNOWN)),
        fix='Correct or remove them, or say unknown="allow" (--unknown allow) to read them as unknown.',
    )


def _with_places(tokens: Iterable[str], text: str) -> Iterator[tuple[str, int]]:
    """Yield each token with its position in the text. Only blanks are between tokens."""
    end = 0
    for token in tokens:
        start = text.index(token, end)
        yield token, start
        end = start + len(token)


def _shown(token: str) -> str:
    return "\N{REPLACEMENT CHARACTER}" if token == "<unknown>" else token
