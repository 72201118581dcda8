"""Parallel texts are read from two files, a table or lists, and no pair is dropped silently."""

import gzip
import io
import lzma
from pathlib import Path
from types import SimpleNamespace

import pytest

from elman.errors import DataError, UsageError
from elman.tasks.parallel_rows import Parallel, within_limits
from elman.tasks.task import Column, Values

COLUMNS = [Column("source", lambda _: None), Column("target", lambda _: None, "target")]
SOURCES, TARGETS = ["A dog.", "Two cats,\ttwo dogs.", "“Hi”, he said."], ["Ein Hund.", "Zwei Katzen.", '"Hallo".']
PAIRS = {"source": SOURCES, "target": TARGETS}


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def two(folder, sources=SOURCES, targets=TARGETS):
    return [write(folder / "train.en", sources), write(folder / "train.de", targets)]


def read(path, known=None, **options):
    return Parallel().read(path, COLUMNS, options, known=known)


def test_two_files_are_read_line_by_line(tmp_path):
    values = read(two(tmp_path))
    assert values.columns == PAIRS
    assert values.names[1] == f"{tmp_path}/train.en and {tmp_path}/train.de, line 2"
    assert not values.notes
    assert Parallel().facts(values) == "3 pairs"


@pytest.mark.parametrize(("ending", "opener"), [(".gz", gzip.open), (".xz", lzma.open)])
def test_packed_files_are_read_too(tmp_path, ending, opener):
    paths = []
    for path in two(tmp_path):
        with opener(path + ending, "wb") as packed:
            packed.write(Path(path).read_bytes().replace(b"\n", b"\r\n"))
        paths.append(path + ending)
    assert read(paths).columns == PAIRS


def test_one_file_may_be_standard_input(tmp_path, monkeypatch):
    paths = two(tmp_path)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO("".join(f"{t}\n" for t in TARGETS).encode())))
    assert read([paths[0], "-"]).columns == PAIRS


