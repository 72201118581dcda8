"""Parts of a tagger's report: sentences with their tags."""

import heapq
from collections.abc import Iterable

from elman.report.parts import WORST, TaggedText, TaggedWord
from elman.tasks.task import Row

# Words of the page of text; the sentence in which they are reached is whole.
PAGE_WORDS = 400


def tagged_sentences(rows: Iterable[Row]) -> list[TaggedText]:
    """Return the sentences with the most wrong tags, and about a page of the first ones.

    Without rows there are none. Of two sentences with as many wrong tags the shorter is the worse. The rows are read
    once and not kept.
    """
    worst: list[tuple[int, int, int, list[TaggedWord]]] = []
    page: list[list[TaggedWord]] = []
    words = 0
    for number, row in enumerate(rows):
        sentence = _tagged(row)
        if words < PAGE_WORDS:
            page.append(sentence)
            words += len(sentence)
        if wrong := sum(word.is_wrong for word in sentence):
            heapq.heappush(worst, (wrong, -len(sentence), -number, sentence))
            if len(worst) > WORST:
                heapq.heappop(worst)
    if not page:
        return []
    note = "Those with the most wrong tags. A wrong answer is followed by the true tag."
    return [
        TaggedText("Worst sentences", [sentence for *_, sentence in sorted(worst, reverse=True)], note),
        TaggedText("Text with its tags", page, "The first sentences, as they are in the data."),
    ]


def _tagged(row: Row) -> list[TaggedWord]:
    true = row.values.get("tags") or [None] * len(row.values["words"])
    return [
        TaggedWord(word, str(answer), None if truth is None else str(truth))
        for word, answer, truth in zip(row.values["words"], row.answer.value, true, strict=True)
    ]
