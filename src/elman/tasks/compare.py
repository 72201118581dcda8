"""The task of comparing two sequences: how alike they are, or how one relates to the other."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from elman.report.parts import Part
from elman.settings.network import PoolingName, Share
from elman.settings.pairs import PairSettings
from elman.settings.rows import LabelSettings
from elman.tasks.kinds import prepare_numbers
from elman.tasks.pair_rows import Pairs
from elman.tasks.pair_targets import PairTarget
from elman.tasks.pair_texts import PairText, SameText, learn_together
from elman.tasks.rows import joined
from elman.tasks.task import Answer, Batch, Column, Data, Found, Metric, Read, Task, Values
from elman.tasks.wide_text import WideText

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from elman.compiler.cell import Cell
    from elman.nn.state import State
    from elman.tasks.baselines import Baseline


class ComparerSettings(LabelSettings, PairSettings):
    """Every setting of a comparer: how sequences are read and compared, the network's layers, the training."""

    wide: Literal["ngrams", "off"] = Field(
        "ngrams",
        description="Add a linear model of TF-IDF n-grams of both texts. It reads those that both have and those of "
        "one alone. It is fitted to the training pairs, and both models are weighed on the validation pairs. Only for "
        "the objective answer, where the vocabulary is shared.",
    )
    hidden_size: int = Field(100, gt=0, description="Units of each recurrent layer and direction.")
    dense: tuple[int, ...] = Field((100,), description="Units of the dense layers before the output layer.")
    pooling: tuple[PoolingName, ...] = Field(
        ("mean", "max"), min_length=1, description="How the steps are reduced to one row. Several are concatenated."
    )
    dropout: Share = Field(0.5, description="Fraction of the features to drop between layers.")


