"""Searches: trials of several workers on one journal, of which none is tried twice or lost."""

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from elman.cli.app import run
from tests.search.words import write_words

optuna = pytest.importorskip("optuna", reason="searches need optuna: pip install 'elman[search]'")

from elman.search import trials as trials_module  # noqa: E402
from elman.search.journal import open_study  # noqa: E402
from elman.search.trials import DEFAULTS, RETRY_OF, VOID, WORKER, Trials, done, values_of  # noqa: E402
from elman.search.worker import Pruned, Reports  # noqa: E402
from elman.settings.space import Choices, Form, Range  # noqa: E402
from elman.training.listener import EpochEvent  # noqa: E402
from elman.training.record import EpochRecord  # noqa: E402

SPACE = {"rate": Range(1e-4, 1.0, log=True), "size": Range(1, 3), "kind": Choices(("a", None, (1, 2)))}
SMALL = ("--hidden-size", 4, "--epochs", 2, "--embedding", 4, "--wide", "off")
IDENTITY = {"task": "none", "seeds": 1}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.log"


def trials_on(journal: Path, space=SPACE, limit: int | None = None, **how) -> Trials:
    return Trials(open_study(journal, IDENTITY, larger_is_better=False), space, limit, **how)


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(word) for word in words])
    return (code, *capsys.readouterr())


def test_trials_until_the_limit_with_the_defaults_first(journal: Path):
    trials = trials_on(journal, limit=6)
    trials.enqueue_defaults({"rate": 0.01, "size": 2, "kind": (1, 2)})
    found = []
    while (trial := trials.claim()) is not None:
        found.append(values_of(trial, SPACE))
        trials.finish(trial, found[-1]["rate"])
    assert found[0] == {"rate": 0.01, "size": 2, "kind": (1, 2)}
    assert len(found) == 6
    assert all(value == float(f"{value:.3g}") for value in (each["rate"] for each in found))
    again = trials_on(journal, limit=6)
    assert again.claim() is None
    more = trials_on(journal, limit=7)
    trial = more.claim()
    assert trial is not None
    assert DEFAULTS not in trial.user_attrs


def test_a_worker_alone_draws_the_same_again(tmp_path: Path):
    drawn = []
    for name in ("one.log", "two.log"):
        trials, found = trials_on(tmp_path / name, limit=12, seed=3), []
        while (trial := trials.claim()) is not None:
            found.append(values_of(trial, SPACE))
            trials.finish(trial, math.log(found[-1]["rate"]) ** 2)
        drawn.append(found)
    assert drawn[0] == drawn[1]
    other = values_of(trials_on(tmp_path / "three.log", seed=4).claim(), SPACE)
    assert other != drawn[0][0]


def test_a_small_space_is_tried_once_each(journal: Path):
    space = {"size": Range(1, 3), "kind": Choices(("a", "b"))}
    workers = [trials_on(journal, space), trials_on(journal, space)]
    claimed = []
    while any(not each.exhausted for each in workers):
        for worker in workers:
            if (trial := worker.claim()) is not None:
                claimed.append(tuple(values_of(trial, space).values()))
                worker.finish(trial, 1.0)
    assert sorted(claimed) == [(size, kind) for size in (1, 2, 3) for kind in "ab"]
    assert "have been tried" in workers[0].exhausted


def test_the_limit_holds_for_all_workers(journal: Path, monkeypatch: pytest.MonkeyPatch):
    one, two = trials_on(journal, limit=2), trials_on(journal, limit=2)
    trials = [one.claim(), two.claim()]
    assert None not in trials
    waited = []

    def finish_the_other(seconds: float) -> None:
        waited.append(seconds)
        two.finish(trials[1], 1.0)

    one.finish(trials[0], 1.0)
    monkeypatch.setattr(trials_module.time, "sleep", finish_the_other)
    assert one.claim() is None
    assert waited


