"""Values of a task that are one long text, read window by window with carried state."""

import reprlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from elman.data.text.unknown import UnknownTally
from elman.errors import DataError, UsageError
from elman.tasks.task import ENCODING, Batch, Column, Data, Known, Source, Unknown, Values

if TYPE_CHECKING:
    import numpy as np

    from elman.data.text.coders import Coder
    from elman.data.text.corpus import Corpus
    from elman.data.text.streams import TokenStreams
    from elman.data.text.token_text import TokenText
    from elman.settings.text import CoderSettings

LONGEST_NAME = 256


class Stream(Source):
    """One text of any length: a file, a string, or an iterable of parts; memory does not grow with it."""

    noun = "text"
    help = "The text to learn: one file or several, UTF-8, also as .gz, .xz or .bz2."
    has_rows = False
    several = True
    placeholder = "TEXT.txt"
    options = (ENCODING,)

    def read(
        self,
        path: str | Sequence[str],
        columns: Sequence[Column],
        options: Mapping[str, Any],
        *,
        known: Known | None = None,
    ) -> Values:
        """Open a file, or several, which are read one after the other."""
        from elman.data.tables.table_format import TableFormat
        from elman.data.text.corpus import open_corpus

        paths = [Path(path)] if isinstance(path, str) else list(map(Path, path))
        encoding = options.get("encoding")
        form = known.form if known else None
        corpus = open_corpus(paths, encoding=encoding, fallback=form.encoding if form else None)
        form = TableFormat(encoding=encoding) if encoding else form
        return Values({columns[0].name: corpus}, source=corpus.name, form=form)

    def take(self, values: Sequence[Any], columns: Sequence[Column], *, role: str = "") -> Values:
        """Return the text of a string, a path or an iterable of parts.

        Raises:
            UsageError: the text is the name of a file.
        """
        name = f"the {role}text"
        return Values({columns[0].name: _open(values[0], name)}, source=name)

    def split(self, values: Values, columns: Sequence[Column], fraction: float, seed: int) -> tuple[Values, Values]:
        """Return the beginning of the text, and the fraction at its end."""
        (name, corpus), *_ = values.columns.items()
        learned, held = corpus.split(1 - fraction, fraction)
        held = replace(held, name=f"{corpus.name} (its held-out end)")
        return replace(values, columns={name: learned}), replace(
            values, columns={name: held}, source=f"{values.source}: its end"
        )

    def data(self, encoded: Mapping[str, Any], settings: Any) -> Data:
        """Return the windows of parallel streams."""
        from elman.data.text.streams import TokenStreams

        (name, tokens), *_ = encoded.items()
        return Windows(name, TokenStreams(tokens, streams=settings.streams, window=settings.window))

    def evaluated(self, encoded: Mapping[str, Any], settings: Any, options: Any = None) -> Data:
        """Return the windows of an evaluation."""
        from elman.data.text.streams import TokenStreams, streams_to_judge

        (name, tokens), *_ = encoded.items()
        if options is None or (options.streams is None and options.dynamic is None):
            return Windows(name, streams_to_judge(tokens, streams=settings.streams, window=settings.window))
        parts = options.streams or 1
        longest = max(1, (len(tokens) - 1) // parts)
        window = min(options.window or settings.window, longest)
        return Windows(name, TokenStreams(tokens, streams=parts, window=window))

    def facts(self, values: Values) -> str:
        """Return the noun alone: the size is not known before the text was read."""
        return self.noun


class Windows:
    """The windows of a text as a data set, in the order of the text; targets are in the column `next`.

    Args:
        name: of the column of the tokens.
        streams: the text as it is cut.
    """

    def __init__(self, name: str, streams: "TokenStreams"):
        self._name = name
        self.streams = streams

    @property
    def counts(self) -> Any:
        """Of the whole text."""
        return self.streams.text.counts

    @property
    def fingerprint(self) -> str:
        """Of the text, its vocabulary and how it is cut."""
        return self.streams.fingerprint

    def plan(self, epoch: int) -> Sequence[int]:
        """Return the numbers of the windows."""
        return self.streams.plan(epoch)

    def read(self, item: "int | WindowPart") -> Batch:
        """Return the window of this number, or a part of its streams."""
        found = self.streams.read(item) if isinstance(item, int) else self.streams.read(item.number, item.streams)
        return Batch({self._name: found.inputs, "next": found.targets}, found.sequences, found.tokens)

    def part(self, item: int, rank: int, size: int) -> "WindowPart":
        """Return the window of the streams that one of several processes reads."""
        count = self.streams.streams
        return WindowPart(item, range(rank * count // size, (rank + 1) * count // size))

    def __len__(self) -> int:
        return len(self.streams)


class WindowPart(NamedTuple):
    """A window of some of the streams.

    Attributes:
        number: of the window, from 0.
        streams: numbers of the streams that follow one another.
    """

    number: int
    streams: range


class Tokens:
    """A long text, as `CoderSettings` say; encoded it is a `TokenText`.

    Attributes:
        coder: from text to token ids and back.
        frequencies: how often each id occurs in the training text; None for a loaded model.
    """

    def __init__(self, settings: "CoderSettings"):
        self._settings = settings
        self.coder: Coder | None = None
        self.frequencies: np.ndarray | None = None

    @property
    def vocabulary(self) -> Any:
        """The tokens."""
        return None if self.coder is None else self.coder.vocabulary

    def learn(self, values: "Corpus", folder: Path | None = None) -> "TokenText":
        """Learn the tokens, and encode the text.

        Raises:
            DataError: a text that has one kind of token only, or none.
        """
        from elman.data.text.token_text import learn_tokens
        from elman.settings.text import CoderSettings

        settings = CoderSettings(**self._settings.model_dump(include=set(CoderSettings.model_fields)))
        self.coder, tokens = learn_tokens(values, settings, folder)
        self.frequencies = tokens.frequencies(len(self.coder.vocabulary))
        _check_kinds(self.frequencies, self.coder, tokens.name)
        return tokens

    def encode(
        self,
        values: "Corpus",
        *,
        unknown: Unknown | None = None,
        folder: Path | None = None,
        tally: UnknownTally | None = None,
    ) -> "TokenText":
        """Encode another text.

        Raises:
            DataError: it has unknown tokens, and these are refused.
        """
        from elman.data.text.token_text import encode_tokens

        assert self.coder is not None
        tokens = encode_tokens(values, self.coder, folder, unknown=unknown or self._settings.unknown)
        if tally is not None:
            tally.add(tokens=tokens.counts.tokens - 1, unknown=tokens.counts.unknown)
        return tokens

    def to_json(self) -> dict[str, Any]:
        """Return the coder."""
        assert self.coder is not None
        return self.coder.to_json()

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        from elman.data.text.coders import coder_from_json

        self.coder = coder_from_json(document)


def _open(text: Any, name: str) -> "Corpus":
    from elman.data.text.corpus import Corpus, open_corpus

    if isinstance(text, str) and _is_file(text):
        raise UsageError(
            f"{name[0].upper()}{name[1:]} is {text!r}, which is the name of a file.",
            fix=f"To read what the file holds, give Path({text!r}).",
        )
    return text if isinstance(text, Corpus) else open_corpus(text, name=name)


def _is_file(name: str) -> bool:
    # A text with a NUL is refused by Python, and one of too many bytes for a name by the operating system.
    with suppress(OSError, ValueError):
        return len(name) < LONGEST_NAME and Path(name).is_file()
    return False


def _check_kinds(counts: "np.ndarray", coder: "Coder", name: str) -> None:
    """Refuse a text in which only one kind of token occurs."""
    kinds = counts.nonzero()[0]
    if len(kinds) < 2:
        unknown = coder.vocabulary.specials.get("unknown") in kinds
        kind = "unknown ones" if unknown else reprlib.repr(coder.vocabulary.decode(kinds)[0])
        raise DataError(
            f"Expected a text with at least two kinds of tokens, got only {kind}: there is nothing to predict.",
            where=name,
            fix="Give a text of these tokens, or another alphabet (--alphabet).",
        )
