"""The scores of labels against scikit-learn's, over batches of any sizes."""

import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss

from elman.data.ragged.ragged import Ragged
from elman.tasks.confusions import LabelScores
from elman.tasks.task import Batch, Read


@pytest.mark.parametrize("labels", [2, 3, 7])
@pytest.mark.parametrize("ragged", [False, True])
def test_scores_are_scikit_learns(labels: int, ragged: bool):
    generator = torch.Generator().manual_seed(labels)
    outputs = torch.randn(50, labels, generator=generator)
    # One label never occurs in the truth, and may in the answers.
    targets = torch.randint(0, labels - 1, (50,), generator=generator) if labels > 2 else torch.arange(50) % 2
    scores = LabelScores([f"label {number}" for number in range(labels)], "label")
    for begin, end in ((0, 1), (1, 20), (20, 50)):
        column = targets[begin:end]
        batch = Batch({"label": Ragged(column, [len(column) - 1, 1]) if ragged else column}, 1, end - begin)
        scores.update(batch, Read(torch.tensor(0.0), end - begin, outputs[begin:end]))
    found, answers = scores.compute(), outputs.argmax(1)
    assert found["accuracy"] == pytest.approx(accuracy_score(targets, answers))
    assert found["macro_f1"] == pytest.approx(f1_score(targets, answers, average="macro"))
    assert found["loss"] == pytest.approx(
        log_loss(targets, outputs.double().softmax(1), labels=range(labels)), rel=1e-5
    )
    assert found["confusion"] == confusion_matrix(targets, answers, labels=range(labels)).tolist()
    assert found["majority"] == pytest.approx(int(targets.bincount().max()) / 50)
    assert found["count"] == 50
