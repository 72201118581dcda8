"""Cells whose state is a matrix, in a few lines, beside the same written out in torch: values and gradients."""

from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from torch import Tensor

from elman import (
    Next,
    affine,
    cell,
    contract,
    exp,
    log_sigmoid,
    maximum,
    outer,
    parameter,
    round,
    sigmoid,
    softmax,
    softplus,
    sqrt,
    square,
    stop_gradient,
    sum,
    tanh,
)  # fmt: skip
from elman.compiler.cell import Cell
from elman.compiler.gradient import differentiate
from elman.compiler.graph import is_work
from elman.compiler.widen import widen
from tests.compiler.run import drawn, run
from tests.laws.tolerances import assert_near

LENGTHS = (3, 0, 5, 1)
SIZE = 5

Weights = Mapping[str, Tensor]
TorchStep = Callable[[Tensor, Sequence[Tensor], Weights], tuple[Tensor, list[Tensor]]]


@cell
def mlstm(x, C, n, m):
    """The matrix memory of xLSTM, Beck et al. 2024, equations 19 to 27, with the stabilised gates of equation 15."""
    query, key, value = affine("query", x), affine("key", x) / SIZE**0.5, affine("value", x)
    forget, enter = log_sigmoid(affine("forget", x, size=1)), affine("enter", x, size=1)
    m_next = maximum(forget + m, enter)
    kept, added = exp(forget + m - m_next), exp(enter - m_next)
    C, n = kept * C + added * outer(value, key), kept * n + added * key
    read = contract(C, query) / maximum(abs(sum(n * query)), 1.0)
    return Next(C=C, n=n, m=m_next, output=sigmoid(affine("output", x)) * read)


def mlstm_in_torch(x: Tensor, states: Sequence[Tensor], w: Weights) -> tuple[Tensor, list[Tensor]]:
    C, n, m = states[0].reshape(SIZE, SIZE), states[1], states[2]
    query, key, value = dense(x, w, "query"), dense(x, w, "key") / SIZE**0.5, dense(x, w, "value")
    forget, enter = torch.nn.functional.logsigmoid(dense(x, w, "forget")), dense(x, w, "enter")
    m_next = torch.maximum(forget + m, enter)
    kept, added = (forget + m - m_next).exp(), (enter - m_next).exp()
    C, n = kept * C + added * torch.outer(value, key), kept * n + added * key
    read = C @ query / torch.maximum((n @ query).abs(), torch.ones(1, dtype=x.dtype))
    return dense(x, w, "output").sigmoid() * read, [C.flatten(), n, m_next]


@cell
def fast_weights(x, A, h):
    """Fast weights, after Ba et al. 2016: one inner step, and the vector before it is what is stored."""
    slow = affine("slow", x, h)
    A = 0.9 * A + 0.5 * outer(tanh(slow), tanh(slow))
    return Next(A=A, h=tanh(slow + contract(A, tanh(slow))), output=h)


def fast_weights_in_torch(x: Tensor, states: Sequence[Tensor], w: Weights) -> tuple[Tensor, list[Tensor]]:
    slow = x @ w["slow/0"] + states[1] @ w["slow/1"] + w["slow/bias"]
    A = 0.9 * states[0].reshape(SIZE, SIZE) + 0.5 * torch.outer(slow.tanh(), slow.tanh())
    return states[1], [A.flatten(), (slow + A @ slow.tanh()).tanh()]


@cell
def delta_rule(x, S):
    """The delta rule, Schlag et al. 2021, equations 23 to 25, with keys of another size than the values."""
    query, key, value = softmax(affine("query", x, size=3)), softmax(affine("key", x, size=3)), affine("value", x)
    found = contract(S, key) if S.size > 1 else value  # the first run has states of size 1
    S = S + sigmoid(affine("rate", x, size=1)) * outer(value - found, key)
    return Next(S=S, output=contract(S, query))


def delta_rule_in_torch(x: Tensor, states: Sequence[Tensor], w: Weights) -> tuple[Tensor, list[Tensor]]:
    S = states[0].reshape(SIZE, 3)
    query, key, value = dense(x, w, "query").softmax(0), dense(x, w, "key").softmax(0), dense(x, w, "value")
    S = S + dense(x, w, "rate").sigmoid() * torch.outer(value - S @ key, key)
    return S @ query, [S.flatten()]


@cell
def two_sided(x, M):
    """Reads its matrix from both sides."""
    left, right = affine("left", x, size=4), affine("right", x, size=7)
    M = tanh(0.5 * M + outer(left, right))
    return Next(M=M, output=contract(M, left, transposed=True) + contract(M, right)[0])


def two_sided_in_torch(x: Tensor, states: Sequence[Tensor], w: Weights) -> tuple[Tensor, list[Tensor]]:
    left, right = dense(x, w, "left"), dense(x, w, "right")
    M = (0.5 * states[0].reshape(4, 7) + torch.outer(left, right)).tanh()
    return M.T @ left + (M @ right)[0], [M.flatten()]


@cell
def content_addressed(x, M):
    """A memory as in neural Turing machines, Graves et al. 2014, equations 2 to 6, with one head."""
    key, erase, add = affine("key", x, size=4), sigmoid(affine("erase", x, size=4)), affine("add", x, size=4)
    M = M if M.size > 1 else outer(affine("rows", x, size=6), key)  # the first run has states of size 1
    ones = key**0
    likeness = contract(M, key) / sqrt(contract(square(M), ones) * sum(square(key)) + 1e-3)
    weights = softmax(softplus(affine("sharp", x, size=1)) * likeness)
    return Next(M=M * (1.0 - outer(weights, erase)) + outer(weights, add), output=contract(M, weights, transposed=True))


