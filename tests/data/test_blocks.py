"""Files that are read in blocks: the same rows, names and mistakes as when they are read whole."""

import gzip
import json
import random
from pathlib import Path

import pytest

from elman.data.tables import blocks
from elman.data.tables.blocks import read_tables
from elman.data.tables.tables import read_table
from elman.data.text import corpus
from elman.errors import DataError


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch):
    """Blocks of about 100 characters."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100)
    monkeypatch.setattr(corpus, "PIECE_BYTES", 37)


def texts(count: int = 60, letters: str = "ab é") -> list[str]:
    draw = random.Random(1)
    return ["".join(draw.choice(letters) for _ in range(draw.randrange(12))).strip() for _ in range(count)]


def csv_of(rows: list[str]) -> str:
    """Rows of which some have separators, quotes and line ends in them."""
    ends = ["", ",", '"', "\n", "\r\n", "\n\n"]
    fields = [row + ends[number % len(ends)] + "end" for number, row in enumerate(rows)]
    return "number,text\n" + "".join(f"{number},{_quoted(field)}\n" for number, field in enumerate(fields))


def _quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"' if set(field) & set(',"\n') else field


FILES = {
    "lines.txt": "\n".join(texts()) + "\n\n\n",
    "no-end.txt": "\n".join([*texts(), "last"]),
    "table.tsv": "id\ttext\n" + "".join(f"{n}\t{text or '-'}\n" for n, text in enumerate(texts())) + "\n \n",
    "rows.csv": csv_of(texts()),
    "no-header.csv": csv_of(texts()).partition("\n")[2],
    "semicolon.csv": "sep=;\nid;text\n" + "".join(f"{n};{text or '-'}\n" for n, text in enumerate(texts())),
    "objects.jsonl": "".join(json.dumps({"n": n, "text": text}) + "\n" for n, text in enumerate(texts())) + "\n\n",
    "fast.txt": "".join(f"__label__x {text or '-'}\n" for text in texts()),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("packed", [False, True])
def test_the_same_rows_as_of_the_whole_file(name: str, packed: bool, tmp_path: Path, small: None):
    path = tmp_path / (name + ".gz" * packed)
    content = FILES[name].encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    how = {"text": "2"} if name == "no-header.csv" else {}
    whole, tables = read_table(path, labelled=False, **how), list(read_tables(path, labelled=False, **how))
    assert len(tables) > 2
    assert [text for table in tables for text in table.texts] == whole.texts
    assert [line for table in tables for line in table.positions] == whole.positions
    assert tables[0].notes == [note for note in whole.notes if "empty" not in note]


def test_other_encodings(tmp_path: Path, small: None):
    path = tmp_path / "rows.csv"
    path.write_text(FILES["rows.csv"], encoding="utf-16", newline="")
    whole = read_table(path, labelled=False, encoding="utf-16")
    tables = list(read_tables(path, labelled=False, encoding="utf-16"))
    assert len(tables) > 2
    assert [text for table in tables for text in table.texts] == whole.texts


def test_a_mistake_in_a_later_block_has_its_line(tmp_path: Path, small: None):
    path = tmp_path / "rows.jsonl"
    lines = FILES["objects.jsonl"].splitlines()
    lines[40] = '{"text": 3}'
    path.write_text("\n".join(lines))
    tables = read_tables(path, labelled=False)
    next(tables)
    with pytest.raises(DataError, match="line 41, column `text`"):
        list(tables)


def test_a_blank_line_between_rows_is_refused_across_blocks(tmp_path: Path, small: None):
    path = tmp_path / "rows.tsv"
    path.write_text("id\ttext\n" + "1\tabcdef\n" * 30 + "\n" * 200 + "2\tabc\n")
    with pytest.raises(DataError, match="blank line"):
        list(read_tables(path, labelled=False))


def test_rows_that_change_are_refused(tmp_path: Path, small: None):
    path = tmp_path / "rows.txt"
    path.write_text("__label__x abcdefg\n" * 20 + "abcdefg\n" * 20)
    with pytest.raises(DataError, match=r"change from line|label"):
        list(read_tables(path, labelled=False))


def test_a_quote_that_is_never_closed_has_its_line(tmp_path: Path, small: None):
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n" + "1,abcdef\n" * 30 + '2,"abc\n' + "3,abcdef\n" * 30)
    with pytest.raises(DataError, match="line 32"):
        list(read_tables(path, labelled=False))
