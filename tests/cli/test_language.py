"""`elman train language`, `evaluate` and `summary` of what it made."""

import os
import re
import sys
import threading
from pathlib import Path

import pytest

from elman.models.saved import read_model

SMALL = ("--hidden-size", 8, "--embedding-size", 4, "--streams", 4, "--window", 10, "--epochs", 2)


def test_a_run_makes_a_model_a_report_and_says_how_to_go_on(elman, book: Path, tmp_path: Path):
    out = tmp_path / "my book"
    done = elman("train", "language", book, "--out", out, *SMALL, "--validate-batches", 10, "--show-sample", 5)
    assert done.code == 0, done.err
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "vocabulary.json", "README.md", "report.html", "log.jsonl"} <= names
    assert not [name for name in names if "tokens" in name]
    assert "bits per character" in done.out
    assert f"elman generate '{out}'" in done.out
    assert "characters/s" in done.err
    assert done.err.count("  | ") >= 6
    report = (out / "report.html").read_text()
    for said in ("bits per character", "A text that the model wrote", "perplexity", f"elman train language {book}"):
        assert said in report
    assert "<b>the" not in report
    assert f"elman generate '{out}' --length 500\nelman evaluate '{out}' {book}" in (out / "README.md").read_text()


def test_the_json_of_a_run_is_that_of_its_evaluation(elman, book: Path, tmp_path: Path):
    out = tmp_path / "m"
    done = elman("train", "language", book, "--out", out, *SMALL, "--validation", book, "--json")
    assert done.json["parameters"] == sum(tensor.numel() for tensor in read_model(out).tensors.values())
    judged = elman("evaluate", out, book, "--json").json
    for name in ("loss", "bits_per_character", "bits_per_byte", "perplexity", "tokens", "unknown"):
        assert judged[name] == pytest.approx(done.json[name], rel=1e-6)
    assert elman("evaluate", out, book, "--dynamic", 0.3, "--json").json["loss"] < judged["loss"]
    lines = elman("evaluate", out, book).out
    assert f"{judged['bits_per_character']:.4f}" in lines
    layers = elman("summary", out, "--json").json["layers"]
    assert [layer["kind"] for layer in layers] == ["Embedding", "gru(8)", "Softmax"]
    assert elman("explain", out).code == 0


def test_the_encoding_is_given_once_and_kept_with_the_model(elman, tmp_path: Path):
    text = "le garçon a mangé; la fée est née\n" * 40
    (tmp_path / "a.txt").write_bytes(text.encode("cp1252"))
    (tmp_path / "b.txt").write_text(text)
    data, out = tmp_path / "a.txt", tmp_path / "m"
    train = ("train", "language", data, "--out", out, *SMALL)
    refused = elman(*train)
    assert (refused.code, "is not UTF-8" in refused.err, "--encoding cp1252" in refused.err) == (1, True, True)
    done = elman(*train, "--validation", data, "--encoding", "cp1252", "--overwrite", "--json")
    assert done.code == 0, done.err
    loss = pytest.approx(done.json["loss"], rel=1e-6)
    for file in ("a.txt", "b.txt"):
        assert elman("evaluate", out, tmp_path / file, "--json").json["loss"] == loss
    assert elman("evaluate", out, data, "--encoding", "ascii").code == 1


def test_settings_reach_the_model_and_a_text_may_be_packed(elman, book: Path, tmp_path: Path):
    import lzma

    packed = tmp_path / "book.xz"
    packed.write_bytes(lzma.compress(book.read_bytes()))
    given = ("--tokens", "words", "--split", "blanks", "--softmax", "adaptive", "--cutoffs", "3,6", "--no-restore-best")
    size = ("--hidden-size", 16, "--streams", 2, "--window", 5, "--epochs", 1, "--validation-fraction", 0)
    done = elman("train", "language", packed, "--out", tmp_path / "m", *size, *given, "--json")
    assert done.code == 0, done.err
    assert done.json["evaluated_on"].startswith("training text")
    settings = read_model(tmp_path / "m").config["settings"]
    assert (settings["tokens"], settings["split"], settings["cutoffs"]) == ("words", "blanks", [3, 6])
    assert settings["restore_best"] is False


def test_several_files_are_one_text(elman, book: Path, tmp_path: Path):
    second = tmp_path / "second.txt"
    second.write_text("a bird sang in the tree\n" * 20)
    done = elman("train", "language", book, second, "--out", tmp_path / "m", *SMALL)
    assert done.code == 0, done.err
    assert f"{book} and 1 more file" in (tmp_path / "m" / "README.md").read_text()
    assert elman("evaluate", tmp_path / "m", second).code == 0


def test_unknown_tokens_are_told(elman, book: Path, tmp_path: Path):
    given = ("--tokens", "words", "--max-tokens", "4", "--embedding-size", 4, "--streams", 2, "--window", 10)
    done = elman("train", "language", book, "--out", tmp_path / "m", *given, "--epochs", 1)
    assert done.code == 0, done.err
    assert re.search(r"^elman: note: \d+ of \d+ words \(\d\d%\) are not in the vocabulary", done.err, re.M)
    assert "not in the vocabulary" not in elman("train", "language", book, "--out", tmp_path / "n", *SMALL).err


