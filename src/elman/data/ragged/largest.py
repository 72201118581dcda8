"""The largest steps of sequences, and the derivative of taking them."""

from typing import Any

import torch
from torch import Tensor

from elman.tensors import Kind, is_differentiated, is_recorded, is_transformed, kind_of


def largest(data: Tensor, index: Tensor, zeros: Tensor) -> Tensor:
    """Return the maximum of each feature over the steps of a sequence, `(batch, feature…)`.

    It is NaN if a step is, and zero for an empty sequence. Steps that are equally large share the gradient.

    Args:
        data: the steps, `(total, feature…)`.
        index: the sequence of each step, `(total,)`.
        zeros: `(batch, feature…)`.
    """
    seen = data.detach()
    places = index.reshape(-1, *[1] * (seen.dim() - 1)).expand_as(seen)
    found = zeros.scatter_reduce(0, places, seen, "amax", include_self=False)
    if not (data.is_floating_point() and is_differentiated(data)):
        return found
    if not (is_transformed() or is_recorded(data)):
        return _Largest.apply(data, index, found)  # type: ignore[return-value]
    # What torch transforms or records: the mean of the largest steps, whose value is corrected for rounding.
    is_largest = (seen == found.index_select(0, index)) | seen.isnan()
    counts = _counts(is_largest, index, found)
    exact = found.to(counts.dtype)
    parts = data.to(counts.dtype) * counts.reciprocal().index_select(0, index)
    mean = torch.zeros_like(exact).index_add(0, index, torch.where(is_largest, parts, 0.0))
    rounding = exact - mean.detach()
    return (mean + torch.where(rounding.isfinite(), rounding, 0.0)).to(data.dtype)


class _Largest(torch.autograd.Function):
    """The largest steps as autograd sees them, of (steps, the sequence of each, the largest, which are known)."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, index: Tensor, found: Tensor) -> Tensor:
        ctx.save_for_backward(data, index, found)
        return found.clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        data, index, found = ctx.saved_tensors
        are_largest = _are_largest(data.detach(), index, found)
        counts = _counts(are_largest, index, found)
        shares = (slopes[0] / counts).to(data.dtype).index_select(0, index)
        # Zero times infinity would be NaN.
        is_plain = kind_of(slopes[0]) is Kind.PLAIN and bool(slopes[0].isfinite().all())
        return shares.mul_(are_largest) if is_plain else torch.where(are_largest > 0, shares, 0.0), None, None


def _are_largest(seen: Tensor, index: Tensor, found: Tensor) -> Tensor:
    """Return 1 for each step that is the largest, and 0 for the others."""
    # Truth values take torch several times as long as numbers, and so does memory that is used for the first time.
    are_largest = found.index_select(0, index)
    torch.ge(seen, are_largest, out=are_largest)
    return are_largest.add_(seen.isnan()) if bool(found.isnan().any()) else are_largest


def _counts(are_largest: Tensor, index: Tensor, found: Tensor) -> Tensor:
    """Return how many steps are the largest, at least 1, `(batch, feature…)`."""
    # Half precision cannot count more than a few hundred steps.
    dtype = torch.promote_types(found.dtype, torch.float32)
    return torch.zeros_like(found, dtype=dtype).index_add(0, index, are_largest.to(dtype)).clamp(min=1.0)
