"""Steps of torch's fused kernels: which are found, and that the target `torch` runs them as every other target."""

import weakref

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from elman import CELLS, Ragged, Recurrent
from elman.compiler.cell import Cell, cell
from elman.compiler.dispatch import choose
from elman.compiler.fused import find_fused
from elman.compiler.language import Next, affine, concat, matrix, parameter, product, relu, sigmoid, split, tanh
from elman.compiler.targets import eager
from elman.compiler.targets import torch as fused
from elman.errors import UsageError

LENGTHS = [3, 0, 5, 1]


@cell
def wide_lstm(u, memory, y):
    """The gates side by side in one matrix, and the factors and summands in another order."""
    a, b, d, e = split(affine("all", y, u, size=4 * memory.size), 4)
    memory = tanh(a) * sigmoid(e) + memory * sigmoid(b)
    return Next(memory=memory, y=tanh(memory) * sigmoid(d), output=tanh(memory) * sigmoid(d))


@cell
def joined_gru(x, state):
    """A matrix for the input and the state together."""
    both = concat(x, state)
    reset, keep = sigmoid(affine("a", both)), sigmoid(affine("b", both))
    return (1.0 - keep) * tanh(affine("c", x) + affine("d", state) * reset) + state * keep


@cell
def plain_relu(x, h):
    """Without a bias."""
    return relu(affine("hidden", h, x, bias=None))


@cell
def tied(x, h):
    """A symmetric recurrence: a matrix and its transpose, and two vectors."""
    u = matrix("u", h.size, h.size)
    return tanh(product(h, u) + product(h, u, transposed=True) + affine("in", x) + parameter("more", h.size))


OWN = {"wide_lstm": wide_lstm, "joined_gru": joined_gru, "plain_relu": plain_relu, "tied": tied}
KINDS = {"wide_lstm": "lstm", "joined_gru": "gru", "plain_relu": "rnn_relu", "tied": "rnn_tanh"}


def test_cells_of_torchs_kernels_are_found():
    found = {name: find_fused(each.trace(3, 4)) for name, each in CELLS.items()}
    assert {name: each.kind for name, each in found.items() if each is not None} == {
        "simple_rnn": "rnn_tanh",
        "reservoir": "rnn_tanh",
        "lstm": "lstm",
        "projected_lstm": "lstm",
        "gru_reset_after": "gru",
    }


@pytest.mark.parametrize("name", OWN)
def test_own_cells_are_found_by_their_equations(name: str):
    found = find_fused(OWN[name].trace(3, 4))
    assert found is not None
    assert found.kind == KINDS[name]


@cell
def coupled(x, h, c):
    f = sigmoid(affine("f", x, h))
    c = f * c + (1.0 - f) * tanh(affine("g", x, h))
    return Next(h=sigmoid(affine("o", x, h)) * tanh(c), c=c)


@cell
def one_gate(x, h, c):
    """A gate with one feature for all units."""
    i, f, o = (sigmoid(affine(name, x, h, size=1)) for name in "ifo")
    c = f * c + i * tanh(affine("g", x, h))
    return Next(h=o * tanh(c), c=c)


@cell
def scaled(x, h):
    return tanh(affine("hidden", x, h) * 0.5)


@cell
def skipping(x, h):
    return tanh(affine("hidden", x, h)) + h


@cell
def other_output(x, h):
    h = tanh(affine("hidden", x, h))
    return Next(h=h, output=h * h)


@cell
def other_update(x, h):
    """The state before the reset gate, as published."""
    z, r = sigmoid(affine("z", x, h)), sigmoid(affine("r", x, h))
    return z * h + (1.0 - z) * tanh(affine("n", x, r * h))


@pytest.mark.parametrize(
    "own", [coupled, one_gate, scaled, skipping, other_output, other_update], ids=lambda own: own.name
)
def test_other_steps_are_refused(own: Cell):
    assert find_fused(own.trace(4, 4)) is None
    with pytest.raises(UsageError, match=rf"(?s)target `torch`.*{own.name}.*Leave out the target"):
        Recurrent(own, 4, 4, target="torch")(torch.zeros(1, 2, 4))


def layers(name: str, **settings) -> tuple[Recurrent, Recurrent]:
    """A layer on torch's kernels, and its twin on torch's operations."""
    torch.manual_seed(0)
    made = [Recurrent(OWN[name], 3, 4, target=target, **settings).double() for target in ("torch", "eager")]
    made[1].load_state_dict(made[0].state_dict())
    return made[0], made[1]