MULTI30K = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "multi30k"
PLAIN = {"source": ["A dog, here.", "Two cats."], "target": ["Ein Hund, hier.", "Zwei Katzen."]}
TABLES = {
    "usual.tsv": ("en\tde\nA dog, here.\tEin Hund, hier.\nTwo cats.\tZwei Katzen.\n", {}),
    "usual.csv": ('id,tgt,src\n1,"Ein Hund, hier.","A dog, here."\n2,Zwei Katzen.,Two cats.\n', {}),
    "named.tsv": (
        "x\ty\tz\nA dog, here.\t\tEin Hund, hier.\nTwo cats.\t\tZwei Katzen.\n",
        {"source": "x", "target": "z"},
    ),
    "numbered.tsv": ("A dog, here.\tb\tEin Hund, hier.\nTwo cats.\tb\tZwei Katzen.\n", {"source": "1", "target": "3"}),
    "bare.tsv": ("A dog, here.\tEin Hund, hier.\nTwo cats.\tZwei Katzen.\n", {}),
    "bare.txt": ("A dog, here.\tEin Hund, hier.\nTwo cats.\tZwei Katzen.\n", {}),
    "usual.jsonl": (
        '{"source": "A dog, here.", "target": "Ein Hund, hier."}\n{"source": "Two cats.", "target": "Zwei Katzen."}\n',
        {},
    ),
    "two.jsonl": ('{"x": "A dog, here.", "y": "Ein Hund, hier."}\n{"x": "Two cats.", "y": "Zwei Katzen."}\n', {}),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_read_by_usual_names_given_ones_and_numbers(tmp_path, name):
    text, options = TABLES[name]
    (tmp_path / name).write_text(text)
    values = read(str(tmp_path / name), **options)
    assert values.columns == PLAIN
    # Another file is read in the same way without options, and the note is not said again.
    again = read([str(tmp_path / name)], Parallel().known(values, COLUMNS))
    assert (again.columns, again.notes) == (PLAIN, [])
    asked = Parallel().asked(str(tmp_path / name), {"column": None}, Parallel().known(values, COLUMNS))
    assert [text for _, text in asked.rows] == PLAIN["source"]


def test_a_table_says_which_columns_were_read(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(TABLES["usual.tsv"][0])
    assert read(str(path)).notes == ["source is column `en`; target is column `de`"]


def test_a_file_to_predict_has_a_source_a_line(tmp_path):
    known = Parallel().known(read(two(tmp_path)), COLUMNS)
    path = write(tmp_path / "new.en", ["One\ttab, two", "", "last"])
    rows = list(Parallel().asked(path, {"column": None}, known).rows)
    assert rows == [(f"{path}, line 1", "One\ttab, two"), (f"{path}, line 2", ""), (f"{path}, line 3", "last")]


def test_a_table_to_predict_needs_no_targets(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("source\nA dog\n")
    assert [text for _, text in Parallel().asked(str(path), {"column": None}).rows] == ["A dog"]
    path.write_text("id,text\n1,A dog\n")
    assert [text for _, text in Parallel().asked(str(path), {"column": "text"}).rows] == ["A dog"]


UNEQUAL = {
    "a line is missing at the end": (["a", "b", "c"], ["x", "y"], r"line 3: .*train.de has ended, .*'c'"),
    "many are missing": (["a"], ["x", "y", "z"], r"line 2: .*train.en has ended, .*'y'"),
    "an empty line": (["a", "", "b", "c"], ["x", "y", "z"], r"line 2: .*train.en is empty, .*'y'"),
    "an empty line on the other side": (["a", "b"], ["x", "", "y"], r"line 2: .*train.de is empty, .*'b'"),
}


@pytest.mark.parametrize("case", UNEQUAL)
def test_unequal_files_are_refused_with_both_counts_and_the_first_odd_line(tmp_path, case):
    sources, targets, where = UNEQUAL[case]
    with pytest.raises(DataError, match=f"has {len(sources)} lines and .*has {len(targets)}, ") as caught:
        read(two(tmp_path, sources, targets))
    assert caught.match(where)


def test_empty_texts_are_refused_or_counted(tmp_path):
    paths = two(tmp_path, ["a", " ", "c", "", "e"], ["x", "y", "", "", "z"])
    with pytest.raises(DataError, match="3 pairs with an empty text") as caught:
        read(paths)
    assert caught.match("line 2: the source is empty, and 2 more")
    values = read(paths, empty="skip")
    assert values.columns == {"source": ["a", "e"], "target": ["x", "z"]}
    assert [name.rpartition(" ")[2] for name in values.names] == ["1", "5"]
    [note] = values.notes
    assert note == ("3 pairs with an empty text left out (line 2: source; line 3: target; line 4: source and target)")


def test_an_empty_text_in_a_table_is_refused_or_counted(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("source,target\na,x\nb,\n")
    with pytest.raises(DataError, match="line 3: the target is empty"):
        read(str(path))
    assert read(str(path), empty="skip").columns == {"source": ["a"], "target": ["x"]}


def test_texts_over_a_limit_are_left_out_and_named():
    values = Values(
        {"source": ["a", "b", "c"], "target": ["x", "y", "z"]}, ["f, line 1", "f, line 2", "f, line 3"], "f"
    )
    kept = within_limits(values, {"source": [3, 9, 4], "target": [5, 1, 2]}, {"source": 8, "target": 4})
    assert kept.columns == {"source": ["c"], "target": ["z"]}
    [note] = kept.notes
    assert note == (
        "2 pairs with more than 8 tokens of the source or 4 tokens of the target left out "
        "(line 2: 9 tokens of the source; line 1: 5 tokens of the target)"
    )
    assert within_limits(values, {"source": [3, 9, 4]}, {"source": None}) is values


def test_lists_are_taken_as_they_are():
    values = Parallel().take([SOURCES, TARGETS], COLUMNS)
    assert values.columns == PAIRS
    assert Parallel().take([[""]], COLUMNS).columns == {"source": [""]}
    learned, held = Parallel().split(values, COLUMNS, 0.34, 0)
    assert sorted([*learned.columns["source"], *held.columns["source"]]) == sorted(SOURCES)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a b", ["x"]], "Expected a list of sources"),
        ([["a", 3], ["x", "y"]], r"strings, got int.\n  source 2"),
        ([["a", "b"], ["x"]], "There are 2 sources and 1 targets"),
        ([["a", "b"], ["x", " "]], "pair 2: the target is empty"),
    ],
)
def test_other_lists_are_refused(given, message):
    with pytest.raises(DataError, match=message):
        Parallel().take(given, COLUMNS)


def test_files_that_do_not_fit_are_refused(tmp_path):
    paths = two(tmp_path)
    table = write(tmp_path / "a.tsv", ["a\tb"])
    with pytest.raises(UsageError, match="got 3 files"):
        read([*paths, table])
    with pytest.raises(UsageError, match=r"a\.tsv is a table"):
        read([paths[0], table])
    with pytest.raises(UsageError, match="only once"):
        read(["-", "-"])
    with pytest.raises(UsageError, match="--target: only for a table"):
        read(paths, target="de")
    with pytest.raises(UsageError, match="Expected --empty refuse or --empty skip, got 'drop'"):
        read(paths, empty="drop")
    with pytest.raises(DataError, match="has one column"):
        read(write(tmp_path / "one.en", ["a", "b"]))
    with pytest.raises(DataError, match="3 columns, and it is not clear which is the source or the target"):
        read(write(tmp_path / "three.tsv", ["a\tb\tc"]))
    with pytest.raises(DataError, match="no file"):
        read([paths[0], str(tmp_path / "missing.de")])


@pytest.mark.skipif(not MULTI30K.is_dir(), reason="needs ../shared/data/multi30k: `elman data get multi30k`")
def test_the_files_of_multi30k_fit_together():
    paths = [str(MULTI30K / f"val.{language}.gz") for language in ("en", "de")]
    values = read(paths)
    assert len(values.columns["source"]) == len(values.columns["target"]) == 1014
