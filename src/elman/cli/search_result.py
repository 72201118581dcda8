"""The result of a search: the best trial, the command that trains it, and the page."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elman.cli.flags import Flag, words_of
from elman.cli.output import emit, emit_json
from elman.errors import UsageError, os_errors_as
from elman.report.page import write_page
from elman.search.report import importance_of, parts_of, ranked
from elman.search.trials import DEFAULTS, done, values_of
from elman.settings.space import Space, with_values


@dataclass(frozen=True)
class SearchResult:
    """The trials of a search, with the flags that it was given.

    Attributes:
        task: of the models.
        flags: of its settings.
        fixed: settings that are the same for all trials, by name.
        given: values of the flags of the search.
        reading: values of the flags that say how data are read.
        study: of Optuna.
        space: what was drawn.
        metric: of the task.
    """

    task: Any
    flags: Iterable[Flag]
    fixed: Mapping[str, Any]
    given: Mapping[str, Any]
    reading: Mapping[str, Any]
    study: Any
    space: Space
    metric: Any

    def conclude(self, storage: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Write the page, and return the result as JSON holds it.

        Args:
            storage: the journal.
            settings: of all trials, for the page.

        Raises:
            UsageError: the page cannot be written.
        """
        report = self.given["report"] or storage.with_suffix(".html")
        result = {**self._best(), "trials": len(done(self.study.get_trials(deepcopy=False)))}
        facts = {"data": self.given["data"], "journal": storage, "best command": result["command"]}
        with os_errors_as(UsageError, f"{report} cannot be written", fix="Give another --report."):
            write_page(
                report,
                title=f"Search: {self.task.summary}",
                parts=parts_of(self.study, self.space, self.metric),
                settings=settings,
                facts=facts,
                command=self.given["context"].obj,
            )
        return {**result, "storage": str(storage), "report": str(report)}

    def show(self, result: Mapping[str, Any]) -> None:
        """Print the result of `conclude`."""
        if self.given["as_json"]:
            emit_json(result)
            return
        for line in parts_of(self.study, self.space, self.metric)[0].lines():
            emit(line)
        emit(f"journal: {result['storage']}")
        emit(f"report: {result['report']}")
        if result["command"] is not None:
            emit()
            emit("Train the best model:")
            emit(f"  {result['command']}")

    def _best(self) -> dict[str, Any]:
        best = ranked(self.study)
        if not best:
            return {"best": None, "defaults": None, "importance": {}, "command": None}
        values, name = values_of(best[0], self.space), self.metric.name
        defaults = next(({name: trial.value} for trial in best if DEFAULTS in trial.user_attrs), None)
        return {
            "best": {"trial": best[0].number, name: best[0].value, "settings": values},
            "defaults": defaults,
            "importance": importance_of(self.study, self.space),
            "command": self.train_command(values),
        }

    def train_command(self, values: Mapping[str, Any]) -> str:
        """Return the command that trains the model of a trial.

        Args:
            values: of the settings of the trial.
        """
        data = self.given["data"] if self.task.source.several else [self.given["data"]]
        words = ["elman", "train", self.task.name, *map(str, data)]
        for name, value in self.reading.items():
            words += _reading_words(name, value)
        for name in ("validation", "validation_fraction", "threads"):
            if self.given[name] is not None:
                words += [f"--{name.replace('_', '-')}", str(self.given[name])]
        settings = with_values(self.fixed, values)
        words += [word for flag in self.flags if flag.name in settings for word in words_of(flag, settings[flag.name])]
        return shlex.join([*words, "--out", f"best-{self.task.name}"])


def _reading_words(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{'' if value else 'no-'}{name}"]
    values = value if isinstance(value, list) else [value]
    return [word for each in values if each is not None for word in (f"--{name}", str(each))]
