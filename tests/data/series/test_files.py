"""Files of series: each form gives the same series, and what is wrong is named with line, column and repair."""

import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.data.series.values import SeriesName
from elman.data.tables.table_format import TableFormat
from elman.data.tables.tables import read_table
from elman.errors import DataError, UsageError
from elman.tasks.classify import Classify
from elman.tasks.regress import Regress

NAN = float("nan")
SERIES = [[1.0, 2.0, 3.0], [4.0, NAN, 6.0, 7.0], [8.0]]
LABELS = ["a", "b", "a"]

FILES = {
    "wide.csv": "class,t0,t1,t2,t3\na,1,2,3,\nb,4,,6,7\na,8,NaN,NaN,NaN\n",
    "ucr.tsv": "a\t1\t2\t3\tNaN\nb\t4\tNaN\t6\t7\na\t8\n",
    "last.csv": "t0,t1,t2,t3,class\n1,2,3,,a\n4,?,6,7,b\n8,,,,a\n",
    "indexed.csv": ",t0,t1,t2,t3,label\n0,1,2,3,,a\n1,4,?,6,7,b\n2,8,,,,a\n",
    "data.jsonl": '{"text": [1, 2, 3], "label": "a"}\n{"text": [4, null, 6, 7], "label": "b"}\n'
    '{"text": [8], "label": "a"}\n',
    "data.ts": "#A comment\n@problemName x\n@timeStamps false\n@univariate true\n@classLabel true a b\n@data\n"
    "1,2,3:a\n4,?,6,7:b\n8:a\n",
    "flat.arff": "@relation x\n@attribute t0 numeric\n@attribute 't 1' real\n@attribute t2 numeric\n@attribute t3 "
    "numeric\n@attribute class {a,b}\n@data\n1,2,3,?,a\n4,?,6,7,b\n% a comment\n8,?,?,?,a\n",
}


def table(tmp_path: Path, name: str, text: str, **how: Any) -> Any:
    path = tmp_path / name
    path.write_text(text)
    return read_table(path, **how)


def refused(tmp_path: Path, name: str, text: str, **how: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        table(tmp_path, name, text, **how)
    assert caught.value.fix
    return caught.value


def values(series: Any) -> list[Any]:
    return [np.asarray(each, dtype=float).reshape(len(each), -1)[:, 0].tolist() for each in series]


@pytest.mark.parametrize("name", FILES)
def test_every_form_gives_the_same_series(tmp_path: Path, name: str):
    found = table(tmp_path, name, FILES[name])
    assert found.labels == LABELS
    assert str(values(found.texts)) == str(SERIES)
    assert found.is_numeric
    again = table(tmp_path, name, FILES[name], known=found.format)
    assert str(values(again.texts)) == str(SERIES)
    unlabelled = table(tmp_path, name, FILES[name], known=found.format, labelled=False)
    assert str(values(unlabelled.texts)) == str(SERIES)
    assert unlabelled.labels is None


def test_labels_may_hold_separators_between_quotes(tmp_path: Path):
    text = 'class,t0,t1,t2\n"off, cold",1,2,3\n"on, ""warm""",4,5,6\n"off, cold",7,8,9\n'
    found = table(tmp_path, "quoted.csv", text)
    assert found.labels == ["off, cold", 'on, "warm"', "off, cold"]
    assert values(found.texts) == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]
    other = table(tmp_path, "other.csv", text.replace('""warm""', "warm").replace('"', "'"), quote="'")
    assert other.labels == ["off, cold", "on, warm", "off, cold"]


def test_packed_files_are_read(tmp_path: Path):
    path = tmp_path / "data.ts.xz"
    path.write_bytes(lzma.compress(FILES["data.ts"].encode()))
    assert read_table(path).labels == LABELS


LONG = "id,time,load,heat,label\nx,2,3,30,a\nx,1,2,,a\ny,1,5,50,b\n"


