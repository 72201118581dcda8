"""`elman data`: what is known, and how getting it ends. The download itself is tested in tests/sequences."""

import dataclasses
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from elman.data.known.catalogue import DATASETS, DataFile, Dataset


def test_every_data_set_is_listed_with_size_licence_and_source(elman):
    done = elman("data", "list")
    assert (done.code, done.err) == (0, "")
    header, *rows = done.out.splitlines()
    assert header.split() == ["data", "set", "use", "size", "licence", "source"]
    assert [row.split()[0] for row in rows] == list(DATASETS)
    listed = elman("data", "list", "--json").json["data_sets"]
    assert {entry["data_set"]: entry["bytes"] for entry in listed}["enwik8"] == 100_000_000
    assert [entry["data_set"] for entry in listed if not entry["downloadable"]] == [
        "ag-news",
        "wikitext-2",
        "short-texts",
    ]


@pytest.fixture
def lying_there(tmp_path, monkeypatch):
    """A data folder that has the data set `sick`, of three empty files."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    files = tuple(dataclasses.replace(file, size=0, sha256=empty) for file in DATASETS["sick"].files)
    monkeypatch.setitem(DATASETS, "sick", dataclasses.replace(DATASETS["sick"], files=files))
    (tmp_path / "sick").mkdir()
    for file in files:
        (tmp_path / "sick" / file.name).touch()
    return tmp_path


def test_what_is_there_is_said_and_not_downloaded(elman, lying_there):
    done = elman("data", "get", "sick", "--data", lying_there)
    assert done.code == 0
    assert [line.split("\t")[1] for line in done.out.splitlines()] == ["train", "validation", "test"]
    assert done.out.count("already complete") == 3
    record = elman("data", "get", "sick", "--data", lying_there, "--json").json
    assert record["data_sets"]["sick"][0] == {
        "part": "train",
        "path": str(lying_there / "sick" / "SICK_train.txt"),
        "downloaded": False,
    }


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A data set `small` of one file that a server on this machine has."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    content = b"a text " * 100_000
    (tmp_path / "text").write_bytes(content)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    address = f"http://127.0.0.1:{server.server_address[1]}/text"
    file = DataFile("text", "text", len(content), address, hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(DATASETS, "small", Dataset("small", "test", "bytes", "none", "here", (file,)))
    yield tmp_path / "data"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_download_tells_how_far_it_is_and_where_the_file_is(elman, served):
    done = elman("data", "get", "small", "--data", served)
    assert done.code == 0
    assert done.out == f"small\ttext\t{served / 'small' / 'text'}\tdownloaded\n"
    assert done.err.splitlines()[-1] == "text: 0.7 MB of 0.7 MB (100%)"
    again = elman("data", "get", "small", "--data", served, "--json")
    assert (again.json["data_sets"]["small"][0]["downloaded"], again.err) == (False, "")


def test_an_unknown_name_is_wrong_usage_before_anything_is_downloaded(elman, tmp_path):
    done = elman("data", "get", "enwik8", "enwik9", "--data", tmp_path, "--json")
    assert done.code == 2
    assert "Did you mean `enwik8`" in done.json["fix"]
    assert not list(tmp_path.iterdir())
    assert elman("data", "get").code == 2


def test_without_a_network_there_is_one_message_and_a_repair(elman, tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    done = elman("data", "get", "enwik8", "--data", tmp_path, "--json")
    assert done.code == 1
    assert done.json["error"] == "enwik8 of enwik8 cannot be downloaded through the proxy."
    assert done.json["where"] == "http://mattmahoney.net/dc/enwik8.zip"
    assert "HTTP_PROXY" in done.json["fix"]
    assert "Traceback" not in done.err
