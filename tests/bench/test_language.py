"""Cases of language models: their names, and that all sides do the same work."""

import pytest
import torch

from elman.bench import language, language_peers
from elman.bench.cases import LISTED, find_cases
from elman.bench.language_case import LANGUAGE_CASES, LanguageCase, parse_language
from elman.bench.language_work import LanguageWork

SMALL = "b3-t5-i4-h6-a7"
ADAPTIVE = "b30-t5-i4-h8-a600"


def case_of(name: str) -> LanguageCase:
    case = parse_language(name)
    assert case is not None
    return case


@pytest.mark.parametrize("name", [*LANGUAGE_CASES, f"wiki-chars-gru-{SMALL}", "language-generate-h5-a205"])
def test_a_name_says_the_whole_case(name: str):
    assert case_of(name).name == name
    assert find_cases([name]) == [case_of(name)]


@pytest.mark.parametrize(
    "name", ["wiki-chars-gru-", "wiki-chars-gru-t5-b3", "wiki-chars-gru-b0", "language-generate-b2"]
)
def test_what_is_no_name(name: str):
    assert parse_language(name) is None


def test_the_textbooks_network_and_the_group():
    (case,) = find_cases(["wiki-chars-own-gru"])
    assert (case.batch, case.steps, case.input_size, case.hidden_size, case.layers) == (512, 100, 300, 300, 2)
    assert case.cell == "own_gru.py:own_gru"
    assert [case.name for case in find_cases(["language"])] == list(LANGUAGE_CASES)
    assert set(LANGUAGE_CASES) < set(LISTED)


def test_useful_operations():
    layers = (4 + 6) * 6 * 3 + (6 + 6) * 6 * 3
    assert case_of(f"wiki-chars-gru-{SMALL}").operations == 3 * 2 * 15 * (layers + 6 * 7)
    assert case_of("language-generate-i4-h6-a7").operations == 2 * (layers + 6 * 7)
    assert case_of("language-generate-i4-h6-a600").operations == 2 * (layers + 6 * 129)


def losses(run) -> list[float]:
    """Over more batches than there are windows, so that carried states and the optimiser's steps count."""
    return [run() for _ in range(6)]


@pytest.mark.parametrize("kind", ["wiki-chars-gru", "wiki-chars-own-gru"])
@pytest.mark.parametrize("way", ["torch hand-written", "torch hand-written, indexed"])
@pytest.mark.parametrize("sizes", [SMALL, ADAPTIVE])
def test_elman_learns_what_the_hand_written_network_learns(kind: str, way: str, sizes: str):
    work = LanguageWork(case_of(f"{kind}-{sizes}"))
    expected = losses(language.peers(work)[way])
    found = losses(language.side(work))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert len(set(found)) == 6


def test_torchs_own_layer_learns_the_same_text_with_another_cell():
    work = LanguageWork(case_of(f"wiki-chars-gru-{SMALL}"))
    mine, other = losses(language.side(work)), losses(language.peers(work)["torch.nn.GRU"])
    torch.testing.assert_close(mine, other, rtol=0.2, atol=0.2)
    assert mine != other


def test_states_are_carried_from_window_to_window():
    work = LanguageWork(case_of(f"wiki-chars-gru-{SMALL}"))
    mine = language.loss_of(language.network_of(work))
    for loss in (mine, language_peers.Model(work, language_peers.HandWrittenBody(work)).loss):
        first, second = work.window(0), work.window(1)
        part, state = loss(*first, None)
        parts = [part, loss(*second, state)[0]]
        whole = [torch.cat(pair, 1) for pair in zip(first, second, strict=True)]
        torch.testing.assert_close(sum(parts) / 2, loss(*whole, None)[0])


@pytest.mark.parametrize("alphabet", [7, 600])
def test_the_hand_written_network_writes_what_elman_would(alphabet: int):
    """The same characters read, the same probabilities."""
    work = LanguageWork(case_of(f"language-generate-i4-h6-a{alphabet}"))
    stream = language.network_of(work).stream()
    model = language_peers.Model(work, language_peers.HandWrittenBody(work))
    states = None
    for character in (3, 0, 6):
        ids = torch.tensor([character])
        stream.read(ids.numpy())
        outputs, states = model.body(model.embedding(ids).unsqueeze(0), states)
        found = torch.from_numpy(stream.scores()).log_softmax(1)
        torch.testing.assert_close(found, model.log_probabilities(outputs[0]), rtol=1e-4, atol=1e-5)


def test_every_side_writes_characters():
    work = LanguageWork(case_of("language-generate-i4-h6-a7"))
    pieces = {next(iter(language.side(work)())) for _ in range(3)}
    assert all(256 <= ord(piece) < 256 + 7 for piece in pieces)
    for run in language.peers(work).values():
        drawn = [run() for _ in range(50)]
        assert set(drawn) <= set(range(7))
        assert len(set(drawn)) > 1
