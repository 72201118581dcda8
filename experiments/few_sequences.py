"""The ridge of a classifier with few sequences: accuracy on new ones by how the ridges are compared, a line a size.

python -m experiments.few_sequences --seeds 8
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from elman.cells import CELLS
from elman.nn.parts import Parts
from elman.nn.recurrent import Recurrent
from elman.nn.ridge import Solution
from elman.training.readouts import RIDGES
from experiments import run_module

SIZES, TESTED, UNITS = (20, 40, 80, 160), 500, 100


def states(images: Tensor, seed: int) -> Tensor:
    """Return the mean and the largest state of a reservoir that reads images row by row, `(images, 2 · UNITS)`."""
    torch.manual_seed(seed)
    layer = Recurrent(CELLS["reservoir"], images.shape[2], UNITS).eval()
    with torch.no_grad():
        found = layer(images)[0].double()
    return torch.cat([found.mean(1), found.amax(1)], 1)


def accuracies(size: int, seed: int) -> dict[str, float]:
    """Return the accuracy with the least ridge, and with those that either comparison chooses."""
    digits: Any = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(seed))
    features = states(torch.from_numpy(digits.images / 8 - 1).float(), seed)
    labels = torch.from_numpy(digits.target)
    train, test = order[:size], order[-TESTED:]

    def right(solution: Solution) -> float:
        chosen = (features[test] @ solution.weight + solution.bias).argmax(1)
        return float((chosen == labels[test]).double().mean())

    def solved(ridges: Sequence[float], *, scale_free: bool = False) -> Solution:
        parts = Parts(features.shape[1], 10, ridges=ridges, scale_free=scale_free)
        targets = torch.nn.functional.one_hot(labels[train], 10).double()
        parts.add(features[train], targets, lengths=[1] * size)
        return parts.solution()

    return {
        "least ridge": right(solved(RIDGES[:1])),
        "squared error": right(solved(RIDGES)),
        "scale-free": right(solved(RIDGES, scale_free=True)),
    }


def main(given: Sequence[str] | None = None) -> None:
    """Print the mean accuracies for each number of sequences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8, help="number of draws of the data and of the reservoir")
    seeds = range(parser.parse_args(given).seeds)
    for size in SIZES:
        each = [accuracies(size, seed) for seed in seeds]
        means = {name: round(sum(one[name] for one in each) / len(each), 4) for name in each[0]}
        sys.stdout.write(json.dumps({"sequences": size, **means}) + "\n")


if __name__ == "__main__":
    run_module(main)
