"""Which learner the settings of a run ask for."""

from torch import nn

from elman.settings.training import RunSettings
from elman.tasks.task import Data, Task
from elman.training.hessian_free_learner import HessianFreeLearner
from elman.training.learner import Learner
from elman.training.processes import ALONE, Alone
from elman.training.ridge_learner import RidgeLearner


def build_learner(
    model: nn.Module, task: Task, settings: RunSettings, data: Data, processes: Alone = ALONE
) -> Learner | RidgeLearner:
    """Build what trains a model: by gradients, by curvature, or by solving for the output layer.

    The arguments are those of `Learner`.
    """
    if settings.closed_form:
        return RidgeLearner(model, task, settings, data, processes)
    kind = HessianFreeLearner if settings.optimizer == "hessian-free" else Learner
    return kind(model, task, settings, data, processes)
