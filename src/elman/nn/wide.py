"""A linear model of sparse features beside a network: wide and deep."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.data.text.ngrams import NgramRows

Loss = Literal["cross_entropy", "squared"]

# Strengths of the fit that are tried, the strongest penalty first, and the share of the rows that decides.
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
STRENGTHS_OF_NUMBERS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
DECIDING = 0.2
FEWEST_ROWS = 50
# The factors before the training, and those expected after it, with their deviation.
ALONE = (1.0, 0.0)
FACTORS = (0.2, 0.8)
DEVIATION = 0.1
ITERATIONS = 60
# Steps that the minimiser remembers, and features of all rows together, which bound the memory.
REMEMBERED = 10
LARGEST = 60_000_000


class Wide(nn.Module):
    """A linear model of sparse features, whose logits are added to those of a network.

        logits = a · network + b · (W x + bias)

    It is fitted by itself, not by the steps of the network's training: `fit` finds W, `combine` finds a and b, which
    are 1 and 0 before. The network learns without it, so that it cannot rely on what the linear model knows already.

    Args:
        features: number of features.
        outputs: number of logits, or of numbers.
        loss: `cross_entropy` of logits, whose targets are positions of labels, or `squared` for numbers.
        factors: the values of a and b that are expected, which matter where held-out rows are few.

    Source:
        H.-T. Cheng et al., Wide & Deep Learning for Recommender Systems, 2016, equation 3. Difference: both parts are
        trained apart, and their sum is weighed on held-out rows.
    """

    factors: Tensor
    strength: Tensor

    def __init__(
        self,
        features: int,
        outputs: int,
        loss: Loss = "cross_entropy",
        factors: tuple[float, float] = FACTORS,
    ):
        super().__init__()
        self.loss: Loss = loss
        self.expected = factors
        self.weight = nn.Parameter(torch.zeros(features, outputs), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(outputs), requires_grad=False)
        self.register_buffer("factors", torch.tensor(ALONE))
        self.register_buffer("strength", torch.zeros(()))

    def forward(self, rows: NgramRows) -> Tensor:
        """Return the logits of the linear model, `(rows, outputs)`."""
        ids = rows.ids
        begins = ids.offsets[:-1].to(ids.data.device)
        values = rows.values.to(self.weight.dtype)
        found = functional.embedding_bag(ids.data, self.weight, begins, mode="sum", per_sample_weights=values)
        return found + self.bias

    def add(self, logits: Tensor, rows: NgramRows) -> Tensor:
        """Return the logits of a network with those of the linear model."""
        a, b = self.factors
        return a * logits + b * self(rows)

    @torch.no_grad()
    def fit(
        self,
        rows: NgramRows,
        targets: Tensor,
        row_weights: Tensor | None = None,
        *,
        strength: float | None = None,
        seed: int = 0,
    ) -> float:
        """Fit the weights to labelled rows, and return the strength of the fit.

        The mean loss plus |W|² / (2 · C · rows) is minimised, a convex function. C is the one of several strengths for
        which four fifths of the rows predict the others best. Rows that have more than 60 million features together
        are sampled.

        Args:
            rows: features of the training rows.
            targets: positions of their labels, `(rows,)`; for the squared loss numbers, `(rows, outputs)`.
            row_weights: weight of each row, `(rows,)`; 1 if not given.
            strength: C, where it is known; found if it is None or 0.
            seed: of the division of the rows.
        """
        weights = torch.ones(len(targets)) if row_weights is None else row_weights
        if rows.ids.total > LARGEST:
            order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
            some = order[: int(len(targets) * LARGEST / rows.ids.total)].sort().values
            rows, targets, weights = rows.select(some.tolist()), targets[some], weights[some]
        held = torch.rand(len(targets), generator=torch.Generator().manual_seed(seed)) < DECIDING
        strengths = STRENGTHS if self.loss == "cross_entropy" else STRENGTHS_OF_NUMBERS
        best = strength or strengths[0]
        if not strength and len(targets) >= FEWEST_ROWS:
            parts = [self._rows(rows, mask.nonzero().squeeze(1), targets, weights) for mask in (~held, held)]
            losses: dict[float, float] = {}
            for tried in strengths:
                self._minimise(parts[0], tried)
                losses[tried] = self._loss(parts[1])
                if losses[tried] > min(losses.values()):
                    break
            del parts
            best = min(losses, key=losses.__getitem__)
            self.weight.zero_()
            self.bias.zero_()
        self._minimise(self._rows(rows, torch.arange(len(targets)), targets, weights), best)
        self.strength.fill_(best)
        return best

    @torch.no_grad()
    def combine(self, network: Tensor, linear: Tensor, targets: Tensor) -> None:
        """Weigh both parts so that their sum fits held-out rows.

        The factors minimise the loss plus a prior that keeps them near the expected ones, by default 0.2 and 0.8, where
        rows are few. Without rows they are just that.

        Args:
            network: logits of the network, `(rows, outputs)`, or its numbers.
            linear: those of the linear model.
            targets: as for `fit`.
        """
        network, linear = network.double(), linear.double()

        def loss(a: Tensor, b: Tensor) -> Tensor:
            return _losses(self.loss, a * network + b * linear, targets).sum()

        self.factors.copy_(weigh(loss, self.expected))

    def _rows(self, rows: NgramRows, chosen: Tensor, targets: Tensor, weights: Tensor) -> "_Rows":
        """Return some of the rows as a matrix."""
        part, shape = rows.select(chosen.tolist()), (len(chosen), len(self.weight))
        indices = torch.stack([part.ids.sequence_index(), part.ids.data])
        with warnings.catch_warnings():
            # torch calls its sparse matrices a beta in a warning.
            warnings.simplefilter("ignore", UserWarning)
            matrix = torch.sparse_coo_tensor(indices, part.values, shape, is_coalesced=True)
            transposed = matrix.t().coalesce().to_sparse_csr()
            return _Rows(matrix.to_sparse_csr(), transposed, targets[chosen], weights[chosen], self.loss)

    def _minimise(self, rows: "_Rows", strength: float) -> None:
        weight, bias = (each.detach().clone().requires_grad_() for each in (self.weight, self.bias))
        penalty = 1 / (2 * strength * max(len(rows.targets), 1))
        _minimised(lambda: rows.loss(weight, bias) + penalty * weight.square().sum(), [weight, bias])
        self.weight.copy_(weight.detach())
        self.bias.copy_(bias.detach())

    def _loss(self, rows: "_Rows") -> float:
        return rows.loss(self.weight, self.bias).item()


class _Rows(NamedTuple):
    """Labelled rows of sparse features as a matrix, and the same transposed."""

    matrix: Tensor
    transposed: Tensor
    targets: Tensor
    weights: Tensor
    kind: Loss

    def loss(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the mean loss."""
        outputs = _Product.apply(self.matrix, self.transposed, weight) + bias
        losses = _losses(self.kind, outputs, self.targets)
        return (losses * self.weights).sum() / self.weights.sum()


