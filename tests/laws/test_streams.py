"""A text read in streams, window by window with carried state, is the text read in one piece."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from elman.data.text.streams import TokenStreams
from elman.data.text.token_text import Counts, TokenText
from elman.language_network import LanguageNetwork, LanguageNetworkSettings
from elman.tasks.language import Language, LanguageSettings
from elman.tasks.streams import Windows
from elman.training import evaluate
from tests.laws.cases import every_cell
from tests.laws.tolerances import assert_near

TOKENS, LENGTH = 9, 83


def drawn(cell: str, **settings) -> tuple[LanguageNetwork, TokenText]:
    network = LanguageNetwork(
        LanguageNetworkSettings(cell=cell, hidden_size=5, embedding_size=4, num_layers=2, **settings), TOKENS
    )
    ids = np.random.default_rng(0).integers(0, TOKENS, LENGTH).astype(np.uint8)
    return network.double().eval(), TokenText(ids, Counts(LENGTH, LENGTH - 1, LENGTH - 1, 0), "", "drawn")


def scores_of(network: LanguageNetwork, text: TokenText, **cut: int) -> dict[str, float]:
    return evaluate(network, Language(LanguageSettings(), {}), Windows("text", TokenStreams(text, **cut)))


def loss_in_one_piece(network: LanguageNetwork, ids: np.ndarray) -> torch.Tensor:
    whole = torch.from_numpy(ids.astype(np.int64))
    outputs, _ = network(whole[None, :-1])
    return torch.nn.functional.cross_entropy(network.head.logits(outputs)[0], whole[1:], reduction="sum")


@every_cell
@pytest.mark.parametrize("window", [1, 7, 10, 82])
@torch.no_grad()
def test_one_stream_is_the_text_in_one_piece(cell: str, window: int):
    network, text = drawn(cell)
    scores = evaluate(
        network, Language(LanguageSettings(), {}), Windows("text", TokenStreams(text, streams=1, window=window))
    )
    expected = loss_in_one_piece(network, text.ids) / (LENGTH - 1)
    assert_near(torch.tensor(scores["loss"], dtype=torch.float64), expected, torch.float64)


@every_cell
@pytest.mark.parametrize(("streams", "window"), [(2, 10), (3, 9), (5, 4), (9, 9)])
@torch.no_grad()
def test_streams_are_the_parts_of_the_text_each_in_one_piece(cell: str, streams: int, window: int):
    network, text = drawn(cell)
    scores = evaluate(
        network, Language(LanguageSettings(), {}), Windows("text", TokenStreams(text, streams=streams, window=window))
    )
    # Each part has its own targets, and the token before them: 82 targets, the longer parts first.
    sizes = [(LENGTH - 1) // streams + (number < (LENGTH - 1) % streams) for number in range(streams)]
    places = np.cumsum([0, *sizes])
    expected = sum(loss_in_one_piece(network, text.ids[begin : end + 1]) for begin, end in pairwise(places))
    assert_near(torch.tensor(scores["loss"], dtype=torch.float64), expected / (LENGTH - 1), torch.float64)


@every_cell
def test_the_network_step_by_step_is_the_network_all_at_once(cell: str):
    network, text = drawn(cell)
    ids = torch.from_numpy(text.ids[:60].astype(np.int64)).unflatten(0, (3, 20))
    outputs, last = network(ids)
    stream = network.stream(batch_size=3)
    stepped = torch.empty(3, 20, TOKENS, dtype=torch.float64)
    for time in range(20):
        stream.read(ids[:, time].contiguous().numpy())
        stepped[:, time] = torch.from_numpy(stream.scores())
    assert_near(stepped, network.head.logits(outputs).detach(), torch.float64)
    assert_near(stream.state.tensors, last.detach().tensors, torch.float64)
