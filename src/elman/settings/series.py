"""Settings of sequences of numbers."""

from typing import Any, Literal, get_args

from pydantic import Field, PositiveInt, field_validator

from elman.settings.base import Settings

Scaling = Literal["none", "standard", "robust", "series", "mean", "last", "reversible"]
SCALINGS: tuple[str, ...] = get_args(Scaling)
View = Literal["values", "series", "log", "difference", "level"]
VIEWS: tuple[str, ...] = get_args(View)
Missing = Literal["error", "mask", "carry"]
NumberLoss = Literal["squared", "absolute", "huber", "quantile"]


class SeriesSettings(Settings):
    """How a network reads sequences of numbers."""

    scaling: Scaling | None = Field(
        None,
        description="How numbers are scaled inside the network. standard: by mean and deviation of the training steps; "
        "robust: by median and quartiles; series: by mean and deviation of each sequence; mean, last: less its mean or "
        "its last value; reversible: as series, with learned factors. By default standard for sequences of numbers.",
    )
    views: tuple[View, ...] = Field(
        ("values",),
        min_length=1,
        description="What a network reads of each number. Several views are concatenated. values: scaled as scaling "
        "says; series: scaled by its sequence; log: its logarithm relative to the mean size of its sequence; "
        "difference: its change from the step before; level: the logarithm of that mean size.",
    )
    missing: Missing = Field(
        "error",
        description="What happens to missing values of sequences of numbers. mask: they are zero after the scaling, "
        "and one more feature for each channel says where. carry: they repeat the last known value, before it the "
        "first.",
    )
    segment: PositiveInt = Field(
        1,
        description="Steps that are read together. Sequences of numbers are cut into segments of so many "
        "steps, each read by a linear layer; in training they begin at a random position of a segment.",
    )

    @field_validator("views", mode="before")
    @classmethod
    def _one_view_is_a_list_too(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value
