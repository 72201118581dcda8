"""How a tagger reads words, as settings."""

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from elman.settings.network import Share, StepSettings
from elman.settings.space import Range, Space


class WordSettings(StepSettings):
    """The layers of a network that reads words by what they are and how they are spelled."""

    space: ClassVar[Space] = {
        "dropout": Range(0.0, 0.7),
        "input_dropout": Range(0.0, 0.6),
        "token_dropout": Range(0.0, 0.3),
    }

    cell: str = Field("lstm", description="One of elman's cells, your own as FILE.py:NAME, or none.")
    embedding: Literal["one-hot"] | PositiveInt = Field(100, description="Size of a word's learned vector, or one-hot.")
    hidden_size: PositiveInt = Field(200, description="Units of each recurrent layer and direction.")
    num_layers: PositiveInt = Field(2, description="Number of stacked recurrent layers.")
    bidirectional: bool = Field(True, description="Read the sentences from both ends.")
    input_dropout: Share = Field(
        0.4,
        description="Fraction of the features to drop before the recurrent layers. The same features are dropped at "
        "all words of a sentence.",
    )
    dropout: Share = Field(0.5, description="Fraction of the features to drop between and after the layers.")
    token_dropout: Share = Field(0.1, description="Fraction of the words to read as unknown.")
    rare_dropout: Share = Field(0.5, description="Fraction of the words that training has once to read as unknown.")
    characters: NonNegativeInt = Field(
        100, description="Units of each direction of the LSTM that spells the words. 0 for none."
    )
    character_embedding: PositiveInt = Field(50, description="Size of a character's learned vector.")
    character_dropout: Share = Field(0.05, description="Fraction of the characters to read as unknown.")
    affixes: NonNegativeInt = Field(
        64, description="Size of the learned vectors of prefixes, suffixes and shapes. 0 for none."
    )
    wide: bool = Field(
        True,
        description="Add a linear model of words, spellings and neighbouring words. It is fitted to the training "
        "sentences, and both are weighed on the validation sentences. The fitter ridge leaves it out.",
    )
    feature_dropout: Share = Field(0.2, description="Fraction of the prefixes, suffixes and shapes to leave out.")
    crf: bool = Field(
        False,
        description="Choose tags together, by a conditional random field. Tags of spans then follow "
        "one another only as their scheme allows, or as they do in the training data.",
    )
