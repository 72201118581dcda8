"""Which learner the settings of a run ask for."""

from torch import nn

from elman.settings.training import RunSettings
from elman.tasks.task import Data, Task
from elman.training.hessian_free_learner import HessianFreeLearner
from elman.training.learner import Learner
from elman.training.processes import ALONE, Alone
from elman.training.readout_learner import ReadoutLearner


def build_learner(
    model: nn.Module, task: Task, settings: RunSettings, data: Data, processes: Alone = ALONE
) -> Learner | ReadoutLearner:
    """Build what trains a model: gradients, curvature, or least squares for the output layer.

    The arguments are those of `Learner`.
    """
    if settings.closed_form:
        return ReadoutLearner(model, task, settings, data, processes)
    kind = HessianFreeLearner if settings.optimizer == "hessian-free" else Learner
    return kind(model, task, settings, data, processes)