class Compare(Task):
    """A number, a label or both for two sequences, or vectors by which like sequences are near.

    The metric that compares epochs is Pearson's r of numbers, the accuracy of labels, their mean where there are both,
    and else the area under the ROC curve or the share of triplets in order.
    """

    name = "compare"
    summary = "how alike two sequences are, or how they relate"
    noun = "comparer"
    settings_class = ComparerSettings
    columns = (
        Column("first", PairText, help="Column of the first texts: name or number from 1. [by usual names]"),
        Column("second", WideText, help="Column of the second texts. [by usual names]"),
        Column(
            "target",
            PairTarget,
            "target",
            "Column of the answers: numbers or labels; one of each as 4,5. [by usual names]",
        ),
    )
    source = Pairs()
    baseline_names = ("constant", "linear")
    metrics = (
        Metric("pearson", True, title="Pearson's r", note="Correlation of predicted and true numbers."),
        Metric("spearman", True, title="Spearman's rho", note="Correlation of their ranks."),
        Metric("mse", title="mean squared error", note="In the squared unit of the numbers."),
        Metric("accuracy", larger_is_better=True, percent=True),
        Metric(
            "majority",
            compares=False,
            percent=True,
            title="majority rate",
            note="Always giving the most frequent label.",
        ),
        Metric("macro_f1", True, percent=True, title="macro F1", note="Every label counts the same, however rare."),
        Metric("mean_score", True, title="mean score", note="Mean of Pearson's r and the accuracy."),
        Metric("auc", True, title="area under the ROC curve", note="Probability that a like pair is nearer."),
        Metric("average_precision", True, title="average precision", note="Of like pairs, ranked by nearness."),
        Metric("ordered", True, True, "Of the triplets, those whose first pair is nearer.", "triplets in order"),
        Metric("loss", note="Mean loss of a pair."),
        Metric("count", compares=False, title="pairs"),
    )
    use = (
        'elman predict {model} --text {text} --text "OTHER TEXT"',
        "elman evaluate {model} {data}",
        "elman predict {model} TEXTS --nearest {text}",
    )
    examples = (
        "elman train compare pairs.tsv --first sentence_A --second sentence_B --target score --out pairs",
        "elman train compare sick.tsv --first 2 --second 3 --target 4,5 --header --out sick",
        "elman train compare questions.csv --first question1 --second question2 --target same --symmetric --out same",
        "elman train compare names.tsv --objective contrastive --out names",
        "elman train compare triplets.tsv --first anchor --second positive --negative negative --out near",
    )

    def __init__(self, settings: Any, encoders: Mapping[str, Any] | None = None):
        super().__init__(settings, encoders)
        if settings.shared and encoders is None:
            self.encoders["second"] = SameText(self.encoders["first"])
        if settings.objective == "triplet" and encoders is None:
            self.encoders["target"] = SameText(self.encoders["first"])

    @classmethod
    def resolve(cls, settings: Any, values: Values, *, validated: bool) -> tuple[Any, Sequence[str]]:
        """Decide what a step is, what is compared, the number of epochs and the regularisers."""
        # This imports numpy.
        from elman.tasks.pair_choices import resolve_comparer

        return resolve_comparer(settings, values, validated=validated)

    def learn(self, values: Mapping[str, Any], folder: "Path | None" = None) -> dict[str, Any]:
        """Learn one vocabulary from both columns of texts if they share it."""
        if not self.settings.shared:
            return super().learn(values, folder)
        texts = [name for name, encoder in self.encoders.items() if name == "first" or isinstance(encoder, SameText)]
        encoded = learn_together(self.encoders["first"], [values[name] for name in texts], folder)
        if self.encoders["first"].ngrams is not None:
            self.encoders["first"].crosses = (
                self.encoders["first"].pairs().learn(*(each.ngrams for each in encoded[:2]))
            )
        others = [name for name in self.encoders if name not in texts]
        return dict(zip(texts, encoded, strict=True)) | {
            name: self.encoders[name].learn(values[name], folder) for name in others
        }

    @property
    def kind(self) -> Any:
        """What the outputs mean: losses, scores and answers of this objective."""
        # This imports torch.
        from elman.tasks.pair_outputs import outputs_of

        return outputs_of(self.settings, self.encoders["target"])

    @property
    def metric(self) -> Metric:
        """The metric by which epochs are compared."""
        found = super().metric
        if self.settings.metric is not None:
            return found
        return next(metric for metric in self.metrics if metric.name == self.kind.metric)

    @property
    def labels(self) -> list[Any]:
        """The labels, in the order of the outputs; none without labels."""
        return self.encoders["target"].labels

    def network(self, cell: "Cell | None") -> Any:
        """Build the network: encoders, attention, features of both, dense layers, n-grams."""
        from elman.pair_network import PairEnsemble

        sizes = {name: _without_wide(self.encoders[name].sizes()) for name in ("first", "second")}
        network = PairEnsemble(self.settings, self.kind.size, self.settings.ensemble, cell=cell, **sizes)
        if self.settings.wide != "off":
            network.add_wide(self.encoders["first"].pairs(), self.kind.wide())
        return network

    def prepare(self, network: Any, encoded: Mapping[str, Any], *, fit: bool) -> Mapping[str, Any]:
        """Fit the linear model of n-grams, and return the columns without n-grams."""
        if self.tokens == "values":
            self._scale(network, encoded, fit=fit)
        if network.wide is None:
            return encoded
        first, second = encoded["first"], encoded["second"]
        self.encoders["first"].notes.append(
            f"A linear model of {network.wide.features:,} features of n-grams is added at the end; the epochs are "
            "those of the network alone."
        )
        if fit:
            self.kind.fit_wide(network.wide, first.ngrams, second.ngrams, encoded["target"])
        return {**encoded, "first": first.ids, "second": second.ids}

    def _scale(self, network: Any, encoded: Mapping[str, Any], *, fit: bool) -> None:
        """Learn the scales of sequences of numbers."""
        # This imports torch.
        from elman.data.ragged.ragged import Ragged

        first, second = encoded["first"], encoded["second"]
        batches = [Ragged.concatenate([first, second])] if self.settings.shared else [first, second]
        for each in network.networks:
            for reader, batch in zip(each.readers, batches, strict=True):
                prepare_numbers(reader, self.encoders["first"], batch, fit=fit)

    def complete(self, network: Any, data: "Data | None") -> None:
        """Weigh the network and the linear model on held-out data."""
        if network.wide is not None:
            self.kind.weigh(network, data)

    def conclude(self, network: Any, train: Values, held: Values) -> bool:
        """Fit the linear model to all pairs, the held-out ones too, as strongly as before."""
        if network.wide is None:
            return False
        # This imports torch.
        from elman.pair_network import PairWide

        values, text = joined(train, held).columns, self.encoders["first"]
        before, size = (text.ngrams, text.crosses), len(values["first"])
        try:
            rows = text.learn_ngrams([*values["first"], *values["second"]], text.ngrams.least)
            first, second = rows.select(range(size)), rows.select(range(size, 2 * size))
            text.crosses = text.pairs().learn(first, second)
            wide = PairWide(text.pairs(), self.kind.wide())
            wide.inherit(network.wide)
            self.kind.fit_wide(wide, first, second, self.encoders["target"].encode(values["target"]))
        except BaseException:
            # The features must be those of the weights, if the fit is stopped.
            text.ngrams, text.crosses = before
            raise
        network.wide = wide.eval().to(next(network.parameters()).device)
        return True

    @classmethod
    def baselines(cls) -> "Sequence[Baseline]":
        """Return a constant answer, and a linear model of n-grams."""
        # Imported late: numpy is needed only for training.
        from elman.tasks.pair_baselines import Constant, LinearPairs

        return Constant(), LinearPairs()

    def read(self, network: Any, batch: Batch, state: "State | None" = None) -> Read:
        """Read a batch, with the outputs of the objective."""
        loss, outputs = self.kind.read(network, batch)
        return Read(loss, batch.sequences, outputs)

    def logits(self, network: Any, batch: Batch) -> "tuple[Tensor, Tensor] | None":
        """Return the logits of the labels and the true positions, None without labels."""
        return self.kind.logits(self.read(network, batch).outputs, batch)

    def scores(self, data: Data) -> Any:
        """Return the scores of the objective."""
        return self.kind.scores(self.temperature)

    def answers(self, network: Any, batch: Batch) -> list[Answer]:
        """Return the number, the label, or both of each pair, or the similarity of its vectors."""
        return self.kind.answers(network, batch, self.temperature)

    def check(self, batch: Batch, read: Read) -> None:
        """Refuse outputs that are not finite."""
        from elman.data.ragged.finite import check_finite

        for part in read.outputs.values():
            check_finite(part)

    def summary_of(self) -> str:
        """Return what this model does."""
        what = self.kind.described
        return f"Compares two sequences of {self.tokens}, and gives {what}."

    def facts(self) -> dict[str, Any]:
        """Return the temperature of the probabilities, where there are labels."""
        return {"temperature": round(self.temperature, 4)} if self.kind.has_labels else {}

    def report(self, found: Found) -> list[Part]:
        """Return the scores, what they are made of, and the worst pairs."""
        from elman.tasks.pair_report import report_pairs

        return report_pairs(self, found)


def _without_wide(sizes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sizes.items() if name != "wide"}
