"""Regularisers, which keep a network from learning its training data by heart.

All of them act in training mode only, and draw from torch's random generator.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.compiler.graph import Graph
from elman.data.ragged.ragged import Ragged
from elman.nn.checks import check_ragged, refuse, wrong_probability, wrong_weight
from elman.nn.penalties import add_penalty
from elman.tensors import constant_in_compiled_code


def scaled_mask(like: Tensor, *shape: int, probability: float) -> Tensor:
    """Draw a mask of mean 1, with zeros of this probability, of the type of `like`."""
    kept = like.new_empty(shape).bernoulli_(1.0 - probability)
    return kept if probability == 1.0 else kept.div_(1.0 - probability)


def drop_features(data: Tensor, batch: Ragged, probability: float, training: bool) -> Tensor:
    """Drop features, the same ones at all steps of a sequence, and scale up the others.

    Args:
        data: `(total, feature)`.
        batch: the batch whose steps are the rows of `data`.
        probability: probability of dropping a feature of a sequence.
        training: whether to drop at all.
    """
    if not training or probability == 0.0:
        return data
    kept = scaled_mask(data, batch.batch_size, data.shape[1], probability=probability)
    return data * kept.index_select(0, batch.sequence_index().to(data.device))


class SequenceDropout(nn.Module):
    """Dropout with one mask for all steps of a sequence.

    If a long sequence is read in parts with carried states, each part has a mask of its own.

    Args:
        probability: probability, from 0 to 1, of dropping a feature of a sequence in training.

    Raises:
        UsageError: a probability that is not from 0 to 1.

    Source:
        Y. Gal, Z. Ghahramani, A Theoretically Grounded Application of Dropout in Recurrent Neural Networks, 2016.
    """

    def __init__(self, probability: float):
        super().__init__()
        refuse(wrong_probability("probability", probability))
        self.probability = probability

    def forward(self, batch):
        """Drop features of a `Ragged` batch or of a tensor `(batch, time, feature)`."""
        if isinstance(batch, Ragged):
            return batch.replace(drop_features(batch.data, batch, self.probability, self.training))
        if not isinstance(batch, Tensor) or batch.dim() != 3:
            check_ragged(self, batch, "data (total, feature), or a tensor (batch, time, feature)")
        return self(Ragged.from_dense(batch)).data.unflatten(0, batch.shape[:2])

    def with_last(self, steps: Ragged, last: Tensor) -> tuple[Ragged, Tensor]:
        """Drop the same features from the outputs at every step and the last outputs."""
        if not self.training or self.probability == 0.0:
            return steps, last
        kept = scaled_mask(last, *last.shape, probability=self.probability)
        return steps.replace(steps.data * kept.index_select(0, steps.sequence_index())), last * kept

    def extra_repr(self) -> str:
        """Return the settings for printing the module."""
        return f"probability={self.probability}"


def drop_weights(graph: Graph, weights: Mapping[str, Tensor], probability: float, training: bool) -> dict[str, Tensor]:
    """Drop weights of the recurrent matrices of a step, and scale up their other weights.

    A state reaches a later state through a recurrent matrix: U of a simple network, all four of an LSTM. A weight is
    dropped at all steps of all sequences, and gets no gradient. The parameters themselves do not change.

    Args:
        graph: the step.
        weights: each parameter by its name.
        probability: probability of dropping a weight.
        training: whether to drop at all.

    Returns:
        Each parameter by its name.

    Source:
        S. Merity, N. Keskar, R. Socher, Regularizing and Optimizing LSTM Language Models, 2018, section 2, after
        L. Wan et al., Regularization of Neural Networks using DropConnect, 2013.
    """
    if not training or probability == 0.0:
        return dict(weights)
    dropped = {name: functional.dropout(weights[name], probability) for name in _recurrent_matrices(graph)}
    return {**weights, **dropped}


@constant_in_compiled_code
def _recurrent_matrices(graph: Graph) -> tuple[str, ...]:
    return graph.recurrent_matrices


def draw_inputs(graph: Graph, batch: Ragged, like: Tensor) -> list[Tensor]:
    """Draw the ones and zeros of each random input of a step, `(total, size)`.

    Args:
        graph: the step.
        batch: the batch over which the step runs.
        like: a tensor of the wanted type, on the wanted device.
    """
    return [
        _draw(like, batch, node.size, draw.probability, draw.per == "sequence")
        for node, draw in zip(graph.drawn, graph.draws, strict=True)
    ]


def _draw(like: Tensor, batch: Ragged, size: int, probability: float, same_over_time: bool) -> Tensor:
    if not same_over_time:
        return like.new_empty(batch.total, size).bernoulli_(probability)
    drawn = like.new_empty(batch.batch_size, size).bernoulli_(probability)
    return drawn.index_select(0, batch.sequence_index().to(like.device))


class ActivationRegulariser(nn.Module):
    """A penalty on large outputs and on outputs that change much from step to step.

    penalty = activation · mean(d²) + temporal · mean((h_t+1 - h_t)²)

    h are the outputs of the recurrent layers, and d these outputs with features dropped. The first mean is over all
    steps and features, the second over all pairs of consecutive steps within a sequence and over features.

    Args:
        activation: weight of the first term (AR). Default 0.
        temporal: weight of the second term (TAR). Default 0.

    Raises:
        UsageError: a weight that is not a finite number of at least 0.

    Source:
        S. Merity, B. McCann, R. Socher, Revisiting Activation Regularization for Language RNNs, 2017. Difference:
        a mean of squares instead of the norm, as in the authors' program.
    """

    def __init__(self, activation: float = 0.0, temporal: float = 0.0):
        super().__init__()
        refuse(wrong_weight("activation", activation), wrong_weight("temporal", temporal))
        self.activation = activation
        self.temporal = temporal

    def forward(self, steps: Ragged, dropped: Ragged) -> Ragged:
        """Add the penalty to the loss (see `elman.nn.penalties`), and return `dropped` unchanged."""
        check_ragged(self, steps, "outputs (total, feature)")
        check_ragged(self, dropped, "outputs (total, feature)")
        if self.training:
            add_penalty(self.penalty(steps, dropped))
        return dropped

    def penalty(self, steps: Ragged, dropped: Ragged) -> Tensor:
        """Return the penalty of these outputs, a scalar."""
        changes = steps.data.diff(dim=0)[steps.step_index()[1:] > 0]
        return self.activation * _mean_square(dropped.data) + self.temporal * _mean_square(changes)

    def extra_repr(self) -> str:
        """Return the settings for printing the module."""
        return f"activation={self.activation}, temporal={self.temporal}"


def _mean_square(values: Tensor) -> Tensor:
    """Return the mean of the squares, or 0 if there are none."""
    return values.square().sum() / max(values.numel(), 1)


class RareDropout(nn.Module):
    """Reads some of the rare tokens as unknown in training, so that the unknown token is learned.

    Args:
        size: number of token ids, of which 0 is the unknown token.
        rare: ids of the rare tokens.
        share: probability with which each of them is read as unknown.
    """

    is_rare: Tensor

    def __init__(self, size: int, rare: Sequence[int], share: float):
        super().__init__()
        self.share = share
        is_rare = torch.zeros(size, dtype=torch.bool)
        is_rare[list(rare)] = True
        self.register_buffer("is_rare", is_rare, persistent=False)

    def forward(self, batch: Ragged) -> Ragged:
        """Return ids `(total,)`, some of them 0 in training."""
        if not self.training:
            return batch
        ids = batch.data
        unknown = self.is_rare[ids] & (torch.rand(ids.shape, device=ids.device) < self.share)
        return batch.replace(ids * ~unknown)
