"""A text in a file of ids, cut into streams: every token is told once, in order, and memory stays the same."""

import errno
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.text import corpus as corpus_module
from elman.data.text import token_text as module
from elman.data.text.coders import CoderSettings
from elman.data.text.corpus import open_corpus
from elman.data.text.streams import TokenStreams, streams_to_judge
from elman.data.text.token_text import Counts, TokenText, encode_tokens, learn_tokens, remove_kept
from elman.errors import DataError
from elman.files import atomic_write

TEXT = "Naïve as a 𝄞, and\nas plain as day.\n" * 9


def numbered(tokens: int) -> TokenText:
    return TokenText(np.arange(tokens), Counts(tokens, tokens - 1, tokens - 1, 0), "fingerprint", "the text")


@given(tokens=st.integers(2, 300), streams=st.integers(1, 9), window=st.integers(1, 20))
def test_every_token_but_the_first_is_told_once_from_the_one_before(tokens, streams, window):
    if tokens - 1 < streams * window:
        with pytest.raises(DataError, match="too few"):
            TokenStreams(numbered(tokens), streams=streams, window=window)
        return
    cut = TokenStreams(numbered(tokens), streams=streams, window=window)
    read: list[list[int]] = [[] for _ in range(streams)]
    for number in cut.plan(0):
        minibatch = cut.read(number)
        assert (minibatch.targets - minibatch.inputs.data == 1).all()
        assert minibatch.tokens == len(minibatch.targets)
        assert int(minibatch.inputs.lengths.max()) <= window
        for stream, part in zip(read, minibatch.inputs.replace(minibatch.targets).to_list(), strict=True):
            stream += part.tolist()
    assert [token for stream in read for token in stream] == list(range(1, tokens))
    assert max(map(len, read)) - min(map(len, read)) <= 1


@given(tokens=st.integers(2, 30_000), streams=st.integers(1, 64), window=st.integers(1, 200))
def test_a_text_to_be_judged_is_cut_into_long_streams(tokens, streams, window):
    cut = streams_to_judge(numbered(tokens), streams=streams, window=window)
    assert cut.streams == 1 or (tokens - 1) // cut.streams >= 4096
    assert cut.streams * cut.window <= max(streams * window, cut.streams)


@pytest.mark.parametrize("tokens", ["characters", "bytes", "words", "subwords"])
@pytest.mark.parametrize("from_file", [False, True])
def test_ids_and_counts_are_those_of_the_text(tmp_path, tokens, from_file):
    (tmp_path / "text.txt").write_text(TEXT)
    limit = {"max_tokens": 330} if tokens == "subwords" else {}
    settings = CoderSettings(tokens=tokens, **limit)
    coder, text = learn_tokens(open_corpus(tmp_path / "text.txt" if from_file else TEXT), settings)
    expected = coder.encode(TEXT)
    assert text.ids[:].tolist() == expected.tolist()
    assert text.ids.dtype == np.min_scalar_type(len(coder.vocabulary) - 1)
    first = coder.decode(expected[:1].tolist())
    assert text.counts == Counts(len(expected), len(TEXT) - len(first), len(TEXT.encode()) - len(first.encode()), 0)
    assert (
        text.frequencies(len(coder.vocabulary)).tolist()
        == np.bincount(expected, minlength=len(coder.vocabulary)).tolist()
    )


