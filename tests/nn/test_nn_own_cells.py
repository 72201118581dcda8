"""Cells with shared, transposed and fixed matrices, declared states and starts, beside plain loops in torch."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from elman import (
    Next,
    Ragged,
    Recurrent,
    affine,
    cell,
    concat,
    identity,
    matrix,
    parameter,
    product,
    relu,
    sigmoid,
    sum,
    tanh,
    zoneout,
)
from elman.cells.archive import cell_from_json, cell_to_json
from elman.compiler.cell import Cell
from elman.compiler.dispatch import GENERAL
from elman.compiler.explain import Explanation
from elman.errors import UsageError
from elman.nn.regularisers import drop_weights
from tests.laws.tolerances import assert_near

LENGTHS = [4, 0, 1, 6, 3]
SIZE = 5

every_target = pytest.mark.parametrize("target", GENERAL)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])

States = tuple[Tensor, ...]
Step = Callable[[dict[str, Tensor], Tensor, States], tuple[Tensor, States]]


@dataclass(frozen=True)
class Judge:
    """A cell, and its step written for plain tensors: (weights, x, states) to (output, next states)."""

    cell: Cell
    step: Step
    shapes: tuple[int, ...] = (SIZE,)


@cell
def antisymmetric(x, h):
    w = matrix("w", h.size, h.size)
    return h + 0.3 * tanh(product(h, w) - product(h, w, transposed=True) - 0.1 * h + affine("input", x))


def plain_antisymmetric(w: dict[str, Tensor], x: Tensor, states: States) -> tuple[Tensor, States]:
    (h,) = states
    turned = h @ (w["w"] - w["w"].T)
    h = h + 0.3 * torch.tanh(turned - 0.1 * h + x @ w["input/0"] + w["input/bias"])
    return h, (h,)


@cell
def symmetric(x, h):
    w = matrix("w", h.size, h.size)
    return tanh(product(h, w) + product(h, w, transposed=True) + affine("input", x))


def plain_symmetric(w: dict[str, Tensor], x: Tensor, states: States) -> tuple[Tensor, States]:
    (h,) = states
    h = torch.tanh(h @ (w["w"] + w["w"].T) + x @ w["input/0"] + w["input/bias"])
    return h, (h,)


@cell
def irnn(x, h):
    return relu(affine("hidden", x, h, initial=(None, identity())))


def plain_irnn(w: dict[str, Tensor], x: Tensor, states: States) -> tuple[Tensor, States]:
    (h,) = states
    h = torch.relu(x @ w["hidden/0"] + h @ w["hidden/1"] + w["hidden/bias"])
    return h, (h,)


@cell(sizes={"line": lambda length: length})
def delay_line(x, h, line, *, length=7):
    h = tanh(affine("hidden", x, h, line[0]))
    return Next(h=h, line=concat(line[1:], sum(x)))


def plain_delay_line(w: dict[str, Tensor], x: Tensor, states: States) -> tuple[Tensor, States]:
    h, line = states
    h = torch.tanh(x @ w["hidden/0"] + h @ w["hidden/1"] + line[:1] @ w["hidden/2"] + w["hidden/bias"])
    return h, (h, torch.cat([line[1:], x.sum(0, keepdim=True)]))


@cell
def shared(x, h):
    """One matrix on the input and on the state, in two gates, once transposed; and a fixed one on both."""
    w, fixed = matrix("w"), matrix("fixed", initial="orthogonal", learned=False)
    z = sigmoid(product(x, w) + product(h, w, transposed=True) + parameter("shift", initial=0.5, learned=False))
    n = tanh(product(x, w) + product(z * h, w) + product(h, fixed) + product(x, fixed, transposed=True))
    return z * h + (1.0 - z) * n


def plain_shared(w: dict[str, Tensor], x: Tensor, states: States) -> tuple[Tensor, States]:
    (h,) = states
    z = torch.sigmoid(x @ w["w"] + h @ w["w"].T + w["shift"])
    n = torch.tanh(x @ w["w"] + (z * h) @ w["w"] + h @ w["fixed"] + x @ w["fixed"].T)
    h = z * h + (1.0 - z) * n
    return h, (h,)


def legendre(order: int, theta: float) -> tuple[list[list[float]], list[float]]:
    """A and B of a Legendre memory unit (Voelker, Kajić, Eliasmith, 2019, equation 2), by Euler's method."""
    a = [[(2 * i + 1) / theta * (-1.0 if i < j else (-1.0) ** (i - j + 1)) for j in range(order)] for i in range(order)]
    a = [[float(i == j) + a[j][i] for j in range(order)] for i in range(order)]
    return a, [(2 * i + 1) * (-1.0) ** i / theta for i in range(order)]


