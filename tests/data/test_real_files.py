"""Files as Kaggle, Hugging Face, fastText, UCI and spreadsheets write them."""

import json
from pathlib import Path

import pytest

from elman.data.tables.table_format import TableFormat
from elman.data.tables.tables import Table, read_table
from elman.errors import DataError, UsageError


@pytest.fixture
def read(tmp_path: Path):
    def read(content: str | bytes, name: str = "data.csv", **options) -> Table:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_table(path, **options)

    return read


def pairs(table: Table) -> list[tuple]:
    return list(zip(table.texts, table.labels or [None] * len(table), strict=True))


WORDS = [("good", "pos"), ("bad", "neg"), ("fine", "pos"), ("poor", "neg")]


@pytest.mark.parametrize(
    "names",
    ["sentence,label", "review,sentiment", "Text,Label", "Message Body,Category", "Tweet,airline_sentiment", "Foo,Bar"],
)
def test_a_header_is_found_whatever_it_says(read, names):
    table = read(names + "\n" + "".join(f"{text},{label}\n" for text, label in WORDS))
    assert pairs(table) == WORDS
    assert table.format.header
    assert table.format.text_names == (names.split(",")[0],)


def test_columns_of_usual_names_are_found_in_any_order(read):
    assert pairs(read("Category,Message\nham,hi there\nspam,buy\nham,ok\n")) == [
        ("hi there", "ham"),
        ("buy", "spam"),
        ("ok", "ham"),
    ]
    assert pairs(read("id,review,sentiment\n1,good,pos\n2,bad,neg\n")) == [("good", "pos"), ("bad", "neg")]


def test_words_over_numbers_are_a_header(read):
    assert pairs(read("Frase,Clase\nbueno,1\nmalo,0\n")) == [("bueno", 1), ("malo", 0)]


def test_a_first_row_whose_label_comes_again_is_a_row(read):
    assert pairs(read("text,label\nother,label\nthis,that\n", header="auto"))[0] == ("text", "label")


def test_a_header_that_cannot_be_known_is_an_error_with_both_flags(read):
    with pytest.raises(DataError) as caught:
        read("uno,a\ndos,b\ntres,c\n")
    assert "--header" in caught.value.fix
    assert "--no-header" in caught.value.fix
    assert pairs(read("uno,a\ndos,b\ntres,c\n", header=False)) == [("uno", "a"), ("dos", "b"), ("tres", "c")]
    assert pairs(read("uno,a\ndos,b\ntres,c\n", header=True)) == [("dos", "b"), ("tres", "c")]


def test_a_rare_first_label_beside_one_other_is_not_dropped_as_a_header(read):
    with pytest.raises(DataError, match="may be a header or not"):
        read("ab,x\ncd,y\nef,y\n")


def test_a_header_is_also_found_where_columns_are_given_by_number(read):
    assert pairs(read("sentiment,review\npos,good\nneg,bad\n", text=2, label=1)) == [("good", "pos"), ("bad", "neg")]


def test_a_repeated_header_is_named(read):
    with pytest.raises(DataError, match="line 4: the row repeats the header"):
        read("text,label\ngood,pos\nbad,neg\ntext,label\nfine,pos\n")


@pytest.mark.parametrize("name", ["data.tsv", "data.tab", "data.txt"])
def test_tabs(read, name):
    assert pairs(read("good\t1\nbad\t0\n", name)) == [("good", 1), ("bad", 0)]


@pytest.mark.parametrize("name", ["data.jsonl", "data.ndjson", "data.json", "data.jsonl.gz"])
def test_json_lines(read, name):
    import gzip

    content = b'{"text": "good", "label": "pos"}\n{"text": "bad", "label": "neg"}\n'
    assert pairs(read(gzip.compress(content) if name.endswith("gz") else content, name)) == WORDS[:2]


