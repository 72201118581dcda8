"""Sources of the values of a task: files, and values from Python."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from elman.errors import UsageError
from elman.tasks.batches import Data
from elman.tasks.columns import Column

if TYPE_CHECKING:
    from elman.data.tables.table_format import TableFormat


@dataclass(frozen=True)
class Values:
    """Values of columns, from a file or from Python.

    Attributes:
        columns: by name.
        names: name of each row in messages, such as its file and line, or empty.
        source: the name of the file.
        notes: what was assumed to read it, one sentence each.
        settings: of the model, where the values decide them.
        form: how the file was read, to read others in the same way; None if it was not a labelled file.
        rows: index of each row among those that were given, if it has no name; empty for all of them.
        role: what the values are for, such as `validation `, for messages.
    """

    columns: Mapping[str, Any]
    names: Sequence[str] = ()
    source: str = "the data"
    notes: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    form: "TableFormat | None" = None
    rows: Sequence[int] = ()
    role: str = ""


class Known(NamedTuple):
    """What is known of data that others are read like.

    Attributes:
        form: how their file was read; None if it was not a labelled file.
        labels: those of each column that has labels, by its name.
        layout: which columns a table of series has; None for other data.
    """

    form: "TableFormat | None" = None
    labels: Mapping[str, Sequence[Any]] = {}
    layout: Any = None


class Asked(NamedTuple):
    """Rows to predict.

    Attributes:
        notes: what was assumed to read them, a sentence for each file.
        rows: where each row is, and its value.
    """

    notes: Sequence[str]
    rows: Iterator[tuple[str, Any]]


class Option(NamedTuple):
    """A flag that says how a file is read: `bool` has a `--no-` form besides, and a `list` may be repeated."""

    name: str
    kind: type
    metavar: str
    help: str


ENCODING = Option("encoding", str, "NAME", "Of the file, such as utf-16 or cp1252. [utf-8]")


class Source(ABC):
    """The origin of a task's values: rows of a table, or one long text.

    Attributes:
        noun: what it has, in the plural.
        help: what a file of it may be.
        has_rows: whether the values can be read again, row by row, and have answers.
        columns_are_flags: whether a file has columns that must be chosen.
        several: whether several files may be given, which follow one another.
        placeholder: what examples of commands call a file.
        options: flags that say how a file is read.
        numeric_files: what a file of sequences of numbers may be; empty where `help` says so.
    """

    noun: ClassVar[str]
    help: ClassVar[str]
    has_rows: ClassVar[bool] = True
    columns_are_flags: ClassVar[bool] = False
    several: ClassVar[bool] = False
    placeholder: ClassVar[str] = "DATA"
    options: ClassVar[tuple[Option, ...]] = ()
    numeric_files: ClassVar[str] = ""

    @abstractmethod
    def read(
        self,
        path: str | Sequence[str],
        columns: Sequence[Column],
        options: Mapping[str, Any],
        *,
        known: Known | None = None,
    ) -> Values:
        """Read a file.

        Args:
            path: the file, or `-` for standard input; a list of files where `several` says so.
            columns: of the task.
            options: flags of the columns and of `options` that were given, by name.
            known: what is known of the data that a model was trained on, which is how these are read as far as nothing
                else is given.

        Raises:
            DataError, UsageError: it cannot be read so.
        """
        ...

    def typed(self, text: str) -> Any:
        """Return the row that a text on the command line stands for."""
        return text

    def asked(self, path: str, options: Mapping[str, Any], known: Known | None = None) -> Asked:
        """Read rows to predict, of which a text has none.

        Args:
            path: the file, or `-` for standard input.
            options: flags of `options` that were given, by name, and `column`, that of the first input.
            known: as for `read`.
        """
        return Asked((), iter(()))

    def asked_texts(self, path: str, options: Mapping[str, Any]) -> Asked:
        """Read single texts, of which those that are nearest to another one are found.

        Args:
            path: as for `asked`.
            options: as for `asked`.

        Raises:
            UsageError: the rows of this kind have no single texts.
        """
        raise UsageError(f"No nearest texts are found among {self.noun}.", fix="Leave --nearest out.")

    def filled(
        self, path: str, answers: Sequence[Any], options: Mapping[str, Any], known: Known | None = None
    ) -> bytes:
        """Return a file with the answers in the column of its labels, and every other byte as it is.

        Args:
            path: the file, as `asked` read it.
            answers: to its rows, in order.
            options: as for `asked`.
            known: as for `asked`.

        Raises:
            UsageError: files of this kind are not filled.
        """
        raise UsageError(f"Files of {self.noun} cannot be filled with answers.", fix="Leave --fill out.")

    def known(self, values: Values, columns: Sequence[Column]) -> Known:
        """Return what is known of values, to read others like them."""
        return Known(values.form)

    @abstractmethod
    def take(self, values: Sequence[Any], columns: Sequence[Column], *, role: str = "") -> Values:
        """Return the values that Python gave, in the order of the columns, checked.

        Args:
            values: one for each column; targets may be left out.
            columns: of the task.
            role: what the data are for, such as `validation `, for messages.
        """

    @abstractmethod
    def split(self, values: Values, columns: Sequence[Column], fraction: float, seed: int) -> tuple[Values, Values]:
        """Return what to learn from, and the fraction held out."""

    def held_out(self, values: Values, columns: Sequence[Column], settings: Any) -> tuple[Values, Values]:
        """Return what to learn from, and what is held out, as the settings say."""
        return self.split(values, columns, settings.validation_fraction, settings.seed)

    def whole(self, kept: Values, held: Values) -> Values:
        """Return the values of which these parts are what `held_out` gave."""
        raise NotImplementedError

    @abstractmethod
    def data(self, encoded: Mapping[str, Any], settings: Any) -> Data:
        """Return encoded columns as the trainer reads them."""

    @abstractmethod
    def evaluated(self, encoded: Mapping[str, Any], settings: Any, options: Any = None) -> Data:
        """Return encoded columns in the batches of an evaluation."""

    def asking(self, encoded: Mapping[str, Any], settings: Any) -> Data:
        """Return the encoded columns of rows to answer, an item for each, in batches."""
        return self.evaluated(encoded, settings)

    @abstractmethod
    def facts(self, values: Values) -> str:
        """Return the size of the data in words, such as `12 texts`."""
