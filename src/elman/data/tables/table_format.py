"""The format of a labelled file: detected once, saved with a model, used again for other files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from elman.errors import ModelError

Kind = Literal["delimited", "jsonl", "fasttext", "folder", "wide", "long", "ts", "arff"]


@dataclass(frozen=True)
class TableFormat:
    r"""How a labelled file was read.

    Attributes:
        kind: rows of fields, JSON objects, fastText's lines, a folder of texts, or series of numbers: a series a row,
            a step a row, .ts or .arff.
        ending: the ending of the file, in lower case.
        separator: between fields; `\n` if each line is one text.
        quote: as it was given: a character, `none`, or None for the usual double quotes.
        encoding: as it was given; None for UTF-8.
        header: whether the first row named the columns.
        header_given: whether the user said so, or the table showed it.
        width: number of columns.
        text: the columns of the text: numbers from 1, or names of fields.
        label: the column of the label; None without one.
        text_names: the names of the text's columns, if there was a header.
        label_name: the name of the label's column, if there was a header.
        series: the column that names the series of a table with a step a row.
        time: the column that orders its steps.
        channels: the columns of its values.
        steps: the columns of the values of a table with a series a row and a header.
        each_step: whether its targets are a number for each step; None for labels, and for models of earlier versions.
        classes: the spelling of the labels of the model, which distinguishes a row from a header; not saved.
    """

    kind: Kind = "delimited"
    ending: str = ""
    separator: str | None = None
    quote: str | None = None
    encoding: str | None = None
    header: bool = False
    header_given: bool = field(default=False, compare=False)
    width: int | None = None
    text: tuple[int | str, ...] = ()
    label: int | str | None = None
    text_names: tuple[str, ...] = ()
    label_name: str | None = None
    series: str | None = None
    time: str | None = None
    channels: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    each_step: bool | None = None
    classes: frozenset[str] = field(default=frozenset(), compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return the format as plain values, for `from_json`."""
        return {name: value for name, value in asdict(self).items() if name != "classes"}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the format that `to_json` wrote.

        >>> TableFormat.from_json(TableFormat(text=(1,), label=2).to_json()).label
        2

        Raises:
            ModelError: a field that this version does not know.
        """
        known = {each.name for each in fields(cls)}
        strange = sorted(set(value) - known)
        if strange:
            raise ModelError(
                f"The model was trained on a file that was read with `{strange[0]}`, which this elman does not know.",
                fix="Use a version of elman no older than the one that saved the model.",
            )
        lists = {name: tuple(value[name]) for name in ("text", "text_names", "channels", "steps") if name in value}
        return cls(**{**value, **lists})
