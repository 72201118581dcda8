"""Values of a task that are rows of a table: CSV, TSV, JSONL, or lists in Python."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from elman.errors import DataError, ElmanError
from elman.tasks.kinds import NUMERIC_FILES
from elman.tasks.task import ENCODING, Asked, Column, Data, Known, Option, Source, Values, inputs, targets

if TYPE_CHECKING:
    from elman.data.tables.table_format import TableFormat
    from elman.data.tables.tables import Table

# Fewer rows than these have scores that a single row moves by a tenth or more.
FEW_ROWS = 10
_OPTIONS = ("header", "separator", "quote", "encoding", "series", "time", "channels")


class RowSource(Source):
    """Rows, each with a value of each column: a list for each column in Python."""

    def take(self, values: Sequence[Any], columns: Sequence[Column], *, role: str = "") -> Values:
        """Return a list for each column.

        Raises:
            DataError: what is not a list, such as a string; lists of unequal lengths, or empty ones; labels that are
                not strings, integers or truth values of one type.
        """
        lists = {column.name: _taken(each, column) for column, each in zip(columns, values, strict=False)}
        first = next(iter(lists.values()))
        for column in columns[1:]:
            if column.name in lists and len(lists[column.name]) != len(first):
                raise DataError(
                    f"There are {len(first)} sequences and {len(lists[column.name])} {column.name}s.",
                    fix=f"Give one {column.name} for each sequence.",
                )
        if not first and targets(columns):
            raise DataError("Expected at least one sequence, got none.", fix="Give sequences.")
        return Values(lists, role=role)

    def split(self, values: Values, columns: Sequence[Column], fraction: float, seed: int) -> tuple[Values, Values]:
        """Return the rows to learn from and those held out, as `split_rows` divides them.

        Where equal texts are in both, the notes of the second say so.
        """
        from elman.data.tables.split import split_rows

        name = inputs(columns)[0].name
        first = values.columns[name]
        labels = next((values.columns[each.name] for each in columns if each.stratified), [None] * len(first))
        kept, held = (select(values, rows) for rows in split_rows(first, labels, fraction, seed))
        both = _texts(kept.columns[name]) & _texts(held.columns[name])
        texts = "1 text is" if len(both) == 1 else f"{len(both):,} texts are"
        notes = [f"{texts} in the training and the validation rows: too many rows are equal"] if both else []
        notes += [*few_rows(len(held.columns[name])), *one_label(held, columns)]
        return replace(kept, notes=[]), replace(held, notes=notes)

    def whole(self, kept: Values, held: Values) -> Values:
        """Return all rows, in the order in which they were given."""
        both = joined(kept, held)
        return select(both, sorted(range(len(both.rows)), key=both.rows.__getitem__))

    def data(self, encoded: Mapping[str, Any], settings: Any) -> Data:
        """Return shuffled batches."""
        from elman.tasks.examples import Examples

        return Examples(encoded, settings)

    def evaluated(self, encoded: Mapping[str, Any], settings: Any, options: Any = None) -> Data:
        """Return the rows in batches, each once."""
        from elman.tasks.examples import Examples

        return Examples(encoded, settings, shuffle=False)

    def facts(self, values: Values) -> str:
        """Return the number of rows."""
        return f"{len(next(iter(values.columns.values()))):,} {self.noun}"


class Rows(RowSource):
    """Rows of a table.

    The first input is a column of texts (or, in JSONL, of lists of numbers); the target, if there is one, of labels.
    """

    noun = "texts"
    help = "Labelled texts: CSV, TSV, TXT, JSONL, or a folder with a file or a folder a label."
    numeric_files = NUMERIC_FILES
    columns_are_flags = True
    options = (
        Option("header", bool, "", "The first row names the columns, or not. [by what is in it]"),
        Option(
            "separator",
            str,
            "CHAR",
            r"What is between two fields: a character, tab, or \n if each line is a text. [by the ending of the file]",
        ),
        Option(
            "quote",
            str,
            "CHAR",
            'What is around fields with separators in them; none if quotes are part of the texts. ["]',
        ),
        ENCODING,
        Option("series", str, "COL", "Column that names the series of a table with a step a row."),
        Option("time", str, "COL", "Column by which the steps of each series are ordered. [the order of the rows]"),
        Option("channels", str, "COL,…", "Columns of the values of each step. [all other columns of numbers]"),
    )

    def read(
        self,
        path: str | Sequence[str],
        columns: Sequence[Column],
        options: Mapping[str, Any],
        *,
        known: Known | None = None,
    ) -> Values:
        """Read a table with `elman.data.tables.tables.read_table`.

        Raises:
            DataError: the file cannot be read so, or has no labels, or labels that are not known.
        """
        # Imported late: numpy and torch are not needed before a file is read.
        from elman.data.tables.tables import open_table, read_table

        first, *others = inputs(columns)
        target = next(iter(targets(columns)), None)
        numeric = target is not None and target.numeric
        how: dict[str, Any] = {**given_options(options, _OPTIONS), "known": form_of(known), "numeric": numeric}
        how |= {} if target is None else {"target": target.name}
        names = given_options({"text": options.get(first.name), "label": options.get(target.name) if target else None})
        # Standard input can be read only once.
        opened = open_table(str(path), **given_options(how, ("separator", "encoding", "known")))
        table = read_table(opened, **how, **names)
        found: dict[str, Any] = {first.name: table.texts}
        for other in others:
            found[other.name] = read_table(opened, text=options.get(other.name) or other.name, **how).texts
        if target is not None:
            found[target.name] = _labels(table, target)
        settings = {"tokens": "values"} if table.is_numeric else {}
        values = Values(found, table.positions, table.source, table.notes, settings, table.format)
        labelled = values if known is None else _with_known_labels(values, known)
        notes = [*several_labels(values, columns), *(() if known is None else one_label(values, columns))]
        return replace(labelled, notes=[*values.notes, *notes])

    def asked(self, path: str, options: Mapping[str, Any], known: Known | None = None) -> Asked:
        """Read texts to predict with `elman.tasks.asked.read_texts`.

        Raises:
            DataError: it cannot be read so.
        """
        from elman.tasks.asked import read_texts

        return read_texts(
            path, form_of(known), **given_options({"text": options.get("column")}), **given_options(options, _OPTIONS)
        )

    def facts(self, values: Values) -> str:
        """Return the number of texts, or of series of numbers."""
        first = next(iter(values.columns.values()))
        return super().facts(values) if not len(first) or isinstance(first[0], str) else f"{len(first):,} series"

    def known(self, values: Values, columns: Sequence[Column]) -> Known:
        """Return how the file was read, and the labels that occur in it."""
        labelled = [each.name for each in columns if each.stratified]
        return Known(values.form, {name: sorted(set(values.columns[name]), key=str) for name in labelled})


def joined(first: Values, second: Values) -> Values:
    """Return the rows of both, in this order."""
    columns = {name: [*column, *second.columns[name]] for name, column in first.columns.items()}
    return replace(first, columns=columns, names=[*first.names, *second.names], rows=[*first.rows, *second.rows])


def select(values: Values, rows: Sequence[int]) -> Values:
    """Return these rows, in this order."""
    return replace(
        values,
        columns={name: [column[row] for row in rows] for name, column in values.columns.items()},
        names=[values.names[row] for row in rows] if values.names else (),
        rows=[values.rows[row] if values.rows else row for row in rows],
    )


@contextmanager
def rows_named(values: Values) -> Iterator[None]:
    """Give the rows in errors their names in the file.

    Values that are not of a file are numbered from 1 as they were given, and called validation data if they are.

    Args:
        values: that are read within.
    """
    from elman.data.series.values import SeriesName
    from elman.data.tables.given import NUMBERED

    def name_of(found: Any) -> str:
        number = int(found[2]) - 1
        if values.names:
            name, step = values.names[number], found[4]
            if step and isinstance(name, SeriesName):
                return name.at(int(step) - 1, int(found[6] or 1) - 1)
            column = _label_column(values) if found[1] == "number" else ""
            return f"{name}{column}{found[3] or ''}"
        return f"{values.role}{found[1]} {(values.rows[number] if values.rows else number) + 1}{found[3] or ''}"

    try:
        yield
    except ElmanError as error:
        if not values.role and not NUMBERED.search(error.where or ""):
            raise
        problem = f"{values.role.capitalize()}data: {error.problem}" if values.role else error.problem
        where = NUMBERED.sub(name_of, error.where or "")
        raise type(error)(problem, where=where or None, fix=error.fix) from error


def given_options(options: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the options that were given, of these names."""
    return {name: value for name, value in options.items() if value is not None and (names is None or name in names)}


