"""Recipes of echo state networks, each run over several seeds."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np

from elman.errors import UsageError
from elman.models.echo_state import EchoStateNetwork
from elman.recipes.mackey_glass import mackey_glass
from elman.recipes.reservoir_series import LORENZ_EXPONENT, LORENZ_STEP, delayed, lorenz, narma

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class ReservoirRecipe:
    """An echo state network fitted and measured with several seeds.

    Args:
        name: as the command line knows it.
        summary: what is fitted, a phrase.
        measure: gives the figures of a network with these settings.
        settings: of the network.
        reported: what the source reports, by the names of the figures.
        source: where that is reported.
        seeds: number of networks, with consecutive seeds.
    """

    name: str
    summary: str
    measure: Callable[[Settings], dict[str, float]]
    settings: Settings
    reported: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    seeds: int = 10
    data: tuple[str, ...] = ()
    any_data: bool = False
    task: str = "regress"
    threads: int | None = None

    def run(
        self,
        data: Path,
        *,
        seed: int = 0,
        seeds: int | None = None,
        folder: Path | None = None,
        resume: bool = False,
        best_epochs: bool = False,
        epochs: int | None = None,
        listener: Any = None,
        command: str = "",
    ) -> dict[str, Any]:
        """Fit and measure a network with each seed.

        Args:
            data: not read: the recipe has its own series.
            seed: of the first network.
            seeds: number of networks with consecutive seeds, in place of the recipe's own.
            folder, resume, best_epochs, epochs: refused; there is one pass, and nothing is written.
            listener, command: not used.

        Returns:
            The mean, deviation, median, smallest, largest and all values of each figure; of one network the figure.

        Raises:
            UsageError: epochs, or a folder to write to.
        """
        if folder is not None or resume or best_epochs or epochs is not None:
            raise UsageError(
                f"The recipe `{self.name}` has no epochs and writes no files.",
                fix="Leave out --out, --resume, --epochs and --best-epochs.",
            )
        began = time.monotonic()
        numbers = range(seed, seed + (seeds or self.seeds))
        runs = [self.measure({**self.settings, "seed": each}) for each in numbers]
        found: dict[str, Any] = {"recipe": self.name, "data": "in the recipe", "part": "test"}
        if len(runs) > 1:
            found["seeds"] = list(numbers)
        for name in runs[0]:
            found |= _over_seeds(name, [each[name] for each in runs])
        spent = round(time.monotonic() - began, 1)
        return {**found, "reported": dict(self.reported), "source": self.source, "seed": seed, "seconds": spent}


def _over_seeds(name: str, values: list[float]) -> dict[str, Any]:
    if len(values) == 1:
        return {name: values[0]}
    return {
        f"{name}_mean": mean(values),
        f"{name}_deviation": stdev(values),
        f"{name}_median": median(values),
        f"{name}_min": min(values),
        f"{name}_max": max(values),
        f"{name}_each": values,
    }


# Steps of the Mackey-Glass series: trained on, read before each forecast, forecast; and between two forecasts.
TRAINED, BEFORE, AHEAD, APART, TRIALS = 3_000, 1_000, 84, 200, 50


def closed_loop(settings: Settings) -> dict[str, float]:
    """Return the error of free-running forecasts of the Mackey-Glass series, 84 steps ahead.

    The forecasts begin at 50 points after the part that is learned from. The error at the last step, over all
    forecasts, is divided by the standard deviation of the series.
    """
    series = np.tanh(mackey_glass(TRAINED + BEFORE + TRIALS * APART + AHEAD) - 1.0)
    network = EchoStateNetwork(**settings).fit(series[:TRAINED])
    ends = [TRAINED + BEFORE + APART * trial for trial in range(TRIALS)]
    found = network.generate(AHEAD, [series[end - BEFORE : end] for end in ends])
    errors = np.array([each[-1] for each in found]) - series[[end + AHEAD - 1 for end in ends]]
    return {"log10_nrmse_84": float(np.log10(np.sqrt(np.mean(errors**2)) / series.std()))}


LORENZ_TRAINED, LORENZ_BEFORE, LORENZ_AHEAD, LORENZ_TRIALS = 10_000, 200, 1_000, 20
# The error, divided by the standard deviation of the series, up to which a forecast is valid.
VALID = 0.4


def lorenz_parts() -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Return the part to learn from, the part before each forecast, and the part after it.

    All are in standard deviations of the first.
    """
    apart = LORENZ_BEFORE + LORENZ_AHEAD
    series = lorenz(LORENZ_TRAINED + LORENZ_TRIALS * apart)
    series = (series - series[:LORENZ_TRAINED].mean(0)) / series[:LORENZ_TRAINED].std(0)
    trials = np.split(series[LORENZ_TRAINED:], LORENZ_TRIALS)
    return series[:LORENZ_TRAINED], [each[:LORENZ_BEFORE] for each in trials], [each[LORENZ_BEFORE:] for each in trials]


