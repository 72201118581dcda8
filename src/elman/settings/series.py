"""Settings of sequences of numbers."""

from typing import Literal, get_args

Scaling = Literal["none", "standard", "robust", "series", "last", "reversible"]
SCALINGS: tuple[str, ...] = get_args(Scaling)
Missing = Literal["error", "mask", "carry"]
NumberLoss = Literal["squared", "absolute", "huber", "quantile"]
