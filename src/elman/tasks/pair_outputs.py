"""What the outputs of a pair network mean: answers with numbers and labels, or vectors that are near or far."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from elman.data.ragged.finite import check_finite
from elman.data.ragged.ragged import Ragged
from elman.data.text.ngrams import NgramRows, TextsWithNgrams
from elman.devices import CPU, device_of, moved, widened
from elman.errors import DataError
from elman.nn.pair_losses import contrastive_loss, cosine_loss, distances, distribution_loss, triplet_loss
from elman.nn.wide import Loss
from elman.tasks.pair_scores import AnswerScores, NearnessScores, TripletScores
from elman.tasks.pair_targets import PairTarget
from elman.tasks.task import Answer, Batch, Data

Outputs = dict[str, Tensor]


def outputs_of(settings: Any, target: Any) -> "AnswerOutputs | VectorOutputs | TripletOutputs":
    """Return the meaning of the outputs for an objective and the encoder of its target."""
    if settings.objective == "answer":
        return AnswerOutputs(settings, target)
    return TripletOutputs(settings) if settings.objective == "triplet" else VectorOutputs(settings, target)


def ids_of(column: Ragged | TextsWithNgrams) -> Ragged:
    """Return the ids of texts, or numbers as they are."""
    return column.ids if isinstance(column, TextsWithNgrams) else column


class AnswerOutputs:
    """A number, a label, or both of each pair.

    The rows of the networks have the logits of the labels, and one number or the logits of a scale. The outputs are
    `label`, logits `(pairs, labels)`, and `number`, standardised `(pairs,)`.

    Args:
        settings: of the task.
        target: learned.
    """

    def __init__(self, settings: Any, target: PairTarget):
        self.settings, self.target = settings, target
        self.is_scale = settings.rating == "distribution"
        self.has_labels = "label" in target.kinds

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The number of outputs of each kind of target."""
        low, high = self.target.scale
        each = {"number": high - low + 1 if self.is_scale else 1, "label": len(self.target.labels)}
        return {kind: each[kind] for kind in self.target.kinds}

    @property
    def size(self) -> int:
        """The number of all outputs."""
        return sum(self.sizes.values())

    @property
    def metric(self) -> str:
        """The name of the metric by which epochs are compared."""
        alone = {"number": "pearson", "label": "accuracy"}
        return alone[self.target.kinds[0]] if len(self.target.kinds) == 1 else "mean_score"

    @property
    def described(self) -> str:
        """What is answered."""
        return self.target.described()

    def wide(self) -> dict[str, tuple[Loss, int]]:
        """Return the loss and the number of outputs of a linear model for each kind of target."""
        losses: dict[str, Loss] = {"number": "squared", "label": "cross_entropy"}
        return {kind: (losses[kind], 1 if kind == "number" else self.sizes[kind]) for kind in self.target.kinds}

    def fit_wide(self, wide: Any, first: NgramRows, second: NgramRows, targets: Tensor) -> None:
        """Fit a linear model of n-grams to pairs.

        Args:
            wide: to fit, a `PairWide`.
            first: n-grams of the first texts.
            second: n-grams of the second texts.
            targets: encoded.
        """
        rows = wide.pairs.rows(first, second)
        for kind, part in wide.parts.items():
            weights = self._weights(part.weight) if kind == "label" else None
            wanted = self._wanted(kind, targets)
            each = None if weights is None else weights[wanted]
            part.fit(rows, wanted, each, seed=self.settings.seed)

    def weigh(self, network: Any, data: Data | None) -> None:
        """Weigh the networks and the linear model on held-out data."""
        found: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {kind: [] for kind in self.target.kinds}
        with torch.inference_mode():
            for item in () if data is None else data.plan(0):
                batch = data.read(item).to(device_of(network))  # pyright: ignore[reportOptionalMemberAccess]
                alone, _ = self._alone(network, batch)
                linear = network.wide(batch["first"].ngrams, batch["second"].ngrams)
                for kind, each in found.items():
                    parts = _columns(alone[kind]), linear[kind], self._wanted(kind, batch["target"])
                    each.append(moved(parts, CPU))
        for kind, each in found.items():
            width = self.wide()[kind][1]
            empty = torch.zeros(0, width), torch.zeros(0, width), self._wanted(kind, torch.zeros(0, len(found)))
            parts = zip(empty, *each, strict=True)
            network.wide.parts[kind].combine(*(torch.cat(part).clone() for part in parts))

    def read(self, network: Any, batch: Batch) -> tuple[Tensor, Outputs]:
        """Return the loss of a batch, and the outputs.

        In training it is the mean over the networks, otherwise that of the outputs.
        """
        outputs, rows = self._alone(network, batch)
        if network.wide is not None and not network.training:
            linear = network.wide(batch["first"].ngrams, batch["second"].ngrams)
            for kind, part in network.wide.parts.items():
                a, b = part.factors
                outputs[kind] = a * outputs[kind] + b * linear[kind].reshape(outputs[kind].shape)
        return self._loss(rows, outputs, batch.columns.get("target"), network.training), outputs

    def logits(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Return the logits of the labels and the true positions, None without labels."""
        return (outputs["label"], self._wanted("label", batch["target"])) if self.has_labels else None

    def scores(self, temperature: float) -> AnswerScores:
        """Return scores that have counted nothing."""
        return AnswerScores(self.target, temperature)

    def answers(self, network: Any, batch: Batch, temperature: float) -> list[Answer]:
        """Return the answers to a batch, and calibrated probabilities of the labels."""
        _, outputs = self.read(network, batch)
        for part in outputs.values():
            check_finite(part)
        values: list[list[Any]] = []
        shares: list[dict[str, float]] = []
        for kind in self.target.kinds:
            if kind == "number":
                assert self.target.number is not None
                values.append(self.target.number.restored(outputs[kind]).tolist())
            else:
                rows = (outputs[kind].double() / temperature).softmax(1)
                values.append([self.target.labels[best] for best in rows.argmax(1).tolist()])
                names = list(map(str, self.target.labels))
                shares = [dict(zip(names, row, strict=True)) for row in rows.tolist()]
        found = [row[0] if len(row) == 1 else row for row in zip(*values, strict=True)]
        if not shares:
            return [Answer(value) for value in found]
        return [Answer(value, max(share.values()), share) for value, share in zip(found, shares, strict=True)]

    def similarities(self, network: Any, batch: Batch) -> list[float]:
        """Return the number of each pair.

        Raises:
            DataError: there are labels only.
        """
        if "number" not in self.target.kinds:
            raise DataError(
                "Expected a model whose answers are numbers, got one that gives labels only.",
                fix="Train with a target of numbers, or with --objective cosine, contrastive or triplet.",
            )
        _, outputs = self.read(network, batch)
        assert self.target.number is not None
        return self.target.number.restored(outputs["number"]).tolist()

    def _alone(self, network: Any, batch: Batch) -> tuple[Outputs, dict[str, Tensor]]:
        """Return the outputs without the linear model, and the rows of each network by kind."""
        every = widened(network(ids_of(batch["first"]), ids_of(batch["second"])))  # (members, pairs, outputs)
        rows = dict(zip(self.sizes, every.split(list(self.sizes.values()), 2), strict=True))
        found = {}
        for kind, each in rows.items():
            if kind == "label" or self.is_scale:
                means = each.log_softmax(2).logsumexp(0) - torch.tensor(float(len(each))).log()
                found[kind] = means if kind == "label" else self._standardised(means.exp())
            else:
                found[kind] = each.mean(0)[:, 0]
        return found, rows

    def _standardised(self, shares: Tensor) -> Tensor:
        """Return the mean of distributions over the scale, standardised."""
        low, high = self.target.scale
        steps = torch.arange(low, high + 1, dtype=shares.dtype, device=shares.device)
        assert self.target.number is not None
        return self.target.number.standardised(shares @ steps).to(shares.dtype)

    def _loss(self, rows: Mapping[str, Tensor], outputs: Outputs, targets: Tensor | None, training: bool) -> Tensor:
        """Return the sum of the losses of all kinds of targets."""
        total = next(iter(outputs.values())).new_zeros(())
        for kind in self.target.kinds if targets is not None else ():
            wanted = self._wanted(kind, targets)
            if kind == "number" and self.is_scale:
                assert self.target.number is not None
                each = rows[kind].flatten(0, 1)
                numbers = self.target.number.restored(wanted[:, 0]).repeat(len(rows[kind]))
                total = total + distribution_loss(each, numbers, *self.target.scale)
            elif kind == "number":
                found = rows[kind] if training else outputs[kind][None, :, None]
                total = total + (found - wanted).square().mean()
            else:
                found = rows[kind] if training else outputs[kind][None]
                smoothing = self.settings.label_smoothing
                weight = self._weights(found)
                total = total + functional.cross_entropy(
                    found.flatten(0, 1), wanted.repeat(len(found)), weight=weight, label_smoothing=smoothing
                )
        return total

    def _wanted(self, kind: Literal["number", "label"] | str, targets: Any) -> Tensor:
        """Return the targets of a kind: numbers `(pairs, 1)`, or positions of labels `(pairs,)`."""
        column = targets[:, self.target.kinds.index(kind)]
        return column.float()[:, None] if kind == "number" else column.long()

    def _weights(self, outputs: Tensor) -> Tensor | None:
        if self.settings.class_weight is None:
            return None
        assert self.target.label is not None
        # A loaded model does not know how often each label occurs; its loss is not weighted.
        if not self.target.label.counts:
            return None
        counts = outputs.new_tensor(self.target.label.counts).clamp(min=1)
        return counts.sum() / (len(counts) * counts)


class VectorOutputs:
    """A vector of each sequence: those of like sequences are near.

    The outputs are `similarity`: the cosine of the vectors, or e to the minus distance, `(pairs,)`.

    Args:
        settings: of the task.
        target: learned: labels of which the last means alike, or numbers for the cosine.

    Raises:
        DataError: other targets.

    Source:
        J. Mueller, A. Thyagarajan, Siamese Recurrent Architectures for Learning Sentence Similarity, AAAI 2016,
        equation 3, for the similarity; there with the sum of absolute differences.
    """

    size = 0
    has_labels = False

    def __init__(self, settings: Any, target: PairTarget):
        self.settings, self.target = settings, target
        self.is_cosine = settings.objective == "cosine"
        self.has_numbers = target.kinds == ["number"]
        are_two_labels = target.kinds == ["label"] and len(target.labels) == 2
        if target.kinds and not (self.has_numbers and self.is_cosine) and not are_two_labels:
            numbers = ", or numbers" if self.is_cosine else ""
            raise DataError(
                f"Expected two labels{numbers} for the objective {settings.objective}, got {target.described()}.",
                fix="Give pairs that are alike or not, as 1 and 0, or leave objective (--objective) out.",
            )

    @property
    def metric(self) -> str:
        """The name of the metric by which epochs are compared."""
        return "pearson" if self.has_numbers else "auc"

    @property
    def described(self) -> str:
        """What is answered."""
        return "a similarity" if self.has_numbers else f"a similarity, by which {self.target.labels[1]!r} means alike"

    def wide(self) -> dict[str, Any]:
        """Return no linear model."""
        return {}

    def read(self, network: Any, batch: Batch) -> tuple[Tensor, Outputs]:
        """Return the loss of a batch, and the similarities."""
        one, two = (widened(network.vectors(ids_of(batch[name]))) for name in ("first", "second"))
        found = similarity_of(one, two, cosine=self.is_cosine)
        targets = batch.columns.get("target")
        if targets is None:
            return found.new_zeros(()), {"similarity": found}
        if self.has_numbers:
            return (found - self.shares(targets[:, 0]).to(found.dtype)).square().mean(), {"similarity": found}
        loss = cosine_loss if self.is_cosine else contrastive_loss
        return loss(one, two, targets[:, 0] > 0, self.settings.margin), {"similarity": found}

    def shares(self, targets: Tensor) -> Tensor:
        """Return standardised numbers as shares of the scale, from 0 to 1."""
        assert self.target.number is not None
        low, high = self.target.scale
        return (self.target.number.restored(targets) - low) / max(high - low, 1)

    def logits(self, outputs: Outputs, batch: Batch) -> None:
        """Return nothing: there are no probabilities."""

    def scores(self, temperature: float) -> NearnessScores:
        """Return scores that have counted nothing."""
        return NearnessScores(self.shares if self.has_numbers else None)

    def answers(self, network: Any, batch: Batch, temperature: float) -> list[Answer]:
        """Return the similarity of each pair."""
        return [Answer(value) for value in self.similarities(network, batch)]

    def similarities(self, network: Any, batch: Batch) -> list[float]:
        """Return the similarity of each pair."""
        inputs = Batch({name: batch[name] for name in ("first", "second")}, batch.sequences, batch.tokens)
        found = self.read(network, inputs)[1]["similarity"]
        check_finite(found)
        return found.tolist()


class TripletOutputs(VectorOutputs):
    """A vector of each sequence: the first of a triplet is nearer to the second than to the third.

    The outputs are `similarity` of the first and second, and `other` of the first and third, `(triplets,)`.
    """

    has_numbers = is_cosine = False

    def __init__(self, settings: Any):
        self.settings = settings

    @property
    def metric(self) -> str:
        """The name of the metric by which epochs are compared."""
        return "ordered"

    @property
    def described(self) -> str:
        """What is answered."""
        return "a similarity"

    def read(self, network: Any, batch: Batch) -> tuple[Tensor, Outputs]:
        """Return the loss of a batch, and the similarities."""
        names = [name for name in ("first", "second", "target") if name in batch.columns]
        rows = [widened(network.vectors(ids_of(batch[name]))) for name in names]
        found = {
            name: similarity_of(rows[0], other, cosine=False)
            for name, other in zip(("similarity", "other"), rows[1:], strict=False)
        }
        if len(rows) < 3:
            return rows[0].new_zeros(()), found
        return triplet_loss(rows[0], rows[1], rows[2], self.settings.margin), found

    def scores(self, temperature: float) -> TripletScores:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return scores that have counted nothing."""
        return TripletScores()


def similarity_of(one: Tensor, two: Tensor, *, cosine: bool) -> Tensor:
    """Return the cosine of rows, or e to the minus Euclidean distance, `(rows,)`."""
    return functional.cosine_similarity(one, two) if cosine else (-distances(one, two)).exp()


def _columns(values: Tensor) -> Tensor:
    return values[:, None] if values.dim() == 1 else values
