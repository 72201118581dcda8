"""Steps that read rows of a table by id give what the rows themselves give, and so do their gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from elman import CELLS, Next, Ragged, Recurrent, affine, cell, tanh
from elman.compiler.dispatch import TARGETS
from elman.compiler.targets.llvm.run import program
from elman.compiler.tolerances import TOLERANCES
from elman.errors import ShapeError
from elman.nn import recurrent, recurrent_inputs
from tests.laws.tolerances import assert_near

LENGTHS = [5, 0, 9, 1, 3]


def results(layer: Recurrent, read: Callable[[Tensor], tuple], table: Tensor) -> list[Tensor]:
    leaf = table.clone().requires_grad_()
    steps, last = read(leaf)
    values = [steps.data, *last.tensors.values()]
    loss = sum(
        (value * torch.linspace(-1, 1, value.numel(), dtype=value.dtype).view_as(value)).sum() for value in values
    )
    return [*values, *torch.autograd.grad(loss, [leaf, *layer.parameters()])]


def both(layer: Recurrent, ids: Ragged, table: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    by_id = results(layer, lambda rows: layer(ids, table=rows), table)
    return by_id, results(layer, lambda rows: layer(ids.replace(rows[ids.data])), table)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("target", [name for name in TARGETS if name != "reference"])
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("count", "size"), [(4, 3), (7, 17), (40, 5)])
def test_rows_by_id_are_the_rows(name: str, target: str, dtype: torch.dtype, count: int, size: int):
    torch.manual_seed(0)
    layer = Recurrent(name, size, 19, num_layers=2, bidirectional=True, target=target).to(dtype)
    ids = Ragged(torch.randint(0, count, (sum(LENGTHS),)), LENGTHS)
    for found, wanted in zip(*both(layer, ids, torch.randn(count, size, dtype=dtype)), strict=True):
        assert_near(found, wanted, dtype)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_steps_that_read_the_same_row_of_a_large_table_share_its_products(bidirectional: bool, monkeypatch):
    torch.manual_seed(0)
    taken = []

    def watched(ids: Tensor, table: Tensor) -> tuple[Tensor, Tensor | None]:
        taken.append(recurrent_inputs.rows_read(ids, table))
        return taken[-1]

    monkeypatch.setattr(recurrent, "rows_read", watched)
    layer = Recurrent("lstm", 4, 6, bidirectional=bidirectional)
    repeated, distinct = torch.tensor([90, 7, 90, 90, 7, 3, 3, 3, 90]), torch.randperm(100)[:9]
    for ids in (repeated, distinct):
        for found, wanted in zip(*both(layer, Ragged(ids, [4, 0, 5]), torch.randn(100, 4)), strict=True):
            assert_near(found, wanted, torch.float32)
    assert [(len(rows), ids is None) for rows, ids in taken] == [(3, False), (9, True)]


# The gradient of a table is computed with those of the matrices, which a reservoir does not have.
@pytest.mark.parametrize("name", [name for name in CELLS if name != "reservoir"])
def test_cells_make_their_products_once_for_each_id(name: str):
    assert program(CELLS[name].trace(3, 5), torch.float32).can_read_by_id


def test_a_cell_that_reads_its_input_otherwise_gets_rows():
    @cell
    def leaky(x, h):
        return Next(h=tanh(affine("hidden", h)) + x)

    layer = Recurrent(leaky, 5, 5)
    assert not program(leaky.trace(5, 5), torch.float32).can_read_by_id
    ids = Ragged(torch.tensor([0, 1, 1, 0, 2, 1]), [4, 2])
    for found, wanted in zip(*both(layer, ids, torch.randn(3, 5)), strict=True):
        assert_near(found, wanted, torch.float32)


def test_gradients_of_gradients_through_a_table():
    torch.manual_seed(1)
    layer = Recurrent("gru", 3, 4).double()
    ids = torch.tensor([[0, 1, 1, 0, 2], [2, 2, 0, 1, 0]])
    table = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda rows: layer(ids, None, rows)[0], [table])


def test_without_gradients():
    layer = Recurrent("lstm", 3, 4)
    ids, table = torch.randint(0, 4, (6, 7)), torch.randn(4, 3)
    with torch.no_grad():
        torch.testing.assert_close(layer(ids, table=table)[0], layer(table[ids])[0])


@pytest.mark.parametrize(
    ("ids", "table", "message"),
    [
        (torch.tensor([[0, 3]]), torch.zeros(3, 2), "the table has 3 rows, got ids from 0 to 3"),
        (torch.tensor([[-1, 1]]), torch.zeros(3, 2), "from -1 to 1"),
        (torch.tensor([[0.0, 1.0]]), torch.zeros(3, 2), "int64"),
        (torch.tensor([[0, 1]]), torch.zeros(3, 4), r"\(3, 4\)"),
        (torch.tensor([[0, 1]]), torch.zeros(3, 2, dtype=torch.float64), "float64"),
    ],
)
def test_ids_and_tables_that_do_not_fit(ids: Tensor, table: Tensor, message: str):
    with pytest.raises(ShapeError, match=message):
        Recurrent("gru", 2, 4)(ids, table=table)
