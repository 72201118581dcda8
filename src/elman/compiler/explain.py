"""Explains how a step runs: what is computed when, what is saved, and the backward step."""

import linecache
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from elman.compiler.gradient import Gradient, differentiate
from elman.compiler.graph import SWITCHES, Graph, Node, Nodes, is_work, line_of, matrix_of, names_of, show
from elman.compiler.schedule import Phase, Schedule, schedule
from elman.compiler.widen import Wide, widen

WHOLE = {
    "sum": "the sum of the features of {}",
    "max": "the largest feature of {}",
    "cumsum": "the running sum of the features of {}",
    "outer": "the outer product of {} and {}",
    "contract": "the matrix {} times {}",
}
# Operations that only move values while the loop runs over the features.
MOVED = ("product", "sum", "max", "concat", "slice", "expand", "cumsum", "outer", "contract")
WORDS = {
    "neg": "negation",
    "exp": "exponential",
    "log": "logarithm",
    "sqrt": "square root",
    "square": "square",
    "reciprocal": "reciprocal",
    "sin": "sine",
    "cos": "cosine",
    "abs": "absolute value",
    "add": "addition",
    "sub": "subtraction",
    "mul": "multiplication",
    "div": "division",
    "less": "comparison",
    "less_equal": "comparison",
    "equal": "comparison",
    "where": "choice",
    "floor": "floor",
    "round": "rounding",
    "erf": "error function",
    "erfc": "complementary error function",
    "log1p": "logarithm of 1 + x",
    "expm1": "exponential minus 1",
    "stop_gradient": "stopped gradient",
    "cumsum": "running sum",
    "outer": "outer product",
    "contract": "contraction",
}


