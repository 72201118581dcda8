"""A recipe of a language model with `torch.nn.GRU` in the place of elman's layers: the same text, same windows."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elman.cells import CELLS
from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError, nearest
from elman.language_network import LanguageNetwork
from elman.models import LanguageModel
from elman.network_parts import build_body
from elman.nn.regularisers import SequenceDropout
from elman.nn.state import State
from elman.nn.torch_convert import from_torch
from elman.recipes import RECIPES
from elman.settings import check_settings
from elman.tasks.language import LanguageSettings
from elman.tasks.task import Task
from elman.training.generators import own_generators
from elman.training.progress import progress_for
from experiments import run_module


class TorchBody(nn.Module):
    """Layers of `torch.nn.GRU` where a network expects elman's.

    Windows of streams are equally long but the last of an epoch, after which no state is carried on; so sequences are
    padded, and the last states are those after the padding.

    Args:
        input_size: features of a step.
        hidden_size: of each layer.
        num_layers: one on another.
        dropout: between the layers, the same mask at all steps, as elman's.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, dropout: float = 0.0):
        super().__init__()
        sizes = [input_size, *[hidden_size] * (num_layers - 1)]
        self.layers = nn.ModuleList(nn.GRU(size, hidden_size, batch_first=True) for size in sizes)
        self.dropout = SequenceDropout(dropout)
        # What a run is known by: torch's own cell.
        self.cell = CELLS["gru_reset_after"]
        self.cell_sizes = [(size, hidden_size, {}) for size in sizes]
        self.output_size = hidden_size

    def forward(self, steps: Ragged, state: State | None = None, table: Tensor | None = None) -> tuple[Ragged, State]:
        """As `elman.Recurrent` for a `Ragged` batch."""
        rows = steps if table is None else steps.replace(table[steps.data])
        last = []
        for number, layer in enumerate(self.layers):
            padded = (rows if number == 0 else self.dropout(rows)).to_padded()
            outputs, end = layer(padded, None if state is None else state.tensors["h"][number : number + 1])
            rows = Ragged.from_padded(outputs, rows.lengths)
            last.append(end)
        return rows, State({"h": torch.cat(last)})


class TorchLanguageModel(LanguageModel):
    """A language model on `torch.nn.GRU`; it can be trained, resumed and judged, and is not saved."""

    def _new_network(self, task: Task, cell: Cell | None) -> LanguageNetwork:
        network, settings = super()._new_network(task, cell), task.settings
        with own_generators([], settings.seed):
            body = TorchBody(
                settings.embedding_size, settings.hidden_size, settings.num_layers, dropout=settings.dropout
            )
        network.body = body  # pyright: ignore[reportAttributeAccessIssue]
        return network

    def save(self, *_: Any, **__: Any) -> None:
        """Nothing: a model folder is for elman's own layers."""


class SameStart(TorchLanguageModel):
    """The same from the same weights on elman's layers, which have one bias for the two of torch's r and z."""

    def _new_network(self, task: Task, cell: Cell | None) -> LanguageNetwork:
        network, settings = super()._new_network(task, cell), task.settings
        theirs: Any = network.body
        network.body = build_body(settings.model_copy(update={"cell": theirs.cell.name}), settings.embedding_size)
        with torch.no_grad():
            for number, layer in enumerate(theirs.layers):
                begun = from_torch(layer).weights(0)
                for name, parameter in network.body.weights(number).items():
                    parameter.copy_(begun[name])
        return network


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and judges, and prints one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m experiments.torch_language", description=__doc__)
    parser.add_argument("name", help="a recipe of a language model with a GRU")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--out", type=Path, help="folder for checkpoints")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--elman", action="store_true", help="elman's layers, from the weights that torch's begin with")
    given = parser.parse_args(arguments)
    recipe = RECIPES.get(given.name)
    names = [name for name, each in RECIPES.items() if each.task == "language"]
    if recipe is None or given.name not in names:
        raise UsageError(f"There is no recipe `{given.name}` of a language model.", fix=nearest(given.name, names))
    settings = check_settings(LanguageSettings, recipe.settings)
    if settings.cell != "gru" or settings.weight_drop or settings.zoneout:
        raise UsageError(
            f"The network of `{given.name}` cannot be had with torch.nn.GRU: it has another cell, weight drop or "
            "zoneout.",
            fix="Give a recipe of a plain GRU, as wiki-chars-gru.",
        )
    result = recipe.run(
        given.data,
        seed=given.seed,
        epochs=given.epochs,
        folder=given.out,
        resume=given.resume,
        listener=progress_for(sys.stderr),
        kind=SameStart if given.elman else TorchLanguageModel,
    )
    sys.stdout.write(json.dumps({**result, "layers": "elman" if given.elman else "torch.nn.GRU"}) + "\n")


if __name__ == "__main__":
    run_module(main)
