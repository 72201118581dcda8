"""A text read piece by piece is the text, wherever it comes from, and what is wrong with it is told by its place."""

import gzip
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.text import corpus as module
from elman.data.text.corpus import open_corpus
from elman.errors import DataError, UsageError

TEXT = "Æther, naïve — 𝄞 music\nand a second line\n" * 3


@pytest.fixture(params=[1, 2, 7])
def small_pieces(request, monkeypatch):
    monkeypatch.setattr(module, "PIECE_BYTES", request.param)


def sources(folder: Path) -> list:
    (folder / "plain.txt").write_text(TEXT)
    (folder / "packed.gz").write_bytes(gzip.compress(TEXT.encode()))
    (folder / "packed.xz").write_bytes(lzma.compress(TEXT.encode()))
    files = [folder / name for name in ("plain.txt", "packed.gz", "packed.xz")]
    return [TEXT, *files, (line + "\n" for line in TEXT.splitlines())]


@pytest.mark.usefixtures("small_pieces")
def test_every_source_gives_the_text_as_often_as_it_is_asked(tmp_path):
    for source in sources(tmp_path):
        corpus = open_corpus(source)
        for _ in range(2):
            assert "".join(corpus.pieces()) == TEXT
            assert b"".join(corpus.byte_pieces()) == TEXT.encode()
        assert corpus.digest == open_corpus(TEXT).digest
        assert corpus.size() == len(TEXT.encode())


def test_a_byte_order_mark_is_left_out(tmp_path):
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbfabc")
    assert "".join(open_corpus(tmp_path / "marked.txt").pieces()) == "abc"


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"one\ntwo\ncaf\xe9 four\n", "byte 0xe9 at offset 11, line 3"),
        (b"\xff\xfea", "byte 0xff at offset 0, line 1"),
        ("ok\n€".encode()[:-1], "byte 0xe2 at offset 3, line 2"),
    ],
)
def test_what_is_no_utf_8_is_told_by_its_byte_and_line(tmp_path, content, said):
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"text\.txt is not UTF-8") as caught:
        list(open_corpus(tmp_path / "text.txt").pieces())
    assert said in str(caught.value)
    assert "(--encoding)" in str(caught.value)
    assert "--tokens bytes" in str(caught.value)


ENCODINGS = {
    "latin-1": "Æther, naïve\n",
    "utf-8-sig": TEXT,
    "utf-16": TEXT,
    "utf-16-le": "\ufeff" + TEXT,
    "gbk": "\u5faa\u73af\n\u7f51\u7edc",
}


@pytest.mark.parametrize(
    ("content", "where", "guess"),
    [
        ("one\ntwo\n" * 9, "byte 0x00 at offset 1, line 1", "It looks like UTF-16: --encoding utf-16-le."),
        (b"one\nt\0wo\n", "byte 0x00 at offset 5, line 2", "If it is UTF-8, remove the NUL bytes."),
    ],
)
def test_a_nul_byte_in_a_file_is_refused_unless_the_tokens_are_bytes(tmp_path, monkeypatch, content, where, guess):
    path, packed = tmp_path / "text.txt", tmp_path / "packed.gz"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-16-le"))
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for size in (20, 2**20):
        monkeypatch.setattr(module, "PIECE_BYTES", size)
        for source in (path, packed, [path, packed]):
            with pytest.raises(DataError, match=r"(text\.txt|packed\.gz) holds a NUL byte") as caught:
                list(open_corpus(source).pieces())
            assert caught.value.where == where
            assert guess in caught.value.fix
            assert "--tokens bytes" in caught.value.fix
    assert b"".join(open_corpus(path).byte_pieces()) == path.read_bytes()


@pytest.mark.usefixtures("small_pieces")
def test_a_nul_that_another_encoding_gives_is_refused(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("one\ntwo\n".encode("utf-16-le"))
    with pytest.raises(DataError, match="NUL character when it is read as latin-1") as caught:
        open_corpus(path, encoding="latin-1")
    assert caught.value.where == "line 1"
    assert "".join(open_corpus(path, encoding="utf-16-le").pieces()) == "one\ntwo\n"
    # A model of texts in UTF-16 reads such a file without a flag.
    assert "".join(open_corpus(path, fallback="utf-16-le").pieces()) == "one\ntwo\n"


def test_a_text_that_is_a_string_may_hold_nul():
    for text in ("a\0b", iter(["a\0", "b"])):
        assert "".join(open_corpus(text).pieces()) == "a\0b"


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_files_in_another_encoding_are_the_text(tmp_path, encoding):
    text = ENCODINGS[encoding]
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(text.encode(encoding)))
    paths = [tmp_path / "a.txt", tmp_path / "b.txt.gz"]
    text = text.removeprefix("\ufeff")
    for path in paths:
        corpus = open_corpus(path, encoding=encoding)
        assert ("".join(corpus.pieces()), corpus.name, corpus.digest) == (text, str(path), open_corpus(text).digest)
    both = open_corpus(paths, encoding=encoding)
    line_end = "" if text.endswith("\n") else "\n"
    assert "".join(both.pieces()) == text + line_end + text
    assert both.locate(len(text + line_end)) == f"{paths[1]}, line 1, column 1"


