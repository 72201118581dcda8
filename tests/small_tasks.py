"""A small trained model of each task with answers to rows, and a file of rows to predict."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from elman.cli.app import run

LETTERS = ("ab", "cd")
ROWS = 520


class Case(NamedTuple):
    """A task with its files.

    Attributes:
        task: its name.
        train: endings and contents of the training files.
        flags: of the training.
        asked: ending and content of the file to predict.
        options: of the prediction.
    """

    task: str
    train: Sequence[tuple[str, str]]
    flags: Sequence[object]
    asked: tuple[str, str]
    options: Sequence[object] = ()


def _words(count: int) -> list[str]:
    draw = random.Random(count)
    texts = (" ".join(draw.choices(LETTERS[n % 2], k=1 + n % 4)) for n in range(count))
    return list(texts)


def _pairs(count: int) -> list[tuple[str, str]]:
    first, second = _words(count), _words(count + 1)[1:]
    return list(zip(first, second, strict=True))


def _sentences(count: int) -> str:
    return "\n".join("".join(f"{word}\t{word in 'ab'}\n" for word in each.split()) for each in _words(count)) + "\n"


def _series(count: int, *, labelled: bool) -> str:
    draw = random.Random(count)
    rows = []
    for number in range(count):
        values = [str(round(draw.random(), 3)) for _ in range(5 + number % 3)] + [""] * (2 - number % 3)
        rows.append(",".join([*([str(number % 2)] if labelled else []), *values]))
    return "\n".join(rows) + "\n"


def _steps(count: int) -> str:
    rows = [f"s{series},{step % 4 + series / 100}" for series in range(count) for step in range(20 + series % 3)]
    return "\n".join(["series,load", *rows]) + "\n"


CASES = {
    "pairs": Case(
        "compare",
        [("csv", "first,second,label\n" + "".join(f"{a},{b},{len(a) > len(b)}\n" for a, b in _pairs(60)))],
        ("--hidden-size", 4, "--embedding", 4),
        ("csv", "first,second\n" + "".join(f'"{a}\n",{b}\n' for a, b in _pairs(ROWS))),
    ),
    "translations": Case(
        "translate",
        [("src", "\n".join(_words(60))), ("tgt", "\n".join(each.upper() for each in _words(60)))],
        ("--hidden-size", 4, "--embedding", 4),
        ("src", "\n".join(_words(ROWS))),
        ("--max-length", 5),
    ),
    "sentences": Case(
        "tag", [("txt", _sentences(60))], ("--hidden-size", 4, "--embedding", 4), ("txt", _sentences(ROWS))
    ),
    "sentences in JSONL": Case(
        "tag",
        [("txt", _sentences(60))],
        ("--hidden-size", 4, "--embedding", 4),
        ("jsonl", "".join(json.dumps({"words": each.split()}) + "\n" for each in _words(ROWS))),
    ),
    "series": Case(
        "classify", [("csv", _series(60, labelled=True))], ("--hidden-size", 4), ("csv", _series(ROWS, labelled=True))
    ),
    "forecasts": Case(
        "forecast",
        [("csv", _steps(6))],
        ("--time", "none", "--horizon", 3, "--window", 8, "--hidden-size", 4),
        ("csv", _steps(ROWS // 4)),
    ),
}


def prepared(name: str, folder: Path) -> tuple[Path, Path]:
    """Train the model of a case, and return its folder and the file of rows to predict."""
    case, paths = CASES[name], []
    for number, (ending, content) in enumerate(case.train):
        paths.append(folder / f"train-{number}.{ending}")
        paths[-1].write_text(content)
    asked = folder / f"asked.{case.asked[0]}"
    asked.write_text(case.asked[1])
    words = ["train", case.task, *paths, "--out", folder / "model", *case.flags, "--epochs", 1, "--baseline", "off"]
    assert run(list(map(str, words))) == 0
    return folder / "model", asked
