"""Targets of files of series: which column has them, and what is refused."""

from pathlib import Path

import pytest

from elman.data.series.wide import FEWEST_COLUMNS
from tests.data.series.test_files import refused, table

STAMPS = ("2024-10-27T02:30:00+02:00", "2024-10-27T02:00:00+01:00")
ROWS = "1,0.5,0.25,0.75\n2,1.5,1.25,1.75\n1,0.5,0.125,0.5\n2,1.5,1.5,1.25\n"


def test_stamps_with_utc_offsets_are_sorted_by_the_instant(tmp_path: Path):
    text = f"id,time,load,label\nx,{STAMPS[0]},1,a\nx,{STAMPS[1]},2,a\n"
    found = table(tmp_path, "long.csv", text, series="id", time="time")
    assert found.texts[0].tolist() == [[1], [2]]
    same = text.replace(STAMPS[1], "2024-10-27T00:30:00Z")
    assert "twice" in str(refused(tmp_path, "long.csv", same, series="id", time="time"))


def test_stamps_with_and_without_utc_offsets_are_refused(tmp_path: Path):
    text = f"id,time,load,label\nx,{STAMPS[0]},1,a\nx,2024-10-27T02:00:00,2,a\n"
    said = str(refused(tmp_path, "long.csv", text, series="id", time="time"))
    assert "line 3, column `time`: '2024-10-27T02:00:00' has no UTC offset, unlike line 2" in said


def test_a_channel_with_a_usual_name_of_a_target_is_a_channel(tmp_path: Path):
    text = "id,x,y,label\na,1,2,p\na,2,3,p\nb,1,5,q\n"
    for how in ({}, {"channels": "x,y"}):
        found = table(tmp_path, "long.csv", text, series="id", **how)
        assert found.labels == ["p", "q"]
        assert found.format.channels == ("x", "y")
    several = refused(tmp_path, "long.csv", text.replace("p", "7").replace("q", "8"), series="id")
    assert "line 1: `y`, `label`" in str(several)


def test_a_missing_channel_is_named(tmp_path: Path):
    text = "id,t,load,heat,label\na,0,1,2,p\na,1,2,3,p\nb,0,1,5,q\n"
    known = table(tmp_path, "long.csv", text, series="id", time="t").format
    for new in ("id,t,load\na,0,1\n", "id,t,load,x,z\na,0,1,2,3\na,1,1,2,3\n"):
        assert "no column named `heat`" in str(refused(tmp_path, "new.csv", new, known=known, labelled=False))


def test_labels_that_an_arff_file_does_not_list_are_refused(tmp_path: Path):
    text = "@relation x\n@attribute a numeric\n@attribute b numeric\n@attribute class {x,'y z'}\n@data\n1,2,x\n3,4,w\n"
    said = str(refused(tmp_path, "data.arff", text))
    assert "line 7, column `class`: the label 'w' is not among those of @attribute" in said
    assert table(tmp_path, "data.arff", text.replace("4,w", "4,'y z'")).labels == ["x", "y z"]


@pytest.mark.parametrize("numeric", [False, True], ids=["labels", "numbers"])
def test_the_number_of_columns_decides_whether_a_file_has_targets(tmp_path: Path, *, numeric: bool):
    assert ROWS.split("\n")[0].count(",") + 1 == FEWEST_COLUMNS
    how = {"numeric": numeric, "labelled": False}
    known = table(tmp_path, "train.csv", ROWS.replace("1,", "1,0,").replace("2,", "2,0,"), numeric=numeric).format
    assert known.width == FEWEST_COLUMNS + 1
    whole = table(tmp_path, "new.csv", "3,0,0.5,0.25,0.75\n", known=known, **how)
    assert len(whole.texts[0]) == FEWEST_COLUMNS
    alone = table(tmp_path, "new.csv", "1,0.5,0.25,0.75\n", known=known, **how)
    assert len(alone.texts[0]) == FEWEST_COLUMNS
    said = str(refused(tmp_path, "new.csv", "3,0,0.5,0.25,0.75,1,2\n", known=known, **how))
    assert "7 columns, and 5 in the training file" in said
    named = table(tmp_path, "new.csv", "target,a,b,c,d,e,f\n3,0,0.5,0.25,0.75,1,2\n", known=known, **how)
    assert len(named.texts[0]) == 6