def results(layer: Recurrent, data: Tensor, lengths: list[int], *, create_graph: bool = False) -> list[Tensor]:
    """Outputs, last states, and all gradients of a number in which each has a part."""
    steps, last = layer(Ragged(data, lengths))
    values = [steps.data, *last.tensors.values()]
    loss = sum((value.sin() * torch.linspace(-1, 1, value.numel()).view_as(value)).sum() for value in values)
    return [*values, *torch.autograd.grad(loss, [data, *layer.parameters()], create_graph=create_graph)]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("lengths", [LENGTHS, [3, 3, 3]], ids=["ragged", "equal"])
def test_results_and_gradients_are_those_of_torchs_operations(name: str, lengths: list[int]):
    one, other = layers(name, num_layers=2, bidirectional=True)
    data = torch.randn(sum(lengths), 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(results(one, data, lengths), results(other, data, lengths))


@pytest.mark.parametrize("name", OWN)
def test_a_gradient_can_be_differentiated_again(name: str):
    one, other = layers(name)
    data = torch.randn(sum(LENGTHS), 3, dtype=torch.float64, requires_grad=True)
    second = [
        torch.autograd.grad(results(layer, data, LENGTHS, create_graph=True)[3].square().sum(), data)
        for layer in (one, other)
    ]
    torch.testing.assert_close(*second)


def test_the_first_derivative_is_that_of_the_kernel(monkeypatch: pytest.MonkeyPatch):
    one, _ = layers("wide_lstm")
    monkeypatch.setattr(eager, "run", None)
    data = torch.randn(sum(LENGTHS), 3, dtype=torch.float64, requires_grad=True)
    assert all(value.isfinite().all() for value in results(one, data, LENGTHS))


def test_memory_of_the_kernel_is_freed_with_the_gradient(monkeypatch: pytest.MonkeyPatch):
    class Mark:
        """An object that lives as long as the kernel's graph."""

    made: list[weakref.ref[Mark]] = []

    def watched(*given):
        output, *last = torch.lstm(*given)
        mark = output.grad_fn.metadata["mark"] = Mark()  # type: ignore[union-attr]
        made.append(weakref.ref(mark))
        return output, *last

    monkeypatch.setitem(fused.KERNELS, "lstm", watched)
    one, _ = layers("wide_lstm")
    loss = one(torch.randn(2, 5, 3, dtype=torch.float64))[0].sum()
    assert made[0]() is not None
    loss.backward(retain_graph=True)
    loss.backward()
    assert loss.grad_fn is not None
    assert made[0]() is None


def test_checkpoint_gives_the_same_gradients():
    one, other = layers("joined_gru")
    data = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    kept = checkpoint(lambda x: one(x)[0], data, use_reentrant=False)
    plain = other(data)[0]
    torch.testing.assert_close(
        *(torch.autograd.grad(output.square().sum(), [data]) for output in (kept, plain))  # type: ignore[union-attr]
    )


def test_changed_parameters_are_noticed_and_results_share_no_memory():
    one, _ = layers("wide_lstm")
    steps, last = one(torch.randn(2, 1, 3, dtype=torch.float64))
    before = last.y.clone()
    with torch.no_grad():
        steps.zero_()
    assert torch.equal(last.y, before)
    loss = one(torch.randn(2, 4, 3, dtype=torch.float64))[0].sum()
    with torch.no_grad():
        next(one.parameters()).mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_the_choice():
    gpu, float16 = torch.device("cuda"), torch.float16
    for name in ("lstm", "gru_reset_after", "simple_rnn", "projected_lstm"):
        assert choose(None, gpu, torch.float32, CELLS[name].trace(3, 4)).target == "torch"
        assert choose(None, gpu, float16, CELLS[name].trace(3, 4), trains=False).target == "torch"
        assert choose(None, torch.device("cpu"), torch.float32, CELLS[name].trace(3, 4)).target == "llvm"
    assert choose(None, gpu, torch.float32, CELLS["gru"].trace(3, 4)).target == "eager"
    assert choose(None, torch.device("meta"), torch.float32, CELLS["lstm"].trace(3, 4)).target == "eager"
    assert choose(None, gpu, torch.float32).target == "eager"
    chosen: list[str] = []

    def call(x: Tensor) -> Tensor:
        chosen.append(choose(None, gpu, torch.float32, CELLS["lstm"].trace(3, 4)).target)
        return x.sum()

    torch.func.grad(call)(torch.ones(2))
    assert chosen == ["eager"]
