"""Lagged products: the features of a next-generation reservoir, which has no recurrence."""

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError
from elman.nn.reservoirs import Steps, rows_of, with_rows

# Ridge regression on so many features sums up 3 GB of products.
MOST = 20_000


class LaggedProducts(nn.Module):
    """The last inputs of a series, and the products of them up to a degree.

    It is called as `elman.nn.reservoirs.Reservoirs`; its state is the last inputs. Inputs before a series are zeros.

    Args:
        inputs: number of features of a step.
        lags: how many inputs are read, the present one among them.
        stride: steps between two of them.
        degree: the largest number of factors of a product; 1 is the inputs alone.

    Attributes:
        size: number of features at a step.

    Raises:
        UsageError: there would be more than 20,000 products.

    Source:
        D. J. Gauthier, E. Bollt, A. Griffith, W. A. S. Barbosa, Next Generation Reservoir Computing, 2021, equations 5
        and 6. Difference: the constant is the bias of the readout.

    >>> features, _ = LaggedProducts(1, lags=2, stride=1, degree=2)(torch.tensor([[[2.0], [3.0]]]))
    >>> features[0, 1]
    tensor([3., 2., 9., 6., 4.])
    """

    def __init__(self, inputs: int, lags: int, stride: int, degree: int):
        super().__init__()
        self.lags, self.stride = lags, stride
        columns = range(inputs * lags)
        count = math.comb(len(columns) + degree, degree) - 1
        if count > MOST:
            raise UsageError(
                f"Expected at most {MOST:,} products of lagged inputs, got {count:,}: those of {len(columns):,} inputs "
                f"up to {degree} factors.",
                fix="Give fewer lags, or a smaller degree.",
            )
        self.factors = [
            torch.tensor(list(combinations_with_replacement(columns, count))) for count in range(1, degree + 1)
        ]
        self.size = count

    @torch.no_grad()
    def forward(
        self, inputs: Steps, fed: Steps | None = None, states: Sequence[Tensor] | None = None, *, noisy: bool = False
    ) -> tuple[Steps, list[Tensor]]:
        """Return the features at every step, `(batch, time, size)`, and the last inputs.

        Args:
            inputs: `(batch, time, inputs)`, dense or ragged.
            fed: not read.
            states: the last inputs of an earlier call, `(batch, kept, inputs)`, to continue from.
            noisy: has no effect.
        """
        kept = (self.lags - 1) * self.stride
        rows = rows_of(inputs)
        before = rows.new_zeros(len(inputs), kept, rows.shape[-1]) if states is None else states[0]
        if isinstance(inputs, Ragged):
            lagged, last = self._lagged_in_ragged(inputs, before)
            return with_rows(inputs, self._products(lagged)), [last]
        whole, time = torch.cat([before, inputs], 1), inputs.shape[1]
        starts = [kept - lag * self.stride for lag in range(self.lags)]
        lagged = torch.cat([whole[:, start : start + time] for start in starts], 2)
        return self._products(lagged), [whole[:, whole.shape[1] - kept :]]

    def _lagged_in_ragged(self, inputs: Ragged, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last inputs of each step, `(total, lags · inputs)`, and those of each sequence."""
        lengths, kept = inputs.lengths, before.shape[1]
        # The rows of each sequence follow those that were kept before it.
        whole = torch.cat([before, inputs.data.new_zeros(len(inputs), inputs.longest, inputs.data.shape[1])], 1)
        sequences, steps = inputs.sequence_index(), inputs.step_index() + kept
        whole[sequences, steps] = inputs.data
        lagged = torch.cat([whole[sequences, steps - lag * self.stride] for lag in range(self.lags)], 1)
        ends = (lengths.unsqueeze(1) + torch.arange(kept)).to(whole.device)
        return lagged, whole[torch.arange(len(inputs), device=whole.device).unsqueeze(1), ends]

    def _products(self, lagged: Tensor) -> Tensor:
        factors = [each.to(lagged.device) for each in self.factors]
        return torch.cat([lagged[..., each].prod(-1) for each in factors], -1)
