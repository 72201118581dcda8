"""`predict --shard`: the parts one after the other are the whole, byte for byte."""

import io
import sys
from pathlib import Path

import pytest
from tests.small_tasks import CASES, prepared

from elman.data.tables import blocks


def parts(elman, model: Path, data: Path, count: int, *flags: object) -> str:
    found = [elman("predict", model, data, "--shard", f"{number}/{count}", *flags) for number in range(1, count + 1)]
    assert [each.code for each in found] == [0] * count, found[0].err
    return "".join(each.out for each in found)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_parts_of_a_text_are_the_whole(elman, model: Path, tmp_path: Path, count: int):
    data = tmp_path / "texts.txt"
    data.write_text("".join("ab"[: n % 3] + "dc" * (n % 5) + "\n" for n in range(600)) + "\n\n")
    whole = elman("predict", model, data)
    assert whole.out.count("\n") == 602
    assert parts(elman, model, data, count) == whole.out
    flags = ("--probabilities", "--explain")
    few = tmp_path / "few.txt"
    few.write_text("ab\n\ncd\n")
    assert parts(elman, model, few, count, *flags) == elman("predict", model, few, *flags).out


def test_the_parts_of_a_file_of_many_blocks(elman, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = tmp_path / "texts.csv"
    fields = ("ab" * (n % 4) + "\n" * (n % 2) + "cd" for n in range(700))
    data.write_text("id,text\n" + "".join(f'{n},"{field}"\n' for n, field in enumerate(fields)))
    whole = elman("predict", model, data, "--column", "text")
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1000)
    monkeypatch.setattr("elman.data.text.corpus.PIECE_BYTES", 500)
    assert elman("predict", model, data, "--column", "text").out == whole.out
    assert parts(elman, model, data, 4, "--column", "text") == whole.out


def test_standard_input_of_many_blocks(elman, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = tmp_path / "texts.tsv"
    data.write_text("id\ttext\n" + "".join(f"{n}\t{'ab' * (1 + n % 4)}\n" for n in range(700)))
    whole = elman("predict", model, data)
    for name in ("elman.data.tables.blocks.BLOCK_BYTES", "elman.tasks.asked.BLOCK_BYTES"):
        monkeypatch.setattr(name, 1000)
    monkeypatch.setattr("elman.data.text.corpus.PIECE_BYTES", 500)
    for flags in ((), ("--column", "2", "--separator", "tab")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data.read_bytes())))
        assert elman("predict", model, "-", *flags).out == whole.out


@pytest.mark.parametrize("name", CASES)
def test_the_parts_of_a_file_of_each_task(name: str, elman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, data = prepared(name, tmp_path)
    flags = CASES[name].options
    whole = elman("predict", model, data, *flags)
    assert whole.code == 0, whole.err
    for each in ("elman.data.tables.blocks.BLOCK_BYTES", "elman.data.text.corpus.PIECE_BYTES"):
        monkeypatch.setattr(each, 1500)
    assert elman("predict", model, data, *flags).out == whole.out
    assert parts(elman, model, data, 3, *flags) == whole.out


@pytest.mark.parametrize("shard", ["5/4", "0/3", "x", "1/0", "1", "-1/2", "1/2/3", "１/２"])
def test_a_part_that_cannot_be(elman, model: Path, words: Path, shard: str):
    done = elman("predict", model, words, "--shard", shard)
    assert done.code == 2
    assert done.out == ""
    assert f"Expected a part such as 1/4 for --shard, got {shard!r}." in done.err


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--text", "ab"), "--shard: only for DATA."),
        (("-",), "Standard input cannot be divided into parts."),
        (("words.csv", "--nearest", "ab"), "--shard: not with --nearest."),
    ],
)
def test_what_has_no_parts(elman, model: Path, flags: tuple[str, ...], reason: str):
    done = elman("predict", model, *flags, "--shard=1/2")
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
