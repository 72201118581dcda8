"""Runs a cell on every target and compares: results with the reference, gradients with torch's autograd."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from elman.compiler.dispatch import run
from elman.compiler.fuzz.data import Data, draw, names_of_tensors, split_tensors
from elman.compiler.fuzz.interpreted import interpreted_gradients
from elman.compiler.fuzz.jumps import distance_to_jumps
from elman.compiler.graph import Graph

# A value nearer than this to a point where an operation jumps or bends is on another side after a rounding.
MARGIN = 1e-4
# Beyond this error in float32 nothing can be said of a cell on these data.
TOO_ROUGH = 1e-2
DRAWS = 12

# The error allowed: this much of each number and of 1, and 30 times that of torch's operations in float32 (for
# float64 as many times smaller as its rounding is).
TOLERANCES = {torch.float64: (1e-11, 30 * 2.0**-29), torch.float32: (1e-5, 30.0)}

# What other targets are compared with; small operations are slower on several threads.
JUDGES = ("reference", "eager")

Named = list[tuple[str, Tensor]]


@dataclass(frozen=True)
class Difference:
    """Where a target or the gradient's rules differ from what they should give.

    Args:
        what: the target, the type, the result or the gradient.
        error: the largest difference.
        allowed: how large it might have been there.
    """

    what: str
    error: float
    allowed: float

    def __str__(self) -> str:
        return f"{self.what} differs by {self.error:.3g}, and {self.allowed:.3g} is allowed"


@dataclass(frozen=True)
class Truth:
    """What a cell gives on some data, and how exactly that can be known.

    Args:
        results: of the reference.
        gradients: of torch's autograd on torch's operations in float64.
        errors: by name, the largest error of torch's operations in float32.
    """

    results: Named
    gradients: Named
    errors: dict[str, float]


def judge(graph: Graph, seed: int) -> list[Difference] | None:
    """All differences between the targets on a cell.

    Args:
        graph: the cell.
        seed: of the data; where those lie too near to a jump, others are drawn.

    Returns:
        The differences; `None` if no data could be found on which anything can be said.
    """
    for number in range(DRAWS):
        data = draw(graph, seed + 1_000_003 * number)
        if distance_to_jumps(graph, data) < MARGIN:
            continue
        truth = find_truth(graph, data)
        if max(truth.errors.values()) <= TOO_ROUGH:
            return list(differences(graph, data, truth))
    return None


def find_truth(graph: Graph, data: Data) -> Truth:
    """The right results and gradients."""
    results = forward(graph, data, "reference")
    exact = backward(graph, data, "eager")
    rough = backward(graph, data.to(torch.float32), "eager")
    errors = {
        name: float(((one.double() - other).abs() / (1.0 + other.abs())).nan_to_num(torch.inf).max())
        if one.numel()
        else 0.0
        for (name, one), (_, other) in zip(rough, exact, strict=True)
    }
    return Truth(results, exact[len(results) :], errors)


def _relative_error(found: Tensor, wanted: Tensor) -> float:
    error = (found.double() - wanted).abs() / (1.0 + wanted.abs())
    return float(error.nan_to_num(torch.inf).max()) if error.numel() else 0.0


def differences(graph: Graph, data: Data, truth: Truth) -> Iterator[Difference]:
    """Everything that is not as it should be."""
    everything = [*truth.results, *truth.gradients]
    yield from _compare("eager float64", backward(graph, data, "eager"), everything, truth, torch.float64)
    found = interpreted_gradients(graph, data)
    yield from _compare("gradient", _name_gradients(graph, found), truth.gradients, truth, torch.float64)
    for dtype in TOLERANCES:
        kind = f"llvm {str(dtype).removeprefix('torch.')}"
        rounded = data.to(dtype)
        yield from _compare(f"{kind} alone", forward(graph, rounded, "llvm"), truth.results, truth, dtype)
        yield from _compare(kind, backward(graph, rounded, "llvm"), everything, truth, dtype)


def _compare(kind: str, found: Named, wanted: Named, truth: Truth, dtype: torch.dtype) -> Iterator[Difference]:
    relative, times = TOLERANCES[dtype]
    for (name, one), (_, other) in zip(found, wanted, strict=True):
        allowed = (relative + times * truth.errors[name]) * (1.0 + other.abs())
        error = (one.double() - other).abs().nan_to_num(torch.inf)
        if (error > allowed).any():
            worst = int((error / allowed).argmax())
            yield Difference(f"{kind}: {name}", float(error.flatten()[worst]), float(allowed.flatten()[worst]))


def forward(graph: Graph, data: Data, target: str | None) -> Named:
    """The output and the last states, without gradients."""
    inputs, states, weights = split_tensors(graph, data.tensors)
    with torch.no_grad(), _threads(1 if target in JUDGES else data.threads):
        output, last = run(graph, weights, inputs, states, data.order, backward=data.backward, target=target)
    return _name_results(graph, [output, *last])


def backward(graph: Graph, data: Data, target: str | None) -> Named:
    """The output and the last states, and the gradient of every tensor."""
    names = names_of_tensors(graph)
    leaves = [
        tensor.detach().requires_grad_(name not in graph.fixed)
        for name, tensor in zip(names, data.tensors, strict=True)
    ]
    inputs, states, weights = split_tensors(graph, leaves)
    with torch.enable_grad(), _threads(1 if target in JUDGES else data.threads):
        output, last = run(graph, weights, inputs, states, data.order, backward=data.backward, target=target)
        results = [output, *last]
        differentiable = [(one, d) for one, d in zip(results, data.d_results, strict=True) if one.requires_grad]
        found = torch.autograd.grad(
            [one for one, _ in differentiable],
            [leaf for leaf in leaves if leaf.requires_grad],
            [d for _, d in differentiable],
            materialize_grads=True,
        )
        each = iter(found)
        found = [next(each) if leaf.requires_grad else torch.zeros_like(leaf) for leaf in leaves]
    return _name_results(graph, [result.detach() for result in results]) + _name_gradients(graph, found)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _name_results(graph: Graph, tensors: Sequence[Tensor]) -> Named:
    return list(zip(("output", *(f"last {name}" for name in graph.state_names)), tensors, strict=True))


def _name_gradients(graph: Graph, tensors: Sequence[Tensor]) -> Named:
    return list(zip((f"gradient of {name}" for name in names_of_tensors(graph)), tensors, strict=True))
