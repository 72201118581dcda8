"""What is saved gives, when it is loaded, the same answer."""

import copy

import torch
from safetensors.torch import load, save

from tests.laws.cases import (
    CASES,
    Case,
    answer,
    every_cell,
    every_dtype,
    every_target,
    make_batch,
    make_layer,
    over,
)


@every_cell
@every_target
@every_dtype
@over(CASES, examples=4)
def test_weights_saved_and_loaded_give_the_same_answer(cell: str, target: str, dtype: torch.dtype, case: Case):
    layer = make_layer(cell, case, dtype, num_layers=2, bidirectional=True, target=target)
    other = Case(case.lengths, case.input_size, case.hidden_size, case.seed + 1)
    loaded = make_layer(cell, other, dtype, num_layers=2, bidirectional=True, target=target)
    loaded.load_state_dict(load(save(layer.state_dict())), strict=True)
    batch = make_batch(case, dtype)
    assert torch.equal(answer(loaded, batch)[0], answer(layer, batch)[0])


@every_cell
@every_target
@every_dtype
@over(CASES, examples=4)
def test_weights_in_keras_order_give_the_same_answer(cell: str, target: str, dtype: torch.dtype, case: Case):
    layer = make_layer(cell, case, dtype, num_layers=2, bidirectional=True, target=target)
    other = Case(case.lengths, case.input_size, case.hidden_size, case.seed + 1)
    loaded = make_layer(cell, other, dtype, num_layers=2, bidirectional=True, target=target)
    loaded.set_weights(layer.get_weights())
    batch = make_batch(case, dtype)
    assert torch.equal(answer(loaded, batch)[0], answer(layer, batch)[0])


@every_cell
@every_target
@every_dtype
@over(CASES, examples=2)
def test_a_copied_layer_gives_the_same_answer(cell: str, target: str, dtype: torch.dtype, case: Case):
    layer = make_layer(cell, case, dtype, target=target)
    batch = make_batch(case, dtype)
    assert torch.equal(answer(copy.deepcopy(layer), batch)[0], answer(layer, batch)[0])
