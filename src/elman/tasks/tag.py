"""The task of giving each word of a sentence a label."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from elman.errors import UsageError
from elman.report.parts import Confusion, Numbers, Part
from elman.settings.ensemble import EnsembleSettings
from elman.settings.reservoir import ReservoirTaskSettings
from elman.settings.tagging import WordSettings
from elman.settings.text import VocabularySettings
from elman.settings.training import TrainingSettings
from elman.tasks.baselines import FrequentTag
from elman.tasks.sentences import Sentences, Words
from elman.tasks.tag_labels import TagLabels
from elman.tasks.tag_report import tagged_sentences
from elman.tasks.task import Answer, Batch, Column, Data, Found, Metric, Read
from elman.tasks.wide_tags import WideTagTask


class TagSettings(VocabularySettings, WordSettings, TrainingSettings, EnsembleSettings, ReservoirTaskSettings):
    """Every setting of a tagger: which words are known, the network's layers and the training."""

    no_feedback: ClassVar[str] = "a tagger chooses the tags of all words at once, and feeds none back."
    no_warmup: ClassVar[str] = "a tagger has a tag for every word."

    scheme: Literal["iob1", "iob2", "iobes"] | None = Field(
        None, description="Scheme of tags that are spans. The strict score reads them by it; found if not given."
    )
    learning_rate: float = Field(2e-3, gt=0, description="Learning rate of the optimizer.")
    schedule: Literal["constant", "linear", "cosine", "step", "one-cycle"] = Field(
        "linear", description="How the learning rate changes. `elman.training.schedules` has the formulas."
    )
    average_decay: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        0.999, description="Keep an average of the weights with this decay. The average is evaluated and saved."
    )
    clip_norm: float | None = Field(5.0, gt=0, description="Largest norm of the gradient, which is scaled down to it.")


class Tag(WideTagTask):
    """One label per word: cross entropy of each word, or of the tags of a sentence together.

    The metric that compares epochs is the F1 of spans where the tags are spans, and else the accuracy.
    """

    name = "tag"
    summary = "one label for each word of a sentence"
    noun = "tagger"
    settings_class = TagSettings
    columns = (Column("words", Words), Column("tags", TagLabels, "target"))
    source = Sentences()
    baseline_names = (FrequentTag.name,)
    has_scale_free_readout = True
    metrics = (
        Metric("accuracy", larger_is_better=True, percent=True, note="Of all words."),
        Metric("unknown_accuracy", True, True, "Of the words that training never saw.", "unknown words"),
        Metric("span_f1", True, True, "Of whole spans, read as conlleval reads them.", "span F1"),
        Metric("span_f1_strict", True, True, "Of spans that are spelled correctly in their scheme.", "strict span F1"),
        Metric(
            "majority", compares=False, percent=True, title="majority rate", note="Always giving the most frequent tag."
        ),
        Metric("macro_f1", larger_is_better=True, percent=True, title="macro F1", note="Every tag counts the same."),
        Metric("loss", note="Mean cross entropy, nats per word."),
        Metric("count", compares=False, title="words"),
    )
    use = ('elman predict {model} --text "WORD WORD"', "elman evaluate {model} {data}")
    examples = (
        "elman train tag train.tsv --validation dev.tsv --out tags",
        "elman train tag en-ud-train.conllu --column upos --validation en-ud-dev.conllu --out upos",
        "elman train tag names.tsv --crf --scheme iob2 --out names",
    )

    @classmethod
    def baselines(cls) -> Any:
        """Return the most frequent tag of each word."""
        return (FrequentTag("words", "tags"),)

    @property
    def tags(self) -> list[Any]:
        """The tags, in the order of the outputs."""
        return self.encoders["tags"].each.labels

    @property
    def metric(self) -> Metric:
        """The metric by which epochs are compared: of spans where the tags are spans."""
        chosen = super().metric
        spans = next(metric for metric in self.metrics if metric.name == "span_f1")
        return spans if self.settings.metric is None and self.encoders["tags"].scheme is not None else chosen

    def network(self, cell: Any) -> Any:
        """Build the network: spelled words, recurrent body, dense layers, CRF, linear model."""
        from elman.tag_network import TagEnsemble, TagNetwork

        sizes, allowed = self.encoders["words"].sizes(), self.encoders["tags"].allowed()
        how = {"cell": cell, "allowed": allowed, **sizes}
        if self.settings.ensemble > 1:
            network = TagEnsemble(self.settings, len(self.tags), self.settings.ensemble, **how)
        else:
            network = TagNetwork(self.settings, len(self.tags), **how)
        network.wide = self.new_wide(len(self.tags))
        return network

    def read(self, network: Any, batch: Batch, state: Any = None) -> Read:
        """Read a batch, with `Tagged` outputs."""
        from elman.tasks.tag_scores import read_tags

        return read_tags(network, batch)

    def readout(self, network: Any, batch: Batch) -> Any:
        """Return 1 for the tag of each word, and 0 for the others.

        Raises:
            UsageError: the tags are chosen by a CRF.
        """
        from torch.nn import functional

        if self.settings.crf:
            raise UsageError(
                "Ridge regression solves for the scores of single words, and a CRF chooses tags together.",
                fix="Leave out crf (--no-crf), or give fitter='gradient' (--fitter gradient).",
            )
        return batch["tags"].to("cpu").map(lambda tags: functional.one_hot(tags, len(self.tags)))

    def scores(self, data: Data) -> Any:
        """Return the scores of all words, of unknown words and of spans."""
        from elman.tasks.tag_scores import TagScores

        return TagScores(self.tags, self.encoders["tags"].scheme, self.encoders["words"].unseen)

    def answers(self, network: Any, batch: Batch) -> list[Answer]:
        """Return the most probable tag of each word, or the most probable sequence of tags."""
        from elman.data.ragged.finite import check_finite

        outputs = network(batch["words"])
        check_finite(outputs)
        return [Answer([self.tags[tag] for tag in row.tolist()]) for row in network.best(outputs).to_list()]

    def check(self, batch: Batch, read: Read) -> None:
        """Refuse outputs that are not finite."""
        from elman.data.ragged.finite import check_finite

        check_finite(batch["words"].ids.map(lambda _: read.outputs.logits))

    def report(self, found: Found) -> list[Part]:
        """Return the scores, the confusion matrix, the worst sentences and a page of text."""
        scores = found.scores
        numbers = Numbers(list(self.figures(scores)), scores["accuracy"], scores["majority"], _remark(scores))
        return [numbers, Confusion(scores["labels"], scores["confusion"]), *tagged_sentences(found.rows)]


def _remark(scores: Mapping[str, Any]) -> str:
    scheme = scores.get("scheme")
    return f"The strict score of spans reads the tags by the scheme {scheme.upper()}." if scheme else ""
