"""What a caller can change, and what is kept: no layer reads beyond its memory, changes another, or keeps too much."""

import gc
import os
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils.checkpoint import checkpoint

import elman
from elman import CELLS, Ragged, Recurrent
from elman.compiler.targets.llvm import machine, run
from elman.errors import ShapeError
from elman.nn import torch as dropins
from elman.order import TimeMajor
from tests.laws.tolerances import assert_near

# Ids and tables


def read(table: Tensor, ids: Tensor) -> tuple[Recurrent, Tensor]:
    layer = elman.LSTM(4, 5)
    return layer, layer(ids, table=table)[0]


@pytest.mark.parametrize("rows", [3, 1000], ids=["fewer rows than steps", "more rows than steps"])
@pytest.mark.parametrize("value", [0, 10**9, -1])
def test_ids_that_were_changed_are_an_error_of_autograd(rows: int, value: int):
    table, ids = torch.randn(rows, 4, requires_grad=True), torch.arange(60).reshape(2, 30) % rows
    _, output = read(table, ids)
    ids.fill_(value)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


# Of a table with more rows than steps, the rows that are read several times are found first.
@pytest.mark.parametrize("rows", [3, 1000], ids=["fewer rows than steps", "more rows than steps"])
@pytest.mark.parametrize("value", [0, 10**9])
def test_ids_changed_behind_autograds_back_leave_the_gradient_as_it_was(rows: int, value: int):
    array = np.random.default_rng(0).integers(0, 3, (2, 30))
    table = torch.randn(rows, 4, requires_grad=True)
    _, output = read(table, torch.from_numpy(array))
    wanted = torch.autograd.grad(output.sum(), table, retain_graph=True)[0]
    array[:] = value
    assert torch.equal(torch.autograd.grad(output.sum(), table)[0], wanted)


def test_a_table_that_was_changed_is_an_error_of_autograd():
    table = torch.randn(3, 4, requires_grad=True)
    _, output = read(table, torch.zeros(2, 30, dtype=torch.int64))
    with torch.no_grad():
        table.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@pytest.mark.parametrize("what", ["input", "state", "parameter", "output"])
@pytest.mark.parametrize("make", [lambda: Recurrent("gru", 4, 5), lambda: dropins.GRU(4, 5, batch_first=True)])
def test_what_was_changed_after_the_forward_pass_is_an_error_of_autograd(what: str, make: Callable[[], nn.Module]):
    layer = make()
    inputs, state = torch.randn(2, 3, 4), torch.randn(1, 2, 5)
    output, _ = layer(inputs, state)
    changed = {"input": inputs, "state": state, "parameter": next(layer.parameters()), "output": output}[what]
    leaves = list(layer.parameters())
    wanted = torch.autograd.grad(output.sum(), leaves, retain_graph=True)
    with torch.no_grad():
        changed.zero_()
    if what == "output" and not isinstance(layer, Recurrent):
        # In torch's order of axes the caller has a copy.
        assert_near(list(torch.autograd.grad(output.sum(), leaves)), list(wanted), torch.float32)
        return
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation|has been modified inplace"):
        torch.autograd.grad(output.sum(), leaves)


# Lengths


@pytest.mark.parametrize("value", [0, 10**9, -5])
def test_lengths_that_a_batch_gives_out_are_copies(value: int):
    layer = elman.LSTM(4, 5)
    given = torch.tensor([3, 0, 2])
    batch = Ragged(torch.randn(5, 4), given)
    wanted = layer(batch)[0].data
    for lengths in (given, batch.lengths, batch.offsets, batch.order.lengths, batch.order.offsets):
        lengths.fill_(value)
    assert torch.equal(layer(batch)[0].data, wanted)
    assert batch.lengths.tolist() == [3, 0, 2]


def test_lengths_of_a_dense_batch_are_not_those_of_all_layers():
    dense = torch.randn(2, 3, 4)
    Ragged.from_dense(dense).lengths.fill_(10**9)
    assert elman.LSTM(4, 5)(dense)[0].shape == (2, 3, 5)
    assert Ragged.from_dense(dense).lengths.tolist() == [3, 3]


def test_an_order_keeps_its_own_lengths():
    array = np.array([2, 1])
    order = TimeMajor(array)
    array[:] = 7
    assert order.lengths.tolist() == [2, 1]


