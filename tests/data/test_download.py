"""Data sets from a server on this machine: whole, cut, wrong, slow, moved, and on a disk without room."""

import errno
import gzip
import hashlib
import io
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from elman.data.known import download
from elman.data.known.catalogue import DATASETS, DataFile, Dataset
from elman.data.known.download import CHUNK, get_dataset
from elman.errors import DataError

TEXT = bytes(range(256)) * 2000
SHA = hashlib.sha256(TEXT).hexdigest()
OTHER = b"<html>sign in to the network first</html>"


def zipped(name: str, content: bytes) -> bytes:
    room = io.BytesIO()
    with zipfile.ZipFile(room, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return room.getvalue()


class Server(BaseHTTPRequestHandler):
    """Answers as a path's first word says, and remembers what was asked."""

    files: ClassVar[dict[str, bytes]] = {
        "text": TEXT,
        "long": TEXT + b" Hol Hol",
        "text.gz": gzip.compress(TEXT),
        "text.zip": zipped("inner/text", TEXT),
        "other": OTHER,
    }
    asked: ClassVar[list[tuple[str, str | None]]] = []
    cuts: ClassVar[list[int]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        how, name = self.path.strip("/").split("/")
        wanted = self.headers.get("Range")
        self.asked.append((how, wanted))
        if how.isdigit():
            self.answer(int(how), b"", {})
        elif how == "moved":
            self.answer(302, b"", {"Location": f"/whole/{name}"})
        elif how == "silent":
            time.sleep(2)
        else:
            self.serve(how, self.files[name], wanted)

    def serve(self, how: str, content: bytes, wanted: str | None) -> None:
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and how != "forgetful" else 0
        if start >= len(content):
            self.answer(416, b"", {})
            return
        rest = content[start:]
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        stop = self.cuts.pop(0) if how in ("cut", "forgetful") and self.cuts else len(rest)
        self.answer(206 if start else 200, rest, headers, stop)

    def answer(self, status: int, body: bytes, headers: dict[str, str], stop: int | None = None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:stop])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def known(address: str, monkeypatch: pytest.MonkeyPatch):
    """Makes elman know a data set `small` of one file at an address of the server, or of these files."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Server.asked.clear()
    Server.cuts.clear()

    def make(path: str = "whole/text", **changes: object) -> DataFile:
        file = replace(DataFile("text", "text", len(TEXT), f"{address}/{path}", SHA), **changes)
        monkeypatch.setitem(DATASETS, "small", Dataset("small", "test", "bytes", "none", "here", (file,)))
        return file

    return make


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "small").iterdir()}


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("whole/text", {}),
        ("moved/text", {}),
        ("whole/text.gz", {"packing": "gz", "packed_sha256": hashlib.sha256(Server.files["text.gz"]).hexdigest()}),
        ("whole/text.zip", {"packing": "zip", "member": "inner/text"}),
        ("whole/text.zip", {"packing": "zip", "member": "inner/text", "sha256": None}),
        ("whole/long", {"packing": "head"}),
    ],
)
def test_a_file_arrives_whole_and_unpacked_and_is_not_got_twice(known, tmp_path, path, changes):
    known(path, **changes)
    seen = []
    (got,) = get_dataset("small", tmp_path / "new", progress=lambda *given: seen.append(given))
    assert (got.path, got.downloaded) == (tmp_path / "new" / "small" / "text", True)
    assert contents(tmp_path / "new") == {"text": TEXT}
    assert seen[-1][:2] == ("text", seen[-1][2])
    requests = len(Server.asked)
    (again,) = get_dataset("small", tmp_path / "new")
    assert (again.downloaded, len(Server.asked)) == (False, requests)


def test_a_packed_copy_counts(known, tmp_path):
    known()
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "text.gz").write_bytes(gzip.compress(TEXT))
    (got,) = get_dataset("small", tmp_path)
    assert (got.path.name, got.downloaded, Server.asked) == ("text.gz", False, [])


def test_a_damaged_file_is_got_again(known, tmp_path):
    known()
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "text").write_bytes(TEXT[:-1])
    assert get_dataset("small", tmp_path)[0].downloaded
    assert contents(tmp_path) == {"text": TEXT}


@pytest.mark.parametrize("sha", [SHA, None])
def test_a_damaged_file_goes_only_when_the_new_one_is_there(known, tmp_path, sha):
    packed = {"packing": "gz", "packed_sha256": hashlib.sha256(Server.files["text.gz"]).hexdigest(), "sha256": sha}
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "text").write_bytes(TEXT[:-1])
    known("503/text.gz", **packed)
    with pytest.raises(DataError, match="503"):
        get_dataset("small", tmp_path)
    assert contents(tmp_path) == {"text": TEXT[:-1]}
    known("whole/text.gz", **packed)
    (got,) = get_dataset("small", tmp_path)
    assert (got.path, got.downloaded) == (tmp_path / "small" / "text", True)
    assert contents(tmp_path) == {"text": TEXT}


def test_a_cut_connection_is_reported_and_the_next_call_resumes(known, tmp_path):
    known("cut/text")
    Server.cuts[:] = [2 * CHUNK, 3 * CHUNK]
    for kept in ("131,072", "327,680"):
        with pytest.raises(DataError, match="was cut short") as caught:
            get_dataset("small", tmp_path)
        assert f"The {kept} bytes received so far are kept" in caught.value.fix
        assert "text" not in contents(tmp_path)
    get_dataset("small", tmp_path)
    assert [wanted for _, wanted in Server.asked] == [None, "bytes=131072-", "bytes=327680-"]
    assert contents(tmp_path) == {"text": TEXT}


def test_a_server_that_cannot_go_on_gives_all_of_it_again(known, tmp_path):
    known("forgetful/text")
    Server.cuts[:] = [100_000]
    with pytest.raises(DataError):
        get_dataset("small", tmp_path)
    get_dataset("small", tmp_path)
    assert contents(tmp_path) == {"text": TEXT}


def test_a_file_that_changed_while_it_was_cut_is_refused_and_then_got_whole(known, tmp_path):
    known()
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / ".text.part").write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match="not the one that elman knows"):
        get_dataset("small", tmp_path)
    assert contents(tmp_path) == {}
    get_dataset("small", tmp_path)
    assert contents(tmp_path) == {"text": TEXT}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"packing": "gz"},
        {"packing": "zip", "member": "inner/text"},
        {"packing": "zip", "member": "inner/text", "packed_sha256": SHA},
        {"packing": "head"},
    ],
)
def test_another_file_is_refused_and_leaves_nothing(known, tmp_path, changes):
    file = known("whole/other", **changes)
    with pytest.raises(DataError, match="not the one that elman knows") as caught:
        get_dataset("small", tmp_path)
    assert file.address in caught.value.where
    assert "Try once more" in caught.value.fix
    assert contents(tmp_path) == {}


def test_both_checksums_are_reported(known, tmp_path):
    known("whole/other")
    with pytest.raises(DataError) as caught:
        get_dataset("small", tmp_path)
    assert SHA in caught.value.where
    assert hashlib.sha256(OTHER).hexdigest() in caught.value.where


@pytest.mark.parametrize(
    ("path", "problem", "fix"),
    [
        ("404/text", "the server answered 404 Not Found", "has moved"),
        ("403/text", "the server answered 403 Forbidden", "another network"),
        ("503/text", "the server answered 503 Service Unavailable", "Try again later"),
        ("silent/text", "silent for too long", "--timeout"),
    ],
)
def test_a_refusal_of_the_server_is_reported_with_its_repair(known, tmp_path, path, problem, fix):
    file = known(path)
    with pytest.raises(DataError, match=problem) as caught:
        get_dataset("small", tmp_path, timeout=0.2)
    assert caught.value.where == file.address
    assert fix in caught.value.fix
    assert str(tmp_path / "small" / "text") in caught.value.fix
    assert contents(tmp_path) == {}


def test_no_server_and_no_proxy(known, tmp_path, monkeypatch):
    known(address="http://127.0.0.1:9/text")
    with pytest.raises(DataError, match=r"no connection to 127\.0\.0\.1"):
        get_dataset("small", tmp_path)
    known(address="http://example.invalid/text")
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="through the proxy") as caught:
        get_dataset("small", tmp_path)
    assert "HTTP_PROXY" in caught.value.fix


def test_a_disk_with_too_little_room_is_reported_before_the_download(known, tmp_path, monkeypatch):
    known()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DataError, match="The disk is full: 512,000 bytes are needed and 1,000 are free") as caught:
        get_dataset("small", tmp_path)
    assert "--data DIR" in caught.value.fix
    assert Server.asked == []


def test_a_disk_that_fills_up_on_the_way_leaves_no_file_that_looks_whole(known, tmp_path, monkeypatch):
    known()

    def fill_up(name: str, received: int, total: int | None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match="The disk is full: No space left on device"):
        get_dataset("small", tmp_path, progress=fill_up)
    assert "text" not in contents(tmp_path)
    get_dataset("small", tmp_path)
    assert contents(tmp_path) == {"text": TEXT}


def test_a_folder_that_is_a_file(known, tmp_path):
    known()
    (tmp_path / "small").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be written") as caught:
        get_dataset("small", tmp_path)
    assert "folder that you may write to" in caught.value.fix


def test_files_that_were_put_together_are_named_with_what_to_get_instead(tmp_path):
    with pytest.raises(DataError, match="1 of 3 files of wikitext-2 cannot be downloaded") as caught:
        get_dataset("wikitext-2", tmp_path)
    assert "wikitext-2-v1" in caught.value.fix
    assert not (tmp_path / "wikitext-2").exists()


def test_an_interrupted_download_goes_on(known, tmp_path):
    known()

    def interrupt(name: str, received: int, total: int | None) -> None:
        if received > 200_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get_dataset("small", tmp_path, progress=interrupt)
    assert set(contents(tmp_path)) == {".text.part"}
    get_dataset("small", tmp_path)
    kept = int(Server.asked[-1][1].removeprefix("bytes=").removesuffix("-"))
    assert 0 < kept < len(TEXT)
    assert contents(tmp_path) == {"text": TEXT}


def test_every_known_file_can_be_asked_for():
    assert download.TIMEOUT_SECONDS > 0
    for dataset in DATASETS.values():
        parts = [file.part for file in dataset.files]
        assert len(set(parts)) == len(parts)
        for file in dataset.files:
            # A data set that was put together by hand has no address at all, or names another to get instead.
            by_hand = dataset.instead in DATASETS or not any(each.address for each in dataset.files)
            assert file.address.startswith(("http://", "https://")) or by_hand
            assert file.sha256 or file.packed_sha256
