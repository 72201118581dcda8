"""The score under which hypotheses of different lengths are compared."""

import torch
from torch import Tensor

# The logarithm of no attention at all would hide every other difference.
LEAST_COVERAGE = 1e-10


def length_divisor(tokens: Tensor | int, strength: float) -> Tensor:
    """Return what a log probability is divided by, ((5 + tokens) / 6) ** strength in float64.

    Args:
        tokens: tokens of the hypothesis, its end mark among them.
        strength: 0 for none.

    Source:
        Y. Wu et al., Google's Neural Machine Translation System, 2016, equation 14.

    >>> length_divisor(7, 1.0).item()
    2.0
    """
    return ((5 + torch.as_tensor(tokens, dtype=torch.float64)) / 6) ** strength


def coverage_score(coverage: Tensor, memory: Tensor, strength: float) -> Tensor:
    """Return the coverage penalty of each row, at most 0.

    The penalty is strength · Σ log(min(coverage, 1)), summed over the true memory of the row.

    Args:
        coverage: attention summed over the steps, `(rows, longest memory)`.
        memory: true lengths, `(rows,)`.
        strength: its factor.

    Source:
        Y. Wu et al., 2016, equation 14. Coverage below 1e-10 counts as 1e-10.
    """
    beyond = torch.arange(coverage.shape[1], device=coverage.device) >= memory[:, None]
    return strength * coverage.clamp(LEAST_COVERAGE, 1).log().masked_fill(beyond, 0).sum(1)
