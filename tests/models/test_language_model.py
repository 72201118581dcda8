"""The language model as an estimator: it learns, is scored, refuses what it cannot read, and is saved."""

import copy
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.small_language import OTHER, SMALL, TEXT

from elman import LanguageModel, Next, affine, cell, tanh
from elman.errors import DataError, ModelError, NotFittedError, UsageError


@pytest.fixture(scope="module")
def fitted() -> LanguageModel:
    return LanguageModel(**SMALL).fit(TEXT)


def test_it_learns_and_says_how_well(fitted):
    scores = fitted.evaluate(OTHER)
    assert scores["perplexity"] < 3
    assert scores["tokens"] == len(OTHER) - 1
    assert scores["unknown"] == 0
    assert scores == fitted.evaluate(iter([OTHER[:7], OTHER[7:]]))
    exact = fitted.evaluate(OTHER, streams=1, window=7)["loss"]
    assert exact == pytest.approx(scores["loss"], rel=1e-5)
    # The first token is given, so it is not among those that are told.
    assert fitted.evaluate("żółw the cat")["unknown"] == 3
    assert fitted.evaluate("żó")["unknown"] == fitted.evaluate("żó")["tokens"] == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"tokens": "bytes", "cell": "lstm"},
        {"tokens": "words", "softmax": "adaptive", "cutoffs": (5,), "lower_case": True},
        {"tokens": "words", "softmax": "sampled", "softmax_samples": 5, "tied": True},
        {"tokens": "subwords", "max_tokens": 300, "tied": True, "embedding_size": 12},
        {"cell": "own"},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)
def test_a_saved_model_judges_the_same_and_carries_its_cell_and_subwords(tmp_path, settings):
    if settings.get("cell") == "own":
        settings = {"cell": leaky}
    model = LanguageModel(**{**SMALL, "streams": 2, "window": 5, "epochs": 1, **settings}).fit(TEXT)
    model.save(tmp_path / "m")
    again = LanguageModel.load(tmp_path / "m")
    assert again.evaluate(OTHER) == model.evaluate(OTHER)
    assert again.settings().model_dump() == model.settings().model_dump()
    assert again.coder_.encode(OTHER).tolist() == model.coder_.encode(OTHER).tolist()
    for other in (pickle.loads(pickle.dumps(model)), pickle.loads(pickle.dumps(again)), copy.deepcopy(model)):
        assert other.evaluate(OTHER) == model.evaluate(OTHER)
        assert other.coder_.encode(OTHER).tolist() == model.coder_.encode(OTHER).tolist()
    assert {path.name for path in (tmp_path / "m").iterdir()} == {
        "config.json", "model.safetensors", "vocabulary.json", "README.md",
    }  # fmt: skip


@cell
def leaky(x, h):
    return Next(h=0.5 * h + 0.5 * tanh(affine("drive", x, h)))


def test_dynamic_evaluation_is_gradient_descent_and_leaves_the_model_alone(fitted):
    before = {name: value.clone() for name, value in fitted.model_.state_dict().items()}
    found = fitted.evaluate(OTHER, dynamic=0.5, window=9)["loss"]
    assert fitted.evaluate(OTHER, dynamic=0.0, window=9)["loss"] == pytest.approx(fitted.evaluate(OTHER)["loss"])
    assert found < fitted.evaluate(OTHER)["loss"]
    assert all(torch.equal(before[name], value) for name, value in fitted.model_.state_dict().items())
    # The same by hand, with torch's own SGD.
    model = copy.deepcopy(fitted.model_)
    optimizer = torch.optim.SGD(model.eval().parameters(), lr=0.5)
    ids = torch.from_numpy(fitted.coder_.encode(OTHER).astype(np.int64))
    total, state = 0.0, None
    for start in range(0, len(ids) - 1, 9):
        targets = ids[1:][start : start + 9]
        outputs, last = model(ids[:-1][None, start : start + 9], state)
        loss = torch.nn.functional.cross_entropy(model.head.logits(outputs)[0], targets)
        total, state = total + loss.item() * len(targets), last.detach()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert found == pytest.approx(total / (len(ids) - 1), rel=1e-4)


@pytest.mark.parametrize(
    ("text", "settings", "said"),
    [
        ("", {}, "no characters to learn from"),
        ("a", {}, "one entry only"),
        ("aaaaaaaaaa" * 9, {}, "one entry only"),
        ("abcdefg", {}, "7 tokens, which are too few"),
        (TEXT[:40], {}, "40 tokens, which are too few for 4 streams of windows of 10"),
        (b"caf\xe9 " * 90, {}, "not UTF-8"),
        (Path("no such file"), {}, "no file"),
        ("ab" * 90, {"alphabet": "xyz"}, "got only unknown ones"),
        ("aab" * 90, {"alphabet": "axyz", "unknown": "refuse"}, "'b'"),
        ("a" * 90, {"alphabet": "abc"}, "got only 'a'"),
        (TEXT, {"validation_fraction": 1e-6}, r"The text \(its held-out end\) is empty"),
        (TEXT, {"validation_fraction": 1 / len(TEXT)}, r"the text \(its held-out end\) has one token"),
    ],
)
def test_a_text_that_cannot_be_learned_from_is_refused(tmp_path, text, settings, said):
    if isinstance(text, bytes):
        (tmp_path / "text").write_bytes(text)
        text = tmp_path / "text"
    with pytest.raises(DataError, match=said):
        LanguageModel(**{**SMALL, **settings}).fit(text)


