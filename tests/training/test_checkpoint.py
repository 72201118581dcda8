import errno
import json
import os
import resource
from pathlib import Path

import pytest
import safetensors.torch
import torch

from elman.errors import ModelError, TrainingError
from elman.files import remove_leftovers
from elman.folders import CHECKPOINT
from elman.training.checkpoint import (
    Checkpoint,
    check_identity,
    read_checkpoint,
    write_checkpoint,
)


def checkpoint(value: float = 1.0) -> Checkpoint:
    shared = torch.full((4, 3), value)
    tensors = {
        "weights/a": shared,
        "weights/tied": shared,
        "weights/turned": shared.t(),
        "weights/half": torch.ones(2, dtype=torch.bfloat16),
        "weights/empty": torch.zeros(0, 3),
        "optimizer/a/step": torch.tensor(3.0),
        "generator/cpu": torch.get_rng_state(),
    }
    return Checkpoint(tensors, {"epoch": 2, "loss": 0.1 + 0.2}, {"cell": "lstm"})


def refusal(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_checkpoint(path)
    assert caught.value.where == str(path)
    assert caught.value.fix
    return caught.value


def test_what_is_read_is_what_was_written(tmp_path):
    path = tmp_path / CHECKPOINT
    write_checkpoint(path, checkpoint())
    read = read_checkpoint(path)
    assert (read.state, read.identity) == (checkpoint().state, checkpoint().identity)
    assert read.tensors.keys() == checkpoint().tensors.keys()
    for name, tensor in checkpoint().tensors.items():
        assert read.tensors[name].dtype == tensor.dtype
        assert torch.equal(read.tensors[name], tensor)
    assert read.group("optimizer").keys() == {"a/step"}
    assert [entry.name for entry in tmp_path.iterdir()] == [CHECKPOINT]


def no_space(*_args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def assert_untouched(folder: Path) -> None:
    assert [entry.name for entry in folder.iterdir()] == [CHECKPOINT]
    assert read_checkpoint(folder / CHECKPOINT).tensors["weights/a"][0, 0] == 1.0


@pytest.mark.parametrize("place", ["pathlib.Path.write_bytes", "os.fsync", "pathlib.Path.replace"])
def test_a_write_that_fails_leaves_the_checkpoint_before(tmp_path, monkeypatch, place):
    write_checkpoint(tmp_path / CHECKPOINT, checkpoint(1.0))
    with monkeypatch.context() as patch:
        patch.setattr(place, no_space)
        with pytest.raises(TrainingError, match="No space left") as caught:
            write_checkpoint(tmp_path / CHECKPOINT, checkpoint(2.0))
    assert caught.value.where == str(tmp_path / CHECKPOINT)
    assert_untouched(tmp_path)


def test_a_file_that_the_system_cuts_short_leaves_the_checkpoint_before(tmp_path):
    write_checkpoint(tmp_path / CHECKPOINT, checkpoint(1.0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(TrainingError, match="cannot be written"):
            write_checkpoint(tmp_path / CHECKPOINT, checkpoint(2.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_untouched(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(TrainingError, match="No such file"):
        write_checkpoint(tmp_path / "gone" / CHECKPOINT, checkpoint())


def test_a_missing_checkpoint_is_refused(tmp_path):
    assert "no checkpoint to resume from" in refusal(tmp_path / CHECKPOINT).problem


@pytest.mark.parametrize("kept", [0, 4, 200, 0.5, 0.99, -1])
def test_a_checkpoint_cut_short_is_refused(tmp_path, kept):
    path = tmp_path / CHECKPOINT
    write_checkpoint(path, checkpoint())
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    assert "damaged or cut short" in refusal(path).problem


def test_every_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / CHECKPOINT
    write_checkpoint(path, checkpoint())
    content = path.read_bytes()
    for place in range(0, len(content), 97):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        refusal(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip of something", b"{}", b"\xff" * 100])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / CHECKPOINT
    path.write_bytes(content)
    refusal(path)


def test_tensors_of_somebody_else_are_refused(tmp_path):
    path = tmp_path / CHECKPOINT
    safetensors.torch.save_file({"a": torch.ones(2)}, path)
    assert "not a checkpoint of elman" in refusal(path).problem


def test_a_later_format_is_refused(tmp_path):
    path = tmp_path / CHECKPOINT
    metadata = {"format": "elman-checkpoint", "format_version": "3", "document": json.dumps({"unheard": "of"})}
    safetensors.torch.save_file({"a": torch.ones(2)}, path, metadata)
    error = refusal(path)
    assert "later elman: its format is 3, this one reads 2" in error.problem
    assert "Install a later version" in str(error.fix)


def test_an_earlier_format_is_refused(tmp_path):
    path = tmp_path / CHECKPOINT
    metadata = {"format": "elman-checkpoint", "format_version": "1", "document": json.dumps({"un": "heard"})}
    safetensors.torch.save_file({"a": torch.ones(2)}, path, metadata)
    assert "format 1, which elman wrote before its first release" in refusal(path).problem


def test_each_field_that_differs_is_named_with_both_values(tmp_path):
    found = {"settings": {"epochs": 3, "betas": [0.9, 0.99]}, "cell": "lstm", "old": 1, "task": "classify"}
    expected = {"settings": {"epochs": 4, "betas": (0.9, 0.99)}, "cell": "gru", "new": None, "task": "classify"}
    with pytest.raises(ModelError) as caught:
        check_identity(tmp_path, found, expected)
    assert caught.value.problem == "The checkpoint was made by another run: 4 fields differ."
    assert str(caught.value.where).splitlines() == [
        str(tmp_path),
        "epochs: 3 in the checkpoint, 4 now",
        'cell: "lstm" in the checkpoint, "gru" now',
        "new: nothing in the checkpoint, null now",
        "old: 1 in the checkpoint, nothing now",
    ]
    assert "(--epochs 3)" in str(caught.value.fix)


def test_what_follows_from_other_settings_is_not_named(tmp_path):
    """A person who resumes without the flags of the run reads the flags, and not what they would have made."""
    shapes = [{"head.weight": f"float32 (2, {size})"} for size in (8, 128)]
    cell = {"graphs": ["a long graph"] * 99}
    found = {
        "settings": {"hidden_size": 8, "tied": False, "dense": [3]},
        "weights": shapes[0],
        "identity": {"cell": cell},
    }
    here = {"settings": {"hidden_size": 128, "tied": True, "dense": []}, "weights": shapes[1], "identity": {"cell": 1}}
    with pytest.raises(ModelError) as caught:
        check_identity(tmp_path, found, here)
    assert [line.split(":")[0] for line in str(caught.value.where).splitlines()[1:]] == ["dense", "hidden_size", "tied"]
    assert "(--hidden-size 8 --no-tied)" in str(caught.value.fix)
    with pytest.raises(ModelError, match="3 fields") as caught:
        check_identity(tmp_path, {**found, "settings": {}}, {**here, "settings": {}})
    assert max(map(len, str(caught.value.where).splitlines())) < 250


def test_the_same_identity_passes_whatever_its_types_were_before_json(tmp_path):
    check_identity(tmp_path, {"sizes": [1, 2], "folder": str(tmp_path)}, {"sizes": (1, 2), "folder": tmp_path})


def test_leftovers_of_killed_runs_are_removed_and_nothing_else(tmp_path):
    for name in (f".{CHECKPOINT}.ab12cd34.tmp", CHECKPOINT, "notes.tmp"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path, CHECKPOINT)
    assert {entry.name for entry in tmp_path.iterdir()} == {CHECKPOINT, "notes.tmp"}
