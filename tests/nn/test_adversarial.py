"""Adversarial losses against their formulas, written out for networks whose worst change is known."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from elman import SequenceClassifier
from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError
from elman.networks import Ensemble, NetworkSettings, RowNetwork
from elman.nn import Embedding
from elman.nn.adversarial import read_adversarially
from elman.nn.penalties import collected_penalties
from elman.settings import check_settings
from elman.tasks.classify import ClassifierSettings

BATCH = Ragged(torch.tensor([3, 1, 4, 1, 5, 2, 6]), [4, 1, 2])
TARGETS = torch.tensor([0, 1, 1])


class Sums(nn.Module):
    """The sum of the rows of a sequence, times a vector: one logit against 0."""

    def __init__(self):
        super().__init__()
        self.embedding = Embedding(7, 3).double()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))

    def of_rows(self, rows: Ragged) -> Tensor:
        logit = rows.sum() @ self.weight
        return torch.stack([torch.zeros_like(logit), logit], 1)

    def forward(self, batch: Ragged) -> Tensor:
        return self.of_rows(self.embedding(batch))


def cross_entropy(outputs: Tensor) -> Tensor:
    return functional.cross_entropy(outputs.flatten(0, -2), TARGETS.repeat(outputs[..., 0].numel() // 3))


def read(network: nn.Module, **how: float) -> tuple[Tensor, list[Tensor]]:
    with collected_penalties() as penalties:
        outputs = read_adversarially(network, lambda: network(BATCH), cross_entropy, **how)
    return outputs, penalties


def worst(network: Sums, signs: Tensor, size: float) -> Tensor:
    """Return the rows after a change along the weight, which is the steepest at every step of a sequence."""
    rows = network.embedding(BATCH).data
    steps = torch.tensor([4, 1, 2], dtype=torch.float64)
    unit = network.weight / (network.weight.norm() * steps.sqrt()[:, None])
    scale = size * rows.detach().square().mean().sqrt()
    return rows + scale * (signs[:, None] * unit)[BATCH.sequence_index()]


def test_the_adversarial_change_is_the_steepest_rise_of_the_loss():
    torch.manual_seed(0)
    network = Sums()
    outputs, (penalty,) = read(network, adversarial=0.5, size=2.0)
    assert torch.equal(outputs, network(BATCH))
    # The loss of label 0 rises with the logit, that of label 1 falls.
    changed = worst(network, torch.tensor([1.0, -1.0, -1.0]), 2.0).detach()
    expected = 0.5 * cross_entropy(network.of_rows(BATCH.replace(changed)))
    torch.testing.assert_close(penalty, expected)


def test_the_penalty_has_the_gradient_of_the_loss_on_fixed_changes():
    torch.manual_seed(0)
    network = Sums()
    _, (penalty,) = read(network, adversarial=1.0, size=2.0)
    found = torch.autograd.grad(penalty, list(network.parameters()))
    rows = network.embedding(BATCH).data
    change = (worst(network, torch.tensor([1.0, -1.0, -1.0]), 2.0) - rows).detach()
    loss = cross_entropy(network.of_rows(BATCH.replace(rows + change)))
    for slope, expected in zip(found, torch.autograd.grad(loss, list(network.parameters())), strict=True):
        torch.testing.assert_close(slope, expected)


def test_the_virtual_change_moves_the_answer_most():
    torch.manual_seed(1)
    network = Sums()
    outputs, (penalty,) = read(network, virtual=2.0, size=1.5)
    known = outputs.detach().log_softmax(1)

    def divergence(signs: Tensor) -> Tensor:
        others = network.of_rows(BATCH.replace(worst(network, signs, 1.5))).log_softmax(1)
        return (known.exp() * (known - others)).sum(1)

    # The power method finds the direction of a sequence, and the sign of its random beginning remains.
    up, down = (divergence(torch.full((3,), sign)) for sign in (1.0, -1.0))
    choices = torch.cartesian_prod(*torch.stack([up, down], 1)).mean(1) * 2.0
    assert (choices - penalty).abs().min() < 1e-12 * choices.max()
    assert penalty > 0


@pytest.mark.parametrize("kind", [RowNetwork, Ensemble])
def test_every_pass_drops_the_same_features_and_later_draws_are_unchanged(kind):
    torch.manual_seed(0)
    dropped = {"input_dropout": 0.5, "token_dropout": 0.3, "dropout": 0.5, "dense": (4,)}
    settings = check_settings(NetworkSettings, {"embedding": 4, "hidden_size": 5, **dropped})
    how = {"members": 2} if kind is Ensemble else {}
    network = kind(settings, 2, vocabulary_size=7, **how).train()
    torch.manual_seed(3)
    plain = network(BATCH)
    draw = torch.rand(3)
    torch.manual_seed(3)
    outputs, (penalty,) = read(network, adversarial=1.0, size=1e-6)
    assert torch.equal(torch.rand(3), draw)
    torch.testing.assert_close(outputs, plain)
    torch.testing.assert_close(penalty, cross_entropy(plain), rtol=1e-4, atol=1e-5)
    _, (penalty,) = read(network, virtual=1.0, size=1e-6)
    assert penalty.abs() < 1e-6
    penalty.backward()


def test_only_the_first_pass_adds_the_penalties_of_layers():
    settings = check_settings(NetworkSettings, {"embedding": 4, "hidden_size": 5, "activation_regularisation": 1.0})
    network = RowNetwork(settings, 2, vocabulary_size=7).train()
    _, penalties = read(network, adversarial=1.0, virtual=1.0)
    assert len(penalties) == 3


def test_a_frozen_embedding_is_changed_too():
    torch.manual_seed(0)
    network = Sums()
    _, (free,) = read(network, adversarial=1.0)
    network.embedding.requires_grad_(False)
    _, (frozen,) = read(network, adversarial=1.0)
    torch.testing.assert_close(free, frozen)
    frozen.backward()
    assert network.weight.grad is not None
    assert network.embedding.table.weight.grad is None


def test_rows_of_zeros_stay_finite():
    network = Sums()
    nn.init.zeros_(network.embedding.table.weight)
    nn.init.zeros_(network.weight)
    _, penalties = read(network, adversarial=1.0, virtual=1.0)
    assert all(penalty.isfinite() for penalty in penalties)
    slopes = torch.autograd.grad(torch.stack(penalties).sum(), list(network.parameters()))
    assert all(slope.isfinite().all() for slope in slopes)


def test_a_network_without_an_embedding_is_refused():
    network = nn.Linear(2, 2)
    with pytest.raises(UsageError, match="the network has none"):
        read_adversarially(network, lambda: network(torch.zeros(3, 2)), cross_entropy, adversarial=1.0)


@pytest.mark.parametrize("name", ["adversarial", "virtual_adversarial"])
def test_one_hot_rows_are_refused(name):
    with pytest.raises(UsageError, match="one-hot rows are not learned"):
        check_settings(ClassifierSettings, {"embedding": "one-hot", name: 1.0})


TEXTS, LABELS = ["a good film", "bad", "a fine one", "a dull one"] * 6, ["p", "n", "p", "n"] * 6
MIXED = {"adversarial": 1.0, "virtual_adversarial": 1.0}


def model(**settings) -> SequenceClassifier:
    return SequenceClassifier(hidden_size=6, embedding=4, batch_size=8, seed=2, epochs=3, wide="off", **settings)


def test_a_classifier_learns_with_both_terms_and_another_model_than_without():
    mixed, plain = model(**MIXED).fit(TEXTS, LABELS), model().fit(TEXTS, LABELS)
    assert abs(mixed.history_.epochs[-1].loss - plain.history_.epochs[-1].loss) > 1e-6
    again = model(**MIXED).fit(TEXTS, LABELS)
    assert (mixed.predict_proba(TEXTS) == again.predict_proba(TEXTS)).all()