@dataclass(frozen=True)
class Explanation:
    """How a step runs.

    Args:
        graph: the step as it was traced.
    """

    graph: Graph

    @cached_property
    def wide(self) -> Wide:
        """The step in which every value is multiplied once."""
        return widen(self.graph)

    @cached_property
    def gradient(self) -> Gradient:
        """The step with its gradient."""
        return differentiate(self.wide.graph)

    @cached_property
    def backward(self) -> Graph:
        """The backward step, in which saved values have their names of the forward step."""
        names = names_of(self.wide.graph)
        titles = [names[node] if not is_work(node) else f"saved:{names[node]}" for node in self.gradient.saved]
        return _renamed(self.gradient.backward, titles)

    @cached_property
    def recomputed(self) -> tuple[Node, ...]:
        """Nodes of the forward step that the backward step computes again instead of reading a saved value."""
        known = dict(zip(self.gradient.backward.inputs, self.gradient.saved, strict=False))
        originals = {_key(node, node.args): node for node in self.wide.graph.nodes}
        found: dict[Node, None] = {}
        for node in self.gradient.backward.nodes:
            args = [known.get(arg) for arg in node.args]
            same = originals.get(_key(node, args)) if None not in args else None
            if node not in known and node.op not in ("input", "state") and same is not None:
                known[node] = same
                found.update({same: None} if is_work(same) else {})
        return tuple(found)

    @cached_property
    def copied(self) -> tuple[Node, ...]:
        """What is saved in additional memory: the input and the output exist anyway."""
        there = (*self.gradient.forward.inputs, self.gradient.forward.output, *self.gradient.shifted)
        return tuple(node for node in self.gradient.saved if node not in there)

    def record(self) -> dict[str, Any]:
        """Return everything as plain lists, dictionaries and numbers."""
        names = names_of(self.wide.graph)
        return {
            "graph": show(self.wide.graph),
            "wide_products": [
                {"matrices": list(self.wide.parts[item.name]), "rows": item.shape[0], "columns": item.shape[1]}
                for item in self.wide.graph.parameters
                if item.name in self.wide.parts
            ],
            **_parts(schedule(self.wide.graph), names),
            "saved": [
                {"value": names[node], "operation": node.op, "size": node.size, "copied": node in self.copied}
                for node in self.gradient.saved
            ],
            "recomputed": [line_of(node, names) for node in self.recomputed],
            "backward": {
                "graph": show(self.backward),
                **_parts(schedule(self.backward), names_of(self.backward)),
            },
            "numbers_per_step": self.memory(),
        }

    def memory(self) -> dict[str, int]:
        """Return how many numbers are kept for every step of every sequence, and how long.

        Returns:
            `products`: results of the products before the loop, kept until the forward pass ends; `saved`: for the
            backward pass, without the input and the output of this step or the one before, which are not copied;
            `gradients`: results of the backward loop for the products after it, kept until the backward pass ends;
            `output`: the output itself.
        """
        forward, backward = schedule(self.gradient.forward), schedule(self.backward)
        return {
            "output": self.graph.output.size,
            "products": sum(node.size for node in forward.entering if node.op != "input"),
            "saved": sum(node.size for node in self.copied),
            "gradients": sum(node.size for node in backward.kept),
        }

    def __str__(self) -> str:
        sections = {
            "The step, with one product for each value": show(self.wide.graph).splitlines(),
            "Wide products": self._product_lines(),
            **self._run_sections(schedule(self.wide.graph), "each sequence from its first step to its last"),
            "Saved for the backward step": self._saved_lines(),
            "Computed again in the backward step, which is cheaper than saving": self._recomputed_lines(),
            "The backward step": show(self.backward).splitlines(),
            **{
                f"Backward: {title[0].lower()}{title[1:]}": lines
                for title, lines in self._run_sections(schedule(self.backward), "in the opposite order").items()
            },
            "Gradients of the parameters, one product or sum over all steps each": self._parameter_lines(),
            "Memory, numbers for every step of every sequence": self._memory_lines(),
        }
        return "\n\n".join("\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in sections.items())

    def _product_lines(self) -> list[str]:
        products = [node for node in self.wide.graph.nodes if node.op == "product"]
        names = names_of(self.wide.graph)
        return [
            f"{names[node.args[0]]} ({node.args[0].size} features) by {', '.join(matrices)}"
            f"{_turned(node)}: {_sides(matrices)}{self._fixed(name)}"
            for name, matrices in self.wide.parts.items()
            for node in products
            if matrix_of(node)[0] == name
        ]

    def _fixed(self, name: str) -> str:
        return ", not learned" if name in self.wide.graph.fixed else ""

    def _run_sections(self, plan: Schedule, order: str) -> dict[str, list[str]]:
        parts = _parts(plan, names_of(plan.graph))
        return {
            "Before the loop, for all steps of all sequences at once": parts["before"] or ["nothing"],
            f"Inside the loop, {order}": [
                line for number, phase in enumerate(parts["inside"], 1) for line in _phase_lines(number, phase)
            ],
            "After the loop, for all steps at once": parts["after"] or ["nothing"],
        }

    def _saved_lines(self) -> list[str]:
        names = names_of(self.wide.graph)
        return [f"{names[node]} ({node.size}): {self._what_is(node)}" for node in self.gradient.saved]

    def _what_is(self, node: Node) -> str:
        if node.op == "state":
            return "the state before the step" + (
                "" if node in self.copied else ", which is the output of the step before, not copied"
            )
        if node.op == "input":
            return "the input itself, not copied"
        return _where_from(node) + ("; the output itself, not copied" if node not in self.copied else "")

    def _recomputed_lines(self) -> list[str]:
        names = names_of(self.wide.graph)
        cheap = [f"{names[node]} ({node.size}): {_where_from(node)}" for node in self.recomputed]
        return cheap or ["nothing"]

    def _parameter_lines(self) -> list[str]:
        gradient, names = self.gradient, names_of(self.backward)
        outputs = [names[node] for node in self.backward.outputs]
        matrices = []
        for use in gradient.uses:
            operand, output = names[self.backward.inputs[use.operand]], outputs[use.output]
            left, right = (output, operand) if use.is_transposed else (operand, output)
            matrices.append(f"{use.name}: {left} transposed times {right}")
        vectors = [
            f"{name}: the sum of {outputs[output]}, features {start} to {stop - 1}"
            for name, (output, start, stop) in gradient.vectors.items()
        ]
        return [*matrices, *vectors]

    def _memory_lines(self) -> list[str]:
        found = self.memory()
        return [
            f"{found['saved']:,} saved from the forward pass to the backward pass "
            f"({4 * found['saved']:,} bytes in float32); without gradients, none",
            f"{found['products']:,} for the products before the loop, while the forward pass runs",
            f"{found['gradients']:,} for the gradients that the products after the loop read, while the backward "
            "pass runs",
            f"{found['output']:,} for the output",
        ]


def _key(node: Node, args: Iterable[Node | None]) -> tuple:
    return (node.op, tuple(map(id, args)), node.attribute)


def _renamed(graph: Graph, titles: list[str]) -> Graph:
    """Rename the first inputs of a graph."""
    nodes = Nodes()
    renewed: dict[Node, Node] = {}
    titled = dict(zip(graph.inputs, titles, strict=False))
    for node in graph.nodes:
        attribute = (titled[node], node.size) if node in titled else node.attribute
        renewed[node] = nodes.make(node.op, [renewed[arg] for arg in node.args], attribute)
    return graph.rebuild(renewed.__getitem__)


def _parts(plan: Schedule, names: Mapping[Node, str]) -> dict[str, Any]:
    return {
        "before": [_in_words(node, names) for node in plan.before if is_work(node)],
        "inside": [_phase(phase, plan, names) for phase in plan.phases],
        "after": [_in_words(node, names) for node in plan.after if is_work(node)],
    }


def _phase(phase: Phase, plan: Schedule, names: Mapping[Node, str]) -> dict[str, Any]:
    states = plan.graph.state_names
    work = [(size, [node for node in nodes if is_work(node)]) for size, nodes in phase.columns]
    computed = {node for _, nodes in work for node in nodes}
    fresh = [(size, [node for node in nodes if node.op not in MOVED]) for size, nodes in work]
    following = zip(states, plan.graph.following, strict=True)
    return {
        "whole": [_in_words(node, names) for node in phase.whole],
        "features": [
            {"size": size, "operations": dict(Counter(node.op for node in nodes)), "values": [names[n] for n in nodes]}
            for size, nodes in fresh
            if nodes
        ],
        "next_states": [name for name, node in following if node in computed],
    }


def _phase_lines(number: int, phase: Mapping[str, Any]) -> list[str]:
    lines = [f"{number}. {line}" if index == 0 else f"   {line}" for index, line in enumerate(phase["whole"])]
    for work in phase["features"]:
        operations = ", ".join(_counted(op, count) for op, count in work["operations"].items())
        rows = "the one feature" if work["size"] == 1 else f"{work['size']} features"
        text = f"over {rows}, in one pass: {operations}"
        lines.append(f"   {text}" if lines else f"{number}. {text}")
    if not lines:
        lines.append(f"{number}. values are copied")
    if phase["next_states"]:
        lines.append(f"   which gives the next {' and '.join(phase['next_states'])}")
    return lines


def _counted(op: str, count: int) -> str:
    word = WORDS.get(op, op)
    return f"{count} {word}{'s' * (count > 1 and op in WORDS)}"


def _in_words(node: Node, names: Mapping[Node, str]) -> str:
    if node.op == "product":
        name, rows, columns = node.attribute
        return f"{names[node]} = {names[node.args[0]]} times {name}  ({rows} → {columns})"
    if node.op in WHOLE:
        how = f", {SWITCHES[node.op]}" if node.attribute else ""
        return f"{names[node]} = {WHOLE[node.op].format(*(names[arg] for arg in node.args))}{how}"
    return line_of(node, names)


def _where_from(node: Node) -> str:
    """Describe where a value comes from, with the line of the step if its file can be read."""
    text = linecache.getline(node.source.file, node.source.line).strip() if node.source else ""
    word = WORDS.get(node.op, node.op)
    return f"the {word} in  {text}" if text else f"the result of {node.op}"


def _turned(product: Node) -> str:
    return "" if matrix_of(product)[0] == product.attribute[0] else " transposed"


def _sides(matrices: tuple[str, ...]) -> str:
    return f"{len(matrices)} matrices side by side" if len(matrices) > 1 else "one matrix"
