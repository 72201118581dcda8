"""Each regulariser does what it claims: the same where it says so, right on average, nothing in evaluation."""

import numpy as np
import pytest
import torch
from torch import Tensor

from elman import CELLS, Next, Ragged, Recurrent, affine, bernoulli, cell, dropout, tanh, zoneout
from elman.errors import UsageError
from elman.nn import Embedding, SequenceDropout
from elman.nn.penalties import add_penalty, collected_penalties, read_each
from elman.nn.regularisers import ActivationRegulariser, drop_weights
from tests.laws.cases import every_cell, every_differentiable_target
from tests.laws.tolerances import assert_near

LENGTHS = [4, 0, 7, 1, 3]
SIGMAS = 5
RECURRENT_CELLS = [name for name in CELLS if CELLS[name].trace(3, 4).recurrent_matrices]

every_recurrent_cell = pytest.mark.parametrize("name", RECURRENT_CELLS)


def batch_of(features: int, lengths=LENGTHS, seed: int = 0, dtype=torch.float64) -> Ragged:
    generator = torch.Generator().manual_seed(seed)
    return Ragged(torch.randn(sum(lengths), features, generator=generator, dtype=dtype), lengths)


def assert_share(found: Tensor, probability: float) -> None:
    """The share of ones among independent draws, within some standard deviations of the binomial distribution."""
    deviation = (probability * (1 - probability) / found.numel()) ** 0.5
    assert abs(float(found.double().mean()) - probability) < SIGMAS * deviation


def assert_mean(samples: Tensor, wanted: Tensor) -> None:
    """The mean over the first axis, within some standard errors of each of its numbers."""
    error = samples.std(0) / len(samples) ** 0.5
    assert ((samples.mean(0) - wanted).abs() <= SIGMAS * error).all()


# Variational dropout


def test_outputs_and_the_last_of_them_lose_the_same_features():
    layer = SequenceDropout(0.5)
    steps, last = Ragged(torch.ones(7, 40), [3, 0, 4]), torch.ones(3, 40)
    torch.manual_seed(0)
    dropped, end = layer.with_last(steps, last)
    for rows, row in zip(dropped, end, strict=True):
        assert all(torch.equal(one, row) for one in rows)
    assert end.unique().tolist() == [0.0, 2.0]
    assert not torch.equal(end[0], end[2])
    assert layer.eval().with_last(steps, last) == (steps, last)


def test_each_part_of_a_sequence_that_is_read_in_parts_has_a_mask_of_its_own():
    torch.manual_seed(0)
    layer, part = SequenceDropout(0.5), torch.ones(2, 5, 40)
    first, second = layer(part), layer(part)
    for mask in (first, second):
        assert (mask == mask[:, :1]).all()
    assert not torch.equal(first, second)


# Embedding dropout


def test_a_dropped_token_is_zeros_wherever_it_stands_and_learns_nothing():
    torch.manual_seed(0)
    layer = Embedding(50, 3, row_dropout=0.4)
    ids = torch.arange(50).repeat(3)[torch.randperm(150)]
    rows = layer(Ragged(ids, [100, 0, 50])).data
    kept = torch.zeros(50, dtype=torch.bool)
    for token in range(50):
        here = rows[ids == token]
        assert (here == here[0]).all()
        kept[token] = here.any()
        assert_near(here[0], layer.table.weight[token] / 0.6 * kept[token], torch.float32)
    assert 0 < kept.sum() < 50
    rows.sum().backward()
    assert torch.equal(layer.table.weight.grad.any(1), kept)


def test_embedding_dropout_of_several_ids_a_step_is_that_of_each():
    torch.manual_seed(0)
    layer = Embedding(9, 4, row_dropout=0.5)
    ids = torch.randint(0, 9, (12, 3))
    torch.manual_seed(1)
    found = layer(Ragged(ids, [5, 7])).data
    torch.manual_seed(1)
    table = layer(Ragged(torch.arange(9), [9])).data.clone()
    table[0] = 0.0
    assert_near(found, table[ids].sum(1), torch.float32)


def test_embedding_dropout_keeps_the_mean_and_is_off_in_evaluation():
    layer = Embedding(20_000, 1, row_dropout=0.3)
    torch.nn.init.ones_(layer.table.weight)
    every = Ragged(torch.arange(20_000), [20_000])
    rows = layer(every).data
    assert_share(rows == 0, 0.3)
    assert_near(rows.unique(), torch.tensor([0, 1 / 0.7]), torch.float32)
    assert torch.equal(layer.eval()(every).data, layer.table.weight)


