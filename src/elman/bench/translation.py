"""The sides of `translation`: elman, and torch with a loop of cells and with whole layers, on the same minibatches."""

from collections.abc import Callable
from itertools import cycle
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from elman.bench import layers, modules
from elman.bench.timing import Run
from elman.bench.translation_case import GATES, TranslationCase
from elman.bench.work import Matrices, draw_matrices
from elman.data.ragged.ragged import Ragged
from elman.encoder_decoder import EncoderDecoder
from elman.settings import check_settings
from elman.settings.training import TrainingSettings
from elman.settings.translation import DecoderSettings
from elman.tasks.examples import Examples

MINIBATCHES = 16
LEARNING_RATE = 1e-3
SPREAD, SHORTEST, LONGEST = 0.27, 0.3, 3.0
BEGIN, END, FIRST = 1, 2, 3
IGNORED = -100


class Minibatch(NamedTuple):
    """Pairs of like length.

    Attributes:
        source: ids without padding, from 3, between marks.
        target: the same of the targets.
        padded: the sources `(batch, longest)`, with 0 after their ends.
        inputs: the targets but for their last ids `(batch, longest)`, with 0 after their ends.
        wanted: the targets but for their first ids, with -100 after their ends.
    """

    source: Ragged
    target: Ragged
    padded: Tensor
    inputs: Tensor
    wanted: Tensor


class TranslationWork:
    """What every side is given.

    Args:
        case: the case; its numbers are drawn from a seed of their own.

    Attributes:
        minibatches: of pairs whose lengths spread as those of captions do, grouped by length as the trainer does.
        network: elman's, with the parameters of the case.
        encoder: parameters of the encoder, forward and backward.
        decoder: parameters of the two layers of the decoder.
    """

    def __init__(self, case: TranslationCase):
        self.case = case
        draw = torch.Generator().manual_seed(0)
        self.minibatches = _minibatches(case, draw)
        hidden, rows = case.hidden_size, case.input_size
        self.encoder = [draw_matrices(rows, hidden, GATES, draw) for _ in range(2)]
        self.decoder = [draw_matrices(size, hidden, GATES, draw) for size in (rows, 3 * hidden)]
        self.network = _network(case, self.encoder, self.decoder)


def side(work: TranslationWork) -> Run:
    """Return elman's side. A run is one minibatch, and gives its loss."""
    network = work.network

    def loss(batch: Minibatch) -> Tensor:
        inputs, targets = network.shifted(batch.target)
        return network.decoder.loss(network.decoder(inputs, network.encode(batch.source)), targets)

    return _training(network, loss, work)


def peers(work: TranslationWork) -> dict[str, Run]:
    """Return the peers by name."""
    loop, whole = (TorchTranslator(work, by_steps=by_steps) for by_steps in (True, False))
    return {
        "torch, GRUCell in a loop": _training(loop, loop, work),
        "torch, whole layers": _training(whole, whole, work),
    }


class TorchTranslator(nn.Module):
    """The same network of torch's layers.

    Args:
        work: gives the parameters.
        by_steps: whether the decoder is a loop of `nn.GRUCell` and attention, as it is mostly written; otherwise both
            of its layers and the attention run over all steps at once, the fastest form.
    """

    def __init__(self, work: TranslationWork, *, by_steps: bool):
        super().__init__()
        case, mine = work.case, work.network
        rows, hidden = case.input_size, case.hidden_size
        self.by_steps = by_steps
        self.embedding = nn.Embedding(case.words, rows)
        self.encoder = nn.GRU(rows, hidden, batch_first=True, bidirectional=True)
        self.bridge = nn.ModuleList(nn.Linear(2 * hidden, hidden) for _ in range(2))
        self.keys = nn.Linear(2 * hidden, hidden, bias=False)
        sizes = (rows, 3 * hidden)
        if by_steps:
            self.decoder = nn.ModuleList(nn.GRUCell(size, hidden) for size in sizes)
        else:
            self.decoder = nn.ModuleList(nn.GRU(size, hidden, batch_first=True) for size in sizes)
        self.readout = nn.Linear(3 * hidden + rows, rows)
        self.bias = nn.Parameter(torch.zeros(case.words))
        with torch.no_grad():
            self.embedding.weight.copy_(mine.decoder.embedding.table.weight)
            for parameters, matrices in zip(self.encoder.all_weights, work.encoder, strict=True):
                modules.fill(parameters, matrices, case.cell)
            for layer, matrices in zip(self.decoder, work.decoder, strict=True):
                modules.fill(list(layer.parameters()), matrices, case.cell)
            for own, other in zip(self.bridge, mine.bridge.linear, strict=True):
                own.load_state_dict(other.state_dict())
            attention: Any = mine.decoder.attention
            self.keys.load_state_dict(attention.keys.state_dict())
            self.readout.load_state_dict(mine.decoder.readout.state_dict())

    def forward(self, batch: Minibatch) -> Tensor:
        """Compute the loss of a minibatch."""
        lengths = batch.source.lengths
        packed = pack_padded_sequence(self.embedding(batch.padded), lengths, batch_first=True, enforce_sorted=False)
        steps, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(steps, batch_first=True)
        states = [torch.tanh(linear(torch.cat([last[0], last[1]], 1))) for linear in self.bridge]
        missing = torch.arange(memory.shape[1]) >= lengths[:, None]
        found = self._steps if self.by_steps else self._whole
        rows = found(self.embedding(batch.inputs), states, memory, self.keys(memory), missing)
        logits = functional.linear(torch.tanh(self.readout(rows)), self.embedding.weight, self.bias)
        return functional.cross_entropy(logits.flatten(0, 1), batch.wanted.flatten(), ignore_index=IGNORED)

    def _whole(self, rows: Tensor, states: list[Tensor], memory: Tensor, keys: Tensor, missing: Tensor) -> Tensor:
        lower, _ = self.decoder[0](rows, states[0][None])
        scores = (lower @ keys.transpose(1, 2)).masked_fill(missing[:, None], -torch.inf)
        context = scores.softmax(2) @ memory
        upper, _ = self.decoder[1](torch.cat([lower, context], 2), states[1][None])
        return torch.cat([upper, context, rows], 2)

    def _steps(self, rows: Tensor, states: list[Tensor], memory: Tensor, keys: Tensor, missing: Tensor) -> Tensor:
        lower, upper = states
        found = []
        for row in rows.unbind(1):
            lower = self.decoder[0](row, lower)
            scores = (keys @ lower[:, :, None]).squeeze(2).masked_fill(missing, -torch.inf)
            context = (scores.softmax(1)[:, None] @ memory).squeeze(1)
            upper = self.decoder[1](torch.cat([lower, context], 1), upper)
            found.append(torch.cat([upper, context, row], 1))
        return torch.stack(found, 1)


