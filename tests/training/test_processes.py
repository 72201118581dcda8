"""Several processes train one model as one process does; they end together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

WORKER = Path(__file__).parent / "worker.py"
SECONDS = 240


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(scenario: str, folder: Path, size: int = 2, **more: str) -> list[subprocess.Popen[str]]:
    folder.mkdir(exist_ok=True, parents=True)
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), **more}
    path = os.pathsep.join([str(WORKER.parent), *sys.path])
    variables = {**os.environ, **shared, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return [
        subprocess.Popen(
            [sys.executable, str(WORKER), scenario, str(folder)],
            env={**variables, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def ended(workers: list[subprocess.Popen[str]], seconds: float = SECONDS) -> list[tuple[int, str]]:
    try:
        said = [worker.communicate(timeout=seconds)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    return [(worker.returncode, text) for worker, text in zip(workers, said, strict=True)]


def results(scenario: str, folder: Path, size: int = 2, **more: str) -> list[Any]:
    for code, said in ended(start(scenario, folder, size, **more)):
        assert code == 0, said
    return [json.loads((folder / f"{scenario}-{rank}.json").read_text()) for rank in range(size)]


@pytest.fixture(scope="module")
def same(tmp_path_factory) -> list[Any]:
    return results("same", tmp_path_factory.mktemp("same"))


def test_gradients_are_those_of_one_process(same):
    # Very unequal lengths, parts without a target, one sequence for two processes, and batches without any target.
    for found in same:
        assert found["size"] == 2
        for together, alone in zip(found["together"][0], found["alone"][0], strict=True):
            # The second figure counts rows without a target, which no process with targets has.
            assert [together[0], *together[2:]] == pytest.approx([alone[0], *alone[2:]], abs=1e-12, rel=0)
    assert any(row[2] == 0 for row in same[0]["alone"][0])
    assert any(row[2] for row in same[0]["alone"][0])


def test_the_streams_of_a_text_are_shared_out_and_their_states_carried(same):
    for found in same:
        together, alone = found["together"][1], found["alone"][1]
        # The last windows have fewer streams with tokens; sequences are counted where there are any.
        pairs = [(one, other) for n, (one, other) in enumerate(zip(together, alone, strict=True)) if n % 5 != 3]
        assert [one for one, _ in pairs] == pytest.approx([other for _, other in pairs], abs=1e-12, rel=0)


def test_every_target_is_scored_once(same):
    for found in same:
        for kind in ("rows", "text"):
            assert found["together"][2][kind] == pytest.approx(found["alone"][2][kind], abs=1e-12)
    assert same[0]["together"][2]["text"]["tokens"] == 186


def test_processes_that_do_not_fit_each_other_all_say_why(tmp_path):
    for found in results("refused", tmp_path):
        assert "Process 1 on" in found["data"]
        assert "training data: found" in found["data"]
        assert "Not every process sees the folder" in found["folder"]
        assert "missing for process 1 on" in found["folder"]
        assert found["fits"] == "no error"
        assert "The folder holds a run that is finished" in found["holds a run"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Any:
    return results("trained", tmp_path_factory.mktemp("unbroken"), EPOCHS="4")[0]


def wait_for(path: Path, workers: list[subprocess.Popen[str]]) -> None:
    end = time.monotonic() + SECONDS
    while not path.exists() and time.monotonic() < end:
        assert all(worker.poll() is None for worker in workers), ended(workers)
        time.sleep(0.05)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_ends_the_other_and_the_run_goes_on(victim: int, unbroken, tmp_path):
    workers = start("trained", tmp_path, EPOCHS="4000")
    wait_for(tmp_path / "going", workers)
    workers[victim].kill()
    (code, said) = ended(workers, 30)[1 - victim]
    assert code == 3
    assert "OtherProcessError: Another process of the run has ended" in said
    assert "--resume" in said
    assert said.count("Error:") == 1


def test_ctrl_c_stops_all_after_the_same_minibatch_and_the_resumed_run_is_the_unbroken_one(unbroken, tmp_path):
    workers = start("trained", tmp_path, EPOCHS="4", SLOW="1")
    wait_for(tmp_path / "going", workers)
    workers[1].send_signal(signal.SIGINT)
    said = [text for code, text in ended(workers) if code == 3]
    # A run that was over before the signal has nothing to stop.
    if said:
        assert said[0] == said[1]
        assert "resume it from" in said[0]
    assert results("trained", tmp_path, EPOCHS="4")[0] == unbroken


def test_a_run_goes_on_with_another_number_of_processes(unbroken, tmp_path):
    first = start("trained", tmp_path, EPOCHS="4", SLOW="1")
    wait_for(tmp_path / "going", first)
    first[0].send_signal(signal.SIGTERM)
    ended(first)
    variables = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE")}
    path = os.pathsep.join([str(WORKER.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, str(WORKER), "trained", str(tmp_path)],
        env={**variables, "EPOCHS": "4", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "trained-0.json").read_text())
    assert found["weights"] == pytest.approx(unbroken["weights"], abs=1e-12)
    assert "was stopped with 2 processes and goes on with 1" in done.stderr


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        workers = start("trained", tmp_path, MASTER_PORT=port)
        code, said = ended(workers)[0]
    assert code == 3
    assert f"The port of 127.0.0.1:{port} is in use" in said
    assert "--master-port" in said
