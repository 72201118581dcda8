"""The tagger as scikit-learn's estimators are used: cloned, cross-validated, searched, in a pipeline."""

import pickle
from pathlib import Path

import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from elman import SequenceTagger, open_model
from elman.data.text.vocabulary import Vocabulary
from elman.errors import UsageError
from elman.models import Pretrained
from elman.settings.tagging import WordSettings

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
    # The linear model alone has every tag right.
    search = GridSearchCV(tagger(wide=False), {"learning_rate": [1e-6, 0.05]}, cv=2).fit(SENTENCES, TAGS)
    assert search.best_params_ == {"learning_rate": 0.05}
    assert search.predict([["the", "cat"]]) == [["D", "N"]]


def test_it_ends_a_pipeline():
    lower = FunctionTransformer(lambda rows: [[word.lower() for word in row] for row in rows])
    model = make_pipeline(lower, tagger()).fit(SENTENCES, TAGS)
    assert model.predict([["THE", "CAT"]]) == [["D", "N"]]
    assert model.score(SENTENCES, TAGS) > 0.9


def test_words_that_training_never_saw_are_counted_in_a_given_vocabulary_too(tmp_path: Path):
    start = Pretrained(Vocabulary(["the", "dog", "ate", "a", "cat", "slept", "ran"]), {})
    model = tagger().fit(SENTENCES, TAGS, start=start)
    given, tags = [["the", "dog", "ran"], ["a", "newt", "slept"]], [["D", "N", "X"], ["D", "X", "V"]]
    tags = [[tag if tag != "X" else "N" for tag in row] for row in tags]
    answers = model.predict(given)
    right = (answers[0][2] == "N") + (answers[1][1] == "N")
    model.save(tmp_path / "model")
    for each in (model, open_model(tmp_path / "model")):
        assert each.evaluate(given, tags)["unknown_accuracy"] == right / 2
    assert tagger().fit(SENTENCES, TAGS).evaluate(SENTENCES, TAGS)["unknown_accuracy"] is None


@pytest.mark.parametrize("wrong", [{"characters": -1}, {"scheme": "iob3"}, {"crff": True}])
def test_wrong_settings_are_named(wrong: dict):
    with pytest.raises(Exception, match=next(iter(wrong))):
        tagger(**wrong).fit(SENTENCES, TAGS)


def test_the_networks_of_an_ensemble_learn_for_themselves(tmp_path: Path):
    dropped = dict.fromkeys((name for name in WordSettings.model_fields if name.endswith("dropout")), 0.0)
    how = {**SMALL, **dropped, "ensemble": 3, "clip_norm": None, "average_decay": None, "optimizer": "sgd"}
    model = tagger(**{**how, "learning_rate": 0.3}).fit(SENTENCES, TAGS)
    members = model.model_.members
    assert len(members) == 3
    assert not torch.equal(members[0].dense[-1].weight, members[1].dense[-1].weight)
    # The first one is drawn as a network alone is; the mean over three networks has a third of its gradient.
    alone = tagger(**{**how, "ensemble": 1, "learning_rate": 0.1}).fit(SENTENCES, TAGS)
    for name, value in members[0].state_dict().items():
        assert torch.allclose(value, alone.model_.state_dict()[name], atol=1e-5), name
    model.save(tmp_path / "m")
    assert SequenceTagger.load(tmp_path / "m").evaluate(SENTENCES, TAGS) == model.evaluate(SENTENCES, TAGS)


def test_an_ensemble_gives_each_sequence_of_tags_the_mean_of_its_scores():
    model = tagger(crf=True, ensemble=2).fit(SENTENCES, TAGS)
    network = model.model_.eval()
    words = model.task_.encoders["words"].encode(SENTENCES[:2])
    tags = words.ids.map(lambda ids: ids % 3)
    with torch.inference_mode():
        mean = network.crf.score(network.read(words), tags)
        each = [member.crf.score(member(words), tags) for member in network.members]
        assert torch.allclose(mean, torch.stack(each).mean(0), atol=1e-5)
        best = network.crf.decode(network(words))
        assert torch.equal(network.best(network(words)).data, best.data)
    assert not torch.equal(network.members[0].crf.transitions, network.members[1].crf.transitions)


def test_an_ensemble_is_resumed_to_the_same_bits(tmp_path: Path):
    how = {"ensemble": 2, "schedule": "constant", "crf": True}
    whole = tagger(**how, epochs=4).fit(SENTENCES, TAGS)
    tagger(**how, epochs=2).fit(SENTENCES, TAGS, folder=tmp_path)
    resumed = tagger(**how, epochs=4).fit(SENTENCES, TAGS, folder=tmp_path, resume=True)
    for name, value in whole.model_.state_dict().items():
        assert torch.equal(value, resumed.model_.state_dict()[name]), name


@pytest.mark.parametrize("wrong", [{"fitter": "ridge"}, {"optimizer": "hessian-free"}])
def test_only_gradients_train_an_ensemble(wrong: dict):
    with pytest.raises(UsageError, match="ensemble"):
        tagger(ensemble=2, **wrong).fit(SENTENCES, TAGS)
