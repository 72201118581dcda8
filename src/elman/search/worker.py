"""A worker of a search: it trains one trial after the other until the search is over."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from elman.cells import CELLS
from elman.compiler.cell import describe_options
from elman.data.text.start_rows import with_vector_size
from elman.errors import TrainingError, UsageError
from elman.models import model_for
from elman.search.trials import DEFAULTS, Trials, beating, refuse_conflicts, values_of
from elman.settings.space import Space, Value, with_values
from elman.tasks.rows import rows_named
from elman.tasks.task import Metric, Task, Values, targets
from elman.training.listener import EpochEvent, Silent

NOT_FINITE, PRUNED, GIVEN_UP = "the score is not finite", "pruned", "another worker tries it again"


@dataclass(frozen=True)
class Search:
    """What is searched, and on which data.

    Attributes:
        task: of the models.
        settings: that are the same for all trials, by name; `seed` is that of the first model of a trial.
        space: what is drawn.
        train: training data.
        held: validation data; None to hold out a fraction of `train`.
        seeds: models of a trial, each with the next seed; the mean of their scores is the value of the trial.
    """

    task: type[Task]
    settings: Mapping[str, Any]
    space: Space
    train: Values
    held: Values | None = None
    seeds: int = 1

    def defaults(self) -> dict[str, Value]:
        """Return the values of the settings of the space without a search, as the data decide them."""
        settings: Any = self.model({}).settings()
        with rows_named(self.train):
            resolved, _ = self.task.resolve(with_vector_size(settings), self.train, validated=self.held is not None)
        return {name: _default(resolved, name) for name in self.space}

    def metric(self) -> Metric:
        """Return the score by which trials are compared, which may depend on the targets."""
        task = self.task(self.model({}).settings())
        with rows_named(self.train):
            for column in targets(self.task.columns):
                task.encoders[column.name].learn(self.train.columns[column.name])
        return task.metric

    def model(self, values: Mapping[str, Value], seed: int | None = None) -> Any:
        """Return a model with the values of a trial, which is not trained."""
        settings = with_values(self.settings, values)
        return model_for(self.task.name)(**(settings if seed is None else {**settings, "seed": seed}))

    def value(self, values: Mapping[str, Value], reports: "Reports") -> float:
        """Return the mean score of the best epochs of the models of a trial.

        Args:
            values: of the trial.
            reports: is given the epochs of the first model.

        Raises:
            Pruned: the reports say that the trial is hopeless.
            TrainingError: a model cannot be trained so.
            UsageError: the values do not go together.
        """
        first, scores = self.settings.get("seed", 0), []
        for seed in range(first, first + self.seeds):
            model = self.model(values, seed)
            model.fit_values(self.train, self.held, listener=reports if seed == first else None, conclude=False)
            scores.append(best_score(model.history_))
        return sum(scores) / len(scores)


def _default(settings: Any, name: str) -> Value:
    """Return the value of a setting, or of an option of the cell."""
    outer, dot, option = name.partition(".")
    if not dot:
        return getattr(settings, name, None)
    known = describe_options(CELLS[settings.cell]) if settings.cell in CELLS else {}
    return {**known, **getattr(settings, outer)}.get(option)


class Pruned(Exception):
    """A trial that is not worth its further epochs; the message says why."""


class Reports(Silent):
    """A listener that reports the best score so far to a trial, and ends a hopeless one.

    Args:
        trial: of Optuna.
        metric: name of the score.
        larger_is_better: of two scores.
    """

    def __init__(self, trial: Any, metric: str, larger_is_better: bool):
        self._trial, self._metric = trial, metric
        self._better = max if larger_is_better else min
        self._best: float | None = None

    def epoch(self, event: EpochEvent) -> None:
        """Report an epoch.

        Raises:
            Pruned: the trial is hopeless, or another worker gave it up and tries it again.
        """
        score = (event.record.validation or {}).get(self._metric, math.nan)
        if math.isfinite(score):
            self._best = score if self._best is None else self._better(self._best, score)
        if self._best is not None:
            try:
                self._trial.report(self._best, event.record.epoch)
                hopeless = self._trial.should_prune()
            except RuntimeError:
                # This worker gave no sign of life for a while, for instance while its machine slept.
                raise Pruned(GIVEN_UP) from None
            if hopeless:
                raise Pruned(PRUNED)


def best_score(history: Any) -> float:
    """Return the score of the best epoch, NaN if none has any."""
    number = history.best_epoch
    return math.nan if number is None else history.epochs[number - 1].validation[history.metric]


def work(search: Search, trials: Trials, metric: Metric, say: Callable[[Any, float | None, str], None]) -> None:
    """Try trials until the search is over.

    Args:
        search: what is tried.
        trials: of the study.
        metric: of the task.
        say: is given each trial that was tried, its value, and why it has none.

    Raises:
        UsageError: the settings of the search are wrong, or no values of its space go together.
        DataError: data that cannot be learned from.
        KeyboardInterrupt: Ctrl-C; the trial is left to other workers.
    """
    trials.enqueue_defaults(search.defaults())
    while (trial := trials.claim()) is not None:
        values = values_of(trial, search.space)
        try:
            with beating(trials.study, trial):
                value, problem = _tried(search, values, Reports(trial, metric.name, metric.larger_is_better))
        except UsageError as error:
            if DEFAULTS in trial.user_attrs:
                trials.refuse(trial, "the defaults")
                raise
            trials.refuse(trial, str(error))
            if trials.exhausted:
                raise refuse_conflicts(str(error)) from None
            continue
        except BaseException:
            trials.give_back(trial)
            raise
        trials.finish(trial, value, problem)
        say(trial, value, problem)


def _tried(search: Search, values: Mapping[str, Value], reports: Reports) -> tuple[float | None, str]:
    """Return the value of a trial, or why it has none."""
    try:
        value = search.value(values, reports)
    except Pruned as error:
        return None, str(error)
    except TrainingError as error:
        return None, error.problem
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
            return None, "the memory is full"
        raise
    return (value, "") if math.isfinite(value) else (None, NOT_FINITE)
