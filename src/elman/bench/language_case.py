"""Language models as cases: the textbook's network over Wikipedia's characters, trained and writing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

GROUP = "language"
BUILT_IN, OWN = "gru", "own_gru.py:own_gru"
TRAINING, GENERATING = "training", "generating"

# The textbook's sizes, and the characters of enwik8-prefix; a case of other sizes says so in its name.
SIZES: Mapping[str, int] = MappingProxyType({"b": 512, "t": 100, "i": 300, "h": 300, "a": 1523})
LAYERS = 2
# As in the recipes: an adaptive softmax with so many characters in its head, for alphabets of many more.
FREQUENT, SMALLEST_ADAPTIVE = 128, 512


@dataclass(frozen=True)
class LanguageCase:
    """One batch of training, or one character of writing.

    The network: an embedding of `input_size`, two recurrent layers, a softmax over the whole alphabet; that of the
    recipes, with nothing dropped.

    Args:
        kind: `wiki-chars-gru`, `wiki-chars-own-gru` or `language-generate`.
        batch: parallel streams of the text.
        steps: characters of a window.
        input_size: features of an embedded character.
        hidden_size: of each recurrent layer.
        alphabet: different characters.
    """

    kind: str
    batch: int = SIZES["b"]
    steps: int = SIZES["t"]
    input_size: int = SIZES["i"]
    hidden_size: int = SIZES["h"]
    alphabet: int = SIZES["a"]
    ragged: bool = False

    @property
    def name(self) -> str:
        """The name of the case, which `parse_language` reads: its kind, and the sizes that are not the textbook's."""
        usual = _usual(self.kind)
        return self.kind + "".join(
            f"-{letter}{size}" for letter, size in self._sizes().items() if size != usual[letter]
        )

    @property
    def cell(self) -> str:
        """Name of the built-in cell, or the file and name of a user's cell."""
        return OWN if self.kind == "wiki-chars-own-gru" else BUILT_IN

    @property
    def mode(self) -> str:
        """`training`: forward, backward and the optimiser's step; `generating`: a character read and the next drawn."""
        return GENERATING if self.kind == "language-generate" else TRAINING

    @property
    def layers(self) -> int:
        """Recurrent layers, one on another."""
        return LAYERS

    @property
    def characters(self) -> int:
        """Read in one run."""
        return self.batch * self.steps

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """Of the adaptive softmax; none where the softmax is a full one."""
        return (FREQUENT,) if self.alphabet >= SMALLEST_ADAPTIVE else ()

    @property
    def operations(self) -> float:
        """Useful floating-point operations: those of the matrix products, the head's among them.

        Of an adaptive softmax only those that every character needs are counted.
        """
        recurrent = (self.input_size + (2 * LAYERS - 1) * self.hidden_size) * 3 * self.hidden_size
        passes = 3 if self.mode == TRAINING else 1
        scores = self.cutoffs[0] + len(self.cutoffs) if self.cutoffs else self.alphabet
        return 2.0 * passes * self.characters * (recurrent + self.hidden_size * scores)

    def _sizes(self) -> dict[str, int]:
        sizes = self.batch, self.steps, self.input_size, self.hidden_size, self.alphabet
        return dict(zip(SIZES, sizes, strict=True))


KINDS = ("wiki-chars-gru", "wiki-chars-own-gru", "language-generate")
NAME = re.compile(
    rf"(?P<kind>{'|'.join(KINDS)})" + "".join(rf"(?:-{letter}(?P<{letter}>[1-9]\d*))?" for letter in SIZES)
)


def _usual(kind: str) -> dict[str, int]:
    return dict(SIZES) | ({"b": 1, "t": 1} if kind == "language-generate" else {})


def parse_language(name: str) -> LanguageCase | None:
    """Return the case of a name, also of other sizes, or None.

    >>> parse_language("wiki-chars-gru-b8-a205").name
    'wiki-chars-gru-b8-a205'
    """
    found = NAME.fullmatch(name)
    if found is None:
        return None
    batch, steps, input_size, hidden_size, alphabet = (
        int(found[letter] or usual) for letter, usual in _usual(found["kind"]).items()
    )
    case = LanguageCase(found["kind"], batch, steps, input_size, hidden_size, alphabet)
    return None if case.mode == GENERATING and case.characters > 1 else case


LANGUAGE_CASES: dict[str, LanguageCase] = {
    case.name: case for case in (parse_language(kind) for kind in KINDS) if case is not None
}
