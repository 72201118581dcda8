"""Weights of another model to start from, frozen parts, and the score that decides."""

from pathlib import Path

import pytest
import torch

from elman import LanguageModel, SequenceClassifier
from elman.errors import ShapeError, UsageError
from elman.models import OtherModel, model_for
from elman.tasks import TASKS, find_task

TEXT = "the cat sat on the mat. " * 10
WORDS, LABELS = ["cat", "mat", "the", "on"] * 4, ["x", "x", "y", "y"] * 4
LANGUAGE = {"embedding_size": 5, "hidden_size": 4, "streams": 2, "window": 6, "epochs": 1}
TABLE = "embedding.table.weight"
CLASSIFIER = {
    "cell": "gru",
    "embedding": 5,
    "hidden_size": 4,
    "epochs": 1,
    "batch_size": 4,
    "learning_rate": 0.1,
    "dense": 4,
    "dropout": 0.0,
    "schedule": "constant",
}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other") / "m"
    LanguageModel(**LANGUAGE).fit(TEXT).save(folder)
    return folder


def weights(model) -> dict[str, torch.Tensor]:
    return model.model_.state_dict()


def test_a_classifier_starts_from_a_language_model(other: Path):
    theirs = LanguageModel.load(other)
    frozen = {**CLASSIFIER, "freeze": ("embedding", "body")}
    model = SequenceClassifier(**frozen).fit([*WORDS, "zzz"], [*LABELS, "x"], start=OtherModel(other))
    assert model.vocabulary_ is not None
    for name, value in weights(theirs).items():
        if name.startswith("body."):
            assert torch.equal(weights(model)[name], value), name
    for token in "cat":
        own, their = (kind.encode([token])[0] for kind in (model.vocabulary_, theirs.coder_.vocabulary))
        assert torch.equal(
            weights(model)["embedding.table.weight"][own], weights(theirs)["embedding.table.weight"][their]
        )
    drawn = SequenceClassifier(**frozen).fit([*WORDS, "zzz"], [*LABELS, "x"])
    unknown = model.vocabulary_.encode(["z"])[0]
    assert torch.equal(weights(model)[TABLE][unknown], weights(drawn)[TABLE][unknown])
    assert not torch.equal(weights(model)["dense.0.weight"], weights(drawn)["dense.0.weight"])


def test_both_directions_may_start_from_one(other: Path):
    model = SequenceClassifier(**CLASSIFIER, bidirectional=True, freeze="body").fit(
        WORDS, LABELS, start=OtherModel(other)
    )
    assert torch.equal(
        weights(model)["body.layer0.update/0"], weights(LanguageModel.load(other))["body.layer0.update/0"]
    )


def test_what_does_not_fit_is_named(other: Path):
    with pytest.raises(ShapeError, match="elman summary") as caught:
        SequenceClassifier(**{**CLASSIFIER, "hidden_size": 7}).fit(WORDS, LABELS, start=OtherModel(other))
    assert str(other) in str(caught.value)
    assert "body.layer0" in str(caught.value)
    with pytest.raises(ShapeError, match="embedding"):
        SequenceClassifier(**{**CLASSIFIER, "embedding": 7}).fit(WORDS, LABELS, start=OtherModel(other))
    with pytest.raises(UsageError, match="Expected a model of words to start from, got one of characters"):
        model_for("tag")(**{**CLASSIFIER, "bidirectional": False}).fit(
            [["a", "b"]], [["x", "y"]], start=OtherModel(other)
        )


def test_frozen_parts_are_trained_one_after_another():
    settings = {**CLASSIFIER, "freeze": ("embedding", "body"), "unfreeze_epochs": 1, "restore_best": False}
    runs = [SequenceClassifier(**{**settings, "epochs": epochs}).fit(WORDS, LABELS) for epochs in (1, 2, 3)]
    body, table = "body.layer0.update/1", TABLE
    assert not torch.equal(weights(runs[0])[body], weights(runs[1])[body])
    assert torch.equal(weights(runs[0])[table], weights(runs[1])[table])
    assert not torch.equal(weights(runs[1])[table], weights(runs[2])[table])


def test_a_part_that_is_not_there_cannot_be_frozen():
    with pytest.raises(UsageError, match="no part `bdy`") as caught:
        SequenceClassifier(**CLASSIFIER, freeze="bdy").fit(WORDS, LABELS)
    assert "body" in str(caught.value)
    with pytest.raises(UsageError, match="freeze, unfreeze_epochs"):
        SequenceClassifier(**CLASSIFIER, unfreeze_epochs=1).fit(WORDS, LABELS)


def test_a_gradual_run_is_resumed_to_the_same_bits(tmp_path: Path):
    settings = {**CLASSIFIER, "freeze": ("embedding", "body"), "unfreeze_epochs": 1}
    SequenceClassifier(**settings).fit(WORDS, LABELS, folder=tmp_path)
    longer = {**settings, "epochs": 3}
    resumed = SequenceClassifier(**longer).fit(WORDS, LABELS, folder=tmp_path, resume=True)
    whole = SequenceClassifier(**longer).fit(WORDS, LABELS)
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(resumed).items())


def test_a_score_decides_the_best_epoch():
    model = SequenceClassifier(**CLASSIFIER, metric="macro_f1").fit(WORDS, LABELS, validation=(WORDS, LABELS))
    assert model.history_.metric == "macro_f1"
    assert model.history_.larger_is_better
    with pytest.raises(UsageError, match="no score `f1`") as caught:
        SequenceClassifier(**CLASSIFIER, metric="f1").fit(WORDS, LABELS)
    assert "macro_f1" in str(caught.value)


@pytest.mark.parametrize("name", TASKS)
def test_only_scores_of_a_model_decide_the_best_epoch(name: str):
    task = find_task(name)
    every = {metric.name: metric.compares for metric in task.metrics}
    assert not {"count", "majority", "windows"} & {name for name, compares in every.items() if compares}
    for score, compares in every.items():
        needed = {"tolerance": 1.0} if score == "within_tolerance" else {}
        made = task(task.settings_class(metric=score, **needed))
        if compares:
            assert made.metric.name == score
        else:
            with pytest.raises(UsageError, match=f"`{score}` does not say which of two models is better"):
                _ = made.metric
