"""The best hypotheses found so far for each source."""

import math

import torch
from torch import Tensor

from elman.generation.hypotheses import Hypothesis, Trail
from elman.generation.penalties import coverage_score, length_divisor
from elman.settings.decoding import DecodingSettings


class Found:
    """The n best hypotheses of each source under the penalties in use.

    Those with all their required phrases are before those without, then higher scores are before lower ones, then
    those added first.

    Args:
        settings: n_best and penalties.
        memory: true lengths of the sources, `(sources,)`.
        maximum: most tokens of each target, `(sources,)`.
    """

    def __init__(self, settings: DecodingSettings, memory: Tensor, maximum: Tensor):
        self._settings, self._memory = settings, memory
        self._largest_divisor = length_divisor(maximum, settings.length_penalty)
        shape = (len(memory), settings.n_best)
        nothing = torch.full(shape, -math.inf, dtype=torch.float64, device=memory.device)
        numbers = torch.full(shape, -1, device=memory.device)
        no = torch.zeros(shape, dtype=torch.bool, device=memory.device)
        self._columns = {"score": nothing, "log_probability": nothing, "number": numbers, "ended": no, "met": no}

    def add(
        self,
        sources: Tensor,
        numbers: Tensor,
        log_probabilities: Tensor,
        coverage: Tensor | None,
        *,
        length: int,
        ended: bool,
        met: Tensor,
    ) -> None:
        """Add hypotheses, of which the best stay.

        Args:
            sources: the source of each, `(hypotheses,)`.
            numbers: its row in the trail.
            log_probabilities: float64.
            coverage: `(hypotheses, longest memory)`; None stands for no attention yet.
            length: tokens of each, the end mark among them.
            ended: whether the end mark was written.
            met: whether all required phrases were written.
        """
        if not len(sources):
            return
        scores = self._scores(sources, log_probabilities, coverage, length)
        added = {
            "score": scores,
            "log_probability": log_probabilities,
            "number": numbers,
            "ended": torch.full_like(met, ended),
            "met": met,
        }
        at, width = _positions(sources, len(self._memory))
        for name, column in self._columns.items():
            fill = -math.inf if column.is_floating_point() else 0
            more = torch.full((len(column), width), fill, dtype=column.dtype, device=column.device)
            more[sources, at] = added[name]
            self._columns[name] = torch.cat([column, more], 1)
        order = self._columns["score"].sort(dim=1, descending=True, stable=True).indices
        has_met = self._columns["met"].gather(1, order).long()
        order = order.gather(1, has_met.sort(dim=1, descending=True, stable=True).indices)[:, : self._settings.n_best]
        self._columns = {name: column.gather(1, order) for name, column in self._columns.items()}

    def _scores(self, sources: Tensor, log_probabilities: Tensor, coverage: Tensor | None, length: int) -> Tensor:
        divisor = length_divisor(length, self._settings.length_penalty).to(log_probabilities.device)
        scores = log_probabilities / divisor
        strength = self._settings.coverage_penalty
        if not strength:
            return scores
        if coverage is None:
            coverage = scores.new_zeros(len(scores), int(self._memory.max()))
        return scores + coverage_score(coverage, self._memory[sources], strength)

    def can_improve(self, sources: Tensor, log_probabilities: Tensor) -> Tensor:
        """Return whether a living hypothesis of each source can still be among the n best.

        A log probability only falls, and what it is divided by is largest at the maximum length; the coverage penalty
        is at best 0.

        Args:
            sources: `(living,)`.
            log_probabilities: the highest of a living hypothesis, `(living,)`; -inf for none.
        """
        bound = log_probabilities / self._largest_divisor[sources]
        last, met = self._columns["score"][sources, -1], self._columns["met"][sources, -1]
        return (log_probabilities > -math.inf) & ((bound > last) | ~met)

    def has_any(self, sources: Tensor) -> Tensor:
        """Return whether a hypothesis was found for each of these sources."""
        return self._columns["score"][sources, 0] > -math.inf

    def hypotheses(self, trail: Trail) -> list[list[Hypothesis]]:
        """Return the hypotheses of each source, best first."""
        columns = {name: column.tolist() for name, column in self._columns.items()}
        found: list[list[Hypothesis]] = []
        for source, memory in enumerate(self._memory.tolist()):
            rows = zip(*(columns[name][source] for name in columns), strict=True)
            found.append([])
            for score, log_probability, number, ended, _ in rows:
                if score > -math.inf:
                    tokens, attention = trail.walk(number, ended=ended, memory=memory)
                    found[-1].append(Hypothesis(tokens, score, log_probability, attention, ended))
        return found


def _positions(sources: Tensor, count: int) -> tuple[Tensor, int]:
    """Return the rank of each entry among those of its source, and the most entries of a source.

    >>> _positions(torch.tensor([2, 0, 2, 2]), 3)
    (tensor([0, 0, 1, 2]), 3)
    """
    counts = torch.bincount(sources, minlength=count)
    in_order, order = sources.sort(stable=True)
    within = torch.arange(len(sources), device=sources.device) - (counts.cumsum(0) - counts)[in_order]
    return torch.empty_like(within).scatter_(0, order, within), int(counts.max())
