"""Settings of networks that give one answer for each sequence."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from elman.settings.base import Conflict
from elman.settings.ensemble import EnsembleSettings
from elman.settings.network import NetworkSettings, PoolingName, Share
from elman.settings.series import SeriesSettings
from elman.settings.space import Range, Space
from elman.settings.text import EncoderSettings
from elman.settings.training import BelowOne, Schedule, TrainingSettings


class RowSettings(EncoderSettings, SeriesSettings, NetworkSettings, TrainingSettings):
    """How sequences are read, the layers of the network, and the training.

    The defaults are chosen for texts of ordinary length, see RESULTS.md; those that are None follow from the data.
    """

    # A trial with more units takes many times as long; `--space` can give more for large data sets.
    space: ClassVar[Space] = {
        "hidden_size": Range(32, 256, log=True),
        "dropout": Range(0.0, 0.7),
        "input_dropout": Range(0.0, 0.5),
        "token_dropout": Range(0.0, 0.3),
    }

    tokens: Literal["auto", "characters", "bytes", "words", "subwords", "values"] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        "auto",
        description="What a step is. auto: words if most texts have several, else characters; values for sequences of "
        "numbers, each an array (time, feature), or (time,) for one feature. subwords are learned from the training "
        "texts by sentencepiece.",
    )
    lower_case: bool | None = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        None,
        description="Convert texts to lower case. By default for words without vectors.",
    )
    bidirectional: bool = Field(True, description="Read the sequences from both ends.")
    pooling: tuple[PoolingName, ...] = Field(
        ("mean", "max"), min_length=1, description="How the steps are reduced to one row. Several are concatenated."
    )
    input_dropout: Share | None = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        None,
        description="Fraction of the features to drop before the recurrent layers. The same features are dropped at "
        "all steps of a sequence. By default 0.2 for tokens, 0 for numbers.",
    )
    dropout: Share = Field(0.5, description="Fraction of the features to drop between layers.")
    token_dropout: Share | None = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        None, description="Fraction of the tokens (or n-grams) to read as unknown. By default 0.1 for words, else 0."
    )
    rare_dropout: Share | None = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        None,
        description="Fraction of the tokens seen once to read as unknown in training. By default 0.5 for words, "
        "else 0.",
    )
    embedding_deviation: float | None = Field(
        None,
        gt=0,
        description="Standard deviation of the embedding at the start. By default 0.1 for words and n-grams, "
        "that of the vectors if there are any, else 1.",
    )
    epochs: PositiveInt | None = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        None, description="Passes over the data. By default 4 to 20, the fewer the more data there are."
    )
    learning_rate: float = Field(2e-3, gt=0, description="Learning rate of the optimizer.")
    schedule: Schedule = Field(
        "linear", description="How the learning rate changes. `elman.training.schedules` has the formulas."
    )
    clip_norm: float | None = Field(1.0, gt=0, description="Largest norm of the gradient, which is scaled down to it.")
    patience: PositiveInt | None = Field(
        None, description="Stop after N epochs without a better one. By default 6 where there are validation data."
    )
    validation_fraction: BelowOne | None = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        None,
        description="Fraction of the training data to hold out. Epochs are compared by it. By default a tenth of 100 "
        "texts and more, unless there are validation data.",
    )


class LabelSettings(RowSettings, EnsembleSettings):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Settings of networks that give a label, besides those of `RowSettings`."""

    space: ClassVar[Space] = {"label_smoothing": Range(0.0, 0.2)}

    wide: Literal["ngrams", "off"] = Field(
        "ngrams",
        description="Add a linear model of TF-IDF n-grams. They are words, pairs of words and characters; the model is "
        "fitted to the training texts, and both are weighed on the validation texts.",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Fraction of each target spread over all labels. C. Szegedy et al., Rethinking the Inception "
        "Architecture, 2016, section 7.",
    )
    class_weight: Literal["balanced"] | None = Field(
        None, description="Weight each label by the inverse of its frequency."
    )

    def _conflicts(self) -> Iterator[Conflict]:
        for name, default in {"label_smoothing": 0.0, "class_weight": None}.items():
            if self.closed_form and getattr(self, name) != default:
                yield Conflict(("fitter", name), "ridge solves for one output layer by least squares, without it.")
