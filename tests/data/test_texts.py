"""Texts for language models: what they are cut into, and that the cuts lose nothing."""

import gzip
import lzma
from pathlib import Path

import pytest

from elman.data.known.texts import TEXTS, open_text
from elman.data.text.corpus import open_corpus
from elman.errors import DataError, UsageError

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
TEXT = "ein Käfer, 二つの虫, 🪲🪲 et un œuf. " * 50
PACK = {"": bytes, ".xz": lzma.compress, ".gz": gzip.compress}


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("first", [0.5, 0.501, 0.502, 0.503, 0.504, 0.505, 0.9])
def test_parts_of_a_file_are_cut_between_characters_and_lose_nothing(tmp_path: Path, ending: str, first: float):
    path = tmp_path / f"text{ending}"
    path.write_bytes(PACK[ending](TEXT.encode()))
    parts = open_corpus(path).split(first, 0.05, 0.95 - first)
    assert "".join(piece for part in parts for piece in part.pieces()) == TEXT
    size = len(TEXT.encode())
    assert sum(part.size() for part in parts) == size
    for wanted, part in zip((first, first + 0.05), parts[1:], strict=False):
        assert 0 <= part.start - round(size * wanted) <= 3


def test_a_corpus_is_its_own_corpus():
    part = open_corpus(TEXT).split(0.5, 0.5)[1]
    assert open_corpus(part) is part


def test_a_data_set_that_is_absent_or_no_text(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        open_text("enwik8", tmp_path)
    assert str(tmp_path / "enwik8") in caught.value.where
    assert f"elman data get enwik8 --data {tmp_path}" in caught.value.fix
    with pytest.raises(UsageError, match="not a text for language models"):
        open_text("sick", tmp_path)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the data sets in {DATA}: elman data get NAME")
@pytest.mark.parametrize("name", [name for name in TEXTS if (DATA / name).is_dir()])
def test_the_parts_of_the_texts_here(name: str):
    texts = open_text(name, DATA)
    assert [part.size() for part in texts if part] == {
        "enwik8-prefix": [3_738_959, 207_720, 207_720],
        "tiny-shakespeare": [1_003_855, 111_539],
        "wikitext-2": [10_797_148, 1_121_681, 1_256_449],
    }[name]
    assert all(any(part.pieces()) for part in texts if part)
