"""Networks for sequences: embed, recurrent body, then pooling and dense layers."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.data.text.ngrams import NgramRows, TextsWithNgrams
from elman.errors import ShapeError
from elman.network_parts import build_steps, dense_layers, example_of, read_inputs, read_steps, without_first
from elman.nn.penalties import read_each
from elman.nn.pooling import Pooling
from elman.nn.recurrent import Recurrent
from elman.nn.reservoir_body import ReservoirBody, shifted, with_table
from elman.nn.wide import Wide
from elman.settings.network import NetworkSettings as NetworkSettings
from elman.settings.network import StepSettings


class RowNetwork(nn.Module):
    """A network that reads a batch of sequences and gives one row for each.

    Args:
        settings: the layers.
        outputs: size of the rows.
        wide: number of features of a linear model whose logits are added, see `Wide`; None for no such model.
        sizes: of what it reads, by name; see `StepNetwork`.
        cell: the cell itself, where `settings.cell` only names it (from a file, or from a saved model).
    """

    def __init__(
        self,
        settings: NetworkSettings,
        outputs: int,
        *,
        cell: Cell | None = None,
        wide: int | None = None,
        **sizes: Any,
    ):
        super().__init__()
        width = build_steps(self, settings, cell, **sizes)
        self.max_length = settings.max_length
        self.pooling = Pooling(settings.pooling, width, settings.max_length)
        self.dense = dense_layers(settings, self.pooling.output_size, outputs)
        self.wide = None if wide is None else Wide(wide, outputs, "margin")

    def forward(self, batch: Ragged | TextsWithNgrams) -> Tensor:
        """Return rows `(batch, outputs)` of ids `(total,)` or numbers `(total, feature)`.

        In training they are without those of the linear model, and n-grams are not needed.
        """
        return _read_wide(self, batch)

    def read(self, batch: Ragged) -> Tensor:
        """Return the rows without those of the linear model."""
        steps, end = read_steps(self, batch)
        return self.dense(self.pooling(without_first(steps, getattr(self.settings, "warmup_steps", 0)), end))

    def example(self) -> Ragged | TextsWithNgrams:
        """Return a small batch of the kind that the network reads."""
        return _wide_example(example_of(self, self.max_length), self.wide)


class Ensemble(nn.Module):
    """Networks of the same layers that are trained side by side, each from first weights of its own, and averaged.

    Args:
        settings: the layers of each.
        outputs: size of the rows.
        members: number of networks.
        wide: number of features of one linear model beside all of them, as for `RowNetwork`.
        average: gives the average of rows `(members, batch, outputs)`; by default that of the probabilities of logits.
        how: `cell` and sizes, as for `RowNetwork`.

    Source:
        B. Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles, 2017,
        algorithm 1. Differences: without adversarial examples, and all networks read the same minibatches.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        outputs: int,
        members: int,
        *,
        wide: int | None = None,
        average: Callable[[Tensor], Tensor] | None = None,
        **how: Any,
    ):
        super().__init__()
        self.settings = settings
        self.average = average or _mean_probabilities
        self.members = nn.ModuleList(RowNetwork(settings, outputs, **how) for _ in range(members))
        self.wide = None if wide is None else Wide(wide, outputs, "margin")

    @property
    def body(self) -> Recurrent | None:
        """The recurrent layers of the first network."""
        return self.members[0].body  # type: ignore[return-value]

    def forward(self, batch: Ragged | TextsWithNgrams) -> Tensor:
        """Return rows `(batch, outputs)`, in training `(members, batch, outputs)`."""
        return _read_wide(self, batch)

    def read(self, batch: Ragged) -> Tensor:
        """Return the rows without the linear model."""
        rows = torch.stack(read_each(self.members, lambda member: member.read(batch)))
        return rows if self.training else self.average(rows)

    def example(self) -> Ragged | TextsWithNgrams:
        """Return a small batch of the kind that the networks read."""
        return _wide_example(self.members[0].example(), self.wide)  # type: ignore[operator]


def _mean_probabilities(rows: Tensor) -> Tensor:
    """Return the logarithms of the mean probabilities of logits."""
    return rows.log_softmax(2).logsumexp(0) - math.log(len(rows))


def _read_wide(network: Any, batch: Ragged | TextsWithNgrams) -> Tensor:
    """Return the rows of a network, with those of its linear model outside training."""
    rows = network.read(batch.ids if isinstance(batch, TextsWithNgrams) else batch)
    if network.wide is None or network.training:
        return rows
    if not isinstance(batch, TextsWithNgrams):
        raise ShapeError("Expected texts with n-grams, got ids alone.", fix="Give a TextsWithNgrams.")
    return network.wide.add(rows, batch.ngrams)


def _wide_example(ids: Ragged, wide: Wide | None) -> Ragged | TextsWithNgrams:
    if wide is None:
        return ids
    count = min(2, len(wide.weight))
    return TextsWithNgrams(ids, NgramRows(Ragged(torch.arange(count), [count, 0]), torch.ones(count)))


class StepNetwork(nn.Module):
    """A network that reads a batch of sequences and gives one row for each step.

    Args:
        settings: the layers.
        outputs: size of the rows.
        sizes: of what it reads, by name: `vocabulary_size`, number of token ids, if it reads tokens; `unused_ids`, how
            many of the first ids stand for no token (unknown, padding) and begin as rows of zeros; `features` of a
            step, if it reads numbers; `ngrams`, ids of a step that add up; `start`, pretrained rows of the embedding;
            `rare`, ids that `rare_dropout` reads as unknown; `numbers`, how numbers are read.
        cell: the cell itself, where `settings.cell` only names it (from a file, or from a saved model).
    """

    def __init__(self, settings: StepSettings, outputs: int, *, cell: Cell | None = None, **sizes: Any):
        super().__init__()
        self.dense = dense_layers(settings, build_steps(self, settings, cell, fed=outputs, **sizes), outputs)

    def forward(self, batch: Ragged, known: Ragged | None = None) -> Ragged:
        """Return rows `(total, outputs)` of ids `(total,)` or numbers `(total, feature)`.

        Args:
            batch: ids or numbers.
            known: of a network with feedback, the rows `(total, outputs)` to feed back, each at the step after it; its
                own rows if not given.
        """
        if known is None and isinstance(self.body, ReservoirBody) and self.body.outputs:
            return self.body.run_closed(with_table(*read_inputs(self, batch)), self.dense)
        steps, _ = read_steps(self, batch, fed=None if known is None else shifted(known))
        return steps.map(self.dense)

    def example(self) -> Ragged:
        """Return a small batch of the kind that the network reads."""
        return example_of(self, None)
