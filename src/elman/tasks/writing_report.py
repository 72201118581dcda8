"""The report of a task whose answer is a text: scores, attention, the worst texts."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from elman.report.figures import on_one_line
from elman.report.grid import Grid
from elman.report.parts import WORST, Examples, Numbers, Part
from elman.tasks.task import Found, Row
from elman.tasks.translate_scores import BY_SACREBLEU, INSTALL, MISSING

HEADER = ("likeness", "source", "reference", "written")


class WorstTexts(Examples):
    """The texts that are least like their references, which `elman evaluate --mistakes` prints."""

    def lines(self) -> Iterator[str]:
        """Yield each source, with its reference and the written text on two lines below."""
        for _, source, reference, written in self.shown:
            yield on_one_line(source)
            yield f"  reference {on_one_line(reference)}"
            yield f"  written   {on_one_line(written)}"


def parts_of_report(task: Any, found: Found) -> list[Part]:
    """Return the parts of the report.

    Args:
        task: of the model.
        found: scores and rows.
    """
    scores = found.scores
    parts: list[Part] = [Numbers(list(task.figures(scores)), remark=_remark(scores))]
    parts += pictures(scores.get("attention", ()))
    if worst := worst_texts(found.rows):
        note = "Those that are least like their references, by the longest common runs of words."
        parts.append(WorstTexts("Worst texts", HEADER, worst, note))
    return parts


def pictures(attention: Sequence[Mapping[str, Any]]) -> list[Grid]:
    """Return the attention of some texts as grids."""
    note = "Each row is a token that was written, each column a token of the source; dark where the model looked."
    return [
        Grid("" if number else "Attention", each["written"], each["source"], each["weights"], "" if number else note)
        for number, each in enumerate(attention)
    ]


def worst_texts(rows: Iterable[Row]) -> list[tuple[str, Any, str, str]]:
    """Return the texts that are least like their references, the worst first, in bounded memory."""
    worst: list[tuple[float, int, tuple[str, Any, str, str]]] = []
    for number, row in enumerate(rows):
        (_, source), (_, reference) = list(row.values.items())[:2]
        like = likeness(row.answer.value, reference)
        if like < 1.0:
            heapq.heappush(worst, (-like, -number, (f"{like:.2f}", _text(source), reference, row.answer.value)))
            if len(worst) > WORST:
                heapq.heappop(worst)
    return [shown for *_, shown in sorted(worst, reverse=True)]


def _text(source: Any) -> str:
    """Return a text as it is, and the numbers of a vector in a row."""
    # Imported late: numpy is needed only for vectors.
    import numpy as np

    return source if isinstance(source, str) else ", ".join(f"{number:g}" for number in np.asarray(source).reshape(-1))


def likeness(written: str, reference: str) -> float:
    """Return how alike two texts are, from 0 to 1, by their words.

    >>> likeness("a b c", "a b d")
    0.6666666666666666
    """
    if written == reference:
        return 1.0
    return SequenceMatcher(None, written.split(), reference.split(), autojunk=False).ratio()


def _remark(scores: Mapping[str, Any]) -> str:
    """Return the signatures of BLEU and chrF, and a note on the references."""
    signatures = [f"{name} {scores[f'{name}_signature']}" for name in BY_SACREBLEU if f"{name}_signature" in scores]
    said = f"Signatures of sacrebleu: {'; '.join(signatures)}." if signatures else f"{MISSING} {INSTALL}."
    note = scores.get("reference_note", "")
    return f"{said} {note}." if note else said