def test_a_table_with_a_step_a_row_is_grouped_and_sorted(tmp_path: Path):
    found = table(tmp_path, "long.csv", LONG, series="id", time="time")
    assert found.labels == ["a", "b"]
    assert str([each.tolist() for each in found.texts]) == "[[[2.0, nan], [3.0, 30.0]], [[5.0, 50.0]]]"
    assert "the rows of 1 series are sorted by `time`" in found.notes
    assert found.positions[0] == f"{tmp_path / 'long.csv'}, series `x`"
    assert found.positions[0].at(0, 1) == f"{tmp_path / 'long.csv'}, line 3, column `heat`"
    some = table(tmp_path, "long.csv", LONG, series="id", channels="heat")
    assert [each.shape[1] for each in some.texts] == [1, 1]
    known = table(tmp_path, "new.csv", "id,time,load,heat\nz,1,1,2\n", known=found.format, labelled=False)
    assert known.texts[0].tolist() == [[1, 2]]


def test_a_number_for_each_step_is_a_list(tmp_path: Path):
    text = "id,load,target\nx,1,0.5\nx,2,1.5\ny,3,2\n"
    found = table(tmp_path, "long.csv", text, series="id", numeric=True)
    assert found.labels == [[0.5, 1.5], [2.0]]
    whole = table(tmp_path, "long.csv", text.replace("1.5", "0.5"), series="id", numeric=True)
    assert whole.labels == [0.5, 2.0]


def test_channels_of_ts_and_arff(tmp_path: Path):
    ts = "@timestamps false\n@univariate false\n@dimensions 2\n@classLabel true a b\n@data\n1,2:3,4:a\n5:6:b\n"
    found = table(tmp_path, "data.ts", ts)
    assert [each.tolist() for each in found.texts] == [[[1, 3], [2, 4]], [[5, 6]]]
    arff = (
        "@relation x\n@attribute r relational\n  @attribute t0 numeric\n  @attribute t1 numeric\n@end r\n"
        "@attribute class {a,b}\n@data\n'1,2\\n3,4',a\n'5\\n6',b\n"
    )
    found = table(tmp_path, "data.arff", arff)
    assert [each.tolist() for each in found.texts] == [[[1, 3], [2, 4]], [[5, 6]]]
    assert found.labels == ["a", "b"]


def test_numbers_as_targets(tmp_path: Path):
    ts = "@timestamps false\n@targetLabel true\n@data\n1,2:0.5\n3:1e3\n"
    assert table(tmp_path, "data.ts", ts, numeric=True).labels == [0.5, 1000]
    arff = "@relation x\n@attribute a real\n@attribute b real\n@attribute target real\n@data\n1,2,0.5\n3,4,-1\n"
    assert table(tmp_path, "data.arff", arff, numeric=True).labels == [0.5, -1]
    assert table(tmp_path, "data.csv", "text,score\nso good,0.5\nbad,-1\n", label="score", numeric=True).labels == [
        0.5,
        -1,
    ]
    assert table(tmp_path, "d.jsonl", '{"text": [1], "label": 0.5}\n', numeric=True).labels == [0.5]


def test_series_without_targets(tmp_path: Path):
    found = table(tmp_path, "data.ts", "@timestamps false\n@classLabel false\n@data\n1,2\n3\n")
    assert found.labels is None
    assert values(found.texts) == [[1, 2], [3]]


