"""States and ragged batches as nodes of torch's trees of tensors, which its transformations walk."""

from typing import Any

import torch
from torch.utils import _pytree as pytree

from elman.data.ragged.ragged import Ragged
from elman.nn import LSTM, Recurrent, State


def run(bidirectional: bool = True) -> tuple[Ragged, State]:
    batch = Ragged(torch.randn(5, 3), [3, 0, 2])
    return LSTM(3, 4, bidirectional=bidirectional, merge=None if bidirectional else "concat")(batch)


def test_a_state_is_taken_apart_and_put_together():
    _, last = run()
    last.attached["tokens"] = torch.tensor([1, 2, 3])
    leaves, spec = pytree.tree_flatten(last)
    # h, c, what is attached, and the pair of outputs.
    assert [tuple(leaf.shape) for leaf in leaves] == [(2, 3, 4), (2, 3, 4), (3,), (3, 4), (3, 4)]
    other = pytree.tree_unflatten(leaves, spec)
    assert isinstance(other, State)
    assert other.names == ("h", "c")
    assert other.bidirectional
    assert other.h is not None
    assert torch.equal(other.layer(0, backward=True).c, last.layer(0, backward=True).c)
    assert other.attached["tokens"] is last.attached["tokens"]
    assert all(a is b for a, b in zip(other.output, last.output, strict=True))
    keys = [pytree.keystr(path) for path, _ in pytree.tree_flatten_with_path(last)[0]]
    assert keys == [".h", ".c", ".tokens", ".output[0]", ".output[1]"]


def test_a_state_without_an_output_keeps_its_shape():
    state = Recurrent("gru", 3, 4).zero_state(2)
    doubled = pytree.tree_map(lambda leaf: leaf + 1, state)
    assert doubled.output is None
    assert torch.equal(doubled.h, state.h + 1)
    assert pytree.tree_map(lambda leaf: "text", state).tensors == {"h": "text"}


def test_a_batch_is_taken_apart_and_put_together():
    steps, _ = run(bidirectional=False)
    leaves, spec = pytree.tree_flatten(steps)
    assert len(leaves) == 1
    assert leaves[0] is steps.data
    doubled = pytree.tree_map(lambda leaf: 2 * leaf, steps)
    assert isinstance(doubled, Ragged)
    assert doubled.lengths.tolist() == [3, 0, 2]
    assert torch.equal(doubled.data, 2 * steps.data)
    assert pytree.tree_map(lambda leaf: None, steps).data is None
    assert spec == pytree.tree_structure(Ragged(torch.zeros(5), [3, 0, 2]))
    assert spec != pytree.tree_structure(Ragged(torch.zeros(5), [3, 2, 0]))


def test_two_trees_are_walked_side_by_side():
    (first, one), (second, two) = run(), run()
    _, total = pytree.tree_map(torch.add, (first, one), (second, two))
    assert torch.equal(total.c, one.c + two.c)


def test_the_form_of_a_tree_is_written_and_read():
    for tree in (run(), run(bidirectional=False), Recurrent("gru", 3, 4).zero_state(2)):
        spec = pytree.tree_structure(tree)
        assert pytree.treespec_loads(pytree.treespec_dumps(spec)) == spec


def test_gradients_by_function_with_the_state_beside():
    layer = LSTM(3, 4)
    inputs = torch.randn(2, 5, 3)
    weights = dict(layer.named_parameters())

    def loss(weights: Any) -> tuple[torch.Tensor, Any]:
        steps, last = torch.func.functional_call(layer, weights, (inputs,))
        return steps.square().sum() + last.c.sum(), (steps, last)

    gradients, (steps, last) = torch.func.grad(loss, has_aux=True)(weights)
    expected, end = layer(inputs)
    wanted = torch.autograd.grad(expected.square().sum() + end.c.sum(), list(layer.parameters()))
    assert isinstance(last, State)
    torch.testing.assert_close(steps, expected)
    torch.testing.assert_close(last.c, end.c)
    for found, value in zip(gradients.values(), wanted, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-4, atol=1e-5)


def test_a_function_may_be_transformed_by_its_state_and_its_batch():
    layer = LSTM(3, 4)
    batch, state = Ragged(torch.randn(5, 3), [3, 0, 2]), layer.zero_state(3)

    def run(batch: Ragged, state: State) -> tuple[Ragged, State]:
        return layer(batch, state)

    (steps, last), pull = torch.func.vjp(run, batch, state)
    to_batch, to_state = pull((pytree.tree_map(torch.ones_like, steps), pytree.tree_map(torch.zeros_like, last)))
    assert isinstance(to_batch, Ragged)
    assert isinstance(to_state, State)
    data = batch.data.clone().requires_grad_()
    expected = torch.autograd.grad(layer(batch.replace(data))[0].data.sum(), data)[0]
    torch.testing.assert_close(to_batch.data, expected, rtol=1e-4, atol=1e-5)
    assert to_state.c.shape == state.c.shape
