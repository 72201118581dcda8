"""One step of nested beams: the likeliest candidates, which of them the slots keep, and which end."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from elman.generation.hypotheses import ROWS_OF_BLOCK


def likeliest_tokens(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the largest scores of each row and their tokens, both `(rows, count)`.

    Of equal scores, that of the lower token is first.

    >>> likeliest_tokens(torch.tensor([[0.0, 2.0, 1.0, 2.0]]), 3)
    (tensor([[2., 2., 1.]]), tensor([[1, 3, 2]]))
    """
    blocks = scores.split(ROWS_OF_BLOCK) if scores.device.type == "cpu" else [scores]
    found = [block.topk(min(count + 1, scores.shape[1]), 1) for block in blocks]
    values, tokens = (torch.cat(each) for each in zip(*found, strict=True))
    ties = ((values[:, 1:] == values[:, :-1]) & (values[:, 1:] > -math.inf)).any(1).nonzero()[:, 0]
    if len(ties):
        # topk leaves open which of equal values it takes.
        in_order, order = scores[ties].sort(dim=1, descending=True, stable=True)
        values[ties], tokens[ties] = in_order[:, : values.shape[1]], order[:, : values.shape[1]]
    return values[:, :count], tokens[:, :count]


def with_needed(scores: Tensor, values: Tensor, tokens: Tensor, needed: Tensor) -> tuple[Tensor, Tensor]:
    """Add the tokens that phrases need next to the candidates of each row, each token once."""
    extra = scores.gather(1, needed.clamp(min=0))
    everything = torch.cat([tokens, needed], 1)
    numbers = torch.arange(everything.shape[1], device=needed.device)
    again = ((everything[:, :, None] == everything[:, None]) & (numbers < numbers[:, None])).any(2)
    again = again[:, tokens.shape[1] :] | (needed < 0)
    return torch.cat([values, extra.masked_fill(again, -math.inf)], 1), everything.clamp(min=0)


class Picks(NamedTuple):
    """The living hypotheses after a step, in the order of their new rows, and the finished ones.

    Attributes:
        parents: the row that each continues, `(new rows,)`.
        candidates: which of the row's candidates it adds, `(new rows,)`.
        slots: the new row in each slot, `(living, banks, beam)`; -1 for none.
        ended: rows after which the end mark was picked.
    """

    parents: Tensor
    candidates: Tensor
    slots: Tensor
    ended: Tensor


def pick(
    slots: Tensor,
    scores: Tensor,
    tokens: Tensor,
    banks: Tensor | None,
    ends: Tensor,
    end: int,
    full: Tensor,
    *,
    nested: bool = True,
) -> Picks:
    """Let each slot in turn pick its hypothesis.

    Slot i of a bank keeps the best candidate that leads to this bank, of the rows in the slots up to i of all banks
    (in all slots, if the beams are not nested), that no slot before has kept. In a source's full bank, each end mark
    after those rows that is better than this candidate is picked too. Equal ones: lower slots first, then lower banks,
    then lower tokens.

    Args:
        slots: the row in each slot, `(living, banks, beam)`; -1 for none.
        scores: of the candidates, `(rows, candidates)`, the first of each row in falling order; -inf for none.
        tokens: `(rows, candidates)`.
        banks: the bank that each candidate leads to, `(rows, candidates)`; None for a single bank.
        ends: scores with the end mark, `(rows,)`; -inf for none.
        end: the end mark.
        full: the bank of each living source in which hypotheses may end, `(living,)`.
        nested: whether a slot leaves out the rows in later slots.
    """
    living, _, beam = slots.shape
    lists, origins = _lists(slots, scores, banks)
    every = torch.arange(living, device=slots.device)
    end_rows = slots[every, full]  # (living, beam)
    ends_left = _padded(ends)[end_rows]
    is_ended = torch.zeros_like(ends_left, dtype=torch.bool)
    heads = torch.zeros_like(slots)
    rows, candidates = torch.full_like(slots, -1), torch.full_like(slots, -1)
    for slot in range(beam):
        seen = slot + 1 if nested else beam
        at = heads[..., :seen, None]
        best, winner = lists[:, :, :seen].gather(3, at)[..., 0].max(2)  # the first of equal ones
        origin = origins[:, :, :seen].gather(3, at)[..., 0].gather(2, winner[..., None])[..., 0]
        exists = best > -math.inf
        width = scores.shape[1] + 1
        row = slots[every[:, None], origin // width, winner]
        rows[..., slot] = torch.where(exists, row, -1)
        candidates[..., slot] = torch.where(exists, origin % width, -1)
        heads.scatter_add_(2, winner[..., None], exists[..., None].long())
        rival = (best[every, full], winner[every, full], tokens[rows[every, full, slot], candidates[every, full, slot]])
        wins = _ends_that_win(ends_left[:, :seen], rival, end)
        is_ended[:, :seen] |= wins
        ends_left[:, :seen].masked_fill_(wins, -math.inf)
    kept = rows >= 0
    numbers = torch.full_like(slots, -1)
    numbers[kept] = torch.arange(int(kept.sum()), device=slots.device)
    return Picks(rows[kept], candidates[kept], numbers, end_rows[is_ended])


def _lists(slots: Tensor, scores: Tensor, banks: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the scores of the candidates that lead to each bank, by the slot of their row.

    They are in falling order, with -inf at the end.

    Returns:
        scores, `(living, banks, beam, n)`, and bank · (candidates + 1) + candidate of each.
    """
    padded = _padded(torch.cat([scores, torch.full_like(scores[:, :1], -math.inf)], 1))[slots]
    width = padded.shape[-1]
    if banks is None:
        return padded, torch.arange(width, device=slots.device).expand_as(padded)
    living, bank_count, beam = slots.shape
    targets = torch.cat([banks, torch.full_like(banks[:, :1], -1)], 1)
    leads = targets[slots].transpose(1, 2).reshape(living, 1, beam, bank_count * width)
    every = torch.arange(bank_count, device=slots.device)[:, None, None]
    by_bank = padded.transpose(1, 2).reshape(living, 1, beam, bank_count * width).expand(-1, bank_count, -1, -1)
    in_order, origins = by_bank.masked_fill(leads != every, -math.inf).sort(dim=3, descending=True, stable=True)
    return in_order[..., : beam + 1], origins[..., : beam + 1]


def _ends_that_win(ends: Tensor, rival: tuple[Tensor, Tensor, Tensor], end: int) -> Tensor:
    """Return which end marks are better than the token that a slot keeps.

    Args:
        ends: scores, `(living, slots)`; -inf for none.
        rival: score, slot and token of what the slot keeps, `(living,)` each.
        end: the end mark.
    """
    score, slot, token = (each[:, None] for each in rival)
    numbers = torch.arange(ends.shape[1], device=ends.device)
    is_first = (numbers < slot) | ((numbers == slot) & (end < token))
    return (ends > score) | ((ends == score) & (ends > -math.inf) & is_first)


def _padded(values: Tensor) -> Tensor:
    """Return scores with one more row of -inf, which the index -1 finds."""
    return torch.cat([values, torch.full_like(values[:1], -math.inf)])
