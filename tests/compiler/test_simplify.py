"""Each rule of simplification, on a step where it is the only one that fits."""

import math
from collections.abc import Callable

import pytest
import torch

from elman import (
    Next,
    affine,
    concat,
    contract,
    cumsum,
    exp,
    log,
    max,
    maximum,
    outer,
    sigmoid,
    split,
    sum,
    tanh,
    where,
)  # fmt: skip
from elman.compiler.dispatch import GENERAL
from elman.compiler.graph import show
from elman.compiler.simplify import RULES, simplify
from elman.compiler.value import apply
from tests.compiler.run import drawn, run, unsimplified
from tests.laws.tolerances import assert_near

# What the step computes of x, and the same in its simplest form.
SAME: dict[str, tuple[Callable, Callable]] = {
    "numbers are folded": (lambda x: x * (tanh(0.5) + 2.0), lambda x: x * (math.tanh(0.5) + 2.0)),
    "x + 0": (lambda x: tanh(x + 0.0), tanh),
    "0 + x": (lambda x: tanh(0.0 + x), tanh),
    "x - 0": (lambda x: tanh(x - 0.0), tanh),
    "x·1": (lambda x: tanh(x * 1.0), tanh),
    "1·x": (lambda x: tanh(1.0 * x), tanh),
    "x / 1": (lambda x: tanh(x / 1.0), tanh),
    "-(-x)": (lambda x: tanh(-(-x)), tanh),  # noqa: B002
    "x + (-y)": (lambda x: x + (-tanh(x)), lambda x: x - tanh(x)),
    "x - (-y)": (lambda x: x - (-tanh(x)), lambda x: x + tanh(x)),
    "all features": (lambda x: tanh(x[:]), tanh),
    "features of features": (lambda x: x[1:4][1:2], lambda x: x[2:3]),
    "features of a part": (lambda x: concat(x, tanh(x))[4:6], lambda x: tanh(x)[0:2]),
    "a whole part": (lambda x: concat(x, tanh(x))[4:], tanh),
    "a part of parts": (lambda x: split(concat(tanh(x), x), 2)[0][1:], lambda x: tanh(x)[1:]),
    "one value alone": (lambda x: tanh(concat(x)), tanh),
    "the sum of one feature": (lambda x: tanh(sum(x[2])), lambda x: tanh(x[2])),
    "the running sum of one feature": (lambda x: tanh(cumsum(x[2])), lambda x: tanh(x[2])),
    "a choice between x and x": (lambda x: where(x > 0.0, tanh(x), tanh(x)), tanh),
    "x to the power of 1": (lambda x: tanh(apply("power", x, 1.0)), tanh),
    "x to the power of 2": (lambda x: apply("power", x, 2.0), lambda x: x**2),
    "x to the power of -1": (lambda x: apply("power", x, -1.0), lambda x: x**-1),
    "an outer product with one feature": (lambda x: outer(x, x[2]), lambda x: x * x[2]),
    "a contraction by one feature": (lambda x: contract(x, x[2]), lambda x: x * x[2]),
    "the largest of one number": (lambda x: x * max(concat(exp(1.0))), lambda x: x * math.exp(1.0)),
}

NO_SHORTER = {
    *("x + (-y)", "x - (-y)", "x to the power of 2", "x to the power of -1"),
    *("an outer product with one feature", "a contraction by one feature"),
}

# What looks simple and is not the same for every number.
KEPT: dict[str, Callable] = {
    "x·0 may hide a NaN": lambda x: x * 0.0,
    "x - x may hide a NaN": lambda x: x - x,
    "x / x may hide a NaN": lambda x: x / x,
    "0 - x is no neutral element": lambda x: 0.0 - x,
    "1 / x is no neutral element": lambda x: 1.0 / x,
    "x + (y + 1) would round otherwise": lambda x: (x + 1.0) + 1.0,
    "features across two parts": lambda x: concat(x, tanh(x))[2:6],
    "a choice by several features between one is repeated": lambda x: where(x > 0.0, sum(x), sum(x)),
    "x to the power of 0 would forget x": lambda x: x**0,
    "log of a negative number": lambda x: x + log(-1.0),
    "one divided by zero": lambda x: x * (1.0 / (0.0 * tanh(0.0))),
    "an exponential beyond float64": lambda x: x * exp(1000.0),
    "a product beyond float64": lambda x: x * (tanh(1.0) * 1e308 * 1e308),
    "a NaN among numbers": lambda x: maximum(maximum(1.0, math.nan), x),
}


def step_of(expression: Callable) -> Callable:
    def step(x, h):
        return Next(h=h, output=expression(x))

    return step


@pytest.mark.parametrize("name", SAME)
def test_a_rule_leads_to_the_simplest_form(name: str):
    written, simplest = (unsimplified(step_of(expression), 4, 1) for expression in SAME[name])
    assert show(simplify(written)) == show(simplest)
    assert len(written.nodes) > len(simplest.nodes) or name in NO_SHORTER
    tensors = drawn(written, [3])
    assert_near(
        run(simplify(written), tensors, [3], "reference"), run(written, tensors, [3], "reference"), torch.float64
    )


@pytest.mark.parametrize("name", KEPT)
def test_what_is_not_exact_stays(name: str):
    written = unsimplified(step_of(KEPT[name]), 4, 1)
    tensors = drawn(written, [3])
    tensors[0][0, 0] = torch.nan
    for target in GENERAL:
        expected = run(written, tensors, [3], "reference")
        assert_near(run(simplify(written), tensors, [3], target), expected, torch.float64)


def test_x_times_zero_stays_in_the_graph():
    assert "mul" in {node.op for node in simplify(unsimplified(step_of(lambda x: x * 0.0), 4, 1)).nodes}


def test_every_rule_is_needed(monkeypatch: pytest.MonkeyPatch):
    graphs = [unsimplified(step_of(written), 4, 1) for written, _ in SAME.values()]
    whole = [show(simplify(graph)) for graph in graphs]
    for rule in RULES:
        monkeypatch.setattr("elman.compiler.simplify.RULES", tuple(other for other in RULES if other is not rule))
        assert [show(simplify(graph)) for graph in graphs] != whole, f"{rule.__name__} makes no difference"


def test_nodes_that_nothing_needs_are_left_out():
    def step(x, h):
        unused = sigmoid(affine("unused", x))
        return Next(h=concat(tanh(h), unused)[: h.size])

    simple = simplify(unsimplified(step, 3, 4))
    assert [node.op for node in simple.nodes] == ["input", "state", "tanh"]
