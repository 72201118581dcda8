"""A linear model of sparse features beside a network: wide and deep."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.data.text.ngrams import NgramRows

Loss = Literal["cross_entropy", "margin", "squared"]

# Strengths of the fit that are tried, the strongest penalty first, and the share of the rows that decides, if there are
# enough of them.
STRENGTHS: dict[Loss, tuple[float, ...]] = {
    "cross_entropy": (1.0, 3.0, 10.0, 30.0, 100.0),
    "margin": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    "squared": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
}
DECIDING = 0.2
FEWEST_ROWS = 50
# The strength and the logits of a margin where rows are fewer, and α of the ratios.
USUAL: dict[Loss, float] = {"cross_entropy": 1.0, "margin": 1.0, "squared": 0.01}
SCALE = 2.5
PSEUDOCOUNT = 0.25
# The factors before the training, and those expected after it, with their deviation.
ALONE = (1.0, 0.0)
FACTORS = (0.2, 0.8)
DEVIATION = 0.1
ITERATIONS = 60
# Steps that the minimiser remembers, and features of all rows together, which bound the memory.
REMEMBERED = 10
LARGEST = 60_000_000


class Fit(NamedTuple):
    """How a linear model was fitted.

    Attributes:
        strength: C of the penalty.
        has_ratios: whether features count by their log-count ratios.
        scale: the logits of a margin of 1; 1 for other losses.
    """

    strength: float
    has_ratios: bool = False
    scale: float = 1.0


class Wide(nn.Module):
    """A linear model of sparse features, whose logits are added to those of a network.

        logits = a · network + b · (W x + bias)

    With the loss `margin`, x is x ∘ r / |x ∘ r|, with a ratio r of each feature that is 1, or, where that predicts
    held-out rows better, how much oftener a label has the feature than the others have it:

        r = maxₖ |log((pₖ + α) / |pₖ + α|) - log((qₖ + α·(labels - 1)) / |qₖ + α·(labels - 1)|)|

    pₖ is the sum of the features of the rows with the label k, and qₖ that of the other rows.

    It is fitted by itself, not by the steps of the network's training: `fit` finds W, `combine` finds a and b, which
    are 1 and 0 before. The network learns without it, so that it cannot rely on what the linear model knows already.

    Args:
        features: number of features.
        outputs: number of logits, or of numbers.
        loss: `cross_entropy` of logits, or `margin`, the squared hinge loss of each label against the others, whose
            targets are positions of labels; or `squared` for numbers.
        factors: the values of a and b that are expected, which matter where held-out rows are few.

    Source:
        H.-T. Cheng et al., Wide & Deep Learning for Recommender Systems, 2016, equation 3. Difference: both parts are
        trained apart, and their sum is weighed on held-out rows. The ratios: S. Wang, C. D. Manning, Baselines and
        Bigrams: Simple, Good Sentiment and Topic Classification, 2012, section 2.3. Differences: features are TF-IDF
        values in rows of length 1, and of several labels each feature has its largest ratio.
    """

    factors: Tensor
    fitted: Tensor
    ratios: Tensor

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
        self.register_buffer("fitted", torch.zeros(3, dtype=torch.float64))
        if loss == "margin":
            self.register_buffer("ratios", torch.ones(features))

    @property
    def fit_of(self) -> Fit:
        """How it was fitted."""
        strength, has_ratios, scale = self.fitted.tolist()
        return Fit(strength, bool(has_ratios), scale)

    def forward(self, rows: NgramRows) -> Tensor:
        """Return the logits of the linear model, `(rows, outputs)`."""
        ids = rows.ids
        begins = ids.offsets[:-1].to(ids.data.device)
        values = self._values(rows).to(self.weight.dtype)
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
        how: Fit | None = None,
        seed: int = 0,
    ) -> Fit:
        """Fit the weights to labelled rows, and return how.

        The mean loss plus |W|² / (2 · C · rows) is minimised, a convex function. C, the scale and whether there are
        ratios are those for which four fifths of the rows predict the others best. Rows that have more than 60 million
        features together are sampled.

        Args:
            rows: features of the training rows.
            targets: positions of their labels, `(rows,)`; for the squared loss numbers, `(rows, outputs)`.
            row_weights: weight of each row, `(rows,)`; 1 if not given.
            how: to fit; if not given, as before, where the model was fitted or has inherited that.
            seed: of the division of the rows.
        """
        weights = torch.ones(len(targets)) if row_weights is None else row_weights
        if rows.ids.total > LARGEST:
            order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
            some = order[: int(len(targets) * LARGEST / rows.ids.total)].sort().values
            rows, targets, weights = rows.select(some.tolist()), targets[some], weights[some]
        if how is None:
            how = self.fit_of if self.fit_of.strength else self._choose(rows, targets, weights, seed)
        self._begin(rows, targets, has_ratios=how.has_ratios)
        self._minimise(self._rows(rows, torch.arange(len(targets)), targets, weights), how.strength)
        self.weight *= how.scale
        self.bias *= how.scale
        self.fitted.copy_(torch.tensor([float(each) for each in how], dtype=torch.float64))
        return how

    def _choose(self, rows: NgramRows, targets: Tensor, weights: Tensor, seed: int) -> Fit:
        """Return the fit to four fifths of the rows that predicts the others best."""
        is_margin = self.loss == "margin"
        if len(targets) < FEWEST_ROWS:
            return Fit(USUAL[self.loss], scale=SCALE if is_margin else 1.0)
        held = torch.rand(len(targets), generator=torch.Generator().manual_seed(seed)) < DECIDING
        own, others = (mask.nonzero().squeeze(1) for mask in (~held, held))
        losses: dict[Fit, float] = {}
        for has_ratios in (False, True) if is_margin else (False,):
            self._begin(rows.select(own.tolist()), targets[own], has_ratios=has_ratios)
            parts = [self._rows(rows, chosen, targets, weights) for chosen in (own, others)]
            tried: list[float] = []
            for strength in STRENGTHS[self.loss]:
                self._minimise(parts[0], strength)
                loss, scale = self._held_loss(parts[1])
                tried.append(loss)
                losses[Fit(strength, has_ratios, scale)] = loss
                if loss > min(tried):
                    break
            del parts
        return min(losses, key=losses.__getitem__)

    def _begin(self, rows: NgramRows, targets: Tensor, *, has_ratios: bool) -> None:
        self.weight.zero_()
        self.bias.zero_()
        if self.loss == "margin":
            self.ratios.fill_(1.0)
        if has_ratios:
            self.ratios.copy_(_ratios(rows, targets, *self.weight.shape))

    def _values(self, rows: NgramRows) -> Tensor:
        """Return the values of the features, of rows of length 1 where they have ratios."""
        if self.loss != "margin":
            return rows.values
        values = rows.values * self.ratios[rows.ids.data]
        index = rows.ids.sequence_index()
        squares = values.new_zeros(len(rows.lengths)).index_add(0, index, values.square())
        return values / squares.clamp(min=torch.finfo(values.dtype).tiny).sqrt()[index]

    @torch.no_grad()
    def inherit(self, earlier: "Wide") -> None:
        """Take the factors of another model, and how it was fitted, for the next fit."""
        self.factors.copy_(earlier.factors)
        self.fitted.copy_(earlier.fitted)

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

        kind: Loss = "squared" if self.loss == "squared" else "cross_entropy"

        def loss(a: Tensor, b: Tensor) -> Tensor:
            return _losses(kind, a * network + b * linear, targets).sum()

        self.factors.copy_(weigh(loss, self.expected))

    def _rows(self, rows: NgramRows, chosen: Tensor, targets: Tensor, weights: Tensor) -> "_Rows":
        """Return some of the rows as a matrix."""
        part, shape = rows.select(chosen.tolist()), (len(chosen), len(self.weight))
        indices = torch.stack([part.ids.sequence_index(), part.ids.data])
        with warnings.catch_warnings():
            # torch calls its sparse matrices a beta in a warning.
            warnings.simplefilter("ignore", UserWarning)
            matrix = torch.sparse_coo_tensor(indices, self._values(part), shape, is_coalesced=True)
            transposed = matrix.t().coalesce().to_sparse_csr()
            return _Rows(matrix.to_sparse_csr(), transposed, targets[chosen], weights[chosen], self.loss)

    def _minimise(self, rows: "_Rows", strength: float) -> None:
        weight, bias = (each.detach().clone().requires_grad_() for each in (self.weight, self.bias))
        penalty = 1 / (2 * strength * max(len(rows.targets), 1))
        _minimised(lambda: rows.loss(weight, bias) + penalty * weight.square().sum(), [weight, bias])
        self.weight.copy_(weight.detach())
        self.bias.copy_(bias.detach())

    def _held_loss(self, rows: "_Rows") -> tuple[float, float]:
        """Return the loss on rows, and the scale of a margin for which its cross entropy is least."""
        if self.loss != "margin":
            return rows.loss(self.weight, self.bias).item(), 1.0
        margins, scale = rows.outputs(self.weight, self.bias).double(), torch.tensor(SCALE, dtype=torch.float64)
        scale.requires_grad_()

        def loss() -> Tensor:
            return rows.mean(functional.cross_entropy(scale * margins, rows.targets, reduction="none"))

        _minimised(loss, [scale])
        return loss().item(), max(scale.item(), 0.0)


class _Rows(NamedTuple):
    """Labelled rows of sparse features as a matrix, and the same transposed."""

    matrix: Tensor
    transposed: Tensor
    targets: Tensor
    weights: Tensor
    kind: Loss

    def outputs(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the outputs of each row."""
        return _Product.apply(self.matrix, self.transposed, weight) + bias

    def loss(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the mean loss."""
        return self.mean(_losses(self.kind, self.outputs(weight, bias), self.targets))

    def mean(self, losses: Tensor) -> Tensor:
        """Return the weighted mean of the losses of the rows."""
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


def _ratios(rows: NgramRows, targets: Tensor, features: int, labels: int) -> Tensor:
    """Return the largest log-count ratio of each feature, see `Wide`."""
    sums = torch.zeros(features * labels, dtype=rows.values.dtype)
    sums.index_add_(0, rows.ids.data * labels + targets[rows.ids.sequence_index()], rows.values)
    own = sums.view(features, labels)
    others = own.sum(1, keepdim=True) - own + PSEUDOCOUNT * max(1, labels - 1)
    own = own + PSEUDOCOUNT
    return ((own / own.sum(0)).log() - (others / others.sum(0)).log()).abs().amax(1)


def _losses(kind: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of each row.

    The squared one is half the square, a log likelihood as the cross entropy is.
    """
    if kind == "squared":
        return (outputs - targets).square().sum(1) / 2
    if kind == "margin":
        signs = 2.0 * functional.one_hot(targets, outputs.shape[1]) - 1.0
        return (1.0 - signs * outputs).clamp(min=0).square().sum(1)
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
