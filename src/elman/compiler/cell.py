"""Cells: the equations of one step, and what its signature declares."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, overload
from weakref import WeakValueDictionary

from elman.compiler.graph import Graph, Source
from elman.compiler.language import WORDS
from elman.compiler.lines import quote
from elman.compiler.pickling import reduce_cell
from elman.compiler.spelling import NotAWord, read_word, spell
from elman.compiler.starts import STARTS, WITHOUT_ARGUMENTS, Start
from elman.compiler.trace import check_sizes, trace
from elman.compiler.value import Next, Value
from elman.errors import CellError, UsageError, nearest

Step = Callable[..., "Next | Value"]
# A size is a number, or a function of `input_size`, `hidden_size`, sizes of constants and options, by name.
Sizes = Mapping[str, int | Callable[..., int]]

RECENT = 8  # graphs that a cell keeps for layers to come


class Cell:
    """One step of a recurrent network, made by the decorator `cell`.

    The step's signature declares it: the first argument is the input, the other positional ones are the states,
    keyword-only arguments without a default are constants (vectors that stay the same over a sequence, given with
    each call of the layer), keyword-only arguments with a default are options (numbers, or functions of the
    language such as an activation), fixed when a layer is built.

    Args:
        step: the function.
        options: values for its options; those not given keep their defaults.
        sizes: sizes of states by name; any other state has the size of its next value.

    Raises:
        CellError: the signature is not that of a step, or a declared size is not valid.
        UsageError: the step does not have an option, or an option cannot have its value.
    """

    def __init__(self, step: Step, options: Mapping[str, Any] | None = None, sizes: Sizes | None = None):
        self.step = step
        self.name: str = getattr(step, "__name__", type(step).__name__)
        self.__doc__ = step.__doc__
        self.__name__ = self.name
        signature = _read_signature(self.name, step)
        self.input, self.states, self.constants, defaults = signature
        self.options = _check_options(self.name, defaults, defaults | _without_none(defaults, options or {}))
        self.sizes = _check_declared(self, sizes)
        self.graphs: dict[tuple, Graph] = {}
        self.in_use: WeakValueDictionary[tuple, Graph] = WeakValueDictionary()
        self.is_restored = False

    @classmethod
    def from_graphs(
        cls,
        name: str,
        input: str,
        states: tuple[str, ...],
        constants: tuple[str, ...],
        graphs: Mapping[tuple, Graph],
    ) -> "Cell":
        """Make a cell from its graphs alone: it has only their sizes, and its step cannot run again."""
        restored = object.__new__(cls)
        restored.is_restored = True
        restored.step = _without_step(name)
        restored.name = restored.__name__ = name
        restored.input, restored.states, restored.constants, restored.options = input, states, constants, {}
        restored.sizes = {}
        restored.graphs, restored.in_use = dict(graphs), WeakValueDictionary()
        return restored

    def __call__(self, *values: Any, **named: Any) -> "Next | Value":
        """Run the step inside another cell's step, which then has the parameters of both."""
        return self.step(*values, **({name: _resolve(value) for name, value in self.options.items()} | named))

    def with_options(self, **options: Any) -> "Cell":
        """Return the same cell with other values for its options.

        An example is `simple_rnn.with_options(activation="relu")`. If no value changes, return this cell itself.
        """
        if not options:
            return self
        if self.is_restored:
            self.step()
        found = Cell(self.step, self.options | options, self.sizes)
        unchanged = all(_resolve(value) == _resolve(self.options[name]) for name, value in found.options.items())
        return self if unchanged else found

    def declared_sizes(self, input_size: int, hidden_size: int, constants: Mapping[str, int]) -> dict[str, int]:
        """Return the sizes of the states that the cell declares, by name.

        Raises:
            CellError: a size is not a whole number of at least 1.
        """
        known = {**self.options, **constants, "input_size": input_size, "hidden_size": hidden_size}
        return {name: _size_of_state(self, name, size, known) for name, size in self.sizes.items()}

    def trace(self, input_size: int, hidden_size: int, constants: Mapping[str, int] | None = None) -> Graph:
        """Return the step as a graph for these sizes.

        Args:
            input_size: features of the input.
            hidden_size: size of each affine, parameter and state that has no other size.
            constants: size of each constant.

        Raises:
            CellError: the step cannot be traced; the message gives the line and the repair.
            UsageError: a size is not a whole number of at least 1, or the constants are not those of the step.
        """
        sizes = dict(constants or {})
        check_sizes(self, input_size, hidden_size, sizes)
        key = (input_size, hidden_size, tuple(sorted(sizes.items())))
        graph = self.graphs.get(key) or self.in_use.get(key)
        if graph is None and self.is_restored:
            self.step()  # raises: there are no other sizes
        if graph is None:
            graph = self.in_use[key] = trace(self, input_size, hidden_size, sizes)
            self._remember(key, graph)
        return graph

    def _remember(self, key: tuple, graph: Graph) -> None:
        """Keep the graph, and drop the oldest of those that no layer uses."""
        self.graphs[key] = graph
        while len(self.graphs) > RECENT:
            self.graphs.pop(next(iter(self.graphs)), None)

    def __reduce__(self):
        return reduce_cell(self)

    def __copy__(self) -> "Cell":
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> "Cell":
        return self

    def __repr__(self) -> str:
        changed = "".join(f", {name}={_option_name(value)}" for name, value in self.options.items())
        return f"Cell({self.name}{changed})"


