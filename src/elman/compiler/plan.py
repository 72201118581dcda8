"""Loop fission: which nodes are computed before the time loop, inside it, and after it."""

from dataclasses import dataclass

from elman.compiler.graph import Graph, Node, is_work, line_of, names_of, ordered
from elman.compiler.scan import scans
from elman.compiler.widen import Parts, widen


@dataclass(frozen=True, eq=False)
class Plan:
    """A step cut into three parts.

    Args:
        graph: the step, in which every value is multiplied once.
        parts: which matrices stand side by side in each of its own.
        before: nodes that depend on no state: computed once, for all steps of all sequences together.
        inside: nodes that depend on a state and that a next state needs: computed step by step.
        after: nodes that depend on a state but feed none: computed once, when all steps are done.
        entering: nodes of `before`, and inputs, that the loop reads.
        leaving: nodes of the loop, and states before the step, that are kept for every step.
    """

    graph: Graph
    parts: Parts
    before: tuple[Node, ...]
    inside: tuple[Node, ...]
    after: tuple[Node, ...]
    entering: tuple[Node, ...]
    leaving: tuple[Node, ...]

    def __str__(self) -> str:
        return show(self)


def plan(step: Graph) -> Plan:
    """The plan of a step; made once, and kept with it."""
    if Plan not in step.derived:
        step.derived[Plan] = _plan(step)
    return step.derived[Plan]


def _plan(step: Graph) -> Plan:
    wide = widen(step)
    graph = wide.graph
    recurrent = graph.recurrent
    feeding = set(ordered(graph.following))
    leaf = {*graph.inputs, *graph.states}
    work = [node for node in graph.nodes if node not in leaf]
    before = tuple(node for node in work if node not in recurrent)
    inside = tuple(node for node in work if node in recurrent and node in feeding)
    after = tuple(node for node in work if node in recurrent and node not in feeding)
    looped = {*inside, *graph.states}
    read_inside = [*(arg for node in inside for arg in node.args), *graph.following]
    read_after = [*(arg for node in after for arg in node.args), *graph.outputs]
    return Plan(
        graph,
        wide.parts,
        before,
        inside,
        after,
        tuple(dict.fromkeys(node for node in read_inside if node not in looped)),
        tuple(dict.fromkeys(node for node in read_after if node in looped)),
    )


def show(plan: Plan) -> str:
    """The plan as text, one node a line, under the part that computes it."""
    names = names_of(plan.graph)
    lines = [f"{plan.graph.name}"]
    titles = ("before the loop, for all steps at once", "inside the loop, step by step", "after the loop")
    for title, nodes in zip(titles, (plan.before, plan.inside, plan.after), strict=True):
        lines += [f"  {title}:"] + [f"    {line_of(node, names)}" for node in nodes if is_work(node)]
    lines += [f"  {state} is a scan: {state}' = a∘{state} + b" for state, scan in scans(plan.graph).items() if scan]
    return "\n".join(lines)
