"""`elman fuzz`."""

import pytest

from elman.compiler import dispatch


def test_right_cells_end_well(elman):
    done = elman("fuzz", "--count", "2", "--seed", "11", "--json")
    assert done.code == 0
    assert {name: done.json[name] for name in ("count", "not_compared", "seed", "failures")} == {
        "count": 2,
        "not_compared": {},
        "seed": 11,
        "failures": [],
    }
    assert "1 cells from seed 11" in elman("fuzz", "--seed", "11", "--minutes", "0").out


def test_a_wrong_cell_is_shown_and_ends_with_1(elman, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object, **__: object) -> None:
        raise KeyError("lost")

    monkeypatch.setitem(dispatch.TARGETS, "llvm", dispatch.Target(broken))
    done = elman("fuzz", "--count", "1", "--seed", "5", "--json")
    assert done.code == 1
    assert done.json["failures"][0]["seed"] == 5
    assert "elman fuzz --seed 5 --count 1" in done.err
    assert "step5(" in done.err
