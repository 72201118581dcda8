"""Gradients that are watched in a run: the log, the listener, the report, and the same weights."""

import io
import json
from pathlib import Path

import pytest
import torch
from helpers_training import At, nothing, trainer
from small_training import Net, Words
from torch import Tensor, nn

from elman.errors import UsageError
from elman.nn import Recurrent
from elman.training.gradient_watch import GradientEvent, gradient_parts
from elman.training.progress import PlainProgress


class Sequences(nn.Module):
    """A recurrent layer with dropout for the task of the trainer's tests."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = Recurrent("gru", 3, 5)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(5, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.dropout(self.body(inputs)[1].output))


class Watching(At):
    """Keeps the gradients."""

    def __init__(self):
        super().__init__(nothing)
        self.seen: list[GradientEvent] = []

    def gradients(self, event: GradientEvent) -> None:
        self.seen.append(event)


def test_every_second_epoch_is_measured_and_nothing_else_changes(tmp_path: Path):
    ends = []
    for every in (None, 2):
        network, listener = Sequences(), Watching()
        settings = {"epochs": 4, "batch_size": 10, "watch_gradients": every}
        trainer(tmp_path / str(every), settings, listener, network=network, train=Words(30)).run()  # pyright: ignore
        ends.append([weight.detach() for weight in network.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))
    assert [event.epoch for event in listener.seen] == [2, 4]
    rows = [json.loads(line) for line in (tmp_path / "2" / "log.jsonl").read_text().splitlines()]
    watched = [row for row in rows if row["kind"] == "gradients"]
    assert [row["epoch"] for row in watched] == [2, 4]
    assert watched[0]["layers"][0]["layer"] == "body.layer0"
    slopes, norms = gradient_parts(rows)
    assert list(slopes.panels[0].traces[0].x) == [2, 4]  # pyright: ignore
    assert norms.panels[0].name == "body.layer0"  # pyright: ignore
    assert gradient_parts([row for row in rows if row["kind"] != "gradients"]) == []


def test_progress_has_a_line_for_each_layer():
    stream = io.StringIO()
    settings = {"epochs": 1, "batch_size": 10, "watch_gradients": 1}
    trainer(None, settings, PlainProgress(stream), network=Sequences(), train=Words(30)).run()
    assert "gradient of body.layer0: " in stream.getvalue()


def test_a_network_without_recurrent_layers_is_refused_before_the_run():
    with pytest.raises(UsageError, match="watch_gradients"):
        trainer(None, {"epochs": 1, "watch_gradients": 1}, network=Net())
