"""One of several processes of a test: a scenario, with the variables of torchrun."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from small_training import Signs, Words
from torch import Tensor, nn

from elman.data.text.streams import TokenStreams
from elman.data.text.token_text import Counts, TokenText
from elman.errors import ElmanError
from elman.settings.training import RunSettings, TrainingSettings
from elman.tasks.streams import Windows
from elman.tasks.task import Batch, Metric, Read
from elman.training import Trainer
from elman.training.evaluation import evaluate
from elman.training.learner import Learner
from elman.training.listener import Silent
from elman.training.processes import ALONE, find_processes

LENGTHS = (40, 1, 1, 3, 1, 2, 25, 1, 1, 1, 17)


class Sums(nn.Module):
    """A GRU whose last outputs give two classes, in float64."""

    def __init__(self, features: int = 3, outputs: int = 2):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.gru = nn.GRU(features, 4, batch_first=True)
            self.head = nn.Linear(4, outputs)
        self.double()

    def forward(self, inputs: Tensor) -> Tensor:
        _, last = self.gru(inputs)
        return self.head(last[0])


class Some(Signs):
    """Signs of which some sequences have no target: those of one step."""

    def read(self, network: nn.Module, batch: Batch, state: Any = None) -> Read:
        known = batch["inputs"].lengths > 1
        lengths, padded = batch["inputs"].lengths, batch["inputs"].to_padded().double()
        outputs, _ = network.gru(padded)  # type: ignore[operator]
        rows = network.head(outputs[torch.arange(len(lengths)), lengths - 1])  # type: ignore[operator]
        if not known.any():
            return Read(rows.sum() * 0, 0, rows)
        return Read(nn.functional.cross_entropy(rows[known], batch["targets"][known]), int(known.sum()), rows)


class Text:
    """A language model's task: the next of four tokens, with the state carried."""

    name, metric, unit, settings = "text", Metric("loss"), "tokens", None

    def read(self, network: nn.Module, batch: Batch, state: Any = None) -> Read:
        tokens = batch["text"]
        rows = nn.functional.one_hot(tokens.to_padded(), 4).double()
        outputs, last = network.gru(rows, None if state is None else state.tensors["h"])  # type: ignore[operator]
        scores = network.head(outputs)[:, : tokens.longest][tokens.mask()]  # type: ignore[operator]
        loss = nn.functional.cross_entropy(scores, batch["next"])
        from elman.nn.state import State

        return Read(loss, len(batch["next"]), None, State({"h": last.detach()}))

    def scores(self, data: Any) -> Any:
        return Losses()

    def sample(self, network: nn.Module) -> None:
        """Nothing is written."""


class Losses:
    """The mean loss."""

    def __init__(self):
        self.total = self.count = 0.0

    def update(self, batch: Batch, read: Read) -> None:
        self.total += read.loss.item() * read.targets
        self.count += read.targets

    def compute(self) -> dict[str, float]:
        return {"loss": self.total / self.count, "tokens": self.count}


def words(count: int = len(LENGTHS)) -> Words:
    found = Words(count)
    found.lengths = LENGTHS[:count]
    generator = torch.Generator().manual_seed(2)
    found.data = [torch.randn(length, 3, generator=generator) for length in found.lengths]
    return found


def text() -> Windows:
    ids = torch.randint(4, (187,), generator=torch.Generator().manual_seed(3)).numpy()
    return Windows("text", TokenStreams(TokenText(ids, Counts(187, 187, 187, 0), "", "a text"), streams=5, window=7))


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings(**{"optimizer": "sgd", "learning_rate": 0.5, "batch_size": 4, "epochs": 2, **changes})


def gradients(processes: Any, items: list[list[int]]) -> list[list[float]]:
    """The gradient of each batch, as the optimiser is given it."""
    data, network, found = words().examples(settings()), Sums(), []
    learner = Learner(network, Some(), settings(learning_rate=1e-9), data, processes)  # type: ignore[arg-type]
    for item in items:
        figures = learner.step(data.read(processes.part_of(data, item)), 1e-9)
        gradient = [
            each for p in network.parameters() for each in (p.grad if p.grad is not None else 0 * p).flatten().tolist()
        ]
        found.append([*map(float, figures), *gradient])
    return found


