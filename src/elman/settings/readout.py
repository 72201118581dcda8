"""How the weights of a network are found, as settings."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from elman.settings.base import Conflict, Settings

Ridge = Annotated[float, Field(ge=0)]
ONLINE = ("rls", "force")
LEAST_SQUARES = ("ridge", *ONLINE)


class ReadoutSettings(Settings):
    """How weights are found: by gradients, or by least squares for the output layer alone."""

    fitter: Literal["gradient", "ridge", "rls", "force"] | None = Field(
        None,
        description="How the weights are found. ridge solves for the output layer alone, in one pass over the data; "
        "rls (recursive least squares) does so step by step, and force while the network reads its own output. By "
        "default ridge for the cell reservoir, else gradient.",
    )
    ridges: tuple[Ridge, ...] | None = Field(
        None,
        min_length=1,
        description="Penalties that ridge chooses from. It cross-validates them in the same pass. By default 1e-8, "
        "1e-7, … 100. rls and force take the middle one.",
    )
    solver: Literal["products", "qr"] = Field(
        "products",
        description="How ridge regression is solved. qr takes about three times as long, and uses directions of the "
        "states that sums of products lose to rounding.",
    )
    forgetting: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Factor of the weight of earlier steps at each step. Of rls and force; 1 forgets nothing.",
    )

    @field_validator("ridges", mode="before")
    @classmethod
    def _one_ridge_is_a_list_as_well(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int | float) else value

    @property
    def closed_form(self) -> bool:
        """Whether the output layer is found by least squares, and nothing else is learned."""
        return self.fitter in LEAST_SQUARES or (self.fitter is None and getattr(self, "cell", None) == "reservoir")

    @property
    def is_online(self) -> bool:
        """Whether the output layer is learned row by row."""
        return self.fitter in ONLINE

    def _conflicts(self) -> Iterator[Conflict]:
        if self.fitter == "force" and not getattr(self, "feedback_scaling", 0.0):
            yield Conflict(("fitter", "feedback_scaling"), "force needs feedback; a feedback_scaling of 1 is usual.")
        if self.is_online and self.ridges is not None and not self.ridges[len(self.ridges) // 2]:
            yield Conflict(("fitter", "ridges"), f"{self.fitter} needs a ridge above 0; 1 is usual.")
        if self.solver != "products" and (self.is_online or not self.closed_form):
            yield Conflict(("fitter", "solver"), "only the fitter ridge has a solver.")
        if self.forgetting != 1.0 and not self.is_online:
            yield Conflict(("fitter", "forgetting"), "only the fitters rls and force forget.")
