"""Kernels at every size, batch and number of threads, in every memory, and in several threads at once."""

import gc
import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
import torch
from torch import Tensor

from elman import CELLS, Next, Recurrent, affine, cell, parameter, sigmoid, tanh
from elman.compiler import dispatch
from elman.compiler.graph import Graph, all_learned
from elman.compiler.targets.llvm import memory, run
from elman.compiler.targets.llvm.run import program
from elman.compiler.testing.compare import NotCompared, backward, differences, find_truth, forward, well_conditioned
from elman.compiler.testing.data import Data, fill
from tests.laws.cases import (
    every_cell,
    every_differentiable_target,
    every_dtype,
    every_general_differentiable_target,
)
from tests.laws.tolerances import assert_near

SIZES = (1, 3, 17, 65, 129)
# Tiles have up to 24 sequences, and products compute 8 rows at once.
BATCHES = (1, 2, 7, 8, 9, 15, 16, 17, 23, 24, 25, 47, 48, 49, 70)

every_kind_of_shape = pytest.mark.parametrize("turn", range(5))


def lengths_of(batch: int, seed: int) -> list[int]:
    """Sequences of 0 to 4 steps; none is empty if there is only one."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(int(batch == 1), 5, (batch,), generator=generator).tolist()


def shaped(name: str, turn: int, draw: int = 0) -> tuple[Graph, Data]:
    """A cell and data of one of many shapes, another one for each cell and turn."""
    number = 5 * list(CELLS).index(name) + turn
    graph = CELLS[name].trace(SIZES[turn], SIZES[(number // 5 + 2 * turn) % 5])
    batch = BATCHES[number % len(BATCHES)]
    lengths = lengths_of(batch, number)
    settings = {"backward": turn % 2 == 1, "threads": 1 + number % 4, "loss": batch**-0.5}
    return graph, fill(graph, lengths, number + 1000 * draw, **settings)


def small(name: str, dtype: torch.dtype, threads: int = 1) -> tuple[Graph, Data]:
    """A cell and data with sequences for several tiles."""
    graph = CELLS[name].trace(5, 19)
    return graph, fill(graph, lengths_of(27, 3), 1, threads=threads).to(dtype)


def tensors(named: Sequence[tuple[str, Tensor]]) -> list[Tensor]:
    return [tensor for _, tensor in named]


def are_same_bits(found: Sequence[tuple[str, Tensor]], wanted: Sequence[tuple[str, Tensor]]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(tensors(found), tensors(wanted), strict=True))


def test_every_size_and_batch_has_its_turn():
    seen = [shaped(name, turn) for name, turn in itertools.product(CELLS, range(5))]
    assert {graph.inputs[0].size for graph, _ in seen} == set(SIZES)
    assert {graph.states[-1].size for graph, _ in seen} >= set(SIZES)
    assert {len(data.lengths) for _, data in seen} == set(BATCHES)
    assert {data.threads for _, data in seen} == {1, 2, 3, 4}
    assert all({0, 1} <= set(data.lengths) for _, data in seen if len(data.lengths) > 20)


@every_cell
@every_kind_of_shape
def test_every_target_gives_the_same_results_and_gradients_at_every_size(cell: str, turn: int):
    graph, _ = shaped(cell, turn)
    found = well_conditioned(graph, (shaped(cell, turn, draw)[1] for draw in range(12)))
    assert not isinstance(found, NotCompared)
    assert not [str(difference) for difference in differences(graph, *found)]


@pytest.mark.parametrize(
    ("name", "sizes", "lengths"),
    [
        ("lstm", (32, 64), [150, 1, 0, 160]),
        ("gru", (16, 16), [100, 100, 0, 1, 100]),
        ("layer_norm_lstm", (65, 32), [90, 200, 1]),
        ("simple_rnn", (300, 257), [4, 3, 1, 0, 2]),
    ],
)
def test_long_sequences_and_large_sizes(name: str, sizes: tuple[int, int], lengths: list[int]):
    """Products of many rows read packed matrices, large ones go block by block."""
    graph = CELLS[name].trace(*sizes)
    data = fill(graph, lengths, 2, threads=2, loss=sum(lengths) ** -0.5)
    assert not [str(difference) for difference in differences(graph, data, find_truth(graph, data))]


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Memory that should hold anything holds NaN; the list says how many numbers were spoiled."""
    spoiled: list[int] = []
    clean = torch.empty

    def empty(*args, **named) -> Tensor:
        made = clean(*args, **named)
        if made.is_floating_point():
            made.fill_(torch.nan)
            spoiled.append(made.numel())
        return made

    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(memory, "LARGE", 1 << 60)  # nothing from the pool, which holds what was there before
    return spoiled