def weigh(loss: Callable[[Tensor, Tensor], Tensor], expected: tuple[float, float]) -> Tensor:
    """Return the factors a and b with which the outputs of two models fit held-out data.

    They are at least 0, and minimise the loss plus a prior that keeps them near the expected ones where data are few.

    Args:
        loss: gives the sum of the losses of the data for the two factors, float64.
        expected: the factors without any data.
    """
    first = torch.tensor(expected, dtype=torch.float64)
    factors = first.clone().requires_grad_()
    _minimised(lambda: loss(*factors) + ((factors - first) / DEVIATION).square().sum() / 2, [factors])
    return factors.detach().clamp(min=0)


def _losses(kind: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of each row.

    The squared one is half the square, a log likelihood as the cross entropy is.
    """
    if kind == "squared":
        return (outputs - targets).square().sum(1) / 2
    return functional.cross_entropy(outputs, targets, reduction="none")


class _Product(torch.autograd.Function):
    """A sparse matrix times a dense one, whose gradient is a product with the transposed matrix."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, weight: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.transposed = transposed
        return matrix @ weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None, None, ctx.transposed @ gradient


@torch.enable_grad()
def _minimised(objective: Callable[[], Tensor], variables: Sequence[Tensor]) -> None:
    """Minimise a smooth convex function in place, by L-BFGS."""
    how = {"max_iter": ITERATIONS, "history_size": REMEMBERED, "tolerance_grad": 1e-6}
    optimizer = torch.optim.LBFGS(variables, line_search_fn="strong_wolfe", **how)  # pyright: ignore[reportArgumentType]

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = objective()
        loss.backward()
        return loss

    optimizer.step(step)