def content_addressed_in_torch(x: Tensor, states: Sequence[Tensor], w: Weights) -> tuple[Tensor, list[Tensor]]:
    key, erase, add = dense(x, w, "key"), dense(x, w, "erase").sigmoid(), dense(x, w, "add")
    M = states[0].reshape(6, 4)
    likeness = M @ key / ((M * M).sum(1) * (key @ key) + 1e-3).sqrt()
    weights = (torch.nn.functional.softplus(dense(x, w, "sharp")) * likeness).softmax(0)
    return weights @ M, [(M * (1.0 - torch.outer(weights, erase)) + torch.outer(weights, add)).flatten()]


def dense(x: Tensor, w: Weights, name: str) -> Tensor:
    return x @ w[f"{name}/0"] + w[f"{name}/bias"]


CELLS: dict[str, tuple[Cell, TorchStep, int]] = {
    "mlstm": (mlstm, mlstm_in_torch, 45),
    "fast_weights": (fast_weights, fast_weights_in_torch, 15),
    "delta_rule": (delta_rule, delta_rule_in_torch, 35),
    "content_addressed": (content_addressed, content_addressed_in_torch, 45),
    "two_sided": (two_sided, two_sided_in_torch, 20),
}


def in_torch(step: TorchStep, tensors: Sequence[Tensor], names: Sequence[str], states: int) -> list[Tensor]:
    """The output of all steps, and the last states, sequence after sequence."""
    x, initial, weights = tensors[0], tensors[1 : 1 + states], dict(zip(names, tensors[1 + states :], strict=True))
    outputs: list[Tensor] = []
    last: list[list[Tensor]] = []
    start = 0
    for sequence, length in enumerate(LENGTHS):
        current = [state[sequence] for state in initial]
        for row in x[start : start + length]:
            output, current = step(row, current, weights)
            outputs.append(output)
        last.append(current)
        start += length
    return [torch.stack(outputs), *(torch.stack(each) for each in zip(*last, strict=True))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("target", ["llvm", "eager"])
@pytest.mark.parametrize("name", CELLS)
def test_a_matrix_state_is_what_torch_computes(name: str, target: str, dtype: torch.dtype):
    made, step, _ = CELLS[name]
    graph = made.trace(3, SIZE)
    names = [parameter.name for parameter in graph.parameters]
    tensors = [tensor.to(dtype).requires_grad_() for tensor in drawn(graph, LENGTHS)]
    results = {
        "found": run(graph, tensors, LENGTHS, target),
        "wanted": in_torch(step, tensors, names, len(graph.states)),
    }
    assert_near(results["found"], results["wanted"], dtype)
    gradients = [
        torch.autograd.grad([(result.sin()).sum() for result in each], tensors, materialize_grads=True)
        for each in results.values()
    ]
    assert_near(*gradients, dtype)


@pytest.mark.parametrize("name", CELLS)
def test_a_matrix_state_takes_few_operations_whatever_its_size(name: str):
    made, _, most = CELLS[name]
    graphs = [made.trace(3, size) for size in (SIZE, 64)]
    steps = [sum_of_work(differentiate(widen(graph).graph).backward.nodes) for graph in graphs]
    assert steps[0] == steps[1] < 3 * most
    assert sum_of_work(graphs[0].nodes) == sum_of_work(graphs[1].nodes) < most


def sum_of_work(nodes: Sequence) -> int:
    return len([node for node in nodes if is_work(node)])


@pytest.mark.parametrize("target", ["llvm", "eager"])
def test_a_learned_vector_may_be_the_matrix(target: str):
    @cell
    def step(x, h):
        return tanh(contract(parameter("W", 12, initial=0.25), x) + contract(parameter("U", 16), h, transposed=True))

    graph = step.trace(3, 4)
    tensors = [tensor.requires_grad_() for tensor in drawn(graph, LENGTHS)]
    found = run(graph, tensors, LENGTHS, target)

    def in_loop(x: Tensor, states: Sequence[Tensor], w: Weights) -> tuple[Tensor, list[Tensor]]:
        h = (w["W"].reshape(4, 3) @ x + states[0] @ w["U"].reshape(4, 4)).tanh()
        return h, [h]

    wanted = in_torch(in_loop, tensors, ["W", "U"], 1)
    assert_near(found, wanted, torch.float64)
    gradients = [torch.autograd.grad([each.sin().sum() for each in results], tensors) for results in (found, wanted)]
    assert_near(*gradients, torch.float64)


def test_a_value_that_is_rounded_passes_the_gradient_straight_through():
    @cell
    def step(x, h):
        return h + x + stop_gradient(round(x) - x)

    graph = step.trace(4, 4)
    for target in ("llvm", "eager"):
        tensors = [tensor.requires_grad_() for tensor in drawn(graph, LENGTHS)]
        output, last = run(graph, tensors, LENGTHS, target)
        assert_near(last[1], tensors[1][1], torch.float64)
        assert_near(output[0], tensors[1][0] + tensors[0][0].round(), torch.float64)
        (gradient,) = torch.autograd.grad(last.sum(), tensors[:1])
        assert torch.equal(gradient, torch.ones_like(gradient))