# Weight drop


def seeded_masks(layer: Recurrent, seed: int) -> list[dict[str, Tensor]]:
    """What weight drop multiplies the parameters of each layer with after this seed."""
    torch.manual_seed(seed)
    ones = lambda place: {name: torch.ones_like(value) for name, value in layer.weights(place).items()}  # noqa: E731
    graphs = [layer.cell.trace(*sizes) for sizes in layer.cell_sizes]
    return [drop_weights(graph, ones(place), layer.weight_drop, True) for place, graph in enumerate(graphs)]


@every_recurrent_cell
@every_differentiable_target
def test_weight_drop_is_the_layer_with_weights_missing_and_those_get_no_gradient(name: str, target: str):
    torch.manual_seed(3)
    layer = Recurrent(name, 3, 6, num_layers=2, weight_drop=0.5, target=target).double()
    judge = Recurrent(name, 3, 6, num_layers=2, target="eager").double()
    batch, before = batch_of(3), {key: value.clone() for key, value in layer.state_dict().items()}
    masks = seeded_masks(layer, 7)
    for place, mask in enumerate(masks):
        with torch.no_grad():
            for key, value in judge.weights(place).items():
                value.copy_(layer.weights(place)[key] * mask[key])
    torch.manual_seed(7)
    steps, _ = layer(batch)
    wanted, _ = judge(batch)
    assert_near(steps.data, wanted.data, torch.float64)
    steps.data.square().sum().backward()
    wanted.data.square().sum().backward()
    for place, mask in enumerate(masks):
        recurrent = layer.cell.trace(*layer.cell_sizes[place]).recurrent_matrices
        assert recurrent
        for key, value in layer.weights(place).items():
            is_dropped = mask[key] == 0
            assert is_dropped.any() == (key in recurrent)
            assert not value.grad[is_dropped].any()
            assert_near(value.grad, judge.weights(place)[key].grad * mask[key], torch.float64)
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())


@every_recurrent_cell
@torch.no_grad()
def test_weight_drop_is_off_in_evaluation_in_a_stream_and_with_probability_zero(name: str):
    torch.manual_seed(3)
    dropping, plain = Recurrent(name, 3, 6, weight_drop=0.5), Recurrent(name, 3, 6)
    plain.load_state_dict(dropping.state_dict(), strict=True)
    batch = batch_of(3, dtype=torch.float32)
    assert not torch.equal(dropping(batch)[0].data, plain(batch)[0].data)
    assert torch.equal(dropping.eval()(batch)[0].data, plain(batch)[0].data)
    one, other = dropping.train().stream(), plain.stream()
    for row in batch.data:
        assert torch.equal(one.step(row[None]), other.step(row[None]))
    torch.manual_seed(0)
    zero = Recurrent(name, 3, 6, weight_drop=0.0)
    zero.load_state_dict(plain.state_dict())
    generator = torch.get_rng_state()
    assert torch.equal(zero(batch)[0].data, plain(batch)[0].data)
    assert torch.equal(torch.get_rng_state(), generator)


def test_the_share_of_weights_that_is_dropped_and_the_mean_that_stays():
    layer = Recurrent("simple_rnn", 2, 300, weight_drop=0.2)
    (mask,) = seeded_masks(layer, 0)
    assert_share(mask["hidden/1"] == 0, 0.2)
    assert_near(mask["hidden/1"].unique(), torch.tensor([0, 1.25]), torch.float32)
    assert not torch.equal(mask["hidden/1"], seeded_masks(layer, 1)[0]["hidden/1"])


def test_only_matrices_through_which_a_state_reaches_a_later_one_are_dropped():
    @cell
    def projecting(x, h):
        read = tanh(affine("reader", h))
        h = tanh(affine("hidden", x, read))
        return Next(h=h, output=affine("output", h))

    assert set(projecting.trace(3, 4).recurrent_matrices) == {"reader/0", "hidden/1"}


def test_weight_drop_of_a_cell_without_recurrent_matrices_is_refused():
    with pytest.raises(UsageError, match=r"Expected a cell with a recurrent matrix.*`min_gru`"):
        Recurrent("min_gru", 3, 4, weight_drop=0.5)
    with pytest.raises(UsageError, match=r"Expected weight_drop to be a probability, got 1\.0"):
        Recurrent("lstm", 3, 4, weight_drop=1.0)


# Zoneout, and whatever else a step draws


