"""What a recipe is: an experiment with everything it takes, and what its source reported."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from elman.estimators import SequenceClassifier
from elman.sequences.tables import Table
from elman.training.listener import Listener

Reader = Callable[[Path], tuple[Table, Table]]


@dataclass(frozen=True)
class Recipe:
    """A classifier trained and judged as an experiment of the textbooks was.

    Args:
        name: as the command line knows it.
        summary: what is trained, a phrase.
        data: the data set it reads.
        read: gives the training and the test table from the data folder.
        settings: of the classifier.
        reported: what the source reports, by the names of the result.
        source: where that is reported.
        seeds: how many runs with consecutive seeds the figures are the mean of.
    """

    name: str
    summary: str
    data: str
    read: Reader
    settings: Mapping[str, Any]
    reported: Mapping[str, float]
    source: str
    seeds: int = field(default=1)

    def run(
        self,
        data: Path,
        *,
        seed: int | None = None,
        epochs: int | None = None,
        folder: Path | None = None,
        listener: Listener | None = None,
    ) -> dict[str, Any]:
        """Train on the recipe's training set, judge on its test set.

        The test set chooses nothing: the weights are those of the last epoch.

        Args:
            data: the folder that holds the data sets.
            seed: of the (first) run; 0 if not given.
            epochs: in place of the recipe's own.
            folder: where the (last) model goes.
            listener: told how training goes.

        Returns:
            The measured figures, the reported ones, the majority rate, and the seconds that training took.
        """
        train, test = self.read(data)
        changes = {} if epochs is None else {"epochs": epochs}
        runs = []
        model = SequenceClassifier()
        for number in range(self.seeds):
            settings = {**self.settings, **changes, "seed": (seed or 0) + number}
            begun = time.perf_counter()
            model = SequenceClassifier(**settings).fit(train.texts, train.labels or [], listener=listener)
            seconds = time.perf_counter() - begun
            runs.append({"seed": settings["seed"], "seconds": seconds, **model.evaluate(test.texts, test.labels or [])})
        if folder is not None:
            model.save(folder, data={"trained on": self.data}, scores={"accuracy": runs[-1]["accuracy"]})
        return figures(self, model, runs)


class Described(Protocol):
    """What `figures` reads of a recipe."""

    @property
    def name(self) -> str:
        """As the command line knows it."""
        ...

    @property
    def reported(self) -> Mapping[str, float]:
        """What the source reports."""
        ...

    @property
    def source(self) -> str:
        """Where that is reported."""
        ...


def figures(recipe: Described, model: SequenceClassifier, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The result of a recipe from its runs: the measured figures, their mean over several seeds, the reported ones."""
    return {
        "recipe": recipe.name,
        "parameters": sum(parameter.numel() for parameter in model.model_.parameters()),
        **_accuracies(runs),
        "reported": dict(recipe.reported),
        "source": recipe.source,
        "majority": runs[0]["majority"],
        "test_sequences": runs[0]["count"],
        "seed": runs[0]["seed"],
        "seconds": round(sum(run["seconds"] for run in runs), 1),
    }


def _accuracies(runs: list[dict[str, Any]]) -> dict[str, Any]:
    accuracies = [run["accuracy"] for run in runs]
    if len(runs) == 1:
        return {"accuracy": accuracies[0], "macro_f1": runs[0]["macro_f1"], "loss": runs[0]["loss"]}
    mean = sum(accuracies) / len(accuracies)
    deviation = (sum((value - mean) ** 2 for value in accuracies) / (len(accuracies) - 1)) ** 0.5
    return {"accuracy_mean": mean, "accuracy_deviation": deviation, "accuracy_each": accuracies}
