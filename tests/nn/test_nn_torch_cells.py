"""The cells under torch's names against `torch.nn`'s own."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from elman.nn import torch as mine

KINDS = [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("LSTMCell", {}), ("GRUCell", {})]
ATOL = {torch.float32: (1e-6, 5e-6), torch.float64: (1e-14, 1e-13)}


def build(kind: str, *sizes: int, seed: int = 0, **options: Any) -> tuple[Any, Any]:
    """The cell of elman and that of torch, each made after the same seed."""
    cells = []
    for module in (mine, nn):
        torch.manual_seed(seed)
        cells.append(getattr(module, kind)(*sizes, **options))
    return cells[0], cells[1]


def flat(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)


@settings(max_examples=60)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 5),
    st.integers(1, 7),
    st.integers(0, 4),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(0, 2**31),
)
def test_the_same_steps_and_gradients(kind, features, units, batch, batched, with_states, bias, dtype, seed):
    name, options = kind
    cells = build(name, features, units, seed=seed, bias=bias, dtype=dtype, **options)
    axes = (batch,) if batched else ()
    given = [torch.randn(*axes, features, dtype=dtype), *(torch.randn(*axes, units, dtype=dtype) for _ in range(2))]
    results = []
    for cell in cells:
        x, h, c = (value.clone().requires_grad_() for value in given)
        hx = None if not with_states else (h, c) if name == "LSTMCell" else h
        states = flat(cell(x, hx))
        sum((state * state).sum() for state in states).backward()
        grads = [leaf.grad for leaf in (x, h, c, *cell.parameters())]
        results.append((states, grads))
    (states, grads), (expected, wanted) = results
    for found, value in zip(states, expected, strict=True):
        torch.testing.assert_close(found, value, rtol=0, atol=ATOL[dtype][0])
    for found, value in zip(grads, wanted, strict=True):
        assert (found is None) == (value is None)
        if found is not None:
            torch.testing.assert_close(found, value, rtol=ATOL[dtype][1], atol=ATOL[dtype][1])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kind", "options"), KINDS, ids=str)
def test_names_initial_values_state_dict_and_repr(kind: str, options: dict[str, Any], bias: bool):
    cell, theirs = build(kind, 3, 5, bias=bias, **options)
    assert isinstance(cell, getattr(nn, kind))
    assert isinstance(cell, nn.RNNCellBase)
    assert repr(cell) == repr(theirs)
    for (name, found), (wanted, expected) in zip(cell.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == wanted
        assert torch.equal(found, expected)
    other, _ = build(kind, 3, 5, bias=bias, seed=1, **options)
    other.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(other.state_dict(), strict=True)


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=str)
def test_a_cell_walks_a_sequence_as_the_layer_does(kind: str, options: dict[str, Any]):
    layer = getattr(mine, kind.removesuffix("Cell"))(3, 5, **options)
    cell = getattr(mine, kind)(3, 5, **options)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    inputs, hx = torch.randn(4, 2, 3), None
    steps, last = layer(inputs)
    for step, expected in zip(inputs, steps, strict=True):
        hx = cell(step, hx)
        torch.testing.assert_close(flat(hx)[0], expected, rtol=0, atol=1e-6)
    for found, expected in zip(flat(hx), flat(last), strict=True):
        torch.testing.assert_close(found, expected.squeeze(0), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=str)
def test_pickled_copied_saved_and_converted(kind: str, options: dict[str, Any]):
    cell = getattr(mine, kind)(3, 5, **options)
    inputs = torch.randn(2, 3)
    file = io.BytesIO()
    torch.save(cell, file)
    file.seek(0)
    for other in (pickle.loads(pickle.dumps(cell)), copy.deepcopy(cell), torch.load(file, weights_only=False)):
        assert type(other) is type(cell)
        assert torch.equal(flat(other(inputs))[0], flat(cell(inputs))[0])
    for dtype in (torch.bfloat16, torch.float64):
        assert flat(copy.deepcopy(cell).to(dtype)(inputs.to(dtype)))[0].dtype == dtype


def test_positional_arguments_are_in_torchs_order():
    assert repr(mine.RNNCell(3, 5, False, "relu")) == repr(nn.RNNCell(3, 5, False, "relu"))
    assert repr(mine.LSTMCell(3, 5, False, "cpu", torch.float64)) == repr(nn.LSTMCell(3, 5, False, "cpu"))
    assert mine.GRUCell(3, 5, False, None, torch.float64).weight_hh.dtype == torch.float64


def test_a_bias_that_is_only_truthy_is_taken_as_torch_takes_it():
    for value in (0, None, 1, "x"):
        cell, theirs = build("GRUCell", 3, 5, bias=value)
        inputs = torch.randn(2, 3)
        assert repr(cell) == repr(theirs)
        torch.testing.assert_close(cell(inputs), theirs(inputs), rtol=0, atol=1e-6)


NARROW = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_autocast_gives_the_types_of_torchs_cells(kind: str, options: dict[str, Any], low: torch.dtype):
    cell, theirs = build(kind, 3, 4, **options)
    for kind_of_input in NARROW:
        for state in (None, *NARROW):
            start = None if state is None else torch.randn(2, 4, dtype=state)
            hx = (start, start) if kind == "LSTMCell" and start is not None else start
            inputs = torch.randn(2, 3, dtype=kind_of_input)
            with torch.autocast("cpu", dtype=low):
                found, wanted = flat(cell(inputs, hx)), flat(theirs(inputs, hx))
            assert [one.dtype for one in found] == [one.dtype for one in wanted]
            for one, other in zip(found, wanted, strict=True):
                torch.testing.assert_close(one.float(), other.float(), rtol=0.03, atol=0.03)
            found[0].float().sum().backward()
            assert {weight.grad.dtype for weight in cell.parameters()} == {torch.float32}


def test_a_float32_state_keeps_small_changes_under_autocast():
    cell, theirs = build("LSTMCell", 3, 4)
    with torch.no_grad():
        for one in (cell, theirs):
            one.bias_ih.copy_(torch.tensor([-3.0, 20.0, 0.05, 0.0]).repeat_interleave(4))
            for weight in (one.weight_ih, one.weight_hh, one.bias_hh):
                weight.zero_()
    states = [(torch.zeros(1, 4), torch.full((1, 4), 1.0)) for _ in range(2)]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in range(50):
            states = [one(torch.zeros(1, 3), state) for one, state in zip((cell, theirs), states, strict=True)]
    (_, found), (_, wanted) = states
    # Each step adds 0.0024, which a bfloat16 near 1 cannot hold.
    assert float(wanted.min()) > 1.1
    torch.testing.assert_close(found, wanted, rtol=0.002, atol=0.0)


def test_cells_leave_float64_alone_under_autocast():
    for kind, options in KINDS:
        cell, _ = build(kind, 3, 4, **options)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert {one.dtype for one in flat(cell.double()(torch.randn(2, 3, dtype=torch.float64)))} == {torch.float64}