def _network(case: TranslationCase, encoder: list[Matrices], decoder: list[Matrices]) -> EncoderDecoder:
    sizes = {"embedding": case.input_size, "hidden_size": case.hidden_size}
    settings = check_settings(DecoderSettings, sizes | {"cell": case.cell})
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        how: Any = {"source": {"vocabulary_size": case.words}, "begin": BEGIN, "end": END, "unused_ids": 1}
        network = EncoderDecoder(settings, case.words, **how)
    with torch.no_grad():
        body: Any = network.body
        for backward, matrices in enumerate(encoder):
            layers.fill(body.weights(0, backward=bool(backward)), matrices, case.cell)
        for layer, matrices in zip(network.decoder.layers, decoder, strict=True):
            layers.fill(layer.weights(), matrices, case.cell)
    return network


def _training(network: nn.Module, loss_of: Callable[[Minibatch], Tensor], work: TranslationWork) -> Run:
    """Return the training run of a minibatch: forward, backward and Adam's step."""
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)
    following = cycle(work.minibatches)

    def run() -> float:
        loss = loss_of(next(following))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def _minibatches(case: TranslationCase, draw: torch.Generator) -> list[Minibatch]:
    count = MINIBATCHES * case.batch
    spread = case.steps * (1 + SPREAD * torch.randn(count, generator=draw))
    # A target is about as long as its source.
    spreads = (spread, spread * (1 + 0.15 * torch.randn(count, generator=draw)))
    columns = {name: _texts(case, each, draw) for name, each in zip(("source", "target"), spreads, strict=True)}
    settings = check_settings(TrainingSettings, {"batch_size": case.batch})
    examples = Examples(columns, settings)
    return [_minibatch(**examples.read(item).columns) for item in examples.plan(0)]


def _texts(case: TranslationCase, spread: Tensor, draw: torch.Generator) -> Ragged:
    """Return ids between marks, of about these lengths."""
    bounds = max(1, int(SHORTEST * case.steps)), int(LONGEST * case.steps)
    lengths = spread.round().long().clamp(*bounds)
    frequencies = 1.0 / torch.arange(1.0, case.words - FIRST + 1)
    ids = FIRST + torch.multinomial(frequencies, int(lengths.sum()), replacement=True, generator=draw)
    marks = torch.tensor([BEGIN]), torch.tensor([END])
    return Ragged.from_list([torch.cat([marks[0], each, marks[1]]) for each in ids.split(lengths.tolist())])


def _minibatch(source: Ragged, target: Ragged) -> Minibatch:
    rows = target.to_list()
    wanted = torch.full((len(rows), int(target.lengths.max()) - 1), IGNORED)
    inputs = torch.zeros_like(wanted)
    for number, row in enumerate(rows):
        inputs[number, : len(row) - 1], wanted[number, : len(row) - 1] = row[:-1], row[1:]
    return Minibatch(source, target, source.to_padded(), inputs, wanted)
