"""Labelled files that are read as asked: formats, columns and what is assumed."""

import csv
import gzip
import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.tables.tables import Table, read_table

fields = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def written(folder, content: str, name: str):
    path = folder / name
    path.write_bytes(content.encode())
    return path


@pytest.fixture
def read(tmp_path):
    """Reads a table from its content, as a file of the given name."""

    def read(content: str, name: str = "data.csv", **options) -> Table:
        return read_table(written(tmp_path, content, name), **options)

    return read


def rows(table: Table) -> list[tuple]:
    return list(zip(table.texts, table.labels or [None] * len(table), table.lines, strict=True))


@given(
    st.lists(st.tuples(fields, fields.filter(str.strip)), min_size=1).filter(lambda rows: ("text", "label") not in rows)
)
@pytest.mark.parametrize(("name", "separator"), [("data.csv", ","), ("data.tsv", "\t")])
def test_what_csv_wrote_is_read_again(tmp_path_factory, name, separator, content):
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *content])
    path = written(tmp_path_factory.mktemp("round"), stream.getvalue(), name)
    table = read_table(path, text="text", quote='"')
    assert table.texts == [text for text, _ in content]
    assert list(map(str, table.labels or [])) == [label.strip() for _, label in content]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "END", "ENDEND"])
def test_line_ends_and_blank_last_lines(read, end, tail):
    table = read(f"text,label{end}good,1{end}bad,0{tail}".replace("END", end))
    assert rows(table) == [("good", 1, 2), ("bad", 0, 3)]


def test_two_columns_without_header_are_text_and_label_and_a_note_says_so(read):
    table = read("good,1\nbad,0\n")
    assert rows(table) == [("good", 1, 1), ("bad", 0, 2)]
    assert table.notes == ["the first line is read as a row, not as a header; column 1 is the text, column 2 the label"]
    assert table.source.endswith("data.csv")


def test_a_header_with_text_and_label_is_found_in_any_order_among_others(read):
    table = read("id, label ,text\n7,yes,fine\n")
    assert rows(table) == [("fine", "yes", 2)]
    assert "header" in table.notes[0]


def test_a_header_with_text_alone_gives_texts_without_labels(read):
    table = read("id,text\n7,fine\n")
    assert rows(table) == [("fine", None, 2)]
    assert "without labels" in table.notes[0]


def test_one_column_is_texts_without_labels(read):
    assert rows(read("good\nbad\n")) == [("good", None, 1), ("bad", None, 2)]


def test_header_true_skips_a_first_line_of_other_names(read):
    table = read("word,mood\ngood,1\n", header=True)
    assert rows(table) == [("good", 1, 2)]
    assert "column `word` is the text, column `mood` the label" in table.notes[0]


def test_header_false_takes_the_names_as_a_row(read):
    assert rows(read("text,label\ngood,1\n", header=False))[0] == ("text", "label", 1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"text": "title", "label": "class"}, [("A", "x", 2), ("B", "y", 3)]),
        ({"text": ["title", "body"], "label": "class"}, [("A one", "x", 2), ("B two", "y", 3)]),
        ({"text": "body,title", "label": 1}, [("one A", "x", 2), ("two B", "y", 3)]),
        ({"text": "title"}, [("A", "x", 2), ("B", "y", 3)]),
        ({"text": "2,3", "label": 1, "header": True}, [("A one", "x", 2), ("B two", "y", 3)]),
        ({"text": [2, 3], "label": "1"}, [("A one", "x", 2), ("B two", "y", 3)]),
        (
            {"text": [2, 3], "label": 1, "header": False},
            [("title body", "class", 1), ("A one", "x", 2), ("B two", "y", 3)],
        ),
        ({"text": 2, "header": False}, [("title", None, 1), ("A", None, 2), ("B", None, 3)]),
    ],
)
def test_columns_by_name_and_by_number(read, options, expected):
    assert rows(read("class,title,body\nx,A,one\ny,B,two\n", **options)) == expected


def test_the_label_alone_leaves_the_text_to_what_remains(read):
    assert rows(read("1,good\n", label=1)) == [("good", 1, 1)]
    assert rows(read("mood,word\n1,good\n", label="mood")) == [("good", 1, 2)]
    assert rows(read("id,text,mood\n7,good,1\n", label="mood")) == [("good", 1, 2)]


def test_the_text_by_name_finds_a_column_named_label(read):
    table = read("title,label\ngood,1\n", text="title")
    assert rows(table) == [("good", 1, 2)]
    assert "column `label` the label" in table.notes[0]


