"""The model folder gives back what was put in, and refuses everything else with a reason and a repair."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from elman.errors import ModelError, UsageError
from elman.folders import RunFolder, resume_command
from elman.models import saved
from elman.models.card import write_card
from elman.models.saved import read_model, write_model

CONFIG = {"task": "classify", "settings": {"hidden_size": 7, "cell": "lstm"}, "labels": ["no", "yes – ü"]}
VOCABULARY = {"tokens": ["a", "b", "ß"]}


def tensors() -> dict[str, torch.Tensor]:
    return {
        "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "b": torch.zeros(0, 4),
        "c": torch.ones(3).double(),
    }


def rewrite(folder: Path, **changes) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "words"
    write_model(path, config=CONFIG, tensors=tensors(), vocabulary=VOCABULARY, card="# words\n")
    return path


def refusal(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_model(folder)
    assert caught.value.where
    assert caught.value.fix
    return caught.value


def test_what_is_written_is_read(folder: Path):
    model = read_model(folder)
    assert CONFIG.items() <= model.config.items()
    assert model.vocabulary == VOCABULARY
    assert model.tensors.keys() == tensors().keys()
    for name, tensor in tensors().items():
        torch.testing.assert_close(model.tensors[name], tensor, rtol=0, atol=0)


def test_the_folder_holds_the_four_files_and_nothing_else(folder: Path):
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "vocabulary.json",
        "README.md",
    }


def test_tensors_that_share_memory_or_are_not_contiguous_are_saved(tmp_path: Path):
    base = torch.arange(6.0).reshape(2, 3)
    write_model(tmp_path, config=CONFIG, tensors={"a": base, "t": base.T}, vocabulary={}, card="")
    torch.testing.assert_close(read_model(tmp_path).tensors["t"], base.T)


def test_writing_again_replaces_the_model_and_leaves_other_files(folder: Path):
    (folder / "log.jsonl").write_text("{}\n")
    write_model(folder, config=CONFIG, tensors={"n": torch.ones(1)}, vocabulary=VOCABULARY, card="")
    assert read_model(folder).tensors.keys() == {"n"}
    assert (folder / "log.jsonl").read_text() == "{}\n"


def test_a_failed_save_leaves_the_old_model(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def full_disk(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("elman.files.os.fsync", full_disk)
    with pytest.raises(ModelError, match="No space left"):
        write_model(folder, config=CONFIG, tensors={"n": torch.ones(1)}, vocabulary={}, card="")
    monkeypatch.undo()
    assert read_model(folder).tensors.keys() == tensors().keys()
    assert not list(folder.glob(".*"))


def test_what_a_killed_save_left_is_cleared_away(folder: Path):
    (folder / ".model.safetensors.0123abcd.tmp").write_bytes(b"half")
    write_model(folder, config=CONFIG, tensors=tensors(), vocabulary=VOCABULARY, card="")
    assert not list(folder.glob(".*"))


def test_a_folder_that_is_a_file_cannot_be_written(tmp_path: Path):
    path = tmp_path / "taken"
    path.write_text("mine")
    with pytest.raises(ModelError, match="cannot be saved"):
        write_model(path, config=CONFIG, tensors={}, vocabulary={}, card="")
    assert path.read_text() == "mine"


def test_a_missing_folder_names_the_nearest_model(folder: Path):
    error = refusal(folder.with_name("wrods"))
    assert "no such model folder" in error.problem
    assert "Did you mean `words`?" in error.fix


def test_a_missing_folder_with_no_model_near(tmp_path: Path):
    assert "elman train" in refusal(tmp_path / "nowhere" / "at all").fix


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocabulary.json"])
def test_a_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()
    error = refusal(folder)
    assert error.problem == f"{name} is missing."
    assert error.where == str(folder / name)


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json"])
@pytest.mark.parametrize("kept", [0, 1, -1])
def test_a_file_cut_short_is_refused(folder: Path, name: str, kept: int):
    path = folder / name
    path.write_bytes(path.read_bytes()[:kept])
    error = refusal(folder)
    assert "cut short" in error.problem
    assert str(path) in error.where


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json"])
def test_every_changed_byte_is_noticed(folder: Path, name: str):
    path = folder / name
    good = path.read_bytes()
    for place in range(0, len(good), 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        assert "checksum" in refusal(folder).problem


def test_a_config_that_is_no_json_names_line_and_column(folder: Path):
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"files": {', '"files" {'))
    error = refusal(folder)
    line = 1 + path.read_text()[: path.read_text().index('"files"')].count("\n")
    assert f"line {line}, column 11" in error.where


def test_a_config_cut_short_is_damaged_and_not_foreign(folder: Path):
    path = folder / "config.json"
    path.write_bytes(path.read_bytes()[:-20])
    assert "not valid JSON" in refusal(folder).problem


def test_a_config_of_bytes_is_refused(folder: Path):
    path = folder / "config.json"
    path.write_bytes(path.read_bytes() + b"\xff")
    assert "not UTF-8" in refusal(folder).problem


def test_a_later_format_says_which_elman(folder: Path):
    rewrite(folder, format_version=saved.FORMAT_VERSION + 1, elman_version="9.8.7")
    error = refusal(folder)
    assert "elman 9.8.7" in error.problem
    assert "pip install" in error.fix


def test_a_model_of_an_earlier_format_is_refused_with_what_to_do(folder: Path):
    rewrite(folder, format_version=saved.FORMAT_VERSION - 1)
    error = refusal(folder)
    assert "before its first release" in error.problem
    assert "Train the model again" in error.fix


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"files": 3}, "files"),
        ({"task": None}, "task"),
        ({"format_version": "one"}, "format_version"),
        ({"files": {"model.safetensors": {}}}, "files.model.safetensors.sha256"),
    ],
)
def test_a_config_with_wrong_fields_names_them(folder: Path, changes: dict, field: str):
    rewrite(folder, **changes)
    assert field in refusal(folder).where


def test_a_config_without_checksums_is_refused(folder: Path):
    rewrite(folder, files={})
    assert "no checksum" in refusal(folder).problem


def test_weights_that_are_no_safetensors_are_refused(folder: Path):
    path = folder / "model.safetensors"
    content = b"\xff" * 64
    path.write_bytes(content)
    rewrite(
        folder,
        files={
            **json.loads((folder / "config.json").read_text())["files"],
            "model.safetensors": saved._record(content).model_dump(),
        },
    )
    assert "weights cannot be read" in refusal(folder).problem


def test_a_foreign_folder_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(save({"a": torch.ones(1)}))
    assert "not a model folder" in refusal(tmp_path).problem


def test_an_empty_folder_is_refused(tmp_path: Path):
    assert "not a model folder" in refusal(tmp_path).problem


def test_a_file_inside_the_folder_points_at_the_folder(folder: Path):
    assert str(folder) in refusal(folder / "model.safetensors").fix


def test_an_unfinished_run_says_how_to_go_on(tmp_path: Path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    assert "--resume" in refusal(tmp_path).fix
    RunFolder(tmp_path).record("elman train classify 'my words.csv' --out x --overwrite")
    assert f"elman train classify 'my words.csv' --out {tmp_path} --resume" in refusal(tmp_path).fix


@pytest.mark.parametrize("content", [None, b"", b"\xff\x00", b'{"format": "elm'])
@pytest.mark.parametrize("made_by_a_run", [False, True])
def test_a_model_whose_config_is_damaged_is_no_unfinished_run(folder: Path, content: bytes | None, made_by_a_run: bool):
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_bytes(content)
    if made_by_a_run:
        RunFolder(folder).record("elman train language text.txt --out x")
    error = refusal(folder)
    assert error.problem.startswith("config.json ")
    assert "Copy the whole folder" in error.fix


def test_a_model_is_not_saved_over_files_of_others(folder: Path, tmp_path: Path):
    saved = read_model(folder)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "README.md").write_text("mine")
    with pytest.raises(UsageError, match=r"README\.md, which elman did not write"):
        write_model(tmp_path / "project", config={}, tensors=saved.tensors, vocabulary={}, card="a card")
    assert (tmp_path / "project" / "README.md").read_text() == "mine"
    (tmp_path / "project" / "README.md").rename(tmp_path / "project" / "notes.md")
    write_model(tmp_path / "project", config={}, tensors=saved.tensors, vocabulary={}, card="a card")
    assert (tmp_path / "project" / "notes.md").read_text() == "mine"


def test_a_folder_that_may_not_be_read_is_refused(folder: Path):
    (folder / "vocabulary.json").unlink()
    (folder / "vocabulary.json").mkdir()
    assert "cannot be read" in refusal(folder).problem


def test_states_of_folders(tmp_path: Path, folder: Path):
    assert RunFolder(folder).state == "model"
    assert RunFolder(tmp_path / "none").state == "missing"
    assert RunFolder(folder / "config.json").state == "foreign"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert RunFolder(empty).state == "empty"
    RunFolder(empty).record("elman train")
    assert RunFolder(empty).state == "unfinished"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    assert RunFolder(tmp_path / "other").state == "foreign"


def test_a_damaged_note_of_the_command_is_no_command(tmp_path: Path):
    for damaged in (b"", b"[]", b'{"command": 3}', b"\xff"):
        (tmp_path / "run.json").write_bytes(damaged)
        assert RunFolder(tmp_path).command is None


def test_resuming_twice_says_resume_once():
    command = resume_command("elman train classify a.csv --out m --overwrite")
    assert resume_command(command) == command == "elman train classify a.csv --out m --resume"


def test_the_card_says_what_a_reader_needs():
    card = write_card(
        name="words",
        summary="Classifies words as positive or negative.",
        data={"file": "a|b.csv", "texts": 6064},
        scores={"accuracy": 0.8421, "majority": 0.7048},
        settings={"cell": ("lstm", "A."), "seed": (3, "B."), "learning_rate": (1e-4, "C.")},
        use=("elman predict words",),
        command="elman train classify a.csv --out words",
    )
    for part in (
        "# words",
        r"a\|b.csv",
        "0.8421",
        "0.7048",
        "| seed | 3 | B. |",
        "| learning_rate | 0.0001 | C. |",
        "| torch |",
    ):
        assert part in card
    assert "elman train classify a.csv --out words" in card
