"""Files opened, unpacked and decoded: `elman.data.files`."""

import bz2
import gzip
import io
import lzma
import sys

import pytest

from elman.data.files import read_source
from elman.errors import DataError, UsageError

PACK = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


def written(folder, content: bytes, name: str = "data.csv"):
    path = folder / name
    path.write_bytes(content)
    return path


def refused(path) -> DataError:
    with pytest.raises(DataError) as caught:
        read_source(path)
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("upper", [False, True])
def test_compressed_files_are_unpacked(tmp_path, ending, upper):
    name = "data.csv" + (ending.upper() if upper else ending)
    source = read_source(written(tmp_path, PACK[ending]("é,1\n".encode()), name))
    assert source.lines == ["é,1\n"]
    assert source.ending == ".csv"


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("damage", [lambda packed: packed[:-6], lambda packed: b"text,label\n"], ids=["cut", "plain"])
def test_a_damaged_compressed_file_is_refused(tmp_path, ending, damage):
    packed = PACK[ending](b"text,label\n" * 1000)
    error = refused(written(tmp_path, damage(packed), "data.csv" + ending))
    assert f"cannot be unpacked as {ending}" in error.problem


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("é\nb".encode())))
    source = read_source("-")
    assert (source.name, source.ending, source.lines) == ("standard input", "", ["é\n", "b"])


def test_a_byte_order_mark_is_left_out(tmp_path):
    assert read_source(written(tmp_path, b"\xef\xbb\xbftext\n")).lines == ["text\n"]


def test_lines_end_as_they_are_and_nowhere_else(tmp_path):
    content = "a\r\nb\rc\nd\u2028e\x0bf\x85g"
    assert read_source(written(tmp_path, content.encode())).lines == ["a\r\n", "b\rc\n", "d\u2028e\x0bf\x85g"]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_bytes_that_are_not_utf8_are_named_by_offset_line_and_column(tmp_path, mark):
    error = refused(written(tmp_path, mark + "é,1\r\nné".encode() + b"\xe9,2\n"))
    assert error.problem.endswith("data.csv is not UTF-8.")
    assert error.where == f"byte 0xe9 at offset {9 + len(mark)}, line 2, column 3"
    assert "UTF-8" in error.fix


def test_a_file_in_utf16_is_refused(tmp_path):
    error = refused(written(tmp_path, "a,1\n".encode("utf-16")))
    assert error.where == "byte 0xff at offset 0, line 1, column 1"
    assert "--encoding utf-16" in error.fix


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252", "latin-1", "UTF-8", "utf-8-sig"])
def test_a_given_encoding_is_read(tmp_path, encoding):
    content = "caf\u00e9,1\r\nna\u00efve,2\n".encode(encoding)
    assert read_source(written(tmp_path, content), encoding).lines == ["caf\u00e9,1\r\n", "na\u00efve,2\n"]


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        ("a,1\nb,2\n".encode("utf-16-le"), "--encoding utf-16-le"),
        ("a,1\nb,2\n".encode("utf-16-be"), "--encoding utf-16-be"),
        (b"caf\xe9,1\n", "--encoding cp1252"),
        (b"PK\x03\x04\xff\xff", "export it as CSV"),
    ],
)
def test_the_refusal_names_the_encoding_that_it_may_be(tmp_path, content, fix):
    assert fix in refused(written(tmp_path, content)).fix


def test_a_wrong_encoding_is_refused(tmp_path):
    with pytest.raises(UsageError, match="'utf-88' is not a text encoding"):
        read_source(written(tmp_path, b"a,1\n"), "utf-88")
    with pytest.raises(DataError, match="is not ascii"):
        read_source(written(tmp_path, "\u00e9,1\n".encode()), "ascii")
    with pytest.raises(DataError, match="NUL character"):
        read_source(written(tmp_path, "a,1\n".encode("utf-16-le")), "latin-1")


def test_a_nul_byte_is_named(tmp_path):
    error = refused(written(tmp_path, b"a,1\nb\0,2\n"))
    assert "NUL byte" in error.problem
    assert error.where == "byte 0x00 at offset 5, line 2, column 2"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"  \r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path, content):
    assert refused(written(tmp_path, content)).problem.endswith("data.csv is empty.")


def test_a_missing_file_is_answered_with_the_nearest(tmp_path):
    written(tmp_path, b"x", "train.csv")
    written(tmp_path, b"x", "other.txt")
    error = refused(tmp_path / "trian.csv")
    assert f"Did you mean `{tmp_path / 'train.csv'}`" in error.fix
    assert "other.txt, train.csv" in error.fix
    assert "Did you mean" not in refused(tmp_path / "zzzzzz").fix


def test_a_missing_folder_and_an_empty_one(tmp_path):
    assert "There is no folder" in refused(tmp_path / "nowhere" / "train.csv").fix
    assert "is empty" in refused(tmp_path / "train.csv").fix


def test_a_folder_is_no_file(tmp_path):
    assert "cannot be read" in refused(tmp_path).problem
