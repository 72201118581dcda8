"""Predictions for the rows of a Ray dataset."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from elman.cluster.connect import import_ray
from elman.cluster.files import ROW, unpickled
from elman.errors import DataError, UsageError
from elman.models import Model, open_task_model
from elman.tasks.task import inputs

CHUNK = 256
# Of a CPU for each model; the rest is for the tasks that read.
CPUS = 0.95
PREDICTION, PROBABILITY = "prediction", "probability"
# Gives further columns for some rows of a model.
Answers = Callable[[Model, Sequence[Any]], Mapping[str, Sequence[Any]]]


def predict_dataset(
    model: str | Path | Model,
    dataset: Any,
    *,
    columns: Sequence[str] = (),
    workers: int | None = None,
    gpus: float = 0.0,
    answer: Answers | None = None,
) -> Any:
    """Return a Ray dataset with the answer to each row, in the order of the rows.

    Each actor has a model of its own. Nothing is computed before the dataset is read. The rows of an actor that dies
    are answered by another one.

    Args:
        model: a model folder, or a fitted model; it need not be on the machines of the cluster.
        dataset: of `ray.data`.
        columns: of the inputs of the model; those that the model was trained on, or `text`, if not given.
        workers: largest number of actors; one for each CPU of the cluster if not given.
        gpus: of each actor, which computes on a CPU without one.
        answer: gives the columns that are added, in place of `prediction` and `probability`.

    Returns:
        The dataset with the columns `prediction` and `probability`, which is null where a model has none.

    Raises:
        MissingPackageError: Ray is not installed.
        UsageError: the dataset lacks a column.
        ModelError: the folder cannot be read. Other errors are raised when the dataset is read.
    """
    ray = import_ray()
    opened = model if isinstance(model, Model) else open_task_model(model)
    # Whether there are answers to rows at all is known before any data are read.
    opened.answers([])
    if answer is None and opened.task_.answer_header() is not None:
        raise UsageError(f"A {opened.task.noun} has no answers to single rows.", fix="Use elman predict.")
    names = list(columns) or columns_of(opened, dataset.columns() or [])
    dataset.context.execution_options.preserve_order = True
    # The files are sent to an actor when it asks for them, also to one that is started again.
    files = [ray.put(files_of(opened))]
    most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    return dataset.map_batches(
        Predictor,
        fn_constructor_args=(files, names, answer or answers_of, "cuda" if gpus else "cpu"),
        batch_size=CHUNK,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most),
        num_cpus=CPUS,
        num_gpus=gpus or None,
    )


class Predictor:
    """A model in an actor, which answers batches of rows.

    Args:
        files: a list with the reference of Ray to the files of the model folder by name.
        columns: of the inputs.
        answer: gives the columns that are added.
        device: of the model.
    """

    def __init__(self, files: Sequence[Any], columns: Sequence[str], answer: Answers, device: str):
        import ray
        import torch

        torch.set_num_threads(1)
        with tempfile.TemporaryDirectory() as folder:
            found: dict[str, bytes] = dict(ray.get(files[0]))  # pyright: ignore[reportCallIssue, reportArgumentType]
            for name, content in found.items():
                (Path(folder) / name).write_bytes(content)
            self._model = open_task_model(folder).to(device)
        self._columns, self._answer = columns, answer

    def __call__(self, batch: Any) -> Any:
        """Return the table of Arrow with the further columns."""
        values = [_present(name, batch[name].to_pylist()) for name in self._columns]
        if self._columns == [ROW]:
            values, batch = [unpickled(values[0])], batch.drop_columns([ROW])
        rows = values[0] if len(values) == 1 else list(zip(*values, strict=True))
        for name, column in self._answer(self._model, rows).items():
            batch = batch.append_column(name, [list(column)])
        return batch


def answers_of(model: Model, rows: Sequence[Any], **options: Any) -> dict[str, list[Any]]:
    """Return the values and the probabilities of the answers, with options of `answers`."""
    answers = model.answers(list(rows), **options)
    probabilities = [None if each.probability is None else float(each.probability) for each in answers]
    # Without any, Arrow would not know their type.
    found = {PREDICTION: [each.value for each in answers]}
    return found if None in probabilities else {**found, PROBABILITY: probabilities}


def columns_of(model: Model, names: Sequence[str]) -> list[str]:
    """Return the columns of the inputs of a model among these.

    Raises:
        UsageError: it is not clear which they are.
    """
    wanted = [column.name for column in inputs(model.task.columns)]
    trained = list(model.table_format_.text_names) if model.table_format_ is not None else []
    for found in (trained[: len(wanted)], wanted, ["text"]):
        if len(found) == len(wanted) and set(found) <= set(names):
            return found
    if len(names) == len(wanted):
        return list(names)
    raise UsageError(
        f"Expected the columns {', '.join(trained or wanted)}, got {', '.join(names)}.",
        fix="Give the columns of the inputs: columns=[…], or --column COL.",
    )


def files_of(model: Model) -> dict[str, bytes]:
    """Return the files of the folder of a model, by name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        model.save(path)
        return {each.name: each.read_bytes() for each in path.iterdir() if each.is_file()}


def _present(name: str, values: list[Any]) -> list[Any]:
    if None in values:
        raise DataError(f"A row has no value in the column `{name}`.", fix="Remove such rows, or fill them.")
    return values
