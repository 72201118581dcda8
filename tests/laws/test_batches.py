"""What a sequence gives does not depend on the batch it stands in."""

import torch

from elman import Ragged
from tests.laws.cases import (
    BUSY_CASES,
    CASES,
    Case,
    answer,
    at,
    every_cell,
    every_differentiable_target,
    every_dtype,
    every_target,
    make_batch,
    make_layer,
    make_state,
    over,
    rows,
)
from tests.laws.tolerances import assert_near


@every_cell
@every_target
@every_dtype
@over(CASES)
def test_a_sequence_gives_the_same_alone_and_in_a_batch(cell: str, target: str, dtype: torch.dtype, case: Case):
    layer = make_layer(cell, case, dtype, bidirectional=True, target=target)
    batch, state = make_batch(case, dtype), make_state(layer, case, dtype)
    steps, last = answer(layer, batch, state)
    together = Ragged(steps, batch.lengths)
    for place in range(batch.batch_size):
        alone, ends = answer(layer, batch.select([place]), state.select([place]))
        assert_near(alone, together[place], dtype)
        assert_near(ends, at(last, [place]), dtype)


@every_cell
@every_target
@every_dtype
@over(CASES)
def test_permuting_the_batch_permutes_the_answer(cell: str, target: str, dtype: torch.dtype, case: Case):
    layer = make_layer(cell, case, dtype, bidirectional=True, target=target)
    batch, state = make_batch(case, dtype), make_state(layer, case, dtype)
    order = torch.randperm(batch.batch_size, generator=torch.Generator().manual_seed(case.seed))
    steps, last = answer(layer, batch, state)
    permuted, ends = answer(layer, batch.select(order), state.select(order))
    assert_near(permuted, batch.replace(steps).select(order).data, dtype)
    assert_near(ends, at(last, order), dtype)


@every_cell
@every_target
@every_dtype
@over(CASES)
def test_an_empty_sequence_ends_where_it_starts_and_changes_nothing(
    cell: str, target: str, dtype: torch.dtype, case: Case
):
    layer = make_layer(cell, case, dtype, bidirectional=True, target=target)
    batch, state = make_batch(case, dtype), make_state(layer, case, dtype)
    steps, last = answer(layer, batch, state)
    empty = (batch.lengths == 0).nonzero().flatten()
    full = batch.lengths.nonzero().flatten()
    for name, tensor in at(last, empty).items():
        assert torch.equal(tensor, state.tensors[name][:, empty])
    without, ends = answer(layer, batch.select(full), state.select(full))
    assert_near(without, steps, dtype)
    assert_near(ends, at(last, full), dtype)


@every_cell
@every_target
@every_dtype
@over(BUSY_CASES)
def test_a_nan_stays_in_its_sequence(cell: str, target: str, dtype: torch.dtype, case: Case):
    layer = make_layer(cell, case, dtype, bidirectional=True, target=target)
    batch = make_batch(case, dtype)
    spoiled = int(batch.lengths.argmax())
    data = batch.data.clone()
    data[int(batch.offsets[spoiled])] = torch.nan
    clean, last = answer(layer, batch)
    steps, ends = answer(layer, batch.replace(data))
    others = batch.sequence_index() != spoiled
    kept = [place for place in range(batch.batch_size) if place != spoiled]
    assert_near(steps[others], clean[others], dtype)
    assert_near(at(ends, kept), at(last, kept), dtype)
    assert clean.isfinite().all()
    assert steps[~others].isnan().any(-1).all()
    assert all(tensor.isnan().any() for tensor in at(ends, [spoiled]).values())


@every_cell
@every_differentiable_target
@every_dtype
@over(BUSY_CASES, examples=4)
def test_a_nan_stays_in_its_sequence_in_the_gradient_of_the_input(
    cell: str, target: str, dtype: torch.dtype, case: Case
):
    layer = make_layer(cell, case, dtype, target=target)
    batch = make_batch(case, dtype)
    spoiled = int(batch.lengths.argmax())
    others = batch.sequence_index() != spoiled

    def gradient(data: torch.Tensor) -> torch.Tensor:
        leaf = data.clone().requires_grad_()
        steps, _ = layer(batch.replace(leaf))
        weights = rows(case, *steps.data.shape, dtype=dtype, draw=3)
        return torch.autograd.grad((steps.data * weights).sum(), leaf)[0]

    data = batch.data.clone()
    data[int(batch.offsets[spoiled])] = torch.nan
    assert_near(gradient(data)[others], gradient(batch.data)[others], dtype)