def test_a_json_array_is_named(read):
    with pytest.raises(DataError, match="one JSON array"):
        read('[{"text": "good", "label": "pos"},\n{"text": "bad", "label": "neg"}]\n', "data.json")


def test_json_fields_within_others_and_of_usual_names(read):
    rows = [{"review": {"body": "good", "stars": 5}, "x.y": 1}, {"review": {"body": "bad", "stars": 1}, "x.y": 2}]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    assert pairs(read(content, "a.jsonl", text="review.body", label="review.stars")) == [("good", 5), ("bad", 1)]
    assert read(content, "a.jsonl", text="review.body", label="x.y").labels == [1, 2]
    with pytest.raises(DataError, match=r"Did you mean `review\.body`"):
        read(content, "a.jsonl", text="review.bdy")
    usual = "".join(json.dumps({"sentence": text, "sentiment": label}) + "\n" for text, label in WORDS)
    assert pairs(read(usual, "a.jsonl")) == WORDS


def test_json_labels_of_two_types_are_refused_with_their_lines(read):
    with pytest.raises(DataError, match="line 2, column `label`: expected an integer as in the first record"):
        read('{"text": "a", "label": 1}\n{"text": "b", "label": "1"}\n', "a.jsonl")


def test_a_number_beyond_float32_is_named(read):
    with pytest.raises(DataError, match=r"step 2 is 1e\+300, which is too large for float32"):
        read('{"text": [1, 1e300], "label": "a"}\n', "a.jsonl")


def test_fasttext(read):
    table = read("__label__pos so good\n__label__neg so bad , really\n", "train.txt")
    assert pairs(table) == [("so good", "pos"), ("so bad , really", "neg")]
    assert read("__label__2 good\n__label__1 bad\n", "a.ft.txt").labels == [2, 1]
    with pytest.raises(DataError, match="line 2, column 14: expected one label"):
        read("__label__a x\n__label__pos __label__neg both\n", "train.txt")
    with pytest.raises(UsageError, match="no columns"):
        read("__label__a x\n", "train.txt", text=1)


def test_quotes_between_tabs_that_swallow_lines_are_named_with_both_lines(read):
    content = 'text\tlabel\n"good\tpos\nbad\tneg\nso-so"\tpos\nfine\tpos\n'
    with pytest.raises(DataError) as caught:
        read(content, "data.tsv")
    assert "runs from line 2 to line 4" in caught.value.problem
    assert "--quote none" in caught.value.fix
    assert read(content, "data.tsv", quote="none").texts == ['"good', "bad", 'so-so"', "fine"]
    assert read('"a\nb"\t1\n"c\nd"\t0\n', "data.tsv", quote='"').texts == ["a\nb", "c\nd"]


def test_another_quote_character(read):
    assert pairs(read("'a, b',x\nc\"d,y\n'it''s',x\n'e',y\n", quote="'", header=False)) == [
        ("a, b", "x"),
        ('c"d', "y"),
        ("it's", "x"),
        ("e", "y"),
    ]
    with pytest.raises(UsageError, match="cannot be the quote"):
        read("a,b\n", quote=",")


def test_blanks_around_quoted_fields_are_not_part_of_them(read):
    assert pairs(read('"a, b", "1"\n"c" , 0\n')) == [("a, b", 1), ("c", 0)]


def test_a_lone_carriage_return_is_part_of_a_text(read):
    assert pairs(read("a\rb,1\r\nc,0\r\n")) == [("a\rb", 1), ("c", 0)]
    assert read("a\rb\nc\n", "data.txt", labelled=False).texts == ["a\rb", "c"]
    assert pairs(read('"a\rb",1\nc,0\n')) == [("a\rb", 1), ("c", 0)]


@pytest.mark.parametrize(("content", "flag"), [("text;label\na;1\nb;0\n", "';'"), ("a\tpos\nb\tneg\n", "tab")])
def test_a_wrong_separator_is_suspected_and_named(read, content, flag):
    with pytest.raises(DataError, match="one column") as caught:
        read(content)
    assert f"--separator {flag}" in caught.value.fix


