"""Subwords learned from a text by sentencepiece, which is an optional dependency."""

import base64
import importlib.util
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from elman.data.text.coders import LINE_END, CoderSettings, cut_after, smallest_type
from elman.data.text.corpus import Corpus, Locate, encode_utf8, numbered
from elman.data.text.vocabulary import Vocabulary
from elman.errors import DataError, MissingPackageError

DEFAULT_PIECES = 8_000
# sentencepiece holds what it learns from in memory, several times over.
CHARACTERS_TO_LEARN_FROM = 50_000_000
LONGEST_LINE = 4_000


class SubwordCoder:
    """Pieces of words, by a unigram model; a character that no piece has is spelled in bytes, so that none is unknown.

    Decoding gives the text back, blanks and line ends included; a line end is a token of its own.

    Args:
        settings: how the text becomes tokens.
        model: what sentencepiece learned, as it saves it.

    Raises:
        MissingPackageError: sentencepiece is not installed.

    Source:
        T. Kudo, Subword Regularization, 2018 (the unigram model); T. Kudo, J. Richardson, SentencePiece, 2018.
    """

    def __init__(self, settings: CoderSettings, model: bytes):
        self.settings = settings
        self._model = model
        self._processor: Any = _sentencepiece().SentencePieceProcessor(model_proto=model)
        pieces = [self._processor.id_to_piece(number) for number in range(len(self._processor))]
        self.vocabulary = Vocabulary(pieces, unknown="refuse")
        self._line_end = self._processor.piece_to_id(LINE_END)
        self._ids = smallest_type(len(pieces))

    def encode(self, text: str, locate: Locate = numbered) -> np.ndarray:
        """Encode each piece and line end as an id."""
        # sentencepiece's own error says neither what is wrong nor where.
        encode_utf8(text, locate=locate)
        first, *others = (text.lower() if self.settings.lower_case else text).split(LINE_END)
        ids = list(self._processor.encode(first))
        for line in others:
            ids.append(self._line_end)
            ids += self._processor.encode(line)
        return np.array(ids, dtype=self._ids)

    def tokens(self, text: str) -> list[str]:
        """None: a character without a piece of its own is spelled by its bytes."""
        return []

    def cut(self, pieces: Iterable[str]) -> Iterator[str]:
        """Whole lines."""
        return cut_after(LINE_END.__eq__, pieces)

    def end_of_first(self, text: bytes) -> int:
        """After one piece, which may be one byte of a character."""
        characters = text.decode()
        first = int(self.encode(characters)[0])
        if self._processor.is_byte(first):
            return 1
        return len(characters[: len(self._processor.id_to_piece(first))].encode())

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to the text of their pieces."""
        lines: list[list[int]] = [[]]
        for number in map(int, ids):
            if number == self._line_end:
                lines.append([])
            else:
                lines[-1].append(number)
        return LINE_END.join(self._processor.decode(line) for line in lines)

    def to_json(self) -> dict[str, Any]:
        """Return the settings and the sentencepiece model."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "sentencepiece": base64.b64encode(self._model).decode(),
        }

    @classmethod
    def from_json(cls, settings: CoderSettings, value: Mapping[str, Any]) -> "SubwordCoder":
        """Restore the coder that `to_json` wrote."""
        return cls(settings, base64.b64decode(value["sentencepiece"]))


def learn_subwords(corpus: Corpus, settings: CoderSettings) -> SubwordCoder:
    """Learn the pieces of a training text, from parts spread over it if it is long.

    Raises:
        MissingPackageError: sentencepiece is not installed.
        DataError: a text that is empty, or has too little in it for so many pieces.
    """
    library = _sentencepiece()
    characters = sum(map(len, corpus.pieces()))
    if not characters:
        raise DataError(
            f"{corpus.subject} has no subwords to learn from.",
            fix="Give a text that is not empty.",
        )
    model = io.BytesIO()
    try:
        library.SentencePieceTrainer.train(
            sentence_iterator=_lines(corpus, settings, share=min(1.0, CHARACTERS_TO_LEARN_FROM / characters)),
            model_writer=model,
            vocab_size=settings.max_tokens or DEFAULT_PIECES,
            hard_vocab_limit=False,
            model_type="unigram",
            character_coverage=1.0,
            byte_fallback=True,
            user_defined_symbols=[LINE_END],
            bos_id=-1,
            eos_id=-1,
            # What comes in must come out again: no blank is dropped or added, no character replaced.
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            max_sentence_length=4 * LONGEST_LINE,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        # It knows the limits: as many as the text's characters and 256 bytes, and no more than the text has pieces.
        match re.search(r"required_chars\D*\d+ vs (\d+)|<= (\d+)", reason):
            case None:
                fix = "Give a longer text, or another max_tokens (--max-tokens)."
            case found:
                limit = f"{found[1]} or more" if found[1] else f"{found[2]} or less"
                fix, reason = f"Give a max_tokens (--max-tokens) of {limit}.", None
        raise DataError(
            f"sentencepiece cannot learn {settings.max_tokens or DEFAULT_PIECES:,} subwords from {corpus.name}.",
            where=reason,
            fix=fix,
        ) from None
    return SubwordCoder(settings, model.getvalue())


def _lines(corpus: Corpus, settings: CoderSettings, share: float) -> Iterator[str]:
    """Yield lines up to this share of the characters, taken piece by piece."""
    read, taken = 0, 0
    for piece in cut_after(LINE_END.__eq__, corpus.pieces()):
        read += len(piece)
        if taken + len(piece) > share * read:
            continue
        taken += len(piece)
        for line in (piece.lower() if settings.lower_case else piece).split(LINE_END):
            # A longer one would be left out by sentencepiece.
            for start in range(0, len(line), LONGEST_LINE):
                yield line[start : start + LONGEST_LINE]


def _sentencepiece() -> Any:
    if importlib.util.find_spec("sentencepiece") is None:
        raise MissingPackageError(
            "Subwords need the package sentencepiece, which is not installed.",
            fix='Install the extra: pip install "elman[subwords]"; or take tokens="words".',
        )
    import sentencepiece

    return sentencepiece
