"""The order of work inside one step of a compiled loop.

A step is a sequence of phases. A phase begins with what needs whole rows: products and reductions. Its columns follow:
loops over the features, in which everything elementwise is computed at once, in registers, and written to memory only
if another phase or the caller reads it.

Everything elementwise is computed in the loop, even if it depends on no state, since a register is faster than memory.
Only products of the input, and what they need, are computed before the loop; only products that no next state needs,
and what needs them, after it.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from elman.compiler.fission import LEAVES, split_loop
from elman.compiler.graph import Graph, Node

WHOLE_ROWS = ("product", "sum", "max", "cumsum", "outer", "contract")
IN_MEMORY = ("input", "state", "concat", "slice", *WHOLE_ROWS)


@dataclass(frozen=True)
class Slot:
    """Where a value is written.

    Args:
        kind: `row`: the node's own row of scratch memory; `part`: some features of the row of a concatenation; `next`:
            a next state; `kept`: memory that has a row for every step.
        node: the concatenation, for `part`.
        offset: the first feature.
        position: which state, or which kept value.
    """

    kind: Literal["row", "part", "next", "kept"]
    node: Node | None = None
    offset: int = 0
    position: int = 0


@dataclass(frozen=True)
class Phase:
    """One phase.

    Args:
        whole: products, reductions and other nodes that need whole rows, in order.
        columns: for each size, small sizes first, the nodes computed or copied feature by feature, in order.
    """

    whole: tuple[Node, ...]
    columns: tuple[tuple[int, tuple[Node, ...]], ...]


@dataclass(frozen=True, eq=False)
class Schedule:
    """How a step runs.

    Args:
        graph: the step.
        before: nodes computed once for all steps, in order.
        entering: values that the loop reads from memory at every step: inputs, and products of `before`.
        phases: of one step.
        rows: nodes that have a row in scratch memory.
        slots: where each node that is written is written to.
        kept: nodes whose value at every step is kept.
        after: nodes computed once when all steps are done, in order.
    """

    graph: Graph
    before: tuple[Node, ...]
    entering: tuple[Node, ...]
    phases: tuple[Phase, ...]
    rows: tuple[Node, ...]
    slots: dict[Node, tuple[Slot, ...]]
    kept: tuple[Node, ...]
    after: tuple[Node, ...]


@lru_cache(maxsize=64)
def schedule(graph: Graph) -> Schedule:
    """Return the schedule of a step."""
    cut = split_loop(graph, products_only=True)
    work = _Work(graph, cut.inside, cut.kept)
    slots = dict(work.slots)
    return Schedule(graph, cut.before, cut.entering, work.phases(), work.rows(), slots, cut.kept, cut.after)


class _Work:
    """Finds the phase of every node, and where it is written.

    `at[node]` is the phase that computes it; `ready[node]` is the first phase that begins with its whole row in memory.
    """

    def __init__(self, graph: Graph, inside: tuple[Node, ...], kept: tuple[Node, ...]):
        self.graph = graph
        self.inside = inside
        self.kept = kept
        self.at: dict[Node, int] = {}
        self.ready: dict[Node, int] = {}
        self.slots: dict[Node, tuple[Slot, ...]] = defaultdict(tuple)
        for node in inside:
            self._set_phase(node)
        for node in inside:
            self._set_rows(node)
        for position, node in enumerate(graph.following):
            self._write(node, Slot("next", position=position))
        for position, node in enumerate(kept):
            if node.op != "concat":
                self._write(node, Slot("kept", position=position))

    def _set_phase(self, node: Node) -> None:
        if node.op in LEAVES or node.op == "state":
            self.at[node] = self.ready[node] = 0
        elif node.op in IN_MEMORY:
            whole = max(self._ready(arg) + self._reads_number(node, arg) for arg in node.args)
            copied = node.op == "concat" and any(arg.op in IN_MEMORY + LEAVES for arg in node.args)
            self.at[node] = self.ready[node] = whole + copied
        else:
            self.at[node] = max((self._readable(arg) for arg in node.args), default=0)
            self.ready[node] = self.at[node] + 1

    def _ready(self, node: Node) -> int:
        return self.ready.get(node, 0)

    def _readable(self, node: Node) -> int:
        """Return the first phase whose columns can read the node's value, feature by feature."""
        return self.ready.get(node, 0) if node.op in IN_MEMORY else self.at.get(node, 0)

    def _set_rows(self, node: Node) -> None:
        """Give a row to each argument that is not read feature by feature in the same phase."""
        for position, arg in enumerate(node.args):
            if node.op == "concat":
                start = sum(other.size for other in node.args[:position])
                self._write(arg, Slot("part", node, start))
                if node in self.kept:
                    self._write(arg, Slot("kept", position=self.kept.index(node), offset=start))
            elif self._reads_number(node, arg) or (
                arg.op not in IN_MEMORY + LEAVES and self._reads_elsewhere(node, arg)
            ):
                self._write(arg, Slot("row"))

    def _reads_number(self, node: Node, arg: Node) -> bool:
        """Return whether the node reads a number as a row, as in the sum of a number.

        That occurs in graphs that are not simplified.
        """
        return arg.op == "number" and node.op in IN_MEMORY and node.op != "concat"

    def _reads_elsewhere(self, node: Node, arg: Node) -> bool:
        return node.op in IN_MEMORY or self.at[node] > self.at[arg] or node.size != arg.size

    def _write(self, node: Node, slot: Slot) -> None:
        if slot not in self.slots[node]:
            self.slots[node] = (*self.slots[node], slot)

    def rows(self) -> tuple[Node, ...]:
        """Return the nodes that have their own row."""
        own = {node for node, slots in self.slots.items() if any(slot.kind == "row" for slot in slots)}
        return tuple(node for node in self.inside if node in own or node.op in ("concat", *WHOLE_ROWS))

    def phases(self) -> tuple[Phase, ...]:
        """Return the work, phase by phase."""
        columns: dict[int, dict[int, list[Node]]] = defaultdict(lambda: defaultdict(list))
        written = [node for node in self.slots if node not in self.at]
        for node in (*written, *self.inside):
            if node.op not in IN_MEMORY + LEAVES:
                columns[self.at[node]][node.size].append(node)
            elif self.slots[node]:
                columns[self._ready(node)][node.size].append(node)
        whole = [node for node in self.inside if node.op in WHOLE_ROWS]
        last = max([*columns, *(self.at[node] for node in whole)], default=0)
        return tuple(
            Phase(
                tuple(node for node in whole if self.at[node] == number),
                tuple((size, tuple(columns[number][size])) for size in sorted(columns[number])),
            )
            for number in range(last + 1)
        )
