"""One step at a time: packed matrices, memory and addresses are kept from step to step."""

import ctypes
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from elman.compiler.graph import Graph
from elman.compiler.targets.llvm import gemm
from elman.compiler.targets.llvm.execute import Products
from elman.compiler.targets.llvm.memory import new_memory
from elman.compiler.targets.llvm.run import program

Call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


class StepKernel:
    """A step of a cell for a fixed number of sequences, with the weights as they are now.

    Args:
        graph: the step.
        weights: each parameter.
        input: `(batch, input size)`, read at every step; the caller writes it.
        states: each initial state, `(batch, size)`; changed in place at every step.

    Attributes:
        output: `(batch, output size)`, written at every step.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, Tensor], input: Tensor, states: Sequence[Tensor]):
        compiled = program(graph, input.dtype)
        kernel = compiled.inference
        step = compiled.derivation
        parts = step.parts_of([weights[name].detach() for name in step.parameters])
        self.kernel = kernel
        self.plan = kernel.schedule
        self.products = Products(kernel, {name: [part.contiguous() for part in parts] for name, parts in parts.items()})
        self.input, self.states = input, states
        batch = len(input)
        self.order = [torch.ones(batch, dtype=torch.int64), torch.arange(batch), torch.tensor([0, batch])]
        self.scratch = new_memory(batch, kernel.scratch + 1, kernel.type)
        self.values = {self.plan.graph.inputs[0]: input}
        self.before = [self._product(node) for node in self.plan.before if node.op == "product"]
        kept = [new_memory(batch, kernel.width(node.size), kernel.type) for node in self.plan.kept]
        node = self.plan.graph.output
        self.output = kept[self.plan.kept.index(node)][:, : node.size] if node in self.plan.kept else self.values[node]
        self.array = self._arguments(kept)
        self._call, self._address = Call(self.kernel.address), ctypes.addressof(self.array)

    @staticmethod
    def takes(graph: Graph) -> bool:
        """Return whether a step is simple enough.

        It has one input, only products of it before the loop, and nothing after the loop.
        """
        plan = program(graph, torch.float32).inference.schedule
        x = plan.graph.inputs[0]
        simple = all(node.op == "product" and node.args[0] is x for node in plan.before)
        known = {*plan.kept, *plan.before, *plan.graph.inputs}
        return len(plan.graph.inputs) == 1 and simple and not plan.after and plan.graph.output in known

    def _product(self, node) -> list[int]:
        kernel, name = self.kernel, node.attribute[0]
        matrix = self.products.packed(name)
        out = new_memory(len(self.input), matrix.shape[1], kernel.type)
        self.values[node] = out
        sizes = len(out), matrix.shape[1] // kernel.native.lanes, matrix.shape[0]
        return [
            *sizes,
            self.input.data_ptr(),
            *self.input.stride(),
            matrix.data_ptr(),
            1,
            0,
            out.data_ptr(),
            out.stride(0),
            0,
        ]

    def _arguments(self, kept: Sequence[Tensor]) -> ctypes.Array:
        ones, positions, edges = self.order
        arguments, batch = self.kernel.arguments, len(self.input)
        self.held = kept, [self.products.parts[name][0] for name in arguments.vectors]
        entering = [self.values[node] for node in arguments.entering]
        given = [
            *(edges.data_ptr(), ones.data_ptr(), positions.data_ptr(), 1, positions.data_ptr()),
            *(self.scratch.data_ptr(), batch, 0),
            *(number for value in entering for number in (value.data_ptr(), value.stride(0))),
            *(self.products.packed(name).data_ptr() for name in arguments.matrices),
            *(vector.data_ptr() for vector in self.held[1]),
            *(state.data_ptr() for state in self.states),
            *(state.data_ptr() for state in self.states),
            *(number for value in kept for number in (value.data_ptr(), value.stride(0))),
        ]
        return (ctypes.c_int64 * arguments.count)(*given)

    def prepare(self) -> None:
        """Multiply `input` by its matrices."""
        for given in self.before:
            self.kernel.native.product(*given)

    def run(self) -> None:
        """Change `states` and write `output`, after `prepare`."""
        self._call(self._address, 0)

    def step(self) -> None:
        """Read `input`, change `states`, write `output`."""
        self.prepare()
        self.run()

    def table_size(self, count: int) -> int:
        """Return how many numbers the table of so many inputs holds."""
        return count * sum(node.size for node in self.plan.before)

    def table(self, rows: Tensor) -> "StepTable":
        """Return what prepares any of these inputs, `(count, input size)`, by a look-up."""
        return StepTable(self, rows)


class StepTable:
    """The part of a step that reads only the input, for each of a few inputs: an embedding times the matrices.

    Args:
        kernel: the step.
        rows: the inputs, `(count, input size)`.
    """

    def __init__(self, kernel: StepKernel, rows: Tensor):
        rows, plan = rows.detach().contiguous(), kernel.plan
        sources = {node: kernel.products.by_matrix(rows, node.attribute[0]) for node in plan.before}
        sources |= {node: rows for node in plan.graph.inputs if node in plan.entering}
        self._copies = [(source.numpy(), kernel.values[node].numpy()) for node, source in sources.items()]

    def prepare(self, index: np.ndarray) -> None:
        """Prepare the inputs with these positions in the table, `(batch,)`."""
        for source, target in self._copies:
            # Other modes make a copy.
            np.take(source, index, 0, target, "clip")


class LinearKernel:
    """`input · matrix + bias` for a fixed number of rows.

    Args:
        matrix: `(input size, output size)`, with any strides; copied now.
        bias: `(output size,)`, or none.
        input: `(batch, input size)`, read at every call; the caller writes it.

    Attributes:
        output: `(batch, output size)`, written at every call.
    """

    def __init__(self, matrix: Tensor, bias: Tensor | None, input: Tensor):
        dtype = np.dtype(str(input.dtype).removeprefix("torch."))
        native, (rows, columns) = gemm.Native(dtype), matrix.shape
        width = gemm.vectors(columns, dtype) * native.lanes
        self._packed = new_memory(rows, width, input.dtype)
        row, column = matrix.stride()
        native.pack(rows, columns, matrix.data_ptr(), row, column, self._packed.data_ptr())
        out = new_memory(len(input), width, input.dtype)
        self._bias = np.zeros(width, dtype)
        if bias is not None:
            self._bias[:columns] = bias.detach().numpy()
        self.output, self._out, self._input = out[:, :columns], out.numpy(), input
        sizes = len(input), width // native.lanes, rows
        addresses = input.data_ptr(), *input.stride(), self._packed.data_ptr(), 1, 0, out.data_ptr(), width, 1
        self._product, self._given = native.product, (*sizes, *addresses)

    def step(self) -> None:
        """Read `input`, write `output`."""
        np.copyto(self._out, self._bias)
        self._product(*self._given)
