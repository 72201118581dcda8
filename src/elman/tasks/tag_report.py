"""Parts of a tagger's report: sentences with their tags."""

from collections.abc import Sequence

from elman.report.parts import WORST, TaggedText, TaggedWord
from elman.tasks.task import Row

# Words of the page of text; the sentence in which they are reached is whole.
PAGE_WORDS = 400


def worst_sentences(rows: Sequence[Row]) -> TaggedText:
    """Return the sentences with the most wrong tags, the worst first; of equal ones the shorter is the worse."""
    found = [(sentence, sum(word.is_wrong for word in sentence)) for sentence in map(_tagged, rows)]
    wrong = sorted((pair for pair in found if pair[1]), key=lambda pair: (-pair[1], len(pair[0])))
    note = "Those with the most wrong tags. A wrong answer is followed by the true tag."
    return TaggedText("Worst sentences", [sentence for sentence, _ in wrong[:WORST]], note)


def tagged_text(rows: Sequence[Row]) -> TaggedText:
    """Return the first sentences with their tags, about a page of them."""
    sentences: list[list[TaggedWord]] = []
    words = 0
    for row in rows:
        if words >= PAGE_WORDS:
            break
        sentences.append(_tagged(row))
        words += len(sentences[-1])
    return TaggedText("Text with its tags", sentences, "The first sentences, as they are in the data.")


def _tagged(row: Row) -> list[TaggedWord]:
    true = row.values.get("tags") or [None] * len(row.values["words"])
    return [
        TaggedWord(word, str(answer), None if truth is None else str(truth))
        for word, answer, truth in zip(row.values["words"], row.answer.value, true, strict=True)
    ]
