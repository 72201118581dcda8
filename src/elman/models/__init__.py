"""Models that are fitted, used and saved in one line each, in the manner of scikit-learn."""

from pathlib import Path

from elman.errors import ModelError
from elman.models.classifier import SequenceClassifier
from elman.models.comparer import SequenceComparer
from elman.models.describer import Describer
from elman.models.echo_state import EchoStateNetwork
from elman.models.echo_state_saved import TASK as ECHO_STATE
from elman.models.forecaster import SequenceForecaster
from elman.models.gradients import gradient_flow
from elman.models.language import LanguageModel
from elman.models.model import Model
from elman.models.regressor import SequenceRegressor
from elman.models.saved import SavedModel, read_model
from elman.models.start import OtherModel, Pretrained
from elman.models.tagger import SequenceTagger
from elman.models.translator import Translator
from elman.tasks import TASKS, find_task
from elman.tasks.classify import ClassifierSettings
from elman.tasks.compare import ComparerSettings
from elman.tasks.language import LanguageSettings
from elman.tasks.regress import RegressorSettings

__all__ = [
    "ClassifierSettings",
    "ComparerSettings",
    "Describer",
    "EchoStateNetwork",
    "LanguageModel",
    "LanguageSettings",
    "Model",
    "OtherModel",
    "Pretrained",
    "RegressorSettings",
    "SequenceClassifier",
    "SequenceComparer",
    "SequenceForecaster",
    "SequenceRegressor",
    "SequenceTagger",
    "Translator",
    "gradient_flow",
    "model_for",
    "open_model",
    "open_task_model",
]


def model_for(name: str) -> type[Model]:
    """Return the class of the models of a task.

    Raises:
        UsageError: there is no such task.
    """
    task = find_task(name)
    own = next((kind for kind in Model.__subclasses__() if kind.task is task), None)
    return own or type(f"{task.__name__}Model", (Model,), {"task": task, "__module__": task.__module__})


def open_model(folder: str | Path) -> Model | EchoStateNetwork:
    """Return the model in a folder, of any task, or the echo state network.

    Raises:
        ModelError: the folder is missing, damaged, from a later version, or of a task that this elman does not know.
    """
    saved = read_model(folder)
    if saved.config["task"] == ECHO_STATE:
        return EchoStateNetwork.from_saved(saved, folder)
    return _of_task(saved, folder)


def open_task_model(folder: str | Path) -> Model:
    """Return the model in a folder, of any task, as commands read it.

    Raises:
        ModelError: as for `open_model`, or the folder holds an `EchoStateNetwork`.
    """
    saved = read_model(folder)
    if saved.config["task"] == ECHO_STATE:
        raise ModelError(
            "The folder holds an EchoStateNetwork, which commands do not read.",
            where=str(folder),
            fix="Open it in Python with elman.open_model, or train a model with --cell reservoir.",
        )
    return _of_task(saved, folder)


def _of_task(saved: SavedModel, folder: str | Path) -> Model:
    if saved.config["task"] not in TASKS:
        raise ModelError(
            f"This elman has no task `{saved.config['task']}`.", where=str(folder), fix="Install a later elman."
        )
    return model_for(saved.config["task"]).from_saved(saved, folder)