def streams(processes: Any) -> list[float]:
    """The figures of each window of a text, and the weights after two epochs."""
    data, network, found = text(), Sums(4, 4), []
    learner = Learner(network, Text(), RunSettings(optimizer="sgd", learning_rate=0.5), data, processes)  # type: ignore
    for _ in range(2):
        learner.begin_epoch()
        for number in data.plan(0):
            found += [*map(float, learner.step(data.read(processes.part_of(data, number)), 0.5))]
    return found + [each for parameter in network.parameters() for each in parameter.flatten().tolist()]


def scores(processes: Any) -> dict[str, Any]:
    """The scores of an evaluation: rows, and a text with fewer streams than there is work."""
    rows = evaluate(Sums(), Some(), words().examples(settings(), shuffle=False), processes=processes)  # type: ignore
    return {"rows": rows, "text": evaluate(Sums(4, 4), Text(), text(), processes=processes)}  # type: ignore[arg-type]


def same(folder: Path) -> dict[str, Any]:
    """What one process computes as two do."""
    processes = find_processes()
    batches = [[0, 1, 2, 3], [1, 2], [4, 7, 8, 9], [0], [10, 6, 5, 3, 1], [5, 1, 2, 7]]
    return {
        "together": [gradients(processes, batches), streams(processes), scores(processes)],
        "alone": [gradients(ALONE, batches), streams(ALONE), scores(ALONE)],
        "size": processes.size,
    }


def refused(folder: Path) -> dict[str, Any]:
    """The errors of processes that do not fit each other."""
    rank = find_processes().rank
    found = {}

    def attempt(name: str, train: Any, **how: Any) -> None:
        try:
            Trainer(Sums(), Some(), train, None, settings(), **how).run()  # type: ignore[arg-type]
            found[name] = "no error"
        except ElmanError as error:
            found[name] = str(error)

    attempt("data", words(8 + rank).examples(settings()))
    attempt("folder", words().examples(settings()), folder=folder / f"of-{rank}")
    attempt("fits", words().examples(settings()), folder=folder / "run")
    attempt("holds a run", words().examples(settings()), folder=folder / "run")
    return found


class Slow(Silent):
    """Says that the run goes on, and slows it down."""

    def __init__(self, folder: Path):
        self._path = folder / "going"

    def batch(self, event: Any) -> None:
        self._path.write_text(f"{event.epoch} {event.batch}")


def trained(folder: Path) -> dict[str, Any]:
    """Train, or go on with a run that was stopped."""
    resume = (folder / "run" / "checkpoint.safetensors").exists()
    network = Sums()
    long = settings(epochs=int(os.environ.get("EPOCHS", "2")), batch_size=2, checkpoint_batches=1)
    trainer = Trainer(
        network,
        Some(),  # type: ignore[arg-type]
        words().examples(long),
        words(7).examples(long, shuffle=False),
        long,
        folder=folder / "run",
        listener=Slow(folder),
    )
    history = trainer.run(resume=resume)
    weights = [each for parameter in network.parameters() for each in parameter.flatten().tolist()]
    return {"weights": weights, "losses": [record.loss for record in history.epochs]}


SCENARIOS = {"same": same, "refused": refused, "trained": trained}


def launched(scenario: str, folder: Path, variables: dict[str, str], said: Path) -> None:
    """Do this as a process that a launcher started.

    Args:
        scenario: of `SCENARIOS`.
        folder: for its files; the result is written there.
        variables: of the environment.
        said: the file for what it writes to standard error.
    """
    os.environ.update(variables)
    with said.open("wb") as file:
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    try:
        result = SCENARIOS[scenario](folder)
    except (ElmanError, KeyboardInterrupt) as problem:
        sys.stderr.write(f"{type(problem).__name__}: {problem}\n")
        sys.exit(3)
    (folder / f"{scenario}-{variables.get('RANK', 0)}.json").write_text(json.dumps(result))
