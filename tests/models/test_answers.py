"""Probabilities that are calibrated, baselines beside a model, and the words that spoke for an answer."""

import copy
import math
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

from elman import LanguageModel, SequenceClassifier, SequenceTagger, open_model
from elman.errors import ModelError, NotFittedError, UsageError
from elman.folders import BASELINE_TENSORS, BASELINES
from elman.models.explanation import read_without_each, weigh_pieces
from elman.models.saved import read_model
from elman.training.listener import Silent

WORDS = ["abab", "baba", "aab", "bba", "cdcd", "dccd", "ddc", "ccdd"] * 4
LABELS = ["ab", "ab", "ab", "ab", "cd", "cd", "cd", "cd"] * 4
# One in four of the held-out labels is wrong, so that a network that is sure of all has to be made less so.
HELD = WORDS[:16], [*LABELS[:6], "ab", "ab", *LABELS[8:14], "ab", "ab"]
SMALL = {"hidden_size": 8, "embedding": 8, "epochs": 12, "batch_size": 8, "learning_rate": 0.02, "schedule": "constant"}
FILMS = [f"a {('poor', 'fine', 'dull', 'good')[n % 4]} film , number {n % 7} of {n % 3}" for n in range(40)]
KINDS = ["good" if n % 2 else "bad" for n in range(40)]


@pytest.fixture(scope="module")
def fitted() -> SequenceClassifier:
    return SequenceClassifier(**SMALL, dropout=0.0, wide="off", restore_best=False).fit(WORDS, LABELS, validation=HELD)


@pytest.fixture(scope="module")
def reader() -> SequenceClassifier:
    settings = {**SMALL, "tokens": "words", "pooling": "mean", "cell": "none", "epochs": 30}
    return SequenceClassifier(**settings).fit(FILMS, KINDS)


def test_a_model_that_is_too_sure_is_made_less_so(fitted):
    assert fitted.task_.temperature > 1.5
    scores = fitted.evaluate(*HELD)
    assert scores["calibration_error"] < 0.5 * scores["calibration_error_before"]
    shares = fitted.predict_proba(HELD[0])
    truth = [fitted.classes_.tolist().index(label) for label in HELD[1]]
    assert scores["loss"] == pytest.approx(-np.log(shares[range(16), truth]).mean(), rel=1e-5)
    plain = copy.deepcopy(fitted)
    plain.task_.temperature = 1.0
    assert plain.predict(WORDS).tolist() == fitted.predict(WORDS).tolist()
    assert plain.evaluate(*HELD)["accuracy"] == scores["accuracy"]
    assert plain.evaluate(*HELD)["loss"] > scores["loss"]
    # Epochs are compared as they were trained.
    assert fitted.history_.epochs[-1].validation["loss"] == pytest.approx(plain.evaluate(*HELD)["loss"], rel=1e-5)


def test_without_held_out_data_there_is_nothing_to_decide_a_temperature():
    assert SequenceClassifier(**{**SMALL, "epochs": 1}).fit(WORDS, LABELS).task_.temperature == 1.0


