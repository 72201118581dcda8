"""The sides of `news-bilstm`: elman, torch with packed sequences, and Keras with masking, on the same minibatches."""

import importlib
import importlib.util
import os
from itertools import cycle
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from elman.bench import layers, modules
from elman.bench.learning import LEARNING_RATE, MINIBATCHES, learning, learning_both, read_minibatches
from elman.bench.news_case import GATES, LAYERS, NewsCase
from elman.bench.timing import Run
from elman.bench.work import Matrices, draw_matrices
from elman.data.ragged.ragged import Ragged
from elman.networks import RowNetwork
from elman.settings import check_settings
from elman.settings.network import NetworkSettings

# Of the lengths of news, in words: the deviation as a share of the mean, and the shortest and longest as multiples.
SPREAD, SHORTEST, LONGEST = 0.27, 0.2, 4.5


class Minibatch(NamedTuple):
    """Texts with their labels.

    Attributes:
        words: ids without padding, from 1.
        padded: the same `(batch, longest)`, with 0 after the end of a text.
        labels: `(batch,)`.
    """

    words: Ragged
    padded: Tensor
    labels: Tensor


class NewsWork:
    """What every side is given.

    Args:
        case: the case; its numbers are drawn from a seed of their own.

    Attributes:
        minibatches: of texts whose lengths spread as those of news do, grouped by length as elman's trainer does.
        shuffled: the same texts in minibatches of any lengths.
        table: the rows of the embedding, `(words, input_size)`.
        layers: the parameters of each layer, forward and backward.
        head: weight and bias of the dense layer.
    """

    def __init__(self, case: NewsCase):
        self.case = case
        draw = torch.Generator().manual_seed(0)
        texts = _draw_texts(case, draw)
        self.minibatches, self.shuffled = (_minibatches(texts, case.batch, like_lengths=like) for like in (True, False))
        self.table = 0.03 * torch.randn(case.words, case.input_size, generator=draw)
        sizes = [case.input_size] + [2 * case.hidden_size] * (LAYERS - 1)
        self.layers: list[tuple[Matrices, Matrices]] = []
        for size in sizes:
            forward, backward = (draw_matrices(size, case.hidden_size, GATES, draw) for _ in range(2))
            self.layers.append((forward, backward))
        self.head = (0.1 * torch.randn(case.labels, 2 * case.hidden_size, generator=draw), torch.zeros(case.labels))


def side(work: NewsWork) -> Run:
    """Return elman's side. A run is one minibatch, and gives its loss."""
    network = network_of(work)
    return learning(network, lambda batch: network(batch.words), work.minibatches)


def peers(work: NewsWork) -> dict[str, Run]:
    """Return the peers by name, Keras among them if it is installed."""
    return learning_both(TorchNetwork, work) | ({"Keras, masked": keras_side(work)} if has_keras() else {})


def network_of(work: NewsWork) -> RowNetwork:
    """Build elman's network with the parameters of the case."""
    case = work.case
    sizes = {"embedding": case.input_size, "hidden_size": case.hidden_size, "num_layers": LAYERS}
    how = {"cell": "lstm", "bidirectional": True, "pooling": "last", "dense": ()}
    settings = check_settings(NetworkSettings, sizes | how)
    network: Any = RowNetwork(settings, case.labels, vocabulary_size=case.words)
    with torch.no_grad():
        network.embedding.table.weight.copy_(work.table)
        for parameter, values in zip(network.dense[-1].parameters(), work.head, strict=True):
            parameter.copy_(values)
    for index, directions in enumerate(work.layers):
        for backward, matrices in enumerate(directions):
            layers.fill(network.body.weights(index, backward=bool(backward)), matrices, "lstm")
    return network


class TorchNetwork(nn.Module):
    """The same network of torch's layers.

    Args:
        work: gives the parameters.
        packs: whether sequences are packed; otherwise padding is read as if it were words, and the answers differ.
    """

    def __init__(self, work: NewsWork, *, packs: bool):
        super().__init__()
        case = work.case
        self.packs = packs
        self.embedding = nn.Embedding.from_pretrained(work.table.clone(), freeze=False)
        self.body = nn.LSTM(case.input_size, case.hidden_size, LAYERS, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * case.hidden_size, case.labels)
        every = [matrices for directions in work.layers for matrices in directions]
        for parameters, matrices in zip(self.body.all_weights, every, strict=True):
            modules.fill(parameters, matrices, "lstm")
        with torch.no_grad():
            for parameter, values in zip(self.head.parameters(), work.head, strict=True):
                parameter.copy_(values)

    def forward(self, batch: Minibatch) -> Tensor:
        """Compute the logits `(batch, labels)` from the last states of both directions."""
        rows: Any = self.embedding(batch.padded)
        if self.packs:
            rows = pack_padded_sequence(rows, batch.words.lengths, batch_first=True, enforce_sorted=False)
        _, (last, _) = self.body(rows)
        return self.head(torch.cat([last[-2], last[-1]], 1))


def has_keras() -> bool:
    """Return whether Keras is installed."""
    return importlib.util.find_spec("keras") is not None


def keras_side(work: NewsWork) -> Run:
    """Return Keras's side: padding is masked, and a run is `train_on_batch`."""
    keras = _keras()
    case = work.case
    model = keras.Sequential([keras.layers.Embedding(case.words, case.input_size, mask_zero=True)])
    for index in range(LAYERS):
        layer = keras.layers.LSTM(case.hidden_size, return_sequences=index < LAYERS - 1)
        model.add(keras.layers.Bidirectional(layer))
    model.add(keras.layers.Dense(case.labels))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE), loss=loss)
    batches = [(batch.padded.numpy(), batch.labels.numpy()) for batch in work.minibatches]
    model(batches[0][0])
    recurrent = [each for directions in work.layers for each in directions]
    weights = [part for each in recurrent for part in (each.input, each.hidden, each.bias)]
    model.set_weights([each.numpy() for each in (work.table, *weights, work.head[0].T, work.head[1])])
    following = cycle(batches)
    return lambda: float(model.train_on_batch(*next(following)))


def _keras() -> Any:
    """Import Keras, on torch if TensorFlow, its usual backend, is not installed."""
    if importlib.util.find_spec("tensorflow") is None:
        os.environ.setdefault("KERAS_BACKEND", "torch")
    return importlib.import_module("keras")


def _draw_texts(case: NewsCase, draw: torch.Generator) -> dict[str, Any]:
    count = MINIBATCHES * case.batch
    spread = case.steps * (1 + SPREAD * torch.randn(count, generator=draw))
    lengths = spread.round().long().clamp(max(1, int(SHORTEST * case.steps)), int(LONGEST * case.steps))
    # About as words come: the rank of a word times how often it comes is the same for all.
    frequencies = 1.0 / torch.arange(1.0, case.words)
    ids = 1 + torch.multinomial(frequencies, int(lengths.sum()), replacement=True, generator=draw)
    labels = torch.randint(case.labels, (count,), generator=draw)
    return {"words": Ragged(ids, lengths), "labels": labels}


def _minibatches(texts: dict[str, Any], size: int, *, like_lengths: bool) -> list[Minibatch]:
    found = read_minibatches(texts, size, like_lengths=like_lengths)
    return [Minibatch(batch["words"], batch["words"].to_padded(), batch["labels"]) for batch in found]
