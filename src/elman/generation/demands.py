"""What the caller demands of each target: its length, its first tokens, tokens that must or must not occur."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.settings.decoding import DecodingSettings

Phrase = Sequence[int]


@dataclass(frozen=True)
class Demands:
    """Demands on the targets of a batch, with one entry for each source.

    Attributes:
        minimum: fewest tokens, without the end mark.
        maximum: most tokens, with the end mark.
        prefixes: first tokens of each target; none of the other demands but the maximum applies to them.
        required: for each source, token sequences that must occur in the target.
        banned: tokens that never occur.
        no_repeat_ngram: no sequence of this many tokens occurs twice.
    """

    minimum: list[int]
    maximum: list[int]
    prefixes: Sequence[Phrase] = ()
    required: Sequence[Sequence[Phrase]] = ()
    banned: Sequence[int] = ()
    no_repeat_ngram: int | None = None
    longest_prefix: int = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "longest_prefix", max(map(len, self.prefixes), default=0))

    def check(self, end: int) -> None:
        """Refuse demands that no target can meet.

        Raises:
            UsageError: a minimum, a prefix or required tokens beyond the maximum; or a banned or forced end mark; or
                a banned token that is required.
        """
        if end in self.banned:
            raise UsageError(
                f"The end mark (token {end}) is banned, so that no target could end.", fix="Remove it from `banned`."
            )
        for name, given in (("prefixes", self.prefixes), ("required", self.required)):
            if given and len(given) != len(self.maximum):
                raise UsageError(
                    f"Expected {name} for {len(self.maximum)} sources, got {len(given)}.",
                    fix="Give one entry for each source; it may be empty.",
                )
        for source in range(len(self.maximum)):
            if problem := self._problem(source, end):
                raise UsageError(problem[0], where=f"source {source + 1}", fix=problem[1])

    def _problem(self, source: int, end: int) -> tuple[str, str] | None:
        prefix = self.prefixes[source] if self.prefixes else ()
        required = self.required[source] if self.required else ()
        needed, most = sum(map(len, required)), self.maximum[source]
        if self.minimum[source] >= most:
            return (
                f"Expected a minimum length below the maximum of {most} tokens, which counts the end mark, "
                f"got {self.minimum[source]}.",
                "Give a smaller minimum or a larger maximum.",
            )
        if len(prefix) > most:
            return (
                f"The prefix has {len(prefix)} tokens and the target at most {most}.",
                "Give a shorter prefix or a larger maximum.",
            )
        if needed >= most:
            return (
                f"The required words have {needed} tokens and the target at most {most}, which counts the end mark.",
                "Require fewer words or give a larger maximum.",
            )
        if end in prefix or any(end in phrase or not phrase for phrase in required):
            return "A prefix or a required phrase has the end mark in it or is empty.", "Give other tokens there."
        if both := sorted(set(self.banned) & {token for phrase in required for token in phrase}):
            return f"Token {both[0]} is both required and banned.", "Remove it from one of the two."
        return None

    def leave_allowed(self, logits: Tensor, steps: int, sources: Tensor, end: int, history: Tensor | None) -> None:
        """Set the logits of tokens that may not come next to -inf.

        Args:
            logits: `(rows, vocabulary)`, overwritten.
            steps: tokens that each row has written.
            sources: the source of each row, `(rows,)`.
            end: the end mark.
            history: tokens of each row, `(rows, steps)`; needed for `no_repeat_ngram` only.
        """
        if steps < self.longest_prefix:
            forced = torch.tensor([prefix[steps] if steps < len(prefix) else -1 for prefix in self.prefixes])
            forced = forced.to(logits.device)[sources]
            rows = (forced >= 0).nonzero()[:, 0]
            before = logits[rows, forced[rows]]
        else:
            forced = rows = before = None
        if self.banned:
            logits.index_fill_(1, torch.tensor(self.banned, device=logits.device), -math.inf)
        if steps < max(self.minimum, default=0):
            early = torch.tensor(self.minimum, device=logits.device)[sources] > steps
            logits[early, end] = -math.inf
        if self.no_repeat_ngram is not None and history is not None:
            ban_repeated(logits, history, self.no_repeat_ngram)
        if forced is not None and rows is not None and before is not None:
            logits[rows] = -math.inf
            logits[rows, forced[rows]] = before


def ban_repeated(logits: Tensor, history: Tensor, size: int) -> None:
    """Set the logits of tokens that would complete an n-gram a second time to -inf.

    Args:
        logits: `(rows, vocabulary)`, overwritten.
        history: tokens so far, `(rows, steps)`.
        size: n.
    """
    steps = history.shape[1]
    if steps < size:
        return
    windows = history.unfold(1, size, 1)  # (rows, steps - size + 1, size)
    recent = history[:, steps - size + 1 :]
    row, window = (windows[..., :-1] == recent[:, None]).all(-1).nonzero(as_tuple=True)
    logits[row, windows[row, window, -1]] = -math.inf


def demands_of(
    settings: DecodingSettings,
    lengths: Sequence[int],
    *,
    prefixes: Sequence[Phrase] = (),
    required: Sequence[Sequence[Phrase]] = (),
    banned: Sequence[int] = (),
) -> Demands:
    """Return the demands that settings make on the targets of sources of these lengths.

    The maximum is `max_length_factor` · length + `max_length_extra`, rounded down, at most `max_length`, and large
    enough for the minimum and the end mark.

    >>> demands_of(DecodingSettings(max_length=20, max_length_factor=2, max_length_extra=5), [3, 30]).maximum
    [11, 20]
    """
    longest = [int(settings.max_length_factor * length) + settings.max_length_extra for length in lengths]
    least = settings.min_length + 1
    return Demands(
        minimum=[settings.min_length] * len(lengths),
        maximum=[min(settings.max_length, max(each, least)) for each in longest],
        prefixes=prefixes,
        required=[[*dict.fromkeys(map(tuple, phrases))] for phrases in required],
        banned=sorted(set(banned)),
        no_repeat_ngram=settings.no_repeat_ngram,
    )