A, B = legendre(4, 9.0)


@cell(sizes={"m": 4})
def legendre_memory(x, h, m):
    u = affine("read", x, h, m, size=1, bias=None)
    m = product(m, matrix("A", 4, 4, initial=A, learned=False)) + u * parameter("B", 4, initial=B, learned=False)
    return Next(h=tanh(affine("hidden", x, h, m)), m=m)


def plain_legendre(w: dict[str, Tensor], x: Tensor, states: States) -> tuple[Tensor, States]:
    h, m = states
    u = x @ w["read/0"] + h @ w["read/1"] + m @ w["read/2"]
    m = m @ w["A"] + u * w["B"]
    h = torch.tanh(x @ w["hidden/0"] + h @ w["hidden/1"] + m @ w["hidden/2"] + w["hidden/bias"])
    return h, (h, m)


JUDGES = {
    judge.cell.name: judge
    for judge in (
        Judge(antisymmetric, plain_antisymmetric),
        Judge(symmetric, plain_symmetric),
        Judge(irnn, plain_irnn),
        Judge(delay_line, plain_delay_line, (SIZE, 7)),
        Judge(shared, plain_shared),
        Judge(legendre_memory, plain_legendre, (SIZE, 4)),
    )
}
every_judge = pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)


def plain_run(judge: Judge, weights: dict[str, Tensor], batch: Ragged) -> tuple[Tensor, list[Tensor]]:
    """The outputs of all steps, and the last states, by a loop."""
    outputs, ends = [], []
    for sequence in batch:
        states = tuple(sequence.new_zeros(size) for size in judge.shapes)
        for x in sequence:
            output, states = judge.step(weights, x, states)
            outputs.append(output)
        ends.append(states)
    return torch.stack(outputs), [torch.stack(each) for each in zip(*ends, strict=True)]


def make(judge: Judge, dtype: torch.dtype = torch.float64, **settings: Any) -> tuple[Recurrent, Ragged]:
    torch.manual_seed(3)
    layer = Recurrent(judge.cell, SIZE, SIZE, **settings).to(dtype)
    return layer, Ragged(torch.randn(14, SIZE, dtype=torch.float64).to(dtype), LENGTHS)


def results_and_gradients(
    run: Callable[[Ragged], tuple[Tensor, list[Tensor]]], batch: Ragged, layer: Recurrent
) -> list[Tensor]:
    data = batch.data.clone().requires_grad_()
    output, last = run(batch.replace(data))
    loss = output.sin().sum() + torch.stack([state.cos().sum() for state in last]).sum()
    return [
        output.detach(),
        *(state.detach() for state in last),
        *torch.autograd.grad(loss, [data, *layer.parameters()]),
    ]


def as_tensors(layer: Recurrent) -> Callable[[Ragged], tuple[Tensor, list[Tensor]]]:
    def run(batch: Ragged) -> tuple[Tensor, list[Tensor]]:
        steps, last = layer(batch)
        return steps.data, [last[name] for name in last.names]

    return run


@every_judge
@every_target
@every_dtype
def test_the_layer_gives_what_a_plain_loop_gives(judge: Judge, target: str, dtype: torch.dtype):
    layer, batch = make(judge, dtype, target=target)
    with torch.no_grad():
        output, last = as_tensors(layer)(batch)
        expected, ends = plain_run(judge, layer.weights(), batch)
    assert_near([output, *last], [expected, *ends], dtype)


