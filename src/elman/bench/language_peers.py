"""The same language model in plain torch: with `torch.nn.GRU`, and with a cell written by hand."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.bench import modules
from elman.bench.language_case import LAYERS
from elman.bench.language_work import LanguageWork, Run, training
from elman.bench.work import Matrices


class HandWrittenGRU(nn.Module):
    """The cell of `elman.CELLS["gru"]`, as fast as one gets it in plain torch.

    The input's products of all steps are taken at once and unbound; both gates come out of one product, each product is
    added where it is taken, and time is the first axis, so that the rows of a step lie side by side.

    Args:
        matrices: the parameters.
        indexed: the products of all steps are indexed step by step instead, as many write it; the gradient of each
            step is a tensor as large as that of all of them.
    """

    def __init__(self, matrices: Matrices, indexed: bool = False):
        super().__init__()
        self.indexed = indexed
        columns = 2 * matrices.hidden.shape[0]
        self.gates_of_input = _linear(matrices.input[:, :columns], matrices.bias[:columns])
        self.candidate_of_input = _linear(matrices.input[:, columns:], matrices.bias[columns:])
        self.gates = nn.Parameter(matrices.hidden[:, :columns].clone())
        self.candidate = nn.Parameter(matrices.hidden[:, columns:].clone())

    def forward(self, inputs: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Compute outputs `(time, batch, hidden)` and the last one from `(time, batch, feature)`."""
        outputs = []
        cut = _indexed if self.indexed else torch.unbind
        read = self.gates_of_input(inputs), self.candidate_of_input(inputs)
        for gates, candidate in zip(*map(cut, read), strict=True):
            z, r = torch.sigmoid(torch.addmm(gates, h, self.gates)).chunk(2, 1)
            n = torch.tanh(torch.addmm(candidate, r * h, self.candidate))
            h = torch.lerp(n, h, z)
            outputs.append(h)
        return torch.stack(outputs), h


class HandWrittenBody(nn.Module):
    """Hand-written layers, one on another; see `HandWrittenGRU`."""

    def __init__(self, work: LanguageWork, indexed: bool = False):
        super().__init__()
        self.layers = nn.ModuleList(HandWrittenGRU(matrices, indexed) for matrices in work.layers)
        self.hidden_size = work.case.hidden_size

    def forward(self, rows: Tensor, states: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Compute the outputs of the last layer and the last states of all layers."""
        last = []
        for layer, h in zip(
            self.layers, states or [rows.new_zeros(rows.shape[1], self.hidden_size)] * LAYERS, strict=True
        ):
            rows, h = layer(rows, h)
            last.append(h)
        return rows, last


def torch_body(work: LanguageWork) -> nn.GRU:
    """Return torch's own layers. The GRU resets after the product, torch's only form."""
    case = work.case
    layer = nn.GRU(case.input_size, case.hidden_size, LAYERS)
    for parameters, matrices in zip(layer.all_weights, work.layers, strict=True):
        modules.fill(parameters, matrices, "gru")
    return layer


class Model(nn.Module):
    """Embedding, recurrent body, softmax over the whole alphabet."""

    def __init__(self, work: LanguageWork, body: nn.Module):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(work.table.clone(), freeze=False)
        self.body = body
        self.head = copy.deepcopy(work.head)

    def loss(self, characters: Tensor, following: Tensor, states: Any) -> tuple[Tensor, Any]:
        """Nats a character, and the states to go on from."""
        outputs, states = self.body(self.embedding(characters.T), states)
        rows, targets = outputs.flatten(0, 1), following.T.flatten()
        if isinstance(self.head, nn.AdaptiveLogSoftmaxWithLoss):
            found = self.head(rows, targets).loss
        else:
            found = functional.cross_entropy(self.head(rows), targets)
        return found, [h.detach() for h in states] if isinstance(states, list) else states.detach()

    @torch.no_grad()
    def draw(self, characters: Tensor, states: Any) -> tuple[Tensor, Any]:
        """Draw the next character of each text, `(batch,)`, and return the states after it."""
        outputs, states = self.body(self.embedding(characters).unsqueeze(0), states)
        return torch.multinomial(self.log_probabilities(outputs[0]).exp(), 1)[:, 0], states

    def log_probabilities(self, outputs: Tensor) -> Tensor:
        """Compute the log probability of each character after these outputs, `(batch, alphabet)`."""
        if isinstance(self.head, nn.AdaptiveLogSoftmaxWithLoss):
            return self.head.log_prob(outputs)
        return functional.log_softmax(self.head(outputs), 1)


BODIES: dict[str, Callable[[LanguageWork], nn.Module]] = {
    "torch.nn.GRU": torch_body,
    "torch hand-written": HandWrittenBody,
}
INDEXED = {"torch hand-written, indexed": partial(HandWrittenBody, indexed=True)}


def learning(work: LanguageWork) -> dict[str, Run]:
    """Return the peers that train, by name."""
    found = {}
    for name, body in (BODIES | INDEXED).items():
        model = Model(work, body(work))
        found[name] = training(model, model.loss, work)
    return found


def writing(work: LanguageWork) -> dict[str, Run]:
    """Return the peers that generate, by name. A run is one character."""
    return {name: _writer(Model(work, body(work)).eval()) for name, body in BODIES.items()}


def _writer(model: Model) -> Run:
    character, states = torch.zeros(1, dtype=torch.int64), None

    def run() -> int:
        nonlocal character, states
        character, states = model.draw(character, states)
        return int(character)

    return run


def _indexed(rows: Tensor) -> list[Tensor]:
    return [rows[t] for t in range(len(rows))]


def _linear(matrix: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(matrix.shape[0], matrix.shape[1])
    layer.weight.data.copy_(matrix.T)
    layer.bias.data.copy_(bias)
    return layer