@pytest.mark.parametrize("task", ["language", "classify"])
def test_the_report_marks_an_epoch_only_where_it_was_kept(
    elman, book: Path, words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
):
    drawn: list[int | None] = []
    monkeypatch.setattr("elman.report.page._draw", lambda curve, best_epoch: drawn.append(best_epoch) or "")
    data, size = (book, SMALL) if task == "language" else (words, ("--hidden-size", 4, "--epochs", 2))
    for number, more in enumerate(((), ("--no-restore-best",))):
        done = elman("train", task, data, "--out", tmp_path / str(number), *size, *more, "--json")
        assert done.code == 0, done.err
        assert set(drawn) == {None if more else done.json["best_epoch"]}
        drawn.clear()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_a_text_may_come_through_a_pipe(elman, book: Path, tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(book.read_bytes()))
    writer.start()
    done = elman("train", "language", pipe, "--out", tmp_path / "m", *SMALL, "--json")
    writer.join()
    assert done.code == 0, done.err
    loss = elman("train", "language", book, "--out", tmp_path / "n", *SMALL, "--json").json["loss"]
    assert done.json["loss"] == loss


@pytest.mark.skipif(sys.platform != "linux", reason="paths are text there")
def test_a_path_need_not_be_utf_8(elman, book: Path, tmp_path: Path):
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    book.rename(strange)
    out = Path(f"{strange}-model")
    assert elman("train", "language", strange, "--out", out, *SMALL).code == 0
    assert "caf\\udce9" in (out / "README.md").read_text()
    assert "caf\\udce9" in (out / "report.html").read_text()
    assert elman("evaluate", out, strange, "--json").json["model"] == str(out)


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--tokens", "sylables"], 2, "subwords"),
        (["--softmax", "adaptive", "--tied"], 2, "tied, softmax"),
        (["--validation", "a.txt", "--validation-fraction", "0.1"], 2, "exclude each other"),
        (["--streams", "500"], 1, "too few for 500 streams"),
        (["--validation", "none.txt"], 1, "no file none.txt"),
        (["--label", "1"], 2, "--label"),
        (["--cell", "lstn"], 2, "lstm"),
    ],
)
def test_wrong_usage(elman, book: Path, tmp_path: Path, more: list[str], code: int, said: str):
    done = elman("train", "language", book, "--out", tmp_path / "m", *SMALL, *more)
    assert done.code == code, done.err
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no characters to learn from"),
        (b"aaaa", "one entry only"),
        (b"ab\ncaf\xe9" * 50, "offset 6, line 2"),
        (b"abc", "too few"),
    ],
)
def test_rubbish_as_text(elman, tmp_path: Path, content: bytes, said: str):
    (tmp_path / "text.txt").write_bytes(content)
    done = elman(
        "train", "language", tmp_path / "text.txt", "--out", tmp_path / "m", *SMALL, "--validation-fraction", 0
    )
    assert done.code == 1
    assert said in done.err


def test_flags_of_the_other_task_are_refused(elman, book: Path, tmp_path: Path, model: Path, words: Path):
    out = tmp_path / "m"
    assert elman("train", "language", book, "--out", out, *SMALL, "--epochs", 1).code == 0
    assert "--label" in elman("evaluate", out, book, "--label", "1").err
    assert elman("evaluate", out, book, "--label", "1").code == 2
    assert elman("evaluate", model, words, "--dynamic", "0.1").code == 2
    assert "task `language`" in elman("predict", out, "--text", "a").err


def test_standard_input_is_not_two_texts(elman, tmp_path: Path):
    done = elman("train", "language", "-", "--validation", "-", "--out", tmp_path / "out")
    assert done.code == 2
    assert "was given as both texts" in done.err
    assert not (tmp_path / "out").exists()


def test_a_device_is_read_as_a_file(elman, tmp_path: Path):
    done = elman("train", "language", "/dev/null", "--out", tmp_path / "out")
    assert done.code == 1
    assert "/dev/null is empty" in done.err or "/dev/null has no characters" in done.err


def test_a_name_twice_in_a_list_of_options_is_refused(elman, book: Path, tmp_path: Path):
    done = elman("train", "language", book, "--out", tmp_path / "out", "--zoneout", "h=0.1,h=0.2")
    assert done.code == 2
    assert "has a name twice" in done.err
    assert not (tmp_path / "out").exists()


def test_evaluation_says_what_unknown_tokens_do_to_the_scores(elman, book: Path, tmp_path: Path):
    words = ["--tokens", "words", "--max-tokens", 3, "--hidden-size", 8, "--epochs", 1, "--streams", 2, "--window", 5]
    assert elman("train", "language", book, "--out", tmp_path / "out", *words).code == 0
    (tmp_path / "other.txt").write_text("the cat met the yak")
    done = elman("evaluate", tmp_path / "out", tmp_path / "other.txt")
    assert done.code == 0
    assert "3 of 4 words (75%) are not in the vocabulary" in done.err
    assert "the model predicts them as one token" in done.err
    done = elman("evaluate", tmp_path / "out", tmp_path / "other.txt", "--unknown", "refuse")
    assert done.code == 1
    assert f"{tmp_path / 'other.txt'}, line 1, column 9: 'met'" in done.err