def test_the_trial_of_a_lost_process_is_tried_again(journal: Path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lost, other = trials_on(journal, limit=1), trials_on(journal, limit=1)
    trial = lost.claim()
    trial.set_user_attr(WORKER, f"{trials_module._home()}:{gone.pid}")
    again = other.claim()
    assert again.user_attrs[RETRY_OF] == trial.number
    assert values_of(again, SPACE) == values_of(trial, SPACE)
    # The first worker was only slow: what it reports now counts no more.
    lost.finish(trial, 1.0)
    other.finish(again, 2.0)
    assert [each.value for each in done(other.study.get_trials())] == [2.0]


def test_the_trial_of_a_worker_elsewhere_is_tried_again_without_signs_of_life(
    journal: Path, monkeypatch: pytest.MonkeyPatch
):
    now = [0.0]
    monkeypatch.setattr(trials_module.time, "monotonic", lambda: now[0])
    here, there = trials_on(journal), trials_on(journal)
    trial = there.claim()
    trial.set_user_attr(WORKER, "elsewhere:1")
    here.requeue_lost()
    now[0] += trials_module.GRACE_SECONDS - 1
    trial.set_user_attr("beat", 1)
    here.requeue_lost()
    now[0] += 2
    here.requeue_lost()
    assert here.study.trials[0].state.name == "RUNNING"
    now[0] += trials_module.GRACE_SECONDS
    here.requeue_lost()
    assert here.study.trials[0].state.name == "FAIL"
    assert here.study.trials[1].user_attrs[RETRY_OF] == 0


def test_a_trial_that_was_given_up_and_not_queued_is_tried_again(journal: Path, monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(trials_module.time, "monotonic", lambda: now[0])
    trials = trials_on(journal)
    trials.enqueue_defaults({"rate": 0.01, "size": 2, "kind": "a"})
    trial = trials.claim()
    # Its worker was killed between the two entries of the journal.
    trials.study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)
    trials.requeue_lost()
    now[0] += trials_module.GRACE_SECONDS + 1
    trials.requeue_lost()
    again = trials.claim()
    assert again.user_attrs[RETRY_OF] == trial.number
    assert again.user_attrs[DEFAULTS]
    trials.requeue_lost()
    assert len(trials.study.trials) == 2


def test_a_trial_that_is_given_back_is_claimed_again(journal: Path):
    trials = trials_on(journal, limit=1)
    trial = trials.claim()
    trials.give_back(trial)
    assert values_of(trials.claim(), SPACE) == values_of(trial, SPACE)


def test_another_search_is_refused(journal: Path):
    trials_on(journal)
    with pytest.raises(ValueError, match=r"is the journal of another search[.]\n  seeds: 1 there, 2 here"):
        open_study(journal, {**IDENTITY, "seeds": 2}, larger_is_better=False)


def test_half_a_line_of_a_killed_worker_is_removed(journal: Path):
    first = trials_on(journal)
    trial = first.claim()
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":8,"work')
    # A worker that runs already, and one that starts.
    first.finish(trial, 0.5)
    assert journal.read_bytes().startswith(whole + b'{"op_code"')
    journal.write_bytes(journal.read_bytes()[:-9])
    again = trials_on(journal)
    again.claim()
    assert all(json.loads(line) for line in journal.read_text().splitlines())
    assert len(trials_on(journal).study.trials) == 2


def test_settings_that_differ_are_named(journal: Path):
    open_study(journal, {"settings": {"seed": "1", "wide": "'off'"}}, larger_is_better=False)
    with pytest.raises(ValueError, match=r"another search[.]\n  seed: 1 there, 2 here\n  cell: none there, 'gru' here"):
        open_study(journal, {"settings": {"seed": "2", "wide": "'off'", "cell": "'gru'"}}, larger_is_better=False)


@pytest.mark.parametrize("content", ["text,label\na,b\n", '{"a": 1}\n', "[1, 2]\n3\n"])
def test_what_is_not_a_journal_is_refused_and_kept(journal: Path, content: str):
    journal.write_text(content)
    with pytest.raises(ValueError, match="not the journal of a search"):
        trials_on(journal)
    assert journal.read_text() == content


def test_the_journal_of_another_program_is_refused(journal: Path):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.create_study(storage=JournalStorage(JournalFileBackend(str(journal))), study_name="other")
    with pytest.raises(ValueError, match="not the journal of a search"):
        trials_on(journal)


def test_hopeless_trials_are_pruned_by_the_epochs(journal: Path):
    trials = trials_on(journal)

    def epoch(number: int, score: float) -> EpochEvent:
        return EpochEvent(EpochRecord(number, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, {"mae": score}), is_best=True)

    for _ in range(6):
        trial = trials.claim()
        reports = Reports(trial, "mae", larger_is_better=False)
        for number in (1, 2, 3):
            reports.epoch(epoch(number, 1.0 / number))
        trials.finish(trial, 1 / 3)
    reports = Reports(trials.claim(), "mae", larger_is_better=False)
    reports.epoch(epoch(1, math.nan))
    reports.epoch(epoch(2, 0.2))
    # A later epoch that is worse does not count.
    reports.epoch(epoch(3, 5.0))
    hopeless = Reports(trials.claim(), "mae", larger_is_better=False)
    hopeless.epoch(epoch(1, 9.0))
    with pytest.raises(Pruned):
        hopeless.epoch(epoch(2, 9.0))


def test_a_trial_that_others_gave_up_is_left_to_them(journal: Path):
    trials = trials_on(journal)
    trial = trials.claim()
    # As another worker does after this one gave no sign of life.
    trials_on(journal).give_back(trial)
    record = EpochRecord(1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, {"mae": 1.0})
    with pytest.raises(Pruned, match="another worker tries it again"):
        Reports(trial, "mae", larger_is_better=False).epoch(EpochEvent(record, is_best=True))
    trials.finish(trial, None, "another worker tries it again")
    again = trials.claim()
    assert again.user_attrs[RETRY_OF] == trial.number
    assert again.params == trial.params


def test_a_search_is_continued_and_its_command_trains_the_best_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write_words(tmp_path / "words.csv", 80)
    (tmp_path / "space.toml").write_text("learning_rate = {low = 1e-3, high = 0.1, log = true}\ndense = [[4], []]")
    line = ("search", "classify", "words.csv", "--space", "space.toml", "--storage", "a.log", *SMALL, "--json")
    code, out, err = call(capsys, *line, "--trials", 3)
    assert code == 0, err
    first = json.loads(out.splitlines()[-1])
    assert first["trials"] == 3
    code, out, err = call(capsys, *line, "--trials", 4)
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])
    assert found["trials"] == 4
    assert err.count("\ntrial ") == 1
    assert found["best"]["accuracy"] >= first["best"]["accuracy"]
    page = (tmp_path / "a.html").read_text()
    for said in ("Best trials", "History", "Settings side by side", "learning_rate", found["command"].split()[-3]):
        assert said in page
    words = shlex.split(found["command"])
    code, out, err = call(capsys, *words[1:], "--json")
    assert code == 0, err
    trained = json.loads(out.splitlines()[-1])
    assert trained["accuracy"] == pytest.approx(found["best"]["accuracy"])


