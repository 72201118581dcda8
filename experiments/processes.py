"""Training in several processes: measured on this machine, and simulated for more processes.

`python -m experiments.processes measure` trains two models for a few minibatches with one process and one thread, one
process and two threads, and two processes with one thread each, and prints tokens a second; beside other work on the
machine the figures of one run differ by a fifth and more. `python -m experiments.processes simulate` measures a step of
three models here, or takes `--gflops`, and computes from it the speed of up to 64 processes.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

import torch
import torch.distributed as dist

from elman.launch import find_free_port
from elman.models import LanguageModel, Model, SequenceClassifier
from elman.training.listener import BatchEvent, Silent
from elman.training.processes import find_processes

WAYS = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread": (2, 1)}
LETTERS = "etaoin shrdlu"
TEXT = "".join(LETTERS[n * n * 7 % 13] for n in range(400_000))
WORDS = [f"w{n * n % 5003}" for n in range(60_000)]
ROWS = [" ".join(WORDS[start : start + 10 + start % 61]) for start in range(0, 59_000, 20)]
LABELS = [str(n % 4) for n in range(len(ROWS))]
# Hidden size and layers of the three models of the simulation; bytes a second and seconds of latency of three networks.
SIZES = {"small": (64, 1), "medium": (256, 2), "large": (1024, 2)}
NETWORKS = {"one machine": (2e9, 5e-5), "10 Gb/s Ethernet": (1.1e9, 1e-4), "1 Gb/s Ethernet": (1.1e8, 2e-4)}
COUNTS = (2, 4, 8, 16, 32, 64)


class Pace(Silent):
    """Seconds and tokens of the minibatches after the first few; it ends the run after enough of them."""

    def __init__(self, skipped: int, most: int):
        self.events: list[BatchEvent] = []
        self._skipped, self._most = skipped, most

    def batch(self, event: BatchEvent) -> None:
        """Note the minibatch."""
        self.events.append(event)
        if len(self.events) == self._most:
            raise RuntimeError("enough")

    def tokens_per_second(self) -> float:
        """Return the pace without the first minibatches, which compile."""
        kept = self.events[self._skipped :]
        return sum(each.tokens for each in kept) / sum(each.seconds for each in kept)


def model_of(name: str) -> tuple[Model, tuple[Any, ...]]:
    """Return a model as large as that of a recipe, with data of its kind."""
    if name == "news-bilstm":
        how = {"cell": "lstm", "hidden_size": 128, "num_layers": 2, "embedding": 100, "tokens": "words", "wide": "off"}
        return SequenceClassifier(**how, batch_size=64, epochs=1), (ROWS, LABELS)
    how = {"cell": "gru", "hidden_size": 300, "num_layers": 2, "embedding_size": 100}
    return LanguageModel(**how, streams=512, window=100, epochs=20), (TEXT,)


def work(name: str, threads: int, most: int) -> None:
    """Train in this process, one of several perhaps, and print the pace."""
    torch.set_num_threads(threads)
    model, data = model_of(name)
    pace = Pace(min(3, most // 3), most)
    try:
        model.fit(*data, listener=pace)
    except Exception:
        if not pace.events:
            raise
    if find_processes().is_first:
        sys.stdout.write(json.dumps({"tokens_per_second": pace.tokens_per_second()}) + "\n")
        sys.stdout.flush()
    os._exit(0)


def launched(arguments: list[str], size: int) -> dict[str, Any]:
    """Run this module in several processes, and return what the first prints."""
    port = str(find_free_port())
    shared = {**os.environ, "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-m", "experiments.processes", *arguments]
    started = [
        subprocess.Popen(command, env={**shared, "RANK": str(rank)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for rank in range(size)
    ]
    said = [each.communicate()[0] for each in started]
    return json.loads(said[0].splitlines()[-1])


def measure(most: int, turns: int) -> None:
    """Print the pace of each model in each way, in turns."""
    for name in ("news-bilstm", "wiki-chars-gru"):
        best: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(turns):
            for way, (size, threads) in WAYS.items():
                found = launched(["work", "--model", name, "--threads", str(threads), "--most", str(most)], size)
                best[way].append(found["tokens_per_second"])
        sys.stdout.write(json.dumps({"model": name, **{way: [round(x) for x in all_] for way, all_ in best.items()}}))
        sys.stdout.write("\n")


def message() -> None:
    """Print the seconds of a message of one number, and of each byte of a long one, between two processes."""
    find_processes()
    seconds = []
    for count, times in ((1, 200), (4_000_000, 10)):
        numbers = torch.zeros(count)
        dist.all_reduce(numbers)
        begun = time.perf_counter()
        for _ in range(times):
            dist.all_reduce(numbers)
        seconds.append((time.perf_counter() - begun) / times)
    if find_processes().is_first:
        sys.stdout.write(json.dumps({"latency": seconds[0], "bytes_per_second": 16e6 / seconds[1]}) + "\n")


def step_seconds(hidden: int, layers: int, tokens: int, gflops: float | None) -> tuple[float, int]:
    """Return the seconds of forward and backward of so many tokens, and the number of parameters.

    Args:
        hidden: size of an LSTM.
        layers: of it.
        tokens: of a minibatch.
        gflops: 10⁹ operations a second of a process, six for each parameter and token; measured if not given.
    """
    from elman.data.ragged.ragged import Ragged
    from elman.nn.recurrent import Recurrent

    layer = Recurrent("lstm", hidden, hidden, num_layers=layers)
    parameters = sum(map(torch.numel, layer.parameters()))
    if gflops is not None:
        return 6e-9 * parameters * tokens / gflops, parameters
    batch = Ragged.from_dense(torch.randn(max(1, tokens // 50), 50, hidden))
    layer(batch)[0].data.sum().backward()
    begun = time.perf_counter()
    layer(batch)[0].data.sum().backward()
    return time.perf_counter() - begun, parameters


def simulate(tokens: int, gflops: float | None) -> None:
    """Print the speed of several processes beside one, for the same global minibatch.

    A step of n processes takes the compute of the longest part, (1.05 / n) of the whole, and two messages by a ring:
    2 (n - 1) latencies and 2 (n - 1) / n of the gradient's bytes over the bandwidth, and the same latencies for the
    figures. Messages dominate where they take longer than the computing.
    """
    for size, (hidden, layers) in SIZES.items():
        seconds, parameters = step_seconds(hidden, layers, tokens, gflops)
        for network, (bandwidth, latency) in NETWORKS.items():
            speeds, end = {}, None
            for n in COUNTS:
                computing = 1.05 * seconds / n
                sending = 2 * 2 * (n - 1) * latency + 2 * (n - 1) / n * 4 * parameters / bandwidth
                speeds[n] = round(seconds / (computing + sending), 1)
                end = n if end is None and sending > computing else end
            row = {"model": size, "parameters": parameters, "step_ms": round(1000 * seconds), "network": network}
            sys.stdout.write(json.dumps({**row, "speedup": speeds, "messages dominate at": end}) + "\n")


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("measure", "simulate", "work", "message"))
    parser.add_argument("--model", default="news-bilstm")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--most", type=int, default=30, help="minibatches")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=6400, help="of a global minibatch")
    parser.add_argument("--gflops", type=float, help="of a process, in place of a measurement")
    given = parser.parse_args()
    if given.command == "work":
        work(given.model, given.threads, given.most)
    elif given.command == "measure":
        sys.stdout.write(json.dumps(launched(["message"], 2)) + "\n")
        measure(given.most, given.turns)
    elif given.command == "message":
        message()
    else:
        simulate(given.tokens, given.gflops)


if __name__ == "__main__":
    main()
