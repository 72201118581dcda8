"""The description of a fitted model: its configuration, its card and the commands that use it."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.cells.archive import cell_to_json
from elman.models.card import write_card
from elman.nn.reservoir_body import ReservoirBody
from elman.settings import summary_of
from elman.settings.training import MACHINE_SETTINGS

if TYPE_CHECKING:
    from elman.models.model import Model


def config_of(model: "Model") -> dict[str, Any]:
    """Return the configuration of a fitted model, as its folder keeps it."""
    settings = model.task_.settings
    return {
        "task": model.task_.name,
        "settings": settings.model_dump(mode="json", exclude=set(MACHINE_SETTINGS)),
        "unresolved": settings.model_copy(update=model.unresolved_).model_dump(
            mode="json", include=model.unresolved_.keys() - MACHINE_SETTINGS
        ),
        "cell": archive_cell(model.model_),
        "history": model.history_.to_json(),
        "table": None if model.table_format_ is None else model.table_format_.to_json(),
        "temperature": model.task_.temperature,
    }


def card_of(
    model: "Model",
    name: str,
    data: Mapping[str, Any],
    scores: Mapping[str, float],
    command: str | None,
    use: Sequence[str],
) -> str:
    """Return the card of a fitted model, with the arguments of `Model.save`."""
    fields = model.task.settings_class.model_fields
    return write_card(
        name=name,
        summary=model.task_.summary_of(),
        data=data,
        scores=scores,
        settings={
            key: (value, summary_of(fields[key].description))
            for key, value in model.task_.settings
            if key not in MACHINE_SETTINGS
        },
        command=command,
        use=use,
    )


def use_lines(model: "Model", folder: str | Path, data: str = "", text: str = "TEXT") -> list[str]:
    """Return the commands that use a model, as they are typed.

    Args:
        model: fitted.
        folder: of the model.
        data: data for `elman evaluate`, quoted for a shell; a placeholder if not given.
        text: a text for `elman predict`.
    """
    filled = {
        "model": shlex.quote(str(folder)),
        "data": data or model.task.source.placeholder,
        "text": shlex.quote(text),
    }
    return [line.format(**filled) for line in model.task_.uses()]


def archive_cell(network: Any) -> dict[str, Any] | None:
    """Return the cell of a network as plain data, with its equations for each layer.

    A network may have several recurrent bodies of one cell, `bodies`, in place of its `body`. Reservoirs with options
    are built from the settings alone, and have no cell.
    """
    bodies: list[Any] = getattr(network, "bodies", None) or [getattr(network, "body", None)]
    found = [body for body in bodies if body is not None and not isinstance(body, ReservoirBody)]
    if not found:
        return None
    sizes = [size for body in found for size in body.cell_sizes]
    return cell_to_json(found[0].cell, [size for number, size in enumerate(sizes) if size not in sizes[:number]])
