"""`State`: named, selected, joined, saved."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from elman.data.hashing import hash_of
from elman.errors import ModelError, ShapeError
from elman.nn import LSTM, State

SIZE = 4


def make(layers: int = 1, batch: int = 3, *, bidirectional: bool = False) -> State:
    places = layers * (2 if bidirectional else 1)
    return State({name: torch.randn(places, batch, SIZE) for name in "hc"}, bidirectional=bidirectional)


def equal(a: State, b: State) -> bool:
    same = all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.names)
    return same and a.names == b.names and a.bidirectional == b.bidirectional


def test_states_have_names():
    state = make()
    assert list(state) == ["h", "c"]
    assert state.h.shape == state["c"].shape == (3, SIZE)
    assert make(2).h.shape == (2, 3, SIZE)
    assert (make(2, bidirectional=True).directed_layers, state.batch_size) == (4, 3)
    assert repr(state) == "State(h=(3, 4), c=(3, 4))"


def test_an_unknown_name_is_reported_with_the_valid_names():
    with pytest.raises(AttributeError, match=r"no state `hidden`\. Valid: c, h"):
        _ = make().hidden
    with pytest.raises(KeyError, match="no state `hidden`"):
        make()["hidden"]


def test_layers_and_directions():
    state = make(3, bidirectional=True)
    for place, (layer, backward) in enumerate((layer, backward) for layer in range(3) for backward in (False, True)):
        assert torch.equal(state.layer(layer, backward=backward).h, state.tensors["h"][place])
        assert torch.equal(state.layer(layer - 3, backward=backward).c, state.tensors["c"][place])
    for layer, backward in ((3, False), (-4, True)):
        with pytest.raises(ShapeError, match="got layer"):
            state.layer(layer, backward=backward)
    with pytest.raises(ShapeError, match="backward"):
        make(2).layer(0, backward=True)


def test_selected_sequences_stand_in_the_order_given_and_may_come_twice():
    state = make(2)
    chosen = state.select([2, 0, 2])
    assert torch.equal(chosen.h, state.h[:, [2, 0, 2]])
    assert torch.equal(state.select(torch.tensor([1])).c, state.c[:, 1:2])


def test_branches_go_on_like_the_whole():
    layer = LSTM(2, SIZE)
    _, state = layer(torch.randn(3, 5, 2))
    inputs = torch.randn(2, 4, 2)
    steps, _ = layer(inputs, state.select([1, 1]))
    torch.testing.assert_close(steps[1:], layer(inputs[1:], state.select([1]))[0])


def test_concatenated_batches():
    a, b = make(2, 1, bidirectional=True), make(2, 3, bidirectional=True)
    joined = State.concatenate([a, b])
    assert joined.batch_size == 4
    assert equal(joined.select([0]), a)
    assert equal(joined.select([1, 2, 3]), b)


def with_attached(batch: int = 3) -> State:
    state = make(2, batch)
    return State(state.tensors, attached={"token": torch.arange(batch) + 2**40, "seen": torch.rand(batch, 2)})


def test_what_is_attached_is_selected_joined_and_copied_with_the_states():
    state = with_attached()
    both = State.concatenate([state.select([2, 2]), state.select([0])])
    assert both.attached["token"].tolist() == [2**40 + 2, 2**40 + 2, 2**40]
    assert torch.equal(both.attached["seen"], state.attached["seen"][[2, 2, 0]])
    copy = state.detach().clone()
    copy.attached["token"].zero_()
    assert state.attached["token"].tolist() == [2**40, 2**40 + 1, 2**40 + 2]
    converted = state.to(torch.float64)
    assert converted.h.dtype == torch.float64
    assert torch.equal(converted.attached["token"], state.attached["token"])
    with pytest.raises(ShapeError, match="same names attached"):
        State.concatenate([state, make(2)])
    with pytest.raises(ShapeError, match="Expected attached tensors with a row for each"):
        State(state.tensors, attached={"token": torch.zeros(2)})


def test_sequences_are_repeated_side_by_side():
    state = make(2)
    assert torch.equal(state.repeat(2).h, state.h[:, [0, 0, 1, 1, 2, 2]])
    with pytest.raises(ShapeError, match="Expected a number of times, got 0"):
        state.repeat(0)


@pytest.mark.parametrize("sequence", [3, -4])
def test_a_sequence_that_is_not_there_is_refused(sequence: int):
    with pytest.raises(ShapeError, match=f"Expected sequences below 3, got {sequence}"):
        make().select([0, sequence])


@pytest.mark.parametrize("states", [[], [make(1), make(2)], [make(2), make(1, bidirectional=True)]])
def test_only_states_of_one_layer_are_joined(states):
    with pytest.raises(ShapeError, match="states of the same layer"):
        State.concatenate(states)


def test_detached_cloned_and_converted():
    state = State({"h": torch.zeros(1, 2, SIZE, requires_grad=True)})
    assert not state.detach().h.requires_grad
    clone = state.detach().clone()
    clone.h.fill_(1)
    assert state.h.sum() == 0
    assert state.to(torch.float64).h.dtype == torch.float64


@pytest.mark.parametrize(
    "tensors", [{"h": torch.zeros(2, 3)}, {"h": torch.zeros(1, 2, 3), "c": torch.zeros(1, 3, 3)}, {}]
)
def test_states_must_agree(tensors):
    with pytest.raises(ShapeError, match="Expected states of shape"):
        State(tensors)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_save_and_load(tmp_path: Path, bidirectional: bool):
    state = make(2, bidirectional=bidirectional)
    state.save(tmp_path / "state")
    assert equal(State.load(tmp_path / "state"), state)


def test_save_and_load_with_what_is_attached(tmp_path: Path):
    state = with_attached()
    state.save(tmp_path / "state")
    loaded = State.load(tmp_path / "state")
    assert equal(loaded, state)
    assert list(loaded.attached) == ["token", "seen"]
    assert all(torch.equal(loaded.attached[name], value) for name, value in state.attached.items())


def test_a_single_wrong_bit_is_refused(tmp_path: Path):
    path = tmp_path / "state"
    with_attached().save(path)
    whole = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in range(start, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="differ from those that were written"):
            State.load(path)


def test_a_layer_goes_on_from_a_loaded_state(tmp_path: Path):
    layer = LSTM(2, SIZE, num_layers=2, bidirectional=True)
    inputs = torch.randn(3, 5, 2)
    _, state = layer(inputs)
    state.save(tmp_path / "state")
    assert torch.equal(layer(inputs, State.load(tmp_path / "state"))[0], layer(inputs, state)[0])


def header(**values: object) -> dict[str, str]:
    return {"elman_state": json.dumps(values)}


RUBBISH = {
    "no header": None,
    "a header that is no object": {"elman_state": "[1]"},
    "a header that is no JSON": {"elman_state": "{"},
    "a name that is missing": header(names=["h"], attached=[], bidirectional=False),
    "no directions": header(names=["a"], attached=[]),
    "no checksum": header(names=["a"], attached=[], bidirectional=False),
    "a foreign checksum": header(names=["a"], attached=[], bidirectional=False, sha256="0"),
    "a tensor that is no state": header(
        names=["a"], attached=[], bidirectional=False, sha256=hash_of({"a": torch.zeros(2)})
    ),
}


@pytest.mark.parametrize("name", RUBBISH)
def test_a_file_that_holds_no_state_is_refused(tmp_path: Path, name: str):
    path = tmp_path / "state"
    save_file({"a": torch.zeros(2)}, path, RUBBISH[name])
    with pytest.raises(ModelError, match="holds no state") as error:
        State.load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x08\x00\x00\x00\x00\x00\x00\x00{\xff"])
def test_rubbish_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(ModelError, match="holds no state"):
        State.load(tmp_path / "state")


def test_a_state_cut_short_is_refused(tmp_path: Path):
    path = tmp_path / "state"
    make().save(path)
    whole = path.read_bytes()
    for kept in (len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(ModelError, match="holds no state"):
            State.load(path)


def test_a_missing_file_is_refused(tmp_path: Path):
    for path, what in ((tmp_path / "none", "no such file"), (tmp_path, "is a folder")):
        with pytest.raises(ModelError, match=what):
            State.load(path)


@pytest.mark.parametrize(
    "given", [[1.7], [True, False, True], torch.tensor([True, False, True]), torch.tensor([0.0]), ["a"], 1, [[0, 1]]]
)
def test_only_integers_on_one_axis_select_sequences(given: Any):
    with pytest.raises(ShapeError, match=r"(?s)sequences to be integers.*Give sequences as"):
        make().select(given)


def test_integers_of_every_kind_select_sequences():
    state = make()
    for given in ([2, -3], (2, 0), np.array([2, 0], np.int32), torch.tensor([2, 0], dtype=torch.uint8)):
        assert torch.equal(state.select(given).h, state.h[[2, 0]])
    assert state.select([]).batch_size == 0


def test_views_with_a_sign_and_states_that_share_memory_are_saved(tmp_path: Path):
    numbers = torch.randn(1, 3, SIZE, dtype=torch.complex64)
    negative, whole = numbers.conj().imag, torch.randn(1, 6, SIZE)
    assert negative.is_neg()
    states = {"h": negative, "c": whole[:, :3], "n": whole[:, :3], "m": whole[:, 2:5]}
    state = State(states, attached={"tokens": whole[0, :3]})
    state.save(tmp_path / "state")
    loaded = State.load(tmp_path / "state")
    assert equal(loaded, state)
    assert torch.equal(loaded.attached["tokens"], whole[0, :3])
    assert torch.equal(loaded.h, -numbers.imag[0])
