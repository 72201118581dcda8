"""Runs a step once, on symbols, and keeps its operations as a graph."""

import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from elman.compiler.graph import Graph, Node, Parameter, Source, dependants, matrix_of, ordered
from elman.compiler.lines import in_library, quote
from elman.compiler.operations import Mismatch
from elman.compiler.simplify import simplify
from elman.compiler.starts import Opposite
from elman.compiler.value import Next, Recording, Value, recording
from elman.compiler.verify import parameter_shapes, verify
from elman.errors import CellError, ElmanError, UsageError, nearest

if TYPE_CHECKING:
    from elman.compiler.cell import Cell


def trace(cell: "Cell", input_size: int, hidden_size: int, constants: Mapping[str, int]) -> Graph:
    """Trace a cell's step: return its graph, verified and simplified.

    A state has the size that the cell declares, otherwise the size of its next value. It is found by running the step
    with states of the hidden size, and again with the resulting sizes, until they no longer change. If the hidden size
    does not fit, and the step gives sizes itself, the first run has states of size 1, which fit any.

    Raises:
        CellError: the step does not return a next value for each of its states, sizes do not fit, or an operation is
            not part of the language.
    """
    declared = cell.declared_sizes(input_size, hidden_size, constants)
    try:
        return _until_sizes_stay(cell, input_size, hidden_size, constants, declared, hidden_size)[0]
    except CellError as mistake:
        try:
            graph, has_own_sizes = _until_sizes_stay(cell, input_size, hidden_size, constants, declared, 1)
        except CellError:
            raise mistake from None
        if not has_own_sizes:
            raise
        return graph


def _until_sizes_stay(
    cell: "Cell",
    input_size: int,
    hidden_size: int,
    constants: Mapping[str, int],
    declared: dict[str, int],
    first: int,
) -> tuple[Graph, bool]:
    sizes = before = {name: declared.get(name, first) for name in cell.states}
    for _ in range(len(cell.states) + 2):
        graph, made = _run_once(cell, input_size, hidden_size, constants, sizes)
        found = {name: node.size for name, node in zip(cell.states, graph.following, strict=True)}
        if found | declared == sizes:
            _check_declared(cell, found, declared, made.line_of_next)
            lines = {name: line for name, (_, line) in made.parameters.items()}
            return _finish(cell, graph, lines), made.has_own_sizes or bool(declared)
        before, sizes = sizes, found | declared
    raise CellError(
        f"{cell.name}: the sizes of the states change from step to step ({before}, then {sizes}).",
        where=_definition(cell),
        fix="Give the affine that makes each next state a fixed size: affine(..., size=...).",
    )


def _check_declared(cell: "Cell", found: Mapping[str, int], declared: Mapping[str, int], line: Source | None) -> None:
    wrong = [
        f"the state `{name}` is declared with the size {size}, and its next value has the size {found[name]}"
        for name, size in declared.items()
        if found[name] != size
    ]
    if wrong:
        raise CellError(
            f"{cell.name}: {'; '.join(wrong)}.",
            where=quote(line) or _definition(cell),
            fix="Give the next value the declared size, or declare the size that it has: @cell(sizes={...}).",
        )


def check_sizes(cell: "Cell", input_size: int, hidden_size: int, constants: Mapping[str, int]) -> None:
    """Refuse sizes for which no step can be traced.

    Raises:
        UsageError: a size is not a whole number of at least 1, or the constants are not those of the step.
    """
    wrong = [
        f"{name} is {size!r}"
        for name, size in [("input_size", input_size), ("hidden_size", hidden_size), *constants.items()]
        if isinstance(size, bool) or not isinstance(size, int) or size < 1
    ]
    if wrong:
        raise UsageError(f"{cell.name}: {' and '.join(wrong)}.", fix="Give whole numbers of at least 1.")
    if set(constants) != set(cell.constants):
        raise UsageError(
            f"{cell.name}: expected sizes for the constants {list(cell.constants)}, got {list(constants)}.",
            fix="Give one size for each keyword-only argument without a default: constants={'name': size}.",
        )


def _run_once(
    cell: "Cell", input_size: int, hidden_size: int, constants: Mapping[str, int], sizes: Mapping[str, int]
) -> tuple[Graph, Recording]:
    made = Recording(cell.name, hidden_size)
    token = recording.set(made)
    try:
        inputs = [made.make("input", attribute=(cell.input, input_size))]
        inputs += [made.make("input", attribute=(name, constants[name])) for name in cell.constants]
        states = [made.make("state", attribute=(name, sizes[name])) for name in cell.states]
        answer = _call(cell, inputs[0], states, dict(zip(cell.constants, inputs[1:], strict=True)))
        following, output = _read(cell, made, answer)
        made.line_of_next = answer.source if isinstance(answer, Next) else None
    finally:
        recording.reset(token)
    given = (*(value.node for value in inputs), *made.draws.values())
    before = tuple(value.node for value in states)
    declared = tuple(parameter for parameter, _ in made.parameters.values())
    parameters = _with_roles(declared, before, (*following, output))
    return Graph(cell.name, given, before, following, (output,), parameters, tuple(made.draws)), made


