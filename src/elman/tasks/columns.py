"""Columns of the data of a task, and the encoders that make tensors of their values."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

Unknown = Literal["allow", "refuse"]


class Encoder(Protocol):
    """Values of a column to tensors, and what was learned to do so."""

    def learn(self, values: Any, folder: Path | None = None) -> Any:
        """Learn from the training values, and return them encoded.

        Args:
            values: of the training set.
            folder: of the run, where large values may be kept while it lasts.
        """
        ...

    def encode(self, values: Any, *, unknown: Unknown | None = None, folder: Path | None = None) -> Any:
        """Return these values as tensors, with what was learned.

        The encoder of an input also takes `tally`, an `UnknownTally` that counts its tokens.

        Args:
            values: of the same kind.
            unknown: what happens to tokens that training never saw, in place of the settings'.
            folder: as for `learn`.
        """
        ...

    def to_json(self) -> dict[str, Any]:
        """Return what was learned, as JSON holds it."""
        ...

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        ...


class Column(NamedTuple):
    """A column of the data: a flag of the command line, an argument of `fit`, a tensor of a batch.

    Attributes:
        name: of the flag and in a batch.
        encoder: makes its encoder from the settings.
        role: whether the network is given it, or asked for it.
        help: of the flag.
        stratified: whether each of its values is held out in the same proportion.
        numeric: whether its values are numbers.
    """

    name: str
    encoder: Callable[[Any], Encoder]
    role: Literal["input", "target"] = "input"
    help: str = ""
    stratified: bool = False
    numeric: bool = False


def inputs(columns: Iterable[Column]) -> list[Column]:
    """Return the columns that the network is given."""
    return [column for column in columns if column.role == "input"]


def targets(columns: Iterable[Column]) -> list[Column]:
    """Return the columns that are predicted."""
    return [column for column in columns if column.role == "target"]
