"""A model of any task, with one way to fit, evaluate, predict, save and load."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import nn

from elman.cells.archive import cell_from_json
from elman.compiler.cell import Cell
from elman.data.tables.table_format import TableFormat
from elman.data.text.unknown import UnknownTally
from elman.devices import computing_in, device_of, find_device
from elman.errors import DataError, ModelError, NotFittedError, UsageError
from elman.models.baselines import (
    baseline_tensors,
    baselines_to_json,
    fit_baselines,
    restore_baselines,
    score_baselines,
)
from elman.models.description import card_of, config_of, use_lines
from elman.models.explanation import TokenWeight, explain
from elman.models.fitting import fit, refit, settings_of_refit
from elman.models.parameters import Parameters
from elman.models.saved import SavedModel, consistent, read_model, write_model
from elman.models.start import Start
from elman.settings import check_settings
from elman.tasks.baselines import Baseline, BaselineScore
from elman.tasks.calibration import is_temperature
from elman.tasks.rows import rows_named, select
from elman.tasks.task import Answer, Batch, Known, Read, Row, Task, Unknown, Values, inputs
from elman.training.begin import refuse_unfinished
from elman.training.evaluation import evaluate, precision_of
from elman.training.generators import own_generators
from elman.training.listener import Listener
from elman.training.memory import full_memory_named
from elman.training.record import History

CHUNK = 256


class Model(Parameters):
    """A model of a task, made of settings by name, which are all checked when it is fitted.

    A subclass names its task, and may have methods with arguments of its own.

    Args:
        settings: by name, those of the task; `cell` may also be a cell itself.

    Attributes:
        history_: what training recorded, epoch by epoch.
        model_: the network.
        task_: the task with its settings and encoders.
        table_format_: how the file that it was trained on was read, to read others in the same way; None if it was not
            trained on a labelled file.
        refit_history_: what the training on all data recorded, with the setting `refit`; else None.
        train_, held_: what it was fitted on, and the data by which epochs were compared; a model that was loaded or
            copied has none.
        unresolved_: the settings that the data decided, as they were given.
        baselines_: the simple models that it was compared with; None if they were not fitted.

    Raises:
        UsageError: there is no such setting.
    """

    fitted_by: ClassVar[str] = "fit(…)"

    history_: History
    refit_history_: History | None = None
    model_: Any
    task_: Any
    table_format_: TableFormat | None = None
    train_: Values
    held_: Values | None
    unresolved_: dict[str, Any]
    baselines_: list[Baseline] | None = None
    _concludes = False
    # Arguments of `fit_values`, for a training on all data.
    _how: Mapping[str, Any] = MappingProxyType({})

    def fit(
        self,
        *values: Any,
        validation: Sequence[Any] | None = None,
        folder: str | Path | None = None,
        resume: bool = False,
        listener: Listener | None = None,
        start: Start | None = None,
    ) -> Self:
        """Train on data.

        Where data are held out, the temperature of the probabilities is fitted on them at the end.

        Fits in several threads of a process take turns, see `elman.training.Trainer.run`. Processes that torchrun
        started train one model together, and all of them have it at the end.

        Args:
            values: a list for each column of the task, in order.
            validation: the same, by which epochs are compared.
            folder: where checkpoints and the log are written; nothing is written without it.
            resume: continue the run that was stopped in that folder, or train a finished one for more epochs.
            listener: is given the progress; `elman.training.progress.progress_for(sys.stderr)` prints it.
            start: weights to start from in place of drawn ones: `Pretrained`, or `OtherModel(folder)`.

        Raises:
            UsageError: settings that make no sense, a folder with files that elman did not write, or another run is
                writing to it.
            DataError: data that cannot be learned from.
            ModelError: the folder's run was made with other data or other settings.
            TrainingError: the loss is no longer finite, or the disk is full.
            TrainingInterrupted: Ctrl-C; the run is saved in the folder and can be resumed.
        """
        task = self.task
        train = task.source.take(values, task.columns)
        held = None if validation is None else task.source.take(validation, task.columns, role="validation ")
        return self.fit_values(train, held, folder=folder, resume=resume, listener=listener, start=start)

    def fit_values(
        self,
        train: Values,
        held: Values | None,
        *,
        folder: str | Path | None = None,
        resume: bool = False,
        listener: Listener | None = None,
        start: Start | None = None,
        conclude: bool = True,
    ) -> Self:
        """Train on values that a source has read, with the arguments and errors of `fit`.

        With `conclude=False` nothing is fitted to the data that elman holds out; `conclude` does so later.
        """
        fitted = fit(self, train, held, folder=folder, resume=resume, listener=listener, start=start)
        self._set_fitted(fitted.task, fitted.network)
        self.history_, self.refit_history_, self.unresolved_ = fitted.history, None, fitted.unresolved
        self.train_, self.held_, self.table_format_ = fitted.train, fitted.held, fitted.train.form
        self.baselines_ = None
        # Data that were given are never learned from.
        self._concludes = held is None
        self._how = {"folder": folder, "resume": resume, "listener": listener, "start": start}
        if conclude:
            self.conclude()
        return self

    def conclude(self) -> bool:
        """Fit what need not be held out to all data, and return whether there was anything.

        A classifier fits its linear model again, with the rows among them that were held out; with the setting `refit`
        the network is trained again too. Afterwards scores on these rows say little. It happens once, and never with
        validation data that were given.

        Raises:
            TrainingInterrupted: Ctrl-C while the network is trained again; the run can be resumed.
        """
        held = getattr(self, "held_", None)
        if not self._concludes or held is None:
            return False
        if concluded := getattr(self.task_.settings, "refit", False):
            self._refit(held)
        else:
            with own_generators([]):
                concluded = self.task_.conclude(self.model_, self.train_, held)
        self._concludes = False
        return concluded

    def _refit(self, held: Values) -> None:
        """Train the network again on all data, for as many epochs as its weights are of."""
        task, history = self.task_, self.history_
        best = history.best_epoch if task.settings.restore_best else None
        epochs = best or len(history.epochs)
        values = task.source.whole(self.train_, held)
        again = self._with_settings(**settings_of_refit(epochs))
        fitted = refit(again, self.model_, values, epochs, **self._how)
        # The settings are still those that were given.
        task.encoders.update(fitted.task.encoders)
        self.model_, self.train_, self.refit_history_ = fitted.network.eval(), fitted.train, fitted.history

    def _with_settings(self, **settings: Any) -> Self:
        """Return a model that is not fitted, with what the data decided and these settings."""
        return type(self)(**{**self.task_.settings.model_dump(), "cell": self.get_params()["cell"], **settings})

    def evaluate(self, *values: Any, unknown: Unknown | None = None, **options: Any) -> dict[str, Any]:
        """Return every score of the task on data.

        Args:
            values: as for `fit`.
            unknown: what happens to tokens that training never saw, for this call, in place of the setting.
            options: of the task's evaluations, by name.

        Raises:
            NotFittedError: the model has not been fitted.
            UsageError: options that make no sense.
            DataError: data that cannot be read, or have labels that the model does not know.
        """
        self._require_fitted()
        return self.evaluate_values(self.task.source.take(values, self.task.columns), unknown=unknown, **options)

    def evaluate_values(self, values: Values, *, unknown: Unknown | None = None, **options: Any) -> dict[str, Any]:
        """Return every score on values that a source has read, as `evaluate` does."""
        self._require_fitted()
        given = check_settings(self.task.options_class, options)
        tally = UnknownTally()
        encoded = self._encoded(self.task_, values, unknown, tally=tally)
        network, adapt = self.task_.adapting(self.model_, given)

        def check(item: Any, batch: Batch, read: Read) -> None:
            with rows_named(values), _counted_from(item):
                self.task_.check(batch, read)

        try:
            data = self.task.source.evaluated(encoded, self.task_.settings, given)
            return {**evaluate(network, self.task_, data, adapt=adapt, check=check), **vars(tally)}
        except DataError as error:
            raise DataError(error.problem, where=error.where or values.source, fix=error.fix) from None

    def baseline(self, *values: Any) -> list[BaselineScore]:
        """Return the scores of simple models on data, to compare the network with.

        The strongest is the last. They learn from the data that the network was trained on, when this is first called.
        A model that was loaded has those that were saved with it.

        Args:
            values: as for `evaluate`.

        Returns:
            For each its name, title, metric, value and the seconds that it took; none for a loaded model that was saved
            without any. A baseline that needs a missing package is left out with a warning.

        Raises:
            NotFittedError: the model has not been fitted.
            DataError: data that cannot be read.
        """
        self._require_fitted()
        if self.baselines_ is None and hasattr(self, "train_"):
            for sentence in self.fit_baselines():
                warnings.warn(sentence, stacklevel=2)
        return self.baseline_values(self.task.source.take(values, self.task.columns))

    def fit_baselines(self, last: str | None = None) -> list[str]:
        """Fit the baselines of the task on the data that the network was trained on.

        Args:
            last: the name of the last one to fit; all of them if not given.

        Returns:
            A sentence for each that is left out.
        """
        self.baselines_, missing = fit_baselines(self.task_, self.train_, last)
        return missing

    def baseline_values(self, values: Values, **options: Any) -> list[BaselineScore]:
        """Return the scores of the fitted baselines on values that a source has read.

        Args:
            values: of other data.
            options: of the evaluation that they are compared with, as for `evaluate_values`.
        """
        return score_baselines(self.task_, self.baselines_ or [], values)

    def explain_answer(self, text: Any, label: Any = None) -> list[TokenWeight]:
        """Return how much each token of a text spoke for an answer.

        Each token in turn is read as unknown. Its weight is the fall of the log odds of the label, ln(p / (1 - p)).

        Args:
            text: to answer, or a tuple of the texts of a pair; at most the first 200 tokens have weights.
            label: the answer of the model if not given.

        Returns:
            The tokens in order, each with its weight: positive where it spoke for the label, negative where against.

        Raises:
            NotFittedError: the model has not been fitted.
            UsageError: a model without probabilities or texts, or a label that it does not know.

        Source:
            J. Li, W. Monroe, D. Jurafsky, Understanding Neural Networks through Representation Erasure, 2016, equation
            1. Difference: a token is replaced by the unknown one, and log odds are compared in place of log
            probabilities.
        """
        self._require_fitted()
        return explain(self, text, label)

    def known(self) -> Known:
        """Return what the model knows of the data that it was trained on, to read others like them."""
        encoders = self.task_.encoders
        labels = {each.name: encoders[each.name].labels for each in self.task.columns if each.stratified}
        layouts = (getattr(encoder, "layout", None) for encoder in encoders.values())
        return Known(self.table_format_, labels, next((each for each in layouts if each is not None), None))

    def predict(self, X: Any, *, unknown: Unknown | None = None) -> Any:
        """Return the value of the answer to each row of X."""
        return [answer.value for answer in self.answers(X, unknown=unknown)]

    def answers(
        self, rows: Any, *, unknown: Unknown | None = None, tally: UnknownTally | None = None, **options: Any
    ) -> list[Answer]:
        """Return the answer to each row.

        Args:
            rows: values of the first input, or tuples of several inputs.
            unknown: what happens to tokens that training never saw, for this call, in place of the setting.
            tally: counts the tokens, and those that training never saw.
            options: of the task's predictions, by name.

        Raises:
            NotFittedError: the model has not been fitted.
            UsageError: options that make no sense.
            DataError: rows that cannot be read.
        """
        self._require_fitted()
        network = self.model_
        if options:
            network, _ = self.task_.adapting(network, check_settings(self.task.answer_options_class, options))
        if not self.task.source.has_rows:
            raise UsageError(
                f"A model of the task `{self.task.name}` has no answers to rows of texts.",
                fix=f"Use it as: {self.task.use[0].format(model='MODEL', text='TEXT', data='DATA')}",
            )
        names = [column.name for column in inputs(self.task.columns)]
        columns = [rows] if len(names) == 1 else list(zip(*rows, strict=True)) or [[] for _ in names]
        values = self.task.source.take(columns, inputs(self.task.columns))
        found: list[Answer | None] = [None] * len(values.columns[names[0]])
        if found:
            encoded = self._encoded(self.task_, values, unknown, tally=tally)
            data = self.task.source.asking(encoded, self.task_.settings)
            device = device_of(self.model_)
            with torch.inference_mode(), self._computing():
                for indices in data.plan(0):
                    batch = data.read(indices)
                    with _counted_from(indices), full_memory_named(device, batch, self.task_.settings):
                        answers = self.task_.answers(network, batch.to(device))
                    for index, answer in zip(indices, answers, strict=True):
                        found[index] = answer
        return [answer for answer in found if answer is not None]

    def answered(self, values: Values) -> Iterator[Row]:
        """Yield each row of values that a source has read, with its answer, in bounded memory."""
        names = [column.name for column in inputs(self.task.columns)]
        total = len(next(iter(values.columns.values())))
        for begin in range(0, total, CHUNK):
            chunk = select(values, range(begin, min(begin + CHUNK, total)))
            rows = list(zip(*(chunk.columns[name] for name in names), strict=True))
            answers = self.answers([row[0] for row in rows] if len(names) == 1 else rows)
            for number, answer in enumerate(answers):
                yield Row({name: column[number] for name, column in chunk.columns.items()}, answer)

    def score(self, *values: Any) -> float:
        """Return the metric of the settings on data."""
        return self.evaluate(*values)[self.task_.metric.name]

    def save(
        self,
        folder: str | Path,
        *,
        data: Mapping[str, Any] | None = None,
        scores: Mapping[str, float] | None = None,
        command: str | None = None,
        use: Sequence[str] = (),
    ) -> None:
        """Write the model folder: configuration, weights, vocabulary and a card.

        The baselines are written too if they were fitted. The folder has no code and no pickle.

        Args:
            folder: made if it is missing.
            data: what it was trained and evaluated on, for the card.
            scores: for the card.
            command: the command that repeats the run, for the card.
            use: commands that use the model, for the card; those with its name and other files if not given.

        Raises:
            NotFittedError: there is nothing to save.
            UsageError: the folder holds an unfinished run, or files of these names that elman did not write.
            ModelError: the folder cannot be written; it is left as it was.
        """
        self._require_fitted()
        refuse_unfinished(Path(folder))
        use = use or use_lines(self, Path(folder).name)
        write_model(
            folder,
            config=config_of(self),
            tensors=self.model_.state_dict(),
            vocabulary={name: encoder.to_json() for name, encoder in self.task_.encoders.items()},
            card=card_of(self, Path(folder).name, data or {}, scores or {}, command, use),
            baselines=baselines_to_json(self.baselines_ or []),
            baseline_tensors=baseline_tensors(self.baselines_ or []),
        )

    def to(self, device: str) -> Self:
        """Move the network to a device, where it then evaluates, predicts and writes.

        Args:
            device: `cpu`, `cuda`, `cuda:1`, or `auto` for a GPU if there is one.

        Raises:
            NotFittedError: the model has not been fitted.
            UsageError: there is no such device.
        """
        self._require_fitted()
        self.model_.to(find_device(self.set_params(device=device).settings().device))
        return self

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Return the model that `save` wrote, on the CPU. `to` moves it to a GPU.

        Raises:
            ModelError: the folder is missing, damaged, from a later version, or of another task; says which.
            MissingPackageError: it needs a package that is not installed.
        """
        return cls.from_saved(read_model(folder), folder)

    @classmethod
    def from_saved(cls, saved: SavedModel, folder: str | Path) -> Self:
        """Return the model of a folder that was read already, with the errors of `load`."""
        if saved.config["task"] != cls.task.name:
            raise ModelError(
                f"This model is for the task `{saved.config['task']}`.",
                where=str(folder),
                fix=f"Give a {cls.task.noun}.",
            )
        with consistent(folder):
            return cls._restore(saved)

    @classmethod
    def _restore(cls, saved: SavedModel) -> Self:
        config = saved.config
        settings: Any = check_settings(cls.task.settings_class, config["settings"])
        task = cls.task(settings)
        for name, encoder in task.encoders.items():
            encoder.load(saved.vocabulary[name])
        task.temperature = config.get("temperature", 1.0)
        if not is_temperature(task.temperature):
            raise ValueError(f"the temperature is {task.temperature!r}")
        model = cls(**settings.model_dump())
        network = task.network(cell_from_json(config["cell"]) if config["cell"] else None)
        network.load_state_dict(dict(saved.tensors))
        model.history_ = History.from_json(config["history"])
        model.table_format_ = TableFormat.from_json(config["table"]) if config.get("table") else None
        model._set_fitted(task, network)
        # Models of earlier versions have none.
        model.unresolved_ = dict(config.get("unresolved", {}))
        model.baselines_ = restore_baselines(task, saved.baselines, saved.baseline_tensors) or None
        return model

    def _computing(self) -> AbstractContextManager[Any]:
        return computing_in(precision_of(self.task_), device_of(self.model_))

    def _set_fitted(self, task: Task, network: nn.Module) -> None:
        self.task_, self.model_ = task, network.eval()

    def _new_network(self, task: Task, cell: Cell | None) -> Any:
        with own_generators([], task.settings.seed):
            return task.network(cell)

    @staticmethod
    def _encoded(
        task: Task,
        values: Values,
        unknown: Unknown | None,
        folder: Path | None = None,
        tally: UnknownTally | None = None,
    ) -> dict[str, Any]:
        counted = {column.name: {} if tally is None else {"tally": tally} for column in inputs(task.columns)}
        with rows_named(values):
            return {
                name: task.encoders[name].encode(column, unknown=unknown, folder=folder, **counted.get(name, {}))
                for name, column in values.columns.items()
            }

    def _require_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise NotFittedError(
                f"This {self.task.noun} has not been fitted.",
                fix=f"Call {self.fitted_by} first, or load a saved model with {type(self).__name__}.load(folder).",
            )

    def __getstate__(self) -> dict[str, Any]:
        # As a saved model, a copy is without the data, which may be long texts in open files.
        return {name: value for name, value in vars(self).items() if name not in ("train_", "held_", "_how")}


@contextmanager
def _counted_from(item: Any) -> Iterator[None]:
    """Count the rows of a batch in errors as the caller gave them."""
    with rows_named(Values({}, rows=item if isinstance(item, list) else ())):
        yield