@every_cell
@every_dtype
@pytest.mark.parametrize("turn", [0, 2, 3])
def test_nan_in_fresh_memory_leaves_no_trace(cell: str, dtype: torch.dtype, turn: int, poison: list[int]):
    graph, data = shaped(cell, turn)
    data = data.to(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "empty", torch.zeros)
        clean = [*forward(graph, data, "llvm"), *backward(graph, data, "llvm")]
    assert not poison
    spoiled = [*forward(graph, data, "llvm"), *backward(graph, data, "llvm")]
    assert sum(poison) > sum(tensor.numel() for tensor in data.tensors[:1])
    assert are_same_bits(spoiled, clean)


@every_cell
@every_dtype
@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_the_same_number_of_threads_gives_the_same_bits(cell: str, dtype: torch.dtype, threads: int):
    graph, data = small(cell, dtype, threads)
    first = backward(graph, data, "llvm")
    assert are_same_bits(backward(graph, data, "llvm"), first)
    alone = backward(graph, replace(data, threads=1), "llvm")
    assert_near(tensors(first), tensors(alone), dtype)


@every_cell
@pytest.mark.parametrize("threads", [1, 2])
def test_several_threads_of_python_at_once_give_the_same_bits(cell: str, threads: int):
    graph, data = small(cell, torch.float32, threads)
    wanted = [*forward(graph, data, "llvm"), *backward(graph, data, "llvm")]
    start = Barrier(4)

    def work(_: int) -> list[tuple[str, Tensor]]:
        start.wait()
        return [*forward(graph, data, "llvm"), *backward(graph, data, "llvm")]

    with ThreadPoolExecutor(4) as pool:
        assert all(are_same_bits(found, wanted) for found in pool.map(work, range(4)))


@pytest.mark.parametrize("trial", range(3))
def test_a_cell_first_met_by_several_threads_at_once(trial: int):
    @cell
    def fresh(x, h, c):
        f, g = sigmoid(affine("forget", x, h)), tanh(affine("cell", x, h))
        c = f * c + (1.0 - f) * g
        return Next(h=tanh(c) * parameter("gain", initial=0.5), c=c)

    graph = fresh.trace(3, 5)
    data = fill(graph, [3, 0, 2], trial)
    start = Barrier(4)

    def work(_: int) -> list[tuple[str, Tensor]]:
        start.wait()
        return backward(graph, data, "llvm")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    assert all(are_same_bits(one, found[0]) for one in found)
    assert_near(tensors(found[0]), tensors(backward(graph, data, "eager")), torch.float64)


# Memory


def test_kernels_of_a_cell_that_is_no_longer_used_are_let_go():
    @cell
    def let_go(x, h):
        return tanh(affine("let_go", x, h))

    graph = let_go.trace(3, 4)
    backward(graph, fill(graph, [2, 1]), "llvm")
    kept = weakref.ref(program(graph, torch.float64))
    assert kept() is not None
    run._LATEST.clear()
    graph.derived.clear()
    gc.collect()
    assert kept() is None


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda value: value.mT.contiguous().mT if value.dim() == 2 else value.clone(),
    "scattered": lambda value: (
        value.repeat_interleave(2, 0).repeat_interleave(3, -1)[::2, ::3]
        if value.dim() == 2
        else value.repeat_interleave(3)[::3]
    ),
    "inside a larger one": lambda value: torch.nn.functional.pad(value, (3, 2), value=torch.nan)[..., 3:-2],
    "at its right edge": lambda value: torch.nn.functional.pad(value, (64 - value.shape[-1] % 64, 0), value=torch.nan)[
        ..., 64 - value.shape[-1] % 64 :
    ],
}


