"""A linear-chain conditional random field over ragged batches."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from elman.data.ragged.ragged import Ragged
from elman.errors import DataError, ShapeError
from elman.nn.checks import check_ragged, refuse, wrong_size
from elman.order import TimeMajor

IMPOSSIBLE = float("-inf")


class CRF(nn.Module):
    """A distribution over the tags of a whole sequence, which depends on pairs of consecutive tags.

    score(y | x) = start[y_1] + Σ_t x_t[y_t] + Σ_t transitions[y_t, y_t+1] + end[y_T]

    p(y | x) = exp(score(y | x)) / Σ_y' exp(score(y' | x)), over the allowed sequences y'

    x are scores of the tags at each step, such as the outputs of a network. A sequence of tags is allowed if its first
    tag, its last tag and all its transitions are. The empty sequence has one sequence of tags, whose score is 0. The
    loops run over time only: at each step over the sequences that have so many, and never over padding.

    Args:
        tags: number of tags.
        transitions: which tag (column) may follow which (row), `(tags, tags)` of booleans. Default all.
        starts: which tags a sequence may begin with, `(tags,)` of booleans. Default all.
        ends: which tags a sequence may end with, `(tags,)` of booleans. Default all.

    Attributes:
        start, end: weight of each tag at the start and at the end of a sequence, `(tags,)`.
        transitions: weight of each tag (column) after each (row), `(tags, tags)`. All weights start from zeros.

    Raises:
        UsageError: fewer than one tag.
        ShapeError: constraints of other shapes.

    >>> crf = CRF(2, transitions=torch.tensor([[True, True], [False, True]]))
    >>> crf.decode(Ragged(torch.tensor([[0.0, 3.0], [1.0, 0.0]]), [2])).data
    tensor([1, 1])

    Source:
        J. Lafferty, A. McCallum, F. Pereira, Conditional Random Fields, 2001. Forward-backward and Viterbi:
        L. Rabiner, A Tutorial on Hidden Markov Models, 1989, section III.
    """

    def __init__(
        self,
        tags: int,
        *,
        transitions: Tensor | None = None,
        starts: Tensor | None = None,
        ends: Tensor | None = None,
    ):
        super().__init__()
        refuse(wrong_size("tags", tags))
        self.tags = tags
        self.start = nn.Parameter(torch.zeros(tags))
        self.end = nn.Parameter(torch.zeros(tags))
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        self.may_start: Tensor
        self.may_end: Tensor
        self.may_follow: Tensor
        given = {"may_start": ("starts", starts), "may_end": ("ends", ends), "may_follow": ("transitions", transitions)}
        for buffer, (name, allowed) in given.items():
            shape = (tags, tags) if name == "transitions" else (tags,)
            self.register_buffer(buffer, _allowed(name, allowed, shape), persistent=False)

    def forward(self, scores: Ragged, tags: Ragged) -> Tensor:
        """Return the negative log-likelihood of each sequence, `(batch,)`.

        It is infinite for tags that are not allowed.

        Args:
            scores: of the tags at each step, `(total, tags)`.
            tags: the true ones, `(total,)`.
        """
        return self.partition(scores) - self.score(scores, tags)

    def score(self, scores: Ragged, tags: Ragged) -> Tensor:
        """Return the score of a sequence of tags for each sequence, `(batch,)`.

        It is minus infinity for tags that are not allowed.
        """
        self._check(scores)
        order, chosen = scores.order, tags.data
        if len(chosen) != scores.total:
            raise ShapeError(f"Expected tags for {scores.total} steps, got {len(chosen)}.", fix="Give one tag a step.")
        start, transitions, end = self._weights()
        sequence = scores.sequence_index()
        each = scores.data.gather(1, chosen.unsqueeze(1)).squeeze(1)
        total = each.new_zeros(order.batch).index_add(0, sequence, each)
        first = scores.step_index() == 0
        # A step that is the first of its sequence does not follow the step before it.
        follows = (~first).nonzero().squeeze(1)
        pairs = transitions[chosen[follows - 1], chosen[follows]]
        total = total.index_add(0, sequence[follows], pairs)
        begins = first.nonzero().squeeze(1)
        lasts = begins + scores.lengths.to(begins.device)[sequence[begins]] - 1
        total = total.index_add(0, sequence[begins], start[chosen[begins]])
        return total.index_add(0, sequence[begins], end[chosen[lasts]])

    def partition(self, scores: Ragged) -> Tensor:
        """Return log Z of each sequence, `(batch,)`.

        Z is the sum of exp(score) over the allowed sequences of tags. It is differentiable once.
        """
        self._check(scores)
        return _Partition.apply(scores.order, scores.data, *self._weights())

    @torch.no_grad()
    def marginals(self, scores: Ragged) -> Ragged:
        """Return the probability of each tag at each step, `(total, tags)`, without gradients.

        Raises:
            DataError: a sequence for which no sequence of tags is allowed.
        """
        self._check(scores)
        order, (start, transitions, end) = scores.order, self._weights()
        walk = _Walk(order, scores.data)
        alphas, partition = walk.forward(start, transitions, end)
        _check_possible(partition, order)
        betas = walk.backward(transitions, end)
        found = torch.cat([_added(alphas, betas, partition, walk, step) for step in walk.steps] or [walk.scores])
        return scores.replace(walk.in_sequences(found))

    @torch.no_grad()
    def decode(self, scores: Ragged) -> Ragged:
        """Return the best tags of each sequence, `(total,)`, by Viterbi's algorithm.

        Raises:
            DataError: a sequence for which no sequence of tags is allowed.
        """
        self._check(scores)
        walk, (start, transitions, end) = _Walk(scores.order, scores.data), self._weights()
        best, before = [], []
        for step in walk.steps:
            own = walk.at(step)
            if not step:
                best.append(start + own)
                continue
            values, origins = (best[-1][: len(own)].unsqueeze(2) + transitions).max(1)
            best.append(values + own)
            before.append(origins)
        tags: list[Tensor] = []
        for step in reversed(walk.steps):
            going_on = len(tags[-1]) if tags else 0
            values, chosen = (best[step][going_on:] + end).max(1)
            _check_possible(values, scores.order, from_row=going_on)
            if tags:
                chosen = torch.cat([before[step].gather(1, tags[-1].unsqueeze(1)).squeeze(1), chosen])
            tags.append(chosen)
        found = torch.cat(tags[::-1]) if tags else scores.data.new_empty(0, dtype=torch.int64)
        return scores.replace(walk.in_sequences(found))

    @torch.no_grad()
    def n_best(self, scores: Ragged, n: int) -> list[list[tuple[list[int], float]]]:
        """Return the n best sequences of tags for each sequence, with their scores.

        The best comes first. There are fewer where fewer sequences of tags are allowed.
        """
        self._check(scores)
        refuse(wrong_size("n", n))
        order = scores.order
        walk, (start, transitions, end) = _Walk(order, scores.data), self._weights()
        found: list[list[tuple[list[int], float]]] = [[([], 0.0)] for _ in range(order.batch)]
        # The n best ways to each tag, and for each the way before it: a tag and its rank, as tag * ways + rank.
        best: list[Tensor] = []
        before: list[Tensor] = []
        for step in walk.steps:
            own = walk.at(step)
            if not step:
                best.append((start + own).unsqueeze(2))
                continue
            ways = (best[-1][: len(own)].unsqueeze(3) + transitions.unsqueeze(1)).flatten(1, 2)
            values, origins = ways.topk(min(n, ways.shape[1]), 1)
            best.append(values.transpose(1, 2) + own.unsqueeze(2))
            before.append(origins.transpose(1, 2))
        for step, (values, row) in enumerate(zip(best, order.rows, strict=True)):
            ending = order.rows[step + 1] if step + 1 < len(order.rows) else 0
            ends = (values[ending:row] + end.unsqueeze(1)).flatten(1)
            top, ways = ends.topk(min(n, ends.shape[1]), 1)
            paths = _paths(best, before, step, slice(ending, row), ways)
            for number, sequence in enumerate(order.sequences[ending:row].tolist()):
                pairs = zip(paths[number].tolist(), top[number].tolist(), strict=True)
                found[sequence] = [(path, value) for path, value in pairs if value > IMPOSSIBLE]
        return found

    def _weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the weights, minus infinity where a tag is not allowed."""
        return (
            self.start.masked_fill(~self.may_start, IMPOSSIBLE),
            self.transitions.masked_fill(~self.may_follow, IMPOSSIBLE),
            self.end.masked_fill(~self.may_end, IMPOSSIBLE),
        )

    def _check(self, scores: Any) -> None:
        check_ragged(self, scores, "scores (total, tags)")
        if tuple(scores.feature_shape) != (self.tags,):
            raise ShapeError(
                f"Expected scores of {self.tags} tags at each step, got steps of shape {tuple(scores.feature_shape)}.",
                fix="Give (total, tags).",
            )

    def extra_repr(self) -> str:
        """Return the sizes for printing the module."""
        refused = int((~self.may_follow).sum())
        return f"{self.tags}" + (f", {refused} transitions not allowed" if refused else "")