@pytest.mark.usefixtures("small_pieces")
def test_the_first_byte_that_is_not_in_the_encoding_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match=r"a\.txt is not ascii") as caught:
        open_corpus(tmp_path / "a.txt", encoding="ascii")
    assert caught.value.where == "byte 0xe9 at offset 3"
    (tmp_path / "a.txt").write_bytes("a€".encode("utf-16-le")[:-1])
    with pytest.raises(DataError, match=r"a\.txt is not utf-16-le: truncated data") as caught:
        open_corpus(tmp_path / "a.txt", encoding="utf-16-le")
    assert caught.value.where == "byte 0xac at offset 2"
    with pytest.raises(UsageError, match="not a text encoding"):
        open_corpus(tmp_path / "a.txt", encoding="klingon")


def test_the_encoding_of_the_training_text_is_for_files_that_are_not_utf_8(tmp_path):
    for name, encoding in (("a.txt", "utf-8"), ("b.txt", "latin-1")):
        (tmp_path / name).write_bytes("naïve\n".encode(encoding))
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    assert "".join(open_corpus(paths, fallback="latin-1").pieces()) == "naïve\n" * 2
    assert "".join(open_corpus(paths, encoding="latin-1", fallback="utf-16").pieces()) == "naÃ¯ve\nnaïve\n"


@pytest.mark.usefixtures("small_pieces")
def test_a_character_is_told_by_its_line_and_column_in_the_whole_text(tmp_path):
    for source in sources(tmp_path):
        parts = open_corpus(source).split(0.3, 0.7)
        characters = [(part, place) for part in parts for place in range(len("".join(part.pieces())))]
        for whole, (part, place) in enumerate(characters):
            before = TEXT[:whole].split("\n")
            assert part.locate(place) == f"{part.name}, line {len(before)}, column {len(before[-1]) + 1}"


def test_a_byte_order_mark_in_the_middle_is_a_character():
    first, second = open_corpus("ab\ufeffcd").split(0.3, 0.7)
    assert ("".join(first.pieces()), "".join(second.pieces())) == ("ab", "\ufeffcd")


def test_several_files_are_one_text(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo")
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfthree\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.txt").write_text("four")
    paths = [tmp_path / name for name in ("a.txt", "b.txt", "sub/c.txt")]
    corpus = open_corpus(paths)
    assert "".join(corpus.pieces()) == "one\ntwo\nthree\nfour"
    assert corpus.locate(4) == f"{paths[0]}, line 2, column 1"
    assert corpus.locate(8) == f"{paths[1]}, line 1, column 1"
    assert corpus.split(0.5, 0.5)[1].locate(5) == f"{paths[2]}, line 1, column 1"
    assert open_corpus(paths).name == f"{paths[0]} and 2 more files"
    assert open_corpus(paths[:1]).name == str(paths[0])
    paths[1].write_bytes(b"ok\nn\xff\n")
    with pytest.raises(DataError, match=r"b\.txt is not UTF-8") as caught:
        list(open_corpus(paths).pieces())
    assert caught.value.where == "byte 0xff at offset 4, line 2"


def test_rubbish_is_refused(tmp_path):
    (tmp_path / "cut.gz").write_bytes(gzip.compress(TEXT.encode())[:20])
    with pytest.raises(DataError, match="cut short"):
        list(open_corpus(tmp_path / "cut.gz").pieces())
    with pytest.raises(DataError, match="no file"):
        open_corpus(tmp_path / "none.txt")
    with pytest.raises(DataError, match="is a folder"):
        open_corpus(tmp_path)
    with pytest.raises(DataError, match="Part 2 of the text is a int"):
        open_corpus(["one", 2])  # pyright: ignore[reportArgumentType]
    with pytest.raises(DataError, match="surrogate") as caught:
        open_corpus("abc\ud800")
    assert "character 4" in str(caught.value)


@given(text=st.text(min_size=1), shares=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=4))
def test_parts_are_whole_characters_that_make_the_text(text, shares):
    text = text.encode(errors="replace").decode()
    total = sum(shares)
    fractions = [share / total for share in shares]
    parts = open_corpus(text).split(*fractions)
    texts = ["".join(part.pieces()) for part in parts]
    assert "".join(texts).lstrip("\ufeff") == text.lstrip("\ufeff")
    for part, fraction in zip(texts, fractions, strict=True):
        assert abs(len(part.encode()) - fraction * len(text.encode())) <= 4