@cell
def follow(x, h):
    """The state is the input; linear, so that its mean under zoneout is known."""
    return x + 0.0 * h


@pytest.mark.parametrize("target", ["llvm", "eager"])
@torch.no_grad()
def test_zoneout_leaves_a_share_of_the_states_and_others_at_each_step_and_sequence(target: str):
    torch.manual_seed(0)
    layer = Recurrent(zoneout(follow, 0.3), 8, 8, target=target)
    times = torch.arange(1.0, 201).view(1, 200, 1).expand(30, 200, 8)
    steps, last = layer(times)
    before = torch.cat([torch.zeros(30, 1, 8), steps[:, :-1]], 1)
    stays = steps == before
    assert (stays | (steps == times)).all()
    assert_share(stays, 0.3)
    assert len({tuple(row.flatten().tolist()) for row in stays}) == 30
    assert len({tuple(row.flatten().tolist()) for row in stays.transpose(0, 1)}) == 200
    assert torch.equal(last.h, steps[:, -1])


@torch.no_grad()
def test_the_mean_over_what_zoneout_draws_is_what_evaluation_gives():
    torch.manual_seed(0)
    layer = Recurrent(zoneout(follow, 0.4), 3, 3)
    one = batch_of(3, [6], dtype=torch.float32)
    many = Ragged(one.data.repeat(20_000, 1), [6] * 20_000)
    samples = layer(many)[0].data.view(20_000, 6, 3)
    assert_mean(samples, layer.eval()(one)[0].data)


@every_cell
@torch.no_grad()
def test_in_evaluation_and_in_a_stream_zoneout_is_its_expectation(cell: str):
    torch.manual_seed(0)
    layer = Recurrent(zoneout(CELLS[cell], 0.25), 3, 5, num_layers=2).double()
    judge = Recurrent(zoneout(CELLS[cell], 0.25), 3, 5, num_layers=2, target="reference").double().eval()
    judge.load_state_dict(layer.state_dict(), strict=True)
    batch = batch_of(3, [6])
    wanted = judge(batch)[0].data
    assert not torch.allclose(layer(batch)[0].data, wanted)
    stream = layer.stream()
    assert stream.target.target == Recurrent(CELLS[cell], 3, 5).double().stream().target.target
    assert_near(torch.cat([stream.step(row[None]) for row in batch.data]), wanted, torch.float64)
    assert_near(layer.eval()(batch)[0].data, wanted, torch.float64)


@torch.no_grad()
def test_a_stream_on_torchs_operations_draws_nothing_and_leaves_the_layer_in_training():
    torch.manual_seed(0)
    layer = Recurrent(zoneout(CELLS["lstm"], 0.5), 3, 5, num_layers=2, dropout=0.5, target="eager")
    data = torch.randn(1, 4, 3)
    stream = layer.stream()
    steps = torch.stack([stream.step(data[:, time]) for time in range(4)], 1)
    assert layer.training
    assert_near(steps, layer.eval()(data)[0], torch.float32)


@torch.no_grad()
def test_what_is_drawn_per_sequence_is_the_same_at_all_its_steps():
    @cell
    def masked(x, h):
        return dropout("mask", x + 0.0 * h, 0.25, per="sequence")

    torch.manual_seed(0)
    layer = Recurrent(masked, 2, 2)
    steps, _ = layer(torch.ones(10_000, 3, 2))
    assert (steps == steps[:, :1]).all()
    assert_near(steps.unique(), torch.tensor([0.0, 4 / 3]), torch.float32)
    assert_share(steps[:, 0] == 0, 0.25)
    assert torch.equal(layer.eval()(torch.ones(2, 3, 2))[0], torch.ones(2, 3, 2))


@torch.no_grad()
def test_dropout_of_the_candidate_is_anew_at_each_step_and_right_on_average():
    """With gates that are 1 and a candidate that is linear, an LSTM's memory is the sum of what is kept."""
    torch.manual_seed(0)
    options = {"activation": "linear", "recurrent_activation": "linear", "candidate_dropout": 0.4}
    layer = Recurrent(CELLS["lstm"].with_options(**options), 1, 50)
    for name, value in layer.weights().items():
        value.fill_(1.0 if name.endswith("bias") else 0.0)
    steps, last = layer(torch.zeros(500, 9, 1))
    kept = torch.cat([last.c.new_zeros(500, 1, 50), steps], 1).diff(dim=1) * 0.6
    assert_near(kept.round().unique(), torch.tensor([0.0, 1.0]), torch.float32)
    assert_share(kept.round() == 0, 0.4)
    assert_near(layer.eval()(torch.zeros(1, 9, 1))[1].c, torch.full((1, 50), 9.0), torch.float32)


