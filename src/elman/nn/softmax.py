"""Heads of a language model: from a row of hidden features to the probability of each token.

Each is an `nn.Module` with two ways in: `logits(hidden)`, which calling it is too, and `loss(hidden, targets)`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elman.errors import ShapeError, UsageError
from elman.nn.checks import refuse, wrong_size
from elman.nn.linear_cross_entropy import check_rows, is_plain, linear_cross_entropy
from elman.settings.network import SoftmaxName as SoftmaxName

# A matrix `(outputs, inputs)`, and a bias `(outputs,)` or none.
Linear = tuple[Tensor, Tensor | None]


class Softmax(nn.Module):
    """The full softmax: p(token) = softmax(W P h + b).

    Args:
        features: of a row.
        tokens: number of them.
        counts: how often each token comes in the training text `(tokens,)`. b starts from log (count + 1), less its
            mean, so that nothing has to be learned of how frequent the tokens are; from zeros if not given.
        tied: the embedding's table `(tokens, size)`, which is then W itself; where its size is not `features`, a
            learned projection P stands between, which is left out otherwise.

    Source:
        Tied weights: O. Press, L. Wolf, Using the Output Embedding to Improve Language Models, 2017; the projection is
        theirs, without the penalty that they put on it.
    """

    def __init__(self, features: int, tokens: int, *, counts: Tensor | None = None, tied: Tensor | None = None):
        super().__init__()
        refuse(wrong_size("features", features), wrong_size("tokens", tokens))
        _check_rows(tokens, counts, tied)
        size = features if tied is None else tied.shape[1]
        self.project = None if size == features else nn.Linear(features, size, bias=False)
        self.weight = _drawn(tokens, size) if tied is None else tied
        logs = torch.zeros(tokens) if counts is None else counts.double().add(1.0).log()
        self.bias = nn.Parameter((logs - logs.mean()).to(self.weight.dtype))

    def forward(self, hidden: Tensor) -> Tensor:
        """The logits; see `logits`."""
        return self.logits(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """From `(…, features)` to unnormalised logarithms of probabilities, `(…, tokens)`."""
        return nn.functional.linear(self._projected(hidden), self.weight, self.bias)

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The mean cross entropy of rows `(total, features)` and ids `(total,)`, in nats.

        Raises:
            ShapeError: other shapes, or ids that are not those of tokens.
        """
        self._check(hidden, targets)
        return linear_cross_entropy(self._projected(hidden), self.weight, self.bias, targets)

    def chains(self) -> list[list[Linear]]:
        """Linear layers, one after the other: here one chain of them, from which `joiner` makes the logits."""
        return [[*(() if self.project is None else [(self.project.weight, None)]), (self.weight, self.bias)]]

    def joiner(self) -> Callable[..., np.ndarray]:
        """A function that makes the logits `(batch, tokens)` of what the chains give, which are those here."""
        return lambda logits: logits

    def _check(self, hidden: Tensor, targets: Tensor) -> None:
        first = self.weight if self.project is None else self.project.weight
        check_rows(hidden, targets, first.shape[1], len(self.weight))

    def _projected(self, hidden: Tensor) -> Tensor:
        return hidden if self.project is None else self.project(hidden)

    def extra_repr(self) -> str:
        """The sizes, for printing the module."""
        return f"features={self.weight.shape[1]}, tokens={self.weight.shape[0]}"


