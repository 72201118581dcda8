"""The sides of a case of series: elman, and torch with packed or padded sequences, on the same minibatches."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from elman.bench import layers, modules
from elman.bench.learning import MINIBATCHES, learning, learning_both, read_minibatches
from elman.bench.series_case import GATES, SeriesCase
from elman.bench.timing import Run
from elman.bench.work import draw_matrices
from elman.data.ragged.ragged import Ragged
from elman.networks import RowNetwork
from elman.settings import check_settings
from elman.settings.network import NetworkSettings
from elman.settings.series import SeriesSettings


class Minibatch(NamedTuple):
    """Series with their labels.

    Attributes:
        series: `(total, input_size)`.
        padded: the same `(batch, longest, input_size)`, with 0 after the end of a series.
        labels: `(batch,)`.
    """

    series: Ragged
    padded: Tensor
    labels: Tensor


class SeriesWork:
    """What every side is given.

    Args:
        case: the case; its numbers are drawn from a seed of their own.

    Attributes:
        minibatches: of series whose lengths are uniform between the bounds, grouped by length as elman's trainer does.
        shuffled: the same series in minibatches of any lengths.
        read: weight and bias of the linear layer that reads a segment; none where a segment is one step.
        directions: the parameters of the GRU, forward and backward.
        head: weight and bias of the dense layer.
    """

    def __init__(self, case: SeriesCase):
        self.case = case
        draw = torch.Generator().manual_seed(0)
        size, hidden = case.segment * case.input_size, case.hidden_size
        series = _draw_series(case, draw)
        self.minibatches, self.shuffled = (
            _minibatches(series, case.batch, like_lengths=like) for like in (True, False)
        )
        self.read: tuple[Tensor, ...] = ()
        if case.segment > 1:
            self.read = (torch.randn(hidden, size, generator=draw) * size**-0.5, torch.zeros(hidden))
            size = hidden
        self.directions = [draw_matrices(size, hidden, GATES, draw) for _ in range(2)]
        self.head = (0.1 * torch.randn(case.labels, 4 * hidden, generator=draw), torch.zeros(case.labels))


def side(work: SeriesWork) -> Run:
    """Return elman's side. A run is one minibatch, and gives its loss."""
    network = network_of(work)
    return learning(network, lambda batch: network(batch.series), work.minibatches)


def peers(work: SeriesWork) -> dict[str, Run]:
    """Return the peers by name."""
    return learning_both(TorchNetwork, work)


def network_of(work: SeriesWork) -> RowNetwork:
    """Build elman's network with the parameters of the case."""
    case = work.case
    how = {"cell": case.cell, "hidden_size": case.hidden_size, "bidirectional": True, "pooling": ("mean", "max")}
    numbers = check_settings(SeriesSettings, {"scaling": "none", "segment": case.segment})
    settings = check_settings(NetworkSettings, {**how, "dense": ()})
    network: Any = RowNetwork(settings, case.labels, features=case.input_size, numbers=numbers)
    reading = nn.Sequential()
    if case.segment > 1:
        cut, reading = network.segments
        cut.shift = False
    _fill_linear(work, reading, network.dense[-1])
    for backward, matrices in enumerate(work.directions):
        layers.fill(network.body.weights(0, backward=bool(backward)), matrices, case.cell)
    return network


class TorchNetwork(nn.Module):
    """The same network of torch's layers.

    Args:
        work: gives the parameters.
        packs: whether sequences are packed; otherwise the GRU reads padding as well, and the answers differ.
    """

    def __init__(self, work: SeriesWork, *, packs: bool):
        super().__init__()
        case = work.case
        self.packs, self.segment = packs, case.segment
        size = case.segment * case.input_size
        self.read = nn.Sequential()
        if case.segment > 1:
            self.read.extend([nn.Linear(size, case.hidden_size), nn.ReLU()])
            size = case.hidden_size
        self.body = nn.GRU(size, case.hidden_size, batch_first=True, bidirectional=True)
        self.head = nn.Linear(4 * case.hidden_size, case.labels)
        _fill_linear(work, self.read, self.head)
        for parameters, matrices in zip(self.body.all_weights, work.directions, strict=True):
            modules.fill(parameters, matrices, case.cell)

    def forward(self, batch: Minibatch) -> Tensor:
        """Compute the logits `(batch, labels)` from the mean and the maximum of the outputs."""
        lengths = (batch.series.lengths + self.segment - 1) // self.segment
        longest = batch.padded.shape[1]
        whole = functional.pad(batch.padded, (0, 0, 0, -longest % self.segment))
        rows: Any = self.read(whole.reshape(len(whole), -1, self.segment * whole.shape[2]))
        if self.packs:
            packed = pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
            outputs = pad_packed_sequence(self.body(packed)[0], batch_first=True)[0]
        else:
            outputs = self.body(rows)[0]
        exists = (torch.arange(outputs.shape[1]) < lengths[:, None])[:, :, None]
        mean = (outputs * exists).sum(1) / lengths[:, None]
        greatest = outputs.masked_fill(~exists, -torch.inf).amax(1)
        return self.head(torch.cat([mean, greatest], 1))


@torch.no_grad()
def _fill_linear(work: SeriesWork, reading: nn.Module, head: nn.Module) -> None:
    for parameter, values in zip((*reading.parameters(), *head.parameters()), (*work.read, *work.head), strict=True):
        parameter.copy_(values)


def _draw_series(case: SeriesCase, draw: torch.Generator) -> dict[str, Any]:
    count = MINIBATCHES * case.batch
    lengths = torch.randint(case.shortest, case.steps + 1, (count,), generator=draw)
    values = torch.randn(int(lengths.sum()), case.input_size, generator=draw)
    labels = torch.randint(case.labels, (count,), generator=draw)
    return {"series": Ragged(values, lengths), "labels": labels}


def _minibatches(series: dict[str, Any], size: int, *, like_lengths: bool) -> list[Minibatch]:
    found = read_minibatches(series, size, like_lengths=like_lengths)
    return [Minibatch(batch["series"], batch["series"].to_padded(), batch["labels"]) for batch in found]