def valid_time(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return for how many Lyapunov times a forecast of the Lorenz system is valid.

    Args:
        found: `(steps, 3)`, in standard deviations of the series.
        wanted: `(steps, 3)`.

    Source:
        J. Pathak et al., Hybrid Forecasting of Chaotic Processes, 2018, equation 7, with the threshold 0.4.
    """
    error = np.sqrt(np.mean((found - wanted) ** 2, 1))
    steps = int((error > VALID).argmax()) if (error > VALID).any() else len(error)
    return steps * LORENZ_STEP * LORENZ_EXPONENT


def lorenz_forecasts(settings: Settings) -> dict[str, float]:
    """Return the mean valid time of free-running forecasts of the Lorenz system from 20 points."""
    train, before, after = lorenz_parts()
    found = EchoStateNetwork(**settings).fit(train).generate(LORENZ_AHEAD, before)
    return {"valid_time": float(np.mean([valid_time(*pair) for pair in zip(found, after, strict=True)]))}


def narma_errors(settings: Settings) -> dict[str, float]:
    """Return the normalised error on NARMA-10.

    There are 2,200 steps to learn from, and as many of another seed to test on.
    """
    network = EchoStateNetwork(**settings).fit(*narma(2_200, seed=0))
    return {"nrmse": network.evaluate(*narma(2_200, seed=1))["nrmse"].mean}


def memory_capacity(settings: Settings) -> dict[str, float]:
    """Return the memory capacity for noise.

    It is the sum over delays k of the squared correlation of the prediction with the input k steps before.

    Source:
        H. Jaeger, Short Term Memory in Echo State Networks, 2001, definition 1. It is at most the number of units.
    """
    delays = 2 * settings["hidden_size"]
    network = EchoStateNetwork(**settings).fit(*delayed(6_000, delays, seed=0))
    noise, wanted = delayed(6_000, delays, seed=1)
    skipped = network.settings().warmup_steps
    found, wanted = network.predict(noise)[skipped:], wanted[skipped:]
    pairs = zip(found.T, wanted.T, strict=True)
    return {"memory_capacity": float(sum(np.corrcoef(one, other)[0, 1] ** 2 for one, other in pairs))}


mackey_glass_closed_loop = ReservoirRecipe(
    name="mackey-glass-closed-loop",
    summary="84 steps of the Mackey–Glass series (delay 17) in closed loop; a reservoir of 1,000 units",
    measure=closed_loop,
    settings={
        "hidden_size": 1_000,
        "recurrent": "sparse(1.0, 0.01)",
        "leak": 0.5,
        "bias_scaling": 0.5,
        "solver": "qr",
        "ridges": 1e-17,
        "warmup_steps": 1_000,
    },
    reported={"log10_nrmse_84": -4.2},
    source="H. Jaeger, H. Haas, Harnessing Nonlinearity, 2004, with as many steps to learn from",
    seeds=5,
)
lorenz_closed_loop = ReservoirRecipe(
    name="lorenz",
    summary="the Lorenz system in closed loop, in Lyapunov times; a reservoir of 300 units",
    measure=lorenz_forecasts,
    settings={
        "hidden_size": 300,
        "recurrent": "sparse(0.6, 0.05)",
        "input_scaling": 0.3,
        "bias_scaling": 0.5,
        "solver": "qr",
        "ridges": 1e-12,
        "warmup_steps": 200,
    },
    reported={"valid_time": 11.95},
    source="ReservoirPy 0.4.2 on the same series with 300 units, its best ridge (1e-11), mean of 10 seeds",
)
narma_10 = ReservoirRecipe(
    name="narma-10",
    summary="NARMA-10, a nonlinear function of the last ten inputs and outputs; a reservoir of 200 units",
    measure=narma_errors,
    settings={
        "hidden_size": 200,
        "recurrent": "sparse(0.9, 0.1)",
        "input_scaling": 0.2,
        "bias_scaling": 0.2,
        "warmup_steps": 200,
    },
    reported={"nrmse": 0.189},
    source="ReservoirPy 0.4.2 on the same series with 200 units, its best ridge (1e-6), mean of 10 seeds",
)
capacity = ReservoirRecipe(
    name="memory-capacity",
    summary="the memory of a ring of 100 linear units for noise",
    measure=memory_capacity,
    settings={
        "hidden_size": 100,
        "recurrent": "ring(0.95)",
        "activation": "linear",
        "read_input": False,
        "ridges": 1e-8,
        "warmup_steps": 200,
    },
    reported={"memory_capacity": 100},
    source="H. Jaeger, Short Term Memory in Echo State Networks, 2001: the bound, the number of units",
)
RESERVOIRS = (mackey_glass_closed_loop, lorenz_closed_loop, narma_10, capacity)
