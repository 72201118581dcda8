"""Training in two processes of which one is killed with SIGKILL at a random moment.

`python -m experiments.kills --times 20` trains a small classifier with `elman train` in two processes, kills one of
them, waits for the other, starts the command again as its message says, and compares the model with that of a run
that was not killed. The moments are drawn with a seed: at the start, in a minibatch, in an evaluation, and while a
checkpoint is written. It prints a JSON object for each kill and one for all of them.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from elman.folders import CHECKPOINT, LOG, TENSORS
from elman.launch import find_free_port

PHASES = ("start", "minibatch", "evaluation", "checkpoint")
SIZE = 2
# In which the other process has to end.
LIMIT_SECONDS = 30.0
RUN_SECONDS = 300.0
ROWS = 600
SETTINGS = ("--epochs", "3", "--hidden-size", "24", "--embedding", "16", "--batch-size", "32", "--seed", "5")
FLAGS = (*SETTINGS, "--wide", "off", "--baseline", "off", "--checkpoint-batches", "4", "--threads", "1")


class Moment(NamedTuple):
    """When a process is killed.

    Attributes:
        phase: of the run, one of `PHASES`.
        call: which time the run is in this phase, from 1.
        after: seconds since the phase began.
        victim: rank of the process.
    """

    phase: str
    call: int
    after: float
    victim: int


class Ended(NamedTuple):
    """A run that ended.

    Attributes:
        codes: of the processes.
        said: standard error of each.
        seconds: between the kill, or the start, and the end of the last process.
        killed: whether a process was killed before the run was over.
    """

    codes: list[int]
    said: list[str]
    seconds: float
    killed: bool


def work(moments: str, arguments: Sequence[str]) -> int:
    """Run a command of elman in this process, and write down when each phase begins and ends."""
    from elman.cli.app import run
    from elman.training import trainer

    def noted(owner: Any, name: str, phase: str) -> None:
        original = getattr(owner, name)

        def call(*given: Any, **named: Any) -> Any:
            _note(moments, f"{phase} begin")
            try:
                return original(*given, **named)
            finally:
                _note(moments, f"{phase} end")

        setattr(owner, name, call)

    if os.environ["RANK"] == "0":
        noted(trainer.Trainer, "_train_batch", "minibatch")
        noted(trainer, "evaluate", "evaluation")
        noted(trainer, "write_checkpoint", "checkpoint")
    return run(arguments)


def _note(path: str, line: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{line} {time.monotonic()}\n")


def run_processes(folder: Path, arguments: Sequence[str], moment: Moment | None = None) -> Ended:
    """Run a command of elman in several processes, and kill one of them."""
    moments = folder / "moments"
    moments.unlink(missing_ok=True)
    port = str(find_free_port())
    shared = {**os.environ, "WORLD_SIZE": str(SIZE), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-m", "experiments.kills", "--work", str(moments), "--", *arguments]
    files = [(folder / f"said-{rank}").open("w+") for rank in range(SIZE)]
    started = [
        subprocess.Popen(command, env={**shared, "RANK": str(rank)}, stdout=subprocess.DEVNULL, stderr=files[rank])
        for rank in range(SIZE)
    ]
    begun, killed = time.monotonic(), False
    try:
        if moment is not None and _wait_for(moment, moments, begun, started):
            begun, killed = time.monotonic(), started[moment.victim].poll() is None
            started[moment.victim].send_signal(signal.SIGKILL)
        for each in started:
            each.wait(RUN_SECONDS if moment is None else LIMIT_SECONDS + 5)
    except subprocess.TimeoutExpired:
        pass
    finally:
        seconds = time.monotonic() - begun
        for each in started:
            each.kill()
            each.wait()
    said = []
    for file in files:
        file.seek(0)
        said.append(file.read())
        file.close()
    return Ended([each.returncode for each in started], said, seconds, killed)


def _wait_for(moment: Moment, moments: Path, begun: float, started: Sequence[subprocess.Popen[bytes]]) -> bool:
    """Wait for a moment, and return whether it was reached before the run was over."""
    end = begun + RUN_SECONDS
    while time.monotonic() < end and all(each.poll() is None for each in started):
        if moment.phase == "start":
            begins = [begun]
        else:
            begins = [at for phase, edge, at in _read(moments) if (phase, edge) == (moment.phase, "begin")]
        if len(begins) >= moment.call:
            time.sleep(max(0.0, begins[moment.call - 1] + moment.after - time.monotonic()))
            return True
        time.sleep(0.001)
    return False


def _read(moments: Path) -> Iterator[tuple[str, str, float]]:
    lines = moments.read_text().splitlines() if moments.exists() else []
    for line in lines:
        # The last line may be half written.
        if len(words := line.split()) == 3:
            yield words[0], words[1], float(words[2])


def draw(moments: Path, begun: float, times: int, seed: int, phases: Sequence[str]) -> list[Moment]:
    """Return the moments of kills, drawn from the phases of a run that was not killed."""
    generator, spans = random.Random(seed), _spans(moments, begun)
    found = []
    for number in range(times):
        phase = phases[number % len(phases)]
        call = generator.randrange(len(spans[phase])) + 1
        after = generator.uniform(0, spans[phase][call - 1])
        found.append(Moment(phase, call, round(after, 4), number // len(phases) % SIZE))
    return found


def _spans(moments: Path, begun: float) -> dict[str, list[float]]:
    """Return the seconds of each time that the run was in each phase."""
    found: dict[str, list[float]] = {phase: [] for phase in PHASES}
    opened: dict[str, float] = {}
    for phase, edge, at in _read(moments):
        if not found["start"]:
            found["start"].append(at - begun)
        if edge == "begin":
            opened[phase] = at
        else:
            found[phase].append(at - opened.pop(phase))
    return found


def write_data(folder: Path) -> list[str]:
    """Write texts with labels, and return the words of the command but for its folder."""
    generator, words = random.Random(0), [f"w{n}" for n in range(60)]
    rows = []
    for _ in range(ROWS):
        text = generator.choices(words, k=generator.randint(1, 30))
        rows.append(f"{' '.join(text)},{'even' if sum(map(words.index, text)) % 3 else 'odd'}")
    for name, part in (("train.csv", rows[ROWS // 5 :]), ("validation.csv", rows[: ROWS // 5])):
        (folder / name).write_text("\n".join(["text,label", *part]) + "\n")
    return ["train", "classify", str(folder / "train.csv"), "--validation", str(folder / "validation.csv"), *FLAGS]


def result_of(folder: Path) -> tuple[bytes, list[Any]]:
    """Return the weights of a model and the scores of its epochs."""
    rows = map(json.loads, (folder / LOG).read_text().splitlines())
    kept = [{name: value for name, value in row.items() if "second" not in name} for row in rows]
    return (folder / TENSORS).read_bytes(), [row for row in kept if row.get("kind") == "epoch"]


def kill_once(folder: Path, command: Sequence[str], moment: Moment, unbroken: Any) -> dict[str, Any]:
    """Kill a run, go on with it, and return what was seen."""
    out = folder / "killed"
    first = run_processes(folder, [*command, "--out", str(out)], moment)
    other = first.said[1 - moment.victim]
    saved = (out / CHECKPOINT).exists()
    again = run_processes(folder, [*command, "--out", str(out), *(["--resume"] if saved else [])])
    same = again.codes == [0] * SIZE and result_of(out) == unbroken
    errors = [line for line in other.splitlines() if line.startswith("elman: error")]
    return {
        **moment._asdict(),
        "killed": first.killed,
        "codes": first.codes,
        "seconds": round(first.seconds, 1),
        "ended": first.seconds <= LIMIT_SECONDS,
        "message": errors[0] if len(errors) == 1 else other[-300:],
        # A process that has received the last message of the run finishes it.
        "one message": first.codes[1 - moment.victim] == 0 or (len(errors) == 1 and "Traceback" not in other),
        "saved": saved,
        "same": same,
        **({} if same else {"again": again.codes, "said": [text[-300:] for text in again.said]}),
    }


def kill_all(times: int, seed: int, phases: Sequence[str], keep: Path | None) -> bool:
    """Print what was seen of so many kills, and return whether all of them ended well."""
    base = Path(tempfile.mkdtemp()) if keep is None else keep
    base.mkdir(parents=True, exist_ok=True)
    command, begun = write_data(base), time.monotonic()
    whole = run_processes(base, [*command, "--out", str(base / "whole")])
    if any(whole.codes):
        raise SystemExit(f"The unbroken run failed:\n{whole.said[0]}")
    unbroken, found = result_of(base / "whole"), []
    for number, moment in enumerate(draw(base / "moments", begun, times, seed, phases)):
        folder = base / str(number)
        folder.mkdir()
        found.append(kill_once(folder, command, moment, unbroken))
        sys.stdout.write(json.dumps(found[-1]) + "\n")
        sys.stdout.flush()
    killed = [each for each in found if each["killed"]]
    good = {name: sum(each[name] for each in killed) for name in ("ended", "one message", "same")}
    longest = max((each["seconds"] for each in killed), default=0.0)
    sys.stdout.write(json.dumps({"killed": len(killed), **good, "longest seconds": longest}) + "\n")
    return all(count == len(killed) for count in good.values())


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=PHASES)
    parser.add_argument("--keep", type=Path, help="folder of the runs; a temporary one if not given")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        return work(given.work, given.arguments)
    if given.arguments:
        parser.error(f"unrecognized arguments: {' '.join(given.arguments)}")
    return 0 if kill_all(given.times, given.seed, given.phases, given.keep) else 1


if __name__ == "__main__":
    sys.exit(main())
