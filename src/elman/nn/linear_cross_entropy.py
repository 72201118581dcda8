"""A linear layer and the cross entropy of its softmax in one, without ever holding the logits of all rows."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Logits at a time: few enough to stay in the cache, enough rows to keep a matrix product busy, and the gradient
# of the weights, which each part is added to, from being read too often.
LOGITS_AT_A_TIME = 2**18
FEWEST_ROWS = 512
# Where there are more tokens than this and no gradient is wanted, they are taken some at a time as well, for at most
# so many rows: eight megabytes of logits, which are memory once and not an array for each product.
TOKENS_AT_A_TIME, MOST_ROWS = 1024, 2048


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, *, others: Tensor | None = None
) -> Tensor:
    """The mean cross entropy, in nats, of `softmax(hidden · weightᵀ + bias)` and the targets.

    loss = 1/total Σ_i (log Σ_j exp(z_ij) - z_{i, target_i})
    ∂loss/∂z_ij = (softmax(z_i)_j - [j = target_i]) / total

    z = hidden · weightᵀ + bias, and where j is not the row's own target, z_ij + others_j.

    Rows are taken some at a time, and their part of the gradient is computed while their logits are still in the
    cache: memory is that of the gradients, not of `(total, tokens)` logits, and nothing is computed twice.

    Args:
        hidden: `(total, feature)`.
        weight: `(tokens, feature)`.
        bias: `(tokens,)`, or none.
        targets: `(total,)`, from 0 to below tokens.
        others: `(tokens,)`, what is added to the logits of each token but in the rows whose target it is: -∞ leaves it
            out of their sums. It gets no gradient.

    Source:
        P.-L. Hsu et al., Liger Kernel, 2024, on the fused linear cross entropy: the gradient in the forward pass, chunk
        by chunk. It cannot be differentiated twice.

    >>> linear_cross_entropy(torch.zeros(3, 2), torch.ones(4, 2), None, torch.tensor([0, 1, 3]))
    tensor(1.3863)
    """
    wanted = torch.is_grad_enabled() and any(
        value is not None and value.requires_grad for value in (hidden, weight, bias)
    )
    if not wanted and others is None and len(weight) > TOKENS_AT_A_TIME:
        return _by_tokens(hidden, weight, bias, targets)
    return _LinearCrossEntropy.apply(hidden, weight, bias, targets, others, wanted)  # type: ignore[return-value]


@torch.no_grad()
def _by_tokens(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """The loss alone, of logits that are in memory for a part of the rows and a part of the tokens at a time."""
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    loss = hidden.new_zeros((), dtype=torch.float64)
    memory = hidden.new_empty(min(len(hidden), MOST_ROWS) * TOKENS_AT_A_TIME)
    parts = list(zip(weight.split(TOKENS_AT_A_TIME), bias.split(TOKENS_AT_A_TIME), strict=True))
    for rows, answers in zip(hidden.split(MOST_ROWS), targets.split(MOST_ROWS), strict=True):
        sums = [
            torch.addmm(
                offsets, rows, matrix.T, out=memory[: len(rows) * len(matrix)].view(len(rows), len(matrix))
            ).logsumexp(1)
            for matrix, offsets in parts
        ]
        own = (rows * weight[answers]).sum(1) + bias[answers]
        loss += (torch.stack(sums).logsumexp(0) - own).sum(dtype=torch.float64)
    return (loss / len(hidden)).to(hidden.dtype)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        others: Tensor | None,
        wanted: bool,
    ) -> Tensor:
        total = len(hidden)
        rows = max(FEWEST_ROWS, LOGITS_AT_A_TIME // max(len(weight), 1))
        loss = hidden.new_zeros((), dtype=torch.float64)
        gradients = [torch.empty_like(hidden), torch.zeros_like(weight)] if wanted else []
        if wanted and bias is not None:
            gradients.append(torch.zeros_like(bias))
        for start in range(0, total, rows):
            part, answers = hidden[start : start + rows], targets[start : start + rows, None]
            logits = part @ weight.T if bias is None else torch.addmm(bias, part, weight.T)  # (rows, tokens)
            if others is not None:
                own = logits.gather(1, answers)
                logits.add_(others).scatter_(1, answers, own)
            logs = torch.log_softmax(logits, 1)
            loss -= logs.gather(1, answers).sum(dtype=torch.float64)
            if wanted:
                slope = logs.exp_()
                slope.scatter_add_(1, answers, slope.new_full(answers.shape, -1.0))
                slope /= total
                torch.mm(slope, weight, out=gradients[0][start : start + rows])
                gradients[1].addmm_(slope.T, part)
                if bias is not None:
                    # A product is faster than a sum over the first axis.
                    gradients[2].addmv_(slope.T, slope.new_ones(len(slope)))
        if wanted:
            ctx.save_for_backward(*gradients)
        return (loss / total).to(hidden.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor):  # type: ignore[override]
        scaled: Sequence[Tensor] = ctx.saved_tensors
        # Where the loss is all there is, a copy of the largest gradient is saved.
        if slope.device.type != "cpu" or slope.item() != 1.0:
            scaled = [gradient * slope for gradient in scaled]
        return scaled[0], scaled[1], scaled[2] if len(scaled) > 2 else None, None, None, None
