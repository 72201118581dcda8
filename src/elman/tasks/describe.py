"""The task of writing a text for a vector: one to many."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from elman.settings.base import Conflict
from elman.tasks.task import Answer, Batch, Column, Data, Read
from elman.tasks.translate import WriterSettings, Writing
from elman.tasks.translate_texts import TargetText
from elman.tasks.vectors import VectorInput, VectorRows

if TYPE_CHECKING:
    from pathlib import Path

    from elman.compiler.cell import Cell
    from elman.nn.state import State
    from elman.tasks.baselines import Baseline


class DescriberSettings(WriterSettings):
    """Every setting of a describer: how its texts are written, the network's layers, the training."""

    tokens: Literal["characters", "words", "subwords"] = Field(
        "words", description="What a step of a text is. subwords are learned by sentencepiece."
    )
    hidden_size: PositiveInt = Field(128, description="Units of each recurrent layer.")
    embedding: PositiveInt = Field(64, description="Size of a token's learned vector.")  # pyright: ignore[reportIncompatibleVariableOverride]

    def _conflicts(self) -> Iterator[Conflict]:
        if self.copying:
            yield Conflict(("copying",), "the numbers of a vector are not tokens that could be copied.")
        if self.max_source_length is not None:
            yield Conflict(("max_source_length",), "all vectors have one length.")


class Describe(Writing):
    """A text for each vector: cross entropy of each token, given the vector and the tokens before it.

    The metric that compares epochs is the cross entropy, unless the setting `metric` names another.
    """

    name = "describe"
    summary = "a text for each vector, such as a caption"
    noun = "describer"
    settings_class = DescriberSettings
    columns = (
        Column("vector", VectorInput, help="Column of the vectors in JSONL. [the lists of numbers]"),
        Column("target", TargetText, "target", "Column of the texts. [by usual names, else the last]"),
    )
    source = VectorRows()
    use = ("elman predict {model} {data}", "elman evaluate {model} {data}")
    examples = (
        "elman train describe digits.jsonl --target text --out digits",
        "elman train describe houses.csv --target advert --attention none --out adverts",
    )

    @property
    def tokens(self) -> str:
        """What its inputs are."""
        return "values"

    @classmethod
    def baselines(cls) -> "Sequence[Baseline]":
        """Return the text of the nearest training row."""
        # Imported late: numpy is needed only for training.
        from elman.tasks.writing_baselines import NearestVector

        return (NearestVector("vector"),)

    def learn(self, values: Mapping[str, Any], folder: "Path | None" = None) -> dict[str, Any]:
        """Learn sizes and vocabulary, and return the rows that are not too long."""
        return self.measured(super().learn(values, folder), self.encoders["target"].notes)

    def network(self, cell: "Cell | None") -> Any:
        """Build the network: dense layers, bridge, attention, decoder."""
        from elman.tasks.writing import build_network

        features = self.encoders["vector"].features
        return build_network(self.settings, self.encoders["target"], cell, features=features)

    def prepare(self, network: Any, encoded: Mapping[str, Any], *, fit: bool) -> Mapping[str, Any]:
        """Learn mean and deviation of each number."""
        if fit:
            network.encoder.learn_scale(encoded["vector"])
        return encoded

    def read(self, network: Any, batch: Batch, state: "State | None" = None) -> Read:
        """Read a batch: the true tokens, or the network's own, as the settings say."""
        from elman.tasks.writing import read_written

        return read_written(network, batch["vector"], batch["target"], self.settings, self.encoders["target"])

    def scores(self, data: Data) -> Any:
        """Return the scores of `WritingScores`."""
        from elman.tasks.writing import WritingScores

        return WritingScores(self.encoders["target"])

    def answers(self, network: Any, batch: Batch) -> list[Answer]:
        """Return the best text for each vector, and the next best where several are wanted."""
        from elman.tasks.writing import answers_of

        return answers_of(network, batch["vector"], self.encoders["target"])

    def facts(self) -> dict[str, Any]:
        """Return the size of the vectors and of the vocabulary."""
        return {"numbers": self.encoders["vector"].features, "vocabulary": len(self.encoders["target"].vocabulary)}