class SampledSoftmax(Softmax):
    """A full softmax that is trained on the targets and some other tokens, drawn anew for each minibatch.

    The sum over all tokens, Z = Σ_j exp(z_j), is estimated while training by

        Ẑ = exp(z_target) + Σ_{j drawn, j ≠ target} exp(z_j) / π_j        loss = log Ẑ - z_target

    where π_j is how probable token j is to be drawn, by itself and at most once; the expectation of Ẑ is Z. In
    evaluation, and for `logits`, it is the full softmax.

    Args:
        features: of a row.
        tokens: number of them.
        samples: tokens drawn on average, for all rows of a minibatch together; where there are no more tokens than
            that, all of them.
        counts: as for `Softmax`; π is proportional to (count + 1)^¾, and 1 for tokens that are frequent enough.
        tied: as for `Softmax`.

    Source:
        S. Jean et al., On Using Very Large Target Vocabulary for Neural Machine Translation, 2015. Differences: the
        target is always in the sum and counts in full; tokens are drawn by the flattened unigram distribution (T.
        Mikolov et al., Distributed Representations of Words and Phrases, 2013) where theirs are those of a part of the
        text, and weighted as D. Horvitz, D. Thompson, A Generalization of Sampling Without Replacement From a Finite
        Universe, 1952, weight a sum.
    """

    def __init__(
        self,
        features: int,
        tokens: int,
        *,
        samples: int,
        counts: Tensor | None = None,
        tied: Tensor | None = None,
    ):
        refuse(wrong_size("samples", samples))
        super().__init__(features, tokens, counts=counts, tied=tied)
        share = (torch.zeros(tokens) if counts is None else counts).double().add(1.0).pow(0.75)
        self.chance: Tensor
        self.register_buffer("chance", _chances(share, samples).float())

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of rows `(total, features)` and ids `(total,)`, in nats; an estimate of it while training.

        Raises:
            ShapeError: other shapes, or ids that are not those of tokens.
        """
        if not self.training:
            return super().loss(hidden, targets)
        self._check(hidden, targets)
        drawn = torch.rand_like(self.chance) < self.chance
        if not is_plain(hidden, targets, self.weight):
            # How many tokens are drawn is not known while torch records: all of them are in the sum, or out of it.
            others = torch.where(drawn, -self.chance.log(), -math.inf).to(self.weight)
            return linear_cross_entropy(self._projected(hidden), self.weight, self.bias, targets, others=others)
        present = drawn.index_fill(0, targets, True)
        columns = present.nonzero().squeeze(1)
        # A target that was not drawn has a place in the sum of its own rows only.
        others = torch.where(drawn[columns], -self.chance[columns].log(), -math.inf)
        return linear_cross_entropy(
            self._projected(hidden),
            nn.functional.embedding(columns, self.weight),
            self.bias[columns],
            (present.cumsum(0) - 1)[targets],
            others=others.to(self.weight),
        )


def _chances(share: Tensor, samples: int) -> Tensor:
    """Probabilities proportional to `share`, but for those that would be above 1, whose sum is `samples`."""
    if samples >= len(share):
        return torch.ones_like(share)
    certain = torch.zeros_like(share, dtype=torch.bool)
    while True:
        left = share.masked_fill(certain, 0.0)
        chance = (left * (samples - certain.sum()) / left.sum()).masked_fill(certain, 1.0)
        if not (chance > 1.0).any():
            return chance
        certain |= chance >= 1.0


class AdaptiveSoftmax(nn.Module):
    """A softmax in two steps: frequent tokens at once, rare ones through the cluster they are in.

    Clusters of rare tokens have ever smaller rows, a quarter of the size of the one before.

    Args:
        features: of a row.
        tokens: number of them.
        cutoffs: how many tokens, the most frequent first, stand before each cluster; see `default_cutoffs`.
        counts: how often each token comes in the training text `(tokens,)`; if not given, they come with the most
            frequent first.

    Raises:
        UsageError: cutoffs that are no rising positions of tokens, or more clusters than there are features for.

    Source:
        E. Grave et al., Efficient softmax approximation for GPUs, 2017, in torch's own form.
    """

    def __init__(
        self, features: int, tokens: int, *, cutoffs: Sequence[int] | None = None, counts: Tensor | None = None
    ):
        super().__init__()
        refuse(wrong_size("features", features), wrong_size("tokens", tokens), _wrong_cutoffs(cutoffs))
        _check_rows(tokens, counts, None)
        places = list(default_cutoffs(tokens) if cutoffs is None else cutoffs)
        if not places or places != sorted(set(places)) or places[0] < 1 or places[-1] >= tokens:
            raise UsageError(
                f"An adaptive softmax over {tokens:,} tokens cannot be cut at {places}.",
                fix=f"Give cutoffs that rise from 1 to below {tokens:,}, or softmax=full for so few tokens.",
            )
        if features < 4 ** len(places):
            raise UsageError(
                f"Rows of {features} features are too small for {len(places)} clusters, each with a quarter of them.",
                fix=f"Give a hidden_size of {4 ** len(places)} or more, or fewer cutoffs.",
            )
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(features, tokens, places)
        ranks = torch.arange(tokens)
        if counts is not None:
            ranks[counts.argsort(descending=True, stable=True)] = torch.arange(tokens)
        # Where each token stands, the most frequent first.
        self.ranks: Tensor
        self.register_buffer("ranks", ranks)

    def forward(self, hidden: Tensor) -> Tensor:
        """The logits; see `logits`."""
        return self.logits(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """From `(…, features)` to logarithms of probabilities, `(…, tokens)`."""
        return self.softmax.log_prob(hidden.flatten(0, -2)).unflatten(0, hidden.shape[:-1])[..., self.ranks]

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The mean cross entropy of rows `(total, features)` and ids `(total,)`, in nats.

        Raises:
            ShapeError: other shapes, or ids that are not those of tokens.
        """
        check_rows(hidden, targets, self.softmax.in_features, len(self.ranks))
        if not is_plain(hidden, targets, self.softmax.head.weight):
            # Which rows are in a cluster is not known while torch records: every row is scored in all of them.
            return -self.logits(hidden).gather(1, targets.unsqueeze(1)).mean()
        softmax, ranks = self.softmax, self.ranks[targets]
        edges = torch.tensor(softmax.cutoffs, device=ranks.device)
        clusters = torch.bucketize(ranks, edges, right=True)  # 0 for frequent tokens
        first = torch.where(clusters == 0, ranks, softmax.shortlist_size + clusters - 1)
        loss = linear_cross_entropy(hidden, softmax.head.weight, softmax.head.bias, first)
        for number, (project, score) in enumerate(softmax.tail, 1):  # type: ignore[misc]
            rows = (clusters == number).nonzero().squeeze(1)
            if len(rows):
                places = ranks[rows] - softmax.cutoffs[number - 1]
                inside = linear_cross_entropy(project(hidden[rows]), score.weight, score.bias, places)
                loss = loss + inside * (len(rows) / len(targets))
        return loss

    def chains(self) -> list[list[Linear]]:
        """Linear layers, one after the other: a chain for the frequent tokens and the clusters, and one in each."""
        first, clusters = self.softmax.head, [list(cluster) for cluster in self.softmax.tail]  # type: ignore[arg-type]
        return [[(layer.weight, layer.bias) for layer in layers] for layers in ([first], *clusters)]

    def joiner(self) -> Callable[..., np.ndarray]:
        """A function that makes the logits `(batch, tokens)` of what each of the chains gives."""
        ranks = self.ranks.cpu().numpy()

        def join(head: np.ndarray, *clusters: np.ndarray) -> np.ndarray:
            logs = head - _log_sum(head)
            frequent = head.shape[1] - len(clusters)
            columns = [logs[:, :frequent]]
            for place, cluster in enumerate(clusters, frequent):
                columns.append(cluster + (logs[:, place, None] - _log_sum(cluster)))
            return np.concatenate(columns, 1).take(ranks, 1)

        return join


