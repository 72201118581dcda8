"""Text generated step by step is what the whole network says; states go on, branch and rewind."""

import copy
import itertools
import tracemalloc

import pytest
import torch

from elman.compiler.dispatch import GENERAL
from elman.errors import DataError, ModelError, ShapeError, UsageError
from elman.generation.position import DRAWN, RECENT, VOCABULARY, WEIGHTS
from elman.generation.writing import MEMORY
from elman.nn.state import State
from tests.generation.networks import CODERS, LETTERS, Network, generate, network_for, samples

ALL_KINDS = pytest.mark.parametrize("kind", CODERS)


def text(**given) -> str:
    return "".join(generate(**given))


@pytest.mark.parametrize("target", GENERAL)
@pytest.mark.parametrize("cell", ["gru", "lstm", "min_gru"])
@pytest.mark.parametrize("prompt", ["", "a", "bad cafe"])
def test_greedy_text_is_the_most_probable_token_after_all_before_it(target: str, cell: str, prompt: str):
    network = Network(len(LETTERS), cell=cell, target=target)
    tokens = [LETTERS.index(letter) for letter in prompt]
    for letter in generate(network=network, prompt=prompt, temperature=0, length=12):
        tokens.append(int(network.scores(tokens)[-1].argmax()))
        assert letter == LETTERS[tokens[-1]]
    assert len(tokens) == len(prompt) + 12


@ALL_KINDS
def test_the_probabilities_are_those_of_the_network(kind: str):
    network, tokens = network_for(kind), []
    generator = generate(kind, network=network, temperature=1.8, top_k=5, length=20)
    assert generator.token is generator.log_probability is None
    for _ in generator:
        expected = torch.log_softmax(network.scores(tokens)[-1].double(), 0)
        tokens.append(generator.token)
        assert generator.log_probability == pytest.approx(float(expected[generator.token]), abs=1e-4)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("settings", [{}, {"temperature": 1.5, "top_k": 6, "top_p": 0.9}], ids=str)
def test_the_seed_repeats_the_text_on_every_target(cell: str, settings: dict):
    def write(target: str, seed: int) -> list[str]:
        network = Network(len(LETTERS), cell=cell, target=target)
        return ["".join(pieces) for pieces in samples(network=network, samples=2, length=150, seed=seed, **settings)]

    texts = [write(target, 7) for target in GENERAL]
    assert texts[0] == write("llvm", 7) == texts[1] == texts[2]
    assert write("llvm", 8) != texts[0]


@ALL_KINDS
@pytest.mark.parametrize("half", [0, 1, 7, 19])
def test_two_halves_through_a_file_are_the_whole(tmp_path, kind: str, half: int):
    whole = list(samples(kind, samples=3, length=20, seed=4))
    first = samples(kind, samples=3, length=half, seed=4)
    pieces = list(first)
    first.state.save(tmp_path / "state")
    second = samples(kind, samples=3, length=20 - half, seed=4, state=State.load(tmp_path / "state"))
    assert pieces + list(second) == whole


@ALL_KINDS
def test_a_prompt_in_two_parts_is_one_prompt(kind: str):
    first, second = {"characters": ("bad ", "cafe"), "bytes": ("aé", "€a"), "words": ("so it", "goes")}[kind]
    blank = " " if kind == "words" else ""
    begun = generate(kind, prompt=first, length=0)
    assert list(begun) == []
    whole = text(kind=kind, prompt=first + blank + second, length=15)
    assert text(kind=kind, prompt=second, state=begun.state, length=15) == whole


def test_a_generator_is_rewound():
    generator = generate(length=30, temperature=1.5)
    first = "".join(itertools.islice(generator, 10))
    state = generator.state
    rest = "".join(generator)
    assert next(generator, None) is None
    generator.rewind(state)
    assert "".join(generator) == rest
    assert len(first + rest) == 30
    assert text(state=state, length=20, temperature=1.5) == rest


