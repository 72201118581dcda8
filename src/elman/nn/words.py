"""Layers that read words by their spelling."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.data.ragged.ragged import Ragged
from elman.nn.checks import refuse, wrong_probability, wrong_size
from elman.nn.embedding import Embedding
from elman.nn.recurrent import Recurrent
from elman.nn.regularisers import scaled_mask


class CharacterEncoder(nn.Module):
    """A vector for each word: the last states of an LSTM that reads its characters from both ends.

    Args:
        characters: number of ids; id 0 is the unknown character.
        embedding_size: size of a character's learned vector.
        hidden_size: units of each direction.
        dropout: probability, from 0 to 1, of reading a character as unknown in training. Default 0.

    Attributes:
        output_size: twice the units.

    Raises:
        UsageError: sizes below 1, or a probability that is not from 0 to 1.

    >>> CharacterEncoder(7, 3, 5)(Ragged(torch.tensor([5, 0, 2]), [1, 2])).shape
    torch.Size([2, 10])

    Source:
        W. Ling et al., Finding Function in Form: Compositional Character Models for Open Vocabulary Word
        Representation, 2015. Difference: the two last states are concatenated, without a projection.
    """

    def __init__(self, characters: int, embedding_size: int, hidden_size: int, dropout: float = 0.0):
        super().__init__()
        self.embedding = Embedding(characters, embedding_size, zeros=1, dropout=dropout)
        self.body = Recurrent("lstm", embedding_size, hidden_size, bidirectional=True)
        self.output_size = self.body.output_size

    def forward(self, spellings: Ragged) -> Tensor:
        """Return vectors `(words, output_size)` of ids `(characters of all,)`."""
        ids, table = self.embedding.lookup(spellings) or (self.embedding(spellings), None)
        _, last = self.body(ids, table=table)
        return last.output


class FeatureSum(nn.Module):
    """A vector for each word: the sum of the learned vectors of its features.

    Args:
        features: number of ids; id 0 is every unknown feature, and adds nothing.
        output_size: size of the vectors.
        deviation: standard deviation of the vectors at the start; 0 starts from zeros. Default 0.1.
        dropout: probability, from 0 to 1, of leaving a feature of a word out in training. Default 0.

    Raises:
        UsageError: sizes below 1, or a probability that is not from 0 to 1.

    >>> FeatureSum(7, 3)(torch.tensor([[5, 0], [1, 2]])).shape
    torch.Size([2, 3])
    """

    def __init__(self, features: int, output_size: int, deviation: float = 0.1, dropout: float = 0.0):
        super().__init__()
        refuse(
            wrong_size("features", features),
            wrong_size("output_size", output_size),
            wrong_probability("dropout", dropout),
        )
        self.output_size = output_size
        self.dropout = dropout
        self.table = nn.Parameter(torch.randn(features, output_size) * deviation)

    def forward(self, features: Tensor) -> Tensor:
        """Return vectors `(words, output_size)` of ids `(words, features)`."""
        if not len(features) or not features.shape[1]:
            return self.table.new_zeros(len(features), self.output_size)
        kept = None
        if self.training and self.dropout:
            kept = scaled_mask(self.table, *features.shape, probability=self.dropout)
        return functional.embedding_bag(features, self.table, mode="sum", padding_idx=0, per_sample_weights=kept)

    def extra_repr(self) -> str:
        """Return the sizes for printing the module."""
        return f"{len(self.table)}, {self.output_size}, dropout={self.dropout}"