def form_of(known: Known | None) -> "TableFormat | None":
    """Return how the training file was read, with labels that distinguish rows from a header."""
    from elman.data.tables.labels import written
    from elman.data.tables.table_format import TableFormat

    if known is None:
        return None
    labels = {written(label) for each in known.labels.values() for label in each}
    return replace(known.form or TableFormat(), classes=frozenset(labels))


def _with_known_labels(values: Values, known: Known) -> Values:
    """Return the values with their labels as the model knows them.

    A file has no types, so that 1 and "1" are one label.

    Raises:
        DataError: as for `Labels.check_known`.
    """
    from elman.data.tables.labels import Labels

    columns = dict(values.columns)
    for name in known.labels.keys() & columns.keys():
        labels = Labels(tuple(known.labels[name]))
        columns[name] = found = labels.from_written(columns[name])
        column = _label_column(values)
        rows = [f"{each}{column}" for each in values.names]
        labels.check_known(found, rows, name=name, fix=f"Is --{name} the right column?")
    return replace(values, columns=columns)


def several_labels(values: Values, columns: Sequence[Column]) -> Iterator[str]:
    """Yield a note on equal texts with different labels, with the rows of the first."""
    texts = values.columns[inputs(columns)[0].name]
    for column in (each for each in columns if each.stratified):
        rows: dict[str, dict[Any, int]] = {}
        for row, (text, label) in enumerate(zip(texts, values.columns[column.name], strict=True)):
            if isinstance(text, str):
                rows.setdefault(text, {}).setdefault(label, row)
        found = [labels for labels in rows.values() if len(labels) > 1]
        if found:
            texts_have = "1 text has" if len(found) == 1 else f"{len(found):,} texts have"
            more = "" if len(found) == 1 else ", …"
            shown = ", ".join(f"{_row_name(values, row)} {label!r}" for label, row in found[0].items())
            yield f"{texts_have} several {column.name}s ({shown}{more})"


