"""Tokens that a model does not know: read as unknown, counted, and said in one line."""

from dataclasses import dataclass


@dataclass
class UnknownTally:
    """Count the tokens that were read, and those of them that the vocabulary does not have.

    >>> tally = UnknownTally()
    >>> tally.add(tokens=400, unknown=3)
    >>> tally.line("characters")
    '3 of 400 characters (0.75%) are not in the vocabulary and are read as unknown (--unknown refuse names them)'
    """

    tokens: int = 0
    unknown: int = 0

    def add(self, *, tokens: int, unknown: int) -> None:
        """Count more tokens."""
        self.tokens += tokens
        self.unknown += unknown

    def line(self, kind: str) -> str:
        """Return the line for standard error, or "" if every token is known.

        Args:
            kind: of the tokens, in the plural.
        """
        if not self.unknown:
            return ""
        share = 100 * self.unknown / self.tokens
        shown = f"{share:.0f}" if share >= 10 else f"{share:.2g}"
        return (
            f"{self.unknown:,} of {self.tokens:,} {kind} ({shown}%) are not in the vocabulary and are read as "
            "unknown (--unknown refuse names them)"
        )
