"""The first rows of an embedding, from a file of pretrained vectors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elman.data.hashing import hash_of
from elman.data.text.vectors import read_form, read_vectors
from elman.data.text.vocabulary import Vocabulary
from elman.errors import UsageError
from elman.settings.text import VectorSettings


@dataclass(frozen=True)
class StartRows:
    """Rows that an embedding starts from.

    Attributes:
        ids: that have a row, `(rows,)`.
        rows: `(rows, features)`.
    """

    ids: Tensor
    rows: Tensor

    @property
    def digest(self) -> str:
        """A hash of all rows with their ids."""
        return hash_of({"ids": self.ids, "rows": self.rows})

    @property
    def deviation(self) -> float:
        """Standard deviation of the numbers in the rows; 1 if there are fewer than two of them."""
        return float(self.rows.std()) if self.rows.numel() > 1 else 1.0


def with_vector_size(settings: Any) -> Any:
    """Return settings with the size of an embedding that its file of vectors decides.

    Args:
        settings: of any task; those without `vectors` are returned as they are.

    Raises:
        UsageError: the settings ask for another size.
        DataError: the file is missing, or is not a file of vectors.
    """
    if getattr(settings, "vectors", None) is None:
        return settings
    width = read_form(settings.vectors).width
    usual = type(settings).model_fields["embedding"].default
    if settings.embedding not in (usual, width):
        raise UsageError(
            f"Expected an embedding of {width}, the size of the vectors, got {settings.embedding}.",
            where=str(settings.vectors),
            fix="Leave embedding (--embedding) out, or give other vectors.",
        )
    return settings.model_copy(update={"embedding": width})


def read_start_rows(
    settings: VectorSettings, vocabulary: Vocabulary, is_token: Callable[[str], bool]
) -> tuple[Vocabulary, StartRows, int]:
    """Read the vectors of a vocabulary, which grows by words of the file on request.

    Args:
        settings: name the file.
        vocabulary: of the training texts.
        is_token: whether the encoder can give such a token; other words of the file are not added.

    Returns:
        The vocabulary, the rows, and the number of duplicates in the file.

    Raises:
        DataError: as `read_vectors`.
    """
    assert settings.vectors is not None
    width = read_form(settings.vectors).width
    found = read_vectors(settings.vectors, vocabulary.tokens, more=settings.vector_words, is_token=is_token)
    vocabulary = replace_tokens(vocabulary, (*vocabulary.tokens, *found.added))
    rows = {number: found.find(token) for number, token in enumerate(vocabulary.tokens, len(vocabulary.specials))}
    kept = {number: torch.from_numpy(row) for number, row in rows.items() if row is not None}
    table = torch.stack(list(kept.values())) if kept else torch.zeros(0, width)
    return vocabulary, StartRows(torch.tensor(list(kept), dtype=torch.int64), table), found.duplicates


def replace_tokens(vocabulary: Vocabulary, tokens: tuple[str, ...]) -> Vocabulary:
    """Return a vocabulary with the same special entries and other tokens."""
    marks = {"padding": vocabulary.padding, "begin": vocabulary.begin, "end": vocabulary.end}
    return Vocabulary(tokens, unknown=vocabulary.unknown, **marks)


def coverage(start: StartRows, vocabulary: Vocabulary, ids: Tensor, learned: int, duplicates: int) -> str:
    """Return one line on how much of the training data has vectors.

    Args:
        start: the rows.
        vocabulary: with the words that were added.
        ids: of the training data, `(total,)`.
        learned: words of the training data; those after them were added.
        duplicates: rows of the file that were left out.
    """
    special = len(vocabulary.specials)
    known = int((start.ids < special + learned).sum())
    counts = torch.bincount(ids, minlength=len(vocabulary))
    covered = int(counts[start.ids].sum())
    parts = [
        f"{known:,} of {learned:,} words ({_percent(known, learned)}) and {_percent(covered, len(ids))} of the running "
        "words have a vector",
        f"the embedding has their size, {start.rows.shape[1]}",
    ]
    added = len(vocabulary) - special - learned
    if added:
        parts.append(f"{added:,} words of the file are known besides")
    if duplicates:
        parts.append(f"{duplicates:,} duplicates in the file are left out")
    return "vectors: " + "; ".join(parts)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f}%"
