"""The words that spoke for an answer: each token in turn is read as unknown, and the answer compared."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from elman.data.text.graphemes import characters
from elman.data.text.tokens import Tokenizer
from elman.errors import UsageError

if TYPE_CHECKING:
    from elman.models.model import Model
    from elman.tasks.task import Answer

# Tokens of a text that are left out in turn, and steps that all these readings of it have together.
LARGEST_TOKENS = 200
LARGEST_STEPS = 200_000
# A byte has no unknown token; this control character means that another one was replaced.
SUBSTITUTE = "\x1a"
PRIVATE = range(0xE000, 0xF8FF)
LEAST = 1e-300


class TokenWeight(NamedTuple):
    """A token of a text, and how much it spoke for an answer.

    Attributes:
        token: as it is written in the text.
        weight: how much the log odds of the answer fall when the token is read as unknown; negative where it spoke
            against the answer.
    """

    token: str
    weight: float


class Reading(NamedTuple):
    """The answer to a text, and to the text without each of its tokens.

    Attributes:
        pieces: the text cut at the tokens: tokens, and blanks between them.
        tokens: positions of the tokens among the pieces, of those that were left out in turn.
        answer: to the whole text.
        without: answer to the text without each token.
    """

    pieces: list[str]
    tokens: list[int]
    answer: "Answer"
    without: "list[Answer]"

    def weights(self, label: str) -> list[float]:
        """Return by how much the log odds of a label fall without each token."""
        whole = _log_odds(self.answer, label)
        return [whole - _log_odds(each, label) for each in self.without]

    def against(self, label: str, other: str) -> list[float]:
        """Return how much each token spoke for a label rather than for another one."""
        whole = _log_ratio(self.answer, label, other)
        return [whole - _log_ratio(each, label, other) for each in self.without]


def read_without_each(model: "Model", text: Any, *, longest: int | None = None) -> Reading:
    """Answer a text as it is, and without each of its tokens.

    Args:
        model: fitted, with answers that have probabilities.
        text: to answer; a tuple of several, such as the two of a pair.
        longest: leave out only tokens that begin within so many characters.

    Raises:
        UsageError: the model reads numbers, or its answers have no probabilities.
    """
    texts = text if isinstance(text, tuple) else (text,)
    if model.task_.tokens == "values" or not all(isinstance(each, str) for each in texts):
        raise UsageError(
            "Only the tokens of a text can be explained, and these are not texts.",
            fix="Give a string, to a model that reads texts.",
        )
    pieces, tokens, ends = _cut_all(model, texts)
    most = min(LARGEST_TOKENS, max(1, LARGEST_STEPS // max(1, len(tokens))))
    starts, position = [], 0
    for piece in pieces:
        starts.append(position)
        position += len(piece)
    tokens = [token for token in tokens if longest is None or starts[token] < longest][:most]
    unknown = _unknown(model)
    variants = [_joined([*pieces[:token], unknown, *pieces[token + 1 :]], ends) for token in tokens]
    answer, *without = model.answers([text, *variants], unknown="allow")
    if answer.probabilities is None:
        raise UsageError(
            f"The answers of a {model.task.noun} have no probabilities.", fix="Give a model that has, a classifier."
        )
    return Reading(pieces, tokens, answer, without)


def explain(model: "Model", text: Any, label: Any = None) -> list[TokenWeight]:
    """Return how much each token of a text spoke for a label, in the order of the text.

    Args:
        model: fitted, with answers that have probabilities.
        text: to answer.
        label: the answer itself if not given.

    Raises:
        UsageError: there is no such label; and as for `read_without_each`.
    """
    reading = read_without_each(model, text)
    known = reading.answer.probabilities or {}
    name = max(known, key=known.__getitem__) if label is None else str(label)
    if name not in known:
        raise UsageError(f"The model has no label {name!r}.", fix=f"Give one of {', '.join(known)}.")
    tokens = (reading.pieces[token] for token in reading.tokens)
    return [TokenWeight(*each) for each in zip(tokens, reading.weights(name), strict=True)]


def weigh_pieces(model: "Model", text: Any, label: Any, other: Any, longest: int) -> list[tuple[str, float]]:
    """Return the pieces of a text with their weights for a label rather than another one.

    Args:
        model: fitted.
        text: that was answered; sequences of numbers have no pieces.
        label: the answer.
        other: the truth.
        longest: characters that are shown.
    """
    if not isinstance(text, str):
        return []
    reading = read_without_each(model, text, longest=longest)
    weights = dict(zip(reading.tokens, reading.against(str(label), str(other)), strict=True))
    found, left = [], longest
    for number, piece in enumerate(reading.pieces):
        if left <= 0:
            found.append((" …", 0.0))
            break
        found.append((piece, weights.get(number, 0.0)))
        left -= len(piece)
    return found


def _cut_all(model: "Model", texts: Sequence[str]) -> tuple[list[str], list[int], list[int]]:
    """Return texts in pieces one after the other, which are tokens, and where each text ends."""
    pieces, tokens, ends = [], [], []
    for text in texts:
        own, positions = _cut(model, text)
        tokens += [len(pieces) + position for position in positions]
        pieces += own
        ends.append(len(pieces))
    return pieces, tokens, ends


def _joined(pieces: Sequence[str], ends: Sequence[int]) -> str | tuple[str, ...]:
    """Return the text of pieces, or a tuple of several."""
    texts = tuple("".join(pieces[begin:end]) for begin, end in pairwise([0, *ends]))
    return texts[0] if len(texts) == 1 else texts


def _cut(model: "Model", text: str) -> tuple[list[str], list[int]]:
    """Return the text in pieces, and which of them are tokens."""
    if model.task_.tokens != "words":
        pieces = characters(text)
        return pieces, list(range(len(pieces)))
    pieces, tokens, position = [], [], 0
    for word in Tokenizer("words").split(text):
        begin = text.index(word, position)
        if begin > position:
            pieces.append(text[position:begin])
        tokens.append(len(pieces))
        pieces.append(word)
        position = begin + len(word)
    return [*pieces, *([text[position:]] if position < len(text) else [])], tokens


def _unknown(model: "Model") -> str:
    """Return a character that the model does not know."""
    from elman.tasks.task import inputs

    if model.task_.tokens == "bytes":
        return SUBSTITUTE
    known = model.task_.encoders[inputs(model.task.columns)[0].name].vocabulary
    return next(character for character in map(chr, PRIVATE) if character not in known)


def _log_odds(answer: "Answer", label: str) -> float:
    shares = answer.probabilities or {}
    others: Sequence[float] = [share for name, share in shares.items() if name != label]
    return math.log(max(shares[label], LEAST)) - math.log(max(math.fsum(others), LEAST))


def _log_ratio(answer: "Answer", label: str, other: str) -> float:
    shares = answer.probabilities or {}
    return math.log(max(shares[label], LEAST)) - math.log(max(shares[other], LEAST))
