"""Values of a task that are pairs of texts with answers: rows of a table, or lists in Python."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from elman.errors import DataError, UsageError
from elman.tasks.rows import Rows, form_of, given_options, select
from elman.tasks.task import Asked, Column, Known, Option, Values

if TYPE_CHECKING:
    from elman.data.files import Source as File
    from elman.data.tables.table_format import TableFormat
    from elman.data.tables.tables import Table

TEXTS = ("first", "second")
OPTIONS = ("header", "separator", "quote", "encoding")
# Names of the columns of well-known sets of pairs, in lower case.
USUAL = {
    "first": ("first", "sentence_a", "sentence1", "text1", "text_a", "question1", "premise", "anchor", "query", "left"),
    "second": (
        *("second", "sentence_b", "sentence2", "text2", "text_b", "question2", "hypothesis", "positive", "right"),
        *("answer", "document"),
    ),
    "target": (
        *("target", "label", "score", "similarity", "relatedness_score", "is_duplicate", "gold_label", "negative"),
        *("entailment_judgment", "class", "same", "relatedness"),
    ),
}


class Pairs(Rows):
    """Rows of two texts and an answer: a number, a label, one of each, or a third text."""

    noun = "pairs"
    help = "Pairs of texts with their answers: CSV, TSV, TXT or JSONL."
    numeric_files = "Pairs of series: JSONL with lists of numbers."
    placeholder = "PAIRS"
    options = (
        # Series with a step a row are not pairs.
        *(option for option in Rows.options if option.name in OPTIONS),
        Option("negative", str, "COL", "Column of the third texts of triplets. The objective is then triplet."),
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
            DataError: the file cannot be read so, has no such columns, or an empty target.
        """
        # Imported late: numpy is not needed before a file is read.
        from elman.data.tables.tables import open_table, read_table

        options, decided = _with_negative(options)
        how: dict[str, Any] = {**given_options(options, OPTIONS), "known": form_of(known)}
        opened = open_table(path, **given_options(how, ("separator", "encoding", "known")))  # pyright: ignore[reportArgumentType]
        asked = _columns_asked(opened, columns, options, known)
        how |= _more_exact(opened, asked, how)
        tables = {name: read_table(opened, text=asked[name][0], labelled=False, **how) for name in TEXTS}
        table = tables["first"]
        pairs: dict[str, Any] = {name: each.texts for name, each in tables.items()}
        if "target" in asked:
            found = [_targets(opened, table, asked["first"][0], column, how) for column in asked["target"]]
            pairs["target"] = found[0] if len(found) == 1 else list(zip(*found, strict=True))
        said = (f"{name} is {' and '.join(map(_column_words, which))}" for name, which in asked.items())
        trained = _trained(form_of(known)) if known else {}
        notes = [] if all(trained.get(name) == which for name, which in asked.items()) else ["; ".join(said)]
        notes += [
            f"{name}: {note}" for name, each in tables.items() for note in each.notes if note.split()[-1].isdigit()
        ]
        decided |= {"tokens": "values"} if table.is_numeric else {}
        return Values(pairs, table.positions, table.source, notes, decided, _with_columns(table.format, asked))

    def asked(self, path: str, options: Mapping[str, Any], known: Known | None = None) -> Asked:
        """Read pairs without answers, as the training file was read.

        A file is read in blocks, so that it may be larger than the memory.

        Raises:
            DataError: it cannot be read so.
        """
        # Imported late: numpy is not needed before a file is read.
        from elman.data.tables.tables import Table
        from elman.tasks.asked import read_rows

        _refuse_negative(options)
        # The targets are not needed.
        columns = [Column(name, lambda _: None) for name in TEXTS]  # pyright: ignore[reportArgumentType]

        def read(opened: Any, form: "TableFormat | None") -> Table:
            how, like = (options, known) if form is None else (_options_of(form), Known(form))
            found = self.read(opened, columns, how, known=like)
            pairs = list(zip(found.columns["first"], found.columns["second"], strict=True))
            assert found.form is not None
            return Table(pairs, None, [0] * len(pairs), found.source, list(found.notes), found.form, list(found.names))

        form = form_of(known)
        return read_rows(path, read, encoding=options.get("encoding"), known=form)

    def asked_texts(self, path: str, options: Mapping[str, Any]) -> Asked:
        """Read single texts, one a row or a line, to find those that are near another one."""
        from elman.tasks.asked import read_texts

        _refuse_negative(options)
        return read_texts(path, None, **given_options(options, OPTIONS), **given_options({"text": options["column"]}))

    def known(self, values: Values, columns: Sequence[Column]) -> Known:
        """Return how the file was read."""
        return Known(values.form)

    def split(self, values: Values, columns: Sequence[Column], fraction: float, seed: int) -> tuple[Values, Values]:
        """Return the pairs to learn from and those held out, with equal first texts on one side."""
        # Imported late: this imports the kinds of targets.
        from elman.data.tables.split import split_rows
        from elman.tasks.pair_targets import are_numbers, columns_of

        first = values.columns["first"]
        labels: list[Any] = [None] * len(first)
        for column in columns_of(values.columns["target"]):
            # Equal numbers of each label are held out; a third text is not a label.
            if not are_numbers(column) and len(set(column)) * 2 < len(column):
                labels = column
        kept, held = (select(values, rows) for rows in split_rows(first, labels, fraction, seed))
        return replace(kept, notes=[]), replace(held, notes=[])


