"""Texts in a folder: a sub-folder for each label with a file for each text, or a file for each label with its lines."""

from pathlib import Path
from typing import NamedTuple

from elman.data.files import PACKED, read_source
from elman.errors import DataError


class FolderTexts(NamedTuple):
    """The texts of a folder.

    Attributes:
        texts: in the order of the names of their files.
        labels: the name of the sub-folder, or that of the file without its ending.
        where: the file of each text, with its line if the file has several.
        notes: what was assumed.
    """

    texts: list[str]
    labels: list[str]
    where: list[str]
    notes: list[str]


def read_folder(folder: Path, encoding: str | None = None) -> FolderTexts:
    """Read a folder of texts, without hidden files.

    Args:
        folder: it has sub-folders, named after the labels, of text files; or text files, named after the labels, with
            a text in each line.
        encoding: of the files; UTF-8 if not given.

    Raises:
        DataError: a folder without texts, or sub-folders within those of the labels; a file that cannot be read.
    """
    entries = _visible(folder)
    folders = [entry for entry in entries if entry.is_dir()]
    beside = [entry.name for entry in entries if not entry.is_dir()]
    if folders:
        rows = [row for label in folders for row in _one_text_a_file(label, encoding)]
        notes = ["each sub-folder is a label, each file in it a text"]
        if beside:
            notes.append(f"the files beside the sub-folders are left out: {_some(beside)}")
    else:
        rows = [row for file in entries for row in _one_text_a_line(file, encoding)]
        notes = ["each file is a label, each line in it a text"]
    if not rows:
        raise DataError(f"The folder {folder} has no texts.", fix="Give a folder with a file or a sub-folder a label.")
    texts, labels, where = zip(*rows, strict=True)
    return FolderTexts(list(texts), list(labels), list(where), notes)


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _one_text_a_file(label: Path, encoding: str | None) -> list[tuple[str, str, str]]:
    files = _visible(label)
    deeper = [file.name for file in files if file.is_dir()]
    if deeper:
        raise DataError(
            f"Expected the texts of the label `{label.name}` in {label}, got folders: {_some(deeper)}.",
            fix="Give the folder whose sub-folders are the labels.",
        )
    return [("".join(_lines(file, encoding)).rstrip("\n"), label.name, str(file)) for file in files]


def _one_text_a_line(file: Path, encoding: str | None) -> list[tuple[str, str, str]]:
    name = file.with_suffix("").name if file.suffix.lower() in PACKED else file.name
    return [
        (line.rstrip("\r\n"), Path(name).stem, f"{file}, line {number}")
        for number, line in enumerate(_lines(file, encoding), start=1)
        if line.strip()
    ]


def _lines(file: Path, encoding: str | None) -> list[str]:
    return read_source(file, encoding).lines if file.stat().st_size else []


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f", … and {len(names) - 5:,} more" if len(names) > 5 else "")
