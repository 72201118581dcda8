"""Whether the first row of a table names its columns."""

import re
from collections import Counter
from collections.abc import Sequence


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TEXT_NAMES = _words(
    "text texts sentence sentences review reviews reviewtext review_text comment comments comment_text message "
    "messages tweet tweets tweet_text content contents body question query utterance sms email post snippet statement "
    "document doc phrase prompt input sequence headline v2 x"
)
LABEL_NAMES = _words(
    "label labels class classes category categories sentiment target targets tag tags topic topics intent emotion mood "
    "rating ratings score scores stars polarity genre gold y output airline_sentiment is_spam spam_or_ham class_label "
    "class_index label_text label_name v1 kind"
)
OTHER_NAMES = _words(
    "id ids idx index no number date time timestamp user username author source url name title subject description "
    "summary word words length split lang language type part_of_speech pos"
)
# If at most this fraction of the labels occurs once, a first row whose label occurs nowhere else is a header.
_RARE = 0.05
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def plain_name(cell: str) -> str:
    """Return a cell in the form in which names of columns are compared.

    >>> plain_name(" Class Index"), plain_name("Unnamed: 0")
    ('class_index', '')
    """
    name = re.sub(r"\W+", "_", cell.strip().lower()).strip("_")
    return "" if re.fullmatch(r"unnamed_\d+", name) else name


def named_like(cells: Sequence[str], names: frozenset[str]) -> list[int]:
    """Return the columns whose names are among these, from 0."""
    return [index for index, cell in enumerate(cells) if plain_name(cell) in names]


def is_header(
    first: Sequence[str],
    body: Sequence[Sequence[str]],
    label: int | None,
    classes: frozenset[str] = frozenset(),
) -> bool | None:
    """Report whether the first row names the columns, or None if that is unclear.

    It is a header if its label is in no other row although nearly all labels repeat, if its label is a word and all
    others are numbers, or if its cells are usual names of columns. It is not if its label occurs again or is a number.

    Args:
        first: the first row.
        body: the others.
        label: the column of the labels, from 0; None if it is not known.
        classes: the labels that a model knows; a row has one of them, and a header does not.

    >>> is_header(["Frase", "Clase"], [["bueno", "a"], ["malo", "b"], ["feo", "b"], ["bello", "a"]], 1)
    True
    >>> is_header(["good", "a"], [["bad", "b"]], 1) is None
    True
    """
    usual = _has_usual_names(first)
    if label is None or len(first) == 1:
        return usual
    here = first[label].strip()
    others = [row[label].strip() for row in body if label < len(row)]
    if here in others and not (usual and list(first) in [list(row) for row in body]):
        return False
    if usual:
        return True
    if not others or not here or here in classes or _NUMBER.fullmatch(here):
        return False
    if classes.issuperset(others):
        return True
    if all(_NUMBER.fullmatch(other) for other in others):
        return True
    counts = Counter(others)
    once = sum(count == 1 for count in counts.values())
    # With one label alone there would be nothing to learn.
    return True if len(counts) > 1 and once <= _RARE * len(others) else None


def _has_usual_names(first: Sequence[str]) -> bool:
    names = [plain_name(cell) for cell in first]
    if len(names) == 1:
        return names[0] in TEXT_NAMES - {"x"}
    known = TEXT_NAMES | LABEL_NAMES
    return any(name in known for name in names) and all(name in known | OTHER_NAMES | {""} for name in names)
