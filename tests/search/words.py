"""A small labelled file."""

import random
from pathlib import Path


def write_words(path: Path, count: int) -> Path:
    """Words of two kinds: of a and b, or of c and d."""
    draw, rows = random.Random(0), ["text,label"]
    for number in range(count):
        kind, letters = ("vowel", "abx") if number % 2 else ("stop", "cdx")
        rows.append("".join(draw.choice(letters) for _ in range(1 + number % 7)) + f",{kind}")
    path.write_text("\n".join(rows) + "\n")
    return path
