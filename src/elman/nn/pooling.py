"""Layers that turn the outputs at every step into one row for each sequence."""

from collections.abc import Callable
from typing import Any, get_args

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError, nearest
from elman.nn.checks import check_ragged, refuse, wrong_name, wrong_size
from elman.settings.network import PoolingName as PoolingName


class Attention(nn.Module):
    """Pooling by attention: the mean over the steps, weighted by a learned score of each step.

    a_t = softmax_t(v · tanh(W h_t + b))        result = Σ_t a_t h_t

    It has no query: the attention of a decoder to the steps of another sequence is another layer.

    Args:
        features: number of features of a step.

    Raises:
        UsageError: features below 1.

    Source:
        Z. Yang et al., Hierarchical Attention Networks for Document Classification, NAACL 2016, equations 5 to 7.
        Difference: the hidden layer has the size of the step. The row of an empty sequence is zeros.

    >>> Attention(3)(Ragged(torch.zeros(5, 3), [4, 1])).shape
    torch.Size([2, 3])
    """

    def __init__(self, features: int):
        super().__init__()
        refuse(wrong_size("features", features))
        self.hidden = nn.Linear(features, features)
        self.score = nn.Linear(features, 1, bias=False)

    def forward(self, steps: Ragged) -> Tensor:
        """Pool the steps `(total, feature)` to rows `(batch, feature)`."""
        check_ragged(self, steps, "steps (total, feature)")
        scores = steps.map(lambda data: self.score(torch.tanh(self.hidden(data))))
        index = scores.sequence_index()
        shifted = (scores.data - scores.detach().max().index_select(0, index)).exp()
        weights = shifted / scores.replace(shifted).sum().index_select(0, index)
        return steps.replace(weights * steps.data).sum()


class Flatten(nn.Module):
    """All steps of a sequence side by side, padded with zeros to a fixed number of steps.

    Args:
        max_length: number of steps.

    Raises:
        UsageError: a max_length below 1.
    """

    def __init__(self, max_length: int):
        super().__init__()
        refuse(wrong_size("max_length", max_length))
        self.max_length = max_length

    def forward(self, steps: Ragged) -> Tensor:
        """Flatten the steps `(total, feature)` to rows `(batch, max_length · feature)`.

        Raises:
            ShapeError: a sequence has more than `max_length` steps.
        """
        check_ragged(self, steps, "steps (total, feature)")
        if steps.longest > self.max_length:
            raise ShapeError(
                f"Expected sequences of at most {self.max_length} steps, got one of {steps.longest}.",
                fix="Give shorter sequences, or train the network again with a larger max_length.",
            )
        filled = steps.data.new_zeros(steps.batch_size * self.max_length, steps.data.shape[1])
        index = steps.sequence_index() * self.max_length + steps.step_index()
        return filled.index_copy(0, index, steps.data).unflatten(0, (steps.batch_size, self.max_length)).flatten(1)


POOLS: dict[str, Callable[[Ragged], Tensor]] = {"mean": Ragged.mean, "max": Ragged.max, "sum": Ragged.sum}


class Pooling(nn.Module):
    """One row for each sequence from the outputs at every step, by one or several poolings side by side.

    Args:
        names: names of poolings: `"last"` (the last output of each direction), `"mean"`, `"max"`, `"sum"`,
            `"attention"`, `"flatten"`.
        features: number of features of a step.
        max_length: number of steps of `"flatten"`. Default none.

    Raises:
        UsageError: no name, an unknown name, `flatten` without `max_length`, or sizes below 1.

    >>> pooling = Pooling(("mean", "max"), features=3)
    >>> pooling(Ragged(torch.zeros(5, 3), [4, 1])).shape
    torch.Size([2, 6])
    """

    def __init__(self, names: tuple[PoolingName, ...], features: int, max_length: int | None = None):
        super().__init__()
        refuse(_wrong_names(names, max_length), wrong_size("features", features))
        self.names = names
        self.attention = Attention(features) if "attention" in names else None
        self.flatten = Flatten(max_length) if "flatten" in names and max_length else None
        sizes = {"flatten": features * (max_length or 0)}
        self.output_size = sum(sizes.get(name, features) for name in names)

    def forward(self, steps: Ragged, last: Tensor | None = None) -> Tensor:
        """Pool the steps `(total, feature)` to rows `(batch, output_size)`.

        Args:
            steps: the outputs at every step.
            last: the last outputs `(batch, feature)`, which only `"last"` reads.

        Raises:
            ShapeError: the steps are not a `Ragged` batch, or the last outputs are missing.
        """
        check_ragged(self, steps, "steps (total, feature)")
        if "last" in self.names and not isinstance(last, Tensor):
            raise ShapeError(
                f"Pooling by `last` expects the last outputs (batch, {steps.data.shape[-1]}), got {last!r}.",
                fix="Give both results of a layer: steps, state = layer(batch); pooling(steps, state.output).",
            )
        return torch.cat([self._pool(name, steps, last) for name in self.names], -1)

    def _pool(self, name: PoolingName, steps: Ragged, last: Any) -> Tensor:
        if name == "last":
            return last
        learned = {"attention": self.attention, "flatten": self.flatten}
        return (learned.get(name) or POOLS[name])(steps)


def _wrong_names(names: Any, max_length: Any) -> list[str]:
    valid = get_args(PoolingName)
    if not isinstance(names, tuple | list):
        return [f"Expected names to be a tuple, got {names!r}: give names of poolings, such as ('last', 'mean')."]
    problems = [problem for name in names for problem in wrong_name("each of names", name, valid)]
    problems += [] if names else [f"Expected names of poolings, got none. {nearest('', valid)}"]
    if "flatten" in names and max_length is None:
        return [*problems, "Expected max_length for `flatten`, got None: give its number of steps."]
    return problems + ([] if max_length is None else wrong_size("max_length", max_length))
