"""Several networks that are trained side by side, as settings."""

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from elman.settings.base import Conflict
from elman.settings.training import RunSettings


class EnsembleSettings(RunSettings):
    """How many networks a model consists of; those of `RunSettings` besides."""

    ensemble: PositiveInt = Field(
        1,
        description="Number of networks to train side by side. Each starts from its own weights; their answers are "
        "averaged.",
    )

    def _conflicts(self) -> Iterator[Conflict]:
        if self.ensemble > 1 and self.optimizer == "hessian-free":
            yield Conflict(("optimizer", "ensemble"), "hessian-free takes the curvature of one network.")
        if self.ensemble > 1 and self.closed_form:
            yield Conflict(("fitter", "ensemble"), "ridge solves for one output layer by least squares, without it.")
