"""The journal of a search: one file that all its workers append to."""

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elman.errors import DataError, MissingPackageError, UsageError, os_errors_as

NAME = "elman"
IDENTITY = "identity"
# Trials that draw at random before the others learn from them, and that finish before hopeless ones are pruned.
STARTUP, PRUNED_AFTER = 8, 5
# After which the lock of a worker that was killed while it wrote is removed.
GRACE_SECONDS = 15


def open_study(path: Path, identity: Mapping[str, Any], *, larger_is_better: bool) -> Any:
    """Return the study of a journal, which is made if the file is missing.

    Args:
        path: the file.
        identity: of the search, as JSON holds it; two searches with the same identity are one.
        larger_is_better: of two values.

    Raises:
        MissingPackageError: Optuna is not installed.
        DataError: the file cannot be written, or is not a journal.
        UsageError: it has another search; names what differs.
    """
    optuna = import_optuna()
    storage = _storage(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _refuse_foreign(path, storage)
        study = optuna.create_study(
            storage=storage,
            study_name=NAME,
            direction="maximize" if larger_is_better else "minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=PRUNED_AFTER, n_warmup_steps=2),
            load_if_exists=True,
        )
    wanted = json.loads(json.dumps(identity))
    if (found := study.user_attrs.get(IDENTITY)) is None:
        study.set_user_attr(IDENTITY, wanted)
    elif found != wanted:
        raise _another(path, found, wanted)
    return study


def sampler(seed: int, number: int, *, at_random: bool = False) -> Any:
    """Return the sampler of one trial, which learns from the trials before.

    Args:
        seed: of the search.
        number: different for each trial, so that two workers draw differently.
        at_random: whether the other trials are ignored.

    Source:
        S. Watanabe, Tree-Structured Parzen Estimator, 2023; several settings are drawn together.
    """
    optuna, own = import_optuna(), (seed * 1_000_003 + number) % 2**32
    if at_random:
        return optuna.samplers.RandomSampler(seed=own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.samplers.TPESampler(n_startup_trials=STARTUP, multivariate=True, constant_liar=True, seed=own)


def import_optuna() -> Any:
    """Return the module `optuna`, which prints warnings only.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        # An optional package.
        import optuna
    except ImportError:
        raise MissingPackageError(
            "A search needs the package optuna, which is not installed.", fix='Install it: pip install "elman[search]"'
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _storage(path: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with (
        os_errors_as(DataError, f"The journal {path} cannot be opened", fix="Give another file to --storage."),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            return JournalStorage(JournalFileBackend(str(path), _lock(path)))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _not_a_journal(path) from None


def _lock(path: Path) -> Any:
    """Return the lock of a journal, which also removes half a line at its end.

    A worker that is killed while it writes may leave one.
    """
    from optuna.storages.journal import JournalFileSymlinkLock

    class Lock(JournalFileSymlinkLock):
        def acquire(self) -> bool:
            acquired = super().acquire()
            _remove_half_line(path)
            return acquired

    return Lock(str(path), grace_period=GRACE_SECONDS)


def _remove_half_line(path: Path) -> None:
    """Remove what follows the last line end of a journal."""
    with path.open("r+b") as file:
        if not file.seek(0, os.SEEK_END):
            return
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def _refuse_foreign(path: Path, storage: Any) -> None:
    names = [study.study_name for study in storage.get_all_studies()]
    if (names and NAME not in names) or (not names and path.stat().st_size):
        raise _not_a_journal(path)


def _not_a_journal(path: Path) -> DataError:
    return DataError(f"{path} is not the journal of a search of elman.", fix="Give another file to --storage.")


def _another(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> UsageError:
    there, here = _flat(found), _flat(wanted)
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    return UsageError(
        f"{path} is the journal of another search.",
        where="\n".join(f"{name}: {_short(there, name)} there, {_short(here, name)} here" for name in names),
        fix="Give another file to --storage, or repeat the command of that search.",
    )


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return an identity with the settings and options of the file by their own names."""
    found: dict[str, Any] = {}
    for name, value in identity.items():
        found |= value if name in ("settings", "reading") else {name: value}
    return found


def _short(values: Mapping[str, Any], name: str) -> str:
    if values.get(name) is None:
        return "none"
    # Settings are written as Python writes them.
    text = values[name] if isinstance(values[name], str) else json.dumps(values[name], ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:100]} …"
