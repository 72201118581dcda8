"""elman's side of a language model's case."""

from pathlib import Path

import torch
from torch import Tensor

from elman.bench import language_peers, layers
from elman.bench.language_case import GENERATING, LAYERS, OWN, LanguageCase
from elman.bench.language_work import LanguageWork, Loss, Run, training
from elman.bench.work import Matrices
from elman.cells.from_file import open_cell
from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.data.text.coders import CharacterCoder, CoderSettings
from elman.data.text.vocabulary import Vocabulary
from elman.generation.generator import GenerationSettings, Samples
from elman.language_network import LanguageNetwork, LanguageNetworkSettings
from elman.nn.softmax import AdaptiveSoftmax
from elman.nn.state import State
from elman.settings import check_settings


def network_of(work: LanguageWork) -> LanguageNetwork:
    """Build the network with the parameters of the case."""
    case = work.case
    sizes = {"embedding_size": case.input_size, "hidden_size": case.hidden_size, "num_layers": LAYERS}
    softmax = {"softmax": "adaptive", "cutoffs": case.cutoffs} if case.cutoffs else {}
    settings = check_settings(LanguageNetworkSettings, sizes | softmax)
    network = LanguageNetwork(settings, case.alphabet, cell=cell_of(case))
    _fill(network, work)
    return network


def loss_of(network: LanguageNetwork) -> Loss:
    """Compute the loss of a batch as the task `language` does."""

    def loss(characters: Tensor, following: Tensor, state: State | None) -> tuple[Tensor, State]:
        lengths = torch.full((len(characters),), characters.shape[1])
        reading = network.read(Ragged(characters.flatten(), lengths), state)
        return network.head.loss(reading.outputs.data, following.flatten()), reading.last.detach()

    return loss


def cell_of(case: LanguageCase) -> Cell:
    """Return the cell. A user's cell is opened from its file, as on the command line."""
    if case.cell != OWN:
        return open_cell(case.cell)
    return open_cell(str(Path(__file__).parents[1] / "recipes" / OWN))


def side(work: LanguageWork) -> Run:
    """Return elman's side. A run is one batch, or one character drawn."""
    network = network_of(work)
    if work.case.mode != GENERATING:
        return training(network, loss_of(network), work)
    # Any distinct characters do.
    vocabulary = Vocabulary([chr(256 + number) for number in range(work.case.alphabet)], unknown="refuse")
    coder = CharacterCoder(check_settings(CoderSettings, {"unknown": "refuse"}), vocabulary)
    samples = Samples(network.eval(), coder, check_settings(GenerationSettings, {}))
    return lambda: next(samples)


def peers(work: LanguageWork) -> dict[str, Run]:
    """Return the peers of a case by name."""
    return language_peers.writing(work) if work.case.mode == GENERATING else language_peers.learning(work)


@torch.no_grad()
def _fill(network: LanguageNetwork, work: LanguageWork) -> None:
    network.embedding.table.weight.copy_(work.table)
    head = network.head.softmax if isinstance(network.head, AdaptiveSoftmax) else network.head
    head.load_state_dict(work.head.state_dict())
    for index, matrices in enumerate(work.layers):
        weights = network.body.weights(index)
        if work.case.cell == OWN:
            _fill_own(weights, matrices)
        else:
            layers.fill(weights, matrices, work.case.cell)


def _fill_own(weights: dict[str, Tensor], matrices: Matrices) -> None:
    """Copy the weights into the user's cell, whose gates are one matrix."""
    columns = 2 * matrices.hidden.shape[0]
    for place, parameter in (("0", matrices.input), ("1", matrices.hidden), ("bias", matrices.bias)):
        weights[f"gates/{place}"].copy_(parameter[..., :columns])
        weights[f"candidate/{place}"].copy_(parameter[..., columns:])
