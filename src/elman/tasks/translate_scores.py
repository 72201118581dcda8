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


BY_SACREBLEU = ("bleu", "bleu_lower", "chrf")
MISSING = "BLEU and chrF need the package sacrebleu, which is not installed."
INSTALL = "Install the extra: pip install 'elman[translate]'"


def has_sacrebleu() -> bool:
    """Return whether BLEU and chrF can be computed."""
    return importlib.util.find_spec("sacrebleu") is not None


def require_sacrebleu() -> None:
    """Refuse to go on without sacrebleu.

    Raises:
        MissingPackageError: it is not installed.
    """
    if not has_sacrebleu():
        raise MissingPackageError(MISSING, fix=INSTALL)


class TextScores:
    """Scores of written texts, of which the counts of n-grams are kept and not the texts themselves.

    Without sacrebleu there is no BLEU and no chrF.
    """

    def __init__(self):
        self._metrics: dict[str, Any] = {}
        self._sums: dict[str, list[float]] = {}
        self._texts = self._exact = self._edits = self._words = self._tokenised = 0
        self._example = ""

    def update(self, texts: Sequence[str], references: Sequence[str]) -> None:
        """Count texts and the reference of each."""
        for text, reference in zip(texts, references, strict=True):
            words = reference.split()
            self._texts += 1
            self._exact += text == reference
            self._edits += edit_distance(text.split(), words)
            self._words += len(words)
            if TOKENISED.search(reference):
                self._tokenised += 1
                self._example = self._example or reference
        if texts and has_sacrebleu():
            self._count_ngrams(texts, references)

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
        found: dict[str, Any] = {}
        for name, metric in self._metrics.items():
            found[name] = metric._compute_score_from_stats(self._sums[name]).score
            found[f"{name}_signature"] = str(metric.get_signature())
        note = self._note()
        return {
            **found,
            "exact": self._exact / self._texts,
            "token_error_rate": self._edits / self._words if self._words else None,
            **({"reference_note": note} if note else {}),
        }

    def _count_ngrams(self, texts: Sequence[str], references: Sequence[str]) -> None:
        # sacrebleu is imported only by those who score texts.
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF

        if not self._metrics:
            # `force`: sacrebleu's own warning of tokenised texts is printed; `reference_note` has it.
            self._metrics = {"bleu": BLEU(force=True), "bleu_lower": BLEU(lowercase=True, force=True), "chrf": CHRF()}
        for name, metric in self._metrics.items():
            counts = metric._extract_corpus_statistics(list(texts), [list(references)])
            sums = [float(sum(column)) for column in zip(*counts, strict=True)]
            before = self._sums.get(name, [0.0] * len(sums))
            self._sums[name] = [one + other for one, other in zip(before, sums, strict=True)]

    def _note(self) -> str:
        """Return a note if many of the references look tokenised, else an empty string."""
        if not self._tokenised or self._tokenised < TOKENISED_SHARE * self._texts:
            return ""
        look = "looks" if self._tokenised == 1 else "look"
        return (
            f"{self._tokenised:,} of {self._texts:,} references {look} tokenised (such as "
            f'"{self._example[:60]}"): BLEU of whole texts needs them as people write'
        )


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
