"""Heads of a language model, which turn a row of hidden features into the probability of each token.

Each is an `nn.Module` with two methods: `logits(hidden)`, which a call runs too, and `loss(hidden, targets)`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elman.errors import ShapeError, UsageError
from elman.nn.checks import described, refuse, wrong_size
from elman.nn.linear_cross_entropy import check_rows, is_plain, linear_cross_entropy
from elman.settings.network import SoftmaxName as SoftmaxName

# A matrix `(outputs, inputs)`, and a bias `(outputs,)` or `None`.
Linear = tuple[Tensor, Tensor | None]


class Softmax(nn.Module):
    """The full softmax: p(token) = softmax(W P h + b).

    Args:
        features: number of features of a row.
        tokens: number of tokens.
        counts: the number of occurrences of each token in the training text, `(tokens,)`. With counts, b starts from
            log (count + 1) less its mean, so that the frequency of the tokens need not be learned. Default: b starts
            from zeros.
        tied: the embedding's table `(tokens, size)`, which becomes W itself. If its size differs from `features`, there
            is a learned projection P. Default: W has its own weights, and there is no P.

    Source:
        Tied weights: O. Press, L. Wolf, Using the Output Embedding to Improve Language Models, 2017; with their
        projection, but without the penalty on it.
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
        """Return the logits, as `logits` does."""
        return self.logits(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits `(…, tokens)` of rows `(…, features)`, not normalised."""
        return nn.functional.linear(self._projected(hidden), self.weight, self.bias)

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross entropy of rows `(total, features)` and ids `(total,)`, in nats.

        Raises:
            ShapeError: other shapes, or ids that are not those of tokens.
        """
        self._check(hidden, targets)
        return linear_cross_entropy(self._projected(hidden), self.weight, self.bias, targets)

    def chains(self) -> list[list[Linear]]:
        """Return chains of linear layers: one chain, whose results are the logits."""
        return [[*(() if self.project is None else [(self.project.weight, None)]), (self.weight, self.bias)]]

    def joiner(self) -> Callable[..., np.ndarray]:
        """Return the function that joins the results of the chains: the identity."""
        return lambda logits: logits

    def _check(self, hidden: Tensor, targets: Tensor) -> None:
        first = self.weight if self.project is None else self.project.weight
        check_rows(hidden, targets, first.shape[1], len(self.weight))

    def _projected(self, hidden: Tensor) -> Tensor:
        return hidden if self.project is None else self.project(hidden)

    def extra_repr(self) -> str:
        """Return the sizes for printing the module."""
        return f"features={self.weight.shape[1]}, tokens={self.weight.shape[0]}"


class SampledSoftmax(Softmax):
    """A full softmax that is trained on the targets and a sample of other tokens, drawn for each minibatch.

    In training the sum over all tokens, Z = Σ_j exp(z_j), is estimated by

        Ẑ = exp(z_target) + Σ_{j drawn, j ≠ target} exp(z_j) / π_j        loss = log Ẑ - z_target

    where π_j is the probability that token j is drawn, at most once and independently of the others; the expectation of
    Ẑ is Z. In evaluation, and for `logits`, the head is the full softmax.

    Args:
        features: number of features of a row.
        tokens: number of tokens.
        samples: number of tokens drawn on average, for all rows of a minibatch together; with fewer tokens, all are
            drawn.
        counts: as for `Softmax`; π is proportional to (count + 1)^¾, and 1 for tokens that are frequent enough.
        tied: as for `Softmax`.

    Source:
        S. Jean et al., On Using Very Large Target Vocabulary for Neural Machine Translation, 2015. Differences: the
        target is always in the sum, with weight 1. Tokens are drawn from the flattened unigram distribution (T.
        Mikolov et al., Distributed Representations of Words and Phrases, 2013) instead of a part of the text, and
        weighted as in D. Horvitz, D. Thompson, A Generalization of Sampling Without Replacement From a Finite Universe,
        1952.
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
        """Return the mean loss of rows `(total, features)` in nats, estimated in training.

        Raises:
            ShapeError: other shapes, or ids that are not those of tokens.
        """
        if not self.training:
            return super().loss(hidden, targets)
        self._check(hidden, targets)
        drawn = torch.rand_like(self.chance) < self.chance
        if not is_plain(hidden, targets, self.weight):
            # The number of drawn tokens is not known while torch records, so each is in the sum or has weight 0.
            others = torch.where(drawn, -self.chance.log(), -math.inf).to(self.weight)
            return linear_cross_entropy(self._projected(hidden), self.weight, self.bias, targets, others=others)
        present = drawn.index_fill(0, targets, True)
        columns = present.nonzero().squeeze(1)
        # A target that was not drawn is in the sum of its own rows only.
        others = torch.where(drawn[columns], -self.chance[columns].log(), -math.inf)
        return linear_cross_entropy(
            self._projected(hidden),
            nn.functional.embedding(columns, self.weight),
            self.bias[columns],
            (present.cumsum(0) - 1)[targets],
            others=others.to(self.weight),
        )


def _chances(share: Tensor, samples: int) -> Tensor:
    """Return probabilities proportional to `share` and at most 1, whose sum is `samples`."""
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
    """A softmax in two steps: frequent tokens directly, and rare tokens through their clusters.

    The rows of each cluster of rare tokens have a quarter of the size of the rows of the cluster before it.

    Args:
        features: number of features of a row.
        tokens: number of tokens.
        cutoffs: the number of tokens, the most frequent first, before each cluster. Default: see `default_cutoffs`.
        counts: the number of occurrences of each token in the training text, `(tokens,)`. Default: the tokens are
            already in order, the most frequent first.

    Raises:
        UsageError: cutoffs that do not rise from 1 to below tokens, or more clusters than features allow.

    Source:
        E. Grave et al., Efficient softmax approximation for GPUs, 2017, as torch implements it.
    """

    def __init__(
        self, features: int, tokens: int, *, cutoffs: Sequence[int] | None = None, counts: Tensor | None = None
    ):
        super().__init__()
        refuse(wrong_size("features", features), wrong_size("tokens", tokens), _wrong_cutoffs(cutoffs))
        _check_rows(tokens, counts, None)
        edges = list(default_cutoffs(tokens) if cutoffs is None else cutoffs)
        if not edges or edges != sorted(set(edges)) or edges[0] < 1 or edges[-1] >= tokens:
            raise UsageError(
                f"Expected cutoffs that rise from 1 to below {tokens:,}, got {edges}.",
                fix="Give such cutoffs, or softmax=full for so few tokens.",
            )
        if features < 4 ** len(edges):
            raise UsageError(
                f"Expected at least {4 ** len(edges)} features for {len(edges)} clusters, got {features}.",
                fix=f"Give a hidden_size of {4 ** len(edges)} or more, or fewer cutoffs.",
            )
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(features, tokens, edges)
        ranks = torch.arange(tokens)
        if counts is not None:
            ranks[counts.argsort(descending=True, stable=True)] = torch.arange(tokens)
        # The rank of each token by frequency, from 0.
        self.ranks: Tensor
        self.register_buffer("ranks", ranks)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the logits, as `logits` does."""
        return self.logits(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logarithms of probabilities, `(…, tokens)`, of rows `(…, features)`."""
        return self.softmax.log_prob(hidden.flatten(0, -2)).unflatten(0, hidden.shape[:-1])[..., self.ranks]

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross entropy of rows `(total, features)` and ids `(total,)`, in nats.

        Raises:
            ShapeError: other shapes, or ids that are not those of tokens.
        """
        check_rows(hidden, targets, self.softmax.in_features, len(self.ranks))
        if not is_plain(hidden, targets, self.softmax.head.weight):
            # The rows of a cluster are not known while torch records, so every row is scored in all clusters.
            return -self.logits(hidden).gather(1, targets.unsqueeze(1)).mean()
        softmax, ranks = self.softmax, self.ranks[targets]
        edges = torch.tensor(softmax.cutoffs, device=ranks.device)
        clusters = torch.bucketize(ranks, edges, right=True)  # 0 for frequent tokens
        first = torch.where(clusters == 0, ranks, softmax.shortlist_size + clusters - 1)
        loss = linear_cross_entropy(hidden, softmax.head.weight, softmax.head.bias, first)
        for number, (project, score) in enumerate(softmax.tail, 1):  # type: ignore[misc]
            rows = (clusters == number).nonzero().squeeze(1)
            if len(rows):
                positions = ranks[rows] - softmax.cutoffs[number - 1]
                inside = linear_cross_entropy(project(hidden[rows]), score.weight, score.bias, positions)
                loss = loss + inside * (len(rows) / len(targets))
        return loss

    def chains(self) -> list[list[Linear]]:
        """Return chains of linear layers: one for the head, and one for each cluster."""
        first, clusters = self.softmax.head, [list(cluster) for cluster in self.softmax.tail]  # type: ignore[arg-type]
        return [[(layer.weight, layer.bias) for layer in layers] for layers in ([first], *clusters)]

    def joiner(self) -> Callable[..., np.ndarray]:
        """Return the function that turns the results of the chains into logits `(batch, tokens)`."""
        ranks = self.ranks.cpu().numpy()

        def join(head: np.ndarray, *clusters: np.ndarray) -> np.ndarray:
            logs = head - _log_sum(head)
            frequent = head.shape[1] - len(clusters)
            columns = [logs[:, :frequent]]
            for column, cluster in enumerate(clusters, frequent):
                columns.append(cluster + (logs[:, column, None] - _log_sum(cluster)))
            return np.concatenate(columns, 1).take(ranks, 1)

        return join


def default_cutoffs(tokens: int) -> tuple[int, ...]:
    """Return cutoffs at a sixteenth and at a quarter of the tokens.

    >>> default_cutoffs(32_000)
    (2000, 8000)
    """
    return tuple(sorted({cutoff for cutoff in (tokens // 16, tokens // 4) if cutoff > 0}))


def _log_sum(rows: np.ndarray) -> np.ndarray:
    """Return the logarithm of the sum of exponentials of each row, `(rows, 1)`."""
    peaks = rows.max(1, keepdims=True)
    return peaks + np.log(np.exp(rows - peaks).sum(1, keepdims=True))


def _wrong_cutoffs(cutoffs: Any) -> list[str]:
    if cutoffs is None:
        return []
    if isinstance(cutoffs, Sequence) and all(isinstance(cutoff, int) for cutoff in cutoffs):
        return []
    return [f"Expected cutoffs to be whole numbers, got {cutoffs!r}: give numbers of tokens, such as [2000, 8000]."]


def _check_rows(tokens: int, counts: Tensor | None, tied: Tensor | None) -> None:
    """Refuse counts and a tied table that do not have one row for each token."""
    if counts is not None and (not isinstance(counts, Tensor) or counts.shape != (tokens,)):
        raise ShapeError(
            f"Expected counts to be a tensor ({tokens},), got {described(counts)}.",
            fix="Give one count for each token.",
        )
    if tied is not None and (not isinstance(tied, Tensor) or tied.dim() != 2 or len(tied) != tokens):
        raise ShapeError(
            f"Expected tied to be a tensor ({tokens}, size), got {described(tied)}.",
            fix="Give an embedding's table, with one row for each token.",
        )


def _drawn(tokens: int, features: int) -> nn.Parameter:
    """Draw rows as `nn.Linear` does."""
    bound = features**-0.5
    return nn.Parameter(torch.empty(tokens, features).uniform_(-bound, bound))