def test_the_temperature_is_part_of_every_copy(fitted, tmp_path: Path):
    fitted.save(tmp_path / "m")
    expected = fitted.predict_proba(WORDS)
    for again in (open_model(tmp_path / "m"), pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert np.array_equal(again.predict_proba(WORDS), expected)
        assert again.evaluate(*HELD) == fitted.evaluate(*HELD)
    again = clone(fitted).fit(WORDS, LABELS, validation=HELD)
    assert np.array_equal(again.predict_proba(WORDS), expected)


def test_a_stopped_run_ends_with_the_same_temperature(tmp_path: Path):
    class Stop(Silent):
        def batch(self, event):
            if (event.epoch, event.batch) == (2, 2):
                raise RuntimeError("stopped")

    settings = {**SMALL, "epochs": 3, "checkpoint_batches": 1}
    whole = SequenceClassifier(**settings).fit(WORDS, LABELS, validation=HELD)
    with pytest.raises(RuntimeError):
        SequenceClassifier(**settings).fit(WORDS, LABELS, validation=HELD, folder=tmp_path, listener=Stop())
    resumed = SequenceClassifier(**settings).fit(WORDS, LABELS, validation=HELD, folder=tmp_path, resume=True)
    assert resumed.task_.temperature == whole.task_.temperature != 1.0
    longer = SequenceClassifier(**{**settings, "epochs": 4})
    longer.fit(WORDS, LABELS, validation=HELD, folder=tmp_path, resume=True)
    whole = SequenceClassifier(**{**settings, "epochs": 4}).fit(WORDS, LABELS, validation=HELD)
    assert longer.task_.temperature == whole.task_.temperature


def rewritten(folder: Path, found: str, other: str) -> None:
    config = folder / "config.json"
    assert found in config.read_text()
    config.write_text(config.read_text().replace(found, other))


def test_a_folder_of_an_earlier_elman_has_neither_temperature_nor_baselines(fitted, tmp_path: Path):
    fitted.save(tmp_path / "m")
    rewritten(tmp_path / "m", f'"temperature": {fitted.task_.temperature},', "")
    again = open_model(tmp_path / "m")
    assert again.task_.temperature == 1.0
    assert again.baseline(WORDS, LABELS) == []


@pytest.mark.parametrize("value", ["0", "-1", '"2"', "NaN"])
def test_a_temperature_that_is_none_is_refused(fitted, tmp_path: Path, value: str):
    fitted.save(tmp_path / "m")
    rewritten(tmp_path / "m", f'"temperature": {fitted.task_.temperature},', f'"temperature": {value},')
    with pytest.raises(ModelError, match="temperature"):
        open_model(tmp_path / "m")


def test_baselines_are_fitted_when_they_are_asked_for_and_saved(tmp_path: Path):
    model = SequenceClassifier(**{**SMALL, "epochs": 1}).fit(FILMS, KINDS)
    model.save(tmp_path / "without")
    assert model.baselines_ is None
    assert not (tmp_path / "without" / BASELINES).exists()
    majority, linear = model.baseline(FILMS, KINDS)
    assert (majority.name, majority.value) == ("majority", 0.5)
    assert (linear.name, linear.metric.name, linear.value) == ("linear", "accuracy", 1.0)
    assert linear.title == "a linear model of words and word pairs"
    assert linear.sentence.startswith("A linear model of words and word pairs reaches 100.0% in ")
    assert linear.to_json().keys() == {"name", "description", "accuracy", "seconds"}
    model.save(tmp_path / "m")
    for again in (open_model(tmp_path / "m"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert [each.value for each in again.baseline(FILMS[:5], KINDS[:5])] == [0.6, 1.0]
    # A model that was fitted again has others, and its folder none.
    model.fit(FILMS, KINDS).save(tmp_path / "m")
    assert read_model(tmp_path / "m").baselines == {}
    assert not (tmp_path / "m" / BASELINE_TENSORS).exists()
    with pytest.raises(NotFittedError):
        SequenceClassifier().baseline(FILMS, KINDS)


@pytest.mark.parametrize("name", [BASELINES, BASELINE_TENSORS])
@pytest.mark.parametrize("change", ["cut", "changed", "missing"])
def test_damaged_baselines_are_refused(tmp_path: Path, name: str, change: str):
    model = SequenceClassifier(**{**SMALL, "epochs": 1}).fit(FILMS, KINDS)
    model.fit_baselines()
    model.save(tmp_path / "m")
    path = tmp_path / "m" / name
    content = path.read_bytes()
    if change == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-3] if change == "cut" else content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    with pytest.raises(ModelError) as caught:
        open_model(tmp_path / "m")
    assert str(path) in str(caught.value)


def test_only_the_rows_that_the_network_learned_from_are_read():
    texts = [f"{text} id{number}" for number, text in enumerate(FILMS)]
    model = SequenceClassifier(**{**SMALL, "epochs": 1, "validation_fraction": 0.2}).fit(texts, KINDS)
    model.fit_baselines()
    terms = set(model.baselines_[1].to_json()["terms"])
    learned = {text.split()[-1] for text in model.train_.columns["text"]}
    assert {term for term in terms if term.startswith("id") and " " not in term} == learned
    assert len(learned) == 32


def test_without_scikit_learn_the_majority_is_left_and_a_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    find = "elman.tasks.linear_baseline.importlib.util.find_spec"
    monkeypatch.setattr(find, lambda name: None)
    model = SequenceClassifier(**{**SMALL, "epochs": 1}).fit(FILMS, KINDS)
    with pytest.warns(UserWarning, match=r'pip install "elman\[baseline\]"'):
        found = model.baseline(FILMS, KINDS)
    assert [each.name for each in found] == ["majority"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(model.baseline(FILMS, KINDS)) == 1


def test_other_tasks_have_baselines_of_their_own():
    sentences, tags = [["the", "dog", "ate"], ["the", "cat"]], [["D", "N", "V"], ["D", "N"]]
    model = SequenceTagger(embedding=3, hidden_size=3, epochs=1).fit(sentences, tags)
    (frequent,) = model.baseline([["the", "zebra", "ate"]], [["D", "D", "V"]])
    assert (frequent.name, frequent.value) == ("frequent-tag", 1.0)
    text = "to be or not to be. " * 20
    (ngram,) = LanguageModel(hidden_size=4, streams=2, window=5, epochs=1).fit(text).baseline(text)
    assert (ngram.name, ngram.metric.name) == ("n-gram", "bits_per_character")
    assert ngram.sentence.startswith("A trigram model of characters reaches 0.")


def odds(share: float) -> float:
    return math.log(share / (1 - share))


def test_the_words_that_spoke_for_an_answer(reader):
    text = "A film is fine, number good!"
    found = reader.explain_answer(text)
    assert [each.token for each in found] == ["A", "film", "is", "fine", ",", "number", "good", "!"]
    whole = reader.answers([text])[0]
    assert whole.value == "good"
    for number, other in (
        (3, "A film is ?, number good!"),
        (6, "A film is fine, number ?!"),
        (1, "A ? is fine, number good!"),
    ):
        without = reader.answers([other])[0].probabilities["good"]
        assert found[number].weight == pytest.approx(odds(whole.probability) - odds(without), abs=1e-4)
    strongest = sorted(found, key=lambda each: -each.weight)[:2]
    assert {each.token for each in strongest} == {"fine", "good"}
    against = reader.explain_answer(text, "bad")
    assert [each.weight for each in against] == pytest.approx([-each.weight for each in found], abs=1e-9)
    # Tokens that are unknown anyway say nothing.
    assert found[2].token == "is"
    assert found[2].weight == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("tokens", ["characters", "bytes"])
def test_characters_can_be_explained_too(tokens: str):
    model = SequenceClassifier(
        **{**SMALL, "tokens": tokens, "unknown": "refuse" if tokens == "characters" else "allow"}
    )
    found = model.fit(WORDS, LABELS).explain_answer("abc")
    assert [each.token for each in found] == ["a", "b", "c"]
    assert any(abs(each.weight) > 1e-3 for each in found)


def test_what_cannot_be_explained_is_refused(reader):
    with pytest.raises(UsageError, match="no label 'fair'") as caught:
        reader.explain_answer("a film", "fair")
    assert "bad, good" in str(caught.value)
    waves = SequenceClassifier(tokens="values", hidden_size=2, epochs=1).fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(UsageError, match="not texts"):
        waves.explain_answer([0.0])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not texts"):
        reader.explain_answer(["a"])  # type: ignore[arg-type]
    tagger = SequenceTagger(embedding=3, hidden_size=3, epochs=1).fit([["a", "b"]], [["x", "y"]])
    with pytest.raises(UsageError, match="not texts"):
        tagger.explain_answer(["a", "b"])  # type: ignore[arg-type]
    assert reader.explain_answer("") == []


def test_the_cost_of_a_long_text_is_bounded(reader, monkeypatch: pytest.MonkeyPatch):
    asked = []
    answers = type(reader).answers

    def counted(self, rows, **how):
        asked.append((len(rows), sum(map(len, rows))))
        return answers(self, rows, **how)

    monkeypatch.setattr(type(reader), "answers", counted)
    assert len(read_without_each(reader, "good " * 3000).without) == 66
    assert len(read_without_each(reader, "good " * 500).without) == 200
    pieces = weigh_pieces(reader, "good film " * 300, "good", "bad", 20)
    assert [count for count, _ in asked] == [67, 201, 5]
    assert "".join(piece for piece, _ in pieces) == "good film good film  …"


def test_the_pieces_of_a_text_are_the_text(reader):
    text = "  A poor — and «dull»  film…\n"
    pieces = weigh_pieces(reader, text, "bad", "good", 400)
    assert "".join(piece for piece, _ in pieces) == text
    weights = dict(pieces)
    assert weights["poor"] > 0 < weights["dull"]
    assert weights["  "] == 0
    turned = dict(weigh_pieces(reader, text, "good", "bad", 400))
    assert turned["poor"] == pytest.approx(-weights["poor"])
    assert weigh_pieces(reader, [1.0], "bad", "good", 400) == []


def test_a_model_on_few_rows_of_many_labels_is_finite():
    labels = [f"{n % 5}" for n in range(20)]
    model = SequenceClassifier(**{**SMALL, "epochs": 1}).fit(FILMS[:20], labels, validation=(FILMS[:1], ["0"]))
    assert torch.isfinite(torch.tensor(model.task_.temperature))
