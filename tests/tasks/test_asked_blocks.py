"""Rows to predict that are read in blocks: those of the whole file, for each kind of rows."""

import io
import json
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

from elman.data.tables import blocks
from elman.data.tables.table_format import TableFormat
from elman.data.text import corpus
from elman.errors import DataError
from elman.tasks import asked, find_task
from elman.tasks.task import Known

DRAW = random.Random(2)
WORDS = [" ".join(DRAW.choice(["a", "bé", "cat", "dog"]) for _ in range(DRAW.randrange(1, 6))) for _ in range(80)]
PAIRS = (WORDS[:40], WORDS[40:])


def _lines(row: Callable[..., str], *columns: list[str]) -> str:
    return "".join(map(row, range(len(columns[0])), *columns))


def _conllu(tabs: int, word: str) -> str:
    return "\t".join([word, *["_"] * tabs])


def _sentences(line: Callable[[int, str], str], before: str = "") -> str:
    return "".join(before + "".join(line(n, w) for n, w in enumerate(each.split(), 1)) + "\n" for each in WORDS)


def _steps(order: Callable[[list[str]], list[str]] = list) -> str:
    rows = [f"{series},{step},{series + step / 8},{step % 3}" for series in range(12) for step in range(3 + series)]
    return "\n".join(["id,t,load,heat", *order(rows)]) + "\n"


def _shuffled(rows: list[str]) -> list[str]:
    """The steps of each series in the reverse order."""
    return sorted(rows, key=lambda row: [int(part) * sign for part, sign in zip(row.split(","), (1, -1), strict=False)])


class File(NamedTuple):
    """A file with the task that reads it."""

    task: str
    name: str
    content: str
    options: Mapping[str, Any] = MappingProxyType({})
    known: Known | None = None
    whole: bool = False


SERIES = ["".join(f"{n + step / 4}," for step in range(3 + n % 5)).strip(",") for n in range(40)]
LONG = {"series": "id", "time": "t"}
FILES = {
    "pairs": File("compare", "a.csv", "first,second\n" + _lines(lambda n, a, b: f'{a},"{b},\n{n}"\n', *PAIRS)),
    "pairs without a header": File("compare", "a.tsv", _lines(lambda n, a, b: f"{a}\t{b}\n", *PAIRS)),
    "pairs by name": File(
        "compare",
        "a.csv",
        "n,right,left\n" + _lines(lambda n, a, b: f"{n},{a},{b}\n", *PAIRS),
        {"first": "left", "second": "2"},
    ),
    "pairs in JSONL": File(
        "compare", "a.jsonl", _lines(lambda n, a, b: json.dumps({"text1": a, "n": n, "text2": b}) + "\n", *PAIRS)
    ),
    "sources": File("translate", "a.en", "".join(f"{each}\n" for each in WORDS) + "\n\nlast"),
    "sources in a table": File("translate", "a.csv", "en,de\n" + _lines(lambda n, a, b: f"{a},{b}\n", *PAIRS)),
    "sources like those of training": File(
        "translate",
        "a.txt",
        _lines(lambda n, a, b: f"{b}\t{a}\n", *PAIRS),
        known=Known(TableFormat(separator="\t", text=(2,), label=1, width=2)),
    ),
    "sentences": File("tag", "a.txt", _sentences(lambda n, word: f"{word}\t{n}\n")),
    "sentences in lines": File("tag", "a.txt", "".join(f"{each}\n" for each in WORDS) + "\n\nlast"),
    "CoNLL-U": File("tag", "a.conllu", _sentences(lambda n, word: f"{n}\t{_conllu(8, word)}\n", "# text\n")),
    "sentences in JSONL": File("tag", "a.jsonl", "".join(json.dumps({"words": each.split()}) + "\n" for each in WORDS)),
    "a series a row": File("classify", "a.csv", "\n".join(f"{each},,,,"[:40] for each in SERIES)),
    "a series a row, with targets": File(
        "regress", "a.csv", "target,a,b,c,d,e,f,g,h\n" + "".join(f"{n},{each}\n" for n, each in enumerate(SERIES))
    ),
    "ts": File("classify", "a.ts", "@classLabel true x y\n@data\n" + "".join(f"{each}:x\n" for each in SERIES)),
    "a step a row": File("classify", "a.csv", _steps(), LONG),
    "steps out of their order": File("classify", "a.csv", _steps(_shuffled), LONG),
    "series that are not together": File(
        "classify", "a.csv", _steps(lambda rows: [*rows[::2], *rows[1::2]]), LONG, whole=True
    ),
    "series to forecast": File("forecast", "a.csv", _steps(), {"series": "id", "time": "none", "target": ["load"]}),
    "series to forecast that are not together": File(
        "forecast",
        "a.csv",
        _steps(lambda rows: [*rows[::2], *rows[1::2]]),
        {"series": "id", "time": "none", "target": ["load"]},
        whole=True,
    ),
    "one series to forecast": File(
        "forecast", "a.csv", "load\n" + "1\n2\n" * 99, {"time": "none", "target": ["load"]}, whole=True
    ),
    "texts of two columns": File(
        "classify",
        "a.csv",
        "n,title,body\n" + _lines(lambda n, a, b: f"{n},{a},{b}\n", *PAIRS),
        {"column": "2,3"},
    ),
    "texts of two fields": File(
        "classify",
        "a.jsonl",
        _lines(lambda n, a, b: json.dumps({"title": a, "x": {"body": b}}) + "\n", *PAIRS),
        {"column": "title,x.body"},
    ),
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of about 100 characters."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100)
    monkeypatch.setattr(asked, "BLOCK_BYTES", 100)
    monkeypatch.setattr(corpus, "PIECE_BYTES", 37)
    monkeypatch.setattr(asked, "PIECE_BYTES", 37)


def rows_of(file: File, path: str) -> tuple[list[str], list[Any], list[Any]]:
    """The notes, the names and the rows of a file."""
    source = find_task(file.task).source
    found = source.asked(path, {"column": None, **file.options}, file.known)
    names, rows = zip(*found.rows, strict=True)
    ends = [
        (name.at(0, 0), name.at(len(row) - 1, 0)) for name, row in zip(names, rows, strict=True) if hasattr(name, "at")
    ]
    arrays = [row.target if hasattr(row, "target") else row for row in rows]
    plain = [row.tolist() if isinstance(row, np.ndarray) else row for row in arrays]
    return list(found.notes), [*names, *ends], plain


@pytest.mark.parametrize("name", FILES)
def test_the_rows_are_those_of_the_whole_file(name: str, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch):
    file, tables = FILES[name], []
    path = tmp_path / file.name
    path.write_text(file.content)
    monkeypatch.setattr(blocks._Block, "read", _counted(tables))
    found = rows_of(file, str(path))
    assert not tables if file.whole else len(tables) > 2
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 2**22)
    whole = rows_of(file, str(path))
    # Counts of a file that is read in blocks would be those of its first block.
    assert [note.partition(": ")[2].split("; ")[0] for note in found[0]] == [
        note.partition(": ")[2].split("; ")[0] for note in whole[0]
    ]
    assert found[1:] == whole[1:]


