"""Every side of a case does the same work: it gives the same outputs and the same gradients."""

from collections.abc import Callable

import pytest
import torch

from elman.bench import arrays, layers, loops, modules
from elman.bench.cases import GATES, Case, parse
from elman.bench.run import peers_of
from elman.bench.work import Side, Work

# torch has no GRU that resets before the product: beside `gru` its layer is another cell.
ANOTHER_CELL = (modules.padded, modules.packed, modules.streaming, modules.streaming_cells)


def case_of(name: str) -> Case:
    case = parse(name)
    assert case is not None
    return case


def sides(case: Case) -> dict[str, Callable[[Work], Side]]:
    """The peers that compute the same numbers."""
    return {
        name: make
        for name, make in peers_of(case).items()
        if make is not layers.same_steps and not (case.cell == "gru" and make in ANOTHER_CELL)
    }


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("mode", ["forward", "forward+backward"])
@pytest.mark.parametrize("ragged", ["", "-ragged"])
def test_all_sides_agree_on_a_batch(cell: str, mode: str, ragged: str):
    work = Work(case_of(f"{cell}-b4-t7-i3-h5{ragged}-{mode}"))
    own = layers.side(work)
    outputs, gradients = own.run()
    assert own.flat(outputs).shape == (sum(work.case.lengths), 5)
    found = sides(work.case)
    assert "hand-written" in found
    assert ("hand-written, indexed" in found) == (not ragged)
    for name, make in found.items():
        other = make(work)
        other_outputs, other_gradients = other.run()
        torch.testing.assert_close(other.flat(other_outputs), own.flat(outputs), msg=name, rtol=1e-4, atol=1e-5)
        assert (other_gradients is None) == (mode == "forward")
        if gradients is not None:
            torch.testing.assert_close(
                other.flat(other_gradients[0]), own.flat(gradients[0]), msg=name, rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize("cell", GATES)
def test_all_sides_agree_step_by_step(cell: str):
    work = Work(case_of(f"{cell}-b1-t1-i3-h5-streaming"))
    made = {name: make(work) for name, make in {"elman": layers.streaming, **sides(work.case)}.items()}
    for _ in range(3):
        rows = {name: side.flat(side.run()[0]).clone() for name, side in made.items()}
        for name, row in rows.items():
            torch.testing.assert_close(row, rows["elman"], msg=name, rtol=1e-4, atol=1e-5)
    assert len(made) == (3 if cell == "gru" else 5)


def test_torch_gru_beside_gru_is_a_cell_of_the_same_size():
    work = Work(case_of("gru-b4-t7-i3-h5-ragged-forward+backward"))
    for make in (modules.padded, modules.packed):
        side = make(work)
        outputs, gradients = side.run()
        assert side.flat(outputs).shape == (sum(work.case.lengths), 5)
        assert side.flat(gradients[0]).shape == (sum(work.case.lengths), 3)


def test_the_batch_without_padding_has_as_many_steps_in_equal_lengths():
    work = Work(case_of("lstm-b5-t40-i3-h4-ragged-forward"))
    outputs, _ = layers.same_steps(work).run()
    assert outputs.total == sum(work.case.lengths)
    assert outputs.batch_size == 5
    assert int(outputs.lengths.max() - outputs.lengths.min()) <= 1


def test_jax_takes_part_where_it_is_installed(monkeypatch: pytest.MonkeyPatch):
    case = case_of("lstm-b4-t7-i3-h5-forward")
    for installed in (True, False):
        monkeypatch.setattr(arrays, "has_jax", lambda installed=installed: installed)
        assert ("jax.lax.scan" in peers_of(case)) == installed


def test_the_hand_written_loops_name_every_cell():
    assert set(loops.LOOPS) == set(layers.AFFINES) == set(GATES)