def test_a_text_that_had_ended_is_rewound_with_the_others():
    texts = samples(samples=2, length=40, stop=text(length=3))
    turns = list(itertools.islice(texts, 12))
    ended = texts.lengths
    assert ended[0] == 3
    assert ended[1] == len(turns) == 12
    state = texts.state
    later = list(texts)
    texts.rewind(state)
    assert (texts.lengths, texts.turns) == (ended, 12)
    # The one that had not ended goes on as before; the other one goes on, too.
    again = list(texts)
    assert [pieces[1] for pieces in again[: len(later)]] == [pieces[1] for pieces in later]
    assert texts.lengths[0] > ended[0]


def test_a_state_branches_into_samples_that_go_on_differently():
    begun = generate(length=8, prompt="bad")
    list(begun)
    ways = list(zip(*samples(state=begun.state, samples=4, length=30), strict=True))
    assert len(set(ways)) == 4
    assert "".join(ways[0]) == text(state=begun.state, length=30)
    assert text(state=begun.state, length=30, seed=1) != "".join(ways[0])


def test_a_sample_does_not_depend_on_how_many_there_are():
    columns = [list(zip(*samples(samples=count, length=40, seed=2), strict=True)) for count in (1, 2, 5)]
    assert columns[0] == columns[2][:1]
    assert columns[1] == columns[2][:2]
    assert len(set(columns[2])) == 5


def test_samples_end_each_on_its_own_and_can_go_on():
    given = {"network": Network(len(LETTERS)), "samples": 4, "temperature": 1.5}
    endless = [
        "".join(column) for column in zip(*itertools.islice(samples(**given, stop=None), 400), strict=True)
    ]  # fmt: skip
    stopped = samples(**given, stop="b")
    turns = list(stopped)
    columns = ["".join(column) for column in zip(*turns, strict=True)]
    assert columns == [each[: each.index("b") + 1] for each in endless]
    assert len(turns) == max(map(len, columns)) < 400
    later = list(zip(*samples(**given, state=stopped.state, length=20), strict=True))
    assert ["".join(column) for column in later] == [
        each[len(ended) : len(ended) + 20] for ended, each in zip(columns, endless, strict=True)
    ]


def test_a_stop_may_spread_over_several_tokens():
    endless = text(length=400, temperature=1.5)
    stop = endless[50:53]
    assert text(length=400, temperature=1.5, stop=stop) == endless[: endless.index(stop) + 3]


STOPS = {"characters": slice(50, 55), "bytes": slice(20, 24), "words": slice(60, 75)}


@ALL_KINDS
def test_a_stop_may_spread_over_two_parts_through_a_file(tmp_path, kind: str):
    given = {"kind": kind, "temperature": 1.5, "seed": 6}
    stop = text(**given, length=200)[STOPS[kind]]
    whole = generate(**given, length=200, stop=stop)
    expected, turns = "".join(whole), whole.samples.turns
    assert stop in expected
    assert turns < 200
    for half in range(max(0, turns - 8), turns):
        # The first part need not know of the stop.
        first = generate(**given, length=half, stop=stop if half % 2 else None)
        begun = "".join(first)
        first.state.save(tmp_path / "state")
        state = State.load(tmp_path / "state")
        assert begun + text(**given, length=200 - half, stop=stop, state=state) == expected


def test_a_stop_may_begin_in_the_prompt_or_before_what_is_rewound():
    generator = generate(prompt="bad", temperature=0, length=30)
    state = generator.state
    stop = "ad" + "".join(itertools.islice(generator, 3))
    assert text(prompt="bad", temperature=0, length=30, stop=stop) == stop[2:]
    stopped = generate(prompt="bad", temperature=0, length=30, stop=stop)
    list(stopped)
    stopped.rewind(state)
    assert "".join(stopped) == stop[2:]


def test_the_unknown_token_is_not_drawn():
    generator = generate("words", length=300, temperature=3)
    assert CODERS["words"].vocabulary.specials["unknown"] not in {generator.token for _ in generator}


def test_without_a_length_it_goes_on_for_as_long_as_one_asks_in_the_same_memory():
    generator = generate(temperature=1.5)

    def held(turns: int) -> int:
        for _ in itertools.islice(generator, turns):
            pass
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = held(600)
        assert held(2_000) - before < 4_000
    finally:
        tracemalloc.stop()


