"""A table of a network: its layers, the shapes of their outputs, their parameters."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.nn.embedding import Embedding
from elman.nn.recurrent import Recurrent
from elman.nn.state import State

WHOLE = (Recurrent, Embedding)


@dataclass(frozen=True)
class Row:
    """One layer: its name in the model, its kind, the shape of its output, its number of parameters."""

    name: str
    kind: str
    shape: str
    parameters: int


@dataclass(frozen=True)
class Summary:
    """The layers of a network and the number of its parameters; printed, it is a table."""

    rows: tuple[Row, ...]
    parameters: int

    def __str__(self) -> str:
        cells = [("layer", "kind", "output", "parameters")]
        cells += [(row.name, row.kind, row.shape, f"{row.parameters:,}") for row in self.rows]
        cells.append(("total", "", "", f"{self.parameters:,}"))
        widths = [max(len(cell[column]) for cell in cells) for column in range(4)]
        lines = [
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in cells
        ]
        return "\n".join(lines)


def summary(model: nn.Module, *inputs: Any) -> Summary:
    """Run a model on an example, and return its layers with the shapes of their outputs.

    Args:
        model: any module.
        inputs: the inputs of the model. Not needed for a model with a method `example()`, which gives one input or a
            tuple of several.

    Returns:
        One row for each layer, in the order in which they run. In the shapes, `batch` and `time` are any numbers.

    >>> print(summary(Recurrent("lstm", 26, 200), torch.zeros(2, 5, 26)))
    layer  kind       output              parameters
    (all)  lstm(200)  (batch, time, 200)     181,600
    total                                    181,600
    """
    rows: list[Row] = []
    example = None if inputs else model.example()  # type: ignore[operator]
    batch = inputs or (example if type(example) is tuple else (example,))
    layers = [(name, module) for name, module in model.named_modules() if _is_layer(model, module)]
    hooks = [module.register_forward_hook(_recorder(rows, name, batch[0])) for name, module in layers]
    training = model.training
    try:
        with torch.no_grad():
            # Some networks return the input of their heads, and have a method that runs the head too.
            getattr(model.eval(), "answer", model)(*batch)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return Summary(tuple(rows), sum(parameter.numel() for parameter in model.parameters()))


def _is_layer(model: nn.Module, module: nn.Module) -> bool:
    """Return whether a module has a row: one of `WHOLE`, or a module outside them without parts."""
    if isinstance(module, WHOLE):
        return True
    inner = any(module is part for layer in model.modules() if isinstance(layer, WHOLE) for part in layer.modules())
    return not inner and not any(True for _ in module.children())


def _recorder(rows: list[Row], name: str, batch: Any):
    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        # A layer that runs twice is one layer.
        if any(row.name == (name or "(all)") for row in rows):
            return
        count = sum(parameter.numel() for parameter in module.parameters())
        rows.append(Row(name or "(all)", _kind(module), _shape(output, batch), count))

    return record


def _kind(module: nn.Module) -> str:
    if not isinstance(module, Recurrent):
        return type(module).__name__
    words = [
        f"{module.num_layers} layers" if module.num_layers > 1 else "",
        "both ways" if module.bidirectional else "",
    ]
    extra = "".join(f", {word}" for word in words if word)
    return f"{module.cell.name}({module.hidden_size}{extra})"


def _shape(output: Any, batch: Any) -> str:
    if isinstance(output, tuple | list):
        return " and ".join(_shape(part, batch) for part in output if not isinstance(part, State))
    if isinstance(output, Ragged):
        return _named("batch", "time", *output.feature_shape)
    if not isinstance(output, Tensor):
        return type(output).__name__
    if output.dim() == 3 and isinstance(batch, Tensor):
        return _named("batch", "time", *output.shape[2:])
    if isinstance(batch, Ragged) and output.shape[0] == batch.total:
        return _named("batch", "time", *output.shape[1:])
    return _named("batch", *output.shape[1:])


def _named(*axes: object) -> str:
    return f"({', '.join(map(str, axes))})"
