"""Every way a labelled file can be wrong: one message with the place and the repair."""

import pytest

from elman.data.tables.tables import read_table
from elman.errors import DataError, ElmanError, UsageError


@pytest.fixture
def refused(tmp_path):
    """The error that a file of this content and name ends in, checked to have a repair."""

    def refused(content: str | bytes, name: str = "data.csv", kind: type[ElmanError] = DataError, **options):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(ElmanError) as caught:
            read_table(path, **options)
        assert type(caught.value) is kind
        assert caught.value.fix
        assert name in caught.value.problem or kind is UsageError
        return caught.value

    return refused


def test_rows_with_too_many_or_too_few_fields_are_all_named(refused):
    error = refused("good,1\nbad\nfine,1,extra\nok,0\n")
    assert error.where == (
        "line 2, column 2: expected 2 fields as in line 1, got 1\n"
        "line 3, column 3: expected 2 fields as in line 1, got 3"
    )
    assert "double quotes" in error.fix


def test_many_mistakes_are_counted_and_the_first_shown(refused):
    error = refused("a,1\n" + "b\n" * 20)
    assert error.problem.startswith("There are 20 mistakes")
    assert error.where.count("\n") == 5
    assert error.where.endswith("… and 15 more")


def test_lines_are_counted_across_quoted_line_ends(refused):
    assert refused('"a\n\nb",1\nc\n').where.startswith("line 4, column 2")


def test_a_missing_column_is_answered_with_the_nearest_and_the_list(refused):
    error = refused("title,label\na,1\n", text="titel")
    assert "no column named `titel`" in error.problem
    assert error.where == "line 1: 1 'title', 2 'label'"
    assert "Did you mean `title`? Valid: label, title." in error.fix
    assert "no column named `mood`" in refused("text,label\na,1\n", label="mood").problem


@pytest.mark.parametrize("number", [0, 3, "9"])
def test_a_column_number_beyond_the_columns(refused, number):
    error = refused("a,1\n", text=number)
    assert f"has no column {number}" in error.problem
    assert "from 1 to 2" in error.fix


def test_a_name_that_two_columns_have(refused):
    assert "2 columns named `text`" in refused("text,text,label\na,b,1\n").problem
    assert "2 columns named `label`" in refused("text,label,label\na,1,1\n").problem


def test_more_columns_than_can_be_guessed(refused):
    error = refused("a,b,1\n")
    assert "3 columns, and it is not clear which" in error.problem
    assert error.where == "line 1: 1 'a', 2 'b', 3 '1'"
    assert "3 columns" in refused("a,b,1\n", label=3).problem


def test_names_where_a_header_was_ruled_out(refused):
    refused("a,1\n", kind=UsageError, text="title", header=False)


@pytest.mark.parametrize("separator", ["", ",,", '"', "\r"])
def test_separators_that_cannot_be(refused, separator):
    refused("a,1\n", kind=UsageError, separator=separator)


def test_a_header_setting_that_is_not_known(refused):
    refused("a,1\n", kind=UsageError, header="yes")


@pytest.mark.parametrize("content", ["", "\n", "\n \n"])
@pytest.mark.parametrize("name", ["data.csv", "data.tsv", "data.txt", "data.jsonl"])
def test_an_empty_file(refused, content, name):
    assert refused(content, name).problem.endswith("is empty.")


@pytest.mark.parametrize("content", ["text,label\n", "text,label", "text,label\n\n\n"])
def test_a_file_that_is_only_a_header(refused, content):
    assert "a header but no rows" in refused(content).problem


@pytest.mark.parametrize("name", ["data.csv", "data.tsv", "data.txt", "data.jsonl"])
def test_bytes_that_are_not_utf8_and_nul_bytes(refused, name):
    assert refused(b"a,1\nb\xff,1\n", name).where == "byte 0xff at offset 5, line 2, column 2"
    assert refused(b"a,1\nb\0,1\n", name).where == "byte 0x00 at offset 5, line 2, column 2"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('a,1\nb,"c\nd,1\n', "line 2, column 3"),
        ('"a,1\nb,1\n', "line 1, column 1"),
        ('a,1\n"b"c,1\n', "line 2, column 1"),
        ('a,"x\ny"\nb,"c"d\n', "line 3, column 3"),
        ('a,"x\ny",""z,1\n', "line 2, column 4"),
        ('a,1\r\n"""b,1\r\n', "line 2, column 1"),
    ],
)
def test_quotes_that_do_not_close(refused, content, place):
    error = refused(content)
    assert error.where.startswith(f"{place}: the double quote that opens here")
    assert "Close the quote" in error.fix


def test_quotes_that_do_not_close_between_tabs(refused):
    assert refused('"Well" he said\t1\n', "data.tsv").where.startswith("line 1, column 1")


def test_blank_lines_between_rows(refused):
    error = refused("a,1\n\nb,1\n\n\n")
    assert error.where == "line 2: expected a row, got a blank line"
    assert "expected 2 fields" in refused("a,1\n  \nb,1\n").where
    assert refused("\na,1\n").where.startswith("line 1: expected a row, got a blank line")


