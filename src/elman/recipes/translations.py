"""Texts from texts: captions from English to German, dates to ISO 8601, numbers to words, a decoder half forced."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elman.data.known.datasets import open_dataset
from elman.recipes.dates import date_parts
from elman.recipes.recipe import Parts, Recipe
from elman.tasks.task import Values
from elman.tasks.translate import Translate

ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def read_captions(name: str, data: Path) -> Parts:
    """Return the captions of multi30k in English and German."""
    paths = open_dataset(name, data)
    train, validation, test = (_captions(paths, part) for part in ("train", "validation", "test"))
    return Parts(train, validation, test)


def _captions(paths: Mapping[str, Path], part: str) -> Values:
    return Translate.source.read([str(paths[f"{part}-{side}"]) for side in ("en", "de")], Translate.columns, {})


def read_dates(name: str, data: Path) -> Parts:
    """Return generated dates."""
    train, validation, test = date_parts(12_000, 1_000)
    return Parts(train, validation, test)


def words_of(number: int) -> str:
    """Return a number below a million in English words.

    >>> words_of(0), words_of(42), words_of(907_015)
    ('zero', 'forty-two', 'nine hundred seven thousand fifteen')
    """
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    return f"{words_of(number // size)} {name}" + (f" {words_of(number % size)}" if number % size else "")


def read_numbers(name: str, data: Path) -> Parts:
    """Return numbers of one to six digits with their words, each number in one part."""
    draw = random.Random(0)
    drawn = {draw.randrange(10 ** draw.randint(1, 6)) for _ in range(16_000)}
    numbers = sorted(drawn)
    draw.shuffle(numbers)
    return Parts(_numbers(numbers[2_000:]), _numbers(numbers[:1_000]), _numbers(numbers[1_000:2_000]))


def _numbers(numbers: list[int]) -> Values:
    columns = {"source": [str(number) for number in numbers], "target": [words_of(number) for number in numbers]}
    return Values(columns, source=f"{len(numbers):,} numbers")


def read_toy(name: str, data: Path) -> Parts:
    """Return short sentences with each word reversed, to learn and to be scored on."""
    words = ("the", "dog", "ate", "an", "apple", "and", "saw", "that", "book")
    draw = random.Random(0)
    sentences = [" ".join(draw.choices(words, k=draw.randint(2, 6))) for _ in range(400)]
    parts = []
    for begin, end in ((0, 300), (300, 400)):
        columns = {
            "source": sentences[begin:end],
            "target": [" ".join(word[::-1] for word in each.split()) for each in sentences[begin:end]],
        }
        parts.append(Values(columns, source=f"{end - begin} sentences"))
    return Parts(parts[0], None, parts[1])


SMALL: dict[str, Any] = {
    "tokens": "characters",
    "hidden_size": 128,
    "embedding": 64,
    "input_dropout": 0.0,
    "output_dropout": 0.1,
    "checkpoint_seconds": 300,
}

translate_en_de = Recipe(
    name="translate-en-de",
    summary="captions from English to German; subwords, BiGRU encoder, attention, two GRU layers",
    task="translate",
    data=("multi30k",),
    read=read_captions,
    settings={
        "tokens": "subwords",
        "max_tokens": 8000,
        "hidden_size": 384,
        "output_dropout": 0.4,
        "epochs": 12,
        "metric": "bleu",
        "checkpoint_seconds": 300,
    },
    reported={"bleu": 33.0},
    source="recurrent networks with attention on this test set reach 33 to 35 (cased, detokenised)",
    options={"beam": 5},
)

translate_dates = Recipe(
    name="translate-dates",
    summary="dates as people write them, to ISO 8601; characters, BiGRU(128), attention, two GRU layers",
    task="translate",
    data=(),
    read=read_dates,
    settings={**SMALL, "epochs": 4, "metric": "exact", "learning_rate": 4e-3},
    reported={"exact": 0.99},
    source="the aim of this project",
    options={"beam": 1},
)

translate_numbers = Recipe(
    name="translate-numbers",
    summary="numbers below a million to English words; characters, BiGRU(128), attention, two GRU layers",
    task="translate",
    data=(),
    read=read_numbers,
    settings={**SMALL, "joint": False, "target_tokens": "words", "split": "blanks", "epochs": 12, "metric": "exact"},
    options={"beam": 1},
)

translate_toy_forcing = Recipe(
    name="translate-toy-forcing",
    summary="a decoder of at most 15 tokens that reads its own token half of the time; words, GRU(64), attention",
    task="translate",
    threads=1,
    data=(),
    read=read_toy,
    settings={
        **SMALL,
        "tokens": "words",
        "hidden_size": 64,
        "embedding": 32,
        "output_dropout": 0.0,
        "label_smoothing": 0.0,
        "max_target_length": 15,
        "teacher_forcing": 0.5,
        "forcing_unit": "sequence",
        "feedback": "greedy",
        "epochs": 30,
        "batch_size": 16,
    },
    source="PyTorch tutorial on translation with a sequence to sequence network and attention",
    options={"beam": 1, "max_length": 15},
)
