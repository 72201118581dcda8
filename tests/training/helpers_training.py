"""Runs to compare: a listener that does something at one place, and everything that a run leaves."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from small_training import Net, Signs, Words
from torch import Tensor, nn

from elman.folders import CHECKPOINT
from elman.training import BatchEvent, EpochEvent, History, Listener, RunStart, Trainer, TrainingSettings
from elman.training.checkpoint import read_checkpoint

TIMES = {"seconds", "sequences_per_second", "tokens_per_second"}
PLAIN: dict[str, Any] = {"epochs": 2, "batch_size": 16}
EVERYTHING: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 0.02,
    "schedule": "cosine",
    "warmup_fraction": 0.2,
    "weight_decay": 0.01,
    "clip_norm": 0.5,
    "average_decay": 0.9,
    "patience": 2,
    "report_every": 2,
}


class At:
    """Does something after the minibatch, or at the end of the epoch, of this number, counted over the whole run."""

    def __init__(self, act: Callable[[], Any], batch: int | None = None, epoch: int | None = None):
        self._act, self._batch, self._epoch = act, batch, epoch
        self.events: list[BatchEvent] = []
        self.epochs: list[EpochEvent] = []
        self.started: list[RunStart] = []
        self.finished: list[History] = []

    def start(self, start: RunStart) -> None:
        self.started.append(start)

    def batch(self, event: BatchEvent) -> None:
        self.events.append(event)
        if len(self.events) == self._batch:
            self._act()

    def epoch(self, event: EpochEvent) -> None:
        self.epochs.append(event)
        if event.record.epoch == self._epoch:
            self._act()

    def finish(self, history: History) -> None:
        self.finished.append(history)


def nothing() -> None:
    """For a listener that only listens."""


def trainer(folder: Path | None, settings: dict[str, Any], listener: Listener | None = None, **changes: Any) -> Trainer:
    given = TrainingSettings(**settings)
    parts = {"network": Net(), "task": Signs(), "train": Words(40), "validation": Words(20, seed=9)} | changes
    for name in ("train", "validation"):
        if isinstance(parts[name], Words):
            parts[name] = parts[name].examples(given, shuffle=name == "train")
    return Trainer(**parts, settings=given, folder=folder, listener=listener)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())


def untimed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in TIMES}


def left_behind(folder: Path) -> tuple[dict[str, Tensor], list[dict[str, Any]], list[dict[str, Any]]]:
    """Everything that a run leaves, except for times: tensors, epochs, log."""
    checkpoint = read_checkpoint(folder / CHECKPOINT)
    assert checkpoint.state["finished"]
    history = History.from_json(checkpoint.state["history"])
    log = [untimed(json.loads(line)) for line in (folder / "log.jsonl").read_text().splitlines()]
    return dict(checkpoint.tensors), [untimed(asdict(record)) for record in history.epochs], log


def assert_same_run(one: Path, other: Path) -> None:
    tensors, epochs, log = left_behind(one)
    other_tensors, other_epochs, other_log = left_behind(other)
    assert tensors.keys() == other_tensors.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], other_tensors[name])] == []
    assert epochs == other_epochs
    assert log == other_log
