"""Layers that turn token ids into rows of numbers, and `EachStep`."""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules import module as torch_module

from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError
from elman.nn.checks import check_ragged, refuse, wrong_probability, wrong_size, wrong_weight
from elman.nn.regularisers import scaled_mask


class OneHot(nn.Module):
    """A row with a single 1 for each id, and a row of zeros for some ids, such as that of an unknown token.

    Args:
        size: number of ids.
        zeros: number of ids, from 0 up, whose rows are zeros. Default 0. The rows have `size - zeros` features.

    Raises:
        UsageError: no ids, or more rows of zeros than ids.

    >>> OneHot(4, zeros=1)(Ragged(torch.tensor([0, 2]), [2])).data
    tensor([[0., 0., 0.],
            [0., 1., 0.]])
    """

    def __init__(self, size: int, zeros: int = 0):
        super().__init__()
        refuse(wrong_size("size", size))
        refuse(wrong_size("zeros", zeros, 0, size))
        self.output_size = size - zeros
        table = torch.cat([torch.zeros(zeros, size - zeros), torch.eye(size - zeros)])
        self.table: torch.Tensor
        self.register_buffer("table", table, persistent=False)

    def lookup(self, batch: Ragged) -> tuple[Ragged, torch.Tensor] | None:
        """Return the ids and the table with their rows, or `None` as `Embedding.lookup` does."""
        check_ragged(self, batch, "ids (total,)")
        return (batch, self.table) if is_as_built(self, OneHot) else None

    def forward(self, batch: Ragged) -> Ragged:
        """Return the rows `(total, output_size)` of ids `(total,)`."""
        check_ragged(self, batch, "ids (total,)")
        return batch.replace(self.table.index_select(0, batch.data))


class Embedding(nn.Module):
    """A learned row for each id.

    Args:
        size: number of ids.
        features: number of features of a row.
        zeros: number of rows, from the first, that start from zeros, so that an id without training contributes
            nothing. Default 0.
        deviation: standard deviation of the other rows at the start. Default 1.
        dropout: probability, from 0 to 1, of reading an id as id 0 in training. Default 0.
        row_dropout: probability, from 0 to 1, of reading a row of the table as zeros in training, at every occurrence
            of its id in the batch; the other rows are scaled up: embedding dropout. Default 0.

    Attributes:
        table: an `nn.Embedding`, which may be replaced by one with options (`padding_idx`, `max_norm`, …), or by any
            module that returns a row for each id.

    Raises:
        UsageError: sizes below 1, more rows of zeros than ids, or probabilities that are not from 0 to 1.

    >>> rows = Embedding(7, 3)(Ragged(torch.tensor([5, 0, 2]), [1, 2]))
    >>> rows.data.shape, rows.lengths
    (torch.Size([3, 3]), tensor([1, 2]))

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
        refuse(
            wrong_size("size", size),
            wrong_size("features", features),
            wrong_weight("deviation", deviation),
            wrong_probability("dropout", dropout),
            wrong_probability("row_dropout", row_dropout),
        )
        refuse(wrong_size("zeros", zeros, 0, size))
        self.size = size
        self.output_size = features
        self.dropout = dropout
        self.row_dropout = row_dropout
        self.table = nn.Embedding(size, features)
        with torch.no_grad():
            self.table.weight.mul_(deviation)[:zeros] = 0.0

    def lookup(self, batch: Ragged) -> tuple[Ragged, torch.Tensor] | None:
        """Return the ids and the table with their rows, for the `table` of `Recurrent`.

        Returns:
            `None` where only `forward` computes the rows: for several ids a step, dropped rows, a hook, or a table that
            is not a plain `nn.Embedding`.
        """
        check_ragged(self, batch, "ids (total,)")
        if batch.data.dim() > 1 or (self.training and self.row_dropout):
            return None
        if not (is_as_built(self, Embedding) and self._is_plain()):
            return None
        return batch.replace(self._some_dropped(batch.data)), self.table.weight

    def rows(self) -> torch.Tensor:
        """Return the row of each id in evaluation, `(size, features)`."""
        if self._is_plain():
            return self.table.weight
        return self.table(torch.arange(self.size, device=next(self.parameters(), torch.empty(())).device))

    @torch.no_grad()
    def copy_rows(self, ids: torch.Tensor, rows: torch.Tensor) -> None:
        """Replace the rows of some ids, such as by pretrained vectors.

        Args:
            ids: `(rows,)`.
            rows: `(rows, features)`.
        """
        if len(ids):
            self.table.weight[ids] = rows.to(self.table.weight)

    def _is_plain(self) -> bool:
        """Return whether the table returns the rows of its weight without change."""
        return is_as_built(self.table, nn.Embedding) and (
            self.table.padding_idx is None
            and self.table.max_norm is None
            and not self.table.scale_grad_by_freq
            and not self.table.sparse
        )

    def _some_dropped(self, ids: torch.Tensor) -> torch.Tensor:
        if not (self.training and self.dropout):
            return ids
        return ids * (torch.rand(ids.shape, device=ids.device) >= self.dropout)

    def forward(self, batch: Ragged) -> Ragged:
        """Return the rows of ids, `(total, features)`.

        The ids are `(total,)`, or `(total, ids)` for several ids a step: their rows are added, except that of id 0.
        """
        check_ragged(self, batch, "ids (total,), or (total, ids)")
        ids = self._some_dropped(batch.data)
        if ids.dim() > 1 and self._is_plain():
            table = self.table.weight
            kept = self._kept(ids, table)
            sums = functional.embedding_bag(ids, table, mode="sum", padding_idx=0, per_sample_weights=kept)
            return batch.replace(sums)
        rows = self.table(ids)
        kept = self._kept(ids, rows)
        rows = rows if kept is None else rows * kept.unsqueeze(-1)
        return batch.replace(rows if ids.dim() == 1 else (rows * (ids != 0).unsqueeze(-1)).sum(1))

    def _kept(self, ids: torch.Tensor, like: torch.Tensor) -> torch.Tensor | None:
        """Return the factor of each id's row, 0 for dropped rows, or `None` if no rows are dropped."""
        if not (self.training and self.row_dropout):
            return None
        # One factor for each row of the table is looked up: the table can be large, and is not multiplied.
        return scaled_mask(like, self.size, probability=self.row_dropout)[ids]


def is_as_built(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Return whether a call runs this class's `forward` alone, without hooks."""
    return (
        type(module) is kind
        and "forward" not in vars(module)
        and not (module._forward_hooks or module._forward_pre_hooks)
        and not (module._backward_hooks or module._backward_pre_hooks)
        and not torch_module._has_any_global_hook()
    )


class EachStep(nn.Module):
    """A module applied to every step, as Keras's TimeDistributed.

    Args:
        module: a module that takes `(rows, feature)`, such as `nn.Linear` or a stack of such modules.

    Raises:
        UsageError: the module is not an `nn.Module`.

    >>> EachStep(nn.Linear(3, 2))(Ragged(torch.zeros(5, 3), [4, 1])).data.shape
    torch.Size([5, 2])
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        if not isinstance(module, nn.Module):
            raise UsageError(
                f"Expected module to be an nn.Module, got {module!r}.", fix="Give a module, as nn.Linear(3, 2)."
            )
        self.module = module

    def forward(self, inputs):
        """Apply the module to the steps of a `Ragged` batch or of `(batch, time, feature)`."""
        if isinstance(inputs, Ragged):
            return inputs.map(self.module)
        if not isinstance(inputs, torch.Tensor) or inputs.dim() != 3:
            check_ragged(self, inputs, "data (total, feature), or a tensor (batch, time, feature)")
        return self.module(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
