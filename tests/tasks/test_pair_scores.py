"""Scores of pairs against scipy's and scikit-learn's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.tasks import pair_scores
from elman.tasks.pair_scores import KeptRows, area_under_curve, average_precision, spearman
from tests.examples import draws

stats = pytest.importorskip("scipy.stats")
metrics = pytest.importorskip("sklearn.metrics")
ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=30)


@draws(50)
@given(rows=ROWS)
def test_spearman_is_scipys(rows: list[tuple[int, int]]):
    one, two = (torch.tensor(column, dtype=torch.float64) for column in zip(*rows, strict=True))
    if len(set(one.tolist())) == 1 or len(set(two.tolist())) == 1:
        assert spearman(one, two) == 0.0
    else:
        assert spearman(one, two) == pytest.approx(stats.spearmanr(one, two)[0], abs=1e-12)


@draws(50)
@given(rows=ROWS)
def test_nearness_is_scored_as_scikit_learn_does(rows: list[tuple[int, int]]):
    near = torch.tensor([one for one, _ in rows], dtype=torch.float64)
    alike = torch.tensor([two > 3 for _, two in rows])
    if alike.any() and not alike.all():
        assert area_under_curve(near, alike) == pytest.approx(metrics.roc_auc_score(alike, near))
        assert average_precision(near, alike) == pytest.approx(metrics.average_precision_score(alike, near))


def test_no_more_rows_are_kept_than_fit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pair_scores, "KEPT", 5)
    kept = KeptRows(2)
    for begin in range(0, 12, 3):
        kept.update(torch.arange(begin, begin + 3), torch.ones(3))
    assert kept.columns()[0].tolist() == [0, 1, 2, 3, 4]