def test_an_unknown_character_of_the_prompt_is_named():
    with pytest.raises(DataError, match="'é'"):
        generate(prompt="café")


def plain_state(network: Network, batch: int = 1) -> State:
    return network.body.zero_state(batch)


def test_a_plain_state_of_the_layer_goes_on_with_a_prompt():
    network = Network(len(LETTERS))
    with torch.no_grad():
        _, state = network.body(network.embedding(torch.tensor([[1, 2, 3]])))
    whole = text(network=network, prompt=LETTERS[1:5], length=20)
    assert text(network=network, prompt=LETTERS[4], state=state, length=20) == whole
    with pytest.raises(UsageError, match="which token comes next"):
        generate(network=network, state=state)


def changed(state: State, **attached) -> State:
    return State(state.tensors, attached={**state.attached, **attached})


def test_a_state_that_does_not_fit_is_refused_with_the_reason():
    given = samples(samples=2, length=5)
    list(given)
    state = given.state
    with pytest.raises(UsageError, match="of 2 texts, and 3 samples") as error:
        samples(samples=3, state=state)
    assert "--samples 2" in error.value.fix
    with pytest.raises(ShapeError, match="same model"):
        samples(samples=2, state=State({"h": state.h[:, :, :3]}, attached=state.attached))
    rubbish = {
        "another vocabulary": {VOCABULARY: state.attached[VOCABULARY] + 1},
        "none of the vocabulary": {RECENT: state.attached[RECENT] + len(LETTERS)},
        "other weights": {WEIGHTS: state.attached[WEIGHTS] + 1},
        "an earlier elman": {RECENT: state.attached[RECENT][:, -4:]},
        "have begun": {RECENT: torch.tensor([[-1], [0]]).repeat(1, MEMORY)},
    }
    for reason, attached in rubbish.items():
        with pytest.raises(ModelError, match=reason):
            samples(samples=2, state=changed(state, **attached))
    with pytest.raises(ModelError, match="none of the vocabulary"):
        samples(samples=2, state=changed(state, **{DRAWN: state.attached[DRAWN] - 9}))
    del state.attached[WEIGHTS]
    with pytest.raises(ModelError, match="an earlier elman"):
        samples(samples=2, state=state)


def test_a_state_belongs_to_the_weights_that_made_it():
    network = network_for("bytes")
    state = generate("bytes", network=network, prompt="aé").state
    assert text(kind="bytes", network=copy.deepcopy(network), state=state, length=9) == text(
        kind="bytes", network=network, state=state, length=9
    )
    learned = copy.deepcopy(network)
    with torch.no_grad():
        learned.head.bias[3] += 1e-3
    with pytest.raises(ModelError, match="of other weights"):
        generate("bytes", network=learned, state=state)
    with pytest.raises(ModelError, match="of other weights"):
        generate("bytes", network=Network(256, num_layers=1), state=state)


def test_who_asks_for_no_state_does_not_wait_for_a_fingerprint(monkeypatch: pytest.MonkeyPatch):
    def refused(weights) -> int:
        raise AssertionError

    monkeypatch.setattr("elman.generation.generator.fingerprint_weights", refused)
    assert len(text(prompt="bad", length=9)) == 9


@pytest.mark.parametrize("place", ["_stream.read", "_stream.scores", "_sampler.draw", "_write"])
def test_a_generator_interrupted_inside_a_token_goes_on_from_a_whole_state_only(
    monkeypatch: pytest.MonkeyPatch, place: str
):
    whole = text(length=9)
    generator = generate(length=9)
    next(generator)
    kept = generator.state

    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    *owner, name = place.split(".")
    with monkeypatch.context() as changes:
        changes.setattr(getattr(generator.samples, owner[0]) if owner else generator.samples, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(generator)
    for _ in range(2):
        with pytest.raises(UsageError, match="interrupted") as error:
            next(generator)
        assert "rewind(state)" in error.value.fix
        with pytest.raises(UsageError, match="interrupted"):
            _ = generator.state
    generator.rewind(kept)
    assert torch.equal(generator.state.h, kept.h)
    assert "".join(generator) == whole[1:]
