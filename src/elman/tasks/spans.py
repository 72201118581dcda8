"""Spans of labelled steps: which steps belong together by the prefixes of their labels, and scores of whole spans.

A label that is part of a span is a prefix, a hyphen and the kind of the span, such as `B-PER`; `O` is outside of spans.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, get_args

Scheme = Literal["iob1", "iob2", "iobes"]
OUTSIDE = "O"
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
_LABEL = re.compile(r"([BIESLU])-(.+)", re.DOTALL)
# BILOU's names for the last step of a span and for a span of one step.
_SAME = {"L": "E", "U": "S"}


class Span(NamedTuple):
    """A span: its kind, its first step and the step after its last."""

    kind: str
    begin: int
    end: int


class _Step(NamedTuple):
    prefix: str
    kind: str


def are_spans(labels: Iterable[object]) -> bool:
    """Return whether labels are those of spans: each is `O` or has a prefix, and one has.

    >>> are_spans(["O", "B-PER", "I-PER"]), are_spans(["O", "NOUN"]), are_spans(["O"])
    (True, False, False)
    """
    others = [label for label in labels if label != OUTSIDE]
    return bool(others) and all(isinstance(label, str) and _LABEL.fullmatch(label) for label in others)


def detect_scheme(sentences: Iterable[Sequence[str]]) -> Scheme:
    """Return the scheme of labels.

    It is `iobes` if a label ends a span, `iob2` if each span begins with `B`, and else `iob1`.

    >>> detect_scheme([["I-PER", "O"]]), detect_scheme([["B-PER", "O"]]), detect_scheme([["S-PER", "O"]])
    ('iob1', 'iob2', 'iobes')
    """
    found: Scheme = "iob2"
    for labels in sentences:
        before = _Step(OUTSIDE, "")
        for step in map(_step, labels):
            if step.prefix in ("E", "S"):
                return "iobes"
            if step.prefix == "I" and (before.prefix == OUTSIDE or before.kind != step.kind):
                found = "iob1"
            before = step
    return found


def conlleval_spans(labels: Sequence[str]) -> list[Span]:
    """Return the spans of labels as the program conlleval reads them.

    Every label but `O` is part of a span.

    A span ends after `E` and `S`, before `B`, `S` and `O`, and where the kind changes; a label after such an end begins
    a new span, also `I` and `E`.

    >>> conlleval_spans(["I-PER", "I-LOC", "E-LOC", "E-LOC"])
    [Span(kind='PER', begin=0, end=1), Span(kind='LOC', begin=1, end=3), Span(kind='LOC', begin=3, end=4)]

    Source:
        E. Tjong Kim Sang, S. Buchholz, Introduction to the CoNLL-2000 Shared Task: Chunking, 2000, and its program.
        Difference: `L` and `U` are read as `E` and `S`.
    """
    spans: list[Span] = []
    before, begin = _Step(OUTSIDE, ""), 0
    for position, step in enumerate([*map(_step, labels), _Step(OUTSIDE, "")]):
        ends = before.prefix in ("E", "S") or step.prefix in ("B", "S", OUTSIDE) or step.kind != before.kind
        if before.prefix != OUTSIDE and ends:
            spans.append(Span(before.kind, begin, position))
        if step.prefix != OUTSIDE and (ends or before.prefix == OUTSIDE):
            begin = position
        before = step
    return spans


def strict_spans(labels: Sequence[str], scheme: Scheme) -> list[Span]:
    """Return the spans that are labelled correctly in a scheme.

    - `iob2`: `B` begins a span and `I` of the same kind continues it.
    - `iob1`: `I` does both; `B` begins a span that follows another of its kind, and only there.
    - `iobes`: `S` is a span of one step; `B` begins a longer one, `I` continues it and `E` is its last step.

    A label that does not fit is outside of all spans. It ends a span of the first two schemes; a span of `iobes` that
    has no `E` is not a span.

    >>> strict_spans(["I-PER", "B-LOC", "I-LOC"], "iob2")
    [Span(kind='LOC', begin=1, end=3)]
    >>> strict_spans(["B-PER", "I-PER"], "iobes")
    []
    """
    return _STRICT[scheme](list(map(_step, labels)))


def allowed_pairs(labels: Sequence[str], scheme: Scheme) -> tuple[list[bool], list[list[bool]], list[bool]]:
    """Return which labels may begin a sentence, which may follow which, and which may end it.

    In the table of pairs, a row is a label and its columns are the labels after it.

    >>> allowed_pairs(["O", "B-A", "I-A"], "iob2")[1]
    [[True, True, False], [True, True, True], [True, True, True]]
    """
    steps, outside = list(map(_step, labels)), _Step(OUTSIDE, "")
    starts = [_may_follow(outside, step, scheme) for step in steps]
    pairs = [[_may_follow(before, step, scheme) for step in steps] for before in steps]
    return starts, pairs, [_may_follow(step, outside, scheme) for step in steps]


class SpanScores:
    """Precision, recall and F1 of whole spans: a span counts where its kind, its begin and its end are right.

    Args:
        spans_of: gives the spans of the labels of a sentence.
    """

    def __init__(self, spans_of: Callable[[Sequence[str]], list[Span]]):
        self._spans_of = spans_of
        self._right = self._true = self._answered = 0

    def update(self, true: Sequence[str], answered: Sequence[str]) -> None:
        """Count a sentence in."""
        wanted, found = (Counter(self._spans_of(labels)) for labels in (true, answered))
        self._right += (wanted & found).total()
        self._true += wanted.total()
        self._answered += found.total()

    @property
    def precision(self) -> float:
        """The share of the answered spans that are right; 0 if none was answered."""
        return self._right / self._answered if self._answered else 0.0

    @property
    def recall(self) -> float:
        """The share of the true spans that were answered; 0 if there are none."""
        return self._right / self._true if self._true else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 if no span is right."""
        return 2 * self._right / (self._true + self._answered) if self._right else 0.0


