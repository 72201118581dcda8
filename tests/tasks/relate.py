"""A task that is not in elman: a label for two texts of a row."""

from torch import nn

from elman.networks import RowNetwork
from elman.settings.network import NetworkSettings
from elman.settings.text import EncoderSettings
from elman.settings.training import TrainingSettings
from elman.tasks.confusions import LabelScores
from elman.tasks.kinds import Label, Text
from elman.tasks.rows import Rows
from elman.tasks.task import Answer, Column, Metric, Read, Task


class RelateSettings(EncoderSettings, NetworkSettings, TrainingSettings):
    """Every setting of the task."""


class Pair(nn.Module):
    """A recurrent network for each of the two texts, and a dense layer over the product of their outputs."""

    def __init__(self, task, cell):
        super().__init__()
        width = task.settings.hidden_size
        self.first, self.second = (
            RowNetwork(task.settings, width, cell=cell, **task.encoders[name].sizes()) for name in ("text", "other")
        )
        self.dense = nn.Linear(width, len(task.encoders["label"].labels))

    def forward(self, one, two):
        return self.dense(self.first(one) * self.second(two))


class Relate(Task):
    """Cross entropy of the label of two texts."""

    name, summary, noun, settings_class, source = "relate", "a label for two texts", "relater", RelateSettings, Rows()
    columns = (
        Column("text", Text, help="The first texts."),
        Column("other", Text, help="The second texts."),
        Column("label", Label, "target", "The labels."),
    )
    metrics = (Metric("accuracy", larger_is_better=True, percent=True), Metric("loss"))

    def network(self, cell):
        return Pair(self, cell)

    def read(self, network, batch, state=None):
        outputs = network(batch["text"], batch["other"])
        return Read(nn.functional.cross_entropy(outputs, batch["label"]), len(outputs), outputs)

    def scores(self, data):
        return LabelScores(self.encoders["label"].labels, "label")

    def answers(self, network, batch):
        best = network(batch["text"], batch["other"]).argmax(1)
        return [Answer(self.encoders["label"].labels[position]) for position in best.tolist()]