@overload
def cell(step: Step, *, sizes: Sizes | None = None) -> Cell: ...
@overload
def cell(step: None = None, *, sizes: Sizes | None = None) -> Callable[[Step], Cell]: ...
def cell(step: Step | None = None, *, sizes: Sizes | None = None) -> Cell | Callable[[Step], Cell]:
    """Make a cell of a function that computes one step.

    Args:
        step: the function.
        sizes: sizes of states whose next value does not determine a size, such as delay lines. A size is a whole
            number, or a function with arguments that are named `input_size`, `hidden_size`, or as the constants (their
            sizes) or options of the cell: `@cell(sizes={"memory": lambda hidden_size: hidden_size**2})`.

    >>> from elman import Next, affine, cell, concat, sum, tanh
    >>> @cell
    ... def elman_1990(x, h):
    ...     return tanh(affine("hidden", x, h))
    >>> elman_1990.states
    ('h',)
    >>> @cell(sizes={"line": lambda length: length})
    ... def delay_line(x, line, *, length=7):
    ...     return Next(line=concat(line[1:], sum(x)), output=line[0])
    >>> delay_line.trace(3, 4).states[0].size
    7

    Raises:
        CellError: the signature is not that of a step, or a declared size is not valid.
    """
    return (lambda given: Cell(given, sizes=sizes)) if step is None else Cell(step, sizes=sizes)


def _check_declared(cell: Cell, sizes: Sizes | None) -> dict[str, int | Callable[..., int]]:
    line = quote(definition(cell.step))
    if not isinstance(sizes, Mapping | None):
        fix = 'Write @cell(sizes={"line": 8}).'
        raise CellError(f"{cell.name}: sizes is {sizes!r}, not a dictionary from states to sizes.", where=line, fix=fix)
    known = {"input_size", "hidden_size", *cell.constants, *cell.options}
    for name, size in (sizes or {}).items():
        if name not in cell.states:
            problem = f"{cell.name}: sizes declares `{name}`, which is not a state of the cell."
            raise CellError(problem, where=line, fix=nearest(name, cell.states))
        if not callable(size):
            _size_of_state(cell, name, size, {})
        elif unknown := [argument for argument in inspect.signature(size).parameters if argument not in known]:
            problem = f"{cell.name}: the size of `{name}` is a function of `{unknown[0]}`, which is not known."
            raise CellError(problem, where=line, fix=nearest(unknown[0], known))
    return dict(sizes or {})


def _size_of_state(cell: Cell, name: str, size: int | Callable[..., int], known: Mapping[str, Any]) -> int:
    given = ""
    if callable(size):
        arguments = {argument: known[argument] for argument in inspect.signature(size).parameters}
        given = " for " + ", ".join(f"{argument}={value!r}" for argument, value in arguments.items())
        size = size(**arguments)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise CellError(
            f"{cell.name}: the declared size of `{name}` is {size!r}{given}.",
            where=quote(definition(cell.step)),
            fix="Declare a whole number of at least 1, or a function that returns one.",
        )
    return size


def _without_step(name: str) -> Step:
    def step(*_: Any, **__: Any) -> Value:
        raise UsageError(
            f"The cell `{name}` was loaded from a saved model and has only the sizes it was saved with.",
            fix="Use the original cell to build layers of other sizes.",
        )

    return step


def describe_options(cell: Cell) -> dict[str, Any]:
    """Return the options as plain numbers and names, for a configuration file."""
    return {name: _option_name(value) for name, value in cell.options.items()}