def test_quoted_fields_keep_separators_quotes_and_line_ends(read):
    table = read('"a, ""b""\nc",1\nd,0\n')
    assert rows(table) == [('a, "b"\nc', 1, 1), ("d", 0, 3)]


def test_a_quote_inside_an_unquoted_field_is_part_of_it(read):
    assert rows(read('5" pipe,1\n')) == [('5" pipe', 1, 1)]


def test_fields_longer_than_csvs_own_limit(read):
    limit = csv.field_size_limit()
    assert len(read("x" * (limit + 1) + ",1\n").texts[0]) == limit + 1
    assert csv.field_size_limit() == limit


def test_an_empty_text_is_legal_and_noted(read):
    table = read("good,1\n,0\n")
    assert rows(table)[1] == ("", 0, 2)
    assert "1 of 2 texts are empty, the first in line 2" in table.notes
    assert rows(read('"a"\n""\n')) == [("a", None, 1), ("", None, 2)]


def test_white_space_around_labels_is_left_out_and_noted(read):
    table = read("good, 1\nbad ,0\n")
    assert rows(table) == [("good", 1, 1), ("bad ", 0, 2)]
    assert "white space around labels is left out" in table.notes


@pytest.mark.parametrize(
    ("content", "expected", "note"),
    [
        ("a,1\nb,0\n", [("a", 1, 1), ("b", 0, 2)], "every line has a comma"),
        ("a, b\t1\nc, d\t0\n", [("a, b", 1, 1), ("c, d", 0, 2)], "every line has a tab"),
        ("Well, good\nBad\n", [("Well, good", None, 1), ("Bad", None, 2)], "each line is read as one text"),
        ('text\n\n"b\n', [("text", None, 1), ("", None, 2), ('"b', None, 3)], "each line is read as one text"),
    ],
)
def test_txt_is_read_by_what_its_lines_have(read, content, expected, note):
    table = read(content, "data.txt")
    assert rows(table) == expected
    assert any(note in said for said in table.notes)


def test_a_given_separator_goes_before_the_ending(read):
    assert rows(read("a;1\n", "data.csv", separator=";")) == [("a", 1, 1)]
    assert rows(read("a|1\n", "data.dat", separator="|")) == [("a", 1, 1)]
    assert rows(read("a, b\nc, d\n", "data.txt", separator="\n")) == [("a, b", None, 1), ("c, d", None, 2)]


def test_compressed_and_marked_files(tmp_path):
    path = tmp_path / "data.tsv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbftext\tlabel\ngood\t1\n"))
    assert rows(read_table(path)) == [("good", 1, 2)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("good\nbad\n", [("good", None, 1), ("bad", None, 2)]),
        ("good,1\nbad,0\n", [("good", 1, 1), ("bad", 0, 2)]),
        ('{"text": "good", "label": "1"}\n', [("good", "1", 1)]),
    ],
)
def test_standard_input(monkeypatch, content, expected):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    table = read_table("-")
    assert rows(table) == expected
    assert table.source == "standard input"


def jsonl(*records) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def test_jsonl_with_the_usual_fields(read):
    table = read(jsonl({"label": "yes", "text": "a", "id": 5}, {"text": "", "label": "3"}) + "\n", "data.jsonl")
    assert rows(table) == [("a", "yes", 1), ("", "3", 2)]
    assert not table.is_numeric


@pytest.mark.parametrize(("label", "expected"), [("x ", "x"), (1, 1), (-1, -1), (True, True), ("1", "1")])
def test_jsonl_labels_keep_what_they_are(read, label, expected):
    (found,) = read(jsonl({"text": "a", "label": label}), "data.jsonl").labels
    assert (found, type(found)) == (expected, type(expected))


def test_jsonl_fields_by_name(read):
    content = jsonl({"title": "A", "body": "one", "mood": "x"})
    assert rows(read(content, "data.jsonl", text="title,body", label="mood")) == [("A one", "x", 1)]
    assert rows(read(content, "data.jsonl", text=["body"])) == [("one", "x", 1)]
    assert rows(read(content.replace("mood", "when"), "data.jsonl", text=["body"])) == [("one", None, 1)]


@pytest.mark.parametrize(
    "sequences",
    [
        [[1, 2.5, -3], [4]],
        [[[1, 2], [3, 4]], [[5, 6]]],
        [[1, 2], []],
    ],
)
def test_jsonl_sequences_of_numbers_are_kept_as_they_are(read, sequences):
    table = read(jsonl(*({"text": numbers, "label": "a"} for numbers in sequences)), "data.jsonl")
    assert table.texts == sequences
    assert table.is_numeric
