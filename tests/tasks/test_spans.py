"""Spans of labels and their scores, against a table worked out by hand."""

from itertools import pairwise, product

import pytest

from elman.tasks.spans import (
    SCHEMES,
    SpanScores,
    allowed_pairs,
    are_spans,
    conlleval_spans,
    detect_scheme,
    strict_spans,
)

# Labels; the spans of conlleval, and those of IOB1, IOB2 and IOBES read strictly. A span is `kind begin-end`, with its
# first and its last step, from 0.
TABLE = [
    ("O O", "", "", "", ""),
    # Correct IOB2. In IOB1 a B without a span before it is outside, and the I after it begins one; IOBES lacks the E.
    ("B-X I-X O", "X 0-1", "X 1-1", "X 0-1", ""),
    ("B-X B-X", "X 0-0, X 1-1", "", "X 0-0, X 1-1", ""),
    ("B-X B-Y", "X 0-0, Y 1-1", "", "X 0-0, Y 1-1", ""),
    ("B-X I-X B-X I-X", "X 0-1, X 2-3", "X 1-1, X 2-3", "X 0-1, X 2-3", ""),
    # I without B.
    ("I-X I-X O", "X 0-1", "X 0-1", "", ""),
    ("O I-X", "X 1-1", "X 1-1", "", ""),
    ("I-X I-Y", "X 0-0, Y 1-1", "X 0-0, Y 1-1", "", ""),
    ("B-X I-Y", "X 0-0, Y 1-1", "Y 1-1", "X 0-0", ""),
    # Correct IOB1: B only between two spans of one kind.
    ("I-X B-X I-X", "X 0-0, X 1-2", "X 0-0, X 1-2", "X 1-2", ""),
    ("I-X I-X B-X O", "X 0-1, X 2-2", "X 0-1, X 2-2", "X 2-2", ""),
    # Correct IOBES; the others know neither S nor E.
    ("S-X", "X 0-0", "", "", "X 0-0"),
    ("B-X E-X", "X 0-1", "", "X 0-0", "X 0-1"),
    ("B-X I-X E-X S-X", "X 0-2, X 3-3", "X 1-1", "X 0-1", "X 0-2, X 3-3"),
    ("S-X S-X", "X 0-0, X 1-1", "", "", "X 0-0, X 1-1"),
    # E before B: the second span begins anew.
    ("B-X E-X B-X E-X", "X 0-1, X 2-3", "", "X 0-0, X 2-2", "X 0-1, X 2-3"),
    # IOBES with mistakes: no E, no B, E after E, I after E, I after S, another kind within.
    ("O B-X I-X O", "X 1-2", "X 2-2", "X 1-2", ""),
    ("O E-X", "X 1-1", "", "", ""),
    ("I-X E-X", "X 0-1", "X 0-0", "", ""),
    ("B-X E-X E-X", "X 0-1, X 2-2", "", "X 0-0", "X 0-1"),
    ("B-X E-X I-X", "X 0-1, X 2-2", "X 2-2", "X 0-0", "X 0-1"),
    ("S-X I-X", "X 0-0, X 1-1", "X 1-1", "", "X 0-0"),
    ("B-X E-Y", "X 0-0, Y 1-1", "", "X 0-0", ""),
    ("B-X I-Y E-X", "X 0-0, Y 1-1, X 2-2", "Y 1-1", "X 0-0", ""),
    ("B-X S-X", "X 0-0, X 1-1", "", "X 0-0", "X 1-1"),
    ("B-X B-X E-X", "X 0-0, X 1-2", "", "X 0-0, X 1-1", "X 1-2"),
    # BILOU: L is E, U is S.
    ("B-X I-X L-X U-Y", "X 0-2, Y 3-3", "X 1-1", "X 0-1", "X 0-2, Y 3-3"),
    # A kind may have hyphens.
    ("B-X-Z I-X-Z I-X", "X-Z 0-1, X 2-2", "X-Z 1-1, X 2-2", "X-Z 0-1", ""),
]
each = pytest.mark.parametrize(("labels", "conlleval", "iob1", "iob2", "iobes"), TABLE, ids=[row[0] for row in TABLE])


def written(spans: list) -> str:
    return ", ".join(f"{span.kind} {span.begin}-{span.end - 1}" for span in spans)


@each
def test_the_spans_are_those_of_the_table(labels: str, conlleval: str, iob1: str, iob2: str, iobes: str):
    steps = labels.split()
    assert written(conlleval_spans(steps)) == conlleval
    assert [written(strict_spans(steps, scheme)) for scheme in SCHEMES] == [iob1, iob2, iobes]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_sentences_that_are_allowed_lose_no_label(scheme: str):
    labels = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in "XY")]
    starts, pairs, ends = allowed_pairs(labels, scheme)
    for length in (1, 2, 3):
        for path in product(range(len(labels)), repeat=length):
            steps = [labels[number] for number in path]
            allowed = starts[path[0]] and ends[path[-1]]
            allowed = allowed and all(pairs[one][other] for one, other in pairwise(path))
            covered = sum(span.end - span.begin for span in strict_spans(steps, scheme))
            # Each label inside is part of a correct span.
            assert allowed == (covered == sum(step != "O" for step in steps)), steps
            if allowed:
                assert strict_spans(steps, scheme) == conlleval_spans(steps)


def test_the_scores_are_those_of_a_count_by_hand():
    scores = SpanScores(conlleval_spans)
    assert (scores.precision, scores.recall, scores.f1) == (0, 0, 0)
    # Right: X 0-1. Missing: Y 3-3. Too many: X 3-3, Y 5-5.
    scores.update(["B-X", "I-X", "O", "B-Y", "O", "O"], ["B-X", "I-X", "O", "B-X", "O", "B-Y"])
    assert (scores.precision, scores.recall) == (1 / 3, 1 / 2)
    assert scores.f1 == pytest.approx(0.4)


def test_the_scheme_is_found_from_the_labels():
    assert detect_scheme([["O"], ["B-X", "I-X"]]) == "iob2"
    assert detect_scheme([["B-X", "I-X"], ["O", "I-X"]]) == "iob1"
    assert detect_scheme([["B-X", "I-Y"]]) == "iob1"
    assert detect_scheme([["O", "I-X"], ["B-X", "L-X"]]) == "iobes"
    assert are_spans(["O", "B-X", "U-Y"])
    assert not are_spans(["NOUN", "O"])
    assert not are_spans(["-LRB-", "O"])
    assert not are_spans([1, 2])