@pytest.mark.parametrize(
    "content", [b"caf\xe9 \xff\xfe" * 3, b"ab\xff\xfecd", b"\xef\xbb\xbfna\xc3\xafve", b"\xa9\xc3"]
)
def test_bytes_are_read_as_they_are_from_every_source(tmp_path, monkeypatch, content):
    (tmp_path / "text").write_bytes(content)
    (tmp_path / "text.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    characters = sum(byte & 0xC0 != 0x80 for byte in content[1:])
    for source in (tmp_path / "text", tmp_path / "text.gz", Path("-")):
        corpus = open_corpus(source)
        for folder in (None, tmp_path / "run"):
            coder, text = learn_tokens(corpus, CoderSettings(tokens="bytes"), folder)
            for tokens in (text, encode_tokens(corpus, coder, folder)):
                assert bytes(tokens.ids[:].tolist()) == content
                assert tokens.counts == Counts(len(content), characters, len(content) - 1, 0)
        assert (tmp_path / "run").exists() == (source != tmp_path / "text")


def test_a_file_of_bytes_that_becomes_shorter_is_told(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(TEXT.encode())
    _, text = learn_tokens(open_corpus(path), CoderSettings(tokens="bytes"))
    cut = TokenStreams(text, streams=3, window=20)
    cut.read(0)
    path.write_bytes(TEXT.encode()[:100])
    with pytest.raises(DataError, match="text has become shorter while it was read"):
        cut.read(1)


def test_notes_of_before_do_not_stand_beside_other_ids(tmp_path, monkeypatch):
    learn_tokens(open_corpus(TEXT), CoderSettings(), tmp_path)

    def killed(path, content):
        atomic_write(path, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "atomic_write", killed)
        with pytest.raises(KeyboardInterrupt):
            learn_tokens(open_corpus(TEXT), CoderSettings(lower_case=True), tmp_path)
    coder, text = learn_tokens(open_corpus(TEXT), CoderSettings(), tmp_path)
    assert coder.decode(text.ids[:].tolist()) == TEXT


def test_one_kind_of_byte_can_be_judged_but_not_learned(tmp_path):
    (tmp_path / "text").write_bytes(b"aaaa")
    (tmp_path / "text.gz").write_bytes(gzip.compress(b"aaaa"))
    coder, _ = learn_tokens(open_corpus("ab"), CoderSettings(tokens="bytes"))
    for source in (tmp_path / "text", tmp_path / "text.gz", "aaaa"):
        with pytest.raises(DataError, match="one kind of byte only, 0x61"):
            learn_tokens(open_corpus(source), CoderSettings(tokens="bytes"))
        assert encode_tokens(open_corpus(source), coder).counts == Counts(4, 3, 3, 0)


@pytest.mark.parametrize(
    ("settings", "text", "told"),
    [
        ({"tokens": "words"}, "Zyx a", " a"),
        ({"tokens": "words"}, " \t Zyx  a ", "  a "),
        ({"tokens": "words"}, " \n a", " a"),
        ({"tokens": "words", "lower_case": True}, "İşte a", " a"),
        ({"tokens": "words", "split": "blanks"}, "a, b", " b"),
        ({}, "ж a", " a"),
        ({"lower_case": True}, "İ a", " a"),
        ({"tokens": "subwords", "max_tokens": 330}, "Naïve", "aïve"),
    ],
)
def test_what_is_told_is_the_text_after_its_first_token(settings, text, told, monkeypatch):
    coder, _ = learn_tokens(open_corpus("a, b a b\nİ i Nai n\n" * 40), CoderSettings(**settings))
    for size in (1, 3, 2**20):
        monkeypatch.setattr(corpus_module, "PIECE_BYTES", size)
        counts = encode_tokens(open_corpus(text), coder).counts
        assert (counts.characters, counts.bytes) == (len(told), len(told.encode()))


def test_a_first_token_that_is_one_byte_of_a_character_counts_as_that(monkeypatch):
    coder, _ = learn_tokens(open_corpus(TEXT), CoderSettings(tokens="subwords", max_tokens=330))
    for size in (1, 2**20):
        monkeypatch.setattr(corpus_module, "PIECE_BYTES", size)
        counts = encode_tokens(open_corpus("жa"), coder).counts
        assert counts == Counts(3, 1, 2, 0)


@pytest.mark.parametrize(
    ("settings", "first", "second"),
    [
        ({"alphabet": "ab \n"}, "column 2: 'ж' (U+0436)", "column 5: 'q' (U+0071)"),
        ({"tokens": "words"}, "column 1: 'aж'", "column 4: 'bq'"),
        ({"tokens": "words", "lower_case": True}, "column 1: 'aж'", "column 4: 'bq'"),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.35])
def test_what_is_refused_is_told_by_its_place_in_the_text(tmp_path, monkeypatch, settings, first, second, share):
    coder, _ = learn_tokens(open_corpus("a b\n" * 9), CoderSettings(**settings, unknown="refuse"))
    path = tmp_path / "text.txt"
    path.write_text("a b a\n\naж bq a aж\n")
    _, corpus = open_corpus(path).split(share, 1 - share)
    with pytest.raises(DataError, match=f"There are {coder.settings.tokens} that are not") as caught:
        encode_tokens(corpus, coder)
    assert caught.value.where.splitlines() == [f"{path}, line 3, {first}", f"{path}, line 3, {second}"]
    assert 'unknown="allow"' in caught.value.fix
    monkeypatch.setattr(corpus_module, "PIECE_BYTES", 1)
    with pytest.raises(DataError) as caught:
        encode_tokens(corpus, coder)
    assert caught.value.where == f"{path}, line 3, {first}"


@pytest.mark.parametrize("tokens", ["characters", "bytes", "words"])
def test_an_empty_text_is_refused(tmp_path, tokens):
    (tmp_path / "empty").write_text("")
    for source in ("", tmp_path / "empty"):
        with pytest.raises(DataError, match=r"empty|no .* to learn from"):
            learn_tokens(open_corpus(source), CoderSettings(tokens=tokens))
    coder, _ = learn_tokens(open_corpus(TEXT), CoderSettings(tokens=tokens))
    with pytest.raises(DataError, match="is empty"):
        encode_tokens(open_corpus(""), coder)


def test_what_was_kept_is_used_again_for_the_same_text_and_settings_only(tmp_path, monkeypatch):
    settings = CoderSettings()
    coder, text = learn_tokens(open_corpus(TEXT), settings, tmp_path)
    encode_tokens(open_corpus(TEXT[:20]), coder, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{part}-tokens.{ending}" for part in ("training", "validation") for ending in ("bin", "json")
    }
    assert np.fromfile(tmp_path / "training-tokens.bin", text.ids.dtype).tolist() == text.ids[:].tolist()

    def refuse(*_):
        raise AssertionError("encoded again")

    with monkeypatch.context() as patched:
        patched.setattr(module._Counter, "write", refuse)
        patched.setattr(module, "learn_coder", refuse)
        again_coder, again = learn_tokens(open_corpus(TEXT), settings, tmp_path)
        for changed in ({"text": TEXT + "x"}, {"settings": CoderSettings(lower_case=True)}):
            with pytest.raises(AssertionError, match="encoded again"):
                learn_tokens(open_corpus(changed.get("text", TEXT)), changed.get("settings", settings), tmp_path)
    assert (again.fingerprint, again.counts) == (text.fingerprint, text.counts)
    assert again.ids[:].tolist() == text.ids[:].tolist()
    assert again_coder.vocabulary == coder.vocabulary
    other = learn_tokens(open_corpus(TEXT), CoderSettings(lower_case=True), tmp_path)[1]
    assert other.fingerprint != text.fingerprint
    expected = other.ids[:].tolist()
    # A file that was cut short is written anew.
    content = (tmp_path / "training-tokens.bin").read_bytes()
    (tmp_path / "training-tokens.bin").unlink()
    (tmp_path / "training-tokens.bin").write_bytes(content[:150])
    assert learn_tokens(open_corpus(TEXT), CoderSettings(lower_case=True), tmp_path)[1].ids[:].tolist() == expected
    remove_kept(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_encoding_left_is_removed(tmp_path):
    def leave() -> list[Path]:
        left = [
            tmp_path / f".{part}-tokens.{end}.0a1b.tmp"
            for part in ("training", "validation")
            for end in ("bin", "json")
        ]
        for path in left:
            path.write_bytes(b"half")
        return left

    left = leave()
    learn_tokens(open_corpus(TEXT), CoderSettings(), tmp_path)
    assert not any(path.exists() for path in left)
    leave()
    remove_kept(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_is_told_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(counter, file, corpus):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module._Counter, "write", full)
    with pytest.raises(DataError, match="No space left") as caught:
        learn_tokens(open_corpus(TEXT), CoderSettings(), tmp_path / "run")
    assert str(tmp_path / "run") in str(caught.value)
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.slow
def test_memory_does_not_grow_with_the_text(tmp_path):
    # Two texts, one five times as long as the other; the memory of each is measured in a process of its own.
    script = Path(__file__).with_name("memory_of_a_text.py")
    needed = {}
    for megabytes in (1, 5):
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path / "text.txt"), str(megabytes)],
            check=True, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        needed[megabytes] = json.loads(done.stdout)
    for stage in needed[1]:
        # The text that is longer by 4 MiB has as many ids, of one byte each; its characters take four times as much.
        assert needed[5][stage] - needed[1][stage] < 2, (stage, needed)
