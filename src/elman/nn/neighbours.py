"""A linear model of the features of neighbouring words, beside the network of a tagger."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.data.text.neighbours import find_neighbours
from elman.data.text.spelling import SpelledWords
from elman.nn.checks import refuse, wrong_size
from elman.nn.wide import ALONE, weigh

# The factors where there are no held-out words: the linear model counts less than it does where there are many.
FACTORS = (0.5, 0.2)
WORDS_AT_ONCE = 256
LEARNING_RATE = 0.05
DROPOUT = 0.2
PASSES = 8
# Words of whole sentences that are fitted, which bounds time and memory.
LARGEST = 1_000_000


class NeighbourModel(nn.Module):
    """A linear model of the features of words and their neighbours, whose scores are added to those of a network.

        scores = a · network + b · Σ_f W[f], over the features f of the word

    It is fitted by itself, as `elman.nn.wide.Wide`: `fit` finds W, `combine` finds a and b, which are 1 and 0 before.

    Args:
        known: the features that are known, of `elman.data.text.neighbours.learn_neighbours`.
        outputs: number of scores of a word.
    """

    known: Tensor
    factors: Tensor

    def __init__(self, known: Tensor, outputs: int):
        super().__init__()
        refuse(wrong_size("outputs", outputs))
        # Row 0 is that of every unknown feature, and stays zero.
        self.weight = nn.Parameter(torch.zeros(len(known) + 1, outputs), requires_grad=False)
        self.register_buffer("known", known, persistent=False)
        self.register_buffer("factors", torch.tensor(ALONE))

    def forward(self, words: SpelledWords) -> Tensor:
        """Return the scores of the linear model, `(total, outputs)`."""
        return _sums(find_neighbours(words, self.known), self.weight)

    @torch.no_grad()
    def inherit(self, earlier: "NeighbourModel") -> None:
        """Take the factors of another model."""
        self.factors.copy_(earlier.factors)

    def add(self, scores: Tensor, words: SpelledWords) -> Tensor:
        """Return the scores of a network, `(total, outputs)`, with those of the linear model."""
        a, b = self.factors
        return a * scores + b * self(words)

    @torch.no_grad()
    def fit(self, words: SpelledWords, targets: Tensor, *, seed: int = 0) -> None:
        """Fit the weights to words with their tags, by AdaGrad with one rate for each feature.

        A fifth of the features of each word is left out in each step, which regularises the fit. Of more than a million
        words some sentences are drawn.

        Args:
            words: of the training sentences.
            targets: positions of their tags, `(total,)`.
            seed: of what is drawn.

        Source:
            J. Duchi, E. Hazan, Y. Singer, Adaptive Subgradient Methods for Online Learning and Stochastic
            Optimization, 2011. Difference: the squares of a feature's gradients are averaged over the tags.
        """
        drawn = torch.Generator().manual_seed(seed)
        words, targets = _some(words, targets, drawn)
        features = find_neighbours(words, self.known)
        orders = [torch.randperm(len(targets), generator=drawn).split(WORDS_AT_ONCE) for _ in range(PASSES)]
        steps = [chosen for order in orders for chosen in order]
        squares = torch.full((len(self.weight), 1), 1e-8)
        for number, chosen in enumerate(steps):
            found = features[chosen]
            kept = torch.rand(found.shape, generator=drawn) >= DROPOUT
            self._step(found * kept, targets[chosen], LEARNING_RATE * (1 - number / len(steps)), squares)

    @torch.no_grad()
    def combine(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Weigh both parts so that their sum fits held-out sentences.

        Args:
            loss: gives the sum of the losses of held-out words for the two factors; 0 if there are none.
        """
        self.factors.copy_(weigh(loss, FACTORS))

    def _step(self, features: Tensor, targets: Tensor, rate: float, squares: Tensor) -> None:
        """Take one step with words `(words, features)`."""
        errors = (_sums(features, self.weight) / (1 - DROPOUT)).softmax(1)
        errors[torch.arange(len(targets)), targets] -= 1
        errors /= 1 - DROPOUT
        rows, at = features.flatten().unique(return_inverse=True)
        each = errors.repeat_interleave(features.shape[1], 0)
        gradients = torch.zeros(len(rows), errors.shape[1]).index_add(0, at, each)
        squares[rows] += gradients.square().mean(1, keepdim=True)
        self.weight[rows] -= rate * gradients / squares[rows].sqrt()
        self.weight[0] = 0


def _sums(features: Tensor, weight: Tensor) -> Tensor:
    """Return the sum of the rows of the features of each word, without row 0."""
    if not len(features):
        return weight.new_zeros(0, weight.shape[1])
    return functional.embedding_bag(features, weight, mode="sum", padding_idx=0)


def _some(words: SpelledWords, targets: Tensor, generator: torch.Generator) -> tuple[SpelledWords, Tensor]:
    """Return sentences of at most `LARGEST` words, and their targets."""
    if len(targets) <= LARGEST:
        return words, targets
    order = torch.randperm(len(words.lengths), generator=generator)
    chosen = order[words.lengths[order].cumsum(0) <= LARGEST].sort().values.tolist()
    return words.select(chosen), words.ids.replace(targets).select(chosen).data
