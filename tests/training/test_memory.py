"""Devices by name, and a memory that is full."""

import pytest
import torch
from helpers_training import PLAIN, trainer
from small_training import Net

from elman.cli.app import run
from elman.devices import find_device, moved
from elman.errors import MemoryFullError, UsageError
from elman.models import SequenceClassifier
from elman.settings import check_settings
from elman.settings.training import TrainingSettings
from elman.tasks.task import Batch
from elman.training import memory
from elman.training.generators import generator_tensors, load_generator_tensors

ONE = Batch({}, 1, 100_000)
needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@needs_no_gpu
def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused_with_the_repair():
    assert find_device("auto") == find_device("cpu") == torch.device("cpu")
    for name in ("cuda", "cuda:1"):
        with pytest.raises(UsageError, match=f"(?s)device {name}, got none.*--device cpu"):
            find_device(name)


def test_a_gpu_that_the_machine_does_not_have_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    assert find_device("auto") == find_device("cuda") == torch.device("cuda:0")
    assert find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UsageError, match="from cuda:0 to cuda:1, got cuda:2"):
        find_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CUDA", ""])
def test_another_name_of_a_device_is_refused(name: str):
    with pytest.raises(UsageError, match="device: expected cpu, cuda, cuda:1 or auto; got"):
        check_settings(TrainingSettings, {"device": name})


@needs_no_gpu
def test_the_command_line_refuses_a_missing_gpu_before_the_data_are_read(tmp_path, capsys):
    line = ["train", "classify", str(tmp_path / "missing.csv"), "--out", str(tmp_path / "m"), "--device", "cuda"]
    assert run(line) == 2
    assert "Expected a GPU for the device cuda" in capsys.readouterr().err


def test_the_device_is_not_saved_and_the_precision_is(tmp_path):
    texts = ["a b", "b a", "c", "a"] * 4
    model = SequenceClassifier(device="auto", precision="bfloat16", epochs=1, hidden_size=4, wide="off")
    model.fit(texts, ["x", "y", "x", "y"] * 4).save(tmp_path / "m")
    again = SequenceClassifier.load(tmp_path / "m")
    assert (again.device, again.precision) == ("cpu", "bfloat16")
    assert "device" not in (tmp_path / "m" / "config.json").read_text()
    assert again.predict(texts).tolist() == model.predict(texts).tolist()


def test_tensors_within_plain_values_are_moved():
    value = {"a": [torch.ones(2), (1, "x")], "b": None}
    found = moved(value, torch.device("meta"))
    assert found["a"][0].is_meta
    assert found["a"][1] == (1, "x")
    assert found["b"] is None


class Full(Net):
    """A network that cannot read minibatches of more than 8 sequences."""

    def forward(self, inputs):
        if self.training and inputs.shape[0] > 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(inputs)


def test_a_full_memory_names_what_was_tried_and_what_would_fit():
    network = Full()
    with pytest.raises(MemoryFullError) as found:
        trainer(None, PLAIN | {"batch_size": 16, "bucketing": False}, network=network).run()
    assert "The memory of this machine is full: a minibatch of 16 sequences and" in found.value.problem
    assert "batch_size=16, precision=float32" in (found.value.where or "")
    assert "Give --batch-size 8 (batch_size=8)" in (found.value.fix or "")


def test_the_repair_is_as_large_as_what_fitted():
    settings = check_settings(TrainingSettings, {"tokens_per_batch": 1000})
    with (
        pytest.raises(MemoryFullError, match=r"(?s)up to 300 tokens fitted. Give --tokens-per-batch 300 "),
        memory.full_memory_named(torch.device("cpu"), Batch({}, 10, 1000), settings, fitted=300),
    ):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")


def test_a_single_sequence_that_does_not_fit_has_another_repair():
    with (
        pytest.raises(MemoryFullError, match="Give shorter sequences"),
        memory.full_memory_named(torch.device("cpu"), ONE, check_settings(TrainingSettings, {"batch_size": 1})),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory.")


def test_other_errors_are_left_as_they_are():
    with pytest.raises(RuntimeError, match="shapes"), memory.full_memory_named(torch.device("cpu"), ONE, None):
        raise RuntimeError("shapes")


def test_generators_of_another_gpu_are_used_and_missing_ones_are_seeded(monkeypatch):
    gpu = torch.Generator().manual_seed(5)
    monkeypatch.setattr(torch.cuda, "default_generators", (None, gpu))
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: gpu.get_state())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: gpu.set_state(state))
    kept = generator_tensors([1])
    assert kept.keys() == {"cpu", "cuda:1"}
    first = torch.rand(3, generator=gpu)
    load_generator_tensors({"cpu": kept["cpu"], "cuda:0": kept["cuda:1"]}, [1])
    assert torch.equal(torch.rand(3, generator=gpu), first)
    load_generator_tensors({"cpu": kept["cpu"]}, [1], seed=5)
    assert torch.equal(torch.rand(3, generator=gpu), first)