WRONG = [
    ("a.csv", "class,t0,t1,t2\na,1,x,3\nb,1,2,3\n", "line 2, column `t1`: expected a number, got 'x'"),
    ("a.csv", "class,t0,t1,t2\na,1,2,3\nb,1,inf,3\n", "line 3, column `t1`: expected a finite number, got inf"),
    ("a.tsv", "1\t1\t2\t3\n\t1\t2\t3\n", "line 2, column 1: the label is empty"),
    ("a.csv", "class,t0,t1\na,1,2,3\nb,1,2\n", "line 2, column 4: expected at most 3 fields as in the header"),
    ("a.ts", "@classLabel true a b\n@data\n1,2:a\n1,z:b\n", "line 4, column `channel 1, step 2`: expected a number"),
    ("a.ts", "@classLabel true a b\n@data\n1,2:a\n1,2:c\n", "line 4, column `target`: the label 'c' is not among"),
    ("a.ts", "@classLabel true a b\n@data\n1,2:3:a\n1,2:b\n", "line 4: expected 2 channels, got 1"),
    ("a.ts", "@classLabel true a b\n@data\n1,2:3:a\n", "line 3: expected channels of one length, got 2, 1 steps"),
    ("a.ts", "@classLabel yes\n@data\n1,2:a\n", "line 1: expected @classLabel true or false"),
    ("a.ts", "@timestamps true\n@data\n(0,1):a\n", "line 1"),
    ("a.arff", "@relation x\n@attribute a real\n@attribute c {a}\n@data\n1,2,a\n", "line 5: expected 2 fields, got 3"),
    (
        "a.arff",
        "@relation x\n@attribute a real\n@attribute c {a}\n@data\n{0 1},a\n",
        "line 5: expected 2 fields, got a",
    ),
    ("a.arff", "@relation x\n@attribute\n@data\n1\n", "line 2: expected @attribute NAME TYPE"),
    ("a.arff", "@relation x\n@attribute s string\n@attribute c {a}\n@data\nz,a\n", "attribute `s`: string"),
    ("a.jsonl", '{"text": [1, Infinity], "label": 1}\n', "line 1, column `text`: step 2: expected a finite number"),
]


@pytest.mark.parametrize(("name", "text", "where"), WRONG, ids=[f"{n}-{w[:40]}" for n, _, w in WRONG])
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str, where: str):
    assert where in (refused(tmp_path, name, text).where or "")


def test_files_that_cannot_be_series_are_refused(tmp_path: Path):
    assert "no line @data" in refused(tmp_path, "a.arff", "@relation x\n").problem
    assert "no header" in refused(tmp_path, "a.ts", "hello world\nthis is text\n").problem
    assert "no series" in refused(tmp_path, "a.ts", "@timestamps false\n@data\n").problem
    commas = "a;b;c;k\n0,5;1;1;x\n1;1;1;y\n"
    assert "a decimal comma" in (refused(tmp_path, "a.csv", commas, separator=";", label="k").where or "")
    assert "which column is the target" in refused(tmp_path, "a.csv", "a,b,c,d\n1,2,3,4\n").problem


def test_a_header_without_rows_is_named(tmp_path: Path):
    known = table(tmp_path, "train.csv", "a,b,c,d,label\n1,2,3,4,x\n2,3,4,6,y\n").format
    for how in ({}, {"known": known, "labelled": False}):
        assert "has a header but no rows" in refused(tmp_path, "a.csv", "a,b,c,d,label\n", **how).problem


def test_a_step_a_row_is_not_read_as_a_series_a_row(tmp_path: Path):
    known = table(tmp_path, "train.csv", "a,b,c,d,label\n1,2,3,4,x\n2,3,4,6,y\n").format
    long = "series,time,v\n0,0,5\n0,1,6\n1,0,7\n1,1,8\n"
    found = refused(tmp_path, "a.csv", long, known=known, labelled=False)
    assert "got one with a step a row" in found.problem
    assert found.fix.startswith("Give --series series")
    assert len(table(tmp_path, "a.csv", long, known=known, labelled=False, series="series")) == 2


LONG_WRONG = [
    ("id,time,v\nx,1,1\nx,1,2\n", {"time": "time"}, "line 3, column `time`: series `x` has '1' twice, first in line 2"),
    ("id,time,v\nx,1,1\nx,z,2\n", {"time": "time"}, "line 3, column `time`: expected a number, got 'z'"),
    ("id,time,v\nx,2020-01-01,1\nx,May,2\n", {"time": "time"}, "line 3, column `time`: expected a date"),
    ("id,v,label\nx,1,a\nx,2,b\n", {}, "line 3, column `label`: the label of series `x` is 'b', and 'a' before"),
    ("id,v\nx,1\n,2\n", {}, "line 3, column `id`: the name of the series is missing"),
    ("id,v\nx,1\nx,q\n", {"channels": "v"}, "line 3, column `v`: expected a number, got 'q'"),
    ("id,v\nx,1\n", {"time": "when"}, "line 1"),
    ("id,name\nx,one\n", {}, "line 1"),
]


