"""The regressor: scikit-learn's habits, its losses and quantiles, a number for each step, and rated words."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_regressor
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from elman import SequenceRegressor
from elman.errors import DataError, NotFittedError, ShapeError, UsageError

SMALL: dict[str, Any] = {"hidden_size": 6, "epochs": 2, "seed": 1, "cell": "gru"}
WAVES = [np.sin(np.arange(4 + n % 5) * (1 + n % 3)) for n in range(24)]
LEVELS = [float(n % 3) for n in range(24)]


def test_it_is_a_regressor_of_scikit_learn():
    model = SequenceRegressor(**SMALL)
    assert is_regressor(model)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert copy.set_params(hidden_size=3).hidden_size == 3
    assert pickle.loads(pickle.dumps(model)).get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        model.predict(WAVES)
    model.fit(WAVES, LEVELS)
    assert model.predict(WAVES).shape == (24,)
    assert model.score(WAVES, LEVELS) == pytest.approx(r2_score(LEVELS, model.predict(WAVES)), abs=1e-5)
    assert model.fit(WAVES, LEVELS) is model


def test_it_works_in_searches_and_pipelines():
    table = np.array([np.sin(np.arange(6) * (1 + n % 3)) for n in range(24)])
    search = GridSearchCV(SequenceRegressor(**SMALL), {"hidden_size": [2, 3]}, cv=2).fit(table, LEVELS)
    assert search.best_params_["hidden_size"] in (2, 3)
    assert np.isfinite(cross_val_score(SequenceRegressor(**SMALL), table, LEVELS, cv=2)).all()
    pipe = Pipeline([("double", FunctionTransformer(lambda values: 2 * values)), ("model", SequenceRegressor(**SMALL))])
    assert pipe.fit(table, LEVELS).predict(table).shape == (24,)
    panel = np.stack([table, table], axis=1)
    assert np.isfinite(cross_val_score(SequenceRegressor(**SMALL), panel, np.array(LEVELS), cv=2)).all()


@pytest.mark.parametrize("loss", ["squared", "absolute", "huber", "quantile"])
def test_every_loss_learns(loss):
    model = SequenceRegressor(hidden_size=16, epochs=30, learning_rate=0.02, dropout=0, seed=1, cell="gru", loss=loss)
    model.fit(WAVES, [1000 + 100 * level for level in LEVELS])
    assert model.score(WAVES, [1000 + 100 * level for level in LEVELS]) > 0.8
    assert 950 < model.predict(WAVES).mean() < 1250


def test_quantiles_do_not_cross_and_the_median_is_the_answer():
    model = SequenceRegressor(**SMALL, loss="quantile", quantiles=(0.05, 0.5, 0.7, 0.95)).fit(WAVES, LEVELS)
    found = model.predict_quantiles(WAVES)
    assert found.shape == (24, 4)
    assert (np.diff(found, axis=1) >= 0).all()
    np.testing.assert_array_equal(model.predict(WAVES), found[:, 1])
    assert SequenceRegressor(**SMALL, loss="quantile").fit(WAVES, LEVELS).predict_quantiles(WAVES).shape == (24, 3)
    with pytest.raises(UsageError, match="loss is squared"):
        SequenceRegressor(**SMALL).fit(WAVES, LEVELS).predict_quantiles(WAVES)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"quantiles": (0.5,)}, "for the loss quantile"),
        ({"loss": "quantile", "quantiles": (0.5, 0.1)}, "ascending"),
        ({"loss": "quantile", "quantiles": (0.5, 1.0)}, "less than 1"),
        ({"loss": "square"}, "squared"),
    ],
)
def test_wrong_settings_are_named(settings, said):
    with pytest.raises(UsageError, match=said):
        SequenceRegressor(**settings).fit(WAVES, LEVELS)


def test_each_step_has_a_number_of_its_own():
    model = SequenceRegressor(**{**SMALL, "epochs": 30, "learning_rate": 0.02, "dropout": 0.0, "hidden_size": 16})
    targets = [3 * wave + 10 for wave in WAVES]
    model.fit(WAVES, targets)
    assert model.score(WAVES, targets) > 0.9
    assert [len(each) for each in model.predict(WAVES)] == [len(wave) for wave in WAVES]
    ranges = SequenceRegressor(**SMALL, loss="quantile").fit(WAVES, targets).predict_quantiles(WAVES[:2])
    assert [each.shape for each in ranges] == [(4, 3), (5, 3)]
    with pytest.raises(DataError, match=r"(?s)target for each step.*sequence 1: 4 steps, 3 targets"):
        SequenceRegressor(**SMALL).fit(WAVES, [targets[0][:3], *targets[1:]])
    with pytest.raises(UsageError, match="Segments have no number for each step"):
        SequenceRegressor(**SMALL, segment=2).fit(WAVES, targets)
    with pytest.raises(DataError, match=r"(?s)Expected a list.*number 2"):
        SequenceRegressor(**SMALL).fit(WAVES, [targets[0], 1.0, *targets[2:]])


def test_what_is_wrong_is_named():
    with pytest.raises(DataError, match=r"(?s)number 2: the text 'x'"):
        SequenceRegressor(**SMALL).fit(WAVES[:3], [1, "x", 2])
    with pytest.raises(DataError, match=r"(?s)infinite.*sequence 2, step 1"):
        SequenceRegressor(**SMALL).fit([[1.0], [float("inf")]], [1, 2])
    model = SequenceRegressor(**SMALL).fit(WAVES, LEVELS)
    with pytest.raises(ShapeError, match="Expected 1 channel, with which the model was trained, got 2"):
        model.predict([np.zeros((3, 2))])
    assert np.isfinite(model.predict([[], [1.0]])).all()


def test_the_scale_is_part_of_the_model(tmp_path: Path):
    model = SequenceRegressor(**SMALL).fit([1e6 + 1000 * wave for wave in WAVES], LEVELS)
    model.save(tmp_path)
    again = SequenceRegressor.load(tmp_path)
    np.testing.assert_array_equal(again.predict([1e6 + 1000 * WAVES[1]]), model.predict([1e6 + 1000 * WAVES[1]]))
    assert not np.allclose(again.predict([WAVES[1]]), model.predict([1e6 + 1000 * WAVES[1]]), atol=1e-3)


@pytest.mark.parametrize("scaling", ["none", "standard", "robust", "series", "mean", "last", "reversible"])
def test_every_scaling_trains(scaling):
    model = SequenceRegressor(**SMALL, scaling=scaling, missing="mask").fit([*WAVES, [1.0, None]], [*LEVELS, 1.0])
    assert np.isfinite(model.predict([[None, 2.0], [None]])).all()


def test_rated_words_are_better_than_their_mean():
    vader = pytest.importorskip("vaderSentiment", reason='pip install "elman[demo]"')
    path = Path(vader.__file__).with_name("vader_lexicon.txt")
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    pairs = [(word, float(rating)) for word, rating, *_ in rows if word.isalpha()]
    order = np.random.default_rng(0).permutation(len(pairs))[:1500]
    words, ratings = [pairs[row][0] for row in order], [pairs[row][1] for row in order]
    model = SequenceRegressor(hidden_size=32, epochs=10, seed=1, cell="gru", learning_rate=0.005)
    model.fit(words[:1200], ratings[:1200])
    assert model.score(words[1200:], ratings[1200:]) > 0.05


def test_sequences_within_the_warm_up_are_not_scored():
    series = [np.sin(np.arange(20.0) + n) for n in range(8)]
    model = SequenceRegressor(warmup_steps=5, hidden_size=4, epochs=1, seed=1).fit(series, [list(s) for s in series])
    short = [each[:4] for each in series]
    with pytest.raises(DataError, match="no known target to score") as error:
        model.evaluate(short, [list(each) for each in short])
    assert "--warmup-steps" in str(error.value)


@pytest.mark.parametrize("how", [{}, {"loss": "quantile", "quantiles": (0.2, 0.5, 0.9)}])
def test_an_ensemble_gives_the_mean_of_the_numbers_of_its_networks(how: dict[str, Any], tmp_path: Path):
    quiet = {"dropout": 0.0, "input_dropout": 0.0, "clip_norm": None, "optimizer": "sgd", "validation_fraction": 0.0}
    how = {**SMALL, **quiet, **how}
    model = SequenceRegressor(**{**how, "ensemble": 3, "learning_rate": 0.3}).fit(WAVES, LEVELS)
    # The first one is drawn as a network alone is; the mean over three networks has a third of its gradient.
    alone = SequenceRegressor(**{**how, "learning_rate": 0.1}).fit(WAVES, LEVELS)
    members = model.model_.members
    for name, value in members[0].state_dict().items():
        assert np.allclose(value, alone.model_.state_dict()[name], atol=1e-5), name
    predicted = model.predict(WAVES)
    model.save(tmp_path)
    assert np.array_equal(SequenceRegressor.load(tmp_path).predict(WAVES), predicted)
    ensemble, each = model.model_, []
    for member in members:
        model.model_ = member
        each.append(model.predict(WAVES))
    model.model_ = ensemble
    assert not np.allclose(each[0], each[1])
    assert np.allclose(np.mean(each, 0), predicted, atol=1e-5)


def test_an_ensemble_of_texts_has_one_linear_model(tmp_path: Path):
    texts = [f"{'good' if n % 2 else 'bad'} thing {n % 5}" for n in range(24)]
    numbers = [float(n % 2) for n in range(24)]
    model = SequenceRegressor(**{**SMALL, "ensemble": 2, "tokens": "words"}).fit(texts, numbers)
    assert model.model_.wide is not None
    assert all(member.wide is None for member in model.model_.members)
    predicted = model.predict(texts)
    model.save(tmp_path)
    assert np.array_equal(SequenceRegressor.load(tmp_path).predict(texts), predicted)


def test_targets_of_each_step_have_one_network():
    with pytest.raises(UsageError, match="--ensemble"):
        SequenceRegressor(**SMALL, ensemble=2).fit(WAVES, WAVES)
