"""Losses of pairs and triplets of rows, and of numbers of a rated scale."""

import torch
from torch import Tensor
from torch.nn import functional

# Added to squared distances before their root, which has no derivative at 0.
SMALLEST = 1e-12


def distances(first: Tensor, second: Tensor) -> Tensor:
    """Return the Euclidean distance of each row of one tensor to that of the other, `(rows,)`."""
    return ((first - second).square().sum(1) + SMALLEST).sqrt()


def contrastive_loss(first: Tensor, second: Tensor, alike: Tensor, margin: float) -> Tensor:
    """Return the mean contrastive loss of pairs of rows, a scalar.

    With the distance d of two rows it is d² / 2 where they are alike, else max(0, margin - d)² / 2.

    Args:
        first: rows `(pairs, feature)`.
        second: rows `(pairs, feature)`.
        alike: whether each pair is alike, `(pairs,)`.
        margin: distance beyond which unlike rows cost nothing.

    Source:
        R. Hadsell, S. Chopra, Y. LeCun, Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006, equation
        4 (whose Y is 0 for pairs that are alike).
    """
    found = distances(first, second)
    return torch.where(alike, found, (margin - found).clamp(min=0)).square().mean() / 2


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Return the mean triplet loss of rows, a scalar.

    It is max(0, d(anchor, positive) - d(anchor, negative) + margin).

    Args:
        anchor: rows `(triplets, feature)`.
        positive: rows that are more like the anchors.
        negative: rows that are less like them.
        margin: by which they should be further from the anchors.

    Source:
        F. Schroff, D. Kalenichenko, J. Philbin, FaceNet: A Unified Embedding for Face Recognition and Clustering, CVPR
        2015, equation 2. Difference: distances in place of their squares, as torch's `TripletMarginLoss`.
    """
    return (distances(anchor, positive) - distances(anchor, negative) + margin).clamp(min=0).mean()


def cosine_loss(first: Tensor, second: Tensor, alike: Tensor, margin: float) -> Tensor:
    """Return the mean cosine loss of pairs of rows, a scalar.

    With the cosine c of two rows it is 1 - c where they are alike, else max(0, c - margin).

    Args:
        first: rows `(pairs, feature)`.
        second: rows `(pairs, feature)`.
        alike: whether each pair is alike, `(pairs,)`.
        margin: cosine below which unlike rows cost nothing.
    """
    found = functional.cosine_similarity(first, second)
    return torch.where(alike, 1 - found, (found - margin).clamp(min=0)).mean()


def scale_distribution(numbers: Tensor, low: int, high: int) -> Tensor:
    """Return the distribution over the whole numbers of a scale that has a number as its mean.

    A number between two whole numbers is shared by both, the nearer one more; numbers beyond the scale are moved to
    its ends.

    Args:
        numbers: `(rows,)`.
        low: least number of the scale.
        high: largest number of the scale.

    Returns:
        Probabilities `(rows, high - low + 1)`.

    Source:
        K. Tai, R. Socher, C. Manning, Improved Semantic Representations From Tree-Structured Long Short-Term Memory
        Networks, ACL 2015, equation 15.

    >>> scale_distribution(torch.tensor([3.25, 5.0]), 3, 5)
    tensor([[0.7500, 0.2500, 0.0000],
            [0.0000, 0.0000, 1.0000]])
    """
    steps = torch.arange(low, high + 1, device=numbers.device, dtype=numbers.dtype)
    return (1 - (numbers.clamp(low, high)[:, None] - steps).abs()).clamp(min=0)


def distribution_loss(logits: Tensor, numbers: Tensor, low: int, high: int) -> Tensor:
    """Return the mean divergence of predicted distributions over a scale, a scalar.

    Args:
        logits: `(rows, high - low + 1)`.
        numbers: targets `(rows,)`.
        low: least number of the scale.
        high: largest number of the scale.

    Source:
        K. Tai et al., 2015, equation 16.
    """
    wanted = scale_distribution(numbers.to(logits.dtype), low, high)
    return functional.kl_div(logits.log_softmax(1), wanted, reduction="batchmean")
