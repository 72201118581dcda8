"""A file is the old one or the new one, and no temporary file is left."""

from pathlib import Path

import pytest

from elman.files import atomic_write, atomic_write_all, sha256


def test_bytes_text_and_functions_are_written(tmp_path: Path):
    for content in (b"gate", "gate", lambda path: path.write_text("gate")):
        atomic_write(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == b"gate"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_writer_that_is_interrupted_leaves_the_old_file(tmp_path: Path):
    def interrupted(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    atomic_write(tmp_path / "file", "old")
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "file", interrupted)
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_several_files_wait_for_the_last(tmp_path: Path):
    def fails(path: Path) -> None:
        raise OSError("disk full")

    atomic_write(tmp_path / "a", "old")
    with pytest.raises(OSError, match="disk full"):
        atomic_write_all(tmp_path, {"a": "new", "b": fails})
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_missing_folder_is_an_error_of_the_system(tmp_path: Path):
    with pytest.raises(FileNotFoundError) as caught:
        atomic_write(tmp_path / "none" / "file", "text")
    assert caught.value.filename == str(tmp_path / "none" / "file")


def test_the_checksum_is_the_published_one(tmp_path: Path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")
