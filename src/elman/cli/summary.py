"""`elman summary`: the layers of a model."""

import dataclasses

import typer

from elman.cli.commands import add
from elman.cli.options import AsJson, Model
from elman.cli.output import emit, emit_json


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add(app, summary, "elman summary words-model", "elman summary words-model --json")


def summary(model: Model, as_json: AsJson = False) -> None:
    """Show the layers of a model: output shapes and parameters."""
    from elman.models import open_task_model
    from elman.nn.summary import summary as summarise

    found = summarise(open_task_model(model).model_)
    if as_json:
        layers = [dataclasses.asdict(row) for row in found.rows]
        emit_json({"model": str(model), "layers": layers, "parameters": found.parameters})
    else:
        emit(str(found))
