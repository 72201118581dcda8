"""Mistakes in what a step draws, and in zoneout, each with its place and its repair."""

from typing import Any

import pytest

from elman import CELLS, Next, affine, bernoulli, cell, dropout, tanh, zoneout
from elman.errors import CellError, UsageError


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda h: bernoulli("m", 1.5), "drawn with probability 1.5"),
        (lambda h: bernoulli("m", "half"), "drawn with probability 'half'"),  # type: ignore[arg-type]
        (lambda h: bernoulli("m", True), "drawn with probability True"),
        (lambda h: bernoulli("m", float("nan")), "drawn with probability nan"),
        (lambda h: bernoulli("m", 0.5, per="word"), "drawn per 'word'"),  # type: ignore[arg-type]
        (lambda h: bernoulli("m", 0.5, size=0), "size 0"),
        (lambda h: bernoulli("a mask", 0.5), "cannot name parameters"),
        (lambda h: bernoulli("m", 0.5) * bernoulli("m", 0.25), "`m` is used for two draws"),
        (lambda h: bernoulli("m", 0.5) * bernoulli("m", 0.5), "`m` is used for two draws"),
        (lambda h: dropout("m", h, 1.0), "drops with probability 1.0"),
        (lambda h: dropout("m", 3.0, 0.5), "`dropout` takes values of the step"),  # type: ignore[arg-type]
    ],
)
def test_a_draw_that_makes_no_sense_is_told_where_it_stands(draw: Any, message: str):
    @cell
    def drawing(x, h):
        return tanh(affine("hidden", x, h)) * draw(h)

    with pytest.raises(CellError, match=message) as error:
        drawing.trace(2, 3)
    assert "test_draws.py" in str(error.value)


@pytest.mark.parametrize(
    ("probability", "message"),
    [
        (1.5, "zoneout of `h` is 1.5"),
        ({"c": -0.1}, "zoneout of `c` is -0.1"),
        ({"k": 0.1}, r"(?s)no state `k`.*Valid: c, h"),
        (True, "zoneout of `h` is True"),
    ],
)
def test_a_zoneout_that_makes_no_sense_is_refused(probability: Any, message: str):
    with pytest.raises(UsageError, match=message):
        zoneout(CELLS["lstm"], probability)


def test_a_mistake_of_the_cell_inside_is_told_as_its_own():
    @cell
    def forgetful(x, h, c):
        return Next(h=tanh(affine("hidden", x, h)))

    @cell
    def nothing(x, h):
        affine("hidden", x, h)

    with pytest.raises(CellError, match="gives no next value for `c`") as error:
        zoneout(forgetful, 0.5).trace(2, 3)
    assert "return Next(h=tanh" in str(error.value)
    with pytest.raises(CellError, match="got None"):
        zoneout(nothing, 0.5).trace(2, 3)
