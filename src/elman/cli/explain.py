"""`elman explain`: what the compiler makes of a cell or of a model's layers."""

from pathlib import Path
from typing import Annotated, Any

import typer

from elman.cli.commands import add
from elman.cli.options import AsJson
from elman.cli.output import emit, emit_json
from elman.errors import UsageError, nearest

What = Annotated[
    str,
    typer.Argument(
        metavar="CELL|MODEL",
        show_default=False,
        help="One of elman's cells, your own as FILE.py:NAME, or a model folder.",
    ),
]
INPUT_SIZE, HIDDEN_SIZE = 64, 128


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add(app, explain, "elman explain lstm", "elman explain cells.py:mine --hidden-size 300", "elman explain my-model")


def explain(
    what: What,
    input_size: Annotated[
        int | None,
        typer.Option("--input-size", min=1, metavar="N", show_default=False, help="Features of a cell's input. [64]"),
    ] = None,
    hidden_size: Annotated[
        int | None,
        typer.Option("--hidden-size", min=1, metavar="N", show_default=False, help="Size of a cell's states. [128]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how a cell is compiled and which target runs it.

    For a cell, or for each recurrent layer of a model: the graph of the step, what is computed before, inside and after
    the loop over time, what is fused and what is saved for the backward step, the backward step itself, and the memory
    of both.
    """
    from elman.cells import CELLS

    if what in CELLS or ".py" in what:
        layers = _layers_of_cell(what, input_size or INPUT_SIZE, hidden_size or HIDDEN_SIZE)
    elif not Path(what).exists():
        raise UsageError(
            f"`{what}` is neither a cell nor a model folder.",
            fix=f"{nearest(what, CELLS)} Your own cell is FILE.py:NAME.",
        )
    elif input_size or hidden_size:
        raise UsageError("A model has its own sizes.", fix="Leave out --input-size and --hidden-size.")
    else:
        layers = _layers_of_model(Path(what))
    if as_json:
        emit_json({"explained": what, "layers": [record for record, _ in layers]})
        return
    emit("\n\n\n".join(text for _, text in layers))


def _layers_of_cell(name: str, input_size: int, hidden_size: int) -> list[tuple[dict[str, Any], str]]:
    from elman.cells.from_file import open_cell
    from elman.nn.recurrent import Recurrent

    cell = open_cell(name)
    constants = dict.fromkeys(cell.constants, hidden_size)
    return _layers_of("", Recurrent(cell, input_size, hidden_size, constants=constants))


def _layers_of_model(folder: Path) -> list[tuple[dict[str, Any], str]]:
    from elman.models import open_task_model
    from elman.nn.recurrent import Recurrent

    model = open_task_model(folder).model_
    parts = [(name, part) for name, part in model.named_modules() if isinstance(part, Recurrent)]
    if not parts:
        raise UsageError("This model has no recurrent layer.", where=str(folder), fix="See its layers: elman summary")
    return [layer for name, part in parts for layer in _layers_of(f"{name} ", part)]


def _layers_of(prefix: str, recurrent: Any) -> list[tuple[dict[str, Any], str]]:
    """Return for each layer of a stack its explanation as a record and as text."""
    from elman.compiler.explain import Explanation

    found = []
    for number, (input_size, hidden_size, constants) in enumerate(recurrent.cell_sizes):
        explanation = Explanation(recurrent.cell.trace(input_size, hidden_size, constants))
        layer = f"{prefix}layer {number}" if prefix or len(recurrent.cell_sizes) > 1 else ""
        target, _, reason = recurrent.explain().partition(": ")
        record = {
            "layer": layer or None,
            "cell": recurrent.cell.name,
            "input_size": input_size,
            "hidden_size": hidden_size,
            "bidirectional": recurrent.bidirectional,
            "target": target,
            "reason": reason,
        }
        both = ", in both directions with weights of their own" if recurrent.bidirectional else ""
        title = f"{layer + ': ' if layer else ''}{recurrent.cell.name}, input {input_size}, hidden {hidden_size}{both}"
        note = "" if target == "llvm" else "\n  What follows is how compiled kernels run it."
        text = f"{title}\n\nRun by\n  {target}: {reason}{note}\n\n{explanation}"
        found.append((record | explanation.record(), text))
    return found
