"""Values of a task that are sentences of words, each word with a label."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from elman.data.listing import listed
from elman.data.text.unknown import UnknownTally
from elman.errors import DataError
from elman.tasks.kinds import vocabulary_sizes
from elman.tasks.rows import RowSource
from elman.tasks.task import ENCODING, Asked, Column, Known, Option, Unknown, Values, inputs, targets

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from elman.data.text.spelling import SpelledWords
    from elman.data.text.vocabulary import Vocabulary
    from elman.tasks.tag import TagSettings


class Sentences(RowSource):
    """Sentences from files of two columns, CoNLL-U or JSONL, or lists of words in Python."""

    noun = "sentences"
    help = "Two columns (word, tab, tag; a blank line after each sentence), CoNLL-U or JSONL."
    options = (
        Option("column", str, "COL", "Column of the tags: name or number. [CoNLL-U: upos, else the last]"),
        ENCODING,
    )

    def read(
        self,
        path: str | Sequence[str],
        columns: Sequence[Column],
        options: Mapping[str, Any],
        *,
        known: Known | None = None,
    ) -> Values:
        """Read a file with `elman.data.tables.tagged.read_sentences`.

        Raises:
            DataError: the file cannot be read so, or has no tags.
        """
        from elman.data.tables.tagged import read_sentences

        found = read_sentences(str(path), **_how(options, known))
        if found.tags is None:
            raise DataError(f"{found.source} has sentences but no tags.", fix="Give a file with a tag for each word.")
        values: dict[str, Any] = {inputs(columns)[0].name: found.words, targets(columns)[0].name: found.tags}
        return Values(values, [f"{found.source}, line {line}" for line in found.lines], found.source, form=found.form)

    def asked(self, path: str, options: Mapping[str, Any], known: Known | None = None) -> Asked:
        """Read sentences to predict, with or without tags, from standard input one a line.

        A file is read in blocks, so that it may be larger than the memory.

        Raises:
            DataError: it cannot be read so.
        """
        from elman.data.tables.tagged import sentence_reader
        from elman.tasks.asked import lines_of_input, read_rows

        if path == "-" and not any(value is not None for value in options.values()):
            return Asked((), ((name, self.typed(line)) for name, line in lines_of_input()))
        how = _how(options, known)
        read, cut = sentence_reader(**how)
        return read_rows(path, read, cut, encoding=how["encoding"], known=how["known"])

    def filled(
        self, path: str, answers: Sequence[Any], options: Mapping[str, Any], known: Known | None = None
    ) -> bytes:
        """Return the bytes of a file of columns with the answers in its column of tags."""
        from elman.data.tables.tagged import fill_tags

        return fill_tags(path, [list(map(str, answer)) for answer in answers], **_how(options, known))

    def typed(self, text: str) -> list[str]:
        """Return the words of a text, which blanks separate."""
        return text.split()

    def take(self, values: Sequence[Any], columns: Sequence[Column], *, role: str = "") -> Values:
        """Return a list of lists for each column.

        Raises:
            DataError: a sentence that is not a list of words, or has more or fewer tags than words.
        """
        found = super().take(values, columns, role=role)
        for name, rows in found.columns.items():
            wrong = next((number for number, row in enumerate(rows, 1) if isinstance(row, str)), None)
            if wrong is not None:
                raise DataError(
                    f"Expected a list of {name} for each sentence, got a string.",
                    where=f"text {wrong}: {rows[wrong - 1]!r}",
                    fix="Split it, for instance with text.split().",
                )
        first, *others = found.columns.values()
        for other in others:
            wrong = next(
                (n for n, pair in enumerate(zip(first, other, strict=True), 1) if len(pair[0]) != len(pair[1])), 0
            )
            if wrong:
                raise DataError(
                    f"Expected a tag for each of {len(first[wrong - 1])} words, got {len(other[wrong - 1])} tags.",
                    where=f"text {wrong}",
                    fix="Give as many tags as words.",
                )
        return found


def _how(options: Mapping[str, Any], known: Known | None) -> dict[str, Any]:
    form = None if known is None else known.form
    return {"column": options.get("column"), "encoding": options.get("encoding"), "known": form}


class Words:
    """Lists of words; encoded they are `SpelledWords`.

    Attributes:
        vocabulary: the words that are known.
        characters: the characters that are known; None if the network does not read them.
        features: the features of spellings that are known; None if the network does not read them.
        neighbours: the features of neighbouring words that a linear model knows; None without one.
        rare: ids of the words that training has once; empty for a loaded model.
        unseen: ids of the words that training does not have, of a vocabulary that was given.
        notes: on what was learned, a line each.
    """

    def __init__(self, settings: "TagSettings"):
        self._settings = settings
        self.vocabulary: Vocabulary | None = None
        self.characters: Vocabulary | None = None
        self.features: Vocabulary | None = None
        self.neighbours: Tensor | None = None
        self.rare: list[int] = []
        self.unseen: list[int] = []
        self.notes: list[str] = []

    def learn(self, values: Sequence[Sequence[str]], folder: "Path | None" = None) -> "SpelledWords":
        """Learn the words and their spellings, and encode the sentences.

        A vocabulary that was given before is kept.
        """
        # Imported late: torch is needed only for training.
        from elman.data.text.spelling import learn_characters, learn_features
        from elman.data.text.vocabulary import Vocabulary

        counts = Counter(chain.from_iterable(map(self._cased, values)))
        if self.vocabulary is None:
            limits = {"min_count": self._settings.min_count, "max_tokens": self._settings.max_tokens}
            self.vocabulary = Vocabulary.from_counts(counts, **limits)
        if not self.vocabulary.tokens:
            raise DataError("The sentences have no word to learn from.", fix="Give sentences, or lower min_count.")
        self.rare = self.vocabulary.encode([word for word in self.vocabulary.tokens if counts[word] == 1])
        self.unseen = self.vocabulary.encode([word for word in self.vocabulary.tokens if not counts[word]])
        spellings = Counter(chain.from_iterable(values))
        if self._settings.characters:
            self.characters = learn_characters(spellings)
        if self._settings.affixes or self._settings.wide:
            self.features = learn_features(spellings)
        encoded = self.encode(values)
        # The outputs that ridge regression finds are not scores that the linear model could be added to.
        if self._settings.wide and not self._settings.closed_form:
            self.learn_neighbours(encoded)
        return encoded

    def learn_neighbours(self, words: "SpelledWords") -> None:
        """Learn the features of neighbouring words from encoded sentences.

        They replace those that are known.
        """
        # This imports torch.
        from elman.data.text.neighbours import learn_neighbours

        self.neighbours = learn_neighbours(words)

    def encode(
        self,
        values: Sequence[Sequence[str]],
        *,
        unknown: Unknown | None = None,
        folder: "Path | None" = None,
        tally: UnknownTally | None = None,
    ) -> "SpelledWords":
        """Encode sentences.

        Raises:
            DataError: a word that training never saw, where these are refused.
        """
        from elman.data.text.spelling import spell

        assert self.vocabulary is not None
        known, rows = self.vocabulary, list(map(self._cased, values))
        if (unknown or self._settings.unknown) == "refuse":
            found = [
                f"text {n}: {', '.join(new)}" for n, row in enumerate(rows, 1) if (new := known.unknown_tokens(row))
            ]
            if found:
                raise DataError(
                    f"{len(found)} of {len(rows)} sentences have words that training never saw.",
                    where="\n".join(listed(found)),
                    fix='Correct them, or say unknown="allow" (--unknown allow).',
                )
        ids = known.encode_batch(rows)
        if tally is not None:
            tally.add(tokens=len(ids.data), unknown=int((ids.data == known.specials["unknown"]).sum()))
        return spell(values, ids, self.characters, self.features)

    def _cased(self, words: Sequence[str]) -> list[str]:
        return [word.lower() for word in words] if self._settings.lower_case else list(words)

    def sizes(self) -> dict[str, Any]:
        """Return what `TagNetwork` must know to read the batches."""
        spelled = {"characters": self.characters, "features": self.features}
        sizes = {name: 1 if known is None else len(known) for name, known in spelled.items()}
        return {**vocabulary_sizes(self.vocabulary), **sizes, "rare": self.rare}

    def to_json(self) -> dict[str, Any]:
        """Return the words, characters and features that are known."""
        found = {name: None if known is None else known.to_json() for name, known in self._known().items()}
        hashes = None if self.neighbours is None else self.neighbours.tolist()
        return {**found, "neighbours": hashes, "unseen": self.unseen}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        # Imported late: torch is needed only for training.
        import torch

        from elman.data.text.vocabulary import Vocabulary

        for name in self._known():
            setattr(self, name, None if document[name] is None else Vocabulary.from_json(document[name]))
        self.unseen = document["unseen"]
        hashes = document["neighbours"]
        self.neighbours = None if hashes is None else torch.tensor(hashes, dtype=torch.int64)

    def _known(self) -> dict[str, "Vocabulary | None"]:
        return {"vocabulary": self.vocabulary, "characters": self.characters, "features": self.features}
