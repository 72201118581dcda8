"""The classifier: scikit-learn's contract, what it refuses, what it keeps."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from elman import CELLS, Next, SequenceClassifier, affine, cell, tanh, zoneout
from elman.data.text.unknown import UnknownTally
from elman.errors import DataError, ModelError, NotFittedError, ShapeError, UsageError
from elman.models import Pretrained
from elman.training import TrainingInterrupted

WORDS = ["abab", "baba", "aab", "bba", "cdcd", "dccd", "ddc", "ccdd"] * 3
LABELS = ["ab", "ab", "ab", "ab", "cd", "cd", "cd", "cd"] * 3
SMALL = {"hidden_size": 8, "embedding": 8, "epochs": 12, "batch_size": 8, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def fitted() -> SequenceClassifier:
    return SequenceClassifier(**SMALL).fit(WORDS, LABELS)


def test_it_learns(fitted):
    assert fitted.predict(["abba", "dcdc"]).tolist() == ["ab", "cd"]
    assert fitted.score(WORDS, LABELS) == 1.0
    assert fitted.predict_proba(["ab", "cd", ""]).sum(1) == pytest.approx(np.ones(3))
    assert fitted.classes_.tolist() == ["ab", "cd"]


def test_parameters_are_stored_as_given_and_checked_when_it_is_fitted():
    model = SequenceClassifier(hidden_size=-3, pooling="lats")
    assert model.get_params()["hidden_size"] == -3
    with pytest.raises(UsageError) as caught:
        model.fit(WORDS, LABELS)
    assert "hidden_size" in str(caught.value)
    assert "pooling" in str(caught.value)
    assert model.set_params(hidden_size=4).get_params()["hidden_size"] == 4
    with pytest.raises(UsageError, match="hidden_sise") as caught:
        SequenceClassifier(hidden_sise=3)
    assert "Did you mean `hidden_size`?" in str(caught.value)


def test_scikit_learn_can_clone_and_search():
    model = SequenceClassifier(**SMALL)
    assert clone(model).get_params() == model.get_params()
    search = GridSearchCV(model, {"hidden_size": [2, 8]}, cv=2).fit(WORDS, LABELS)
    assert search.best_params_["hidden_size"] in (2, 8)
    assert search.best_score_ > 0.5


def test_the_same_seed_gives_the_same_bits_and_leaves_the_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second = (SequenceClassifier(**SMALL, dropout=0.3, seed=5).fit(WORDS, LABELS) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    for one, other in zip(first.model_.parameters(), second.model_.parameters(), strict=True):
        assert torch.equal(one, other)
    third = SequenceClassifier(**SMALL, dropout=0.3, seed=6).fit(WORDS, LABELS)
    assert not torch.equal(next(first.model_.parameters()), next(third.model_.parameters()))


def test_nothing_can_be_asked_before_it_has_learned(tmp_path):
    for ask in (lambda m: m.predict(["a"]), lambda m: m.evaluate(["a"], ["b"]), lambda m: m.save(tmp_path / "m")):
        with pytest.raises(NotFittedError, match="has not been fitted"):
            ask(SequenceClassifier())


@pytest.mark.parametrize(
    ("texts", "labels", "problem"),
    [
        (["a", "b"], ["x"], "2 sequences and 1 labels"),
        ([], [], "at least one sequence"),
        (["a", "b"], ["x", "x"], "only one label"),
        (["a", 3], ["x", "y"], "not texts"),
        (["a", "b"], ["x", 1.5], "label 2: 1.5"),
        (["", ""], ["x", "y"], "no token to learn from"),
    ],
)
def test_data_that_cannot_be_learned_from_is_refused(texts, labels, problem):
    with pytest.raises(DataError, match=problem):
        SequenceClassifier(**SMALL).fit(texts, labels)


def test_letters_never_seen_are_refused_by_name_or_read_as_unknown(fitted):
    with pytest.raises(DataError, match="never saw") as caught:
        fitted.predict(["ab", "aéb"], unknown="refuse")
    assert "text 2: 'é' in aéb" in str(caught.value)
    tally = UnknownTally()
    assert len(fitted.answers(["aéb", "ab"], tally=tally)) == 2
    assert (tally.unknown, tally.tokens) == (1, 5)
    scores = fitted.evaluate(["aéb"], ["ab"])
    assert (scores["unknown"], scores["tokens"]) == (1, 3)
    with pytest.raises(DataError, match="label 1: 'zz'"):
        fitted.evaluate(["ab"], ["zz"])


def test_evaluation_counts(fitted):
    scores = fitted.evaluate(["ab", "cd", "dd"], ["ab", "ab", "cd"])
    assert scores["confusion"] == [[1, 1], [0, 1]]
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["majority"] == pytest.approx(2 / 3)
    assert (scores["count"], scores["labels"]) == (3, ["ab", "cd"])


@cell
def leaky(x, h):
    return Next(h=0.5 * h + 0.5 * tanh(affine("drive", x, h)))


@pytest.mark.parametrize("settings", [{}, {"cell": leaky}, {"num_layers": 2, "bidirectional": True, "dropout": 0.1}])
def test_a_saved_model_answers_the_same_and_carries_its_cell(tmp_path, settings):
    model = SequenceClassifier(**{**SMALL, **settings}).fit(WORDS, LABELS)
    model.save(tmp_path / "m")
    again = SequenceClassifier.load(tmp_path / "m")
    assert np.array_equal(model.predict_proba(WORDS), again.predict_proba(WORDS))
    assert again.settings() == model.task_.settings
    assert [record.loss for record in again.history_.epochs] == [record.loss for record in model.history_.epochs]
    assert (tmp_path / "m" / "README.md").read_text().count("hidden_size") == 1


def same_in_another_form(model):
    """The model pickled, copied and saved by torch."""
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return [pickle.loads(pickle.dumps(model)), copy.deepcopy(model), torch.load(file, weights_only=False)]


def local_cell():
    @cell
    def local(x, h):
        return tanh(affine("drive", x, h))

    return local


CELL_SETTINGS = [
    {},
    {"cell": leaky},
    {"cell": zoneout(CELLS["lstm"], 0.1), "num_layers": 2, "dropout": 0.1},
    {"cell": CELLS["gru"].with_options(activation="relu"), "bidirectional": True},
]


@pytest.mark.parametrize("settings", CELL_SETTINGS)
def test_a_pickled_model_answers_the_same(settings):
    unfitted = SequenceClassifier(**{**SMALL, "epochs": 3, **settings})
    model = SequenceClassifier(**unfitted.get_params()).fit(WORDS, LABELS)
    expected = model.predict_proba(WORDS)
    for again in same_in_another_form(model):
        assert np.array_equal(again.predict_proba(WORDS), expected)
        assert again.score(WORDS, LABELS) == model.score(WORDS, LABELS)
        assert repr(again) == repr(model)
    for again in same_in_another_form(unfitted):
        assert np.array_equal(again.fit(WORDS, LABELS).predict_proba(WORDS), expected)


def test_a_fitted_model_with_a_cell_that_cannot_be_imported_is_pickled():
    model = SequenceClassifier(**{**SMALL, "epochs": 2, "cell": local_cell()}).fit(WORDS, LABELS)
    for again in same_in_another_form(model):
        assert np.array_equal(again.predict_proba(WORDS), model.predict_proba(WORDS))
    with pytest.raises(UsageError, match="cannot be pickled"):
        pickle.dumps(SequenceClassifier(cell=local_cell()))


def test_a_loaded_model_is_pickled_and_saved_again(tmp_path, fitted):
    fitted.save(tmp_path / "m")
    again = pickle.loads(pickle.dumps(SequenceClassifier.load(tmp_path / "m")))
    assert np.array_equal(again.predict_proba(WORDS), fitted.predict_proba(WORDS))
    again.save(tmp_path / "n")
    assert np.array_equal(SequenceClassifier.load(tmp_path / "n").predict(WORDS), fitted.predict(WORDS))


def test_files_of_two_models_do_not_make_one(tmp_path, fitted):
    fitted.save(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(ModelError):
        SequenceClassifier.load(tmp_path / "m")


@pytest.mark.parametrize("labels", [[0, 1], [True, False]])
def test_labels_keep_their_type(tmp_path, labels):
    model = SequenceClassifier(**SMALL).fit(["aa", "bb"] * 4, labels * 4)
    model.save(tmp_path / "m")
    again = SequenceClassifier.load(tmp_path / "m")
    assert again.classes_.tolist() == sorted(labels)
    assert again.predict(["aa"]).dtype == np.array(labels).dtype


@pytest.mark.parametrize("labels", [[0, 1], [2**40, -1], ["1", "0"], ["a\tb", "a\nb"], [True, False]])
def test_labels_are_those_that_were_given_also_after_saving(tmp_path, labels):
    given = [np.array(labels * 4), labels * 4, tuple(labels * 4)]
    for number, y in enumerate(given):
        model = SequenceClassifier(**{**SMALL, "epochs": 1}).fit(["aa", "bb"] * 4, y)
        model.save(tmp_path / str(number))
        again = SequenceClassifier.load(tmp_path / str(number))
        for one in (model, again):
            assert one.classes_.dtype == np.unique(labels).dtype
            assert one.classes_.tolist() == sorted(labels)
            assert one.evaluate(["aa"], labels[:1])["count"] == 1


@pytest.mark.parametrize("labels", [[1, "1"], [1, True], ["a", None], [1, 1.0], [0, float("nan")], [["a"], ["b"]]])
def test_labels_of_several_types_are_refused_by_name(labels):
    with pytest.raises(DataError) as caught:
        SequenceClassifier(**SMALL).fit(["aa", "bb"], labels)
    assert "label 2" in str(caught.value).lower()


def test_what_only_looks_like_a_list_is_refused_with_the_repair(fitted):
    class Frame:
        columns = ("text", "label")

        def __init__(self, **columns):
            self.columns, self.data = list(columns), columns

        def __getitem__(self, name):
            return self.data[name]

        def __iter__(self):
            return iter(self.columns)

    for given in ("good", b"good", {"text": ["ab"]}, {"ab"}, Frame(foo=["ab"]), np.array("ab"), 5, None):
        with pytest.raises(DataError) as caught:
            fitted.predict(given)
        assert caught.value.fix
    with pytest.raises(DataError, match=r"df\['foo'\]"):
        fitted.predict(Frame(foo=["ab"]))
    assert fitted.predict(Frame(id=[1], Review=["ab"])).tolist() == fitted.predict(["ab"]).tolist()
    frame = Frame(text=WORDS, label=LABELS)
    assert fitted.predict(frame).tolist() == fitted.predict(WORDS).tolist()
    assert fitted.evaluate(frame, frame)["count"] == len(WORDS)
    assert fitted.predict(word for word in ["ab"]).tolist() == ["ab"]
    with pytest.raises(DataError, match="Expected a list of labels"):
        fitted.evaluate(["ab"], "a")


def test_answers_that_are_not_finite_are_refused_with_the_row():
    model = SequenceClassifier(tokens="values", hidden_size=4, epochs=1).fit([[0.0, 1.0], [1.0]], [0, 1])
    with torch.no_grad():
        next(model.model_.parameters()).fill_(float("nan"))
    for ask in (model.predict, model.predict_proba, lambda X: model.evaluate(X, [0, 1])):
        with pytest.raises(DataError, match="not finite for 2 of 2 sequences") as caught:
            ask([[0.0], [1.0]])
        assert "sequence 1: NaN" in caught.value.where


def test_numbers_that_are_wrong_are_named_from_1(fitted):
    waves = SequenceClassifier(tokens="values", hidden_size=4, epochs=1)
    for rows, said in (
        ([[1.0], [1.0, 1e300]], "too large for float32.\n  sequence 2, step 2"),
        ([[1.0], [float("nan")]], "one value that is missing (NaN).\n  sequence 2, step 1"),
        ([[[1.0, 2.0]], [[1.0]]], "sequence 2: expected steps of shape (2,), got (1,)"),
    ):
        with pytest.raises((DataError, ShapeError)) as caught:
            waves.fit(rows, [0, 1])
        assert said in str(caught.value)
    with pytest.raises(ShapeError, match="Expected 1 channel, with which the model was trained, got 2"):
        waves.fit([[1.0], [2.0]], [0, 1], validation=([[[1.0, 2.0]]], [0]))


def test_messages_count_the_sequences_as_they_were_given(fitted):
    with pytest.raises(DataError, match="sequence 9: int '5'"):
        SequenceClassifier(**SMALL, validation_fraction=0.3).fit([*WORDS[:8], 5, *WORDS[:3]], LABELS[:12])
    with pytest.raises(DataError, match=r"Validation data: (.|\n)*validation text 2: 'z'"):
        SequenceClassifier(**SMALL, unknown="refuse").fit(WORDS, LABELS, validation=(["ab", "z"], ["ab", "cd"]))


def test_sequences_of_numbers():
    random = np.random.default_rng(0)
    waves = [np.sin(np.arange(n) * (0.3 if n % 2 else 1.2)) + 0.05 * random.standard_normal(n) for n in range(10, 40)]
    labels = [n % 2 for n in range(10, 40)]
    model = SequenceClassifier(tokens="values", hidden_size=12, epochs=40, batch_size=6, learning_rate=0.02)
    model.fit(waves, labels)
    assert model.score(waves, labels) > 0.9
    assert model.vocabulary_ is None
    with pytest.raises(ShapeError, match="Expected 1 channel, with which the model was trained, got 2"):
        model.predict([np.zeros((3, 2))])
    with pytest.raises(DataError, match="sequence 2, step 3"):
        model.predict([np.zeros(3), np.array([0.0, 1.0, np.nan])])


def test_ngrams_learn_and_are_saved(tmp_path):
    settings = {**SMALL, "ngrams": 3, "marks": True, "token_dropout": 0.1, "pooling": ("max", "mean")}
    model = SequenceClassifier(**settings).fit(WORDS, LABELS)
    assert model.score(WORDS, LABELS) == 1.0
    model.save(tmp_path / "m")
    assert np.array_equal(SequenceClassifier.load(tmp_path / "m").predict_proba(WORDS), model.predict_proba(WORDS))


def test_it_starts_from_what_was_learned_elsewhere(fitted):
    weights = {name: value for name, value in fitted.model_.state_dict().items() if not name.startswith("dense.")}
    start = Pretrained(fitted.vocabulary_, weights)
    tiny = {**SMALL, "epochs": 1, "learning_rate": 1e-9}
    model = SequenceClassifier(**tiny).fit(WORDS, LABELS, start=start)
    assert model.vocabulary_ is fitted.vocabulary_
    for name, value in weights.items():
        torch.testing.assert_close(model.model_.state_dict()[name], value)
    with pytest.raises(ShapeError, match=r"body.layer0.input/0: expected \(8, 4\), got \(8, 8\)"):
        SequenceClassifier(**{**tiny, "hidden_size": 4}).fit(WORDS, LABELS, start=start)


def test_an_interrupted_fit_goes_on_to_the_same_bits(tmp_path):
    class StopAt:
        def start(self, start): ...
        def batch(self, event):
            if (event.epoch, event.batch) == (3, 2):
                raise KeyboardInterrupt

        def epoch(self, event): ...
        def finish(self, history): ...

    settings = {**SMALL, "dropout": 0.2, "checkpoint_seconds": 0.0}
    whole = SequenceClassifier(**settings).fit(WORDS, LABELS)
    with pytest.raises((KeyboardInterrupt, TrainingInterrupted)):
        SequenceClassifier(**settings).fit(WORDS, LABELS, folder=tmp_path, listener=StopAt())
    with pytest.raises(UsageError, match="not finished"):
        SequenceClassifier(**settings).fit(WORDS, LABELS, folder=tmp_path)
    with pytest.raises(ModelError, match="made by another run"):
        SequenceClassifier(**{**settings, "hidden_size": 9}).fit(WORDS, LABELS, folder=tmp_path, resume=True)
    resumed = SequenceClassifier(**settings).fit(WORDS, LABELS, folder=tmp_path, resume=True)
    for one, other in zip(whole.model_.parameters(), resumed.model_.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_folder_of_others_is_refused_before_anything_is_written(tmp_path):
    for name in ("letter.txt", "run.lock"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match="files that elman did not write"):
        SequenceClassifier(hidden_size=4, epochs=1).fit(WORDS, LABELS, folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letter.txt", "run.lock"]
    assert (tmp_path / "run.lock").read_text() == "mine"
