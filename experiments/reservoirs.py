"""An echo state network fitted and used, elman beside ReservoirPy, each in a process of its own, in turns.

    python -m experiments.reservoirs --density 0.1 --precision float32 --threads 1 --turns 3

The matrices are drawn before the clock starts. `pip install reservoirpy` brings the peer.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter, process_time
from typing import Any
from unittest import mock

import numpy as np

from experiments import run_module

UNITS, STEPS, WARMUP, RIDGE = 1_000, 10_000, 100, 1e-6
SIDES = ("elman", "reservoirpy")
Case = argparse.Namespace


def series() -> np.ndarray:
    """Return a noisy wave, `(steps + 1, 1)`."""
    noise = np.random.default_rng(0).standard_normal(STEPS + 1)
    return (np.sin(np.arange(STEPS + 1) / 5) + 0.1 * noise)[:, None]


def elman(case: Case) -> tuple[Callable[[], Any], Callable[[], np.ndarray]]:
    """Return the fit and the prediction of elman's network."""
    import torch

    from elman import EchoStateNetwork
    from elman.models.echo_state_member import Member

    torch.set_num_threads(case.threads)
    matrix = f"sparse(0.9, {case.density})"
    network = EchoStateNetwork(hidden_size=UNITS, recurrent=matrix, precision=case.precision, ridges=RIDGE)
    member, data = Member.drawn(network.settings(), 0, 1, 1), series()
    list(member.features(torch.from_numpy(data[:20]), None))
    mock.patch.object(Member, "drawn", return_value=member).start()
    return lambda: network.fit(data), lambda: network.predict(data[:-1])


def reservoirpy(case: Case) -> tuple[Callable[[], Any], Callable[[], np.ndarray]]:
    """Return the fit and the prediction of ReservoirPy's network, whose states have the given precision."""
    from reservoirpy.nodes import Reservoir, Ridge

    data, dtype = series().astype(case.precision), np.dtype(case.precision).type
    reservoir = Reservoir(UNITS, sr=0.9, rc_connectivity=case.density, input_connectivity=1.0, dtype=dtype, seed=0)
    reservoir.initialize(data[:2])
    model = reservoir >> Ridge(ridge=RIDGE)
    return lambda: model.fit(data[:-1], data[1:], warmup=WARMUP), lambda: model.run(data[:-1])


def measure(case: Case) -> dict[str, float]:
    """Return the seconds of one side in this process, and the error of its predictions."""
    fit, predict = {"elman": elman, "reservoirpy": reservoirpy}[case.side](case)
    begin, processor = perf_counter(), process_time()
    fit()
    middle = perf_counter()
    found = np.reshape(predict(), (STEPS, 1))
    end, used = perf_counter(), process_time() - processor
    error = float(np.sqrt(np.mean((found - series()[1:])[WARMUP:] ** 2)))
    return {"fit": middle - begin, "predict": end - middle, "total": end - begin, "processor": used, "rmse": error}


def compare(case: Case) -> dict[str, dict[str, float]]:
    """Return the median of each figure of both sides, which take turns."""
    threads = {f"{name}_NUM_THREADS": str(case.threads) for name in ("OMP", "OPENBLAS", "MKL")}
    flags = ["--density", str(case.density), "--precision", case.precision, "--threads", str(case.threads)]
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(case.turns):
        for side in SIDES:
            command = [sys.executable, "-m", "experiments.reservoirs", *flags, "--side", side]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **threads})
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
    return {side: {name: median(each[name] for each in runs) for name in runs[0]} for side, runs in found.items()}


def main() -> None:
    """Print the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--precision", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help="measure one side in this process")
    case = parser.parse_args()
    found = {**vars(case), **(compare(case) if case.side is None else measure(case))}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    run_module(main)
