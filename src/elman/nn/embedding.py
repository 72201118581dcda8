"""From token ids to rows of numbers."""

import torch
from torch import nn
from torch.nn import functional

from elman.errors import ShapeError
from elman.nn.regularisers import scaled_mask
from elman.sequences.ragged import Ragged


class OneHot(nn.Module):
    """Each id as a row with a single 1; some ids, such as that of an unknown token, as a row of zeros.

    Args:
        size: number of ids.
        zeros: how many of the first ids are rows of zeros; the rows have `size - zeros` features.

    >>> OneHot(4, zeros=1)(Ragged(torch.tensor([0, 2]), [2])).data
    tensor([[0., 0., 0.],
            [0., 1., 0.]])
    """

    def __init__(self, size: int, zeros: int = 0):
        super().__init__()
        self.output_size = size - zeros
        table = torch.cat([torch.zeros(zeros, size - zeros), torch.eye(size - zeros)])
        self.table: torch.Tensor
        self.register_buffer("table", table, persistent=False)

    def lookup(self, batch: Ragged) -> tuple[Ragged, torch.Tensor]:
        """The ids, and the table whose rows `forward` gives for them."""
        return batch, self.table

    def forward(self, batch: Ragged) -> Ragged:
        """From ids `(total,)` to rows `(total, output_size)`."""
        return batch.replace(self.table.index_select(0, batch.data))


class Embedding(nn.Module):
    """Each id as a learned row.

    Args:
        size: number of ids.
        features: length of a row.
        zeros: how many of the first rows start from 0, so that an id that training never meets says nothing.
        deviation: standard deviation of the other rows at the start.
        dropout: the probability with which an id is read as id 0 while training.
        row_dropout: the probability with which a whole row of the table is read as zeros while training, wherever its
            id stands in the batch, and the others scaled up: embedding dropout.

    Source:
        Y. Bengio et al., A Neural Probabilistic Language Model, 2003, section 2. The rows start from a normal
        distribution, as in torch. Embedding dropout: Y. Gal, Z. Ghahramani, 2016, section 4.2, with one mask for the
        whole batch, as in S. Merity et al., Regularizing and Optimizing LSTM Language Models, 2018, section 4.3.
    """

    def __init__(
        self,
        size: int,
        features: int,
        zeros: int = 0,
        deviation: float = 1.0,
        dropout: float = 0.0,
        row_dropout: float = 0.0,
    ):
        super().__init__()
        self.output_size = features
        self.dropout = dropout
        self.row_dropout = row_dropout
        self.table = nn.Embedding(size, features)
        with torch.no_grad():
            self.table.weight.mul_(deviation)[:zeros] = 0.0

    def lookup(self, batch: Ragged) -> tuple[Ragged, torch.Tensor] | None:
        """The ids and the table whose rows `forward` gives for them, where it gives rows of a table as they are."""
        if batch.data.dim() > 1 or (self.training and self.row_dropout):
            return None
        return batch.replace(self._some_dropped(batch.data)), self.table.weight

    def _some_dropped(self, ids: torch.Tensor) -> torch.Tensor:
        if not (self.training and self.dropout):
            return ids
        return ids * (torch.rand(ids.shape, device=ids.device) >= self.dropout)

    def forward(self, batch: Ragged) -> Ragged:
        """From ids to rows `(total, features)`.

        The ids are `(total,)`, or `(total, ids)` for several a step, whose rows add up, those of id 0 left out.
        """
        ids = self._some_dropped(batch.data)
        kept = None
        if self.training and self.row_dropout:
            table = self.table.weight
            # One number a row of the table, looked up: the table itself, which can be large, is not multiplied.
            kept = scaled_mask(table, len(table), probability=self.row_dropout)[ids]
        if ids.dim() == 1:
            rows = self.table(ids)
            return batch.replace(rows if kept is None else rows * kept.unsqueeze(1))
        table = self.table.weight
        return batch.replace(functional.embedding_bag(ids, table, mode="sum", padding_idx=0, per_sample_weights=kept))


class EachStep(nn.Module):
    """A module applied to every step: what Keras calls TimeDistributed.

    Args:
        module: takes `(rows, feature)`; `nn.Linear`, or any stack of such modules.

    >>> EachStep(nn.Linear(3, 2))(Ragged(torch.zeros(5, 3), [4, 1])).data.shape
    torch.Size([5, 2])
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, inputs):
        """The module on the rows of a `Ragged` batch, or on the last axis of `(batch, time, feature)`."""
        if isinstance(inputs, Ragged):
            return inputs.map(self.module)
        if inputs.dim() != 3:
            raise ShapeError(
                f"A tensor of shape {tuple(inputs.shape)} came.", fix="Give a Ragged batch or (batch, time, feature)."
            )
        return self.module(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
