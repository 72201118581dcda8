"""What the laws are run over: every cell, target and dtype that elman lists, and drawn batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from elman import CELLS, Ragged, Recurrent, State
from elman.compiler.dispatch import GENERAL, TARGETS
from elman.compiler.graph import Graph
from tests.examples import draws

DIFFERENTIABLE = [name for name in TARGETS if name != "reference"]

every_cell = pytest.mark.parametrize("cell", CELLS)
every_target = pytest.mark.parametrize("target", TARGETS)
# Those that run any step, for steps that are made of others or written in a test.
every_general_target = pytest.mark.parametrize("target", GENERAL)
every_general_differentiable_target = pytest.mark.parametrize(
    "target", [name for name in GENERAL if name != "reference"]
)
every_differentiable_target = pytest.mark.parametrize("target", DIFFERENTIABLE)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


@dataclass(frozen=True)
class Case:
    """A batch and a layer, by their sizes."""

    lengths: tuple[int, ...]
    input_size: int
    hidden_size: int
    seed: int


CASES = st.builds(
    Case,
    lengths=st.lists(st.sampled_from([0, 1, 2, 5]), max_size=5).map(tuple),
    input_size=st.sampled_from([1, 3, 17]),
    hidden_size=st.sampled_from([1, 3, 17, 65]),
    seed=st.integers(0, 99),
)

BUSY_CASES = CASES.filter(lambda case: sum(case.lengths) > 0)


def over(cases: st.SearchStrategy[Case], examples: int = 8) -> Callable[[Any], Any]:
    """Run a law over some drawn cases."""
    return lambda law: draws(examples)(given(case=cases)(law))


def rows(case: Case, *shape: int, dtype: torch.dtype, draw: int = 0) -> Tensor:
    """Random numbers of the case; the same for every dtype, up to its rounding."""
    generator = torch.Generator().manual_seed(1000 * draw + case.seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def make_layer(cell: str, case: Case, dtype: torch.dtype, **named: Any) -> Recurrent:
    """A layer in which no parameter is zero."""
    layer = Recurrent(cell, case.input_size, case.hidden_size, **named).to(dtype)
    assume_supported(layer._weights_of(0, False).graph, named.get("target"))
    with torch.no_grad():
        for draw, tensor in enumerate([*layer.parameters(), *layer.buffers()], start=1):
            scale = tensor.shape[0] ** -0.5 if tensor.dim() == 2 else 0.5
            tensor.copy_(rows(case, *tensor.shape, dtype=dtype, draw=draw) * scale)
    return layer


def assume_supported(graph: Graph, target: str | None) -> None:
    """Draw another case if the target does not run a step of this size: torch projects to fewer features only."""
    refusal = TARGETS[target or "llvm"].refusal
    if refusal is not None and refusal(graph):
        assume(False)


def make_batch(case: Case, dtype: torch.dtype) -> Ragged:
    """The case's sequences."""
    return Ragged(rows(case, sum(case.lengths), case.input_size, dtype=dtype), list(case.lengths))


def make_state(layer: Recurrent, case: Case, dtype: torch.dtype) -> State:
    """States to start from, none of them zero."""
    zeros = layer.zero_state(len(case.lengths))
    drawn = {
        name: rows(case, *tensor.shape, dtype=dtype, draw=-draw)
        for draw, (name, tensor) in enumerate(zeros.tensors.items(), start=1)
    }
    return State(drawn, bidirectional=layer.bidirectional)


@torch.no_grad()
def answer(layer: Recurrent, batch: Ragged, state: State | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """The output at every step and the last states."""
    steps, last = layer(batch, state)
    return steps.data, last.tensors


def at(tensors: dict[str, Tensor], sequences: Sequence[int] | Tensor) -> dict[str, Tensor]:
    """The states of these sequences."""
    return {name: tensor[:, torch.as_tensor(sequences, dtype=torch.int64)] for name, tensor in tensors.items()}
