"""Joins all products on the same value to one wide product."""

from dataclasses import dataclass, replace

from elman.compiler.graph import TRANSPOSED, Graph, Node, Nodes, Parameter, matrix_of, ordered

# From the name of a wide matrix to the names of the matrices that are side by side in it.
Parts = dict[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Wide:
    """A step in which every value is multiplied once.

    Args:
        graph: the step; its parameters are the wide matrices and the vectors.
        parts: which matrices each wide one is made of, in the order of their columns; a name may be that of a
            transposed matrix (`graph.transposed`).
    """

    graph: Graph
    parts: Parts


def widen(graph: Graph) -> Wide:
    """Replace all products on one value by one product and slices of it.

    Products that a next state needs and others stay apart, so that the others can wait until after the loop. Learned
    matrices and fixed ones also stay apart, so that no gradient is computed for the fixed ones.
    """
    declared = {parameter.name: parameter for parameter in graph.parameters}
    groups = _groups(graph)
    nodes = Nodes()
    renewed: dict[Node, Node] = {}
    for node in graph.nodes:
        args = [renewed[arg] for arg in node.args]
        if node.op == "product":
            renewed[node] = _slice_of_wide(nodes, node, args[0], groups[node])
        else:
            renewed[node] = nodes.make(node.op, args, node.attribute, node.source)
    distinct = {_name(group): group for group in groups.values()}
    parts = {name: _parts(group) for name, group in distinct.items()}
    matrices = tuple(_parameter(group, declared) for group in distinct.values())
    vectors = tuple(parameter for parameter in graph.parameters if len(parameter.shape) == 1)
    return Wide(replace(graph.rebuild(renewed.__getitem__), parameters=matrices + vectors), parts)


def _groups(graph: Graph) -> dict[Node, list[Node]]:
    """Return, for each product, all those that are joined with it.

    They are in the order in which the step names their matrices.
    """
    order = {parameter.name: position for position, parameter in enumerate(graph.parameters)}
    feeding = set(ordered(graph.following))
    products = sorted(
        (node for node in graph.nodes if node.op == "product"), key=lambda node: order[matrix_of(node)[0]]
    )
    key = lambda node: (node.args[0], node in feeding, matrix_of(node)[0] in graph.fixed)  # noqa: E731
    groups: dict[tuple[Node, bool, bool], list[Node]] = {}
    for node in products:
        groups.setdefault(key(node), []).append(node)
    return {node: groups[key(node)] for node in products}


def _parts(group: list[Node]) -> tuple[str, ...]:
    """Return the matrices of a group, without the mark of transposition for a single product."""
    return (matrix_of(group[0])[0],) if len(group) == 1 else tuple(node.attribute[0] for node in group)


def _name(group: list[Node]) -> str:
    """Return the name of the wide matrix, in brackets if a part is transposed.

    `[A Bᵀ]` is not `A B` transposed.
    """
    parts = _parts(group)
    return f"[{' '.join(parts)}]" if any(part.endswith(TRANSPOSED) for part in parts) else " ".join(parts)


def _parameter(group: list[Node], declared: dict[str, Parameter]) -> Parameter:
    first, shape = matrix_of(group[0])
    shape = shape if len(group) == 1 else (group[0].args[0].size, sum(node.size for node in group))
    return Parameter(_name(group), shape, declared[first].role, is_learned=declared[first].is_learned)


def _slice_of_wide(nodes: Nodes, node: Node, operand: Node, group: list[Node]) -> Node:
    if len(group) == 1:
        return nodes.make("product", (operand,), node.attribute, node.source)
    columns = sum(member.size for member in group)
    wide = nodes.make("product", (operand,), (_name(group), operand.size, columns), node.source)
    start = sum(member.size for member in group[: group.index(node)])
    return nodes.make("slice", (wide,), (start, start + node.size), node.source)
