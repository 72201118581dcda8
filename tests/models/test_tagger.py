"""The tagger as scikit-learn's estimators are used: cloned, cross-validated, searched, in a pipeline."""

import pickle

import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from elman import SequenceTagger

SENTENCES = [["the", "dog", "ate"][: 2 + n % 2] if n % 3 else ["a", "cat", "slept"] for n in range(12)]
TAGS = [["D", "N", "V"][: len(words)] for words in SENTENCES]
SMALL = {"embedding": 6, "hidden_size": 6, "num_layers": 1, "characters": 3, "affixes": 3, "batch_size": 2, "epochs": 3}
LEARNS = {**SMALL, "learning_rate": 0.05, "epochs": 10}


def tagger(**changes: object) -> SequenceTagger:
    return SequenceTagger(**{**LEARNS, **changes})


def test_a_clone_has_the_settings_and_no_weights():
    model = tagger(crf=True).fit(SENTENCES, TAGS)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "model_")
    assert copy.fit(SENTENCES, TAGS).predict(SENTENCES) == model.predict(SENTENCES)
    assert pickle.loads(pickle.dumps(model)).predict(SENTENCES) == model.predict(SENTENCES)


def test_it_is_cross_validated():
    scores = cross_val_score(tagger(), SENTENCES, TAGS, cv=3)
    assert len(scores) == 3
    assert scores.min() > 0.9


def test_settings_are_searched():
    search = GridSearchCV(tagger(), {"learning_rate": [1e-6, 0.05]}, cv=2).fit(SENTENCES, TAGS)
    assert search.best_params_ == {"learning_rate": 0.05}
    assert search.predict([["the", "cat"]]) == [["D", "N"]]


def test_it_ends_a_pipeline():
    lower = FunctionTransformer(lambda rows: [[word.lower() for word in row] for row in rows])
    model = make_pipeline(lower, tagger()).fit(SENTENCES, TAGS)
    assert model.predict([["THE", "CAT"]]) == [["D", "N"]]
    assert model.score(SENTENCES, TAGS) > 0.9


@pytest.mark.parametrize("wrong", [{"characters": -1}, {"scheme": "iob3"}, {"crff": True}])
def test_wrong_settings_are_named(wrong: dict):
    with pytest.raises(Exception, match=next(iter(wrong))):
        tagger(**wrong).fit(SENTENCES, TAGS)
