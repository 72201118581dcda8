"""The columns of a table in which sources and their targets are."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elman.errors import DataError
from elman.tasks.pair_rows import field_names

if TYPE_CHECKING:
    from elman.data.tables.table_format import TableFormat

TEXTS = ("source", "target")
TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json")
# Names of the columns of well-known parallel texts, in lower case. Languages are in the usual direction: from English.
USUAL = {
    "source": ("source", "src", "input", "source_text", "en", "english", "from"),
    "target": ("target", "tgt", "output", "target_text", "translation", "de", "german", "fr", "french", "to"),
}


def columns_of_table(
    opened: Any,
    options: Mapping[str, Any],
    form: "TableFormat | None",
    *,
    wanted: Sequence[str],
    flags: Sequence[str] = TEXTS,
) -> dict[str, str | int]:
    """Return the column of each of the wanted texts.

    A column is the given one, else that of the training file, else the only one of a usual name, else the first or
    second of two columns.

    Args:
        opened: what `open_table` gave.
        options: `source` and `target`, if they were given, and how the file is read.
        form: of the training file.
        wanted: of `source` and `target`.
        flags: flags of the command that name the columns of the source and of the target.

    Raises:
        DataError: it is not clear which column is meant.
    """
    from elman.data.tables.columns import parse_column

    names, trained = field_names(opened, options), find_columns(form)
    is_given = any(options.get(name) is not None for name in TEXTS)
    found: dict[str, str | int] = {}
    for number, name in enumerate(TEXTS, start=1):
        usual = [each for each in names if each.strip().lower() in USUAL[name]]
        before = trained.get(name)
        if options.get(name) is not None:
            found[name] = parse_column(options[name])
        elif before is not None and (before in names or (isinstance(before, int) and before <= len(names))):
            found[name] = before
        elif len(usual) == 1:
            found[name] = usual[0]
        elif not is_given and (len(names) == 2 or (len(names) == 1 and wanted == ("source",))):
            found[name] = names[number - 1] if _is_json(opened) and number <= len(names) else number
    missing = [name for name in wanted if name not in found]
    if missing:
        raise _unclear(opened, names, missing, dict(zip(TEXTS, flags, strict=False)))
    return {name: found[name] for name in wanted}


def find_columns(form: "TableFormat | None") -> dict[str, str | int]:
    """Return the columns of the training file, if it was a table."""
    if form is None or form.label is None or not form.text:
        return {}
    return {"source": form.text[0], "target": form.label}


def more_exact(opened: Any, found: Mapping[str, str | int], how: Mapping[str, Any]) -> dict[str, Any]:
    """Return the separator and the header of a file, where they were not given.

    A file whose ending does not say what separates its fields has tabs, since texts have commas. The first row is a
    header if the columns are named.
    """
    from elman.data.tables.tables import SEPARATORS

    if _is_json(opened):
        return {}
    exact: dict[str, Any] = {}
    if "separator" not in how and opened.ending not in SEPARATORS:
        exact["separator"] = "\t"
    if "header" not in how:
        exact["header"] = any(isinstance(column, str) for column in found.values())
    return exact


def _is_json(opened: Any) -> bool:
    return opened.lines[0].lstrip().startswith("{")


def _unclear(opened: Any, names: Sequence[str], missing: Sequence[str], flags: Mapping[str, str]) -> DataError:
    name = getattr(opened, "name", opened)
    if len(names) == 1:
        return DataError(
            f"{name} has one column, and a pair needs a source and a target.",
            where=f"line 1: {names[0][:60]!r}",
            fix="Give the file of the targets too (SOURCES TARGETS), or a table with both (--separator CHAR).",
        )
    return DataError(
        f"{name} has {len(names)} columns, and it is not clear which is the {' or the '.join(missing)}.",
        where=f"line 1: {', '.join(map(repr, names[:12]))}",
        fix=f"Give {' and '.join(f'--{flags[each]} COL' for each in missing)}: names of the header, or numbers from 1 "
        "(with --header if the first line has names).",
    )
