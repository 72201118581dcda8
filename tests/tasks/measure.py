"""A task that is not in elman: a number for each text."""

import torch
from torch import nn

from elman.networks import RowNetwork
from elman.settings.network import NetworkSettings
from elman.settings.text import EncoderSettings
from elman.settings.training import TrainingSettings
from elman.tasks.kinds import Text
from elman.tasks.rows import Rows
from elman.tasks.task import Answer, Column, Metric, Read, Task


class MeasureSettings(EncoderSettings, NetworkSettings, TrainingSettings):
    """Every setting of the task."""


class Number:
    """A number a row."""

    def __init__(self, settings):
        pass

    def learn(self, values, folder=None):
        return self.encode(values)

    def encode(self, values, *, unknown=None, folder=None):
        return torch.tensor([float(value) for value in values])

    def to_json(self):
        return {}

    def load(self, document):
        pass


class Measure(Task):
    """The mean square of the differences."""

    name, summary, noun, settings_class, source = "measure", "a number for each text", "ruler", MeasureSettings, Rows()
    columns = (Column("text", Text, help="The texts."), Column("size", Number, "target", "The numbers."))
    metrics = (Metric("loss", note="Mean square error."),)

    def network(self, cell):
        return RowNetwork(self.settings, 1, cell=cell, **self.encoders["text"].sizes())

    def read(self, network, batch, state=None):
        outputs = network(batch["text"]).squeeze(1)
        return Read(nn.functional.mse_loss(outputs, batch["size"]), len(outputs), outputs)

    def scores(self, data):
        return Mean()

    def answers(self, network, batch):
        return [Answer(round(value, 2)) for value in network(batch["text"]).squeeze(1).tolist()]


class Mean:
    """The mean loss."""

    total = count = 0

    def update(self, batch, read):
        self.total, self.count = self.total + read.loss.item() * read.targets, self.count + read.targets

    def compute(self):
        return {"loss": self.total / self.count}
