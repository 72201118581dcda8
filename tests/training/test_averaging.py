"""Averages of the weights: against torch's ASGD, and against the algorithm of the paper typed out in NumPy."""

import numpy as np
import pytest
import torch
from helpers_training import trainer
from small_training import Signs, Words
from torch import Tensor, nn

from elman.errors import UsageError
from elman.settings import check_settings
from elman.tasks.task import Metric
from elman.training import TrainingSettings
from elman.training.averaging import WeightAverage, stops_improving

PLAIN = {"batch_size": 8, "optimizer": "sgd", "learning_rate": 0.3, "restore_best": False}


class Linear(nn.Module):
    """The sum over time of a linear map."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.map = nn.Linear(3, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.map(inputs.sum(1))


class Judged(Signs):
    """Judges with scores given beforehand, and keeps the weights that it was shown."""

    def __init__(self, model: nn.Module, losses: list[float], larger_is_better: bool = False):
        self.metric = Metric("score", larger_is_better)
        self._model, self._scores = model, [-loss if larger_is_better else loss for loss in losses]
        self.shown: list[np.ndarray] = []

    def scores(self, data):
        found, score = super().scores(data), 0.0
        if len(data) == 20:
            self.shown.append(weights(self._model))
            score = self._scores[len(self.shown) - 1]
        found.compute = lambda: {"loss": 1.0, "score": score}
        return found


class Watched(Linear):
    """Keeps its weights as they are before each step, in the order of the steps."""

    def __init__(self):
        super().__init__()
        self.seen: list[np.ndarray] = []

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.seen.append(weights(self))
        return super().forward(inputs)


def weights(model: nn.Module) -> np.ndarray:
    return np.concatenate([value.detach().double().numpy().ravel() for value in model.state_dict().values()])


@pytest.mark.parametrize("after", [0, 2])
def test_asgd_is_torchs(after: int):
    model, epochs, data = Linear(), 5, Words(40)
    trainer(None, PLAIN | {"epochs": epochs, "averaging": "asgd", "average_after": after}, network=model).run()
    judge, task = Watched(), Signs()
    steps_before = after * len(data.data) // 8
    # With lambd = 0 and alpha = 0 its steps are those of SGD; the first weights in its mean are those after t0 + 2.
    optimizer = torch.optim.ASGD(judge.parameters(), lr=0.3, lambd=0.0, alpha=0.0, t0=steps_before - 1)
    order: list[list[int]] = []

    class Recorded(Words):
        def examples(self, settings, *, shuffle=True):
            found = super().examples(settings, shuffle=shuffle)
            read = found.read
            found.read = lambda item: order.append(item) or read(item)
            return found

    trainer(None, PLAIN | {"epochs": epochs}, network=Linear(), train=Recorded(40)).run()
    examples = data.examples(TrainingSettings())
    for indices in order:
        optimizer.zero_grad()
        task.read(judge, examples.read(indices)).loss.backward()
        optimizer.step()
    wanted = np.concatenate([optimizer.state[value]["ax"].double().numpy().ravel() for value in judge.parameters()])
    np.testing.assert_allclose(weights(model), wanted, rtol=1e-5, atol=1e-6)


def nt_asgd(iterates: list[np.ndarray], losses: list[float], every: int, interval: int) -> tuple[list, np.ndarray]:
    """Algorithm 1, with the weights after each step given: what is judged at each check, and what it returns."""
    logs: list[float] = []
    judged, k, t, T = [], 0, 0, None
    while k < len(iterates) - 1:
        k += 1
        if k % every:
            continue
        judged.append(iterates[k] if T is None else np.mean(iterates[T : k + 1], 0))
        if T is None:
            v = losses[t]
            if t > interval and v > min(logs[: t - interval]):
                T = k
            logs.append(v)
            t += 1
    return judged, np.mean(iterates[T:], 0) if T is not None else iterates[-1]


LOSSES = {
    "triggered": [5.0, 4.0, 3.0, 3.5, 3.2, 3.1, 2.9, 2.8],
    "at the end": [5.0, 4.0, 3.0, 3.1, 2.9, 2.8, 2.7, 3.6],
    "never": [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0],
    "no number": [5.0, 4.0, 3.0, float("nan"), float("nan"), 2.0, 1.0, 0.5],
}


@pytest.mark.parametrize("larger_is_better", [False, True])
@pytest.mark.parametrize("interval", [1, 2, 6])
@pytest.mark.parametrize("losses", LOSSES.values(), ids=LOSSES)
def test_nt_asgd_is_the_algorithm_of_the_paper(losses: list[float], interval: int, larger_is_better: bool):
    model = Watched()
    task = Judged(model, losses, larger_is_better)
    settings = {"epochs": len(losses), "averaging": "nt-asgd", "nonmonotone_interval": interval}
    trainer(None, PLAIN | settings, network=model, task=task).run()
    final = weights(model)
    last = Watched()
    trainer(None, PLAIN | {"epochs": len(losses)}, network=last).run()
    iterates = [*last.seen, weights(last)]
    np.testing.assert_array_equal(model.seen, last.seen)
    worst = [np.inf if np.isnan(loss) else loss for loss in losses]
    judged, returned = nt_asgd(iterates, worst, every=5, interval=interval)
    np.testing.assert_allclose(task.shown, judged, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(final, returned, rtol=1e-5, atol=1e-6)


def test_the_trigger_compares_with_all_but_the_latest():
    assert not stops_improving([1.0], 1)
    assert not stops_improving([1.0, 2.0], 1)
    assert stops_improving([1.0, 2.0, 2.0], 1)
    assert not stops_improving([2.0, 1.0, 2.0], 1)
    assert stops_improving([2.0, 1.0, 2.0, 1.5], 1)
    assert not stops_improving([1.0, 1.0, 1.0, 1.0], 1)


def test_an_average_that_has_not_begun_is_the_model_itself():
    model = Linear()
    average = WeightAverage(model, lambda update: 1 / update, begun=False)
    before = weights(model)
    average.update()
    assert (average.tensors(), average.progress()) == ({}, {})
    with average.in_place():
        np.testing.assert_array_equal(weights(model), before)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"averaging": "asgd", "average_decay": 0.9}, "averaging, average_decay"),
        ({"averaging": "nt-asgd", "average_after": 2}, "averaging, average_after"),
        ({"average_after": 2}, "averaging, average_after"),
        ({"averaging": "asgd", "nonmonotone_interval": 2}, "averaging, nonmonotone_interval"),
        ({"averaging": "nt_asgd"}, "Did you mean `nt-asgd`"),
        ({"nonmonotone_interval": 0}, "greater than 0"),
    ],
)
def test_settings_of_averages_that_make_no_sense_are_refused(values: dict, said: str):
    with pytest.raises(UsageError, match=said):
        check_settings(TrainingSettings, values)


def test_nt_asgd_needs_a_validation_set():
    with pytest.raises(UsageError, match="nt-asgd begins by a validation set"):
        trainer(None, {"averaging": "nt-asgd"}, validation=None)
