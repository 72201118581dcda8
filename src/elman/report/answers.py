"""Parts of a report about single answers: how reliable their probabilities are, and the words that spoke for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from elman.report.figures import on_one_line
from elman.report.parts import Examples, Part

TERMINAL_WORDS = 6


@dataclass(frozen=True)
class Reliability(Part):
    """The share of right answers among answers of about the same probability.

    Attributes:
        bins: of each bin its range, and the number of answers, their mean probability, and the share that is right.
        remark: a sentence on all of them.
    """

    kind: ClassVar[str] = "reliability"
    bins: Sequence[tuple[str, tuple[int, float, float]]]
    remark: str = ""

    @property
    def filled(self) -> list[tuple[str, int, float, float]]:
        """The bins that have answers."""
        return [(name, *values) for name, values in self.bins if values[0]]

    def lines(self) -> Iterator[str]:
        """Yield nothing: a terminal shows the calibration error among the scores."""
        return iter(())


@dataclass(frozen=True)
class Explained(Examples):
    """Wrong answers with the pieces of each text that spoke for the answer or for the truth.

    Attributes:
        pieces: of each row, in the order of the text: each with its weight, positive where it spoke for the answer,
            negative where it spoke for the truth, zero where it does neither; none where the text has no tokens.
    """

    kind: ClassVar[str] = "explained"
    pieces: Sequence[Sequence[tuple[str, float]]] = ()

    @property
    def coloured(self) -> list[tuple[list[tuple[str, str, float]], list[str]]]:
        """Of each row the pieces with a class and a strength from 0 to 1, and the other fields."""
        found = []
        for (text, *others), pieces in zip(self.shown, self.pieces, strict=True):
            largest = max((abs(weight) for _, weight in pieces), default=0.0) or 1.0
            marked = [(piece, "wrong" if weight > 0 else "right", abs(weight) / largest) for piece, weight in pieces]
            found.append((marked or [(text, "right", 0.0)], others))
        return found

    def lines(self) -> Iterator[str]:
        """Yield the rows, each with its strongest words on two lines below."""
        for row, pieces in zip(self.shown, self.pieces, strict=True):
            text, truth, answer, probability = map(on_one_line, row)
            yield f"{text}"
            yield f"  answer {answer} ({probability}){_strongest(pieces, 1)}"
            yield f"  truth  {truth}{_strongest(pieces, -1)}"


def _strongest(pieces: Sequence[tuple[str, float]], sign: int) -> str:
    found = sorted(((sign * weight, piece) for piece, weight in pieces if sign * weight > 0), reverse=True)
    words = ", ".join(f"{on_one_line(piece)} {weight:.2f}" for weight, piece in found[:TERMINAL_WORDS])
    return f": {words}" if words else ""