def test_several_seeds_are_averaged_and_the_defaults_are_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write_words(tmp_path / "words.csv", 80)
    line = ("search", "classify", "words.csv", "--trials", 1, *SMALL, "--json")
    scores = []
    for flags in (("--seed", 5), ("--seed", 6), ("--seed", 5, "--seeds", 2)):
        code, out, err = call(capsys, *line, "--storage", f"{'-'.join(map(str, flags))}.log", *flags)
        assert code == 0, err
        found = json.loads(out.splitlines()[-1])
        assert found["defaults"]["accuracy"] == found["best"]["accuracy"]
        scores.append(found["best"]["accuracy"])
    assert scores[2] == pytest.approx((scores[0] + scores[1]) / 2)


def test_defaults_of_options_and_texts_are_tried_first(journal: Path):
    start = Form("sparse({radius}, {density})", {"radius": Range(0.1, 1.5), "density": Range(0.01, 0.5)})
    space = {"recurrent": start, "text": Range(1, 9, form="size({})")}
    trials = trials_on(journal, space, 2)
    trials.enqueue_defaults({"recurrent": "sparse(0.9, 0.1)", "text": "size(3)"})
    trial = trials.claim()
    assert values_of(trial, space) == {"recurrent": "sparse(0.9, 0.1)", "text": "size(3)"}
    trials.finish(trial, 1.0)
    assert trials.claim().params.keys() == {"recurrent.radius", "recurrent.density", "text"}


