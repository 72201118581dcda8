"""Answers that are not numbers never reach a user."""

import torch
from torch import Tensor

from elman.errors import DataError
from elman.sequences.listing import listed


def check_finite(outputs: Tensor, what: str = "sequence") -> None:
    """Refuse outputs of a network that are not finite.

    Args:
        outputs: `(rows, …)`, a row for each sequence.
        what: a row is, for messages.

    Raises:
        DataError: names the first rows with NaN or infinity, from 1.
    """
    finite = torch.isfinite(outputs).flatten(1).all(1) if len(outputs) else torch.ones(0, dtype=torch.bool)
    bad = (~finite).nonzero().flatten().tolist()
    if bad:
        raise DataError(
            f"The network's output is not finite for {len(bad):,} of {len(outputs):,} {what}s.",
            where="\n".join(listed([f"{what} {row + 1}: {_shown(outputs[row])}" for row in bad])),
            fix="Look for extreme values there and scale them as in training; if the rows are ordinary, the weights "
            "are damaged: train the model again, with a lower learning rate.",
        )


def _shown(row: Tensor) -> str:
    return "NaN" if row.isnan().any() else "infinite"