def test_a_wrong_separator_is_suspected_where_texts_have_commas(read):
    with pytest.raises(DataError) as caught:
        read("text;label\na, b, c;1\nb;0\nd, e;1\n")
    assert "--separator ';'" in caught.value.fix


def test_the_separator_line_of_a_spreadsheet(read):
    table = read(b"\xef\xbb\xbfsep=;\r\ntext;label\r\ngood, fine;pos\r\nbad;neg\r\n")
    assert pairs(table) == [("good, fine", "pos"), ("bad", "neg")]
    assert table.lines == [3, 4]


@pytest.mark.parametrize(("typed", "meant"), [(r"\t", "\t"), ("tab", "\t"), (r"\n", "\n")])
def test_a_separator_as_it_is_typed(read, typed, meant):
    assert read("a\t1\nb\t0\n", "data.txt", separator=typed).format.separator == meant


def test_trailing_separators_and_an_index_without_a_name(read):
    assert pairs(read("good,1,\nbad,0,\n")) == [("good", 1), ("bad", 0)]
    assert pairs(read(",review,sentiment\n0,good,pos\n1,bad,neg\n")) == [("good", "pos"), ("bad", "neg")]
    assert pairs(read("Unnamed: 0,t,l\n0,good,1\n1,bad,0\n", header=True)) == [("good", 1), ("bad", 0)]


def test_comment_lines_are_named(read):
    with pytest.raises(DataError, match="line 1, column 2: expected 2 fields as in line 3, got 1") as caught:
        read("# words of two kinds\n# 2020\ngood,1\nbad,0\n")
    assert "remove comment lines" in caught.value.fix


def test_lines_that_end_with_carriage_returns_are_named(read):
    with pytest.raises(DataError, match="no line feed"):
        read("text,label\rgood,1\rbad,0\r")


def test_a_wide_table_is_not_listed_whole(read):
    wide = ",".join(f"column{number}" for number in range(1000))
    with pytest.raises(DataError) as caught:
        read(f"{wide}\n{wide.upper()}\n", text="text")
    assert "and 988 more" in caught.value.where
    assert len(str(caught.value)) < 1000


def test_the_text_in_the_second_column_is_suspected(read):
    rows = "".join(f"{'ham' if n % 3 else 'spam'},message number {n}\n" for n in range(60))
    with pytest.raises(DataError) as caught:
        read(rows, header=False)
    assert "--text 2 --label 1" in caught.value.fix
    assert len(read(rows, text=2, label=1)) == 60


def test_a_spreadsheet_is_refused_by_its_ending(read):
    with pytest.raises(DataError, match=r"end in \.xlsx cannot be read") as caught:
        read(b"PK\x03\x04\0\0", "data.xlsx")
    assert "Export the spreadsheet as CSV" in caught.value.fix


def test_a_folder_with_a_sub_folder_for_each_label(tmp_path):
    for label, texts in {"pos": ["good\nfilm\n", "fine"], "neg": ["bad"]}.items():
        (tmp_path / "data" / label).mkdir(parents=True)
        for number, text in enumerate(texts):
            (tmp_path / "data" / label / f"{number}_7.txt").write_text(text)
    (tmp_path / "data" / "urls.txt").write_text("http")
    (tmp_path / "data" / ".DS_Store").write_bytes(b"\0")
    table = read_table(tmp_path / "data")
    assert pairs(table) == [("bad", "neg"), ("good\nfilm", "pos"), ("fine", "pos")]
    assert table.positions[0] == str(tmp_path / "data" / "neg" / "0_7.txt")
    assert any("urls.txt" in note for note in table.notes)
    assert table.positions[2:3] == [str(tmp_path / "data" / "pos" / "1_7.txt")]
    with pytest.raises(UsageError, match="no columns"):
        read_table(tmp_path / "data", label=2)


