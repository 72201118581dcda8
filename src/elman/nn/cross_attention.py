"""Attention of the steps of one sequence to the steps of another, over batches without padding."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError, UsageError
from elman.nn.checks import check_ragged, refuse, wrong_flag, wrong_name, wrong_size
from elman.nn.masked_softmax import masked_softmax
from elman.settings.translation import AttentionName

KINDS: tuple[AttentionName, ...] = ("general", "additive", "dot")


class Memory(NamedTuple):
    """Steps that are attended to, prepared once for any number of queries.

    Attributes:
        values: `(sequences, longest, memory size)`, padded with zeros.
        keys: what the queries are compared with, `(sequences, longest, size)`.
        valid: whether a step is one of its sequence, `(sequences, longest)`.
    """

    values: Tensor
    keys: Tensor
    valid: Tensor

    def select(self, rows: Tensor) -> "Memory":
        """Return the memories of these sequences, cut to the longest of them."""
        longest = int(self.valid[rows].sum(1).max()) if len(rows) else 0
        return Memory(*(part[rows, :longest] for part in self))


class Attended(NamedTuple):
    """What queries found in their memories.

    Attributes:
        contexts: the weighted means of the values, `(queries, memory size)`.
        weights: `(queries, longest)`, with a sum of 1 over the steps of the memory, and 0 after them.
    """

    contexts: Tensor
    weights: Tensor


class CrossAttention(nn.Module):
    """Weighted means of the steps of a memory, a weight for each query and step.

    For a query q and the steps m_i of its memory, with e_i their score,

        a = softmax(e)        c = Σ_i a_i m_i

        general:   e_i = qᵀ W m_i
        additive:  e_i = vᵀ tanh(W q + U m_i + b)
        dot:       e_i = qᵀ m_i

    With `coverage`, the score depends on the weights of the earlier queries of the sequence, k_i = Σ_{earlier} a_i:
    w k_i is added to the sum within tanh of additive scores, and to the other scores themselves.

    Args:
        query_size: features of a query.
        memory_size: features of a step of the memory.
        kind: `"general"`, `"additive"` or `"dot"`. Default `"general"`.
        size: units within tanh of additive scores. Default `query_size`.
        coverage: whether the scores depend on the earlier weights. Default False.

    Raises:
        UsageError: sizes below 1, another kind, or dot products of rows of different sizes.

    Source:
        general and dot: T. Luong et al., Effective Approaches to Attention-based Neural Machine Translation, 2015,
        equation 8; additive: D. Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate,
        2015, appendix A.1.2, with a bias; coverage: A. See et al., Get To The Point, 2017, equations 10 and 11.
        Difference: their coverage acts within tanh only.

    >>> attention = CrossAttention(query_size=3, memory_size=4)
    >>> memory = attention.read(Ragged(torch.ones(5, 4), [3, 2]))
    >>> found = attention(Ragged(torch.zeros(3, 3), [1, 2]), memory)
    >>> found.contexts.shape, found.weights[1]
    (torch.Size([3, 4]), tensor([0.5000, 0.5000, 0.0000], grad_fn=<SelectBackward0>))
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        *,
        kind: AttentionName = "general",
        size: int | None = None,
        coverage: bool = False,
    ):
        super().__init__()
        refuse(
            wrong_size("query_size", query_size),
            wrong_size("memory_size", memory_size),
            wrong_name("kind", kind, list(KINDS)),
            [] if size is None else wrong_size("size", size),
            wrong_flag("coverage", coverage),
        )
        if kind == "dot" and query_size != memory_size:
            raise UsageError(
                f"Expected queries and a memory of one size for dot products, got {query_size} and {memory_size}.",
                fix='Give kind="general", or merge="sum" for the two directions of the encoder.',
            )
        self.kind: AttentionName = kind
        self.query_size, self.memory_size = query_size, memory_size
        width = query_size if size is None or kind != "additive" else size
        self.keys = None if kind == "dot" else nn.Linear(memory_size, width, bias=kind == "additive")
        self.query = nn.Linear(query_size, width, bias=False) if kind == "additive" else None
        self.score = nn.Linear(width, 1, bias=False) if kind == "additive" else None
        self.coverage = None
        if coverage:
            bound = 1 / math.sqrt(width)
            drawn = torch.empty(width if kind == "additive" else 1).uniform_(-bound, bound)
            self.coverage = nn.Parameter(drawn)

    def read(self, memory: Ragged) -> Memory:
        """Prepare the steps `(total, memory size)` that queries attend to.

        Raises:
            ShapeError: steps of another size.
        """
        self._check(memory, self.memory_size, "memory")
        keys = memory if self.keys is None else memory.map(self.keys)
        values = memory.to_padded()
        return Memory(values, values if keys is memory else keys.to_padded(), memory.mask())

    def forward(self, queries: Ragged, memory: Memory, covered: Tensor | None = None) -> Attended:
        """Attend to the memory of each sequence with its queries.

        Args:
            queries: `(total, query size)`; as many sequences as the memory has.
            memory: what `read` returned.
            covered: the sums of the earlier weights of each query, `(total, longest)`, for `coverage`. Default zeros.

        Raises:
            ShapeError: queries of another size, or of another number of sequences.
        """
        self._check(queries, self.query_size, "queries")
        if queries.batch_size != len(memory.values):
            raise ShapeError(
                f"Expected queries of {len(memory.values)} sequences, as the memory has, got {queries.batch_size}.",
                fix="Give the queries of each sequence, which may be empty.",
            )
        steps = queries.mask()  # (sequences, queries)
        scores = self._scores(queries, memory, self._padded(covered, queries))
        weights = masked_softmax(scores, memory.valid[:, None, :])
        return Attended((weights @ memory.values)[steps], weights[steps])

    def _padded(self, covered: Tensor | None, queries: Ragged) -> Tensor | None:
        if self.coverage is None or covered is None:
            return None
        return queries.replace(covered).to_padded()

    def _scores(self, queries: Ragged, memory: Memory, covered: Tensor | None) -> Tensor:
        """Return the scores `(sequences, queries, longest)`."""
        if self.query is None or self.score is None:
            scores = queries.to_padded() @ memory.keys.transpose(1, 2)
            return scores if covered is None or self.coverage is None else scores + self.coverage * covered
        inner = queries.map(self.query).to_padded()[:, :, None] + memory.keys[:, None]
        if covered is not None and self.coverage is not None:
            inner = inner + covered[..., None] * self.coverage
        return self.score(inner.tanh()).squeeze(3)

    def _check(self, batch: Any, size: int, name: str) -> None:
        check_ragged(self, batch, f"{name} (total, {size})")
        if batch.data.shape[1] != size:
            raise ShapeError(
                f"CrossAttention: expected {name} of {size} features, got {batch.data.shape[1]}.",
                fix="Give rows of the size that the layer was built for.",
            )

    def extra_repr(self) -> str:
        """Return the settings for printing the module."""
        return f"{self.kind}, query_size={self.query_size}, memory_size={self.memory_size}"
