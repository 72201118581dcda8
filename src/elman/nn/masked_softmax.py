"""The softmax over a part of an axis."""

import torch
from torch import Tensor


def masked_softmax(scores: Tensor, valid: Tensor, axis: int = -1) -> Tensor:
    """Return the softmax over the valid entries of an axis, and zeros elsewhere.

    Args:
        scores: of any shape.
        valid: truth values that broadcast to that shape. Where none of an axis is valid, all results are 0.
        axis: over which the results sum to 1.

    >>> masked_softmax(torch.zeros(2, 2), torch.tensor([[True, False], [False, False]]))
    tensor([[1., 0.],
            [0., 0.]])
    """
    if not scores.numel():
        return scores
    masked = scores.masked_fill(~valid, -torch.inf)
    # A row without a valid entry has the maximum 0, so that nothing is infinite less infinite.
    highest = masked.detach().amax(axis, keepdim=True).nan_to_num(neginf=0.0)
    weights = (masked - highest).exp()
    return weights / weights.sum(axis, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