def test_data_that_was_resized_is_refused():
    batch = Ragged(torch.randn(5, 4), [3, 2])
    batch.data.resize_(2, 4)
    with pytest.raises(ShapeError, match=r"expected \(5, 4\), got \(2, 4\)"):
        elman.LSTM(4, 5)(batch)


# Parameters


@pytest.mark.parametrize("name", [parameter.name for parameter in CELLS["peephole_lstm"].trace(4, 5).parameters])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (50, 50)])
def test_replaced_parameters_of_other_shapes_are_refused(name: str, shape: tuple[int, ...]):
    layer = Recurrent("peephole_lstm", 4, 5)
    layer.get_submodule("layer0")._parameters[name] = nn.Parameter(torch.zeros(shape))
    with pytest.raises(ShapeError, match=rf"{name}: expected .*, got "):
        layer(torch.zeros(2, 3, 4))


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0"])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (2, 5), (20, 50)])
def test_replaced_parameters_of_a_drop_in_are_refused(name: str, shape: tuple[int, ...]):
    layer = dropins.LSTM(4, 5, proj_size=3)
    setattr(layer, name, nn.Parameter(torch.zeros(shape)))
    with pytest.raises(ShapeError, match=name):
        layer(torch.zeros(2, 3, 4))


# Outputs and states


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("stateful", [False, True])
def test_what_a_layer_gives_shares_no_memory(cell: str, stateful: bool):
    layer = Recurrent(cell, 4, 5, num_layers=2, stateful=stateful)
    inputs = torch.randn(2, 3, 4)
    start = layer.zero_state(2)
    with torch.no_grad():
        output, last = layer(inputs, start)
    tensors = [inputs, *start.tensors.values(), *layer.parameters(), output, last.output, *last.tensors.values()]
    places = [tensor.untyped_storage().data_ptr() for tensor in tensors]
    assert len(set(places)) == len(places)


def test_a_last_output_that_is_changed_leaves_the_state():
    layer = elman.LSTM(4, 5)
    with torch.no_grad():
        _, last = layer(torch.randn(2, 3, 4))
        kept = last.h.clone()
        last.output.zero_()
    assert torch.equal(last.h, kept)


def test_a_state_that_is_changed_leaves_the_one_that_a_layer_carries():
    layer = elman.LSTM(4, 5, stateful=True)
    inputs = torch.randn(2, 3, 4)
    with torch.no_grad():
        layer(inputs)
        wanted = layer(inputs)[0]
        layer.reset_state()
        _, last = layer(inputs)
        for tensor in last.tensors.values():
            tensor.zero_()
        assert torch.equal(layer(inputs)[0], wanted)


# What is kept