@every_cell
@every_differentiable_target
@every_dtype
@pytest.mark.parametrize("form", FORMS)
def test_memory_of_any_form_is_read_rightly(cell: str, target: str, dtype: torch.dtype, form: str):
    graph, data = small(cell, dtype)
    formed = [FORMS[form](tensor) for tensor in data.tensors], [FORMS[form](d) for d in data.d_results]
    assert all(map(torch.equal, formed[0], data.tensors))
    other = replace(data, tensors=tuple(formed[0]), d_results=tuple(formed[1]))
    assert_near(tensors(backward(graph, other, target)), tensors(backward(graph, data, target)), dtype)


@every_cell
@every_differentiable_target
@every_dtype
def test_repeated_numbers_are_read_rightly(cell: str, target: str, dtype: torch.dtype):
    graph, data = small(cell, dtype)
    doors = len(graph.inputs) + len(graph.states)
    first = [tensor[:1].expand_as(tensor) for tensor in data.tensors[:doors]] + list(data.tensors[doors:])
    repeated = replace(data, tensors=tuple(first), d_results=tuple(d.new_ones(()).expand_as(d) for d in data.d_results))
    plain = replace(data, tensors=tuple(map(torch.clone, first)), d_results=tuple(map(torch.ones_like, data.d_results)))
    assert_near(tensors(backward(graph, repeated, target)), tensors(backward(graph, plain, target)), dtype)


@every_general_differentiable_target
@every_dtype
@pytest.mark.parametrize("size", [1, 4, 6, 8, 16, 20])
def test_both_directions_of_a_cell_whose_output_is_a_product(target: str, dtype: torch.dtype, size: int):
    """The gradient of the second half is the right edge of a wider tensor."""

    @cell
    def projecting(x, h):
        h = tanh(affine("hidden", x, h))
        return Next(h=h, output=affine("output", h, size=size, bias=None))

    layer = Recurrent(projecting, 3, 5, bidirectional=True, target=target).to(dtype)
    judge = Recurrent(projecting, 3, 5, bidirectional=True, target="eager").to(dtype)
    judge.load_state_dict(layer.state_dict())
    batch = torch.randn(2, 7, 3, dtype=dtype)
    found, wanted = (
        torch.autograd.grad(each(batch)[0].square().sum(), list(each.parameters())) for each in (layer, judge)
    )
    assert_near(list(found), list(wanted), dtype)


# What is asked for


def _wishes(count: int) -> Iterator[tuple[bool, ...]]:
    for place in range(count):
        yield tuple(other == place for other in range(count))
        yield tuple(other != place for other in range(count))


@every_cell
def test_a_gradient_does_not_depend_on_which_others_are_asked_for(cell: str):
    # A fixed parameter has a gradient if it is asked for.
    graph = all_learned(CELLS[cell].trace(3, 5))
    data = fill(graph, [2, 0, 1, 4])
    names = [name for name, _ in backward(graph, data, "llvm") if name.startswith("gradient")]
    whole = tensors(backward(graph, data, "llvm"))[-len(names) :]
    inputs, states = len(graph.inputs), len(graph.states)
    for wishes in _wishes(len(names)):
        leaves = [tensor.clone().requires_grad_(wish) for tensor, wish in zip(data.tensors, wishes, strict=True)]
        weights = dict(zip((item.name for item in graph.parameters), leaves[inputs + states :], strict=True))
        output, last = dispatch.run(
            graph, weights, leaves[:inputs], leaves[inputs : inputs + states], data.order, target="llvm"
        )
        torch.autograd.backward([output, *last], data.d_results)
        assert [leaf.grad is not None for leaf in leaves] == list(wishes)
        for leaf, wanted in zip(leaves, whole, strict=True):
            assert leaf.grad is None or torch.equal(leaf.grad, wanted)