@every_judge
@pytest.mark.parametrize("target", ["llvm", "eager"])
@every_dtype
def test_gradients_are_those_of_a_plain_loop(judge: Judge, target: str, dtype: torch.dtype):
    layer, batch = make(judge, dtype, target=target)
    found = results_and_gradients(as_tensors(layer), batch, layer)
    expected = results_and_gradients(lambda given: plain_run(judge, layer.weights(), given), batch, layer)
    assert_near(found, expected, dtype)


@every_judge
def test_second_gradients_are_those_of_a_plain_loop(judge: Judge):
    layer, batch = make(judge)
    batch.data.requires_grad_()

    def twice(run: Callable[[Ragged], tuple[Tensor, list[Tensor]]]) -> list[Tensor]:
        wanted = list(layer.parameters())
        first = torch.autograd.grad(run(batch)[0].sin().sum(), wanted, create_graph=True)
        total = torch.stack([gradient.square().sum() for gradient in first]).sum()
        return list(torch.autograd.grad(total, wanted, materialize_grads=True))

    assert_near(twice(as_tensors(layer)), twice(lambda given: plain_run(judge, layer.weights(), given)), torch.float64)


@every_judge
def test_gradients_of_a_table_are_those_of_its_rows(judge: Judge):
    layer, _ = make(judge)
    table = torch.randn(3, SIZE, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([0, 2, 1, 1, 2, 0, 0, 2, 1, 0, 2, 2, 1, 0])
    found = layer(Ragged(ids, LENGTHS), table=table)[0].data
    expected = layer(Ragged(table[ids], LENGTHS))[0].data
    wanted = [table, *layer.parameters()]
    assert_near(
        [found, *torch.autograd.grad(found.sin().sum(), wanted)],
        [expected, *torch.autograd.grad(expected.sin().sum(), wanted)],
        torch.float64,
    )


@every_judge
def test_training_in_place_is_that_of_a_plain_loop_and_fixed_ones_stay(judge: Judge):
    layer, batch = make(judge)
    fixed = {name: tensor.clone() for name, tensor in layer.named_buffers()}
    mine = {name: tensor.detach().clone() for name, tensor in layer.weights().items()}
    learned = [mine[name.removeprefix("layer0.")].requires_grad_() for name, _ in layer.named_parameters()]
    theirs = torch.optim.SGD(learned, 0.1)
    ours = torch.optim.SGD(layer.parameters(), 0.1)
    for _ in range(3):
        theirs.zero_grad()
        plain_run(judge, mine, batch)[0].square().sum().backward()
        theirs.step()
        ours.zero_grad()
        layer(batch)[0].data.square().sum().backward()
        ours.step()
    assert_near(list(layer.parameters()), learned, torch.float64)
    assert all((tensor == fixed[name]).all() for name, tensor in layer.named_buffers())


@every_judge
def test_a_cell_and_its_weights_are_saved_and_loaded(judge: Judge):
    layer, batch = make(judge)
    data = json.loads(json.dumps(cell_to_json(layer.cell, layer.cell_sizes)))
    restored = Recurrent(cell_from_json(data), SIZE, SIZE).double()
    assert not restored.load_state_dict(layer.state_dict(), strict=True).missing_keys
    assert torch.equal(restored(batch)[0].data, layer(batch)[0].data)
    assert data == json.loads(json.dumps(cell_to_json(restored.cell, restored.cell_sizes)))
    layer.set_weights(layer.get_weights())
    assert torch.equal(restored(batch)[0].data, layer(batch)[0].data)


@every_judge
def test_a_stream_gives_what_whole_sequences_give(judge: Judge):
    layer, _ = make(judge)
    data = torch.randn(2, 9, SIZE, dtype=torch.float64)
    stream = layer.stream(batch_size=2)
    found = torch.stack([stream.step(x) for x in data.unbind(1)], 1)
    assert_near([found], [layer(data)[0]], torch.float64)


@pytest.mark.parametrize("name", ["antisymmetric", "symmetric", "irnn", "shared", "legendre_memory"])
def test_weight_drop_drops_a_weight_from_all_uses_of_its_matrix(name: str):
    judge = JUDGES[name]
    layer, batch = make(judge, weight_drop=0.5)
    torch.manual_seed(7)
    output, _ = layer(batch)
    torch.manual_seed(7)
    graph = judge.cell.trace(SIZE, SIZE)
    dropped = drop_weights(graph, layer.weights(), 0.5, training=True)
    changed = {key for key, value in dropped.items() if not torch.equal(value, layer.weights()[key])}
    assert changed == set(graph.recurrent_matrices)
    assert changed.isdisjoint({"fixed", "A", "shift", "B"})
    assert_near([output.data], [plain_run(judge, dropped, batch)[0]], torch.float64)


def test_given_numbers_are_those_of_the_layers_type():
    weights = Recurrent(legendre_memory, 3, SIZE).weights()
    assert torch.equal(weights["A"], torch.tensor(A))
    assert torch.equal(weights["B"], torch.tensor(B))


def test_nothing_is_computed_for_the_gradient_of_what_is_fixed():
    layer, _ = make(JUDGES["shared"])
    gradient = Explanation(layer.cell.trace(SIZE, SIZE)).gradient
    assert {use.name for use in gradient.uses} == {"w"}
    assert not gradient.vectors
    assert {name for name, _ in layer.named_parameters()} == {"layer0.w"}
    assert {name for name, _ in layer.layer0.named_buffers()} == {"fixed", "shift"}
    assert all(tensor.dtype == torch.float32 for tensor in layer.float().buffers())


def test_states_of_the_inputs_size_stack_where_the_input_is_as_wide_as_the_output():
    @cell
    def remembers(x, h, before):
        return Next(h=tanh(affine("hidden", x, before)), before=x)

    layer = Recurrent(remembers, 4, 4, num_layers=3)
    assert layer(torch.zeros(2, 3, 4))[1].before.shape == (3, 2, 4)
    with pytest.raises(UsageError, match=r"'before': 3.*in layer0, got .*'before': 4.*in layer1"):
        Recurrent(remembers, 3, 4, num_layers=2)


def test_the_orthogonal_start_of_a_shared_matrix_is_that_of_a_recurrent_one():
    weights = make(JUDGES["antisymmetric"])[0].weights()
    assert_near([weights["w"] @ weights["w"].T], [torch.eye(SIZE).double()], torch.float32)
    bound = 1 / math.sqrt(SIZE)
    drawn = Recurrent(antisymmetric, SIZE, SIZE, init="torch").weights()["w"]
    assert drawn.abs().max() <= bound
    assert torch.equal(Recurrent(irnn, 3, SIZE, init="torch").weights()["hidden/1"], torch.eye(SIZE))


def test_a_declared_size_follows_options_and_zoneout_and_nesting():
    short = delay_line.with_options(length=3)
    assert Recurrent(short, SIZE, SIZE)(torch.zeros(2, 4, SIZE))[1].line.shape == (2, 3)
    zoned = zoneout(short, {"h": 0.5, "line": 0.25})
    assert Recurrent(zoned, SIZE, SIZE)(torch.zeros(2, 4, SIZE))[1].line.shape == (2, 3)

    @cell(sizes={"first": 3, "second": lambda input_size, hidden_size: input_size * hidden_size})
    def two_lines(x, h, first, second):
        inner = short(x, h, first)
        return Next(h=inner.states["h"], first=inner.states["line"], second=0.5 * second)

    layer = Recurrent(two_lines, 4, SIZE)
    assert layer.zero_state(1).second.shape == (1, 20)
    data = torch.randn(2, 4, 4)
    alone = Recurrent(short, 4, SIZE)
    alone.load_state_dict(layer.state_dict())
    assert_near(layer(data)[0], alone(data)[0], torch.float32)


@every_judge
def test_a_cell_is_explained(judge: Judge):
    text = str(Explanation(judge.cell.trace(SIZE, SIZE)))
    assert "Gradients of the parameters" in text
    if judge.cell is shared:
        assert "h (5 features) by w transposed: one matrix" in text
        assert "h (5 features) by fixed: one matrix, not learned" in text
    if judge.cell is antisymmetric:
        assert "h (5 features) by w, wᵀ: 2 matrices side by side" in text