def default_cutoffs(tokens: int) -> tuple[int, ...]:
    """A head of a sixteenth of the tokens, a cluster up to a quarter of them, and one for the rest.

    >>> default_cutoffs(32_000)
    (2000, 8000)
    """
    return tuple(sorted({place for place in (tokens // 16, tokens // 4) if place > 0}))


def _log_sum(rows: np.ndarray) -> np.ndarray:
    """The logarithm of the sum of exponentials of each row, `(rows, 1)`."""
    peaks = rows.max(1, keepdims=True)
    return peaks + np.log(np.exp(rows - peaks).sum(1, keepdims=True))


def _wrong_cutoffs(cutoffs: Any) -> list[str]:
    if cutoffs is None:
        return []
    if isinstance(cutoffs, Sequence) and all(isinstance(place, int) for place in cutoffs):
        return []
    return [f"Expected cutoffs to be whole numbers, got {cutoffs!r}: give positions of tokens, as [2000, 8000]."]


def _check_rows(tokens: int, counts: Tensor | None, tied: Tensor | None) -> None:
    """Counts have one number for each token, and a tied table one row."""
    if counts is not None and _shape(counts) != (tokens,):
        raise ShapeError(
            f"Expected counts to be a tensor ({tokens},), got {_shape(counts)}.", fix="Give one count for each token."
        )
    if tied is not None and (not isinstance(tied, Tensor) or tied.dim() != 2 or len(tied) != tokens):
        raise ShapeError(
            f"Expected tied to be a tensor ({tokens}, size), got {_shape(tied)}.",
            fix="Give an embedding's table, with one row for each token.",
        )


def _shape(value: Any) -> tuple[int, ...] | str:
    return tuple(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _drawn(tokens: int, features: int) -> nn.Parameter:
    """Rows drawn as those of `nn.Linear`."""
    bound = features**-0.5
    return nn.Parameter(torch.empty(tokens, features).uniform_(-bound, bound))
