"""Targets written token by token: the most probable one each time, or one drawn at random."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.generation.demands import Demands, demands_of
from elman.generation.found import Found
from elman.generation.hypotheses import (
    Hypothesis,
    Stepper,
    Trail,
    as_lengths,
    covered,
    log_probabilities,
    start_tokens,
)
from elman.generation.sampling import Sampler
from elman.settings import check_settings
from elman.settings.decoding import DecodingSettings

DEFAULTS = check_settings(DecodingSettings, {})
# From the log probabilities of the allowed tokens of the rows that are left, and their sources, the next tokens.
Choose = Callable[[Tensor, Tensor], Tensor]


def greedy(
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
) -> list[Hypothesis]:
    """Return a target for each source, of the most probable allowed token at each step.

    Of equally probable tokens, the lowest is written. The result is that of `beam_search` with a beam of 1, in less
    time. See `beam_search` for the arguments.

    Raises:
        UsageError: demands that no target can meet, or required phrases, which need `beam_search`.
        ModelError: logits that are not finite.
    """
    write = _Writing(stepper, end, settings, demands, as_lengths(lengths), keep_attention, device)
    return write.run(state, start, lambda logits, _: logits.argmax(1))


def sample(
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
    numbers: Sequence[int] | None = None,
) -> list[Hypothesis]:
    """Return a target for each source, drawn token by token.

    The settings `temperature`, `top_k`, `top_p` and `seed` say how; see `elman.generation.sampling.Sampler`. See
    `beam_search` for the other arguments.

    Args:
        numbers: of the sources, which select their random numbers: a source has the same target in any batch. Without
            them, 0, 1, 2 and so on.

    Raises:
        UsageError: demands that no target can meet, or required phrases, which need `beam_search`.
        ModelError: logits that are not finite.
    """
    memory = as_lengths(lengths)
    sampler = Sampler(settings, range(len(memory)) if numbers is None else numbers)

    def choose(logits: Tensor, sources: Tensor) -> Tensor:
        drawn = sampler.draw(logits.detach().cpu().numpy(), sources.tolist())
        return torch.from_numpy(drawn).to(logits.device)

    write = _Writing(stepper, end, settings, demands, memory, keep_attention, device)
    return write.run(state, start, choose)


class _Writing:
    """One living hypothesis for each source."""

    def __init__(
        self,
        stepper: Stepper,
        end: int,
        settings: DecodingSettings,
        demands: Demands | None,
        memory: list[int],
        keep_attention: bool,
        device: torch.device | str,
    ):
        self.stepper, self.end, self.settings = stepper, end, settings
        self.demands = demands_of(settings, memory) if demands is None else demands
        self.demands.check(end)
        if any(self.demands.required):
            raise UsageError("Required words need beam search.", fix="Call beam_search, or require no words.")
        self.memory, self.device = torch.tensor(memory, dtype=torch.int64, device=device), device
        self.maximum = torch.tensor(self.demands.maximum, dtype=torch.int64, device=device)
        self.trail = Trail(len(memory), keeps_attention=keep_attention)
        self.found = Found(settings.model_copy(update={"n_best": 1}), self.memory, self.maximum)

    def run(self, state: Any, start: int, choose: Choose) -> list[Hypothesis]:
        with torch.no_grad():
            self._run(state, start, choose)
        return [best[0] for best in self.found.hypotheses(self.trail)]

    def _run(self, state: Any, start: int, choose: Choose) -> None:
        count = len(self.memory)
        sources = numbers = torch.arange(count, device=self.device)
        tokens = start_tokens(count, start, self.device)
        scores = torch.zeros(count, dtype=torch.float64, device=self.device)
        history = torch.zeros((count, 0), dtype=torch.int64, device=self.device)
        coverage: Tensor | None = None
        steps = 0
        while len(sources):
            step = self.stepper.step(tokens, state)
            self.trail.read(numbers, step.attention)
            following = log_probabilities(step.logits)
            self.demands.leave_allowed(following, steps, sources, self.end, history)
            dead = following.amax(1) == -math.inf
            self._keep(dead, sources, numbers, scores, coverage, length=steps, ended=False)
            alive = ~dead
            tokens = torch.full_like(sources, self.end)
            if bool(alive.any()):
                tokens[alive] = choose(following[alive], sources[alive])
            added = following.gather(1, tokens[:, None])[:, 0].double()
            scores = torch.where(alive, scores + added, scores)
            coverage = self._covered(coverage, step.attention)
            is_end = (tokens == self.end) & alive
            self._keep(is_end, sources, numbers, scores, coverage, length=steps + 1, ended=True)
            steps += 1
            numbers = self.trail.grow(numbers, tokens)
            goes_on = alive & ~is_end
            is_cut = goes_on & (self.maximum[sources] <= steps)
            self._keep(is_cut, sources, numbers, scores, coverage, length=steps, ended=False)
            rows = (goes_on & ~is_cut).nonzero()[:, 0]
            sources, numbers, tokens, scores = sources[rows], numbers[rows], tokens[rows], scores[rows]
            history = torch.cat([history[rows], tokens[:, None]], 1)
            coverage = None if coverage is None else coverage[rows]
            if len(rows):
                state = self.stepper.select(step.state, rows)

    def _covered(self, coverage: Tensor | None, attention: Tensor | None) -> Tensor | None:
        return covered(coverage, attention) if self.settings.coverage_penalty else None

    def _keep(
        self,
        which: Tensor,
        sources: Tensor,
        numbers: Tensor,
        log_probabilities: Tensor,
        coverage: Tensor | None,
        *,
        length: int,
        ended: bool,
    ) -> None:
        """Keep the hypotheses of these rows as found."""
        kept = None if coverage is None else coverage[which]
        met = torch.ones_like(sources[which], dtype=torch.bool)
        self.found.add(
            sources[which], numbers[which], log_probabilities[which], kept, length=length, ended=ended, met=met
        )
