import json
import warnings

import pytest
import torch
from helpers_training import EVERYTHING, PLAIN, At, nothing, same, trainer, weights
from small_training import Net, Signs, Words
from torch import nn

from elman.errors import TrainingError
from elman.training import TrainingSettings, evaluate


def test_a_model_learns_and_the_history_says_so():
    model = Net()
    history = trainer(None, PLAIN | {"epochs": 40, "learning_rate": 0.02}, network=model).run()
    assert [record.epoch for record in history.epochs] == list(range(1, 41))
    assert history.epochs[-1].loss < 0.6 * history.epochs[0].loss
    best = history.epochs[(history.best_epoch or 0) - 1].validation
    data = Words(20, seed=9).examples(TrainingSettings(), shuffle=False)
    assert evaluate(model, Signs(), data) == pytest.approx(best)
    assert best is not None
    assert best["accuracy"] > 0.7


def test_a_listener_hears_every_minibatch_and_epoch():
    listener = At(nothing)
    history = trainer(None, PLAIN, listener).run()
    assert [(event.epoch, event.batch, event.batches) for event in listener.events] == [
        (epoch, batch, 3) for epoch in (1, 2) for batch in (1, 2, 3)
    ]
    assert sum(event.sequences for event in listener.events) == 2 * 40
    assert sum(event.tokens for event in listener.events) == 2 * sum(Words(40).lengths)
    assert [event.record for event in listener.epochs] == history.epochs
    assert listener.finished == [history]
    first = listener.events[:3]
    assert history.epochs[0].loss == pytest.approx(sum(event.loss * event.targets for event in first) / 40)
    assert history.epochs[0].metric == pytest.approx(sum(event.metric * event.targets for event in first) / 40)


def test_the_learning_rate_of_each_minibatch_is_the_schedule_s():
    listener = At(nothing)
    trainer(None, PLAIN | {"schedule": "linear", "learning_rate": 0.6}, listener).run()
    assert [event.learning_rate for event in listener.events] == pytest.approx([0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer(None, PLAIN).run()
    assert list(tmp_path.iterdir()) == []


def test_the_log_has_each_report_and_each_epoch(tmp_path):
    history = trainer(tmp_path / "new" / "folder", PLAIN | {"report_every": 2}).run()
    rows = [json.loads(line) for line in (tmp_path / "new" / "folder" / "log.jsonl").read_text().splitlines()]
    assert [(row["kind"], row["epoch"], row.get("first"), row.get("last")) for row in rows] == [
        (kind, epoch, first, last)
        for epoch in (1, 2)
        for kind, first, last in (("batches", 1, 2), ("batches", 3, 3), ("epoch", None, None))
    ]
    assert rows[2]["validation"] == history.epochs[0].validation
    assert {"loss", "metric", "learning_rate", "sequences_per_second", "tokens_per_second", "seconds"} <= rows[0].keys()


def test_the_seed_alone_decides_what_is_random_and_the_caller_s_generator_is_left_alone():
    ends = []
    for callers, seed in ((1, 0), (2, 0), (1, 5)):
        torch.manual_seed(callers)
        before, model = torch.get_rng_state(), Net()
        trainer(None, PLAIN | {"seed": seed}, network=model).run()
        assert torch.equal(torch.get_rng_state(), before)
        ends.append(weights(model))
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])


class Drawing(Signs):
    """A task whose evaluation draws random numbers."""

    def read(self, network, batch, state=None):
        if not network.training:
            torch.rand(7)
        return super().read(network, batch, state)


def test_a_validation_set_changes_nothing_in_what_is_learned():
    ends = []
    for validation in (None, Words(20, seed=9)):
        model = Net()
        trainer(None, PLAIN | {"restore_best": False}, network=model, task=Drawing(), validation=validation).run()
        ends.append(weights(model))
    assert same(*ends)


