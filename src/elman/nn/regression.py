"""Losses of numbers."""

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional

from elman.errors import ShapeError, UsageError
from elman.nn.checks import refuse, wrong_name
from elman.settings.series import NumberLoss


def number_loss(
    kind: NumberLoss, outputs: Tensor, targets: Tensor, quantiles: Sequence[float] = (), *, delta: float = 1.0
) -> Tensor:
    """Return the mean loss of numbers, a scalar.

    With the error e = target - output:

    | kind     | loss                                                        |
    |----------|-------------------------------------------------------------|
    | squared  | e²                                                          |
    | absolute | abs(e)                                                      |
    | huber    | e² / 2 where abs(e) ≤ delta, else delta · (abs(e) - delta / 2) |
    | quantile | max(q · e, (q - 1) · e), the mean over the quantiles q      |

    Args:
        kind: as in the table.
        outputs: of the shape of the targets; for quantiles `(…, quantile)`.
        targets: any shape.
        quantiles: each between 0 and 1, for `quantile` only.
        delta: error from which Huber's loss is linear.

    Raises:
        UsageError: an unknown kind, or quantiles that do not fit it.
        ShapeError: outputs and targets of shapes that do not fit.

    Source:
        P. Huber, Robust Estimation of a Location Parameter, 1964; R. Koenker, G. Bassett, Regression Quantiles, 1978.

    >>> number_loss("quantile", torch.tensor([[1.0, 3.0]]), torch.tensor([2.0]), (0.1, 0.9))
    tensor(0.1000)
    """
    refuse(wrong_name("kind", kind, get_args(NumberLoss)))
    if (kind == "quantile") != bool(quantiles):
        raise UsageError(
            f"Expected quantiles with the loss `quantile` only, got {tuple(quantiles)} with `{kind}`.",
            fix="Give quantiles between 0 and 1, such as (0.1, 0.5, 0.9), or none.",
        )
    shape = (*targets.shape, len(quantiles)) if quantiles else targets.shape
    if outputs.shape != shape:
        raise ShapeError(
            f"Expected outputs of shape {tuple(shape)}, got {tuple(outputs.shape)}.",
            fix="Give one output for each target" + (" and quantile." if quantiles else "."),
        )
    if kind == "squared":
        return functional.mse_loss(outputs, targets)
    if kind == "absolute":
        return functional.l1_loss(outputs, targets)
    if kind == "huber":
        return functional.huber_loss(outputs, targets, delta=delta)
    error = targets.unsqueeze(-1) - outputs
    share = error.new_tensor(quantiles)
    return torch.maximum(share * error, (share - 1) * error).mean()


def without_crossing(outputs: Tensor) -> Tensor:
    """Return the outputs `(…, quantile)` sorted, so that ascending quantiles do not cross.

    Sorting never increases the loss of quantiles. Networks sort in training, too.

    Source:
        V. Chernozhukov, I. Fernández-Val, A. Galichon, Quantile and Probability Curves Without Crossing, 2010,
        proposition 4.
    """
    return outputs.sort(-1).values


def mean_numbers(rows: Tensor) -> Tensor:
    """Return the mean over the first axis of numbers, or of quantiles on the last one.

    The quantiles of each row are sorted first: a network may give them in any order.
    """
    return without_crossing(rows).mean(0)
