"""The textbook's deep stack of bidirectional LSTMs, with a number for each step as its target.

The textbook predicts the pressure in a ventilator at each step of a breath from the position of a valve. That series is
not among elman's data sets. Here the same network predicts by how much the oil temperature of a transformer (ETTh1) has
changed at each hour of four days since the first hour, from the six loads. The level itself, which follows the season,
is not in the loads. The hours are those usual for ETTh1: 8,640 to train on, 2,880 to validate and 2,880 to test.
"""

import csv
import io
from pathlib import Path

import numpy as np

from elman.data.files import open_unpacked
from elman.data.known.datasets import open_dataset
from elman.recipes.recipe import PLAIN, Parts, Recipe
from elman.tasks.task import Values

HOURS = 96
# A window begins every day in training; those of the other parts do not overlap.
STRIDE = 24
PARTS = {"train": (0, 8640), "validation": (8640, 11520), "test": (11520, 14400)}
LOADS = 6
SIZES = (400, 300, 200, 100)


def read(name: str, data: Path) -> Parts:
    """Return windows of four days, each with its loads and the change of the oil temperature."""
    with open_unpacked(open_dataset(name, data, "etth1")["etth1"]) as stream:
        rows = list(csv.reader(io.StringIO(stream.read().decode(), newline="")))[1:]
    numbers = np.array([[float(field) for field in row[1:]] for row in rows])
    return Parts(*(_windows(numbers, part) for part in PARTS), settings={"tokens": "values"})  # pyright: ignore


def _windows(numbers: np.ndarray, part: str) -> Values:
    begin, end = PARTS[part]
    stride = STRIDE if part == "train" else HOURS
    windows = [numbers[first : first + HOURS] for first in range(begin, end - HOURS + 1, stride)]
    loads, oil = [each[:, :LOADS] for each in windows], [each[:, LOADS] for each in windows]
    changes = [(each - each[0]).tolist() for each in oil]
    return Values({"text": loads, "target": changes}, source=f"ETTh1, hours {begin:,} to {end:,}")


oil_temperature_stack = Recipe(
    name="oil-temperature-stack",
    summary="bidirectional LSTMs of 400, 300, 200 and 100, Dense(50) with SELU, Dense(1) at every step",
    task="regress",
    data=("time-series",),
    read=read,
    settings={
        **{name: value for name, value in PLAIN.items() if name != "wide"},
        "cell": "lstm",
        "layer_sizes": SIZES,
        "bidirectional": True,
        "dense": (50,),
        "activation": "selu",
        "init": "keras",
        "loss": "absolute",
        "epochs": 12,
        "schedule": "cosine",
        "clip_norm": 1.0,
        "checkpoint_seconds": 300,
    },
    source="notebooks on ventilator pressure (Keras), on another series: no figure to compare with",
)
