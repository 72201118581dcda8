"""Beam search, batched over sources: nested beams, of which a wider one finds all that a narrower one finds."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.generation.demands import Demands, demands_of
from elman.generation.found import Found
from elman.generation.greedy import greedy as greedy
from elman.generation.greedy import sample as sample
from elman.generation.hypotheses import Hypothesis as Hypothesis
from elman.generation.hypotheses import Step as Step
from elman.generation.hypotheses import Stepper as Stepper
from elman.generation.hypotheses import Trail, as_lengths, covered, log_probabilities, start_tokens
from elman.generation.picks import likeliest_tokens, pick, with_needed
from elman.generation.required import Required
from elman.settings import check_settings
from elman.settings.decoding import DecodingSettings as DecodingSettings

DEFAULTS = check_settings(DecodingSettings, {})
NONE = -1


def beam_search(
    stepper: Stepper,
    state: Any,
    lengths: Sequence[int] | Tensor,
    *,
    start: int,
    end: int,
    settings: DecodingSettings = DEFAULTS,
    demands: Demands | None = None,
    keep_attention: bool = False,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """Return the best targets that beam search finds for each source, best first.

    A beam has numbered slots. In each step, slot i keeps the most probable token after any hypothesis in the slots up
    to i that no earlier slot has kept. An end mark that is more probable than this token ends its hypothesis and uses
    no slot. What the slots up to i keep does not depend on the width: a wider beam finds every target that a narrower
    one finds, and its best score is never worse. Slot 1 alone is greedy search.

    The decoder does the same work as in ordinary beam search of this width (`nested=False`), where each slot keeps the
    best token after any hypothesis. Ordinary beam search finds better targets on average where the distributions are
    flat, but may lose a target that a narrower beam finds.

    With required phrases, each number of required tokens written has a beam of its own (grid beam search), so that the
    decoder does up to (required tokens + 1) times the work.

    Finished targets are ranked by log probability / ((5 + tokens) / 6) ** length_penalty + coverage penalty. A source
    leaves the batch when its n best targets have at least the score that any living hypothesis could still reach: its
    log probability over the divisor at the maximum length, with full coverage. Of equal scores, the first
    one found is first.

    Args:
        stepper: the decoder.
        state: its state before the start mark, a row for each source.
        lengths: true lengths of the sources, `(sources,)`, for the coverage penalty and the maximum lengths.
        start: the token read first.
        end: the end mark.
        settings: beam, n_best, penalties, lengths.
        demands: on each target; without them, those of the settings.
        keep_attention: whether hypotheses get the attention of their steps.
        device: where the decoder runs.

    Returns:
        For each source, at most n_best different hypotheses, at least one. One without all required phrases is there
        only if no other was found.

    Raises:
        UsageError: demands that no target can meet.
        ModelError: logits that are not finite.

    Source:
        S. Lemons, C. López, R. Holte, W. Ruml, Beam Search: Faster and Monotonic, 2022 (slots); C. Hokamp, Q. Liu,
        Lexically Constrained Decoding for Sequence Generation Using Grid Beam Search, 2017; Y. Wu et al., Google's
        Neural Machine Translation System, 2016 (scores).
    """
    memory = as_lengths(lengths)
    demands = demands_of(settings, memory) if demands is None else demands
    demands.check(end)
    if settings.n_best > settings.beam:
        raise UsageError(f"Expected n_best of at most {settings.beam}, got {settings.n_best}.", fix="Widen the beam.")
    if not memory:
        return []
    search = _Search(stepper, end, settings, demands, memory, keep_attention, device)
    with torch.no_grad():
        search.run(state, start)
    return search.hypotheses()


class _Rows(NamedTuple):
    """The living hypotheses of all sources, a row each.

    Attributes:
        state: the decoder's.
        numbers: in the trail.
        tokens: the last token of each.
        scores: log probabilities, float64.
        sources: the source of each.
        slots: the row in each slot of each bank of each living source, `(living, banks, beam)`; -1 for none.
        living: the sources that are still searched, `(living,)`.
        coverage: attention summed over the steps, float64 `(rows, longest memory)`, if it is needed.
        history: tokens so far, `(rows, steps)`, if they are needed.
        progress: with required phrases, `(rows, phrases)`, if there are any.
    """

    state: Any
    numbers: Tensor
    tokens: Tensor
    scores: Tensor
    sources: Tensor
    slots: Tensor
    living: Tensor
    coverage: Tensor | None
    history: Tensor | None
    progress: Tensor | None


class _Children(NamedTuple):
    """The tokens that may follow each row.

    Attributes:
        scores: log probabilities of the row with them, `(rows, candidates)`; -inf for none.
        tokens: `(rows, candidates)`.
        ends: log probabilities of the row with the end mark, `(rows,)`.
        coverage: of the row after this step.
        progress: after each token, `(rows, candidates, phrases)`, if phrases are required.
    """

    scores: Tensor
    tokens: Tensor
    ends: Tensor
    coverage: Tensor | None
    progress: Tensor | None


class _Search:
    def __init__(
        self,
        stepper: Stepper,
        end: int,
        settings: DecodingSettings,
        demands: Demands,
        memory: list[int],
        keep_attention: bool,
        device: torch.device | str,
    ):
        self.stepper, self.end, self.settings, self.demands = stepper, end, settings, demands
        self.required = Required(demands.required, device) if any(demands.required) else None
        self.maximum = torch.tensor(demands.maximum, device=device)
        self.trail = Trail(len(memory), keeps_attention=keep_attention)
        self.found = Found(settings, torch.tensor(memory, device=device), self.maximum)

    def run(self, state: Any, start: int) -> None:
        rows, steps = self._begin(state, start), 0
        while len(rows.living):
            step = self.stepper.step(rows.tokens, rows.state)
            self.trail.read(rows.numbers, step.attention)
            children = self._children(rows, step, steps)
            self._keep_dead_ends(rows, children, steps)
            rows, parents = self._next(rows, children, steps)
            steps += 1
            rows, parents = self._leave(rows, parents, steps)
            if len(rows.living):
                rows = rows._replace(state=self.stepper.select(step.state, parents))

    def hypotheses(self) -> list[list[Hypothesis]]:
        return self.found.hypotheses(self.trail)

    def _begin(self, state: Any, start: int) -> _Rows:
        device, count = self.maximum.device, len(self.maximum)
        every = torch.arange(count, device=device)
        slots = torch.full((count, self.required.banks if self.required else 1, self.settings.beam), NONE)
        slots = slots.to(device)
        slots[:, 0, 0] = every
        needs_history = self.demands.no_repeat_ngram is not None
        return _Rows(
            state,
            every,
            start_tokens(count, start, device),
            torch.zeros(count, dtype=torch.float64, device=device),
            every,
            slots,
            every,
            None,
            torch.zeros((count, 0), dtype=torch.int64, device=device) if needs_history else None,
            torch.zeros((count, self.required.phrases), dtype=torch.int64, device=device) if self.required else None,
        )

    def _children(self, rows: _Rows, step: Step, steps: int) -> _Children:
        following = log_probabilities(step.logits)
        self.demands.leave_allowed(following, steps, rows.sources, self.end, rows.history)
        ends = rows.scores + following[:, self.end].double()
        following[:, self.end] = -math.inf
        values, tokens = likeliest_tokens(following, self.settings.beam)
        progress = None
        if self.required is not None and rows.progress is not None:
            bank = self.required.bank(rows.progress, rows.sources)
            ends = ends.masked_fill(bank < self.required.full[rows.sources], -math.inf)
            needed = self.required.next_tokens(rows.progress, rows.sources)
            values, tokens = with_needed(following, values, tokens, needed)
            progress = self.required.advance(rows.progress, rows.sources, tokens)
        scores = rows.scores[:, None] + values.double()
        return _Children(scores, tokens, ends, self._covered(rows, step), progress)

    def _covered(self, rows: _Rows, step: Step) -> Tensor | None:
        if not self.settings.coverage_penalty:
            return None
        return covered(rows.coverage, step.attention)

    def _keep_dead_ends(self, rows: _Rows, children: _Children, steps: int) -> None:
        """Keep the hypotheses after which no token is allowed."""
        dead = ((children.scores == -math.inf).all(1) & (children.ends == -math.inf)).nonzero()[:, 0]
        if len(dead):
            self._keep_unfinished(rows, dead, steps)

    def _keep_unfinished(self, rows: _Rows, which: Tensor, steps: int) -> None:
        sources = rows.sources[which]
        met = torch.ones_like(which, dtype=torch.bool)
        if self.required is not None and rows.progress is not None:
            met = self.required.bank(rows.progress[which], sources) == self.required.full[sources]
        coverage = None if rows.coverage is None else rows.coverage[which]
        numbers, scores = rows.numbers[which], rows.scores[which]
        self.found.add(sources, numbers, scores, coverage, length=steps, ended=False, met=met)

    def _next(self, rows: _Rows, children: _Children, steps: int) -> tuple[_Rows, Tensor]:
        """Keep the finished hypotheses, and return those that the slots pick, with their parents."""
        full = torch.zeros_like(rows.living) if self.required is None else self.required.full[rows.living]
        banks = None
        if self.required is not None and children.progress is not None:
            banks = self.required.bank(children.progress, rows.sources)
        choices = (rows.slots, children.scores, children.tokens, banks, children.ends, self.end, full)
        picks = pick(*choices, nested=self.settings.nested)
        self._keep_finished(rows, children, picks.ended, steps)
        parents, candidates = picks.parents, picks.candidates
        tokens = children.tokens[parents, candidates]
        made = _Rows(
            None,
            self.trail.grow(rows.numbers[parents], tokens),
            tokens,
            children.scores[parents, candidates],
            rows.sources[parents],
            picks.slots,
            rows.living,
            None if children.coverage is None else children.coverage[parents],
            None if rows.history is None else torch.cat([rows.history[parents], tokens[:, None]], 1),
            None if children.progress is None else children.progress[parents, candidates],
        )
        return made, parents

    def _keep_finished(self, rows: _Rows, children: _Children, ended: Tensor, steps: int) -> None:
        coverage = None if children.coverage is None else children.coverage[ended]
        met = torch.ones_like(ended, dtype=torch.bool)
        sources, numbers, scores = rows.sources[ended], rows.numbers[ended], children.ends[ended]
        self.found.add(sources, numbers, scores, coverage, length=steps + 1, ended=True, met=met)

    def _leave(self, rows: _Rows, parents: Tensor, steps: int) -> tuple[_Rows, Tensor]:
        """Return the rows, and their parents, without the sources whose search is over."""
        longest = (self.maximum[rows.sources] <= steps).nonzero()[:, 0]
        if len(longest):
            self._keep_unfinished(rows, longest, steps)
        living = rows.living
        hopes = torch.full((len(self.maximum),), -math.inf, dtype=torch.float64, device=living.device)
        hopes.scatter_reduce_(0, rows.sources, rows.scores, "amax")
        stays = (self.maximum[living] > steps) & self.found.can_improve(living, hopes[living])
        if self.settings.beam == 1 and self.required is None:
            stays &= ~self.found.has_any(living)
        if bool(stays.all()):
            return rows, parents
        is_kept = torch.zeros(len(self.maximum), dtype=torch.bool, device=stays.device)
        is_kept.index_fill_(0, living[stays], True)
        kept = is_kept[rows.sources]
        numbers = torch.cat([kept.cumsum(0) - 1, torch.tensor([NONE], device=stays.device)])
        fields = {name: each[kept] for name in _ROW_FIELDS if (each := getattr(rows, name)) is not None}
        return rows._replace(slots=numbers[rows.slots[stays]], living=living[stays], **fields), parents[kept]


_ROW_FIELDS = ("numbers", "tokens", "scores", "sources", "coverage", "history", "progress")
