"""Recipes of long memory with other settings, one JSON object a run with the seconds of the processor.

python -m experiments.long_memory adding-rnn learning_rate=0.003 epochs=40 --seeds 5
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import torch

from elman.recipes import RECIPES
from experiments import run_module

KEPT = ("accuracy", "within_tolerance", "rmse", "loss", "training_losses", "seconds", "seed")


def measure(name: str, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Run a recipe with other settings.

    Args:
        name: of the recipe.
        settings: in place of those of the recipe.
        seed: of the run.

    Returns:
        Its scores on the test part, and `processor_seconds` of training and evaluation.
    """
    recipe = RECIPES[name]
    changed = replace(recipe, settings={**recipe.settings, **settings})
    begin = process_time()
    found = changed.run(Path(), seed=seed)
    scores = {each: found[each] for each in KEPT if each in found}
    return {"recipe": name, **settings, **scores, "processor_seconds": round(process_time() - begin, 1)}


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def main(given: Sequence[str] | None = None) -> None:
    """Print a line for each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="settings in place of the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="number of runs")
    parser.add_argument("--threads", type=int, default=1, help="threads to compute with")
    options = parser.parse_args(given)
    torch.set_num_threads(options.threads)
    for seed in range(options.seed, options.seed + options.seeds):
        found = measure(options.recipe, dict(map(_setting, options.settings)), seed)
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    run_module(main)
