"""What is measured: cells, shapes and modes; a case's name says all of it."""

import difflib
import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

from elman.bench.language_case import GROUP, LANGUAGE_CASES, LanguageCase, parse_language
from elman.bench.news_case import NEWS_CASES, NewsCase
from elman.bench.series_case import SERIES_CASES, SeriesCase
from elman.bench.translation_case import TRANSLATION_CASES, TranslationCase
from elman.errors import UsageError

# How many matrices of each kind (input and recurrent) the cell multiplies at every step.
GATES = {"gru": 3, "gru_reset_after": 3, "lstm": 4}
MODES = ("forward", "forward+backward", "streaming")
STREAMING_LAYERS = 2

NAME = re.compile(
    rf"(?P<cell>{'|'.join(GATES)})-b(?P<batch>\d+)-t(?P<steps>\d+)-i(?P<input_size>\d+)-h(?P<hidden_size>\d+)"
    rf"(?P<ragged>-ragged)?-(?P<mode>{'|'.join(map(re.escape, MODES))})"
)


@dataclass(frozen=True)
class Case:
    """One piece of work.

    Args:
        cell: `gru` (reset before the product), `gru_reset_after` (torch's) or `lstm`.
        batch: sequences.
        steps: of each sequence; of the longest possible one if `ragged`.
        input_size: features of the input.
        hidden_size: size of the states.
        mode: `forward`: outputs only, no gradients; `forward+backward`: gradients of the input and of all parameters
            too; `streaming`: two layers, fed one step at a time.
        ragged: lengths are drawn uniformly from 1 … steps.
    """

    cell: str
    batch: int
    steps: int
    input_size: int
    hidden_size: int
    mode: str
    ragged: bool = False

    @property
    def name(self) -> str:
        """The name of the case, which `parse` reads."""
        sizes = f"b{self.batch}-t{self.steps}-i{self.input_size}-h{self.hidden_size}"
        return f"{self.cell}-{sizes}{'-ragged' * self.ragged}-{self.mode}"

    @property
    def layers(self) -> int:
        """Recurrent layers, one on another."""
        return STREAMING_LAYERS if self.mode == "streaming" else 1

    @cached_property
    def lengths(self) -> list[int]:
        """Steps of each sequence."""
        draw = Random(0)
        return [draw.randint(1, self.steps) if self.ragged else self.steps for _ in range(self.batch)]

    @property
    def weights(self) -> int:
        """Numbers in all matrices."""
        inputs = self.input_size + (self.layers - 1) * self.hidden_size
        return (inputs + self.layers * self.hidden_size) * self.hidden_size * GATES[self.cell]

    @property
    def operations(self) -> float:
        """Useful floating-point operations: those of the matrix products, of steps that exist."""
        passes = 3 if self.mode == "forward+backward" else 1
        return 2.0 * passes * sum(self.lengths) * self.weights


def parse(name: str) -> Case | None:
    """Return the case of a name, also of sizes that are not listed, or None.

    >>> parse("lstm-b4-t7-i3-h5-ragged-forward")
    Case(cell='lstm', batch=4, steps=7, input_size=3, hidden_size=5, mode='forward', ragged=True)
    """
    found = NAME.fullmatch(name)
    if found is None:
        return None
    sizes = {part: int(found[part]) for part in ("batch", "steps", "input_size", "hidden_size")}
    case = Case(found["cell"], **sizes, mode=found["mode"], ragged=bool(found["ragged"]))
    one_step = (case.batch, case.steps, case.ragged) == (1, 1, False)
    return case if all(sizes.values()) and (case.mode != "streaming" or one_step) else None


DENSE = ((10, 10, 26, 200), (16, 40, 64, 64), (32, 100, 300, 300), (64, 200, 512, 512), (512, 100, 300, 300))
RAGGED = ((32, 100, 64, 128), (32, 400, 64, 128), (8, 2000, 64, 64))
# Series of numbers: few features, many steps.
SERIES = ((16, 400, 4, 64), (32, 1344, 1, 64))
STREAMING = ((1, 1, 128, 128), (1, 1, 512, 512), (1, 1, 1024, 1024))


def _listed() -> list[Case]:
    whole = [Case(cell, *shape, mode) for shape in DENSE for cell in GATES for mode in MODES[:2]]
    ragged = [Case(cell, *shape, mode) for shape in (*RAGGED, *SERIES) for cell in GATES for mode in MODES[:2]]
    streaming = [Case(cell, *shape, MODES[2]) for shape in STREAMING for cell in GATES]
    return [*whole, *(replace(case, ragged=True) for case in ragged), *streaming]


CASES: dict[str, Case] = {case.name: case for case in _listed()}
AnyCase = Case | LanguageCase | NewsCase | SeriesCase | TranslationCase
LISTED: dict[str, AnyCase] = {**CASES, **LANGUAGE_CASES, **NEWS_CASES, **SERIES_CASES, **TRANSLATION_CASES}


def find_cases(words: Sequence[str]) -> list[AnyCase]:
    """Return the cases that the words name, or all that are listed if there are no words.

    Args:
        words: names, also of cases that are not listed; patterns with * and ? of listed names; `language`, which means
            all cases of language models.

    Raises:
        UsageError: names each word that means no case, with the nearest that does.
    """
    found: dict[str, AnyCase] = {}
    problems = []
    for word in words or ["*"]:
        cases = _meant(word)
        found.update({each.name: each for each in cases})
        if not cases:
            near = difflib.get_close_matches(word, [*LISTED, GROUP], n=1, cutoff=0.0)
            problems.append((word, near[0]))
    if problems:
        raise UsageError(
            f"There is no case {' and none '.join(f'`{word}`' for word, _ in problems)}.",
            fix=f"Did you mean {' and '.join(f'`{name}`' for _, name in problems)}? See: elman bench --list",
        )
    return list(found.values())


def _meant(word: str) -> list[AnyCase]:
    if word == GROUP:
        return list(LANGUAGE_CASES.values())
    case = parse(word) or parse_language(word)
    return [case] if case else [LISTED[name] for name in fnmatch.filter(LISTED, word)]