def test_two_draws_of_the_same_step_are_independent():
    @cell
    def pair(x, h):
        return Next(h=h + x, output=bernoulli("a", 0.5, size=1) * 2.0 + bernoulli("b", 0.5, size=1))

    torch.manual_seed(0)
    found, _ = Recurrent(pair, 1, 1)(torch.zeros(1, 20_000, 1))
    for value in range(4):
        assert_share(found == value, 0.25)


@every_cell
def test_drawn_layers_repeat_with_the_seed_and_both_ways_have_masks_of_their_own(cell: str):
    layer = Recurrent(zoneout(CELLS[cell], 0.5), 3, 4, bidirectional=True)
    batch = batch_of(3, dtype=torch.float32)
    torch.manual_seed(1)
    first = layer(batch)[0].data
    torch.manual_seed(1)
    assert torch.equal(layer(batch)[0].data, first)
    assert not torch.equal(layer(batch)[0].data, first)


# AR and TAR


def formula(activation: float, temporal: float, sequences: list[np.ndarray], dropped: list[np.ndarray]) -> float:
    squares = np.concatenate([one.ravel() ** 2 for one in dropped])
    changes = np.concatenate([((one[1:] - one[:-1]) ** 2).ravel() for one in sequences])
    return activation * squares.mean() + temporal * changes.mean()


@pytest.mark.parametrize(("activation", "temporal"), [(2.0, 1.0), (0.5, 0.0), (0.0, 3.0)])
def test_activation_regularisation_is_its_formula_on_sequences_of_any_length(activation: float, temporal: float):
    steps, dropped = batch_of(6), batch_of(6, seed=1)
    layer = ActivationRegulariser(activation, temporal)
    with collected_penalties() as penalties:
        assert layer(steps, dropped) is dropped
    arrays = [[one.numpy() for one in batch] for batch in (steps, dropped)]
    assert float(penalties[0]) == pytest.approx(formula(activation, temporal, *arrays), rel=1e-12)


def test_slowness_does_not_look_from_one_sequence_to_the_next():
    flat = Ragged(torch.tensor([[1.0], [1.0], [-5.0], [9.0], [9.0]]), [2, 0, 1, 2])
    layer = ActivationRegulariser(0.0, 1.0)
    assert float(layer.penalty(flat, flat)) == 0.0
    one = Ragged(flat.data, [5])
    assert float(layer.penalty(one, one)) == pytest.approx((36 + 196) / 4)


@pytest.mark.parametrize("lengths", [[], [0, 0], [1, 1]])
def test_nothing_is_no_penalty(lengths: list[int]):
    batch = Ragged(torch.ones(sum(lengths), 3, requires_grad=True), lengths)
    penalty = ActivationRegulariser(0.0, 1.0).penalty(batch, batch)
    assert penalty.item() == 0.0
    penalty.backward()
    assert not batch.data.grad.any()


def test_the_penalties_gradients_are_those_of_differences():
    data = batch_of(2).data.requires_grad_()
    layer = ActivationRegulariser(2.0, 1.0)
    whole = lambda values: layer.penalty(Ragged(values, LENGTHS), Ragged(values, LENGTHS))  # noqa: E731
    assert torch.autograd.gradcheck(whole, data)


def test_penalties_are_added_in_training_only_and_to_the_innermost_who_asks():
    batch, layer = batch_of(2), ActivationRegulariser(1.0, 1.0)
    layer(batch, batch)
    with collected_penalties() as outer:
        layer.eval()(batch, batch)
        assert outer == []
        with collected_penalties() as inner:
            layer.train()(batch, batch)
        assert (len(inner), len(outer)) == (1, 0)
        add_penalty(torch.tensor(1.0))
    assert len(outer) == 1


def test_networks_that_are_read_side_by_side_add_the_mean_of_their_penalties():
    batch, other = batch_of(2), batch_of(2, seed=1)
    layers = [ActivationRegulariser(activation, 0.0) for activation in (1.0, 2.0)]
    with collected_penalties() as found:
        assert read_each(layers, lambda layer: layer(batch, other)) == [other, other]
    alone = [float(layer.penalty(batch, other)) for layer in layers]
    assert sum(map(float, found)) == pytest.approx(sum(alone) / 2)
