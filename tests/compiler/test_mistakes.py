"""Every way in which a step can be wrong: one message with the cell, the line and the repair."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elman import (
    Next,
    affine,
    cell,
    concat,
    contract,
    exp,
    gelu,
    matrix,
    mean,
    opposite,
    outer,
    parameter,
    power,
    product,
    sigmoid,
    split,
    tanh,
    uniform,
)
from elman.compiler.cell import Cell
from elman.errors import CellError, ElmanError, UsageError

GLOBAL_TENSOR = torch.ones(4)
GLOBAL_ARRAY = np.ones(4)
LINEAR = torch.nn.Linear(3, 4)
LEAKED: list[Any] = []


@dataclass(frozen=True)
class Mistake:
    """A wrong step, and what must be said about it.

    `line` is a line of the step, without its indent; the message must quote it with its number.
    """

    step: Callable
    problem: str
    fix: str
    line: str | None
    kind: type[ElmanError] = CellError
    sizes: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


MISTAKES: list[Mistake] = []


def wrong(problem: str, *, fix: str, line: str | None = None, **named: Any) -> Callable[[Callable], Callable]:
    """List the step below as one that is wrong in this way."""

    def listed(step: Callable) -> Callable:
        MISTAKES.append(Mistake(step, problem, fix, line, **named))
        return step

    return listed


@wrong(
    "a matrix of 4 entries cannot have 3 columns.",
    line="return tanh(contract(h, x))",
    fix="Check the sizes: `value.size` gives that of a value, `size=` sets an affine's.",
)
def contraction_that_does_not_fit(x, h):
    return tanh(contract(h, x))


@wrong(
    "`outer` expected a value of the step, got the number 2.0.", line="return h + outer(h, 2.0)", fix="Give a value."
)
def outer_product_with_a_number(x, h):
    return h + outer(h, 2.0)


@wrong(
    "Expected transposed=True or False, got 'yes'.",
    line='return contract(h, h, transposed="yes")',
    fix="Write transposed=True.",
)
def contraction_transposed_by_a_word(x, h):
    return contract(h, h, transposed="yes")


@wrong(
    "Expected approximate='none' or 'tanh', got True.",
    line="return gelu(h, approximate=True)",
    fix="Give one of the two.",
)
def gelu_of_another_kind(x, h):
    return gelu(h, approximate=True)


@wrong(
    "the step takes the states `h` and `c` but gives no next value for `c`.",
    line="return Next(h=tanh(h))",
    fix="Give one next value for each state: return Next(h=..., c=...).",
)
def missing_next(x, h, c):
    return Next(h=tanh(h))


@wrong(
    "the step takes the state `h` but gives a next value for `c`, which it does not take.",
    line="return Next(h=tanh(h), c=h)",
    fix="Give one next value for each state: return Next(h=...).",
)
def extra_next(x, h):
    return Next(h=tanh(h), c=h)


@wrong(
    "gives no next value for `c` and gives a next value for `d`, which it does not take.",
    line="return Next(h=h, d=c)",
    fix="return Next(h=..., c=...).",
)
def misnamed_next(x, h, c):
    return Next(h=h, d=c)


@wrong(
    "expected the step to return the next value of `h`, got None.",
    line="def no_return(x, h):",
    fix="return Next(h=...)",
)
def no_return(x, h):
    tanh(h)


@wrong(
    "expected the step to return the next value of `h` and `c`, got tuple.",
    line="def tuple_returned(x, h, c):",
    fix="return Next(h=..., c=...).",
)
def tuple_returned(x, h, c):
    return tanh(h), c


@wrong(
    "expected the step to return the next value of `h` and `c`, got Value.",
    line="def one_value_for_two(x, h, c):",
    fix="return Next(h=..., c=...).",
)
def one_value_for_two(x, h, c):
    return tanh(h)


@wrong(
    "expected a value computed in this step for `h`, got 0.5.",
    line="return Next(h=0.5)",
    fix="Compute it from x and `h`.",
)
def number_returned(x, h):
    return Next(h=0.5)


@wrong(
    "`Next` was given a value without a name.",
    line="return Next(tanh(h), c)",
    fix="Name each state: Next(h=..., c=...).",
)
def unnamed_next(x, h, c):
    return Next(tanh(h), c)


@wrong("values of sizes 3 and 4 do not fit together.", line="y = x + h", fix="Check the sizes: `value.size`")
def wrong_sizes(x, h):
    y = x + h
    return tanh(y)


@wrong(
    "the name `gate` is used twice for parameters (first at line",
    line='b = affine("gate", h)',
    fix="Give each affine and each parameter a name of its own.",
)
def same_name_twice(x, h):
    a = affine("gate", x)
    b = affine("gate", h)
    return a + b


@wrong(
    "the name `gain` is used twice for parameters (first at line",
    line='return h * parameter("gain")',
    fix="a name of its own.",
)
def same_parameter_twice(x, h):
    h = h + parameter("gain")
    return h * parameter("gain")


@wrong(
    "'my gate' cannot name parameters.", line='return affine("my gate", x, h)', fix="letters, digits and underscores"
)
def bad_name(x, h):
    return affine("my gate", x, h)


@wrong("cannot name parameters.", line="return affine(x, h)", fix='affine("update", x, h)')
def forgotten_name(x, h):
    return affine(x, h)


@wrong("affine `gate` has no value to multiply.", line='return affine("gate") + h', fix='affine("gate", x, h)')
def affine_of_nothing(x, h):
    return affine("gate") + h


@wrong("`gate` has the size 0.", line='return h + affine("gate", x, size=0)', fix="Give a whole number of at least 1.")
def bad_size(x, h):
    return h + affine("gate", x, size=0)


@wrong(
    "`gate` has the size 2.0.",
    line='return h + affine("gate", x, size=h.size / 2)',
    fix="Give a whole number of at least 1.",
)
def fractional_size(x, h):
    return h + affine("gate", x, size=h.size / 2)


@wrong(
    "the initial value of `gate/bias`: the name 'one' is unknown.",
    line='return affine("gate", x, h, bias="one")',
    fix="Give a number, an array, one of 'zeros', 'ones',",
)
def bias_no_number(x, h):
    return affine("gate", x, h, bias="one")


@wrong(
    "the initial value of `gain`: the value is nan.",
    line='return h * parameter("gain", initial=math.nan)',
    fix="Give a finite number.",
)
def nan_parameter(x, h):
    return h * parameter("gain", initial=math.nan)


@wrong("Python cannot branch on it", line="if mean(h) > 0.0:", fix="Use where(condition, value, other) instead of `if`")
def python_if(x, h):
    if mean(h) > 0.0:
        return tanh(h)
    return h


@wrong("cannot become a Python number", line="return h * float(mean(x))", fix="such as elman.tanh")
def python_float(x, h):
    return h * float(mean(x))


@wrong("has no length", line="return h / len(x)", fix="Use value.size.")
def python_len(x, h):
    return h / len(x)


@wrong("cannot be looped over", line="for feature in x:", fix="Use split(value, parts)")
def iteration(x, h):
    for feature in x:
        h = h + feature
    return h


@wrong("has no feature 4: its size is 4.", line="return h + h[4]", fix="Features count from 0")
def feature_beyond(x, h):
    return h + h[4]


@wrong("takes features by number or by a range", line="return h + concat(h[::2], h[1::2])", fix="value[start:stop]")
def stepped_slice(x, h):
    return h + concat(h[::2], h[1::2])


@wrong(
    "a value of size 4 cannot be split into 3.", line="a, b, c = split(h, 3)", fix="The parts must add up to the size."
)
def uneven_split(x, h):
    a, b, c = split(h, 3)
    return concat(a, b, c)


@wrong("cannot go through numpy.tanh.", line="return np.tanh(h)", fix="Use elman.tanh.")
def numpy_function(x, h):
    return np.tanh(h)


@wrong(
    "cannot go through numpy.arctan.",
    line="return np.arctan(h)",
    fix="`arctan` is not in the language of cells. Its words:",
)
def numpy_function_elman_has_not(x, h):
    return np.arctan(h)


@wrong("is not a NumPy array", line="return h + np.concatenate([x, h])", fix="Use elman's own words")
def numpy_array(x, h):
    return h + np.concatenate([x, h])


@wrong("cannot go through torch.tanh.", line="return torch.tanh(h)", fix="Use elman.tanh.")
def torch_function(x, h):
    return torch.tanh(h)


@wrong("cannot go through torch.cat.", line="return torch.cat([x, h])", fix="Use elman.concat.")
def torch_function_of_a_list(x, h):
    return torch.cat([x, h])


@wrong("cannot go through torch.softmax.", line="return torch.nn.functional.softmax(h, -1)", fix="Use elman.softmax.")
def torch_functional(x, h):
    return torch.nn.functional.softmax(h, -1)


@wrong("cannot go through torch.linear.", line="return tanh(h + LINEAR(x))", fix="Use elman.affine.")
def torch_module(x, h):
    return tanh(h + LINEAR(x))


@wrong("cannot become a Python number", line="return h * math.tanh(mean(x))", fix="such as elman.tanh")
def math_function(x, h):
    return h * math.tanh(mean(x))


@wrong("a value inside a step has no `tanh`.", line="return h.tanh()", fix="Use elman.tanh.")
def method(x, h):
    return h.tanh()


@wrong(
    "a value inside a step has no `shape`.",
    line="return h * x.shape[0]",
    fix="`shape` is not in the language of cells.",
)
def shape_attribute(x, h):
    return h * x.shape[0]


@wrong(
    "cannot be multiplied by a matrix with `@`.",
    line="return tanh(h @ GLOBAL_TENSOR)",
    fix='affine("name", value, bias=None)',
)
def matrix_product(x, h):
    return tanh(h @ GLOBAL_TENSOR)


@wrong(
    "expected a value or a number, got a torch.Tensor.",
    line="return h * GLOBAL_TENSOR",
    fix="affine(...) or parameter(...)",
)
def global_tensor(x, h):
    return h * GLOBAL_TENSOR


@wrong(
    "expected a value or a number, got a torch.Tensor.",
    line="return GLOBAL_TENSOR * h",
    fix="affine(...) or parameter(...)",
)
def global_tensor_on_the_left(x, h):
    return GLOBAL_TENSOR * h


@wrong(
    "expected a value or a number, got a numpy.ndarray.",
    line="return GLOBAL_ARRAY - h",
    fix="affine(...) or parameter(...)",
)
def global_array_on_the_left(x, h):
    return GLOBAL_ARRAY - h


@wrong("expected a value or a number, got None.", line="return h + None", fix="affine(...) or parameter(...)")
def none_added(x, h):
    return h + None


@wrong(
    "`concat` expected a value of the step, got the number 1.0.",
    line="return tanh(concat(h, 1.0))",
    fix="Give a value.",
)
def number_in_concat(x, h):
    return tanh(concat(h, 1.0))


@wrong(
    "expected a finite number as the exponent, got None.", line="return power(h, None)", fix="Give a number or a value."
)
def bad_exponent(x, h):
    return power(h, None)


@wrong(
    "a value of another step, or of an earlier run of this one, is used.",
    line="h = h + LEAKED[0]",
    fix="must be a state",
)
def value_of_another_run(x, h):
    if len(LEAKED) > 1:
        LEAKED.clear()
    LEAKED.append(x)
    if len(LEAKED) > 1:
        h = h + LEAKED[0]
    return tanh(affine("a", concat(h, h), size=2 * h.size))


@wrong("the step raised ZeroDivisionError: division by zero", line="scale = 1 / 0", fix="use elman's words")
def raises(x, h):
    scale = 1 / 0
    return h * scale


@wrong("the step raised KeyError: 'gain'", line='return h * {}["gain"]', fix="use elman's words")
def raises_on_return(x, h):
    return h * {}["gain"]


@wrong("the step raised TypeError", line="return h // 2.0", fix="use elman's words and + - * / **")
def operator_outside_the_language(x, h):
    return h // 2.0


@wrong("the step raised TypeError", line="h[0] = mean(x)", fix="use elman's words")
def assignment(x, h):
    h[0] = mean(x)
    return h


@wrong("the step's signature has no state.", line="def no_state(x):", fix="Write def no_state(x, h)")
def no_state(x):
    return x


@wrong("the step's signature takes `*states`", line="def star_args(x, *states):", fix="each state by its name")
def star_args(x, *states):
    return states[0]


@wrong("takes `**options`.", line="def star_options(x, h, **options):", fix="each state by its name")
def star_options(x, h, **options):
    return h


@wrong(
    "the step's signature gives `h` a default.", line="def default_state(x, h=0.0):", fix="options follow a bare `*`"
)
def default_state(x, h=0.0):
    return h


@wrong(
    "the step's signature calls a state `output`.", line="def output_state(x, output):", fix="each state by its name"
)
def output_state(x, output):
    return output


@wrong(
    "`gate` is computed, but neither the output nor a next state needs it.",
    line='gate = sigmoid(affine("gate", x))',
    fix="Use it, or remove it.",
)
def unused_affine(x, h):
    gate = sigmoid(affine("gate", x))
    del gate
    return tanh(h)


@wrong(
    "The cell `unknown_option` has no option `aktivation`.",
    fix="Did you mean `activation`? Valid: activation.",
    kind=UsageError,
    options={"aktivation": tanh},
)
def unknown_option(x, h, *, activation=tanh):
    return activation(h)


@wrong(
    "The option `activation` of `unknown_word` is 'tahn'.",
    fix="Did you mean `tanh`?",
    kind=UsageError,
    options={"activation": "tahn"},
)
def unknown_word(x, h, *, activation=tanh):
    return activation(h)


@wrong("The cell `no_options` has no option `size`.", fix="It has no options.", kind=UsageError, options={"size": 3})
def no_options(x, h):
    return tanh(h)


@wrong(
    "missing_constant: expected sizes for the constants ['context'], got [].",
    fix="constants={'name': size}",
    kind=UsageError,
)
def missing_constant(x, h, *, context):
    return tanh(affine("a", h, context))


@wrong(
    "extra_constant: expected sizes for the constants [], got ['context'].",
    fix="constants={'name': size}",
    kind=UsageError,
    sizes={"constants": {"context": 2}},
)
def extra_constant(x, h):
    return tanh(h)


@wrong(
    "sizeless_constant: context is 0.",
    fix="Give whole numbers of at least 1.",
    kind=UsageError,
    sizes={"constants": {"context": 0}},
)
def sizeless_constant(x, h, *, context):
    return tanh(affine("a", h, context))


@wrong("no_input: input_size is 0.", fix="Give whole numbers of at least 1.", kind=UsageError, sizes={"input_size": 0})
def no_input(x, h):
    return tanh(h)


@wrong(
    "input_size is True and hidden_size is 4.0.",
    fix="whole numbers",
    kind=UsageError,
    sizes={"input_size": True, "hidden_size": 4.0},
)
def odd_sizes(x, h):
    return tanh(h)


@wrong("input_size is [3].", fix="whole numbers", kind=UsageError, sizes={"input_size": [3]})
def a_list_of_sizes(x, h):
    return tanh(h)


@wrong("the sizes of the states change from step to step", line="def growing(x, h):", fix="affine(..., size=...)")
def growing(x, h):
    return concat(h, x)


@wrong("the step raised TypeError", line="return helper(h)", fix="use elman's words")
def helper_called_wrongly(x, h):
    def helper(a, b):
        return a + b

    return helper(h)


@wrong(
    "the matrix `w` is used as a value.",
    line="return tanh(product(h, w - w))",
    fix="Multiply by it: product(value, w)",
)
def matrix_arithmetic(x, h):
    w = matrix("w")
    return tanh(product(h, w - w))


@wrong(
    "the matrix `w` is used as a value.",
    line='return tanh(h + matrix("w"))',
    fix="Multiply by it: product(value, w)",
)
def matrix_added_to_a_value(x, h):
    return tanh(h + matrix("w"))


@wrong(
    "`product` expected a matrix of this step, got a Value.",
    line="return tanh(product(x, h))",
    fix='Declare it in the step: product(h, matrix("recurrent", h.size, h.size)).',
)
def product_of_two_values(x, h):
    return tanh(product(x, h))


@wrong(
    "the matrix wᵀ has 4 rows and the value has size 3",
    line='return tanh(product(x, matrix("w", 3, 4), transposed=True))',
    fix="Check the sizes",
)
def transposed_matrix_of_another_size(x, h):
    return tanh(product(x, matrix("w", 3, 4), transposed=True))


@wrong(
    "`transposed` is 1.",
    line='return tanh(product(h, matrix("w"), transposed=1))',
    fix="Give True or False.",
)
def transposed_by_number(x, h):
    return tanh(product(h, matrix("w"), transposed=1))


@wrong(
    "'wᵀ' cannot name parameters.",
    line='return tanh(product(h, matrix("wᵀ")))',
    fix="The first argument is a name of letters, digits and underscores",
)
def matrix_named_as_transposed(x, h):
    return tanh(product(h, matrix("wᵀ")))


@wrong(
    "the name `w` is used twice for parameters",
    line='return tanh(product(h, matrix("w")) + product(x, matrix("w", 3)))',
    fix="Give each affine and each parameter a name of its own.",
)
def matrix_named_twice(x, h):
    return tanh(product(h, matrix("w")) + product(x, matrix("w", 3)))


@wrong(
    "`learned` of `w` is 'no'.",
    line='return tanh(product(h, matrix("w", learned="no")))',
    fix="Give True or False.",
)
def learned_by_word(x, h):
    return tanh(product(h, matrix("w", learned="no")))


@wrong(
    "the initial value of `w`: expected an array of shape (4, 4), got one of shape (2,).",
    line='return tanh(product(h, matrix("w", initial=[1.0, 2.0])))',
    fix="Give an array of that shape.",
)
def start_of_another_shape(x, h):
    return tanh(product(h, matrix("w", initial=[1.0, 2.0])))


@wrong(
    "affine `w` multiplies 2 values, got 1 initial values.",
    line='return tanh(affine("w", x, h, initial=("ones",)))',
    fix="Give a tuple with one for each value, or a single one for all.",
)
def too_few_starts(x, h):
    return tanh(affine("w", x, h, initial=("ones",)))


@wrong(
    "uniform(1, -1) has its bounds in the wrong order.",
    line='return tanh(affine("w", x, h, bias=uniform(1, -1)))',
    fix="Write (-1, 1).",
)
def start_that_cannot_be_made(x, h):
    return tanh(affine("w", x, h, bias=uniform(1, -1)))


@wrong(
    "`w/bias` cannot start from the opposite of `v/bias`.",
    line='return tanh(affine("w", x, h, bias=opposite("v/bias")))',
    fix="Name a parameter of the same shape with its own initial value.",
)
def opposite_of_nothing(x, h):
    return tanh(affine("w", x, h, bias=opposite("v/bias")))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.step.__name__)
def test_a_wrong_step_is_told_with_its_place_and_repair(mistake: Mistake):
    name = mistake.step.__name__
    with pytest.raises(ElmanError) as caught:
        Cell(mistake.step, mistake.options).trace(**({"input_size": 3, "hidden_size": 4} | mistake.sizes))
    text = str(caught.value)
    assert type(caught.value) is mistake.kind
    assert name in caught.value.problem
    assert mistake.problem in caught.value.problem
    assert mistake.fix in (caught.value.fix or "")
    if mistake.kind is CellError:
        assert mistake.line is not None
        assert caught.value.problem.startswith(f"{name}: ")
        lines, first = inspect.getsourcelines(mistake.step)
        (number,) = (first + offset for offset, line in enumerate(lines) if line.strip() == mistake.line)
        assert f"{Path(__file__).name}:{number}\n    {mistake.line}\n" in text


def test_every_mistake_has_a_name_of_its_own():
    names = [mistake.step.__name__ for mistake in MISTAKES]
    assert len(set(names)) == len(names) > 50


def test_a_mistake_in_a_helper_is_told_with_the_helpers_line():
    def helper(value):
        return value.numpy()

    @cell
    def calls_a_helper(x, h):
        return helper(h)

    with pytest.raises(CellError, match=r"calls_a_helper: a value inside a step has no `numpy`") as caught:
        calls_a_helper.trace(3, 4)
    assert "return value.numpy()" in str(caught.value)


def test_a_mistake_in_an_inner_cell_names_the_cell_that_is_built():
    @cell
    def inner(x, h):
        return h.tanh()

    @cell
    def outer(x, h):
        return inner(x, h)

    with pytest.raises(CellError, match=r"(?s)^outer: .*return h\.tanh\(\)"):
        outer.trace(3, 4)


@pytest.mark.parametrize(
    "word", [lambda: affine("a", None), lambda: tanh(1.0), lambda: exp(2.0), lambda: parameter("p")]
)
def test_a_word_outside_a_step_says_so(word: Callable):
    with pytest.raises(CellError, match=r"(?s)used outside a step.*test_mistakes\.py:\d+.*marked with @cell"):
        word()


def test_a_cell_called_outside_a_step_says_so():
    @cell
    def plain(x, h):
        return tanh(h)

    with pytest.raises(CellError, match=r"(?s)used outside a step.*return tanh\(h\)"):
        plain(1.0, 2.0)


def test_a_cell_is_made_of_a_function():
    with pytest.raises(CellError, match=r"Expected a function to make a cell of, got 3"):
        cell(3)  # type: ignore[arg-type]


def test_a_mistake_in_a_step_without_a_file_is_told_all_the_same():
    space: dict[str, Any] = {"tanh": tanh}
    exec("def typed_in(x, h):\n    return tanh(x) + h", space)
    with pytest.raises(CellError, match=r"(?s)typed_in: values of sizes 3 and 4 .*<string>:2"):
        cell(space["typed_in"]).trace(3, 4)
    exec("def gives_none(x, h):\n    pass", space)
    with pytest.raises(CellError, match=r"(?s)gives_none: .*<string>:1"):
        cell(space["gives_none"]).trace(3, 4)


def sized(sizes: Any) -> Callable[[], Cell]:
    """A function that makes a delay line with these sizes."""

    def delay(x, line):
        return Next(line=concat(line[1:], x[0]))

    return lambda: cell(sizes=sizes)(delay)


@pytest.mark.parametrize(
    ("sizes", "problem", "fix"),
    [
        ({"lime": 7}, "sizes declares `lime`, which is not a state of the cell.", "Did you mean `line`?"),
        ({"line": 7.0}, "the declared size of `line` is 7.0.", "Declare a whole number of at least 1"),
        ({"line": 0}, "the declared size of `line` is 0.", "Declare a whole number of at least 1"),
        ({"line": True}, "the declared size of `line` is True.", "Declare a whole number of at least 1"),
        ({"line": lambda hiden_size: 1}, "is a function of `hiden_size`, which is not known.", "mean `hidden_size`?"),
        (7, "sizes is 7, not a dictionary", "Write @cell(sizes="),
    ],
)
def test_a_wrong_declaration_is_refused_where_the_cell_is_made(sizes: Any, problem: str, fix: str):
    with pytest.raises(CellError) as caught:
        sized(sizes)()
    assert caught.value.problem.startswith("delay: ")
    assert problem in caught.value.problem
    assert fix in str(caught.value.fix)
    assert "def delay(x, line):" in str(caught.value.where)


def test_a_size_that_a_function_gives_is_checked_for_the_sizes_of_the_layer():
    made = sized({"line": lambda hidden_size: hidden_size / 2})()
    with pytest.raises(CellError, match=r"the declared size of `line` is 2.0 for hidden_size=4"):
        made.trace(3, 4)


def test_a_declared_size_that_the_next_value_does_not_have_is_refused():
    @cell(sizes={"line": 7})
    def grows(x, line):
        return Next(line=concat(line, x[0]))

    with pytest.raises(CellError) as caught:
        grows.trace(3, 4)
    assert "`line` is declared with the size 7, and its next value has the size 8" in caught.value.problem
    assert "return Next(line=concat(line, x[0]))" in str(caught.value.where)