@pytest.mark.parametrize("blank", ["", "  ", '""'])
def test_an_empty_label(refused, blank):
    assert refused(f"text,label\na,1\nb,{blank}\n").where == "line 3, column `label`: the label is empty"
    assert refused(f"a,1\nb,{blank}\n").where == "line 2, column 2: the label is empty"


def test_an_empty_last_row_between_tabs_is_a_row(refused):
    assert refused("a\t1\n\t\n", "data.tsv").where == "line 2, column 2: the label is empty"


def test_an_ending_that_is_not_known(refused):
    error = refused("a,1\n", "data.parquet")
    assert "end in .parquet" in error.problem
    assert ".jsonl" in error.fix


def test_a_missing_file_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "train.csv").write_text("a,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"Did you mean .*train\.csv"):
        read_table(tmp_path / "trian.csv")


GOOD = '{"text": "a", "label": "x"}\n'


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ('{"text": "a", "label": }', "line 2, column 24: this is not valid JSON: Expecting value"),
        ('{"text": "a" "label": 1}', "line 2, column 14: this is not valid JSON"),
        ('{"text": "a"', "line 2, column 13: this is not valid JSON"),
        (GOOD.strip() + GOOD.strip(), "line 2, column 28: this is not valid JSON: Extra data"),
        ('["a", "x"]', "line 2, column 1: expected an object, got a list"),
        ("", "line 2: expected an object, got a blank line"),
        ("[" * 100_000, "line 2: the lists in it are nested too deep"),
        ("9" * 5000, "line 2: a number in it has too many digits"),
        ('{"txt": "a", "label": "x"}', "line 2, column `text`: the field is missing. Did you mean `txt`?"),
        ('{"text": "a", "lable": "x"}', "line 2, column `label`: the field is missing. Did you mean `lable`?"),
        ("{}", "line 2, column `text`: the object has no fields"),
        ('{"text": "a", "text": "b", "label": "x"}', "line 2, column `text`: the field occurs twice"),
        ('{"text": 5, "label": "x"}', "line 2, column `text`: expected a text or a list of numbers, got a number"),
        ('{"text": null, "label": "x"}', "line 2, column `text`: expected a text or a list of numbers, got null"),
        ('{"text": true, "label": "x"}', "line 2, column `text`: expected a text or a list of numbers, got true"),
        ('{"text": {"a": 1}, "label": "x"}', "line 2, column `text`: expected a text or a list of numbers, got an"),
        ('{"text": "a", "label": ""}', "line 2, column `label`: the label is empty"),
        ('{"text": "a", "label": " "}', "line 2, column `label`: the label is empty"),
        ('{"text": "a", "label": null}', "line 2, column `label`: expected a label, got null"),
        ('{"text": "a", "label": ["x"]}', "line 2, column `label`: expected a label, got a list"),
        ('{"text": "a", "label": NaN}', "line 2, column `label`: expected a text, an integer"),
        ('{"text": [1, 2], "label": "x"}', "line 2, column `text`: expected a text as in the first record"),
    ],
)
def test_lines_that_are_no_record(refused, line, mistake):
    error = refused(GOOD + line + "\n" + GOOD, "data.jsonl")
    assert error.where.startswith(mistake)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[Infinity]", "step 1: expected a finite number, got inf"),
        ("[0, 1, -1e999]", "step 3: expected a finite number, got -inf"),
        ("[1" + "0" * 400 + "]", "step 1 is 1000000"),
        ('[1, "2"]', "step 2: expected a number, got a text"),
        ("[1, true]", "step 2: expected a number, got true or false"),
        ("[1, [2]]", "its steps differ in their number of features"),
        ("[[1, 2], [3]]", "its steps differ in their number of features: ['a list of 1', 'a list of 2']"),
        ("[[1, 2], [3, Infinity]]", "step 2: expected a finite number, got inf"),
        ("[[1, [2]]]", "step 1: expected a number, got a list"),
        ("[[1, 2]]", "expected a list of numbers as in the first record, got a list of lists of 2 numbers"),
        ('"a"', "expected a list of numbers as in the first record, got a text"),
    ],
)
def test_sequences_of_numbers_that_are_wrong(refused, text, mistake):
    error = refused('{"text": [0.5], "label": "x"}\n{"text": ' + text + ', "label": "x"}\n', "data.jsonl")
    assert error.where.startswith(f"line 2, column `text`: {mistake}")


def test_all_wrong_lines_are_named_at_once(refused):
    error = refused(GOOD + "{\n" + GOOD + '{"text": "a"}\n', "data.jsonl")
    assert error.problem.startswith("There are 2 mistakes")
    assert "line 2, column" in error.where
    assert "line 4, column `label`" in error.where


def test_jsonl_texts_to_join_must_be_texts(refused):
    error = refused('{"a": "x", "b": 5, "label": "x"}\n', "data.jsonl", text="a,b")
    assert error.where == "line 1, column `b`: expected a text, got a number"


def test_jsonl_has_no_header(refused):
    refused(GOOD, "data.jsonl", kind=UsageError, header=True)
