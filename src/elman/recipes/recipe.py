"""A recipe: an experiment with all its settings, and the figures that its source reported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from elman.data.known.datasets import is_there
from elman.errors import DataError, UsageError
from elman.folders import RunFolder
from elman.models import model_for
from elman.models.model import Model
from elman.models.runs import Run, carry_out, described
from elman.models.start import Pretrained
from elman.tasks import find_task
from elman.tasks.task import Values
from elman.training.listener import Listener


class Parts(NamedTuple):
    """The data of an experiment.

    Attributes:
        train: what is learned.
        validation: what epochs are compared by; without it the weights are those of the last epoch.
        test: what the model is evaluated on, if not the validation part; nothing is chosen by it.
        settings: that follow from the data.
    """

    train: Values
    validation: Values | None
    test: Values | None
    settings: Mapping[str, Any] = {}


# Of the training rows, by which the best number of epochs is found; and epochs without a better one before it ends.
HELD_OUT = 0.1
PATIENCE = 2

Start = Callable[[Parts, int, Path, Path | None, Listener | None], Pretrained]


# A classifier with nothing that textbooks lack.
PLAIN: dict[str, Any] = {
    "wide": "off",
    "bidirectional": False,
    "pooling": "last",
    "input_dropout": 0.0,
    "dropout": 0.0,
    "token_dropout": 0.0,
    "rare_dropout": 0.0,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "clip_norm": None,
    "validation_fraction": 0.0,
}


@dataclass(frozen=True)
class Recipe:
    """A model trained and evaluated as an experiment was.

    Args:
        name: as the command line knows it.
        summary: what is trained, a phrase.
        task: of the model.
        data: the data sets that it reads, none if it has its data itself; with `any_data`, the first that exists.
        read: gives the parts of a data set for its name and the data folder.
        settings: of the model.
        reported: what the source reports, by the names of the result.
        source: where that is reported.
        seeds: number of runs, with consecutive seeds, over which the figures are averaged.
        start: gives what each run starts from, for the parts, the seed, the data folder, the folder of the run and
            the listener.
        any_data: whether one of the data sets will do.
        threads: to compute with; all cores if not given.
        options: of the evaluation, by name; with any, the scores of the baselines are figures too.
        most_epochs: in search of the best number of epochs, see `run`; None where the source gives it.
    """

    name: str
    summary: str
    task: str
    data: tuple[str, ...]
    read: Callable[[str, Path], Parts]
    settings: Mapping[str, Any]
    reported: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    seeds: int = 1
    start: Start | None = None
    any_data: bool = False
    threads: int | None = None
    most_epochs: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self, data: Path) -> tuple[str, Parts]:
        """Return the name of the data set and its parts.

        Raises:
            DataError: it is missing, or not whole.
        """
        if not self.any_data:
            names = ", ".join(self.data)
            return names or "in the recipe", self.read(names.partition(",")[0], data)
        found = next((name for name in self.data if is_there(name, data)), None)
        try:
            return found or self.data[0], self.read(found or self.data[0], data)
        except DataError as missing:
            others = " or ".join(self.data[1:])
            if found is not None or not others:
                raise
            fix = f"{missing.fix} {others} will do, too."
            raise DataError(missing.problem, where=missing.where, fix=fix) from None

    def run(
        self,
        data: Path,
        *,
        seed: int | None = None,
        seeds: int | None = None,
        epochs: int | None = None,
        best_epochs: bool = False,
        folder: Path | None = None,
        resume: bool = False,
        listener: Listener | None = None,
        command: str = "",
        kind: type[Model] | None = None,
    ) -> dict[str, Any]:
        """Train on the training part, evaluate on the test part.

        Args:
            data: the folder that holds the data sets.
            seed: of the (first) run; 0 if not given.
            seeds: number of runs with consecutive seeds, in place of the recipe's own.
            epochs: in place of the recipe's own.
            best_epochs: first find the number of epochs that is best on a tenth of the training rows, held out, of up
                to `most_epochs`; then train on all rows for so many. The test part chooses nothing.
            folder: where checkpoints, the (first) model and its report are written; other seeds have folders in it.
            resume: continue the runs that were stopped in that folder; further seeds begin.
            listener: is given the progress.
            command: that repeats the run, for the report.
            kind: another class of models, to compare with.

        Returns:
            The measured figures, the reported ones, and the seconds that training took; those of a training before that
            on all rows are apart. Of several seeds, each score has its mean, deviation, smallest, largest and all
            values.

        Raises:
            UsageError: the best number of epochs is asked for, and the recipe has no such search.
        """
        found, parts = self.open(data)
        if folder is not None:
            _record(folder)
        first, runs = seed or 0, []
        for current in range(first, first + (seeds or self.seeds)):
            settings = {**self.settings, **parts.settings, "seed": current}
            own = _folder_of(folder, current, first)
            if best_epochs:
                settings |= self._search()
            if epochs is not None:
                settings["epochs"] = epochs
            model = (kind or model_for(self.task))(**settings)
            again = _continues(own, resume=resume)
            how = {} if self.start is None else {"start": self.start(parts, current, data, own, listener)}
            runs.append({"seed": current, **self._one(model, parts, own, again, listener, command, how)})
        return {
            "recipe": self.name,
            "data": found,
            "part": "validation" if parts.test is None else "test",
            **_measured(runs, find_task(self.task).metrics[0].name),
            "reported": dict(self.reported),
            "source": self.source,
            "seed": first,
            "seconds": round(sum(run["seconds"] for run in runs), 1),
        }

    def _search(self) -> dict[str, Any]:
        """Return the settings by which the best number of epochs is found."""
        if self.most_epochs is None:
            raise UsageError(
                f"The recipe `{self.name}` has a fixed number of epochs.",
                fix="Leave --best-epochs out, or give --epochs N.",
            )
        return {"epochs": self.most_epochs, "validation_fraction": HELD_OUT, "patience": PATIENCE, "refit": True}

    def _one(
        self,
        model: Model,
        parts: Parts,
        folder: Path | None,
        resume: bool,
        listener: Listener | None,
        command: str,
        how: Mapping[str, Any],
    ) -> dict[str, Any]:
        if folder is None:
            model.fit_values(parts.train, parts.validation, listener=listener, **how)
            held = parts.test or parts.validation
            assert held is not None
            result = {**model.evaluate_values(held, **self.options), **described(model)}
        else:
            run = Run(
                folder,
                parts.train,
                parts.validation,
                command,
                test=parts.test,
                resume=resume,
                how=how,
                options=self.options,
            )
            result = carry_out(run, model, listener)
        if self.options:
            model.fit_baselines()
            found = model.baseline_values(parts.test or parts.train, **self.options)
            result |= {f"{each.name} {each.metric.name}": each.value for each in found}
        first, last = model.history_, model.refit_history_ or model.history_
        losses = [round(epoch.loss, 4) for epoch in last.epochs]
        result |= {"training_losses": losses, "seconds": last.seconds}
        if last is first:
            return result
        scores = [round((epoch.validation or {})[first.metric], 4) for epoch in first.epochs]
        return {**result, "best_epochs": first.best_epoch, "search_scores": scores, "search_seconds": first.seconds}


def _folder_of(folder: Path | None, seed: int, first: int) -> Path | None:
    return folder if folder is None or seed == first else folder / f"seed-{seed}"


def _continues(folder: Path | None, *, resume: bool) -> bool:
    """Return whether a run continues, and remove the old checkpoint of a seed if not."""
    if folder is None:
        return False
    own = _record(folder)
    if not resume and folder.name.startswith("seed-"):
        own.checkpoint.unlink(missing_ok=True)
    return resume and own.checkpoint.exists()


def _record(folder: Path) -> RunFolder:
    """Record that the folder is of a run, as it may hold only folders of other runs."""
    own = RunFolder(folder)
    if own.command is None:
        own.refuse_foreign()
        own.record("")
    return own


def _measured(runs: list[dict[str, Any]], score: str) -> dict[str, Any]:
    """Return the figures of one run, or the distribution of each figure over several runs.

    Args:
        runs: the result of each run.
        score: the figure that is listed for each run even if all are equal.
    """
    kept = ("model", "report", "evaluated_on", "seed", "labels", "confusion", "epochs", "best_epoch")
    figures = [{name: value for name, value in run.items() if name not in kept} for run in runs]
    if len(runs) == 1:
        return figures[0]
    found: dict[str, Any] = {"seeds": [run["seed"] for run in runs]}
    for name in figures[0]:
        if name in ("seconds", "training_losses", "tokens_per_second"):
            continue
        values = [each[name] for each in figures]
        if name != score and all(value == values[0] for value in values):
            found[name] = values[0]
        elif all(isinstance(value, int | float) for value in values):
            found |= _distribution(name, values)
    return {**found, "seconds_each": [round(run["seconds"], 1) for run in runs]}


def _distribution(name: str, values: list[float]) -> dict[str, Any]:
    return {
        f"{name}_mean": mean(values),
        f"{name}_deviation": stdev(values),
        f"{name}_min": min(values),
        f"{name}_max": max(values),
        f"{name}_each": values,
    }
