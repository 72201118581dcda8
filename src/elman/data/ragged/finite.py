"""A check that the outputs of a network are finite."""

import torch
from torch import Tensor

from elman.data.listing import listed
from elman.data.ragged.ragged import Ragged
from elman.errors import DataError


def check_finite(outputs: Tensor | Ragged, what: str = "sequence") -> None:
    """Refuse outputs of a network that are not finite.

    Args:
        outputs: `(rows, …)` with a row for each sequence, or a `Ragged` batch with several rows for each.
        what: the name of a row in messages.

    Raises:
        DataError: names the first rows with NaN or infinity, counted from 1.
    """
    whole = outputs.data if isinstance(outputs, Ragged) else outputs
    if bool(torch.isfinite(whole).all()):
        return
    rows = list(outputs.to_list()) if isinstance(outputs, Ragged) else list(outputs)
    bad = [number for number, row in enumerate(rows) if not torch.isfinite(row).all()]
    raise DataError(
        f"The network's output is not finite for {len(bad):,} of {len(rows):,} {what}s.",
        where="\n".join(listed([f"{what} {row + 1}: {_shown(rows[row])}" for row in bad])),
        fix="Look for extreme values there and scale them as in training; if the rows are ordinary, the weights are "
        "damaged: train the model again, with a lower learning rate.",
    )


def _shown(row: Tensor) -> str:
    return "NaN" if row.isnan().any() else "infinite"
