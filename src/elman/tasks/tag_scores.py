"""A batch of sentences read by a tagger, and the scores of the tags: by word, on unknown words, by span."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from elman.data.ragged.ragged import Ragged
from elman.nn.crf import CRF
from elman.tasks.confusions import LabelScores
from elman.tasks.spans import Scheme, SpanScores, conlleval_spans, strict_spans
from elman.tasks.task import Batch, Read

UNKNOWN = 0


class Tagged(NamedTuple):
    """What a network gives for the words of a batch.

    Attributes:
        logits: scores of the tags, `(total, tags)`; in training `(total, members, tags)` for an ensemble.
        best: the tags that it chooses, `(total,)`.
        losses: of the words that are counted, added up.
    """

    logits: Tensor
    best: Tensor
    losses: Tensor


def read_tags(network: Any, batch: Batch) -> Read:
    """Return the loss of a batch and its `Tagged` outputs.

    With a CRF the loss is that of whole sentences, for each of their words. Sentences whose true tags it does not allow
    have an infinite loss, and are left out of it. The networks of an ensemble each have a loss of their own in
    training, and the mean of them is learned.
    """
    scores, targets = network(batch["words"]), batch["tags"]
    losses, counts = zip(*(tag_losses(part, targets, crf) for part, crf in network.parts(scores)), strict=True)
    # What a CRF allows is the same for all networks.
    total, counted = torch.stack(losses).mean(), counts[0]
    outputs = Tagged(scores.data, network.best(scores).data, total.detach())
    return Read(total / max(1, counted), counted, outputs)


def tag_losses(scores: Ragged, targets: Ragged, crf: CRF | None) -> tuple[Tensor, int]:
    """Return the sum of the losses of all words, and how many words are counted.

    Args:
        scores: of the tags, `(total, tags)`.
        targets: the true tags, `(total,)`.
        crf: that reads the scores of a sentence together.
    """
    if crf is None:
        return functional.cross_entropy(scores.data, targets.data, reduction="sum"), targets.total
    each = crf(scores, targets)
    allowed = each.isfinite()
    return each[allowed].sum(), int(targets.lengths[allowed.cpu()].sum())


class TagScores:
    """Scores of the tags of words, in memory of the square of the number of tags.

    Args:
        tags: in the order of the outputs.
        scheme: of tags that are spans; None for others.
        unseen: ids of the words that are known, though training does not have them.
    """

    def __init__(self, tags: Sequence[Any], scheme: Scheme | None, unseen: Sequence[int] = ()):
        self._tags = tags
        self._scheme = scheme
        self._labels = LabelScores(list(tags), "tags")
        self._new = torch.tensor([UNKNOWN, *unseen])
        self._unknown = self._unknown_right = 0
        self._losses, self._counted = 0.0, 0
        self._conlleval = SpanScores(conlleval_spans)
        self._strict = SpanScores(partial(strict_spans, scheme=scheme or "iob2"))

    def update(self, batch: Batch, read: Read) -> None:
        """Count a batch, whose outputs are `Tagged`."""
        targets, best = batch["tags"], read.outputs.best
        self._labels.count(targets.data, best)
        self._losses += float(read.outputs.losses)
        self._counted += read.targets
        ids = batch["words"].ids.data
        unknown = torch.isin(ids, self._new.to(ids.device))
        self._unknown += int(unknown.sum())
        self._unknown_right += int((unknown & (best == targets.data)).sum())
        if self._scheme:
            for true, answered in zip(targets.to_list(), targets.replace(best).to_list(), strict=True):
                names = [[self._tags[tag] for tag in row.tolist()] for row in (true, answered)]
                self._conlleval.update(*names)
                self._strict.update(*names)

    def compute(self) -> dict[str, Any]:
        """Return every score by its name.

        `unknown_accuracy` is None if all words are known. Tags that are spans have `span_f1`, `span_precision` and
        `span_recall` as the program conlleval computes them, and the same with `_strict`.
        """
        found = {**self._labels.compute(), "loss": self._losses / max(1, self._counted)}
        found["unknown_accuracy"] = self._unknown_right / self._unknown if self._unknown else None
        if self._scheme:
            for scores, ending in ((self._conlleval, ""), (self._strict, "_strict")):
                named = {"f1": scores.f1, "precision": scores.precision, "recall": scores.recall}
                found |= {f"span_{name}{ending}": value for name, value in named.items()}
            found["scheme"] = self._scheme
        return found
