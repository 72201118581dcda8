"""Which columns of a table are the text and the label."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from elman.data.tables.delimited import Row
from elman.data.tables.header import LABEL_NAMES, OTHER_NAMES, TEXT_NAMES, is_header, named_like, plain_name
from elman.data.tables.table_format import TableFormat
from elman.errors import DataError, UsageError, nearest

Column = str | int
_SHOWN_COLUMNS = 12


@dataclass(frozen=True)
class Columns:
    """The chosen columns, counted from 0, and what was assumed to choose them.

    Attributes:
        text: one or more.
        label: None without labels.
        header: whether the first row has their names.
        notes: one sentence each.
        guessed: whether the label was chosen by its position alone.
    """

    text: tuple[int, ...]
    label: int | None
    header: bool
    notes: tuple[str, ...]
    guessed: bool = False


def parse_text(text: str | int | Sequence[Column] | None) -> list[Column]:
    """Return the columns of the text as a list, such as [2, 3] for `2,3`, or [] for None."""
    if text is None:
        return []
    if isinstance(text, int):
        return [text]
    return [parse_column(part) for part in (text.split(",") if isinstance(text, str) else text)]


def parse_column(column: Column) -> Column:
    """Return a column as its number if it is written in digits, else as its name."""
    if isinstance(column, int):
        return column
    name = column.strip()
    return int(name) if name.isascii() and name.isdigit() else name


def choose_columns(
    rows: Sequence[Row],
    text: list[Column],
    label: Column | None,
    header: bool | str,
    source: str,
    *,
    known: TableFormat | None = None,
    labelled: bool = True,
    target: str = "label",
) -> Columns:
    """Choose the columns to read.

    Args:
        rows: all rows.
        text: names or numbers from 1; none to find the text.
        label: a name or a number from 1; None to find the label, if there is one.
        header: whether the first row holds the names: True, False or "auto".
        source: the name of the file, for messages.
        known: how the file that a model was trained on was read.
        labelled: whether labels are wanted.
        target: what a label is called, in messages and as a flag.

    Raises:
        DataError: a missing column, several possible choices, or a first row that may or may not be a header.
        UsageError: a column by name although `header` is False.
    """
    fields = [row.fields for row in rows]
    return _Chooser(fields, rows[0].line, text, label, header, source, known, labelled, target).choose()


@dataclass(frozen=True)
class _Chooser:
    rows: list[list[str]]
    line: int
    text: list[Column]
    label: Column | None
    header: bool | str
    source: str
    known: TableFormat | None
    labelled: bool
    target: str

    @property
    def first(self) -> list[str]:
        return self.rows[0]

    @property
    def names(self) -> list[str]:
        return [name.strip() for name in self.first]

    def choose(self) -> Columns:
        has_header = self._has_header()
        chosen = self._by_name() if has_header else self._by_number()
        said = "the first line is a header" if has_header else "the first line is read as a row, not as a header"
        if not has_header and len(self.first) == 1:
            said += " (--header if it is one)"
        return replace(chosen, notes=(f"{said}; {self._words(chosen, has_header)}", *chosen.notes))

    def _has_header(self) -> bool:
        self._check_header()
        asked = [*self.text, *([] if self.label is None else [self.label])]
        by_name = next((column for column in asked if isinstance(column, str)), None)
        if self.header is False and by_name is not None:
            raise UsageError(
                f"Column `{by_name}` is given by name, although header=False means that there are no names.",
                fix="Give columns by number, from 1, or leave header (--no-header) out.",
            )
        if self.header != "auto" or by_name is not None:
            return self.header is not False
        if self.known and self.known.text_names and set(self.known.text_names) <= set(self.names):
            return True
        classes = self.known.classes if self.known else frozenset[str]()
        found = is_header(self.first, self.rows[1:], self._label_to_look_at(), classes)
        if self.known and self._fits_known() and (found is None or self.known.header_given) and not self.known.header:
            return False
        # If the training file named its columns, they must not be read by position from a header with other names.
        by_position = self.known is not None and self.known.header and len(self.first) > 1
        if found is None and (self.labelled or by_position):
            raise self._unclear_header()
        return bool(found)

    def _check_header(self) -> None:
        if self.header not in (True, False, "auto"):
            raise UsageError(f'Expected header to be True, False or "auto", got {self.header!r}.', fix="Correct it.")

    def _label_to_look_at(self) -> int | None:
        """Return the probable column of the labels, before it is known whether columns have names."""
        if isinstance(self.label, int):
            return self.label - 1 if 1 <= self.label <= len(self.first) else None
        if self._fits_known() and isinstance(self.known.label, int):  # pyright: ignore[reportOptionalMemberAccess]
            return self.known.label - 1  # pyright: ignore[reportOptionalMemberAccess]
        named, others = named_like(self.first, LABEL_NAMES), self._filled()
        if len(named) == 1:
            return named[0]
        if self.text and all(isinstance(column, int) for column in self.text):
            others = [index for index in others if index + 1 not in self.text]
            return others[0] if len(others) == 1 else None
        return others[1] if len(others) == 2 else None

    def _fits_known(self) -> bool:
        return self.known is not None and self.known.width == len(self.first)

    def _by_name(self) -> Columns:
        text = tuple(self._index(column) for column in self.text)
        label = None if self.label is None else self._index(self.label)
        if not text and self.known and self.known.text_names and set(self.known.text_names) <= set(self.names):
            text = tuple(self._index(name) for name in self.known.text_names)
        if label is None and self.labelled:
            label = self._named_label(text)
        if not text:
            text = (self._named_text(label),)
        if label is None and self.labelled:
            label = self._remaining_label(text)
        return Columns(text, label, True, ())

    def _named_label(self, text: tuple[int, ...]) -> int | None:
        if self.known and self.known.label_name in self.names:
            return self._index(self.known.label_name or "")
        if "label" in self.names:
            return self._index("label")
        found = [index for index in named_like(self.first, LABEL_NAMES) if index not in text]
        return found[0] if len(found) == 1 else None

    def _remaining_label(self, text: tuple[int, ...]) -> int | None:
        others = [index for index in self._filled() if index not in text]
        if len(others) != 1 or len(self._filled()) != 2:
            return None
        # Beside a text with a usual name, an `id` or a `date` is not a label.
        is_other = not self.text and bool(named_like([self.first[others[0]]], OTHER_NAMES))
        return None if is_other and named_like([self.first[text[0]]], TEXT_NAMES) else others[0]

    def _named_text(self, label: int | None) -> int:
        if "text" in self.names:
            return self._index("text")
        others = [index for index in self._filled() if index != label]
        found = [index for index in named_like(self.first, TEXT_NAMES) if index in others]
        if len(found) == 1:
            return found[0]
        if len(others) == 1 or (len(others) == 2 and label is None and not found):
            return others[0]
        raise self._cannot_choose()

    def _by_number(self) -> Columns:
        text = tuple(self._index(column) for column in self.text)
        label = None if self.label is None else self._index(self.label)
        if not text and self._fits_known() and self.known and all(isinstance(n, int) for n in self.known.text):
            text = tuple(int(number) - 1 for number in self.known.text)
            label = int(self.known.label) - 1 if label is None and isinstance(self.known.label, int) else label
        others = [index for index in self._filled() if index not in text and index != label]
        guessed = label is None and self.labelled and len(others) == (1 if text else 2)
        if guessed:
            label = others.pop()
        if not text:
            if len(others) != 1 and not (len(others) == 2 and not self.labelled):
                raise self._cannot_choose()
            text = (others[0],)
        return Columns(text, label if self.labelled else None, False, (), guessed)

    def _filled(self) -> list[int]:
        """Return the columns, except unnamed ones that are empty or an index."""
        body = self.rows[1:]
        return [
            index
            for index, name in enumerate(self.first)
            if plain_name(name)
            or not body
            or not (
                all(not row[index].strip() for row in body)
                or [row[index].strip() for row in body[:100]] == [str(number) for number in range(min(len(body), 100))]
            )
        ] or list(range(len(self.first)))

    def _words(self, chosen: Columns, header: bool) -> str:
        text = " and ".join(self._column_words(index, header) for index in chosen.text)
        if not self.labelled:
            return f"{text} is the text"
        if chosen.label is None:
            return f"{text} is the text, without {self.target}s"
        return f"{text} is the text, {self._column_words(chosen.label, header)} the {self.target}"

    def _column_words(self, index: int, header: bool) -> str:
        return f"column `{self.names[index]}`" if header and self.names[index] else f"column {index + 1}"

    def _index(self, column: Column) -> int:
        if isinstance(column, int):
            if 1 <= column <= len(self.first):
                return column - 1
            raise DataError(
                f"{self.source} has no column {column}.",
                where=self._listing(),
                fix=f"Give a number from 1 to {len(self.first)}.",
            )
        count = self.names.count(column)
        if count == 1:
            return self.names.index(column)
        if count:
            raise DataError(
                f"{self.source} has {count} columns named `{column}`.",
                where=self._listing(),
                fix="Rename them, or give the column by number with header=True (--header).",
            )
        raise DataError(f"{self.source} has no column named `{column}`.", where=self._listing(), fix=self._near(column))

    def _near(self, column: str) -> str:
        close = difflib.get_close_matches(column, self.names, n=1)
        shown = dict.fromkeys([*close, *self.names[:_SHOWN_COLUMNS]])
        return f"{nearest(column, shown)} A file without a header has its columns by number, from 1."

    def _unclear_header(self) -> DataError:
        return DataError(
            f"The first row of {self.source} may be a header or not.",
            where=self._listing(),
            fix=f"Give --header if it names the columns, --no-header if it is a text with its {self.target}.",
        )

    def _cannot_choose(self) -> DataError:
        wanted = f"which are the text and the {self.target}" if self.labelled else "which is the text"
        how = f"--text 2 --{self.target} 1; several texts as --text 2,3" if self.labelled else "--column 2"
        return DataError(
            f"{self.source} has {len(self.first)} columns, and it is not clear {wanted}.",
            where=self._listing(),
            fix=f"Give them by name or number, such as {how}.",
        )

    def _listing(self) -> str:
        shown = [f"{number} {name[:30]!r}" for number, name in enumerate(self.names[:_SHOWN_COLUMNS], start=1)]
        more = len(self.names) - len(shown)
        return f"line {self.line}: {', '.join(shown)}{f', … and {more:,} more' if more else ''}"
