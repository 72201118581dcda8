"""The task of giving each word of a sentence a label."""

from typing import Any

from pydantic import Field

from elman.report.parts import Confusion, Numbers, Part
from elman.settings.network import StepSettings
from elman.settings.text import VocabularySettings
from elman.settings.training import TrainingSettings
from elman.tasks.baselines import FrequentTag
from elman.tasks.kinds import StepLabels
from elman.tasks.sentences import Sentences, Words
from elman.tasks.task import Answer, Batch, Column, Data, Found, Metric, Read, Task


class TagSettings(VocabularySettings, StepSettings, TrainingSettings):
    """Every setting of a tagger: which words are known, the network's layers, the training."""

    bidirectional: bool = Field(True, description="Read the sentences from both ends.")


class Tag(Task):
    """One label per word: a softmax for each step, cross entropy, accuracy over the words."""

    name = "tag"
    summary = "one label for each word of a sentence"
    noun = "tagger"
    settings_class = TagSettings
    columns = (Column("words", Words), Column("tags", StepLabels, "target"))
    source = Sentences()
    baseline_names = (FrequentTag.name,)
    metrics = (
        Metric("accuracy", larger_is_better=True, percent=True, note="Of all words."),
        Metric("majority", percent=True, title="majority rate", note="Always giving the most frequent tag."),
        Metric("macro_f1", larger_is_better=True, percent=True, title="macro F1", note="Every tag counts the same."),
        Metric("loss", note="Mean cross entropy, nats per word."),
        Metric("count", title="words"),
    )
    use = ('elman predict {model} --text "WORD WORD"', "elman evaluate {model} {data}")
    examples = (
        "elman train tag train.tsv --validation dev.tsv --out tags",
        "elman train tag en-ud-train.conllu --column upos --embedding 100 --out upos",
    )

    @classmethod
    def baselines(cls) -> Any:
        """Return the most frequent tag of each word."""
        return (FrequentTag("words", "tags"),)

    @property
    def tags(self) -> list[Any]:
        """The tags, in the order of the outputs."""
        return self.encoders["tags"].each.labels

    def network(self, cell: Any) -> Any:
        """Build the network: embed, recurrent body, dense layers on each step."""
        from elman.networks import StepNetwork

        return StepNetwork(self.settings, len(self.tags), cell=cell, **self.encoders["words"].sizes())

    def read(self, network: Any, batch: Batch, state: Any = None) -> Read:
        """Read a batch, with logits `(total, tags)`."""
        from torch.nn import functional

        outputs, targets = network(batch["words"]).data, batch["tags"].data
        return Read(functional.cross_entropy(outputs, targets), len(targets), outputs)

    def scores(self, data: Data) -> Any:
        """Return the loss, accuracy, majority rate, F1 and confusion matrix over all words."""
        from elman.tasks.confusions import LabelScores

        return LabelScores(self.tags, "tags")

    def answers(self, network: Any, batch: Batch) -> list[Answer]:
        """Return the most probable tag of each word."""
        from elman.data.ragged.finite import check_finite

        outputs = network(batch["words"])
        check_finite(outputs)
        best = outputs.map(lambda rows: rows.argmax(1))
        return [Answer([self.tags[position] for position in row.tolist()]) for row in best.to_list()]

    def check(self, batch: Batch, read: Read) -> None:
        """Refuse outputs that are not finite."""
        from elman.data.ragged.finite import check_finite

        check_finite(batch["words"].map(lambda _: read.outputs))

    def report(self, found: Found) -> list[Part]:
        """Return the scores with the majority rate, and the confusion matrix."""
        scores = found.scores
        numbers = Numbers(list(self.figures(scores)), scores["accuracy"], scores["majority"])
        return [numbers, Confusion(scores["labels"], scores["confusion"])]
