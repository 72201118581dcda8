"""Runs a cell on every target and compares: results with the reference, gradients with torch's autograd."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from elman.compiler.dispatch import run
from elman.compiler.graph import Graph
from elman.compiler.testing.data import Data, draw, names_of_tensors, split_tensors
from elman.compiler.testing.forms import data_of, forms, rounded_data, rounded_numbers
from elman.compiler.testing.interpreted import interpreted_gradients
from elman.compiler.testing.jumps import distance_to_jumps
from elman.compiler.tolerances import TOLERANCES, relative_error

# A value nearer than this to a jump or bend of an operation may be on the other side after rounding.
MARGIN = 1e-4
# Where torch's own operations have a larger error in float32, the numbers are ill-conditioned: a sum in another order
# may have ten times that error, the largest that is allowed, without any mistake of a target.
ROUGHEST = TOLERANCES[torch.float32].relative / 10
DRAWS = 12
# Operations of torch that give numbers which they were given, or constants, and round nothing.
EXACT = (
    {"abs", "amax", "amin", "clamp", "clamp_min", "max", "maximum", "min", "minimum", "neg", "relu", "sign", "where"}
    | {"cat", "clone", "copy", "gather", "index", "index_put", "index_select", "scatter", "stack"}
    | {"full", "full_like", "new_full", "new_ones", "new_zeros", "ones", "ones_like", "zeros", "zeros_like"}
)

# The targets that kernels are compared with, whose small operations are slower on several threads.
PLAIN = ("reference", "eager")

Named = list[tuple[str, Tensor]]


class NotCompared(Enum):
    """Why a cell was not compared."""

    JUMP = "a rounding decides on which side of a jump or a bend a value is"
    ROUGH = "the numbers nearly cancel, and float32 keeps too few digits of what is left"
    OVERFLOW = "float32 overflows where float64 does not"


class Kernels(NamedTuple):
    """Kernels of one cell.

    Args:
        form: `draft` or `simplified`.
        dtype: of the numbers.
        trains: those of a training step, forward and backward; else the one for inference.
    """

    form: str
    dtype: torch.dtype
    trains: bool

    def __str__(self) -> str:
        kind = f"llvm {str(self.dtype).removeprefix('torch.')}"
        return " ".join([kind, *(() if self.trains else ("alone",)), *(("draft",) if self.form == "draft" else ())])


ALL_KERNELS = tuple(
    Kernels(form, dtype, trains)
    for form in ("simplified", "draft")
    for dtype in (torch.float64, torch.float32)
    for trains in (False, True)
)


def kernels_in_turn(seed: int) -> tuple[Kernels, ...]:
    """Return a quarter of the kernels: one kind for training, and another for inference.

    The one for inference is of the other form and dtype.
    """
    kinds = [kernels[:2] for kernels in ALL_KERNELS if kernels.trains]
    turn = seed % len(kinds)
    return Kernels(*kinds[turn], trains=True), Kernels(*kinds[-1 - turn], trains=False)


@dataclass(frozen=True)
class Difference:
    """Where a target or the gradient rules differ from the right result.

    Args:
        what: the target, the type, and which result or gradient.
        error: the largest, relative to the number and its scale.
        allowed: the largest error that is allowed.
    """

    what: str
    error: float
    allowed: float

    def __str__(self) -> str:
        return f"{self.what} differs by {self.error:.3g} of its scale, and {self.allowed:.3g} is allowed"


@dataclass(frozen=True)
class Truth:
    """What a cell gives on some data, and how exactly float32 can represent it.

    Args:
        results: of the reference.
        gradients: of torch's autograd on torch's operations in float64.
        roughness: the largest relative error of torch's operations in float32, or in float64 with every result
            perturbed by as much as float32 rounds. Rounding errors may cancel in one order of operations and add up in
            another, as those of the gradient of `v / v` do.
        parameters: names of the gradients of parameters, which have no rows of features.
    """

    results: Named
    gradients: Named
    roughness: float
    parameters: frozenset[str]


def compare(draft: Graph, seed: int, kernels: Sequence[Kernels] = ALL_KERNELS) -> list[Difference] | NotCompared:
    """Compare a cell, as it is and simplified, on all targets.

    Args:
        draft: the cell. Its numbers are rounded to float32, as the data are: every target gets the same problem.
        seed: of the data; data too near to a jump, or ill-conditioned, are drawn again.
        kernels: those to build.

    Returns:
        The differences, or why no data could be found on which the cell can be compared.
    """
    draft = rounded_numbers(draft)
    found = well_conditioned(draft, (draw(draft, seed + 1_000_003 * number) for number in range(DRAWS)))
    return found if isinstance(found, NotCompared) else list(differences(draft, *found, kernels))


def well_conditioned(draft: Graph, draws: Iterable[Data]) -> tuple[Data, Truth] | NotCompared:
    """Return the first data on which float32 can be compared, with the truth, or the reason."""
    reasons: Counter[NotCompared] = Counter()
    for drawn in draws:
        data = rounded_data(drawn)
        if distance_to_jumps(draft, data) < MARGIN:
            reasons[NotCompared.JUMP] += 1
            continue
        truth = find_truth(draft, data)
        if truth.roughness <= ROUGHEST:
            return data, truth
        reasons[NotCompared.ROUGH if truth.roughness < torch.inf else NotCompared.OVERFLOW] += 1
    return reasons.most_common(1)[0][0]


def find_truth(draft: Graph, data: Data) -> Truth:
    """Compute the right results and gradients."""
    data = rounded_data(data)
    results, exact = forward(draft, data, "reference"), backward(draft, data, "eager")
    rough = backward(draft, data.to(torch.float32), "eager")
    perturbed = backward(draft, data, "eager", mode=_Rounded())
    parameters = frozenset(f"gradient of {item.name}" for item in draft.parameters)
    roughness = max(error for found in (rough, perturbed) for _, error in _errors(found, exact, parameters))
    return Truth(results, exact[len(results) :], roughness, parameters)


class _Rounded(TorchDispatchMode):
    """While it is active, perturb the result of every operation at random by at most half a unit of float32."""

    def __init__(self) -> None:
        super().__init__()
        self._random = torch.Generator().manual_seed(0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        rounds = isinstance(found, Tensor) and found.is_floating_point() and name not in EXACT
        if rounds and not self._is_view(found, args):
            noise = torch.rand(found.shape, generator=self._random, dtype=torch.float64) - 0.5
            found = found * (1 + noise * torch.finfo(torch.float32).eps)
        return found

    @staticmethod
    def _is_view(found: Tensor, args: Any) -> bool:
        """Return whether a result has the memory of an argument, which was perturbed before."""
        memory = found.untyped_storage().data_ptr()
        return any(
            isinstance(each, Tensor) and each.untyped_storage().data_ptr() == memory for each in tree_leaves(args)
        )


def differences(
    draft: Graph, data: Data, truth: Truth, kernels: Sequence[Kernels] = ALL_KERNELS
) -> Iterator[Difference]:
    """Yield every difference, of a cell as it is and simplified."""
    data = rounded_data(data)
    graphs = forms(draft)
    for form, graph in graphs.items():
        yield from _interpreted_differences(form, graph, data_of(graph, draft, data), truth)
    for kind in dict.fromkeys(each if each.form in graphs else each._replace(form="simplified") for each in kernels):
        graph = graphs[kind.form]
        rounded = data_of(graph, draft, data).to(kind.dtype)
        if kind.trains:
            found, wanted = backward(graph, rounded, "llvm"), truth.results + truth.gradients
        else:
            found, wanted = forward(graph, rounded, "llvm"), truth.results
        yield from _compare(str(kind), found, wanted, truth.parameters, kind.dtype)


def _interpreted_differences(form: str, graph: Graph, data: Data, truth: Truth) -> Iterator[Difference]:
    """Yield the differences without kernels: reference, torch's operations, backward step."""
    suffix = " draft" if form == "draft" else ""
    found: Mapping[str, tuple[Named, Named]] = {
        "reference": (forward(graph, data, "reference"), truth.results),
        "eager float64": (backward(graph, data, "eager"), truth.results + truth.gradients),
        "gradient": (name_gradients(graph, interpreted_gradients(graph, data)), truth.gradients),
    }
    for kind, pair in found.items():
        yield from _compare(kind + suffix, *pair, truth.parameters, torch.float64)