@pytest.mark.parametrize(("text", "how", "where"), LONG_WRONG, ids=[where[:50] for _, _, where in LONG_WRONG])
def test_what_is_wrong_in_a_long_table_is_named(tmp_path: Path, text: str, how: dict[str, str], where: str):
    assert where in (refused(tmp_path, "a.csv", text, series="id", **how).where or "")


def test_options_of_long_tables_need_the_column_of_the_series(tmp_path: Path):
    with pytest.raises(UsageError, match="--series COL"):
        table(tmp_path, "a.csv", LONG, time="time")


def test_every_value_has_its_position(tmp_path: Path):
    shown = {"wide.csv": "column `t1`", "ucr.tsv": "column 3", "data.ts": "channel 1, step 2", "flat.arff": "column 2"}
    for name, where in shown.items():
        found = table(tmp_path, name, FILES[name]).positions[1]
        assert isinstance(found, SeriesName)
        assert found.at(1, 0).endswith(where)
        assert found.at(1, 0).startswith(str(found).partition(", ")[0])


def test_sources_give_targets_of_their_kind(tmp_path: Path):
    path = tmp_path / "n.ts"
    path.write_text("@timestamps false\n@targetLabel true\n@data\n1,2:1\n3:2\n")
    assert Regress.source.read(str(path), Regress.columns, {}).columns["target"] == [1.0, 2.0]
    path.write_text("@timestamps false\n@classLabel true 1 2\n@data\n1,2:1\n3:2\n")
    read = Classify.source.read(str(path), Classify.columns, {})
    assert read.columns["label"] == [1, 2]
    assert read.settings == {"tokens": "values"}


@pytest.mark.parametrize(
    "text",
    [
        "id,text,stars,helpful\n1,so good,5,0\n2,bad,1,3\n",
        "id,comment,stars,helpful\n" + "".join(f"{n},number {n} is fine,{n % 5},0\n" for n in range(9)),
    ],
)
def test_texts_beside_numbers_are_texts(tmp_path: Path, text: str):
    with pytest.raises(DataError, match="text"):
        table(tmp_path, "a.csv", text, label="nothing")
    found = read_table(tmp_path / "a.csv", text=2, label="stars")
    assert not found.is_numeric


@pytest.mark.parametrize(
    ("text", "labelled", "expected"),
    [
        ("t2,class,t0,t3,t1\n3,a,1,4,2\n7,b,5,8,6\n", True, [[1, 2, 3, 4], [5, 6, 7, 8]]),
        ("t3,t2,t1,t0\n4,3,2,1\n8,7,6,5\n", False, [[1, 2, 3, 4], [5, 6, 7, 8]]),
        ("t4,t3,t2,t1,t0\n9,4,3,2,1\n9,8,7,6,5\n", False, [[1, 2, 3, 4, 9], [5, 6, 7, 8, 9]]),
        ("x3,x2,x1,x0\n4,3,2,1\n8,7,6,5\n", False, [[4, 3, 2, 1], [8, 7, 6, 5]]),
    ],
)
def test_steps_are_found_by_the_names_of_their_columns(tmp_path: Path, text, labelled, expected):
    trained = table(tmp_path, "train.csv", "class,t0,t1,t2,t3\na,1,2,3,4\nb,5,6,7,8\n").format
    found = table(tmp_path, "new.csv", text, known=TableFormat.from_json(trained.to_json()), labelled=labelled)
    assert [series[:, 0].tolist() for series in found.texts] == expected
    if labelled:
        assert found.labels == ["a", "b"]
