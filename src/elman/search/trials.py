"""The trials of a search: which are tried next, and which were lost with their worker."""

import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elman.errors import UsageError
from elman.search.journal import import_optuna, sampler
from elman.settings.space import Choices, Form, Range, Space, Value, drawn_of, numbers_of, values_from

# Seconds between two signs of life of a worker, and after its last one until its trial is tried again.
BEAT_SECONDS, GRACE_SECONDS = 10.0, 60.0
# Seconds between two looks at the trials of other workers, when there is nothing else to do.
WAIT_SECONDS = 1.0
# Draws one after the other that give no new trial, after which there is none.
REDRAWS, FEW_REDRAWS = 100, 3
TRIED = "all settings of the space have been tried"
WORKER, BEAT, VOID, RETRY_OF, DEFAULTS, PROBLEM = "worker", "beat", "void", "retry_of", "defaults", "problem"


def values_of(trial: Any, space: Space) -> dict[str, Value]:
    """Return the values of the settings of a trial, as it is trained with them."""
    return values_from(space, trial.params)


def done(trials: Sequence[Any]) -> list[Any]:
    """Return the trials that were finished or pruned."""
    return [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]


@dataclass
class Trials:
    """The trials of a study, as one worker tries them.

    Attributes:
        study: of Optuna.
        space: what is drawn.
        limit: trials of all workers together; None without a limit.
        deadline: of `time.monotonic`, after which no trial begins; None without one.
        seed: of the draws.
        exhausted: why there is nothing new to draw; empty while there is.
    """

    study: Any
    space: Space
    limit: int | None = None
    deadline: float | None = None
    seed: int = 0
    exhausted: str = ""
    _next: int = 0
    _seen: dict[int, tuple[Any, float]] = field(default_factory=dict)
    _redraws: int = 0

    @property
    def _drawn(self) -> dict[str, Range | Choices]:
        return drawn_of(self.space)

    def enqueue_defaults(self, defaults: Mapping[str, Value]) -> None:
        """Try the defaults first, if they are in the space and nothing was tried."""
        drawn = {}
        for name, domain in self.space.items():
            drawn |= _all_drawn(name, domain, defaults.get(name))
        if not self._all() and None not in drawn.values():
            self._enqueue(drawn, {DEFAULTS: True})

    def claim(self) -> Any:
        """Return the next trial, or None when the search is over.

        While the last trials run elsewhere it waits for them, since their workers may be lost.
        """
        while not self.exhausted and (self.deadline is None or time.monotonic() < self.deadline):
            self.requeue_lost()
            trials = self._all()
            self._check_size(trials)
            running = sum(trial.state.name == "RUNNING" for trial in trials)
            if self.exhausted or (self.limit is not None and len(done(trials)) >= self.limit):
                return None
            if self.limit is not None and len(done(trials)) + running >= self.limit:
                time.sleep(WAIT_SECONDS)
            elif (trial := self._asked()) is not None:
                return trial
        return None

    def refuse(self, trial: Any, reason: str) -> None:
        """Drop a trial that is not tried, so that another one is drawn.

        Raises:
            UsageError: all of the latest draws were dropped for such a reason.
        """
        optuna = import_optuna()
        trial.set_user_attr(VOID, reason)
        self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        self._redraws += 1
        if self._redraws >= REDRAWS:
            self.exhausted = reason

    def finish(self, trial: Any, value: float | None, problem: str = "") -> None:
        """Write the value of a trial, or that it was pruned if it has none."""
        optuna = import_optuna()
        self._redraws = 0
        # Another worker may have given this one up and tried its trial again.
        with suppress(ValueError, RuntimeError, KeyError):
            if problem:
                trial.set_user_attr(PROBLEM, problem)
            if value is None:
                self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                self.study.tell(trial, value)

    def give_back(self, trial: Any) -> None:
        """Leave a trial to other workers, or to this one when it is started again."""
        self._requeue(self.study.get_trials(deepcopy=False)[trial.number])

    def requeue_lost(self) -> None:
        """Queue the trials again whose workers give no sign of life."""
        trials = self._all()
        retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
        for trial in trials:
            if trial.state.name == "RUNNING" and self._is_lost(trial):
                self._requeue(trial)
            elif self._is_forgotten(trial) and trial.number not in retried:
                self._retry(trial)

    def _requeue(self, trial: Any) -> None:
        optuna = import_optuna()
        try:
            self.study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)
        except (RuntimeError, KeyError, ValueError):
            # It was finished, or another worker was faster.
            return
        if self._drawn.keys() <= trial.params.keys():
            self._retry(trial)

    def _retry(self, trial: Any) -> None:
        """Queue the values of a trial again."""
        kept = {name: True for name in (DEFAULTS,) if name in trial.user_attrs}
        self._enqueue(trial.params, {RETRY_OF: trial.number, **kept})

    def _is_lost(self, trial: Any) -> bool:
        worker, beat = trial.user_attrs.get(WORKER, ""), trial.user_attrs.get(BEAT)
        home, _, process = worker.rpartition(":")
        if home == _home() and not _is_alive(int(process)):
            return True
        # By this clock alone: those of two machines may differ.
        before, since = self._seen.get(trial.number, (None, time.monotonic()))
        if trial.number not in self._seen or before != beat:
            self._seen[trial.number] = (beat, time.monotonic())
            return False
        return time.monotonic() - since > GRACE_SECONDS

    def _is_forgotten(self, trial: Any) -> bool:
        """Return whether a worker was lost after it gave a trial up and before it queued it again."""
        if trial.state.name != "FAIL" or VOID in trial.user_attrs or not self._drawn.keys() <= trial.params.keys():
            return False
        if trial.number not in self._seen or self._seen[trial.number][0] != "failed":
            self._seen[trial.number] = ("failed", time.monotonic())
        return time.monotonic() - self._seen[trial.number][1] > GRACE_SECONDS

    def _asked(self) -> Any:
        """Return a trial with new values, or None if it was dropped."""
        # A sampler that repeats itself has nothing left to learn.
        number, at_random = self._next or len(self._all()), self._redraws >= FEW_REDRAWS
        self.study.sampler = sampler(self.seed, number, at_random=at_random)
        trial = self.study.ask()
        self._next = trial.number + 1
        trial.set_user_attr(WORKER, f"{_home()}:{os.getpid()}")
        for name, domain in self._drawn.items():
            _suggest(trial, name, domain)
        if reason := self._superfluous(trial):
            self.refuse(trial, reason)
            return None
        return trial

    def _superfluous(self, trial: Any) -> str:
        trials, values = self._all(), values_of(trial, self.space)
        others = [each for each in trials if each.number != trial.number and each.state.name != "FAIL"]
        equal = [each for each in others if values_of(each, self.space) == values]
        if {RETRY_OF, DEFAULTS} & trial.user_attrs.keys():
            # A queued trial is dropped only if an equal one was tried.
            equal = [each for each in equal if each.number < trial.number or done([each])]
        if equal:
            return TRIED
        earlier = [each for each in others if each.number < trial.number or done([each])]
        counted = len(done(earlier)) + sum(each.state.name == "RUNNING" for each in earlier)
        return "other workers have the last trials" if self.limit is not None and counted >= self.limit else ""

    def _check_size(self, trials: Sequence[Any]) -> None:
        """Note that every setting of a space of single values was tried."""
        size = math.prod(map(_size, self._drawn.values()))
        if len(done(trials)) >= size:
            self.exhausted = TRIED

    def _enqueue(self, drawn: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
        self.study.enqueue_trial(dict(drawn), user_attrs=dict(attributes))

    def _all(self) -> list[Any]:
        return self.study.get_trials(deepcopy=False)


@contextmanager
def beating(study: Any, trial: Any) -> Iterator[None]:
    """Give signs of life of a trial while it is tried."""
    over = threading.Event()

    def beat() -> None:
        number = 0
        while not over.wait(BEAT_SECONDS):
            number += 1
            # The journal may be out of reach for a while, or the trial given up by others.
            with suppress(Exception):
                study._storage.set_trial_user_attr(trial._trial_id, BEAT, number)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def refuse_conflicts(reason: str) -> UsageError:
    """Return the error for a space whose values never go together."""
    return UsageError("No values of the space go together.", where=reason, fix="Change the space, or a setting.")


def _size(domain: Range | Choices) -> float:
    """Return how many values a domain has."""
    if isinstance(domain, Choices):
        return len(domain.values)
    if not domain.whole and domain.step is None:
        return math.inf
    return (domain.high - domain.low) // (domain.step or 1) + 1


def _suggest(trial: Any, name: str, domain: Range | Choices) -> None:
    if isinstance(domain, Choices):
        trial.suggest_categorical(name, range(len(domain.values)))
    elif domain.whole:
        trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log, step=int(domain.step or 1))
    else:
        trial.suggest_float(name, domain.low, domain.high, log=domain.log, step=domain.step)


def _all_drawn(name: str, domain: Range | Choices | Form, value: Any) -> dict[str, Any]:
    """Return what is drawn for a value by name, None where it is not in the domain."""
    if not isinstance(domain, Form):
        return {name: _drawn(domain, value)}
    numbers = numbers_of(value, domain.text) or [None] * len(domain.parts)
    return {f"{name}.{key}": _drawn(domain.parts[key], each) for key, each in zip(domain.names, numbers, strict=True)}


def _drawn(domain: Range | Choices, value: Any) -> Any:
    """Return what is drawn for a value, None if it is not in the domain."""
    if isinstance(domain, Choices):
        return domain.values.index(value) if value in domain.values else None
    if domain.form is not None:
        value = next(iter(numbers_of(value, domain.form)), None)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    inside = domain.low <= value <= domain.high and (isinstance(value, int) or not domain.whole)
    return value if inside and (domain.step is None or (value - domain.low) % domain.step == 0) else None


def _home() -> str:
    """Return a name of the container and machine, whose processes this one can see."""
    found = [socket.gethostname()]
    with suppress(OSError):
        found.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        found.append(str(Path("/proc/self/ns/pid").readlink()))
    return "/".join(found)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