def _with_negative(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options with the third texts as the target, and the settings that follow.

    Raises:
        UsageError: there is another target, or several columns.
    """
    negative = options.get("negative")
    if negative is None:
        return dict(options), {}
    if options.get("target") is not None:
        raise UsageError(
            "--negative and --target exclude each other: the third texts of triplets are their target.",
            fix="Leave --target out for triplets, or --negative for pairs with answers.",
        )
    if "," in negative:
        raise UsageError(f"Expected one column of third texts, got --negative {negative}.", fix="Give one column.")
    return {**options, "target": negative}, {"objective": "triplet"}


def _options_of(form: "TableFormat") -> dict[str, Any]:
    """Return the options with which other lines of a file are read in the same way."""
    if form.kind == "jsonl":
        return {}
    return {"header": form.header, "separator": form.separator, "quote": form.quote}


def _refuse_negative(options: Mapping[str, Any]) -> None:
    if options.get("negative") is not None:
        raise UsageError("--negative: predictions are made for two texts.", fix="Leave it out.")


def _columns_asked(
    opened: Any, columns: Sequence[Column], options: Mapping[str, Any], known: Known | None
) -> dict[str, list[str | int]]:
    """Return the columns of the file for each column of the task."""
    from elman.data.tables.columns import parse_text

    trained = _trained(known.form if known else None)
    names = field_names(opened, options)
    found: dict[str, list[str | int]] = {}
    missing: list[str] = []
    for column in columns:
        given = options.get(column.name)
        usual = [name for name in names if name.strip().lower() in USUAL[column.name]]
        # Numbers of columns fit any file; names must be there.
        before = [each for each in trained.get(column.name, []) if not isinstance(each, str) or each in names]
        if given is not None:
            found[column.name] = parse_text(given)
        elif before:
            found[column.name] = before
        elif len(usual) == 1 or (usual and column.name == "target"):
            found[column.name] = [usual[0]]
        elif len(names) in (2, 3) and not any(options.get(each.name) for each in columns):
            number = [each.name for each in columns].index(column.name) + 1
            found[column.name] = [number]
        else:
            missing.append(column.name)
    if missing:
        flags = ", ".join(f"--{name} COL" for name in missing)
        one = len(names) == 1
        raise DataError(
            f"{getattr(opened, 'name', opened)} has {len(names)} column{'s' * (not one)}, and it is not clear which "
            f"is the {' or the '.join(missing)}.",
            where=f"line 1: {', '.join(map(repr, names[:12]))}",
            fix="Give two texts and their answer in each row, between tabs or commas (--separator CHAR)."
            if one
            else f"Give {flags}, by name or by number from 1.",
        )
    return found


def _more_exact(opened: Any, asked: Mapping[str, Sequence[str | int]], how: Mapping[str, Any]) -> dict[str, Any]:
    """Return the separator and the header of a file, where the user did not give them."""
    from elman.data.tables.tables import SEPARATORS

    if _is_json(opened):
        return {}
    found: dict[str, Any] = {}
    fields = field_names(opened, how)
    if how.get("separator") is None and opened.ending not in SEPARATORS and "\t" not in opened.lines[0]:
        found["separator"] = ","
    columns = [each for which in asked.values() for each in which]
    if "header" not in how and any(isinstance(each, str) for each in columns):
        found["header"] = True
    elif "header" not in how:
        usual = {name for names in USUAL.values() for name in names}
        found["header"] = sum(field.strip().lower() in usual for field in fields) > 1
    return found


def _targets(opened: Any, table: "Table", text: str | int, column: str | int, how: Mapping[str, Any]) -> Sequence[Any]:
    """Return a column of targets, none of them empty."""
    from elman.data.tables.tables import read_table

    if _is_json(opened):
        value = json.loads(opened.lines[0]).get(column)
        if not isinstance(value, str):
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            return read_table(opened, text=text, label=column, **how, numeric=numeric, target="target").labels or []
    texts = read_table(opened, text=column, labelled=False, **how).texts
    _refuse_empty(table, column, texts)
    return texts


def _is_json(opened: Any) -> bool:
    return opened.lines[0].lstrip().startswith("{")


def _trained(form: "TableFormat | None") -> dict[str, list[str | int]]:
    """Return the columns of the training file, by the names of the task's."""
    if form is None or not form.text:
        return {}
    names: Sequence[str | int] = form.text_names or form.text
    found: dict[str, list[str | int]] = {name: [column] for name, column in zip(TEXTS, names, strict=False)}
    if form.label is not None:
        # Several targets are written with commas.
        target = form.label_name if form.label_name is not None else form.label
        found["target"] = [int(each) if each.isdigit() else each for each in str(target).split(",")]
    return found


def _with_columns(form: "TableFormat", asked: Mapping[str, Sequence[str | int]]) -> "TableFormat":
    """Return the format of a file with the columns of both texts and of the targets."""
    texts = tuple(asked[name][0] for name in ("first", "second") if name in asked)
    target = ",".join(map(str, asked["target"])) if "target" in asked else None
    by_name = all(isinstance(each, str) for each in texts)
    return replace(
        form,
        text=texts,
        text_names=tuple(map(str, texts)) if by_name else (),
        label=target,
        label_name=target if by_name else None,
    )


def field_names(opened: "File | Any", options: Mapping[str, Any]) -> list[str]:
    """Return the fields of the first line, or the names of the first object's fields."""
    from elman.data.tables.delimited import parse_separator
    from elman.data.tables.tables import SEPARATORS

    lines = getattr(opened, "lines", None)
    if not lines:
        raise DataError(f"{opened} is a folder, which has no pairs of texts.", fix="Give a file.")
    first = lines[0].strip("\r\n")
    if first.lstrip().startswith("{"):
        try:
            return list(json.loads(first))
        except (ValueError, TypeError):
            return []
    separator = options.get("separator")
    guessed = SEPARATORS.get(opened.ending, "\t" if "\t" in first else ",")
    return next(csv.reader([first], delimiter=guessed if separator is None else parse_separator(separator)), [])


def _refuse_empty(table: Any, column: str | int, texts: Sequence[Any]) -> None:
    """Refuse targets that are empty."""
    wrong = [row for row, text in enumerate(texts) if isinstance(text, str) and not text.strip()]
    if wrong:
        count = "a pair has" if len(wrong) == 1 else f"{len(wrong):,} pairs have"
        raise DataError(
            f"{count.capitalize()} no target.",
            where=f"{table.positions[wrong[0]]}, {_column_words(column)}",
            fix="Give each pair a target, or remove the row.",
        )


def _column_words(column: str | int) -> str:
    return f"column `{column}`" if isinstance(column, str) else f"column {column}"