class Scripted(Signs):
    """A task whose validation scores are given beforehand: accuracy, loss."""

    def __init__(self, *scores: tuple[float, float]):
        self._scores = list(scores)

    def scores(self, data):
        if len(data) == 40:
            return super().scores(data)
        accuracy, loss = self._scores.pop(0)
        found = super().scores(data)
        found.compute = lambda: {"accuracy": accuracy, "loss": loss}
        return found


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([(0.5, 1), (0.7, 1), (0.6, 1), (0.7, 1)], 2),
        ([(0.5, 1), (0.6, 1), (0.7, 1), (0.7, 0.9), (0.1, 0.1), (0.7, 0.9)], 4),
        ([(0.5, 1), (float("nan"), 0), (0.4, 1)], 1),
    ],
)
def test_early_stopping_restores_the_weights_of_the_best_epoch(scores, best):
    model, at_epochs = Net(), []
    listener = At(nothing)
    listener.epoch = lambda event: at_epochs.append((weights(model), event.is_best))
    settings = PLAIN | {"epochs": 50, "patience": 2}
    history = trainer(None, settings, listener, network=model, task=Scripted(*scores)).run()
    assert history.stopped_early
    assert len(history.epochs) == len(scores)
    assert history.best_epoch == best
    assert same(weights(model), at_epochs[best - 1][0])
    assert at_epochs[best - 1][1]
    assert not any(is_best for _, is_best in at_epochs[best:])


def test_without_restoring_the_last_weights_stay():
    model, last = Net(), []
    listener = At(nothing)
    listener.epoch = lambda _event: last.append(weights(model))
    settings = PLAIN | {"restore_best": False}
    trainer(None, settings, listener, network=model, task=Scripted((0.9, 1), (0.1, 1))).run()
    assert same(weights(model), last[-1])


def test_the_average_follows_its_formula_and_is_what_is_judged_and_kept():
    model, seen, expected = Net(), [], {}
    averaged = [name for name, _ in model.named_parameters()]
    expected = {name: tensor.clone() for name, tensor in model.named_parameters()}
    listener = At(nothing)

    def follow(event):
        step = (event.epoch - 1) * 3 + event.batch
        decay = min(0.5, step / (step + 9))
        for name, parameter in model.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * parameter.detach()

    class Watching(Signs):
        def scores(self, data):
            if len(data) == 20:
                seen.append(weights(model))
            return super().scores(data)

    listener.batch = follow
    settings = PLAIN | {"epochs": 6, "average_decay": 0.5, "restore_best": False, "learning_rate": 0.05}
    trainer(None, settings, listener, network=model, task=Watching()).run()
    for name in averaged:
        torch.testing.assert_close(model.state_dict()[name], expected[name].detach())
        assert torch.equal(seen[-1][name], model.state_dict()[name])


def test_a_long_gradient_is_clipped_to_its_norm():
    ends = {}
    for clip in (None, 1e-3, 1e6):
        model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
        with torch.no_grad():
            model[1].weight.fill_(0.1)
            model[1].bias.zero_()
        start = torch.cat([one.detach().flatten().clone() for one in model.parameters()])
        settings = {"epochs": 1, "batch_size": 10, "optimizer": "sgd", "learning_rate": 1.0, "clip_norm": clip}
        trainer(None, settings, network=model, train=Words(10, longest=1), validation=None).run()
        ends[clip] = torch.cat([one.detach().flatten() for one in model.parameters()]) - start
    assert ends[1e-3].norm().item() == pytest.approx(1e-3, rel=1e-3)
    assert torch.equal(ends[None], ends[1e6])
    torch.testing.assert_close(ends[1e-3] / ends[1e-3].norm(), ends[None] / ends[None].norm(), rtol=1e-3, atol=1e-4)


