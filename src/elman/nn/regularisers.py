"""What stands beside the kernel and keeps a network from learning by heart."""

from torch import Tensor, nn

from elman.sequences.ragged import Ragged


def drop_features(data: Tensor, batch: Ragged, probability: float, training: bool) -> Tensor:
    """The data with features dropped, the same ones at all steps of a sequence, and the others scaled up.

    Args:
        data: `(total, feature)`.
        batch: the batch whose steps the rows of `data` are.
        probability: of dropping a feature of a sequence.
        training: nothing is dropped otherwise.
    """
    if not training or probability == 0.0:
        return data
    kept = data.new_empty(batch.batch_size, data.shape[1]).bernoulli_(1.0 - probability).div_(1.0 - probability)
    return data * kept.index_select(0, batch.sequence_index().to(data.device))


class SequenceDropout(nn.Module):
    """Dropout whose mask is the same at all steps of a sequence.

    Args:
        probability: of dropping a feature of a sequence while training.

    Source:
        Y. Gal, Z. Ghahramani, A Theoretically Grounded Application of Dropout in Recurrent Neural Networks, 2016.
    """

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability

    def forward(self, batch):
        """The same `Ragged` batch, or `(batch, time, feature)`, with features dropped."""
        if isinstance(batch, Ragged):
            return batch.replace(drop_features(batch.data, batch, self.probability, self.training))
        return self(Ragged.from_dense(batch)).data.unflatten(0, batch.shape[:2])

    def extra_repr(self) -> str:
        """The settings, for printing the module."""
        return f"probability={self.probability}"
