"""Several processes train one model as one process does; they end together."""

import json
import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from worker import launched

SECONDS = 240
# Each process is a fork of a server that has imported torch already, which takes seconds.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torch.distributed", "elman.data.text.token_text", "elman.training"])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Worker:
    """A process that runs a scenario of `worker.py`, and what it writes to standard error."""

    def __init__(self, scenario: str, folder: Path, variables: dict[str, str]):
        self._said = folder / f"said-{variables.get('RANK', 'alone')}"
        self.process = FORKS.Process(target=launched, args=(scenario, folder, variables, self._said))
        self.process.start()

    def signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def ended(self, seconds: float) -> tuple[int | None, str]:
        """Wait for its end, and return its exit code and what it wrote."""
        self.process.join(seconds)
        return self.process.exitcode, self._said.read_text() if self._said.exists() else ""


def start(scenario: str, folder: Path, size: int = 2, **more: str) -> list[Worker]:
    folder.mkdir(exist_ok=True, parents=True)
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), **more}
    ranks = ({"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size))
    return [Worker(scenario, folder, {**shared, **each}) for each in ranks]


def ended(workers: list[Worker], seconds: float = SECONDS) -> list[tuple[int | None, str]]:
    try:
        return [worker.ended(seconds) for worker in workers]
    finally:
        for worker in workers:
            worker.process.kill()


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
        assert "training data: " in found["data"]
        assert "Not every process sees the folder" in found["folder"]
        assert "missing for process 1 on" in found["folder"]
        assert found["fits"] == "no error"
        assert "The folder holds a run that is finished" in found["holds a run"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Any:
    return results("trained", tmp_path_factory.mktemp("unbroken"), EPOCHS="4")[0]


def wait_for(path: Path, workers: list[Worker]) -> None:
    end = time.monotonic() + SECONDS
    while not path.exists() and time.monotonic() < end:
        assert all(worker.process.is_alive() for worker in workers), ended(workers)
        time.sleep(0.05)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_ends_the_other_and_the_run_goes_on(victim: int, unbroken, tmp_path):
    workers = start("trained", tmp_path, EPOCHS="4000")
    wait_for(tmp_path / "going", workers)
    workers[victim].process.kill()
    (code, said) = ended(workers, 30)[1 - victim]
    assert code == 3
    assert "OtherProcessError: Another process of the run has ended" in said
    assert "--resume" in said
    assert said.count("Error:") == 1


def test_ctrl_c_stops_all_after_the_same_minibatch_and_the_resumed_run_is_the_unbroken_one(unbroken, tmp_path):
    workers = start("trained", tmp_path, EPOCHS="4", SLOW="1")
    wait_for(tmp_path / "going", workers)
    workers[1].signal(signal.SIGINT)
    said = [text for code, text in ended(workers) if code == 3]
    # A run that was over before the signal has nothing to stop.
    if said:
        assert said[0] == said[1]
        assert "resume it from" in said[0]
    assert results("trained", tmp_path, EPOCHS="4")[0] == unbroken


def test_a_run_goes_on_with_another_number_of_processes(unbroken, tmp_path):
    first = start("trained", tmp_path, EPOCHS="4", SLOW="1")
    wait_for(tmp_path / "going", first)
    first[0].signal(signal.SIGTERM)
    ended(first)
    ((code, said),) = ended([Worker("trained", tmp_path, {"EPOCHS": "4"})])
    assert code == 0, said
    found = json.loads((tmp_path / "trained-0.json").read_text())
    assert found["weights"] == pytest.approx(unbroken["weights"], abs=1e-12)
    assert "was stopped with 2 processes and goes on with 1" in said


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
