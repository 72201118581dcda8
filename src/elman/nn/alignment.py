"""Layers that relate the steps of two sequences: soft alignment, and steps that occur in both."""

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError
from elman.nn.checks import check_ragged
from elman.nn.masked_softmax import masked_softmax


class Alignment(nn.Module):
    """The steps of each of two sequences as seen from the other: attention between them, without parameters.

    For steps a_i of one sequence and b_j of the other, with e_ij = a_i · b_j,

        ã_i = Σ_j softmax_j(e_ij) b_j        b̃_j = Σ_i softmax_i(e_ij) a_i

    Source:
        Q. Chen et al., Enhanced LSTM for Natural Language Inference, ACL 2017, equations 11 to 13; without a recurrent
        layer below it, A. Parikh et al., A Decomposable Attention Model for Natural Language Inference, EMNLP 2016,
        equations 1 and 2. Difference: steps whose other sequence is empty are aligned with zeros.

    >>> first, second = Ragged(torch.ones(3, 4), [2, 1]), Ragged(torch.ones(4, 4), [0, 4])
    >>> [aligned.data.shape for aligned in Alignment()(first, second)]
    [torch.Size([3, 4]), torch.Size([4, 4])]
    """

    def forward(self, first: Ragged, second: Ragged) -> tuple[Ragged, Ragged]:
        """Align the steps `(total, feature)` of two batches, whose sequences are pairs by order.

        Raises:
            ShapeError: batches of other numbers of sequences or features.
        """
        for batch in (first, second):
            check_ragged(self, batch, "steps (total, feature)")
        if first.batch_size != second.batch_size or first.data.shape[1] != second.data.shape[1]:
            shapes = (f"{each.batch_size} sequences of {each.data.shape[1]} features" for each in (first, second))
            raise ShapeError(
                f"Expected two batches of the same size, got {' and '.join(shapes)}.",
                fix="Give one sequence of each batch for each pair, with the same features.",
            )
        one, two = first.to_padded(), second.to_padded()  # (batch, longest, feature)
        scores = one @ two.transpose(1, 2)  # (batch, first, second)
        valid = first.mask()[:, :, None] & second.mask()[:, None, :]
        return (
            _steps_of(masked_softmax(scores, valid, 2) @ two, first),
            _steps_of(masked_softmax(scores, valid, 1).transpose(1, 2) @ one, second),
        )


def _steps_of(padded: Tensor, like: Ragged) -> Ragged:
    return like.replace(padded[like.mask()])


def occurs_in_other(first: Ragged, second: Ragged, *, unused: int = 0) -> tuple[Tensor, Tensor]:
    """Return for each id whether it occurs in the other sequence of its pair.

    Args:
        first: ids `(total,)`.
        second: ids `(total,)`, of as many sequences.
        unused: the first ids that stand for no token, such as the unknown one; these occur nowhere.

    Returns:
        Truth values `(total,)` for each of the two.

    Source:
        D. Chen et al., Reading Wikipedia to Answer Open-Domain Questions, ACL 2017, section 3.2, "exact match".

    >>> [found.tolist() for found in occurs_in_other(Ragged(torch.tensor([1, 2]), [2]), Ragged(torch.tensor([2]), [1]))]
    [[False, True], [True]]
    """
    size = 1 + int(max((int(each.data.max()) for each in (first, second) if each.total), default=0))
    keys = [each.sequence_index().to(each.data.device) * size + each.data for each in (first, second)]
    known = [each.data >= unused for each in (first, second)]
    return torch.isin(keys[0], keys[1]) & known[0], torch.isin(keys[1], keys[0]) & known[1]
