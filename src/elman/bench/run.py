"""Run cases: elman and its peers in turns, compared with the limits of the machine."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from elman.bench import arrays, language, layers, loops, modules, news, series, translation
from elman.bench.cases import AnyCase, Case
from elman.bench.language_case import GENERATING, LanguageCase
from elman.bench.language_work import LanguageWork
from elman.bench.news_case import NewsCase
from elman.bench.series_case import SeriesCase
from elman.bench.timing import Run, time_in_turns
from elman.bench.translation_case import TranslationCase
from elman.bench.work import Side, Work
from elman.cells import CELLS
from elman.compiler.cell import Step
from elman.compiler.targets.llvm import machine
from elman.devices import CPU
from elman.errors import UsageError

SECONDS_A_SIDE = 2.0
REPEAT = 25
STEPWISE = ("streaming", GENERATING)
# Streaming takes one step after the other, and the weights stay in the caches; steps of several sides in turns
# would drive each other's weights out of them, and a step after another side's measures that.
BURST_STEPS = 32

OWN = "elman"
SAME_STEPS = "elman same steps"
LIMIT = "weights/bandwidth"
JAX = "jax.lax.scan"
# Their first run compiles, which is not the work to be timed.
COMPILED = (OWN, SAME_STEPS, JAX)

Make = Callable[[Work], Side]

# Cases of whole networks: the module that has their sides, and what these are given.
NETWORKS: dict[type, tuple[Any, Callable[[Any], Any]]] = {
    LanguageCase: (language, LanguageWork),
    NewsCase: (news, news.NewsWork),
    SeriesCase: (series, series.SeriesWork),
    TranslationCase: (translation, translation.TranslationWork),
}


class Machine:
    """What one core of this machine does at most; nothing is known of it where no kernel can be built.

    Attributes:
        peak: multiply-adds in float32, two operations each, in operations a second: the best that was seen so far.
    """

    def __init__(self) -> None:
        self.peak: float | None = None
        self.has_kernels = _has_kernels()
        self.measure()

    def measure(self) -> None:
        """Measure the peak again, because other work on the machine may disturb a measurement."""
        if self.has_kernels:
            # llvmlite is only needed where kernels are built.
            from elman.bench.limits import measure_peak

            self.peak = max(self.peak or 0.0, measure_peak(np.float32))

    def bandwidth(self, size: int) -> float | None:
        """Return the bandwidth for a working set of this size, in bytes a second."""
        if not self.has_kernels:
            return None
        from elman.bench.limits import measure_bandwidth

        return measure_bandwidth(size)


def _has_kernels() -> bool:
    try:
        machine.host()
    except machine.Unavailable:
        return False
    return True


@dataclass(frozen=True)
class Result:
    """What was measured of a case.

    Args:
        case: the case.
        threads: how many computed.
        elman_ms: the median time of elman, in milliseconds; in `streaming` of one step, from bursts of `BURST_STEPS`
            steps in a row.
        peers: that of the others, by name. `hand-written` is the cell as a loop in torch over the unbound steps;
            `hand-written, indexed` one that takes the input product of all steps at once and then indexes it step by
            step, as many write it: its backward pass fills a gradient of full size at every step. `elman same steps`
            is elman itself on a batch with the same number of steps, in sequences of equal length; `weights/bandwidth`
            is not a program, but the time that one core needs to read the weights from memory.
        samples: how many times each was measured, `elman` among them.
        gflops: useful operations of elman, in 10⁹ a second.
        fraction_of_peak: the same as a share of what the threads could do.
        compile_ms: the first call of a cell never seen before: trace, gradient, plan, compile.
    """

    case: AnyCase
    threads: int
    elman_ms: float
    peers: dict[str, float]
    samples: dict[str, int]
    gflops: float
    fraction_of_peak: float | None
    compile_ms: float

    def record(self) -> dict[str, Any]:
        """Return the result as a line of JSON. Language models add `characters_per_second`."""
        case = self.case
        characters = {"characters_per_second": self.characters_per_second} if self.characters_per_second else {}
        return {
            "case": case.name,
            "cell": case.cell,
            "batch": case.batch,
            "steps": case.steps,
            "input_size": case.input_size,
            "hidden_size": case.hidden_size,
            "ragged": case.ragged,
            "mode": case.mode,
            "threads": self.threads,
            "elman_ms": self.elman_ms,
            "peers": self.peers,
            "gflops": self.gflops,
            "fraction_of_peak": self.fraction_of_peak,
            "compile_ms": self.compile_ms,
            **characters,
        }

    @property
    def characters_per_second(self) -> float | None:
        """Of elman, where the case is a language model."""
        return 1000 * self.case.characters / self.elman_ms if isinstance(self.case, LanguageCase) else None


def peers_of(case: Case, device: torch.device = CPU) -> dict[str, Make]:
    """Return the peers of a case by name, on a GPU those in torch."""
    if case.mode == "streaming":
        found: dict[str, Make] = {
            "hand-written": loops.streaming,
            "torch.nn": modules.streaming,
            "torch.nn cell": modules.streaming_cells,
        }
        return found | ({"numpy": arrays.numpy_streaming} if device == CPU else {})
    if case.ragged:
        found = {
            "hand-written": loops.side,
            "torch.nn": modules.padded,
            "torch.nn packed": modules.packed,
            SAME_STEPS: layers.same_steps,
        }
    else:
        found = {"hand-written": loops.side, "hand-written, indexed": loops.indexed, "torch.nn": modules.padded}
    if device == CPU and arrays.has_jax():
        found[JAX] = arrays.jax_scan
    return found


def sides_of(case: AnyCase, device: torch.device = CPU) -> dict[str, Run]:
    """Return the sides of a case by name, `elman` first, after those that compile have compiled.

    Args:
        case: the case.
        device: where they compute.

    Raises:
        UsageError: a case of another kind than a layer, on a GPU.
    """
    if device != CPU and not isinstance(case, Case):
        raise UsageError(
            f"The case {case.name} is measured on the CPU only.",
            fix="Give cases of layers, such as gru-*, with --device.",
        )
    sides: dict[str, Run]
    if isinstance(case, Case):
        work = Work(case, device)
        own = layers.streaming if case.mode == "streaming" else layers.side
        sides = {name: make(work).run for name, make in {OWN: own, **peers_of(case, device)}.items()}
    else:
        module, make_work = NETWORKS[type(case)]
        given = make_work(case)
        sides = {OWN: module.side(given), **module.peers(given)}
    for name in sides.keys() & set(COMPILED):
        sides[name]()
    return sides


def run_case(
    case: AnyCase,
    limits: Machine,
    *,
    repeat: int = REPEAT,
    seconds: float = SECONDS_A_SIDE,
    device: torch.device = CPU,
) -> Result:
    """Measure one case.

    Args:
        case: the case.
        limits: what the machine can do; its peak is measured anew before and after.
        repeat: the most samples of each side.
        seconds: about how long each side is run; the slow ones are run three times however long that takes.
        device: where every side computes. The limits of the machine are those of its CPU.
    """
    limits.measure()
    burst = BURST_STEPS if case.mode in STEPWISE else 1
    sides = {name: finished(run, device) for name, run in sides_of(case, device).items()}
    timings = time_in_turns(sides, repeat=repeat, seconds=seconds, burst=burst)
    milliseconds = {name: timing.milliseconds for name, timing in timings.items()}
    elman_ms = milliseconds.pop(OWN)
    limits.measure()
    threads = torch.get_num_threads()
    speed = case.operations / (elman_ms / 1000)
    return Result(
        case,
        threads,
        elman_ms,
        milliseconds | (_limit(case, limits) if device == CPU else {}),
        {name: timing.samples for name, timing in timings.items()},
        speed / 1e9,
        speed / (limits.peak * threads) if limits.peak and device == CPU else None,
        layers.first_call_ms(_step(case), case),
    )


def finished(run: Run, device: torch.device) -> Run:
    """Return a run that ends when a GPU has done its work."""
    if device.type == "cpu":
        return run

    def and_wait() -> None:
        run()
        torch.cuda.synchronize(device)

    return and_wait


def _step(case: AnyCase) -> Step:
    return (language.cell_of(case) if isinstance(case, LanguageCase) else CELLS[case.cell]).step


def _limit(case: AnyCase, limits: Machine) -> dict[str, float]:
    """One step at a time cannot be quicker than its weights are read."""
    if not isinstance(case, Case) or case.mode != "streaming":
        return {}
    size = 4 * case.weights
    bandwidth = limits.bandwidth(size)
    return {LIMIT: 1000 * size / bandwidth} if bandwidth else {}