def test_a_folder_with_a_file_for_each_label(tmp_path):
    (tmp_path / "English.txt").write_text("Smith\nJones\n")
    (tmp_path / "Greek.txt").write_text("Onasis\n")
    table = read_table(tmp_path)
    assert pairs(table) == [("Smith", "English"), ("Jones", "English"), ("Onasis", "Greek")]
    assert table.positions[1] == f"{tmp_path / 'English.txt'}, line 2"
    (tmp_path / "Greek.txt").write_bytes(b"\xff\n")
    with pytest.raises(DataError, match=r"Greek\.txt is not UTF-8"):
        read_table(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no texts"):
        read_table(tmp_path)


FORMATS = {
    "names": ("a.csv", "when,review,mood\n1,good,pos\n2,bad,neg\n", {"text": "review", "label": "mood"}),
    "numbers": ("a.tsv", "pos\t7\tgood\nneg\t8\tbad\n", {"text": 3, "label": 1, "header": False}),
    "semicolons": ("a.csv", "text;label\ngood;pos\nbad;neg\n", {"separator": ";"}),
    "no quotes": ("a.tsv", '"good\tpos\nbad"\tneg\n', {"quote": "none", "header": False}),
    "encoding": ("a.csv", "text,label\ncaf\xe9,pos\nbad,neg\n".encode("cp1252"), {"encoding": "cp1252"}),
    "json": (
        "a.json",
        '{"a": {"b": "good"}, "c": "pos"}\n{"a": {"b": "bad"}, "c": "neg"}\n',
        {"text": "a.b", "label": "c"},
    ),
    "fasttext": ("a.txt", "__label__pos good\n__label__neg bad\n", {}),
    "comma text": ("a.txt", "good,pos\nbad,neg\n", {"header": False}),
    "no ending": ("a", "good\tpos\nbad\tneg\n", {"header": False}),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_is_read_again_as_it_was_read_first(read, kind):
    name, content, options = FORMATS[kind]
    first = read(content, name, **options)
    form = TableFormat.from_json(json.loads(json.dumps(first.format.to_json())))
    assert form == first.format
    again = read(content, name, known=form)
    assert (again.texts, again.labels, again.format) == (first.texts, first.labels, first.format)
    assert read(content, name, known=form, labelled=False).texts == first.texts


def test_what_a_flag_says_goes_before_what_the_model_knows(read):
    known = read("a,b,c\n1,x,p\n2,y,q\n", text="a", label="c").format
    assert read("a,b,c\n1,x,p\n2,y,q\n", text="b", known=known).texts == ["x", "y"]
    assert read("text,label\ngood,pos\nbad,neg\n", known=known).texts == ["good", "bad"]
    assert read("x\ty\n", "b.tsv", known=known, header=False).texts == ["x"]


def test_columns_of_other_names_are_not_taken_by_their_position(read):
    known = read("review,mood,n\ngood,pos,1\nbad,neg,2\n", text="review", label="mood").format
    other = "foo,bar,baz\n7,good,1\n8,bad,2\n"
    with pytest.raises(DataError, match="may be a header or not"):
        read(other, known=known, labelled=False)
    with pytest.raises(DataError, match="it is not clear which is the text"):
        read(other, known=known, labelled=False, header=True)
    assert read(other, known=known, labelled=False, header=False).texts == ["foo", "7", "8"]


def test_texts_without_labels_are_not_split_at_commas(read):
    content = "Well, good\nBad, really\n"
    assert read(content, "data.txt", labelled=False).texts == ["Well, good", "Bad, really"]
    known = read("text,label\ngood,pos\nbad,neg\n").format
    assert read(content, "data.txt", labelled=False, known=known).texts == ["Well, good", "Bad, really"]
    assert read("text\ngood\nbad\n", known=known, labelled=False).texts == ["good", "bad"]
