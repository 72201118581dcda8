"""One-hot rows, embeddings, dense layers at every step, pooling, dropout over sequences, and the summary's table."""

import numpy as np
import pytest
import torch
from torch import nn

from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError, UsageError
from elman.nn import (
    LSTM,
    Attention,
    EachStep,
    Embedding,
    Flatten,
    OneHot,
    Pooling,
    Recurrent,
    SequenceDropout,
    SimpleRNN,
    summary,
)
from elman.nn.regularisers import drop_features


@pytest.fixture
def steps() -> Ragged:
    return Ragged(torch.randn(6, 3), [2, 0, 3, 1])


def test_one_hot_rows():
    rows = OneHot(5, zeros=2)(Ragged(torch.tensor([0, 1, 2, 4]), [3, 1]))
    assert rows.data.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert rows.lengths.tolist() == [3, 1]
    assert OneHot(5, zeros=2).output_size == 3


def test_one_hot_rows_are_nothing_learned_and_nothing_saved():
    layer = OneHot(4)
    assert list(layer.parameters()) == []
    assert layer.state_dict() == {}
    assert layer.double()(Ragged(torch.tensor([3]), [1])).data.dtype == torch.float64


def test_an_embedding_gives_its_rows_and_learns_those_it_gave():
    layer = Embedding(7, 3, zeros=2)
    assert layer.table.weight[:2].count_nonzero() == 0
    rows = layer(Ragged(torch.tensor([5, 5, 2]), [1, 0, 2]))
    assert torch.equal(rows.data, layer.table.weight[[5, 5, 2]])
    rows.data.sum().backward()
    assert layer.table.weight.grad[:, 0].tolist() == [0, 0, 1, 0, 0, 2, 0]


def test_each_step_goes_through_the_module_alone(steps):
    module = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    layer = EachStep(module)
    ragged = layer(steps)
    assert ragged.lengths.tolist() == steps.lengths.tolist()
    for row, result in zip(steps.data, ragged.data, strict=True):
        torch.testing.assert_close(result, module(row))
    dense = torch.randn(2, 4, 3)
    torch.testing.assert_close(layer(dense), module(dense))


def test_each_step_says_what_it_takes():
    with pytest.raises(ShapeError, match=r"got a tensor of shape \(5, 3\)") as error:
        EachStep(nn.Linear(3, 2))(torch.zeros(5, 3))
    assert "(batch, time, feature)" in str(error.value)


def test_attention_against_its_formula(steps):
    layer = Attention(3)
    found = layer(steps).detach().numpy()
    W, b = (parameter.detach().numpy() for parameter in layer.hidden.parameters())
    v = layer.score.weight.detach().numpy()[0]
    for sequence, rows in enumerate(one.numpy() for one in steps):
        if len(rows):
            energy = np.exp(np.tanh(rows @ W.T + b) @ v)
            np.testing.assert_allclose(found[sequence], energy / energy.sum() @ rows, rtol=1e-5, atol=1e-6)
        else:
            assert not found[sequence].any()


def test_attention_to_scores_beyond_the_range_of_exp(steps):
    layer = Attention(3)
    with torch.no_grad():
        layer.score.weight.fill_(1e4)
    found = layer(steps.replace(steps.data * 100).detach())
    assert found.isfinite().all()
    found.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


def test_attention_to_nothing_is_zeros():
    assert Attention(3)(Ragged(torch.zeros(0, 3), [0, 0])).tolist() == [[0, 0, 0]] * 2


def test_pooling_side_by_side(steps):
    last = torch.randn(4, 3)
    layer = Pooling(("last", "mean", "max", "sum", "attention", "flatten"), 3, max_length=3)
    rows = layer(steps, last)
    assert rows.shape == (4, layer.output_size) == (4, 5 * 3 + 9)
    torch.testing.assert_close(rows[:, :3], last)
    for sequence, one in enumerate(steps):
        means, largest, sums, flat = (
            rows[sequence, columns] for columns in (slice(3, 6), slice(6, 9), slice(9, 12), slice(15, 24))
        )
        full = len(one) > 0
        torch.testing.assert_close(means, one.mean(0) if full else torch.zeros(3))
        torch.testing.assert_close(largest, one.amax(0) if full else torch.zeros(3))
        torch.testing.assert_close(sums, one.sum(0))
        torch.testing.assert_close(flat, torch.cat([one.flatten(), torch.zeros(9 - one.numel())]))


def test_flatten_refuses_a_sequence_that_is_too_long(steps):
    with pytest.raises(ShapeError, match="at most 2 steps, got one of 3"):
        Flatten(2)(steps)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("average",), "got 'average'"),
        (("last", "flatten"), "Expected max_length for `flatten`"),
        ((), "Expected names of poolings"),
    ],
)
def test_poolings_that_do_not_exist_are_named(names, message):
    with pytest.raises(UsageError, match=message):
        Pooling(names, 3)


def test_dropped_features_are_the_same_at_all_steps_of_a_sequence():
    batch = Ragged(torch.ones(900, 50), [300, 0, 599, 1])
    dropped = batch.replace(drop_features(batch.data, batch, 0.25, training=True))
    for one in dropped:
        assert all(torch.equal(row, one[0]) for row in one)
    kept = torch.stack([one[0] for one in dropped if len(one)])
    assert not torch.equal(kept[0], kept[1])
    torch.testing.assert_close(kept.unique(), torch.tensor([0, 4 / 3]))


def test_the_share_that_is_dropped_and_the_mean_that_stays():
    batch = Ragged(torch.ones(4000, 20), [1] * 4000)
    data = drop_features(batch.data, batch, 0.25, training=True)
    assert (data == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert data.mean().item() == pytest.approx(1, abs=0.02)


def test_nothing_is_dropped_in_evaluation_or_with_probability_zero(steps):
    layer = SequenceDropout(0.5)
    assert not torch.equal(layer(steps).data, steps.data)
    assert torch.equal(layer.eval()(steps).data, steps.data)
    assert torch.equal(SequenceDropout(0.0)(steps).data, steps.data)
    assert repr(layer) == "SequenceDropout(probability=0.5)"


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = Embedding(10, 4)
        self.body = SimpleRNN(4, 5, bidirectional=True, num_layers=2)
        self.head = nn.Linear(10, 2)

    def forward(self, batch: Ragged) -> torch.Tensor:
        _, last = self.body(self.embedding(batch))
        return self.head(last.output)


def test_summary_has_a_row_for_each_layer_in_the_order_of_use():
    network = Network()
    table = summary(network, Ragged(torch.tensor([1, 2, 3]), [2, 1]))
    assert [(row.kind, row.shape, row.parameters) for row in table.rows] == [
        ("Embedding", "(batch, time, 4)", 40),
        ("simple_rnn(5, 2 layers, both ways)", "(batch, time, 10)", 2 * (4 + 5 + 1) * 5 + 2 * (10 + 5 + 1) * 5),
        ("Linear", "(batch, 2)", 22),
    ]
    assert table.parameters == sum(row.parameters for row in table.rows)
    assert str(table).splitlines()[-1].split() == ["total", "322"]
    assert network.training


def test_summary_of_pairs_of_a_dense_batch():
    table = summary(LSTM(3, 4, bidirectional=True, merge=None), torch.zeros(2, 5, 3))
    assert table.rows[0].shape == "(batch, time, 4) and (batch, time, 4)"
    assert table.rows[0].name == "(all)"


def test_summary_leaves_a_model_without_hooks():
    layer = Recurrent("lstm", 3, 4)
    summary(layer, torch.zeros(2, 5, 3))
    assert not layer._forward_hooks
