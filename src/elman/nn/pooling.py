"""From the outputs at every step to one row a sequence."""

from collections.abc import Callable
from typing import Any, get_args

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError, nearest
from elman.nn.checks import check_ragged, refuse, wrong_size
from elman.settings.network import PoolingName as PoolingName


class Attention(nn.Module):
    """The mean over the steps, weighted by a learned score of each step.

    a_t = softmax_t(v · tanh(W h_t + b))        result = Σ_t a_t h_t

    Args:
        features: of a step.

    Source:
        Z. Yang et al., Hierarchical Attention Networks for Document Classification, NAACL 2016, equations 5 to 7.
        Difference: the hidden layer has the size of the step. An empty sequence gives zeros.
    """

    def __init__(self, features: int):
        super().__init__()
        refuse(wrong_size("features", features))
        self.hidden = nn.Linear(features, features)
        self.score = nn.Linear(features, 1, bias=False)

    def forward(self, steps: Ragged) -> Tensor:
        """From `(total, feature)` to `(batch, feature)`."""
        check_ragged(self, steps, "steps (total, feature)")
        scores = steps.map(lambda data: self.score(torch.tanh(self.hidden(data))))
        index = scores.sequence_index()
        shifted = (scores.data - scores.detach().max().index_select(0, index)).exp()
        weights = shifted / scores.replace(shifted).sum().index_select(0, index)
        return steps.replace(weights * steps.data).sum()


class Flatten(nn.Module):
    """All the steps of a sequence side by side, filled up with zeros to a fixed number of steps.

    Args:
        max_length: steps.

    Raises:
        ShapeError: a sequence is longer.
    """

    def __init__(self, max_length: int):
        super().__init__()
        refuse(wrong_size("max_length", max_length))
        self.max_length = max_length

    def forward(self, steps: Ragged) -> Tensor:
        """From `(total, feature)` to `(batch, max_length · feature)`."""
        check_ragged(self, steps, "steps (total, feature)")
        if steps.longest > self.max_length:
            raise ShapeError(
                f"A sequence has {steps.longest} steps, and this network has inputs for {self.max_length}.",
                fix="Give shorter sequences, or train it anew with a larger max_length.",
            )
        filled = steps.data.new_zeros(steps.batch_size * self.max_length, steps.data.shape[1])
        index = steps.sequence_index() * self.max_length + steps.step_index()
        return filled.index_copy(0, index, steps.data).unflatten(0, (steps.batch_size, self.max_length)).flatten(1)


POOLS: dict[str, Callable[[Ragged], Tensor]] = {"mean": Ragged.mean, "max": Ragged.max, "sum": Ragged.sum}


class Pooling(nn.Module):
    """One row a sequence from the outputs at every step; several ways side by side.

    Args:
        names: `last` (the last output of each direction), `mean`, `max`, `sum`, `attention`, `flatten`.
        features: of a step.
        max_length: steps, for `flatten`.

    Raises:
        UsageError: no name, one that is no pooling, `flatten` without `max_length`, or sizes below 1.
    """

    def __init__(self, names: tuple[PoolingName, ...], features: int, max_length: int | None = None):
        super().__init__()
        refuse(_wrong_names(names, max_length), wrong_size("features", features))
        self.names = names
        self.attention = Attention(features) if "attention" in names else None
        self.flatten = Flatten(max_length) if "flatten" in names and max_length else None
        sizes = {"flatten": features * (max_length or 0)}
        self.output_size = sum(sizes.get(name, features) for name in names)

    def forward(self, steps: Ragged, last: Tensor | None) -> Tensor:
        """From the steps `(total, feature)` and the last outputs `(batch, feature)` to `(batch, output_size)`.

        Raises:
            ShapeError: the steps are no `Ragged` batch, or `last` is pooled and the last outputs are missing.
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
        return [f"Expected names to be a tuple, got {names!r}: give the names of poolings, as ('last', 'mean')."]
    problems = [f"There is no pooling `{name}`. {nearest(name, valid)}" for name in names if name not in valid]
    problems += [] if names else [f"No pooling is named. {nearest('', valid)}"]
    if "flatten" in names and max_length is None:
        return [*problems, "`flatten` needs max_length: give its number of steps."]
    return problems + ([] if max_length is None else wrong_size("max_length", max_length))
