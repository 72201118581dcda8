"""elman's side of a language model's case."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.bench import language_peers, layers
from elman.bench.language_case import GENERATING, LAYERS, OWN, LanguageCase
from elman.bench.language_work import LanguageWork, Run, training
from elman.bench.work import Matrices
from elman.cells.from_file import open_cell
from elman.compiler.cell import Cell
from elman.generation.generator import GenerationSettings, Samples
from elman.nn.embedding import Embedding
from elman.nn.recurrent import Recurrent
from elman.nn.state import State
from elman.nn.token_stream import TokenStream
from elman.sequences.ragged import Ragged
from elman.sequences.text import Tokenizer
from elman.sequences.vocabulary import Vocabulary
from elman.settings import check_settings


class Network(nn.Module):
    """Embedding, two recurrent layers, softmax over the whole alphabet."""

    def __init__(self, work: LanguageWork):
        super().__init__()
        case = work.case
        self.embedding = Embedding(case.alphabet, case.input_size)
        self.body = Recurrent(cell_of(case), case.input_size, case.hidden_size, num_layers=LAYERS)
        self.head = nn.Linear(case.hidden_size, case.alphabet)
        _fill(self, work)

    def loss(self, characters: Tensor, following: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Nats a character, and the states to go on from."""
        lengths = torch.full((len(characters),), characters.shape[1])
        steps, last = self.body(self.embedding(Ragged(characters.flatten(), lengths)), state)
        return functional.cross_entropy(self.head(steps.data), following.flatten()), last.detach()

    def stream(self, state: State | None = None, *, batch_size: int = 1) -> TokenStream:
        """The network fed one character at a time."""
        return TokenStream(self.embedding.table.weight, self.body, self.head, state, batch_size=batch_size)


def cell_of(case: LanguageCase) -> Cell:
    """The cell; one's own is opened from its file, as the command line opens it."""
    if case.cell != OWN:
        return open_cell(case.cell)
    return open_cell(str(Path(__file__).parents[1] / "recipes" / OWN))


def side(work: LanguageWork) -> Run:
    """elman; a run is one batch, or one character drawn."""
    network = Network(work)
    if work.case.mode != GENERATING:
        return training(network, network.loss, work)
    # Which characters they are plays no part: each is another code point.
    vocabulary = Vocabulary([chr(256 + number) for number in range(work.case.alphabet)], unknown="refuse")
    samples = Samples(network, Tokenizer("characters"), vocabulary, check_settings(GenerationSettings, {}))
    return lambda: next(samples)


def peers(work: LanguageWork) -> dict[str, Run]:
    """Who else does the work of a case, by name."""
    return language_peers.writing(work) if work.case.mode == GENERATING else language_peers.learning(work)


@torch.no_grad()
def _fill(network: Network, work: LanguageWork) -> None:
    network.embedding.table.weight.copy_(work.table)
    network.head.weight.copy_(work.head.T)
    network.head.bias.zero_()
    for index, matrices in enumerate(work.layers):
        weights = network.body.weights(index)
        if work.case.cell == OWN:
            _fill_own(weights, matrices)
        else:
            layers.fill(weights, matrices, work.case.cell)


def _fill_own(weights: dict[str, Tensor], matrices: Matrices) -> None:
    """The gates of one's own cell stand side by side."""
    columns = 2 * matrices.hidden.shape[0]
    for place, parameter in (("0", matrices.input), ("1", matrices.hidden), ("bias", matrices.bias)):
        weights[f"gates/{place}"].copy_(parameter[..., :columns])
        weights[f"candidate/{place}"].copy_(parameter[..., columns:])