def _call(cell: "Cell", x: Value, states: list[Value], constants: Mapping[str, Value]) -> Any:
    try:
        return cell(x, *states, **constants)
    except UsageError as error:
        line = error.where or quote(_last_user_line(error))
        raise CellError(f"{cell.name}: {error.problem}", where=line, fix=error.fix) from None
    except ElmanError:
        raise
    except Exception as error:
        advice = "It runs once, on values with a size but no numbers: use elman's words and + - * / ** on them."
        raise CellError(
            f"{cell.name}: the step raised {type(error).__name__}: {error}",
            where=quote(_last_user_line(error)),
            fix=None if isinstance(error, NameError) else advice,
        ) from error


def _last_user_line(error: Exception) -> Source | None:
    walked = traceback.walk_tb(error.__traceback__)
    lines = [Source(frame.f_code.co_filename, number) for frame, number in walked if not in_library(frame)]
    return lines[-1] if lines else None


def _read(cell: "Cell", made: Recording, answer: Any) -> tuple[tuple[Node, ...], Node]:
    if isinstance(answer, Value) and len(cell.states) == 1:
        answer = Next(**{cell.states[0]: answer})
        answer.source = None  # type: ignore[assignment]
    if not isinstance(answer, Next):
        got = "None" if answer is None else type(answer).__name__
        raise CellError(
            f"{cell.name}: expected the step to return the next value of {_words(cell.states)}, got {got}.",
            where=_definition(cell),
            fix=f"Give one next value for each state: return {_example(cell)}.",
        )
    missing = [name for name in cell.states if answer.states.get(name) is None]
    extra = [name for name in answer.states if name not in cell.states]
    if missing or extra:
        gives = [f"gives no next value for {_words(missing)}"] if missing else []
        gives += [f"gives a next value for {_words(extra)}, which it does not take"] if extra else []
        raise CellError(
            f"{cell.name}: the step takes the state{'s' * (len(cell.states) > 1)} {_words(cell.states)} "
            f"but {' and '.join(gives)}.",
            where=quote(answer.source),
            fix=f"Give one next value for each state: return {_example(cell)}.",
        )
    following = tuple(_row(cell, answer, name, answer.states[name]) for name in cell.states)
    output = following[0] if answer.output is None else _row(cell, answer, "output", answer.output)
    return following, output


def _row(cell: "Cell", answer: Next, name: str, value: Any) -> Node:
    if isinstance(value, Value) and value.owner is recording.get():
        return value.node
    got = "a value of another step" if isinstance(value, Value) else f"{value!r}"
    raise CellError(
        f"{cell.name}: expected a value computed in this step for `{name}`, got {got}.",
        where=quote(answer.source) or _definition(cell),
        fix=f"Compute it from {cell.input} and {_words(cell.states)}.",
    )


def _with_roles(
    parameters: tuple[Parameter, ...], states: tuple[Node, ...], results: tuple[Node, ...]
) -> tuple[Parameter, ...]:
    nodes = ordered(results)
    recurrent = dependants(nodes, states)
    names = {matrix_of(node)[0] for node in nodes if node.op == "product" and node.args[0] in recurrent}
    return tuple(replace(item, role="recurrent") if item.name in names else item for item in parameters)


def _check_opposites(cell: "Cell", graph: Graph, lines: Mapping[str, Source]) -> None:
    declared = {item.name: item for item in graph.parameters}
    for item in graph.parameters:
        if not isinstance(item.initial, Opposite):
            continue
        other = declared.get(item.initial.name)
        if other is None or other.shape != item.shape or isinstance(other.initial, Opposite):
            fitting = [each.name for each in graph.parameters if each.shape == item.shape and each is not item]
            raise CellError(
                f"{cell.name}: `{item.name}` cannot start from the opposite of `{item.initial.name}`.",
                where=quote(lines[item.name]),
                fix="Name a parameter of the same shape with its own initial value. "
                + nearest(item.initial.name, fitting),
            )


def _finish(cell: "Cell", graph: Graph, lines: Mapping[str, Source]) -> Graph:
    _check_opposites(cell, graph, lines)
    simple = simplify(graph)
    unused = [item.name for item in graph.parameters if item.name not in parameter_shapes(simple.nodes)]
    if unused:
        names = sorted({name.split("/")[0] for name in unused})
        raise CellError(
            f"{cell.name}: {_words(names)} is computed, but neither the output nor a next state needs it.",
            where=quote(lines[unused[0]]),
            fix="Use it, or remove it.",
        )
    try:
        return verify(simple)
    except Mismatch as reason:
        raise CellError(str(reason), where=_definition(cell), fix="Check the sizes of this step.") from None


def _definition(cell: "Cell") -> str | None:
    from elman.compiler.cell import definition

    return quote(definition(cell.step))


def _words(names: Any) -> str:
    listed = [f"`{name}`" for name in names]
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def _example(cell: "Cell") -> str:
    return f"Next({', '.join(f'{name}=...' for name in cell.states)})"
