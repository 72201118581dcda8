"""`elman search`: settings tried by Optuna, a command for each task, made from what the task declares."""

import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from elman.cli.commands import CONTEXT, built, option
from elman.cli.failures import Stopped
from elman.cli.options import AsJson, Threads, use_threads
from elman.cli.output import say, say_notes
from elman.cli.train import VALIDATION_FRACTION, TaskGroup
from elman.errors import ElmanError, UsageError

HELP = "Search for good settings of a task: train many models, and print the command of the best."
STORAGE = Path("elman-search.log")
ENGINES = ("local", "ray")


class _Searches(TaskGroup):
    """A sub-command for each task."""

    def command_of(self, task: Any) -> Any:
        """Return the command that searches settings of a task."""
        return command_of(task)


searches = typer.Typer(
    cls=_Searches, help=HELP, rich_markup_mode=None, subcommand_metavar="TASK ...", context_settings=CONTEXT
)


@searches.callback(help=HELP)
def _search() -> None:
    pass


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.add_typer(searches, name="search")


def command_of(task: Any) -> Any:
    """Return the command that searches settings of a task."""
    from elman.cli.flags import flags_of, option_of
    from elman.cli.reading import flags_of_files

    flags = flags_of(task.settings_class, without=("validation_fraction",))
    reading, several = flags_of_files(task), task.source.several
    argument = typer.Argument(metavar="FILE" if several else "DATA", show_default=False, help=task.source.help)

    def search(**values: Any) -> None:
        _search_task(task, flags, {name: values.get(name) for name in reading}, values)

    search.__doc__ = (
        f"Search for good settings of a {task.noun} ({task.summary}).\n\n"
        "Each trial trains a model and is scored on the validation data; a hopeless one is ended early. The trials are "
        "in the file --storage, a journal. Start the same command again to continue, or at the same time, on any "
        "machine that sees the file, for a further worker: no setting is tried twice, and the trial of a worker that "
        "was killed is tried again. Settings that are given as flags are the same for all trials.\n\n"
        "At the end, the command that trains the best model is printed, and a page with the trials is written."
    )
    parameters: dict[str, tuple[Any, Any]] = {
        "context": (typer.Context, ...),
        "data": (Annotated[list[str] if several else str, argument], ...),
        **{name: (annotation, None) for name, annotation in {**reading, **_own_options()}.items()},
        "threads": (Threads, None),
        "as_json": (AsJson, False),
        **{flag.name: (option_of(flag), None) for flag in flags},
    }
    name = task.name
    return built(
        name,
        search,
        parameters,
        f"elman search {name} {task.source.placeholder} --trials 30",
        f"elman search {name} {task.source.placeholder} --minutes 60 --space space.toml --storage journal.log",
    )


def _own_options() -> dict[str, Any]:
    fraction = "Fraction of the data held out to compare trials by. [0.1]"
    return {
        "trials": option("--trials", "N", "Trials of all workers together.", int | None),
        "minutes": option("--minutes", "M", "Start no trial after M minutes.", float | None),
        "space": option("--space", "FILE", "Space of settings, in TOML or JSON. [that of the task]", Path | None),
        "storage": option("--storage", "FILE", f"Journal of the search. [{STORAGE}]", Path | None),
        "report": option("--report", "FILE", "Page of the search. [as the journal, with .html]", Path | None),
        "seeds": option("--seeds", "K", "Models of a trial, with K seeds; the mean is its score. [1]", int | None),
        "validation": option("--validation", "FILE", "Data to compare trials by. [a part of DATA]"),
        "validation_fraction": option("--validation-fraction", "F", fraction, float | None),
        "engine": option("--engine", "NAME", "Where workers run: local (here) or ray. [local]"),
        "workers": option("--workers", "N", "Workers of --engine ray. [one for each CPU of the cluster]", int | None),
        "address": option("--address", "HOST:PORT", "Of the Ray cluster. [a new one on this machine]"),
    }


def _search_task(task: Any, flags: Any, reading: dict[str, Any], given: dict[str, Any]) -> None:
    from elman.cli.flags import given_values
    from elman.settings import check_settings

    _check(task, given)
    fixed = given_values(flags, given)
    fraction = _fraction(given)
    settings = check_settings(task.settings_class, {**fixed, "validation_fraction": fraction})
    space = _space(task, settings, fixed, given["space"])
    # These import torch, which takes seconds: only after the flags were checked.
    from elman.cli.search_result import SearchResult
    from elman.search.journal import import_optuna, open_study
    from elman.search.trials import Trials
    from elman.search.worker import Search, work
    from elman.settings.space import described

    import_optuna()
    storage, seeds = given["storage"] or STORAGE, given["seeds"] or 1
    if given["engine"] == "ray" and (stopped := _interrupted(lambda: _work_by_ray(given))) is not None:
        raise Stopped(_stopped(given, storage), {}) from stopped
    use_threads(given["threads"])
    train, held = _read(task, given, reading)
    settings_given = {**train.settings, **fixed, "validation_fraction": fraction}
    search = Search(task, settings_given, space, train, held, seeds)
    metric = search.metric()
    others = {"space": described(space), "metric": metric.name, "seeds": seeds}
    identity = _identity(task, given, reading, settings_given, **others)
    study = open_study(storage, identity, larger_is_better=metric.larger_is_better)
    # The workers of a cluster have tried all.
    deadline = time.monotonic() if given["engine"] == "ray" else _deadline(given["minutes"])
    trials = Trials(study, space, given["trials"], deadline, seed=settings_given.get("seed", 0))
    interrupted = _interrupted(lambda: work(search, trials, metric, _progress(study, space, metric, given)))
    if trials.exhausted:
        say(f"elman: note: {trials.exhausted}.")
    found = SearchResult(task, flags, fixed, given, reading, study, space, metric)
    result = found.conclude(storage, settings.model_dump())
    if interrupted is not None:
        raise Stopped(_stopped(given, storage), result) from interrupted
    found.show(result)


