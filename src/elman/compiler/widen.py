"""Makes one wide product of all products on the same value."""

from dataclasses import dataclass, replace

from elman.compiler.graph import Graph, Node, Nodes, Parameter, ordered

# Matrix name of a wide product to the names of the matrices that stand side by side in it.
Parts = dict[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Wide:
    """A step in which every value is multiplied once.

    Args:
        graph: the step; its parameters are the wide matrices and the vectors.
        parts: which matrices each wide one is made of, in the order of their columns.
    """

    graph: Graph
    parts: Parts


def widen(graph: Graph) -> Wide:
    """The same step with all products on one value as one product and slices of it.

    Products that feed a state and products that feed none stay apart, so that the latter can wait until after the loop.
    """
    declared = {parameter.name: parameter for parameter in graph.parameters}
    groups = _groups(graph, list(declared))
    nodes = Nodes()
    renewed: dict[Node, Node] = {}
    for node in graph.nodes:
        args = [renewed[arg] for arg in node.args]
        if node.op == "product":
            renewed[node] = _slice_of_wide(nodes, node, args[0], groups[node])
        else:
            renewed[node] = nodes.make(node.op, args, node.attribute, node.source)
    distinct = {_name(group): group for group in groups.values()}
    parts = {name: tuple(node.attribute[0] for node in group) for name, group in distinct.items()}
    matrices = tuple(_parameter(group, declared) for group in distinct.values())
    vectors = tuple(parameter for parameter in graph.parameters if len(parameter.shape) == 1)
    return Wide(replace(graph.rebuild(renewed.__getitem__), parameters=matrices + vectors), parts)


def _groups(graph: Graph, order: list[str]) -> dict[Node, list[Node]]:
    """For each product, all those that become one with it, in the order in which the step names their matrices."""
    feeding = set(ordered(graph.following))
    products = sorted(
        (node for node in graph.nodes if node.op == "product"), key=lambda node: order.index(node.attribute[0])
    )
    groups: dict[tuple[Node, bool], list[Node]] = {}
    for node in products:
        groups.setdefault((node.args[0], node in feeding), []).append(node)
    return {node: groups[node.args[0], node in feeding] for node in products}


def _name(group: list[Node]) -> str:
    return " ".join(node.attribute[0] for node in group)


def _parameter(group: list[Node], declared: dict[str, Parameter]) -> Parameter:
    columns = sum(node.size for node in group)
    return Parameter(_name(group), (group[0].args[0].size, columns), declared[group[0].attribute[0]].role)


def _slice_of_wide(nodes: Nodes, node: Node, operand: Node, group: list[Node]) -> Node:
    columns = sum(member.size for member in group)
    wide = nodes.make("product", (operand,), (_name(group), operand.size, columns), node.source)
    start = sum(member.size for member in group[: group.index(node)])
    return wide if len(group) == 1 else nodes.make("slice", (wide,), (start, start + node.size), node.source)
