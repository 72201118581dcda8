"""Minimum risk training: the expected error of the texts that a decoder writes, in place of the true tokens' loss."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from elman.data.ragged.ragged import Ragged
from elman.decoder import Decoder, DecoderState
from elman.errors import MissingPackageError
from elman.settings.translation import RiskName
from elman.tasks.translate_scores import INSTALL, MISSING, edit_distance, has_sacrebleu

# Of a text and its reference, from 0 for a perfect text to 1; token_error_rate may be above 1.
Risk = Callable[[str, str], float]


def risk_of(name: RiskName) -> Risk:
    """Return the function that measures how wrong a text is.

    Args:
        name: of the score. `bleu` and `chrf` are 1 less the score of the sentence, the former with smoothed counts
            (B. Chen, C. Cherry, 2014, method 3); `exact` is 0 or 1; `token_error_rate` is the edits of words, per word
            of the reference.

    Raises:
        MissingPackageError: the score needs sacrebleu, which is not installed.
    """
    if name == "exact":
        return lambda text, reference: float(text != reference)
    if name == "token_error_rate":
        return _error_rate
    if not has_sacrebleu():
        raise MissingPackageError(MISSING, fix=INSTALL)
    # sacrebleu is imported only by those who score texts.
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    metric = BLEU(effective_order=True, force=True) if name == "bleu" else CHRF()
    return lambda text, reference: 1.0 - metric.sentence_score(text, [reference]).score / 100.0


def _error_rate(text: str, reference: str) -> float:
    words = reference.split()
    return edit_distance(text.split(), words) / max(1, len(words))


def expected_risk(
    decoder: Decoder,
    state: DecoderState,
    candidates: Sequence[Sequence[Sequence[int]]],
    risks: Sequence[Sequence[float]],
    *,
    begin: int,
    end: int,
    sharpness: float,
) -> Tensor:
    """Return the mean over sources of the expected risk of their candidates.

        R = 1/sources Σ_x Σ_{y in S(x)} Q(y|x) Δ(y)        Q(y|x) = P(y|x)^α / Σ_{y' in S(x)} P(y'|x)^α

    The logits of all candidates are in memory at once, `(tokens of all candidates, tokens of the vocabulary)`.

    Args:
        decoder: whose probabilities P are.
        state: before the first token, a row for each source.
        candidates: S, token ids without marks, at least one for each source, all of them different.
        risks: Δ of each.
        begin, end: the ids around each candidate.
        sharpness: α, above 0.

    Source:
        S. Shen et al., Minimum Risk Training for Neural Machine Translation, 2016, equations 11 to 13.
    """
    counts = torch.tensor(list(map(len, candidates)))
    flat = [list(ids) for each in candidates for ids in each]
    device = decoder.head.weight.device
    lengths = [len(ids) + 1 for ids in flat]
    inputs = Ragged(torch.tensor([id for ids in flat for id in (begin, *ids)]).to(device), lengths)
    targets = torch.tensor([id for ids in flat for id in (*ids, end)]).to(device)
    rows = torch.arange(len(counts)).repeat_interleave(counts)
    decoded = decoder(inputs, state.repeated(rows))
    chosen = decoder.logits(decoded).log_softmax(1).gather(1, targets[:, None]).squeeze(1)
    owner = inputs.sequence_index().to(device)
    scores = chosen.new_zeros(len(flat)).index_add(0, owner, chosen) * sharpness
    risk = torch.tensor([value for each in risks for value in each], dtype=scores.dtype, device=device)
    total = scores.new_zeros(())
    for score, wrong in zip(scores.split(counts.tolist()), risk.split(counts.tolist()), strict=True):
        total = total + score.softmax(0) @ wrong
    return total / len(counts)
