"""`elman summary`: the layers of a model."""

import dataclasses

import typer

from elman.cli.options import AsJson, Model, examples
from elman.cli.output import emit, emit_json


def register(app: typer.Typer) -> None:
    """Adds the command to the app."""
    app.command(epilog=examples("elman summary words-model", "elman summary words-model --json"))(summary)


def summary(model: Model, as_json: AsJson = False) -> None:
    """Show the layers of a model: names, output shapes and parameters."""
    from elman.models import open_model
    from elman.nn.summary import summary as summarise

    found = summarise(open_model(model).model_)
    if as_json:
        layers = [dataclasses.asdict(row) for row in found.rows]
        emit_json({"model": str(model), "layers": layers, "parameters": found.parameters})
    else:
        emit(str(found))