def _compare(
    kind: str, found: Named, wanted: Named, parameters: frozenset[str], dtype: torch.dtype
) -> Iterator[Difference]:
    allowed = TOLERANCES[dtype].relative
    for name, error in _errors(found, wanted, parameters):
        if error > allowed:
            yield Difference(f"{kind}: {name}", error, allowed)


def _errors(found: Named, wanted: Named, parameters: frozenset[str]) -> Iterator[tuple[str, float]]:
    """Yield the largest error of each.

    A parameter that a simplified cell no longer reads has a gradient of zeros.
    """
    named = dict(found)
    for name, right in wanted:
        errors = relative_error(named.get(name, torch.zeros_like(right)), right, by_feature=name not in parameters)
        yield name, float(errors.max()) if errors.numel() else 0.0


def forward(graph: Graph, data: Data, target: str | None) -> Named:
    """Compute the output and the last states, without gradients."""
    inputs, states, weights = split_tensors(graph, data.tensors)
    with torch.no_grad(), _threads(1 if target in PLAIN else data.threads):
        output, last = run(graph, weights, inputs, states, data.order, backward=data.backward, target=target)
    return _name_results(graph, [output, *last])


def backward(graph: Graph, data: Data, target: str | None, *, mode: AbstractContextManager[Any] | None = None) -> Named:
    """Compute the output, the last states, and every gradient, within a mode if one is given."""
    names = names_of_tensors(graph)
    leaves = [
        tensor.detach().requires_grad_(name not in graph.fixed)
        for name, tensor in zip(names, data.tensors, strict=True)
    ]
    inputs, states, weights = split_tensors(graph, leaves)
    order = data.order  # within a mode of torch its lengths would be recorded
    with mode or nullcontext(), torch.enable_grad(), _threads(1 if target in PLAIN else data.threads):
        output, last = run(graph, weights, inputs, states, order, backward=data.backward, target=target)
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
    return _name_results(graph, [result.detach() for result in results]) + name_gradients(graph, found)


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


def name_gradients(graph: Graph, tensors: Sequence[Tensor]) -> Named:
    """Give each gradient, in the order of `Data.tensors`, its name."""
    return list(zip((f"gradient of {name}" for name in names_of_tensors(graph)), tensors, strict=True))