def test_numbers_of_the_gradient_are_clipped_before_its_norm():
    ends = {}
    for value, norm in ((None, None), (1e-3, None), (1e-3, 1e-3)):
        model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
        with torch.no_grad():
            model[1].weight.fill_(0.1)
            model[1].bias.zero_()
        start = torch.cat([one.detach().flatten().clone() for one in model.parameters()])
        settings = {"epochs": 1, "batch_size": 10, "optimizer": "sgd", "learning_rate": 1.0}
        settings |= {"clip_value": value, "clip_norm": norm}
        trainer(None, settings, network=model, train=Words(10, longest=1), validation=None).run()
        ends[value, norm] = torch.cat([one.detach().flatten() for one in model.parameters()]) - start
    clipped = ends[None, None].clamp(-1e-3, 1e-3)
    assert (ends[None, None].abs() > 1e-3).any()
    torch.testing.assert_close(ends[1e-3, None], clipped, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(ends[1e-3, 1e-3], clipped * (1e-3 / clipped.norm()), rtol=1e-3, atol=1e-6)


class Exploding(Signs):
    """A loss that stops being a number, or whose gradient does, at one of its minibatches."""

    def __init__(self, at: int, gradient_only: bool):
        self._left = at
        self._gradient_only = gradient_only

    def loss(self, outputs, targets):
        self._left -= 1
        loss = super().loss(outputs, targets)
        if self._left:
            return loss
        # The square root has an infinite slope at 0, and 0 times infinity is no number.
        return loss + (outputs.sum() * 0).sqrt() if self._gradient_only else loss * float("nan")


@pytest.mark.parametrize(
    ("gradient_only", "said"), [(False, "The loss is nan"), (True, "The norm of the gradient is nan")]
)
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_loss_that_is_no_number_leaves_the_weights_and_the_checkpoint(tmp_path, gradient_only, said, clip_norm):
    model, before = Net(), []
    listener = At(nothing)
    listener.batch = lambda _event: before.append({name: one.clone() for name, one in model.named_parameters()})
    settings = PLAIN | {"clip_norm": clip_norm}
    with pytest.raises(TrainingError, match=said) as caught:
        trainer(tmp_path, settings, listener, network=model, task=Exploding(5, gradient_only), validation=None).run()
    assert caught.value.where == "epoch 2, minibatch 2 of 3"
    assert "learning rate" in str(caught.value.fix)
    assert "the last checkpoint is kept" in str(caught.value.fix)
    assert len(before) == 4
    assert same(dict(model.named_parameters()), before[-1])
    history = trainer(tmp_path, settings, network=Net(), validation=None).run(resume=True)
    assert len(history.epochs) == 2


def test_a_learning_rate_that_is_far_too_high_ends_in_one_message():
    settings = {"epochs": 50, "batch_size": 8, "optimizer": "sgd", "learning_rate": 1e30, "momentum": 0.9}
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 8), nn.Linear(8, 2))
    with pytest.raises(TrainingError, match="not finite") as caught:
        trainer(None, settings, network=model, train=Words(40, longest=1), validation=None).run()
    assert "checkpoint" not in str(caught.value)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


class Sometimes(Signs):
    """A task whose minibatches may have no targets."""

    def count(self, targets):
        return 0 if 0 in targets else super().count(targets)

    def loss(self, outputs, targets):
        return super().loss(outputs, targets) * (1.0 if self.count(targets) else float("nan"))


def test_a_minibatch_without_targets_is_passed_over():
    listener = At(nothing)
    history = trainer(None, {"epochs": 1, "batch_size": 4}, listener, task=Sometimes(), validation=None).run()
    assert 0 in [event.targets for event in listener.events]
    assert history.epochs[0].loss >= 0.0


def test_batches_by_tokens():
    listener = At(nothing)
    trainer(None, {"epochs": 1, "tokens_per_batch": 30}, listener).run()
    assert all(event.tokens <= 30 for event in listener.events)
    assert sum(event.sequences for event in listener.events) == 40


def test_evaluation_leaves_the_mode_and_takes_every_example_once():
    model, counted = Net().train(), []

    class Counting(Signs):
        def read(self, network, batch, state=None):
            counted.append((torch.is_inference_mode_enabled(), model.training))
            positive.append(batch["targets"])
            return super().read(network, batch, state)

    data = Words(23)
    for size in ({"batch_size": 1}, {"tokens_per_batch": 5}, {"batch_size": 100, "bucketing": False}):
        positive = []
        evaluate(model, Counting(), data.examples(TrainingSettings(**size), shuffle=False))
        assert len(torch.cat(positive)) == 23
        assert torch.cat(positive).sum() == data.targets.sum()
    assert set(counted) == {(True, False)}
    assert model.training


def test_training_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer(None, EVERYTHING).run()
