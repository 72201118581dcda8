"""Classifiers with a linear model of n-grams beside the network, and settings that follow from the data."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from elman import SequenceClassifier, UsageError
from elman.data.text.ngrams import Ngrams
from elman.errors import DataError, ModelError
from elman.models import OtherModel
from elman.nn import wide as wide_module
from elman.nn.wide import Fit, Wide
from elman.tasks.choices import kind_of_tokens
from elman.tasks.task import Values
from elman.training.listener import Silent

TEXTS = [f"a {('poor', 'fine', 'dull', 'good')[n % 4]} film , number {n % 7} of {n % 3}" for n in range(120)]
LABELS = ["good" if n % 2 else "bad" for n in range(120)]
SMALL = {"hidden_size": 6, "embedding": 5, "epochs": 2, "batch_size": 16}


@pytest.fixture(scope="module")
def fitted() -> SequenceClassifier:
    return SequenceClassifier(**SMALL).fit(TEXTS, LABELS)


def answers(model: SequenceClassifier) -> np.ndarray:
    return model.predict_proba([*TEXTS, "another film", "", "?"])


def test_a_text_has_the_same_answer_alone_and_after_every_copy(fitted, tmp_path: Path):
    expected = answers(fitted)
    alone = np.concatenate([fitted.predict_proba([text]) for text in TEXTS[:5]])
    assert np.allclose(alone, expected[:5], atol=1e-6)
    fitted.save(tmp_path / "m")
    for again in (SequenceClassifier.load(tmp_path / "m"), copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert np.array_equal(answers(again), expected)
    assert fitted.evaluate(TEXTS, LABELS) == SequenceClassifier.load(tmp_path / "m").evaluate(TEXTS, LABELS)


def test_both_parts_add_up_and_the_network_learns_alone(fitted):
    texts = fitted.task_.encoders["text"].encode(TEXTS)
    network = fitted.model_
    a, b = network.wide.factors
    assert b > 0
    assert torch.equal(network(texts), a * network.read(texts.ids) + b * network.wide(texts.ngrams))
    network = copy.deepcopy(network).train()
    torch.manual_seed(0)
    without = network.read(texts.ids)
    torch.manual_seed(0)
    assert torch.equal(network(texts), without)
    off = SequenceClassifier(**SMALL, wide="off").fit(TEXTS, LABELS)
    assert off.model_.wide is None
    trained = {name: value for name, value in fitted.model_.state_dict().items() if not name.startswith("wide.")}
    assert trained.keys() == off.model_.state_dict().keys()
    assert all(torch.equal(value, trained[name]) for name, value in off.model_.state_dict().items())


def test_the_held_out_texts_are_learned_at_the_end_by_the_linear_model_only(fitted):
    model = SequenceClassifier(**SMALL)
    model.fit_values(Values({"text": TEXTS, "label": LABELS}), None, conclude=False)
    before = copy.deepcopy(model.model_.state_dict())
    assert model.task_.encoders["text"].ngrams.texts == 108
    assert model.conclude()
    assert not model.conclude()
    after = model.model_.state_dict()
    changed = {name for name in after if before[name].shape != after[name].shape or not before[name].equal(after[name])}
    assert changed <= {"wide.weight", "wide.bias"}
    assert "wide.weight" in changed
    assert model.task_.encoders["text"].ngrams.texts == 120
    assert np.array_equal(answers(model), answers(fitted))


def test_validation_data_that_were_given_are_not_learned():
    model = SequenceClassifier(**SMALL).fit(TEXTS[:80], LABELS[:80], validation=(TEXTS[80:], LABELS[80:]))
    assert model.task_.encoders["text"].ngrams.texts == 80
    assert not model.conclude()


def test_a_stopped_run_ends_with_the_same_bits(fitted, tmp_path: Path):
    class Stop(Silent):
        def batch(self, event):
            if (event.epoch, event.batch) == (2, 2):
                raise RuntimeError("stopped")

    how = {**SMALL, "checkpoint_batches": 1}
    with pytest.raises(RuntimeError):
        SequenceClassifier(**how).fit(TEXTS, LABELS, folder=tmp_path, listener=Stop())
    resumed = SequenceClassifier(**how).fit(TEXTS, LABELS, folder=tmp_path, resume=True)
    assert np.array_equal(answers(resumed), answers(fitted))


def test_labels_can_be_weighted():
    few = [label if n % 10 else "rare" for n, label in enumerate(LABELS)]
    plain, balanced = (SequenceClassifier(**SMALL, class_weight=how).fit(TEXTS, few) for how in (None, "balanced"))
    at = list(plain.classes_).index("rare")
    assert balanced.predict_proba(TEXTS)[:, at].mean() > 1.5 * plain.predict_proba(TEXTS)[:, at].mean()


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (TEXTS, "words"),
        (["good film"] * 10 + ["a window to the century", "balmy"], "words"),
        ([f"w{n}" for n in range(50)], "characters"),
        ([f"Mary Smith{n}" for n in range(50)] + [f"J{n} van Dyk{n}" for n in range(50)], "characters"),
        (["我们昨天去了北京的一个很大的公园看花然后回家吃了晚饭睡觉"] * 20, "characters"),
        (["", " "], "characters"),
        ([], "characters"),
    ],
)
def test_the_data_say_what_a_step_is(texts, found):
    assert kind_of_tokens(texts) == found


def resolved(texts, **settings):
    model = SequenceClassifier(**settings)
    return model.task.resolve(model.settings(), Values({"text": texts}), validated=False)


def test_settings_that_are_left_open_follow_from_the_data():
    settings, notes = resolved(TEXTS)
    assert (settings.tokens, settings.lower_case, settings.rare_dropout) == ("words", True, 0.5)
    assert (settings.epochs, settings.patience, settings.validation_fraction) == (20, 6, 0.1)
    assert notes == ["Each step is a word: --tokens changes it."]
    settings, _ = resolved(TEXTS[:99], tokens="characters", token_dropout=0.3)
    assert (settings.lower_case, settings.token_dropout, settings.validation_fraction) == (False, 0.3, 0.0)
    assert settings.patience is None
    assert resolved(TEXTS, patience=2)[0].patience == 2
    assert resolved(TEXTS * 200)[0].epochs == 4
    assert resolved(["word " * 5_000] * 1_000)[0].epochs == 3
    settings, notes = resolved([np.zeros((4, 2)), np.ones((3, 2))])
    assert (settings.tokens, settings.input_dropout, notes) == ("values", 0.0, [])
    assert resolved(TEXTS, alphabet="abc")[0].tokens == "characters"
    assert resolved(TEXTS, split="blanks")[0].tokens == "words"
    settings, _ = resolved(TEXTS, embedding="one-hot")
    assert (settings.token_dropout, settings.rare_dropout) == (0.0, 0.0)
    with pytest.raises(UsageError, match="embedding, token_dropout"):
        resolved(TEXTS, embedding="one-hot", token_dropout=0.1)


def test_numbers_have_no_linear_model():
    arrays = [np.full((3, 2), n % 2, np.float32) for n in range(8)]
    model = SequenceClassifier(**{**SMALL, "epochs": 1}).fit(arrays, [n % 2 for n in range(8)])
    assert model.model_.wide is None
    assert model.task_.settings.tokens == "values"


def test_the_networks_of_an_ensemble_learn_for_themselves(tmp_path: Path):
    how = {**SMALL, "ensemble": 3, "dropout": 0.0, "clip_norm": None, "optimizer": "sgd", "learning_rate": 0.3}
    how |= {"input_dropout": 0.0, "token_dropout": 0.0, "rare_dropout": 0.0, "validation_fraction": 0.0}
    model = SequenceClassifier(**how).fit(TEXTS, LABELS)
    members = model.model_.members
    assert len(members) == 3
    assert not torch.equal(members[0].dense[-1].weight, members[1].dense[-1].weight)
    # The first one is drawn as a network alone is; the mean over three networks has a third of its gradient.
    alone = SequenceClassifier(**{**how, "ensemble": 1, "learning_rate": 0.1}).fit(TEXTS, LABELS)
    for name, value in members[0].state_dict().items():
        assert torch.allclose(value, alone.model_.state_dict()[name], atol=1e-5), name
    texts = model.task_.encoders["text"].encode(TEXTS)
    with torch.inference_mode():
        mean = torch.stack([member.read(texts.ids).softmax(1) for member in members]).mean(0)
        assert torch.allclose(model.model_.read(texts.ids).softmax(1), mean, atol=1e-6)
    model.save(tmp_path / "m")
    assert np.array_equal(answers(SequenceClassifier.load(tmp_path / "m")), answers(model))


def test_a_fit_that_is_stopped_leaves_the_model_as_it_was(monkeypatch):
    model = SequenceClassifier(**SMALL)
    model.fit_values(Values({"text": TEXTS, "label": LABELS}), None, conclude=False)
    expected = answers(model)

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Wide, "fit", stopped)
        with pytest.raises(KeyboardInterrupt):
            model.conclude()
    assert np.array_equal(answers(model), expected)
    assert not copy.deepcopy(model).conclude()
    assert model.conclude()


def test_a_copy_has_none_of_the_words_that_were_read(fitted):
    fitted.predict(["unheardofword"])
    assert b"unheardofword" not in pickle.dumps(fitted)


def test_a_run_of_other_texts_is_not_resumed(tmp_path: Path):
    how = {**SMALL, "max_tokens": 3}
    SequenceClassifier(**how).fit(TEXTS, LABELS, folder=tmp_path)
    others = [text.replace("number", "figure") for text in TEXTS]
    with pytest.raises(ModelError, match="n-grams"):
        SequenceClassifier(**{**how, "epochs": 3}).fit(others, LABELS, folder=tmp_path, resume=True)


def test_an_ensemble_starts_others_and_has_parts_to_freeze(tmp_path: Path):
    how = {**SMALL, "ensemble": 2, "freeze": "embedding"}
    model = SequenceClassifier(**how).fit(TEXTS, LABELS)
    model.save(tmp_path / "m")
    other = SequenceClassifier(**how).fit(TEXTS, LABELS, start=OtherModel(tmp_path / "m"))
    for member in other.model_.members:
        assert torch.equal(member.embedding.table.weight, model.model_.members[0].embedding.table.weight)
    with pytest.raises(UsageError, match="no part `bdy`"):
        SequenceClassifier(**{**how, "freeze": "bdy"}).fit(TEXTS, LABELS)


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        (["a", None, "b", "c"], {}),
        ([np.zeros((3, 2)), np.ones((2, 2))], {"tokens": "words"}),
        (["a", 3.5, "b"], {"tokens": "words"}),
    ],
)
def test_values_that_are_not_texts_are_refused_by_name(values, settings):
    labels = ["x" if n % 2 else "y" for n in range(len(values))]
    with pytest.raises(DataError, match="not texts"):
        SequenceClassifier(**SMALL, **settings).fit(values, labels)


def test_a_fit_of_many_features_reads_a_sample_of_the_rows(monkeypatch):
    grams = Ngrams("words")
    rows = grams.learn(TEXTS)
    targets = torch.tensor([n % 2 for n in range(120)])
    monkeypatch.setattr(wide_module, "LARGEST", rows.ids.total // 2)
    wide = Wide(len(grams), 2)
    wide.fit(rows, targets, how=Fit(3.0))
    count = int(120 * (rows.ids.total // 2) / rows.ids.total)
    some = torch.randperm(120, generator=torch.Generator().manual_seed(0))[:count].sort().values
    monkeypatch.undo()
    expected = Wide(len(grams), 2)
    expected.fit(rows.select(some.tolist()), targets[some], how=Fit(3.0))
    assert torch.equal(wide.weight, expected.weight)
    assert wide(rows).argmax(1).eq(targets).float().mean() > 0.9
