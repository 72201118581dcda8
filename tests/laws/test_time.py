"""Time can be cut and turned round."""

import torch
from torch import Tensor

from elman import Ragged, State
from tests.laws.cases import (
    CASES,
    Case,
    answer,
    every_cell,
    every_dtype,
    every_target,
    make_batch,
    make_layer,
    make_state,
    over,
)
from tests.laws.tolerances import assert_near


@every_cell
@every_target
@every_dtype
@over(CASES)
@torch.no_grad()
def test_step_by_step_gives_what_all_at_once_gives(cell: str, target: str, dtype: torch.dtype, case: Case):
    layer = make_layer(cell, case, dtype, num_layers=2, target=target)
    batch, state = make_batch(case, dtype), make_state(layer, case, dtype)
    whole, last = answer(layer, batch, state)
    given: list[list[Tensor]] = [[] for _ in case.lengths]
    for time in range(batch.longest):
        running = (batch.lengths > time).long()
        index = batch.offsets[:-1][running > 0] + time
        steps, state = layer(Ragged(batch.data[index], running), state)
        for place, output in zip(running.nonzero().flatten().tolist(), steps.data, strict=True):
            given[place].append(output)
    flat = [output for outputs in given for output in outputs]
    assert_near(torch.stack(flat) if flat else whole, whole, dtype)
    assert_near(state.tensors, last, dtype)


@every_cell
@every_target
@every_dtype
@over(CASES)
def test_reading_backward_is_reading_the_reversed_sequence(cell: str, target: str, dtype: torch.dtype, case: Case):
    layer = make_layer(cell, case, dtype, bidirectional=True, target=target)
    batch, state = make_batch(case, dtype), make_state(layer, case, dtype)
    steps, last = answer(layer, batch, state)
    single = make_layer(cell, case, dtype, target=target)
    with torch.no_grad():
        for name, tensor in layer.weights(backward=True).items():
            single.weights()[name].copy_(tensor)
    one_way, ends = answer(single, batch.reverse(), state.layer(0, backward=True))
    assert_near(steps[:, layer.output_size // 2 :], batch.replace(one_way).reverse().data, dtype)
    assert_near({name: tensor[1:] for name, tensor in last.items()}, ends, dtype)


@every_cell
@every_target
@every_dtype
@over(CASES, examples=4)
def test_going_backwards_is_going_forward_through_the_reversed_sequence(
    cell: str, target: str, dtype: torch.dtype, case: Case
):
    backwards = make_layer(cell, case, dtype, go_backwards=True, target=target)
    forwards = make_layer(cell, case, dtype, target=target)
    batch, state = make_batch(case, dtype), make_state(forwards, case, dtype)
    assert_near(answer(backwards, batch, state), answer(forwards, batch.reverse(), state), dtype)


@every_cell
@every_target
@every_dtype
@over(CASES, examples=4)
@torch.no_grad()
def test_a_stateful_layer_goes_on_from_its_own_last_state(cell: str, target: str, dtype: torch.dtype, case: Case):
    stateful = make_layer(cell, case, dtype, stateful=True, target=target)
    plain = make_layer(cell, case, dtype, target=target)
    batch = make_batch(case, dtype)
    first, state = plain(batch)
    second, _ = plain(batch, State(state.tensors))
    assert_near([stateful(batch)[0].data, stateful(batch)[0].data], [first.data, second.data], dtype)
    stateful.reset_state()
    assert_near(stateful(batch)[0].data, first.data, dtype)
