"""Texts for language models: where they are cut, and that a stretch of a file is read as it stands there."""

import gzip
import lzma
from pathlib import Path

import pytest

from elman.errors import DataError, UsageError
from elman.sequences.texts import TEXTS, TextPart, open_text, split_bytes

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the data sets in {DATA}: elman data get NAME")
TEXT = "ein Käfer, 二つの虫, 🪲🪲 et un œuf. " * 50


@pytest.fixture(params=["text", "text.xz", "text.gz"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    pack = {".xz": lzma.compress, ".gz": gzip.compress}.get(Path(request.param).suffix, bytes)
    (tmp_path / request.param).write_bytes(pack(TEXT.encode()))
    return tmp_path / request.param


def test_parts_are_cut_between_characters_and_lose_nothing(path: Path):
    size = len(TEXT.encode())
    for shares in ((0.9, 0.05), (0.5, 0.25), (0.501, 0.2), (0.502, 0.2), (0.503, 0.2), (1.0, 0.0), (0.0, 0.0)):
        parts = [part for part in split_bytes(path, size, shares) if part]
        assert "".join(part.read() for part in parts) == TEXT
        assert parts[0].start == 0
        assert parts[-1].stop == size
        for wanted, part in zip((shares[0], sum(shares)), parts[1:], strict=False):
            assert 0 <= part.start - int(size * wanted) <= 3


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_characters_are_whole_however_small_the_chunks(path: Path, size: int):
    part = TextPart(path, 0, len(TEXT.encode()))
    assert "".join(part.chunks(size)) == TEXT
    assert b"".join(part.blocks(size)) == TEXT.encode()
    assert max(map(len, part.blocks(size))) <= size


def test_what_is_no_utf8_is_named_by_its_byte(tmp_path: Path):
    path = tmp_path / "text"
    content = "Käfer".encode()
    for place in range(len(content) + 1):
        path.write_bytes(content[:place] + b"\xff" + content[place:])
        start = place - 1 if place == 2 else place
        for size in (1, 2, 100):
            with pytest.raises(DataError, match="is not UTF-8") as caught:
                list(TextPart(path, 0, len(content) + 1).chunks(size))
            assert caught.value.where == f"byte {start}"
    path.write_bytes(content[:2])
    with pytest.raises(DataError) as caught:
        TextPart(path, 0, 2).read()
    assert caught.value.where == "byte 1"


def test_a_file_that_is_cut_or_damaged_is_refused(path: Path):
    size = len(TEXT.encode())
    with pytest.raises(DataError, match=r"ends 7 bytes before it should"):
        TextPart(path, 0, size + 7).read()
    if path.suffix:
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(DataError, match="cannot be read"):
            TextPart(path, 0, size).read()


def test_a_data_set_that_is_absent_or_no_text(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        open_text("enwik8", tmp_path)
    assert str(tmp_path / "enwik8") in caught.value.where
    assert f"elman data get enwik8 --data {tmp_path}" in caught.value.fix
    with pytest.raises(UsageError, match="no text for a language model"):
        open_text("sick", tmp_path)


@needs_data
@pytest.mark.parametrize("name", [name for name in TEXTS if (DATA / name).is_dir()])
def test_the_parts_of_the_texts_here(name: str):
    texts = open_text(name, DATA)
    shown = {part: text.size for part, text in vars(texts).items() if text}
    assert (
        shown
        == {
            "enwik8-prefix": {"train": 3_738_959, "validation": 207_720, "test": 207_720},
            "tiny-shakespeare": {"train": 1_003_854, "validation": 111_540},
            "wikitext-2": {"train": 10_797_148, "validation": 1_121_681, "test": 1_256_449},
        }[name]
    )
    assert texts.train.read()
