"""Echo state networks as simple models: a reservoir whose weights are drawn, and ridge regression on its states."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.tasks.baselines import Baseline, share
from elman.tasks.forecast_baselines import Part, WindowBaseline, parts_of
from elman.tasks.linear_baseline import known_values
from elman.tasks.number_baselines import score_numbers
from elman.tasks.numbers import is_list, numbers_of

if TYPE_CHECKING:
    from elman.tasks.task import Task

UNITS, LEAK, BIAS = 100, 0.5, 0.2
# Of the recurrent matrix.
RADIUS, DENSITY = 0.9, 0.1
RIDGES = tuple(10.0**power for power in range(-6, 3))
# Of the rows, each of which is left out once to compare the ridges.
PARTS = 5
TITLE = f"an echo state network of {UNITS} units"


class Echo:
    """A reservoir of leaky units whose weights are drawn once, the same for each seed.

    Attributes:
        weights: of the reservoir by name; none before it is drawn.
    """

    def __init__(self) -> None:
        self.weights: dict[str, np.ndarray] = {}
        self._layer: Any = None

    def draw(self, channels: int) -> None:
        """Draw the weights of a reservoir.

        Args:
            channels: numbers of a step.
        """
        self._layer = _layer(channels)
        self.weights = {name: weight.numpy() for name, weight in self._layer.state_dict().items()}

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Take over the weights of another reservoir."""
        import torch

        self._layer = _layer(len(weights["layer0.inputs"]))
        self._layer.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
        self.weights = dict(weights)

    def states(self, series: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the state after each step, `(steps, UNITS)` for each series.

        Args:
            series: each `(steps, channels)`, standardised and without missing values.
        """
        import torch

        from elman.data.ragged.ragged import Ragged

        steps = torch.from_numpy(np.concatenate([np.zeros((0, len(self.weights["layer0.inputs"]))), *series]))
        with torch.inference_mode():
            outputs, _ = self._layer(Ragged(steps.float(), [len(each) for each in series]))
        return [each.double().numpy() for each in outputs.to_list()]


def _layer(channels: int) -> Any:
    """Return a reservoir, drawn with a seed of its own."""
    # Imported late: torch is needed only for training.
    import torch

    from elman.cells import CELLS
    from elman.compiler.language import sparse
    from elman.nn.recurrent import Recurrent

    cell = CELLS["reservoir"].with_options(recurrent=sparse(RADIUS, DENSITY), leak=LEAK, bias_scaling=BIAS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Recurrent(cell, input_size=channels, hidden_size=UNITS).eval()


class EchoRows(Baseline):
    """An echo state network of sequences of numbers: ridge regression on the last state and the mean of the states.

    Where each step has a target, it is regression on the state of the step. The ridge is that of the least error over
    five parts of the rows.

    Args:
        column: of the sequences.
        target: column of what is predicted.

    Source:
        H. Jaeger, The "Echo State" Approach to Analysing and Training Recurrent Neural Networks, 2001. Difference: the
        mean of the states is read too.
    """

    name = "reservoir"
    # Whether the largest output is the answer, so that the size of the outputs does not count.
    scale_free = False

    def __init__(self, column: str, target: str):
        self._column, self._target = column, target
        self._echo = Echo()
        self._middle, self._scale = np.zeros(0), np.ones(0)
        self._weights = np.zeros((0, 0))

    @property
    def title(self) -> str:
        """What it is."""
        return TITLE

    def unsuited(self, values: Mapping[str, Any]) -> str:
        """Return that texts have no reservoir."""
        if all(isinstance(each, str) for each in values[self._column]):
            return "The reservoir is left out: it reads series of numbers, and these are texts."
        return ""

    def learn(self, sequences: Sequence[Any], targets: Sequence[np.ndarray], warmup: int | None) -> None:
        """Draw the reservoir, and solve for the weights.

        Args:
            sequences: of the training rows.
            targets: of each, `(rows of features, outputs)`.
            warmup: first steps of each that are not read, None where a sequence has one row of features.
        """
        # Imported late: torch is needed only for training.
        import torch

        from elman.nn.ridge import Sums, cross_validate

        steps = [known_values(each).reshape(len(each), -1) for each in sequences]
        every = np.concatenate([each for each in steps if each.size])
        self._middle, deviation = every.mean(0), every.std(0)
        self._scale = np.where(deviation > 0, deviation, 1.0)
        self._echo.draw(every.shape[1])
        features = [*self._features(sequences, warmup)]
        parts = [Sums.empty(features[0].shape[1], targets[0].shape[1]) for _ in range(PARTS)]
        for number, (rows, own) in enumerate(zip(features, targets, strict=True)):
            parts[number % PARTS].add(torch.from_numpy(rows), torch.from_numpy(own))
        found = cross_validate(parts, RIDGES, scale_free=self.scale_free)
        self._weights = np.concatenate([found.weight.numpy(), found.bias.numpy()[None]])

    def outputs(self, sequences: Sequence[Any], warmup: int | None = None) -> np.ndarray:
        """Return the outputs of sequences, `(rows of features, outputs)`."""
        rows = [np.zeros((0, len(self._weights) - 1)), *self._features(sequences, warmup)]
        return np.concatenate(rows) @ self._weights[:-1] + self._weights[-1]

    def _features(self, sequences: Sequence[Any], warmup: int | None) -> Iterator[np.ndarray]:
        steps = [known_values(each).reshape(len(each), -1) for each in sequences]
        empty = np.zeros((0, len(self._middle)))
        scaled = [(each - self._middle) / self._scale if each.size else empty for each in steps]
        for states in self._echo.states(scaled):
            if warmup is not None:
                yield states[warmup:]
            elif len(states):
                yield np.concatenate([states[-1], states.mean(0)])[None]
            else:
                yield np.zeros((1, 2 * UNITS))

    def to_json(self) -> dict[str, Any]:
        """Return nothing: all that was learned are arrays."""
        return {}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the weights, those of the reservoir, and the scale of the channels."""
        own = {"weights": self._weights, "middle": self._middle, "scale": self._scale}
        return {**own, **{f"echo/{name}": weight for name, weight in self._echo.weights.items()}}

    def load(self, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `to_json` and `arrays` gave."""
        self._weights, self._middle, self._scale = (arrays[name] for name in ("weights", "middle", "scale"))
        self._echo.load(_echo_of(arrays))


class EchoNumber(EchoRows):
    """An echo state network that predicts a number for each sequence, or for each step of it."""

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Learn from the training rows."""
        targets = values[self._target]
        if _are_of_steps(targets):
            first = task.settings.warmup_steps
            found = [np.array(numbers_of(row[first:]))[:, None] for row in targets]
            self.learn(values[self._column], found, first)
        else:
            self.learn(values[self._column], [np.array([[number]]) for number in numbers_of(targets)], None)

    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the score of the task's first metric."""
        targets, first = values[self._target], None
        if _are_of_steps(targets):
            first = task.settings.warmup_steps
            targets = [number for row in targets for number in row[first:]]
        found = self.outputs(values[self._column], first)[:, 0]
        return score_numbers(found, np.array(numbers_of(targets)))[self.metric(task).name]


class EchoLabel(EchoRows):
    """An echo state network that predicts a label: the largest of the outputs, each of which is 1 for its label."""

    scale_free = True

    def __init__(self, column: str, target: str):
        super().__init__(column, target)
        self._labels: list[Any] = []

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Learn from the training rows."""
        self._labels = sorted(set(values[self._target]), key=str)
        known = {label: row[None] for label, row in zip(self._labels, np.eye(len(self._labels)), strict=True)}
        self.learn(values[self._column], [known[label] for label in values[self._target]], None)

    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the accuracy."""
        best = self.outputs(values[self._column]).argmax(1)
        return share(self._labels[one] == label for one, label in zip(best, values[self._target], strict=True))

    def to_json(self) -> dict[str, Any]:
        """Return the labels."""
        return {"labels": self._labels}

    def load(self, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `to_json` and `arrays` gave."""
        super().load(document, arrays)
        self._labels = list(document["labels"])


class EchoForecast(WindowBaseline):
    """An echo state network that reads a series up to the origin, by each target alone.

    Ridge regression goes from the state at the origin to each step of the horizon, less the last value. Its strength is
    found as that of `RidgeWindow`.

    Source:
        H. Jaeger, H. Haas, Harnessing Nonlinearity, 2004. Difference: all steps of the horizon are predicted at once.
    """

    name = "reservoir"

    def __init__(self, column: str):
        super().__init__(column)
        self._echo = Echo()
        self._weights = np.zeros((0, 0))

    @property
    def title(self) -> str:
        """What it is."""
        return TITLE

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Draw the reservoir, and solve for the map."""
        # Imported late: torch is needed only for training.
        import torch

        from elman.nn.ridge import Sums
        from elman.tasks.forecast_maps import HELD_OUT, best_map

        self._echo.draw(1)
        parts = list(parts_of(task, values[self._column]))
        edge = np.quantile(np.concatenate([part.origins / len(part.values) for part in parts]), 1 - HELD_OUT)
        early, late = (Sums.empty(UNITS, task.settings.horizon) for _ in range(2))
        for part, states in self._with_states(parts):
            late_rows = np.repeat(part.origins / len(part.values) > edge, part.future.shape[2])
            last = part.values[part.origins - 1]
            targets = (part.future - last[:, None]).transpose(0, 2, 1).reshape(len(states), -1)
            known = ~np.isnan(targets).any(1)
            for chosen, sums in ((known & ~late_rows, early), (known & late_rows, late)):
                sums.add(torch.from_numpy(states[chosen]), torch.from_numpy(targets[chosen]))
        self._weights = best_map(early, late)

    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the mean squared error, standardised as the network's."""
        total, count = 0.0, 0
        for part, states in self._with_states(parts_of(task, values[self._column])):
            error = self._forecast(part, states) - part.future
            known = ~np.isnan(error)
            total, count = total + float(np.square(error[known]).sum()), count + int(known.sum())
        return total / max(1, count)

    def forecast(self, task: "Task", part: Part) -> np.ndarray:
        """Return the forecasts `(windows, horizon, targets)`."""
        ((_, states),) = self._with_states([part])
        return self._forecast(part, states)

    def _forecast(self, part: Part, states: np.ndarray) -> np.ndarray:
        found = states @ self._weights[:-1] + self._weights[-1]
        last = part.values[part.origins - 1]
        return found.reshape(len(part.origins), part.future.shape[2], -1).transpose(0, 2, 1) + last[:, None]

    def _with_states(self, parts: Iterable[Part]) -> Iterator[tuple[Part, np.ndarray]]:
        """Yield each part with the state at each origin, `(windows · targets, UNITS)`."""
        values: Any = None
        states = np.zeros((0, 0, UNITS))
        for part in parts:
            # Several parts are of one series.
            if part.values is not values:
                values = part.values
                # The beginning of a target without a known value is read as its mean.
                found = self._echo.states([np.nan_to_num(column)[:, None] for column in values.T])
                states = np.stack(found, 1)  # (steps, targets, units)
            yield part, states[part.origins - 1].reshape(-1, UNITS)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the weights, and those of the reservoir."""
        return {"weights": self._weights, **{f"echo/{name}": each for name, each in self._echo.weights.items()}}

    def load(self, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take over the weights."""
        self._weights = np.asarray(arrays["weights"], dtype=np.float64)
        self._echo.load(_echo_of(arrays))


def _echo_of(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix("echo/"): each for name, each in arrays.items() if name.startswith("echo/")}


def _are_of_steps(targets: Sequence[Any]) -> bool:
    return any(map(is_list, targets[:1]))