def test_the_name_of_a_file_is_no_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text(TEXT)
    for given in (("book.txt",), (TEXT, "book.txt")):
        with pytest.raises(UsageError, match=r"give Path\('book.txt'\)"):
            LanguageModel(**SMALL).fit(*given)
    with pytest.raises(UsageError, match=r"give Path\('book.txt'\)"):
        LanguageModel(**SMALL).fit(TEXT).evaluate("book.txt")


def test_mistakes_are_told_before_a_long_text_is_read(tmp_path, monkeypatch):
    LanguageModel(**SMALL).fit(TEXT, folder=tmp_path)
    monkeypatch.setattr("elman.data.text.token_text.learn_tokens", lambda *_: pytest.fail("the text was read"))
    with pytest.raises(UsageError, match="holds a run that is finished"):
        LanguageModel(**SMALL).fit(TEXT, folder=tmp_path)
    with pytest.raises(UsageError, match="patience counts epochs"):
        LanguageModel(**SMALL, patience=3).fit(TEXT)
    with pytest.raises(UsageError, match="gruu"):
        LanguageModel(**{**SMALL, "cell": "gruu"}).fit(TEXT)
    with pytest.raises(UsageError, match="no folder to resume from"):
        LanguageModel(**SMALL).fit(TEXT, resume=True)
    with pytest.raises(ModelError, match="no checkpoint to resume from"):
        LanguageModel(**SMALL).fit(TEXT, folder=tmp_path / "typo", resume=True)
    assert not (tmp_path / "typo").exists()


def test_a_text_is_judged_in_as_many_streams_as_it_has_room_for(fitted):
    whole = fitted.evaluate(OTHER, streams=1, window=1000)
    assert fitted.evaluate(OTHER, streams=4, window=1000)["tokens"] == whole["tokens"] == len(OTHER) - 1
    assert fitted.evaluate("ab", dynamic=0.1)["tokens"] == 1
    for text, settings in (("a", {"dynamic": 0.1}), ("abc", {"streams": 3})):
        with pytest.raises(DataError, match="too few"):
            fitted.evaluate(text, **settings)
    with pytest.raises(DataError, match="has one token"):
        fitted.evaluate("a")
    for settings in ({"streams": 0}, {"window": 0}, {"dynamic": -0.1}, {"dynamic": float("nan")}):
        with pytest.raises(UsageError, match=next(iter(settings))):
            fitted.evaluate(OTHER, **settings)


def test_settings_are_checked_all_at_once():
    wrong = {
        "cell": "none",
        "tied": True,
        "softmax": "adaptive",
        "hidden_size": 0,
        "schedule": "step",
        "alphabet": "ab",
    }
    with pytest.raises(UsageError) as caught:
        LanguageModel(**{**wrong, "hidden_size": 3, "tokens": "words"}).fit(TEXT)
    for name in ("cell", "tied, softmax", "schedule, step_epochs", "alphabet, tokens"):
        assert f"  {name}: " in str(caught.value)
    with pytest.raises(UsageError, match="language model has no setting `stream`"):
        LanguageModel(stream=3)
    with pytest.raises(UsageError, match="exclude each other"):
        LanguageModel(**SMALL, validation_fraction=0.1).fit(TEXT, OTHER)
    with pytest.raises(NotFittedError, match=r"fit\(text\)"):
        LanguageModel().evaluate(TEXT)


def test_the_name_of_a_file_is_not_taken_for_a_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text(TEXT)
    with pytest.raises(UsageError, match=r"Path\('notes.txt'\)"):
        LanguageModel(**SMALL).fit("notes.txt")


@pytest.mark.parametrize("text", ["循環" * 120, "loop\0" * 40])
def test_a_text_that_no_file_could_be_named_is_a_text(text):
    assert LanguageModel(**SMALL).fit(text).history_.epochs


def test_a_model_of_another_task_is_refused(tmp_path, fitted):
    from elman import SequenceClassifier
    from elman.models import open_model

    fitted.save(tmp_path / "m")
    with pytest.raises(ModelError, match="task `language`"):
        SequenceClassifier.load(tmp_path / "m")
    assert isinstance(open_model(tmp_path / "m"), LanguageModel)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"zoneout": 2}, "\n  zoneout: expected a value less than or equal to 1 or a dictionary, got 2."),
        ({"zoneout": {"h": 2}}, "\n  zoneout.h: expected a value less than or equal to 1, got 2."),
        ({"cell_options": {"p": math.nan}}, "\n  cell_options.p: expected a boolean"),
        ({"softmax_samples": 10}, "only the sampled softmax draws tokens"),
    ],
)
def test_one_mistake_is_told_once(given: dict, said: str):
    with pytest.raises(UsageError, match="A setting of LanguageSettings is wrong") as error:
        LanguageModel(**given).fit("abc" * 40)
    assert said in str(error.value)
