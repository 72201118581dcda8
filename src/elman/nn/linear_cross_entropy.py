"""A linear layer and the cross entropy of its softmax in one, without the logits of all rows in memory."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from elman.compiler.autocast import autocast_type, lowered, without_autocast
from elman.errors import ShapeError
from elman.tensors import Kind, is_recorded, is_transformed, kind_of, unwrapped

# Logits at a time: few enough to stay in the cache, and enough rows to keep a matrix product busy and to read the
# gradient of the weights, to which each part is added, seldom enough.
LOGITS_AT_A_TIME = 2**18
FEWEST_ROWS = 512
# With more tokens than this and no gradient, the tokens are also divided, for at most so many rows: eight megabytes of
# logits, allocated once and not for each product.
TOKENS_AT_A_TIME, MOST_ROWS = 1024, 2048


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, *, others: Tensor | None = None
) -> Tensor:
    """Return the mean cross entropy in nats of `softmax(hidden · weightᵀ + bias)`.

    loss = 1/total Σ_i (log Σ_j exp(z_ij) - z_{i, target_i})
    ∂loss/∂z_ij = (softmax(z_i)_j - [j = target_i]) / total

    z = hidden · weightᵀ + bias; where j is not the target of the row, z_ij + others_j.

    The rows are divided into parts, and the gradient of a part is computed while its logits are still in the cache.
    Memory is that of the gradients, not of `(total, tokens)` logits, and nothing is computed twice.

    Where torch records or transforms the computation (torch.compile, make_fx, torch.func), and for the gradient of a
    gradient, torch's own operations are used, which hold the logits of all rows. Under autocast the loss is float32,
    as in torch. The CPU computes it in float32; other devices hold all logits in autocast's type.

    Args:
        hidden: `(total, feature)`.
        weight: `(tokens, feature)`.
        bias: `(tokens,)`, or `None`.
        targets: `(total,)` of int64, from 0 to below tokens.
        others: `(tokens,)`, added to the logits of each token, except in the rows whose target the token is; -∞ leaves
            a token out of their sums. It has no gradient. Default none.

    Raises:
        ShapeError: tensors of other shapes, targets of another type, or a target that is not one of the tokens.

    Source:
        P.-L. Hsu et al., Liger Kernel, 2024, on the fused linear cross entropy: the gradient in the forward pass, chunk
        by chunk.

    >>> linear_cross_entropy(torch.zeros(3, 2), torch.ones(4, 2), None, torch.tensor([0, 1, 3]))
    tensor(1.3863)
    """
    _check_weights(weight, bias, others)
    check_rows(hidden, targets, weight.shape[1], len(weight))
    learned = [hidden, weight] if bias is None else [hidden, weight, bias]
    low = autocast_type(learned)
    if low is None:
        return _loss(hidden, weight, bias, targets, others)
    if hidden.device.type != "cpu":
        return _by_torch(hidden, weight, bias, targets, others)
    hidden, weight, *rest = lowered(learned, low)
    with without_autocast("cpu"):
        return _loss(hidden, weight, rest[0] if rest else None, targets, others)


def check_rows(hidden: Tensor, targets: Tensor, features: int, tokens: int) -> None:
    """Refuse rows and targets that are not `(total, features)` and `(total,)` ids of tokens.

    Raises:
        ShapeError: other shapes, targets of another type, or a target that is not one of the tokens.
    """
    if hidden.dim() != 2 or hidden.shape[1] != features:
        raise ShapeError(
            f"Expected hidden features of shape (total, {features}), got {tuple(hidden.shape)}.",
            fix=f"Give one row of {features} features for each target: hidden.flatten(0, -2) joins the first axes.",
        )
    if targets.dtype != torch.int64 or targets.dim() != 1 or targets.shape[0] != hidden.shape[0]:
        raise ShapeError(
            f"Expected targets of shape ({hidden.shape[0]},) and torch.int64, got shape {tuple(targets.shape)} and "
            f"{targets.dtype}.",
            fix="Give one token id for each row of hidden features.",
        )
    _check_range(targets, tokens)


def _check_range(targets: Tensor, tokens: int) -> None:
    # Targets whose numbers are not known yet are checked by the operation that gathers their logits.
    if is_recorded(targets) or targets.is_meta or not targets.numel():
        return
    least, most = map(int, torch.aminmax(unwrapped(targets)))
    if not 0 <= least <= most < tokens:
        raise ShapeError(
            f"Expected targets from 0 to {tokens - 1}, got targets from {least} to {most}.",
            fix="Give ids of tokens only: leave out the rows of padding, hidden[targets >= 0].",
        )


def _check_weights(weight: Tensor, bias: Tensor | None, others: Tensor | None) -> None:
    if weight.dim() != 2:
        raise ShapeError(
            f"Expected a weight of shape (tokens, feature), got {tuple(weight.shape)}.",
            fix="Give a row for each token, as the weight of nn.Linear(feature, tokens).",
        )
    for name, value in (("bias", bias), ("others", others)):
        if value is not None and value.shape != weight.shape[:1]:
            raise ShapeError(
                f"Expected {name} of shape ({weight.shape[0]},), got {tuple(value.shape)}.",
                fix="Give a number for each row of the weight.",
            )


def is_plain(*tensors: Tensor | None) -> bool:
    """Return whether torch neither records nor transforms operations on these tensors."""
    given = [tensor for tensor in tensors if tensor is not None]
    return not (is_recorded(given[0]) or is_transformed() or any(kind_of(tensor) is Kind.OTHER for tensor in given))


def _loss(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, others: Tensor | None) -> Tensor:
    if not is_plain(hidden, weight, bias, targets, others):
        return _by_torch(hidden, weight, bias, targets, others)
    wanted = torch.is_grad_enabled() and any(
        value is not None and value.requires_grad for value in (hidden, weight, bias)
    )
    if not wanted and others is None and len(weight) > TOKENS_AT_A_TIME:
        return _by_tokens(hidden, weight, bias, targets)
    return _LinearCrossEntropy.apply(hidden, weight, bias, targets, others, wanted)  # type: ignore[return-value]


def _by_torch(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, others: Tensor | None) -> Tensor:
    """Return the loss by operations that torch records, transforms and differentiates."""
    return -_logs(hidden, weight, bias, targets, others).gather(1, targets.unsqueeze(1)).mean()


def _logs(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, others: Tensor | None) -> Tensor:
    """Return the logarithms of the softmax, `(total, tokens)`."""
    logits = functional.linear(hidden, weight, bias)
    if others is not None:
        is_own = torch.arange(weight.shape[0], device=targets.device) == targets.unsqueeze(1)
        logits = logits + torch.where(is_own, 0.0, others.detach())
    return torch.log_softmax(logits, 1)


def _gradients(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, others: Tensor | None, slope: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the gradients of `_by_torch` by operations that torch differentiates again."""
    chances = _logs(hidden, weight, bias, targets, others).exp()
    own = torch.full_like(targets, -1, dtype=chances.dtype).unsqueeze(1)
    of_logits = chances.scatter_add(1, targets.unsqueeze(1), own) * (slope / hidden.shape[0])
    return of_logits @ weight, of_logits.T @ hidden, None if bias is None else of_logits.sum(0)


@torch.no_grad()
def _by_tokens(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Return the loss alone, from the logits of some rows and some tokens at a time."""
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
            # The inputs are read for the gradient of a gradient only.
            ctx.save_for_backward(hidden, weight, bias, targets, others, *gradients)
        return (loss / total).to(hidden.dtype)

    @staticmethod
    def backward(ctx: Any, slope: Tensor):  # type: ignore[override]
        hidden, weight, bias, targets, others, *scaled = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_gradients(hidden, weight, bias, targets, others, slope), None, None, None
        scaled = _scaled(scaled, slope)
        return scaled[0], scaled[1], scaled[2] if len(scaled) > 2 else None, None, None, None


def _scaled(gradients: Sequence[Tensor], slope: Tensor) -> Sequence[Tensor]:
    # For a loss that is not scaled, this saves a copy of the largest gradient.
    if is_plain(slope) and slope.device.type == "cpu" and slope.item() == 1.0:
        return gradients
    return [gradient * slope for gradient in gradients]