def _stopped(given: Mapping[str, Any], storage: Path) -> ElmanError:
    fix = f"Continue with: {given['context'].obj}"
    return ElmanError("Stopped; the finished trials are kept.", where=str(storage), fix=fix)


def _interrupted(run: Callable[[], None]) -> KeyboardInterrupt | None:
    try:
        run()
    except KeyboardInterrupt as error:
        return error
    return None


def _check(task: Any, given: dict[str, Any]) -> None:
    """Refuse flags that make no sense before anything is imported."""
    if given["trials"] is None and given["minutes"] is None:
        raise UsageError("A search needs an end.", fix="Give --trials N, --minutes M, or both.")
    for name in ("trials", "minutes", "seeds", "workers"):
        if given[name] is not None and not given[name] > 0:
            raise UsageError(f"Expected a number above 0 for --{name}, got {given[name]}.", fix="Give a larger number.")
    if given["engine"] not in (None, *ENGINES):
        raise UsageError(f"Expected local or ray for --engine, got {given['engine']!r}.", fix="Give one of the two.")
    wrong = [f"--{name}" for name in ("workers", "address") if given[name] is not None and given["engine"] != "ray"]
    if wrong:
        raise UsageError(f"{', '.join(wrong)}: only with --engine ray.", fix="Leave it out.")
    paths = [*(given["data"] if task.source.several else [given["data"]]), given["validation"]]
    report = given["report"]
    if report is not None and not report.parent.is_dir():
        raise UsageError(f"There is no folder {report.parent} for the page.", fix="Give another --report.")
    if "-" in paths:
        raise UsageError("A search reads its data several times.", fix="Give a file in place of -.")


def _fraction(given: dict[str, Any]) -> float:
    if given["validation"] is not None and given["validation_fraction"] is not None:
        raise UsageError("--validation and --validation-fraction exclude each other.", fix="Give one of the two.")
    if given["validation"] is not None:
        return 0.0
    fraction = VALIDATION_FRACTION if given["validation_fraction"] is None else given["validation_fraction"]
    if fraction == 0:
        raise UsageError("Trials are compared by validation data.", fix="Give --validation, or a fraction above 0.")
    return fraction


def _space(task: Any, settings: Any, fixed: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """Return what is searched, without the settings that were given."""
    from elman.settings.space import read_space, setting_of, space_of

    if path is not None:
        space = read_space(path, task.settings_class)
        twice = [name for name in space if name in fixed or name == "seed"]
        if twice:
            raise UsageError(f"{', '.join(twice)}: cannot be searched and fixed.", fix="Remove it from the space.")
        return space
    options = fixed.get("cell_options", {})
    found = {
        name: domain
        for name, domain in space_of(settings).items()
        if setting_of(name) not in fixed or ("." in name and name.partition(".")[2] not in options)
    }
    if not found:
        raise UsageError("Nothing is left to search.", fix="Give fewer settings as flags, or a --space.")
    return found


def _read(task: Any, given: dict[str, Any], reading: dict[str, Any]) -> tuple[Any, Any]:
    train = task.source.read(given["data"], task.columns, reading)
    say_notes(train)
    if given["validation"] is None:
        return train, None
    known = task.source.known(train, task.columns)
    held = task.source.read(given["validation"], task.columns, reading, known=known)
    say_notes(held)
    return train, held


def _identity(
    task: Any, given: Mapping[str, Any], reading: Mapping[str, Any], settings: Mapping[str, Any], **others: Any
) -> dict[str, Any]:
    """Return what makes two searches one, as JSON holds it."""
    from elman.files import sha256_of
    from elman.settings.training import MACHINE_SETTINGS

    data = given["data"] if task.source.several else [given["data"]]
    validation = given["validation"]
    return {
        "task": task.name,
        "data": [sha256_of(Path(path)) for path in data],
        "validation": None if validation is None else sha256_of(Path(validation)),
        "reading": {name: value for name, value in reading.items() if value is not None},
        "settings": {name: repr(value) for name, value in sorted(settings.items()) if name not in MACHINE_SETTINGS},
        **others,
    }


def _deadline(minutes: float | None) -> float | None:
    return None if minutes is None else time.monotonic() + 60 * minutes


def _progress(study: Any, space: Any, metric: Any, given: dict[str, Any]) -> Any:
    """Return what prints a line for each trial."""
    from elman.report.figures import figure
    from elman.search.report import ranked
    from elman.search.trials import done, values_of

    def show(trial: Any, value: float | None, problem: str) -> None:
        best, count = ranked(study), len(done(study.get_trials(deepcopy=False)))
        total = "" if given["trials"] is None else f" of {given['trials']}"
        values = ", ".join(f"{name}={figure(each, trim=True)}" for name, each in values_of(trial, space).items())
        found = problem if value is None else f"{metric.heading} {metric.shown(value)}"
        so_far = f" (best: {metric.shown(best[0].value)}, trial {best[0].number})" if best else ""
        say(f"trial {trial.number}, {count}{total} done: {found}{so_far}; {values}")

    return show


def _work_by_ray(given: Mapping[str, Any]) -> None:
    """Run workers of this search on a cluster until it is over."""
    from elman.cluster.commands import run_everywhere

    words, kept = iter(shlex.split(given["context"].obj)[1:]), []
    for word in words:
        name, sign, _ = word.partition("=")
        if name in ("--engine", "--address", "--workers"):
            # The value is the next word, or behind the sign.
            if not sign:
                next(words)
        else:
            kept.append(word)
    run_everywhere(kept, address=given["address"], workers=given["workers"])