def _step(label: str) -> _Step:
    found = _LABEL.fullmatch(label)
    return _Step(_SAME.get(found[1], found[1]), found[2]) if found else _Step(OUTSIDE, "")


def _iob2(steps: Sequence[_Step]) -> list[Span]:
    return _runs(steps, begins=lambda before, step: step.prefix == "B")


def _iob1(steps: Sequence[_Step]) -> list[Span]:
    def begins(before: _Step, step: _Step) -> bool:
        follows = before.prefix != OUTSIDE and before.kind == step.kind
        return step.prefix == "I" if not follows else step.prefix == "B"

    return _runs(steps, begins)


def _runs(steps: Sequence[_Step], begins: Callable[[_Step, _Step], bool]) -> list[Span]:
    """Return the spans that begin where `begins` is true and continue with `I` of their kind."""
    spans: list[Span] = []
    before, is_open = _Step(OUTSIDE, ""), False
    for position, step in enumerate(steps):
        goes_on = is_open and step.prefix == "I" and step.kind == before.kind
        is_open = goes_on or (step.prefix in ("B", "I") and begins(before, step))
        if goes_on:
            spans[-1] = spans[-1]._replace(end=position + 1)
        elif is_open:
            spans.append(Span(step.kind, position, position + 1))
        before = step if is_open else _Step(OUTSIDE, "")
    return spans


def _iobes(steps: Sequence[_Step]) -> list[Span]:
    spans: list[Span] = []
    begin: int | None = None
    before = _Step(OUTSIDE, "")
    for position, step in enumerate(steps):
        if step.prefix == "S":
            spans.append(Span(step.kind, position, position + 1))
        goes_on = begin is not None and step.kind == before.kind and step.prefix in ("I", "E")
        if goes_on and step.prefix == "E":
            assert begin is not None
            spans.append(Span(step.kind, begin, position + 1))
        begin = position if step.prefix == "B" else begin if goes_on and step.prefix == "I" else None
        before = step
    return spans


_STRICT: dict[Scheme, Callable[[Sequence[_Step]], list[Span]]] = {"iob1": _iob1, "iob2": _iob2, "iobes": _iobes}


def _may_follow(before: _Step, step: _Step, scheme: Scheme) -> bool:
    """Return whether a label may follow another, where outside is also the end of a sentence."""
    same = before.prefix != OUTSIDE and before.kind == step.kind
    match scheme:
        case "iob1":
            return step.prefix in ("I", OUTSIDE) or (step.prefix == "B" and same)
        case "iob2":
            return step.prefix in ("B", OUTSIDE) or (step.prefix == "I" and same)
        case "iobes":
            if before.prefix in ("B", "I"):
                return same and step.prefix in ("I", "E")
            return step.prefix in ("B", "S", OUTSIDE)