def one_label(values: Values, columns: Sequence[Column]) -> Iterator[str]:
    """Yield a note on rows for an evaluation that all have one label."""
    for column in (each for each in columns if each.stratified):
        labels = values.columns[column.name]
        if len(labels) > 1 and len(set(labels)) == 1:
            yield (
                f"all {len(labels):,} rows have the {column.name} {labels[0]!r}, so that the scores say nothing about "
                f"other {column.name}s"
            )


def few_rows(count: int) -> Iterator[str]:
    """Yield a note on a validation part that is too small for its scores to be exact."""
    if count < FEW_ROWS:
        yield f"only {count} row{'s are' if count > 1 else ' is'} held out, so that the scores are rough"


def _row_name(values: Values, row: int) -> str:
    """Return the name of a row without that of its file."""
    return values.names[row].removeprefix(f"{values.source}, ") if values.names else f"row {row + 1}"


def _label_column(values: Values) -> str:
    """Return the column of the labels, for the end of the name of a row."""
    form = values.form
    if form is None or form.label is None:
        return ""
    name = form.label_name or (form.label if isinstance(form.label, str) else None)
    return f", column {form.label if name is None else f'`{name}`'}"


def _taken(given: Any, column: Column) -> list[Any]:
    from elman.data.series.given import series_of
    from elman.data.tables.given import values_of
    from elman.data.tables.header import TEXT_NAMES
    from elman.data.tables.labels import labels_of

    if column.role == "input" and (series := series_of(given)) is not None:
        return series
    if column.stratified:
        return list(labels_of(given))
    usual = TEXT_NAMES if column.role == "input" else frozenset()
    return values_of(
        given,
        "sequences" if column.role == "input" else column.name,
        column=column.name,
        usual=usual,
        is_single=column.role == "target",
    )


def _texts(values: Sequence[Any]) -> set[str]:
    return {value for value in values if isinstance(value, str)}


def _labels(table: "Table", target: Column) -> list[Any]:
    if table.labels is None:
        raise DataError(
            f"{table.source} has {'series' if table.is_numeric else 'texts'} but no {target.name}s.",
            fix=f"Name the column of the {target.name}s with --{target.name}, or add one.",
        )
    return table.labels
