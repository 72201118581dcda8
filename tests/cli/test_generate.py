"""`generate`: text as asked for, stopped at a whole token, gone on with from a file."""

import errno
import io
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from elman import LanguageModel
from elman.cli import generate
from elman.nn.state import State

TEXT = "The cat sat on the mat. A dog sat on the log.\nA bird flew over the cafe.\n"


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language") / "model"
    settings = {"hidden_size": 24, "streams": 4, "window": 20, "epochs": 6, "learning_rate": 0.02}
    LanguageModel(**settings).fit(TEXT * 20).save(folder)
    return folder


def expected(folder: Path, prompt: str = "", **settings) -> str:
    return "".join(LanguageModel.load(folder).generate(prompt, **settings))


def test_the_text_is_the_prompt_and_what_python_gives(elman, language: Path):
    settings = {"length": 50, "temperature": 0.8, "top_k": 9, "top_p": 0.9, "seed": 3}
    options = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
    done = elman("generate", language, "--prompt", "The ", *options)
    assert (done.code, done.out, done.err) == (0, "The " + expected(language, "The ", **settings) + "\n", "")


def test_a_blank_at_the_end_of_a_prompt_of_words_is_written_once(elman, tmp_path: Path):
    settings = {"hidden_size": 4, "streams": 2, "window": 5, "epochs": 1}
    LanguageModel(tokens="words", **settings).fit(TEXT * 5).save(tmp_path / "m")
    texts = {elman("generate", tmp_path / "m", "--prompt", prompt, "--length", 5).out for prompt in ("The", "The ")}
    assert texts == {"The" + expected(tmp_path / "m", "The", length=5) + "\n"}


def test_what_the_terminal_cannot_say_is_written_with_a_backslash(tmp_path: Path):
    settings = {"hidden_size": 4, "streams": 2, "window": 5, "epochs": 1}
    LanguageModel(**settings).fit("é→" * 50).save(tmp_path / "m")
    state = tmp_path / "state"
    for more in (["--save-state", str(state)], ["--json"]):
        command = [sys.executable, "-m", "elman", "generate", str(tmp_path / "m"), "--length", "9", *more]
        done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
        assert done.returncode == 0, done.stderr
        if "--json" in more:
            assert json.loads(done.stdout)["samples"][0]["text"] == expected(tmp_path / "m", length=9)
        else:
            text = done.stdout.decode("ascii").removesuffix("\n").encode().decode("unicode_escape")
            assert text == expected(tmp_path / "m", length=9)
    assert State.load(state).batch_size == 1


def test_several_samples_stand_one_after_another(elman, language: Path):
    done = elman("generate", language, "--samples", 3, "--length", 30, "--temperature", 1.5, "--prompt", "A ")
    found = LanguageModel.load(language).generate_samples("A ", samples=3, length=30, temperature=1.5)
    texts = ["".join(pieces) for pieces in zip(*found, strict=True)]
    assert done.out == "".join(f"== {number} of 3\nA {text}\n" for number, text in enumerate(texts, start=1))


def test_json_has_everything_on_one_line(elman, language: Path):
    done = elman("generate", language, "--samples", 2, "--length", 200, "--stop", ".", "--prompt", "The", "--json")
    assert done.out.count("\n") == 1
    found = done.json
    assert (found["prompt"], found["seed"], found["state"]) == ("The", 0, None)
    for place, sample in enumerate(found["samples"]):
        assert sample["text"].index(".") == len(sample["text"]) - 1 == sample["tokens"] - 1
        samples = LanguageModel.load(language).generate_samples("The", samples=2, length=sample["tokens"])
        log_probability = sum(samples.log_probabilities[place] for _ in samples)
        assert sample["log_probability"] == pytest.approx(log_probability)


