"""Averages of the weights over the steps of a run: which kinds there are, and when they begin."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from elman.settings.training import RunSettings
from elman.training.record import History


class WeightAverage:
    """An average of the trained parameters, kept beside them.

    With update t (from 1, counted from where it began) it becomes `a + share(t) (w - a)`.

    Args:
        model: its parameters are followed.
        share: of the newest weights.
        begun: whether it begins with the first step; else when `begin` is called.
    """

    def __init__(self, model: nn.Module, share: Callable[[int], float], *, begun: bool):
        self._names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._averages: list[Tensor] = []
        self._share = share
        self._updates = 0
        self.begun = False
        if begun:
            self.begin()

    def begin(self) -> None:
        """Begin to average, from the parameters as they are now."""
        self._averages = [parameter.detach().clone() for parameter in self._parameters]
        self.begun = True

    @torch.no_grad()
    def update(self) -> None:
        """Count the parameters as they are now, if the average has begun."""
        if not self.begun:
            return
        self._updates += 1
        for average, parameter in zip(self._averages, self._parameters, strict=True):
            average.lerp_(parameter, self._share(self._updates))

    def tensors(self) -> dict[str, Tensor]:
        """Return the averages by the names of their parameters, not copied, none before it began."""
        return dict(zip(self._names, self._averages, strict=self.begun))

    def progress(self) -> dict[str, Tensor]:
        """Return the number of updates as a tensor, nothing before it has begun."""
        return {"updates": torch.tensor(self._updates)} if self.begun else {}

    def load(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Tensor]) -> None:
        """Continue from what `tensors` and `progress` gave."""
        self.begun = bool(progress)
        if self.begun:
            self._updates = int(progress["updates"])
            pairs = zip(self._names, self._parameters, strict=True)
            self._averages = [tensors[name].to(parameter.device, copy=True) for name, parameter in pairs]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the averages for its parameters while inside."""
        weights = [parameter.detach().clone() for parameter in self._parameters]
        self.keep()
        try:
            yield
        finally:
            _copy(weights, self._parameters)

    def keep(self) -> None:
        """Give the model the averages for good, if the average has begun."""
        if self.begun:
            _copy(self._averages, self._parameters)


def build_average(model: nn.Module, settings: RunSettings) -> WeightAverage | None:
    """Return the average that the settings name.

    - `average_decay` d: exponential, `a ← e a + (1 - e) w` with `e = min(d, t / (t + 9))`: the early steps, when the
      start still shows, are forgotten faster.
    - `averaging="asgd"`: the mean of the weights after every step, from the end of epoch `average_after`.
    - `averaging="nt-asgd"`: the mean of the weights from the first check at which `stops_improving` is true.

    Source:
        Polyak & Juditsky 1992 on averaging. Exponential: the rise of the decay with the steps as in TensorFlow's
        `ExponentialMovingAverage(num_updates=...)`, whose (1 + t) / (10 + t) counts from 0. ASGD: as torch's with
        lambd = 0, but that the mean of that leaves out the first step after t0. NT-ASGD: S. Merity, N. Keskar,
        R. Socher, Regularizing and Optimizing LSTM Language Models, 2018, algorithm 1.
    """
    if settings.average_decay is not None:
        decay = settings.average_decay
        return WeightAverage(model, lambda update: 1 - min(decay, update / (update + 9)), begun=True)
    if settings.averaging is None:
        return None
    begun = settings.averaging == "asgd" and not settings.average_after
    return WeightAverage(model, lambda update: 1 / update, begun=begun)


def begin_average(average: WeightAverage, settings: RunSettings, history: History) -> None:
    """Begin an average that has not begun, if the epochs so far call for it."""
    if average.begun:
        return
    if settings.averaging == "asgd" and len(history.epochs) >= settings.average_after:
        average.begin()
    elif settings.averaging == "nt-asgd" and stops_improving(_losses(history), settings.nonmonotone_interval):
        average.begin()
        # The weights at the trigger are the first of the mean.
        average.update()


def stops_improving(losses: list[float], interval: int) -> bool:
    """Return whether the last loss is larger than the smallest of the earlier ones.

    Its `interval` nearest neighbours are left out.

    The first version of the paper on arXiv compares with those neighbours instead, which its authors call a mistake in
    print (issue 13 of salesforce/awd-lstm-lm); this is the condition of their program and of the published version.

    Args:
        losses: one for each check, oldest first; smaller is better.
        interval: n of the paper.

    >>> stops_improving([3.0, 2.0, 2.5, 2.1], 2), stops_improving([2.0, 3.0, 2.5, 2.1], 2)
    (False, True)
    """
    before, last = losses[:-1], losses[-1]
    return len(before) > interval and not last <= min(before[: len(before) - interval])


def _losses(history: History) -> list[float]:
    """Return the scores of the epochs with their signs so that smaller is better, or infinity."""
    sign = -1.0 if history.larger_is_better else 1.0
    scores = [sign * (record.validation or {}).get(history.metric, math.nan) for record in history.epochs]
    return [score if math.isfinite(score) else math.inf for score in scores]


@torch.no_grad()
def _copy(sources: list[Tensor], targets: list[nn.Parameter]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