def resident() -> float:
    """Megabytes."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def train(layer: nn.Module, inputs: Tensor) -> Tensor:
    loss = layer(inputs)[0].sum()
    loss.backward()
    return loss


def test_equal_steps_share_a_program_that_goes_when_no_layer_is_left():
    inputs = torch.randn(1, 2, 3)
    layers = [elman.LSTM(3, 7) for _ in range(3)]
    for layer in layers:
        train(layer, inputs)
    programs = {id(run.program(layer._weights_of(0, False).graph, torch.float32)) for layer in layers}
    assert len(programs) == 1


def test_programs_and_their_code_go(monkeypatch: pytest.MonkeyPatch):
    made: list[weakref.ref[Any]] = []
    compiled = machine.compile

    def watch(*given: Any, **named: Any) -> machine.Library:
        library = compiled(*given, **named)
        made.append(weakref.ref(library.engine))
        return library

    monkeypatch.setattr(machine, "compile", watch)
    monkeypatch.setattr("elman.compiler.targets.llvm.loop.machine.compile", watch)
    for hidden in range(30, 30 + run.RECENT + 5):
        train(Recurrent("simple_rnn", 2, hidden), torch.randn(1, 2, 2))
    alive = sum(each() is not None for each in made)
    assert len(made) == 2 * (run.RECENT + 5)
    assert alive <= 2 * run.RECENT


def test_layers_that_are_in_use_keep_their_programs():
    layers = [Recurrent("min_gru", 2, hidden) for hidden in range(3, 3 + run.RECENT + 5)]
    for layer in layers:
        train(layer, torch.randn(1, 2, 2))
    programs = [run.program(layer._weights_of(0, False).graph, torch.float32) for layer in layers]
    for layer, program in zip(layers, programs, strict=True):
        train(layer, torch.randn(1, 2, 2))
        assert run.program(layer._weights_of(0, False).graph, torch.float32) is program


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads the memory of the process from /proc")  # noqa: PTH110
def test_memory_is_flat_over_layers():
    inputs = torch.randn(2, 3, 8)
    for _ in range(20):
        train(elman.LSTM(8, 8), inputs)
    before = resident()
    for _ in range(200):
        train(elman.LSTM(8, 8), inputs)
    assert resident() - before < 20


def test_losses_that_are_kept_hold_nothing_after_their_backward_pass():
    layer = elman.LSTM(64, 64)
    held: list[weakref.ref[Tensor]] = []

    def note(tensor: Tensor) -> Tensor:
        held.append(weakref.ref(tensor))
        return tensor

    losses = []
    for _ in range(3):
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            losses.append(layer(torch.randn(8, 50, 64))[0].sum())
        losses[-1].backward()
    gc.collect()
    mine = {id(parameter) for parameter in layer.parameters()}
    assert [
        1 for each in held if (tensor := each()) is not None and id(tensor) not in mine and tensor.numel() > 9999
    ] == []


@pytest.mark.parametrize("name", ["lstm", "gru", "layer_norm_lstm"])
def test_saved_tensor_hooks_see_all_that_is_kept(name: str):
    layer, steps = Recurrent(name, 16, 16), 8 * 20
    seen: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        seen.append(tensor.numel())
        return tensor.clone()

    inputs = torch.randn(8, 20, 16)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = layer(inputs)[0]
    found = torch.autograd.grad(output.sum(), list(layer.parameters()))
    assert_near(list(found), list(torch.autograd.grad(layer(inputs)[0].sum(), list(layer.parameters()))), torch.float32)
    kept = run.program(layer._weights_of(0, False).graph, torch.float32).derivation.kept_nodes
    assert sum(seen) >= steps * (16 + sum(node.size for node in kept))


@pytest.mark.parametrize("make", [lambda: Recurrent("lstm", 16, 16), lambda: dropins.LSTM(16, 16, batch_first=True)])
def test_checkpointing_keeps_nothing_of_a_layer(make: Callable[[], nn.Module]):
    layer = make()
    inputs = torch.randn(8, 20, 16, requires_grad=True)
    seen: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        seen.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = checkpoint(lambda given: layer(given)[0], inputs, use_reentrant=False)
    assert sum(seen) <= inputs.numel()
    assert isinstance(output, Tensor)
    leaves = [inputs, *layer.parameters()]
    found = torch.autograd.grad(output.sum(), leaves)
    assert_near(list(found), list(torch.autograd.grad(layer(inputs)[0].sum(), leaves)), torch.float32)


def test_a_stateful_layer_carries_no_stand_ins():
    layer, inputs = elman.GRU(4, 5, stateful=True), torch.randn(2, 3, 4)
    wanted = layer(inputs)[0]
    layer.reset_state()
    with FakeTensorMode(allow_non_fake_inputs=True):
        layer(inputs)
    assert torch.equal(layer(inputs)[0], wanted)
    layer.reset_state()
    torch.func.vmap(lambda given: layer(given)[0])(torch.stack([inputs, inputs]))
    assert torch.equal(layer(inputs)[0], wanted)
    layer.reset_state()
    with torch.inference_mode():
        layer(inputs)
    layer(inputs)[0].sum().backward()


@pytest.mark.parametrize("target", [None, "eager"])
def test_a_fixed_parameter_has_a_gradient_where_it_asks_for_one(target: str | None):
    @elman.cell
    def turning(x, h):
        turn = elman.matrix("turn", 5, 5, initial="orthogonal", learned=False)
        return elman.tanh(elman.product(h, turn) + elman.affine("input", x))

    layer = Recurrent(turning, 4, 5).double()
    (fixed,) = layer.buffers()
    inputs = torch.randn(2, 3, 4, dtype=torch.float64)
    run_it = lambda value: torch.func.functional_call(layer, {"layer0.turn": value}, (inputs,))[0]  # noqa: E731
    layer.target = target
    assert torch.autograd.gradcheck(run_it, (fixed.clone().requires_grad_(),))