@torch.no_grad()
def mean_crf(crfs: Sequence[CRF]) -> CRF:
    """Return a CRF whose weights are the means of those of several.

    With the mean of their scores it gives each sequence of tags the mean of its scores.

    Args:
        crfs: of the same tags and constraints.
    """
    first = crfs[0]
    found = CRF(first.tags, transitions=first.may_follow, starts=first.may_start, ends=first.may_end)
    found.to(first.start.device, first.start.dtype)
    for name, weight in found.named_parameters():
        weight.copy_(torch.stack([getattr(crf, name) for crf in crfs]).mean(0))
    return found


class _Walk:
    """Scores in time order: at each step the sequences that have it, the longest first."""

    def __init__(self, order: TimeMajor, scores: Tensor):
        self._index = order.index.to(scores.device)
        self.scores = scores.index_select(0, self._index)
        self.rows = order.rows
        self.steps = range(len(self.rows))
        self.begins = [0]
        for count in self.rows:
            self.begins.append(self.begins[-1] + count)

    def at(self, step: int) -> Tensor:
        """Return the scores of a step."""
        return self.of(self.scores, step)

    def of(self, tensor: Tensor, step: int) -> Tensor:
        """Return the rows of a step of a tensor in time order."""
        return tensor[self.begins[step] : self.begins[step + 1]]

    def in_sequences(self, tensor: Tensor) -> Tensor:
        """Return a tensor in time order as one sequence after the other."""
        return torch.empty_like(tensor).index_copy_(0, self._index, tensor)

    def forward(self, start: Tensor, transitions: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """Return log α of every step in time order, and log Z of each sequence with steps."""
        alphas = torch.empty_like(self.scores)
        partition = self.scores.new_empty(self.rows[0] if self.rows else 0)
        alpha = start.new_empty(0, len(start))
        for step in self.steps:
            own = self.at(step)
            if step:
                alpha = own + (alpha[: len(own)].unsqueeze(2) + transitions).logsumexp(1)
            else:
                alpha = own + start
            self.of(alphas, step).copy_(alpha)
            going_on = self.rows[step + 1] if step + 1 < len(self.rows) else 0
            partition[going_on : len(own)] = (alpha[going_on:] + end).logsumexp(1)
        return alphas, partition

    def backward(self, transitions: Tensor, end: Tensor) -> Tensor:
        """Return log β of every step in time order."""
        betas = torch.empty_like(self.scores)
        beta = end.new_empty(0, len(end))
        for step in reversed(self.steps):
            going_on = len(beta)
            if going_on:
                after = (beta + self.at(step + 1)).unsqueeze(1)
                beta = (transitions + after).logsumexp(2)
            beta = torch.cat([beta, end.expand(self.rows[step] - going_on, -1)])
            self.of(betas, step).copy_(beta)
        return betas


def _added(alphas: Tensor, betas: Tensor, partition: Tensor, walk: _Walk, step: int) -> Tensor:
    """Return the probability of each tag at a step."""
    alpha = walk.of(alphas, step)
    return (alpha + walk.of(betas, step) - partition[: len(alpha)].unsqueeze(1)).exp()


class _Partition(torch.autograd.Function):
    """The logarithm of the partition function, whose gradient are the marginals of tags and of pairs of tags."""

    @staticmethod
    def forward(ctx: Any, order: TimeMajor, scores: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
        walk = _Walk(order, scores)
        alphas, partition = walk.forward(start, transitions, end)
        ctx.order = order
        ctx.save_for_backward(scores, start, transitions, end, alphas, partition)
        sequences = order.sequences[: len(partition)].to(scores.device)
        return scores.new_zeros(order.batch).index_copy_(0, sequences, partition)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        scores, start, transitions, end, alphas, partition = ctx.saved_tensors
        walk = _Walk(ctx.order, scores)
        betas = walk.backward(transitions, end)
        sequences = ctx.order.sequences[: len(partition)].to(scores.device)
        weight = gradient.index_select(0, sequences).unsqueeze(1)
        tags, pairs, ends = torch.empty_like(alphas), torch.zeros_like(transitions), torch.zeros_like(end)
        for step in walk.steps:
            found = _added(alphas, betas, partition, walk, step)
            found = found * weight[: len(found)]
            walk.of(tags, step).copy_(found)
            going_on = walk.rows[step + 1] if step + 1 < len(walk.rows) else 0
            ends += found[going_on:].sum(0)
            if going_on:
                alpha = walk.of(alphas, step)[:going_on] - partition[:going_on].unsqueeze(1)
                after = walk.at(step + 1) + walk.of(betas, step + 1)
                joint = (alpha.unsqueeze(2) + transitions + after.unsqueeze(1)).exp()
                pairs += (joint * weight[:going_on].unsqueeze(2)).sum(0)
        starts = walk.of(tags, 0).sum(0) if walk.steps else torch.zeros_like(start)
        return None, walk.in_sequences(tags), starts, pairs, ends


def _paths(best: list[Tensor], before: list[Tensor], last: int, rows: slice, ways: Tensor) -> Tensor:
    """Follow ways back from the last step, and return their tags `(rows, ways, steps)`."""
    steps = []
    for step in range(last, -1, -1):
        ranks = best[step].shape[2]
        steps.append(ways // ranks)
        if step:
            ways = before[step - 1][rows].flatten(1).gather(1, ways)
    return torch.stack(steps[::-1], 2)


def _check_possible(values: Tensor, order: TimeMajor, from_row: int = 0) -> None:
    """Refuse sequences whose best score, or partition, is that of none."""
    wrong = (values == IMPOSSIBLE).nonzero().flatten().tolist()
    if wrong:
        sequence = int(order.sequences[from_row + wrong[0]])
        raise DataError(
            f"No sequence of tags is allowed for {len(wrong)} of the sequences.",
            where=f"sequence {sequence + 1}",
            fix="Allow more transitions, starts or ends.",
        )


def _allowed(name: str, given: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    if given is None:
        return torch.ones(shape, dtype=torch.bool)
    is_tensor = isinstance(given, Tensor)
    if not is_tensor or tuple(given.shape) != shape or given.dtype != torch.bool:
        got = f"{given.dtype} {tuple(given.shape)}" if is_tensor else type(given).__name__
        raise ShapeError(
            f"Expected {name} as a tensor of booleans {shape}, got {got}.", fix="Give true for what is allowed."
        )
    return given.clone()
