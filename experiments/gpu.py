"""Figures of a GPU: what is found, whether models learn there what they learn on the CPU, and how fast.

`python -m experiments.gpu --device cuda` takes at most eight minutes and prints a JSON object a line; parts that do not
fit into `--seconds` are named as left out. With `--device cpu` it tries itself out.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch

from elman.bench.cases import find_cases
from elman.bench.run import Machine, run_case
from elman.cli.doctor import examine
from elman.devices import find_device
from elman.errors import MemoryFullError
from elman.models import LanguageModel, Model, SequenceClassifier, SequenceTagger
from elman.training import TrainingInterrupted
from elman.training.listener import BatchEvent, Silent

SECONDS = 450.0
CASES = (
    "gru-b64-t100-i256-h256-forward+backward",
    "lstm-b64-t100-i256-h512-forward+backward",
    "gru_reset_after-b64-t100-i256-h512-ragged-forward+backward",
    "lstm-b64-t100-i256-h512-ragged-forward",
)
WORDS = [f"w{number % 97}" for number in range(60_000)]
TEXTS = [" ".join(WORDS[start : start + 5 + start % 71]) for start in range(0, 57_000, 30)]
LABELS = [str(number % 4) for number in range(len(TEXTS))]
BOOK = " ".join(WORDS) * 4
SIZES: dict[str, dict[str, Any]] = {
    "small": {"hidden_size": 64, "num_layers": 1},
    "large": {"hidden_size": 512, "num_layers": 2},
}


class Stop(Silent):
    """Interrupts the run in its second epoch."""

    def batch(self, event: BatchEvent) -> None:
        """Stop after the second minibatch."""
        if (event.epoch, event.batch) == (2, 2):
            raise RuntimeError("stopped")


def found() -> dict[str, Any]:
    """Return the findings of `elman doctor`."""
    return {each.part: each.found for each in examine()}


def models(device: str, **settings: Any) -> Iterator[tuple[Model, tuple[Any, ...]]]:
    """Yield a model of each kind on a device, with the data to fit it on."""
    how = {"epochs": 2, "seed": 3, "device": device, **settings}
    few = TEXTS[:200], LABELS[:200]
    words = [text.split() for text in few[0]]
    yield SequenceClassifier(**{"wide": "off", "tokens": "words", "embedding": 16, **how}), few
    yield SequenceTagger(**{"embedding": 16, "crf": True, **how}), (words, [[w[-1] for w in row] for row in words])
    yield LanguageModel(**{"embedding_size": 16, "streams": 16, "window": 50, **how}), (BOOK[:100_000],)


def agreement(device: str, precision: str) -> dict[str, Any]:
    """Return the losses of models that learned on the device and on the CPU, without dropout."""
    plain = {"hidden_size": 32, "output_dropout": 0.0, "input_dropout": 0.0}
    sides = [models(device, precision=precision, **plain), models("cpu", **plain)]
    result = {}
    for (model, data), (other, _) in zip(*sides, strict=True):
        losses = [each.fit(*data).history_.epochs[-1].loss for each in (model, other)]
        result[type(model).__name__] = losses
    return result


def resumed(device: str) -> dict[str, Any]:
    """Return the largest difference of the weights of a run that was stopped and resumed from an unbroken one."""
    how = {"hidden_size": 32, "epochs": 3, "checkpoint_batches": 1, "wide": "off", "device": device}
    data = TEXTS[:300], LABELS[:300]
    whole = SequenceClassifier(**how).fit(*data)
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.suppress(RuntimeError, TrainingInterrupted):
            SequenceClassifier(**how).fit(*data, folder=folder, listener=Stop())
        again = SequenceClassifier(**how).fit(*data, folder=folder, resume=True)
    others = again.model_.state_dict()
    gaps = [(value - others[name]).abs().max().item() for name, value in whole.model_.state_dict().items()]
    return {"largest difference": max(gaps)}


def pace(device: str, size: str, precision: str) -> dict[str, Any]:
    """Return the tokens a second of training, and the peak of the GPU's memory."""
    result: dict[str, Any] = {}
    how = {**SIZES[size], "epochs": 2, "device": device, "precision": precision}
    classifier = SequenceClassifier(**how, wide="off", tokens="words", embedding=256, batch_size=128)
    language = LanguageModel(**how, embedding_size=256, streams=128, window=100)
    for model, data in ((classifier, (TEXTS, LABELS)), (language, (BOOK,))):
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
        model.fit(*data)
        name = type(model).__name__
        result[f"{name} tokens/s"] = round(model.history_.epochs[-1].tokens_per_second)
        if device.startswith("cuda"):
            result[f"{name} GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return result


def layers(device: str, case: str) -> dict[str, Any]:
    """Return the times of a case of `elman bench`."""
    return run_case(find_cases([case])[0], Machine(), repeat=10, seconds=1.0, device=find_device(device)).record()


def full(device: str) -> dict[str, Any]:
    """Return the message of a minibatch that no memory holds."""
    if device == "cpu":
        return {"message": "left out on the CPU"}
    model = SequenceClassifier(hidden_size=60_000, tokens="words", batch_size=512, wide="off", device=device, epochs=1)
    try:
        model.fit(TEXTS, LABELS)
    except (MemoryFullError, torch.OutOfMemoryError) as error:
        return {"message": str(error)}
    return {"message": None}


def main() -> None:
    """Run the parts in order, until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--out", type=Path, help="also write the lines to this file")
    given = parser.parse_args()
    device, end = given.device, time.monotonic() + given.seconds
    parts: dict[str, Callable[[], dict[str, Any]]] = {"found": found}
    for precision in ("float32", "bfloat16"):
        parts[f"losses {precision}"] = lambda precision=precision: agreement(device, precision)
    parts["resumed"] = lambda: resumed(device)
    parts |= {case: lambda case=case: layers(device, case) for case in CASES}
    for size, precision in product(SIZES, ("float32", "bfloat16")):
        parts[f"pace {size} {precision}"] = lambda size=size, precision=precision: pace(device, size, precision)
    parts["full memory"] = lambda: full(device)
    for name, part in parts.items():
        begun = time.monotonic()
        result = part() if begun < end else {"left out": "the time is over"}
        line = json.dumps({"part": name, **result, "seconds": round(time.monotonic() - begun, 1)})
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        if given.out:
            with given.out.open("a") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