def test_the_prompt_may_come_from_standard_input(elman, language: Path, monkeypatch: pytest.MonkeyPatch):
    for content in (b"The cat\n", b"\xef\xbb\xbfThe cat\r\n"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert elman("generate", language, "--prompt", "-", "--length", 9).out == (
            "The cat" + expected(language, "The cat", length=9) + "\n"
        )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9")))
    done = elman("generate", language, "--prompt", "-")
    assert done.code == 1
    assert "--prompt -: standard input, byte 4" in done.err


def test_two_parts_through_a_file_are_the_whole(elman, language: Path, tmp_path: Path):
    words = ("generate", language, "--seed", 5, "--temperature", 1.2)
    first = elman(*words, "--length", 20, "--save-state", tmp_path / "state", "--json")
    second = elman(*words, "--length", 30, "--state", tmp_path / "state", "--json")
    texts = [done.json["samples"][0]["text"] for done in (first, second)]
    assert first.json["state"] == str(tmp_path / "state")
    assert "".join(texts) == expected(language, length=50, seed=5, temperature=1.2)


def test_a_stop_half_before_and_half_after_the_state_is_seen(elman, language: Path, tmp_path: Path):
    words = ("generate", language, "--seed", 5, "--temperature", 1.2)
    stop = expected(language, length=50, seed=5, temperature=1.2)[17:23]
    whole = elman(*words, "--stop", stop, "--json").json["samples"][0]
    first = elman(*words, "--stop", stop, "--length", 20, "--save-state", tmp_path / "state", "--json")
    second = elman(*words, "--stop", stop, "--state", tmp_path / "state", "--json")
    assert "".join(done.json["samples"][0]["text"] for done in (first, second)) == whole["text"]
    assert whole["tokens"] == 23


def test_mistakes_of_the_options_are_named_all_at_once(elman, language: Path):
    wrong = {"--temperature": "-1", "--top-k": "0", "--top-p": "1.5", "--samples": "0", "--length": "-3", "--stop": ""}
    done = elman("generate", language, *(word for pair in wrong.items() for word in pair))
    assert done.code == 2
    assert all(f"  {option}: " in done.err for option in wrong)


def test_an_unknown_character_is_named_with_the_repair(elman, language: Path):
    done = elman("generate", language, "--prompt", "The #1", "--json")
    assert done.code == 1
    assert "'#', '1'" in done.json["error"]
    assert "--prompt" in done.json["fix"]
    assert "--unknown allow" in done.json["fix"]
    assert elman("generate", language, "--prompt", "The #1", "--unknown", "allow", "--length", 3).code == 0


@pytest.mark.parametrize("kind", ["characters", "bytes", "words"])
@pytest.mark.parametrize("unknown", ["refuse", "allow"])
def test_a_prompt_that_is_no_utf_8_is_one_message(elman, tmp_path: Path, kind: str, unknown: str):
    LanguageModel(tokens=kind, hidden_size=4, streams=2, window=5, epochs=1).fit(TEXT * 5).save(tmp_path / "m")
    # What Python makes of the byte 0xff on a command line.
    done = elman("generate", tmp_path / "m", "--prompt", "The \udcff", "--unknown", unknown, "--json")
    assert done.code == 1
    assert "The prompt cannot be written as UTF-8" in done.json["error"]
    assert done.json["where"] == "character 5"
    assert done.err.startswith("elman: error: The prompt")


def test_the_help_tells_what_becomes_of_unknown_characters(elman):
    assert "[refuse]" in elman("generate", "--help").out
    assert "allow]" in elman("predict", "--help").out


def rubbish_states(folder: Path, language: Path) -> dict[str, Path]:
    text = folder / "text"
    text.write_text("rubbish")
    model = LanguageModel.load(language)
    model.generate_samples(samples=2, length=1).state.save(folder / "two")
    state = model.read("The")
    State({"h": state.tensors["h"][:, :, :5]}, attached=state.attached).save(folder / "other")
    other = LanguageModel(hidden_size=24, streams=4, window=20, epochs=1).fit(TEXT * 20)
    other.read("The").save(folder / "same size")
    names = ("missing", "text", "two", "other", "same size")
    return {name: folder / name for name in names}


def test_a_state_that_does_not_fit_is_refused_with_its_option(elman, language: Path, tmp_path: Path):
    codes = {"missing": 1, "text": 1, "two": 2, "other": 1, "same size": 1}
    for name, path in rubbish_states(tmp_path, language).items():
        done = elman("generate", language, "--state", path, "--samples", 3)
        assert done.code == codes[name], done.err
        assert str(path) in done.err
        assert "--state" in done.err
        assert "defect" not in done.err


def test_a_state_that_cannot_be_saved_is_known_before_anything_is_written(elman, language: Path, tmp_path: Path):
    for path in (tmp_path, tmp_path / "none" / "state"):
        done = elman("generate", language, "--save-state", path)
        assert (done.code, done.out) == (2, "")
        assert "--save-state" in done.err


def test_a_state_that_finds_no_room_is_one_message(
    elman, language: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("elman.nn.state.atomic_write", full)
    done = elman("generate", language, "--length", 5, "--save-state", tmp_path / "state", "--json")
    assert done.code == 1
    assert done.json["error"] == "The state cannot be saved: No space left on device."
    assert done.json["where"] == str(tmp_path / "state")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_text_that_finds_no_room_is_one_message_and_its_state_is_saved(language: Path, tmp_path: Path):
    command = [sys.executable, "-m", "elman", "generate", str(language), "--save-state", str(tmp_path / "state")]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("elman: error: The disk is full")
    assert State.load(tmp_path / "state").batch_size == 1


GIVEN = ["--seed", "3", "--temperature", "1.3", "--top-k", "9", "--top-p", "0.97", "--samples", "2", "--stop", " \n'"]


def test_the_command_that_goes_on_writes_the_rest_of_the_text(
    elman, language: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model, state = tmp_path / "my model", tmp_path / "my state"
    model.symlink_to(language)
    words = ("generate", model, *GIVEN, "--json")
    whole = elman(*words, "--prompt", "The ", "--length", 50).json["samples"]
    with monkeypatch.context() as changes:
        turns = generate._turns

        def stopped(texts) -> Iterator[tuple[str, ...]]:
            for pieces in turns(texts):
                yield pieces
                if texts.turns == 20:
                    raise KeyboardInterrupt

        changes.setattr(generate, "_turns", stopped)
        done = elman(*words, "--prompt", "The ", "--length", 50, "--save-state", state)
    assert done.code == 130
    assert done.json["state"] == str(state)
    first = LanguageModel.load(language).generate_samples(
        "The ", samples=2, length=20, seed=3, temperature=1.3, top_k=9, top_p=0.97
    )
    begun = ["".join(pieces) for pieces in zip(*first, strict=True)]
    assert [sample["text"] for sample in done.json["samples"]] == begun
    go_on = shlex.split(done.json["fix"].removeprefix("Continue with: "))
    rest = elman(*go_on[1:], "--json").json["samples"]
    assert [begin + each["text"] for begin, each in zip(begun, rest, strict=True)] == [each["text"] for each in whole]


def test_ctrl_c_inside_a_token_keeps_no_half_state(
    elman, language: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(sampler, scores) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("elman.generation.sampling.Sampler.draw", interrupted)
    done = elman("generate", language, "--save-state", tmp_path / "state")
    assert done.code == 130
    assert "the state is not saved" in done.err
    assert not (tmp_path / "state").exists()


def test_a_model_of_another_task_or_none_is_refused(elman, model: Path, tmp_path: Path):
    for folder in (model, tmp_path):
        done = elman("generate", folder)
        assert done.code == 1
        assert str(folder) in done.err


def test_ctrl_c_ends_at_a_whole_token_and_saves_the_state(language: Path, tmp_path: Path):
    state = tmp_path / "state"
    words = ["generate", str(language), "--length", "100000000", "--save-state", str(state), "--prompt", "The"]
    command = [sys.executable, "-m", "elman", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        begun = process.stdout.read(300)
        process.send_signal(signal.SIGINT)
        # Not `communicate`: it would leave out what is in the buffer already.
        rest, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130, errors
    assert f"elman generate {language} --state {state}" in errors.decode()
    text = (begun + rest).decode()
    assert text.endswith("\n")
    written = len(text) - len("The") - 1
    assert written > 200
    later = "".join(LanguageModel.load(language).generate(state=State.load(state), length=40))
    assert text[:-1] + later == "The" + expected(language, "The", length=written + 40)


def test_a_reader_who_leaves_ends_it_quietly(language: Path, tmp_path: Path):
    command = [sys.executable, "-m", "elman", "generate", str(language), "--length", "100000000"]
    with subprocess.Popen(
        [*command, "--save-state", str(tmp_path / "state")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(50)
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == b""
    assert State.load(tmp_path / "state").batch_size == 1