def test_a_reservoir_is_searched(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        json.dumps({"text": [math.sin(k * (1 + n % 3)) for k in range(8)], "target": n % 3 + 0.5}) for n in range(60)
    ]
    (tmp_path / "waves.jsonl").write_text("\n".join(rows))
    code, out, err = call(
        capsys, "search", "regress", "waves.jsonl", "--cell", "reservoir", "--trials", 2, "--seeds", 2, "--json",
        "--cell-options", "bias_scaling=0.2",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])
    assert found["defaults"] is not None
    assert found["best"]["settings"]["cell_options.recurrent"].startswith("sparse(")
    code, out, err = call(capsys, *shlex.split(found["command"])[1:], "--json")
    assert code == 0, err


@pytest.mark.slow
def test_two_processes_share_a_journal_and_one_is_killed(tmp_path: Path):
    write_words(tmp_path / "words.csv", 80)
    (tmp_path / "space.toml").write_text("learning_rate = {low = 1e-3, high = 0.1, log = true}\n")
    command = [sys.executable, "-m", "elman", "search", "classify", "words.csv", "--trials", "5"]
    command += ["--storage", "shared.log", "--space", "space.toml", *map(str, SMALL)]
    workers = [
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    journal = tmp_path / "shared.log"
    begun = time.monotonic()
    # Until the first worker has a trial of its own.
    mark = f':{workers[0].pid}"'
    while mark not in (journal.read_text() if journal.exists() else "") and time.monotonic() - begun < 120:
        time.sleep(0.05)
    os.kill(workers[0].pid, signal.SIGKILL)
    workers[0].communicate()
    out, err = workers[1].communicate(timeout=300)
    assert workers[1].returncode == 0, err
    assert "Train the best model:" in out
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    study = optuna.load_study(storage=JournalStorage(JournalFileBackend(str(journal))), study_name="elman")
    tried = done(study.trials)
    assert len(tried) == 5
    assert len({json.dumps(trial.params, sort_keys=True) for trial in tried}) == 5
    lost = [each for each in study.trials if each.state.name == "FAIL" and VOID not in each.user_attrs]
    # A lost trial is tried by the other worker, unless that has finished enough others before.
    whole = [each for each in lost if len(each.params) == len(tried[-1].params)]
    assert {each.user_attrs.get(RETRY_OF) for each in tried} - {None} <= {each.number for each in whole}


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ((), "A search needs an end."),
        (("--trials", 0), "Expected a number above 0 for --trials, got 0."),
        (("--trials", 1, "--engine", "spark"), "Expected local or ray for --engine, got 'spark'."),
        (("--trials", 1, "--workers", 2), "--workers: only with --engine ray."),
        (("--trials", 1, "--validation-fraction", 0), "Trials are compared by validation data."),
        (("--trials", 1, "--dropout", 2), "dropout: expected a value less than 1"),
    ],
)
def test_flags_that_make_no_sense(flags, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_words(tmp_path / "words.csv", 20)
    code, out, err = call(capsys, "search", "classify", tmp_path / "words.csv", *flags)
    assert (code, out) == (2, "")
    assert reason in err


def test_what_is_fixed_is_not_searched(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_words(tmp_path / "words.csv", 20)
    (tmp_path / "space.json").write_text('{"dropout": [0.1, 0.2]}')
    flags = ("--space", tmp_path / "space.json", "--dropout", 0.1, "--trials", 1)
    code, _, err = call(capsys, "search", "classify", tmp_path / "words.csv", *flags)
    assert code == 2
    assert "dropout: cannot be searched and fixed." in err
