"""Scores of texts against their references: BLEU, chrF, exact answers, edits of words."""

import importlib.util
import re
from collections.abc import Sequence
from typing import Any

from elman.errors import MissingPackageError

# Marks of tokenisers that texts do not have: a blank before a full stop or a comma, escapes of Moses, joints of
# subwords.
TOKENISED = re.compile(r"\s[.,](?:\s|$)|&(?:quot|apos|amp|#91|#93);|@@(?:\s|$)|\s@-@\s|▁")
TOKENISED_SHARE = 0.1


class TextScores:
    """Scores of written texts, of which all are kept: BLEU is not a mean over texts.

    Raises:
        MissingPackageError: sacrebleu is not installed.
    """

    def __init__(self):
        if importlib.util.find_spec("sacrebleu") is None:
            raise MissingPackageError(
                "BLEU and chrF need the package sacrebleu, which is not installed.",
                fix='Install the extra: pip install "elman[translate]"',
            )
        self._texts: list[str] = []
        self._references: list[str] = []

    def update(self, texts: Sequence[str], references: Sequence[str]) -> None:
        """Add texts and the reference of each."""
        if len(texts) != len(references):
            raise ValueError(f"Expected a reference for each of {len(texts)} texts, got {len(references)}.")
        self._texts += texts
        self._references += references

    def compute(self) -> dict[str, Any]:
        """Return every score by its name, and nothing without texts.

        `bleu` is of whole texts with their case, `bleu_lower` of lower-cased ones, both from 0 to 100 and cut to words
        by sacrebleu's tokeniser 13a, as `bleu_signature` and `bleu_lower_signature` say; `chrf` is from 0 to 100 too.
        `exact` is the fraction of texts that equal their reference. `token_error_rate` is the number of edits of words
        per word of the references, None if these have no words. If the references look tokenised, `reference_note`
        says so.

        Source:
            K. Papineni et al., BLEU: a Method for Automatic Evaluation of Machine Translation, 2002; M. Popović, chrF,
            2015; M. Post, A Call for Clarity in Reporting BLEU Scores, 2018.
        """
        if not self._texts:
            return {}
        pairs = list(zip(self._texts, self._references, strict=True))
        words = sum(len(reference.split()) for reference in self._references)
        edits = sum(edit_distance(text.split(), reference.split()) for text, reference in pairs)
        note = tokenised_note(self._references)
        return {
            **self._measured(),
            "exact": sum(text == reference for text, reference in pairs) / len(pairs),
            "token_error_rate": edits / words if words else None,
            **({"reference_note": note} if note else {}),
        }

    def _measured(self) -> dict[str, Any]:
        # sacrebleu is imported only by those who score texts.
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF

        # `force`: sacrebleu's own warning of tokenised texts is printed; `reference_note` has it.
        metrics = {"bleu": BLEU(force=True), "bleu_lower": BLEU(lowercase=True, force=True), "chrf": CHRF()}
        found: dict[str, Any] = {}
        for name, metric in metrics.items():
            found[name] = metric.corpus_score(self._texts, [self._references]).score
            found[f"{name}_signature"] = str(metric.get_signature())
        return found


def edit_distance(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Return the fewest edits that make one sequence the other.

    An edit inserts, deletes or substitutes one item.

    >>> edit_distance("a b c d".split(), "a x c".split())
    2

    Source:
        V. Levenshtein, Binary Codes Capable of Correcting Deletions, Insertions, and Reversals, 1966.
    """
    if list(first) == list(second):
        return 0
    above = list(range(len(second) + 1))
    for row, left in enumerate(first, start=1):
        here = [row]
        for column, right in enumerate(second, start=1):
            here.append(min(above[column] + 1, here[-1] + 1, above[column - 1] + (left != right)))
        above = here
    return above[-1]


def tokenised_note(references: Sequence[str]) -> str:
    """Return a note if many of the references look tokenised, else an empty string.

    >>> tokenised_note(["A dog , a cat ."])
    '1 of 1 references looks tokenised (such as "A dog , a cat ."): BLEU of whole texts needs them as people write'
    """
    found = [reference for reference in references if TOKENISED.search(reference)]
    if not found or len(found) < TOKENISED_SHARE * len(references):
        return ""
    look = "looks" if len(found) == 1 else "look"
    return (
        f'{len(found):,} of {len(references):,} references {look} tokenised (such as "{found[0][:60]}"): BLEU of whole '
        "texts needs them as people write"
    )