def _counted(tables: list[Any]) -> Any:
    original = blocks._Block.read

    def read(block: Any, *given: Any) -> Any:
        tables.append(original(block, *given))
        return tables[-1]

    return read


@pytest.mark.parametrize("name", ["sentences", "pairs without a header"])
def test_standard_input_is_read_in_blocks_too(name: str, small: None, monkeypatch: pytest.MonkeyPatch):
    file, tables = FILES[name], []
    monkeypatch.setattr(blocks._Block, "read", _counted(tables))

    def read() -> tuple[Any, ...]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.content.encode())))
        # A flag makes it a file: sentences are else read as they are typed.
        return rows_of(file._replace(options={"encoding": "utf-8"}), "-")[1:]

    found = read()
    assert len(tables) > 2
    monkeypatch.setattr(asked, "BLOCK_BYTES", 2**22)
    assert read() == found


@pytest.mark.parametrize(
    ("name", "wrong", "where"),
    [
        ("sentences", "a\t1\t2\n", "line {line}, column 3: expected 2 fields, got 3"),
        ("CoNLL-U", "7\tx\n", "line {line}, column 3: expected 10 fields, got 2"),
        ("pairs without a header", "one\n", "line {line}"),
        ("a step a row", "13,0,x,1\n", "line {line}, column `load`"),
        ("ts", "1,x:x\n", "line {line}, column `channel 1, step 2`"),
    ],
)
def test_a_mistake_in_a_later_block_has_its_line(name: str, wrong: str, where: str, tmp_path: Path, small: None):
    file = FILES[name]
    path = tmp_path / file.name
    path.write_text(file.content + wrong)
    line = file.content.count("\n") + 1
    with pytest.raises(DataError) as caught:
        rows_of(file, str(path))
    assert where.format(line=line) in str(caught.value)