def _read_signature(name: str, step: Step) -> tuple[str, tuple[str, ...], tuple[str, ...], dict[str, Any]]:
    line = definition(step)
    kinds = inspect.Parameter
    if not callable(step):
        raise CellError(
            f"Expected a function to make a cell of, got {step!r}.", fix="Write @cell above def name(x, h)."
        )
    parameters = list(inspect.signature(step).parameters.values())
    positional = [item for item in parameters if item.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    named = [item for item in parameters if item.kind is kinds.KEYWORD_ONLY]
    problems = [
        *(f"takes `{item}`" for item in parameters if item.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)),
        *(f"gives `{item.name}` a default" for item in positional if item.default is not kinds.empty),
        *("calls a state `output`" for item in positional[1:] if item.name == "output"),
        *(["has no state"] if len(positional) < 2 else []),
    ]
    if problems:
        raise CellError(
            f"{name}: the step's signature {' and '.join(problems)}.",
            where=quote(line),
            fix=f"Write def {name}(x, h): the input first, then each state by its name; options follow a bare `*`.",
        )
    constants = tuple(item.name for item in named if item.default is kinds.empty)
    defaults = {item.name: item.default for item in named if item.default is not kinds.empty}
    return positional[0].name, tuple(item.name for item in positional[1:]), constants, defaults


def definition(step: Step) -> Source | None:
    """Return the `def` line of a function, None if it has none."""
    code = getattr(inspect.unwrap(step), "__code__", None)
    if code is None:
        return None
    lines, first = inspect.getsourcelines(code) if _has_source(code) else ([], code.co_firstlineno)
    offset = next((index for index, line in enumerate(lines) if line.lstrip().startswith("def ")), 0)
    return Source(code.co_filename, first + offset)


def _has_source(code: Any) -> bool:
    try:
        inspect.getsourcelines(code)
    except (OSError, TypeError):
        return False
    return True


def _without_none(defaults: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Replace None by `linear` in options that take a function: Keras's activation=None."""
    return {
        name: "linear" if value is None and callable(defaults.get(name)) else value for name, value in options.items()
    }


def _check_options(name: str, defaults: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    for option, value in options.items():
        if option not in defaults:
            hint = nearest(option, defaults) if defaults else "It has no options."
            raise UsageError(f"The cell `{name}` has no option `{option}`.", fix=hint)
        valid, refused = _words_like(defaults[option]), f"The option `{option}` of `{name}` is {value!r}."
        if isinstance(defaults[option], bool) and not isinstance(value, bool):
            raise UsageError(refused, fix="Give True or False.")
        if isinstance(value, str) and value in WITHOUT_ARGUMENTS and value in valid:
            continue
        if isinstance(value, str) and valid:
            try:
                word = read_word(value, valid)
                if isinstance(defaults[option], Start):
                    word()
            except UsageError as reason:
                where = None if isinstance(reason, NotAWord) else reason.problem
                raise UsageError(refused, where=where, fix=reason.fix) from None
        elif isinstance(value, str):
            raise UsageError(refused, fix="Give a number.")
        if callable(defaults[option]) and isinstance(value, int | float):
            raise UsageError(refused, fix=nearest("", valid))
    return dict(options)


def _words_like(default: Any) -> list[str]:
    """List the words that take as many values as the default of an option.

    There are none for a number.
    """
    if isinstance(default, int | float):
        return []
    if isinstance(default, Start):
        return list(dict.fromkeys([*WITHOUT_ARGUMENTS, *(start.__name__ for start in STARTS)]))
    if not callable(default):
        return list(dict.fromkeys([*WORDS, *WITHOUT_ARGUMENTS]))
    return [name for name, word in WORDS.items() if _values_taken(word) == _values_taken(default)]


def _values_taken(function: Callable[..., Any]) -> int:
    """Count the values that a word takes, -1 if it takes any number or other things."""
    if function in STARTS:
        return -1
    parameters = inspect.signature(function).parameters.values()
    needed = [each for each in parameters if each.default is each.empty]
    if any(each.kind is each.VAR_POSITIONAL or each.annotation in (str, "str") for each in needed):
        return -1
    return len(needed)


def _resolve(value: Any) -> Any:
    if not isinstance(value, str) or value.partition("(")[0].strip() not in WORDS:
        return value
    word = read_word(value)
    # A distribution with its options is an initial value.
    return word() if getattr(word, "func", None) in STARTS else word


def _option_name(value: Any) -> Any:
    if isinstance(value, Start):
        return str(value)
    return (spell(value) if callable(value) else None) or value
