"""Numbers to run a random cell on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

from elman.compiler.graph import Graph
from elman.order import TimeMajor

LARGEST = 4.0
# Where operations bend or jump, and the ends of the range; several equal ones in a row are ties.
SPECIAL = (0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, LARGEST, -LARGEST)


@dataclass(frozen=True)
class Data:
    """A batch, parameters, and gradients of the results, all in float64 as drawn.

    Args:
        lengths: steps of each sequence.
        backward: whether the sequences are read from their ends.
        tensors: the inputs `(total, size)`, the initial states `(batch, size)`, the parameters.
        d_results: gradients of the output and of the last states.
        threads: how many the kernels use.
    """

    lengths: tuple[int, ...]
    backward: bool
    tensors: tuple[Tensor, ...]
    d_results: tuple[Tensor, ...]
    threads: int = 1

    @property
    def order(self) -> TimeMajor:
        """The order of the batch."""
        return TimeMajor(torch.tensor(self.lengths, dtype=torch.int64))

    def to(self, dtype: torch.dtype) -> "Data":
        """Round the numbers to a type."""
        rounded = lambda tensors: tuple(tensor.to(dtype) for tensor in tensors)  # noqa: E731
        return replace(self, tensors=rounded(self.tensors), d_results=rounded(self.d_results))


def names_of_tensors(graph: Graph) -> list[str]:
    """Return the name of each of `Data.tensors`."""
    names = [node.attribute[0] for node in (*graph.inputs, *graph.states)]
    return names + [parameter.name for parameter in graph.parameters]


def split_tensors(graph: Graph, tensors: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor], dict[str, Tensor]]:
    """Split tensors into the inputs, the states, and the parameters by name."""
    inputs, others = len(graph.inputs), len(graph.inputs) + len(graph.states)
    names = (parameter.name for parameter in graph.parameters)
    return list(tensors[:inputs]), list(tensors[inputs:others]), dict(zip(names, tensors[others:], strict=True))


def fill(
    graph: Graph,
    lengths: Sequence[int],
    seed: int = 0,
    *,
    backward: bool = False,
    threads: int = 1,
    loss: float = 1.0,
    special: float = 0.0,
) -> Data:
    """Draw numbers for a cell and a batch.

    Args:
        graph: the cell.
        lengths: steps of each sequence.
        seed: of the numbers.
        backward: whether the sequences are read from their ends.
        threads: how many the kernels use.
        loss: size of the gradients of the results.
        special: fraction of the numbers in inputs, states and vectors that are special ones.
    """
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    mixed = lambda values: _with_special(values, special, generator)  # noqa: E731
    rows_of = lambda rows, node: mixed(normal(rows, node.size).clamp(-LARGEST, LARGEST))  # noqa: E731
    scale = lambda shape: shape[0] ** -0.5 if len(shape) == 2 else 0.5  # noqa: E731
    total, batch = sum(lengths), len(lengths)
    inputs = [rows_of(total, node) for node in graph.inputs]
    states = [rows_of(batch, node) for node in graph.states]
    drawn = [normal(*item.shape) * scale(item.shape) for item in graph.parameters]
    learned = [values if values.dim() == 2 else mixed(values) for values in drawn]
    d_results = [normal(total, graph.output.size), *(normal(batch, node.size) for node in graph.states)]
    tensors = (*inputs, *states, *learned)
    return Data(tuple(lengths), backward, tensors, tuple(loss * d for d in d_results), threads)


def _with_special(values: Tensor, part: float, generator: torch.Generator) -> Tensor:
    if part == 0.0:
        return values
    chosen = torch.rand(values.shape, generator=generator) < part
    which = torch.randint(len(SPECIAL), values.shape, generator=generator)
    return torch.where(chosen, torch.tensor(SPECIAL, dtype=values.dtype)[which], values)


def draw(graph: Graph, seed: int) -> Data:
    """Draw data for a cell: few sequences or many, of 0 to 5 steps, read in either direction.

    Half of the data have special numbers.
    """
    random = Random(seed)
    batch = random.randint(1, random.choice((4, 10, 30)))
    lengths = [random.randint(0, 5 if batch < 12 else 2) for _ in range(batch)]
    way, threads = random.random() < 0.5, random.randint(1, 3)
    return fill(graph, lengths, seed, backward=way, threads=threads, special=random.choice((0.0, 0.0, 0.2, 0.7)))
