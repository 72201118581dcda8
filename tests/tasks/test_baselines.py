"""The baselines against scikit-learn and against counts made by hand; what they reach on the shared data."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from elman.data.tables.tables import read_table
from elman.models import LanguageModel, SequenceClassifier, SequenceRegressor, open_model
from elman.models.baselines import baseline_tensors, baselines_to_json, fit_baselines, restore_baselines
from elman.tasks import TASKS, find_task, linear_baseline
from elman.tasks.baselines import FrequentTag, Majority
from elman.tasks.classify import ClassifierSettings, Classify
from elman.tasks.linear_baseline import GRAMS, INVERSE_REGULARISATION, ITERATIONS, Linear, TfIdf
from elman.tasks.reservoir_baselines import RIDGES
from elman.tasks.task import Values

DATA = Path(__file__).parents[3] / "shared" / "data"
REVIEWS = [
    f"{'a fine good' if n % 2 else 'a poor dull'} film, number {n % 7} of the {n % 5} long ones" for n in range(60)
]
NAMES = ["Anna", "Pavel", "Jana", "Petr", "Eva", "Karel"] * 5
NEW = ["a good film of ones", "", "the unseen plot", "dull dull dull"]


def labels(texts: list[str]) -> list[str]:
    return ["ab"[sum(map(ord, text)) % 2] for text in texts]


def fitted(texts: list, targets: list) -> Linear:
    linear = Linear("text", "label")
    linear.fit(None, {"text": texts, "label": targets})  # type: ignore[arg-type]
    return linear


def dense(rows, width: int) -> np.ndarray:
    found = np.zeros((len(rows.starts) - 1, width))
    for row, (begin, end) in enumerate(zip(rows.starts, rows.starts[1:], strict=False)):
        found[row, rows.features[begin:end]] = rows.values[begin:end]
    return found


@pytest.mark.parametrize(("kind", "texts"), [("words", REVIEWS), ("characters", NAMES)])
def test_the_features_are_scikit_learns(kind: str, texts: list[str]):
    own = TfIdf(kind)
    first = dense(own.fit(texts, 10**6), len(own.terms))
    theirs = TfidfVectorizer(analyzer=GRAMS[kind], sublinear_tf=True, vocabulary=own.terms)
    np.testing.assert_allclose(first, theirs.fit_transform(texts).toarray(), atol=1e-6)
    np.testing.assert_allclose(dense(own.rows(NEW), len(own.terms)), theirs.transform(NEW).toarray(), atol=1e-6)
    assert set(own.terms) == set(TfidfVectorizer(analyzer=GRAMS[kind]).fit(texts).vocabulary_)


@pytest.mark.parametrize("count", [2, 3])
def test_the_answers_are_those_of_logistic_regression(count: int):
    targets = ["xyz"[sum(map(ord, text)) % count] for text in REVIEWS]
    theirs = TfidfVectorizer(analyzer=GRAMS["words"], sublinear_tf=True)
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=ITERATIONS)
    model.fit(theirs.fit_transform(REVIEWS), targets)
    texts = [*REVIEWS, *NEW]
    assert fitted(REVIEWS, targets).predict(texts) == model.predict(theirs.transform(texts)).tolist()


def test_many_rows_are_answered_in_parts(monkeypatch: pytest.MonkeyPatch):
    linear = fitted(REVIEWS, labels(REVIEWS))
    whole = linear.predict([*REVIEWS, *NEW])
    for products in (1, 50, 301):
        monkeypatch.setattr(linear_baseline, "PRODUCTS", products)
        assert linear.predict([*REVIEWS, *NEW]) == whole


def test_the_data_decide_what_is_read():
    assert fitted(REVIEWS, labels(REVIEWS)).title == "a linear model of words and word pairs"
    assert fitted(NAMES, labels(NAMES)).title == "a linear model of two to five characters"
    waves = fitted([[0.0, 1.0], [2.0]] * 5, [0, 1] * 5)
    assert waves.title == "a linear model of means, extremes and last values"


def test_numbers_are_answered_by_their_features():
    draw = np.random.default_rng(0)
    waves = [draw.normal(n % 3, 0.1, size=(5 + n % 4, 2)).tolist() for n in range(60)]
    kinds = [n % 3 for n in range(60)]
    linear = fitted(waves[:45], kinds[:45])
    assert linear.predict(waves[45:]) == kinds[45:]
    assert len(linear.predict([[], [[0.0, 0.0]]])) == 2
    assert linear.arrays()["weights"].shape == (3, 11)
    last = fitted([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]] * 20, ["up", "down"] * 20)
    assert last.predict([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]) == ["up", "down"]


def test_a_large_file_is_sampled_and_the_title_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(linear_baseline.LARGEST_SIZE, "words", sum(map(len, REVIEWS)) // 3)
    texts, targets = [*REVIEWS, "the only one of its kind"], [*labels(REVIEWS), "rare"]
    linear = fitted(texts, targets)
    count = int(linear.title.split("fitted on ")[1].split()[0])
    assert 15 < count < 25
    assert linear.title.endswith(f"fitted on {count} of 61 rows,")
    assert "rare" in linear.to_json()["labels"]
    assert fitted(texts, targets).predict(REVIEWS) == linear.predict(REVIEWS)


def test_many_labels_are_fitted_on_fewer_rows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(linear_baseline, "LARGEST_WORK", 25 * 2 * 0.35 * sum(map(len, REVIEWS)))
    assert "rows" not in fitted(REVIEWS, [f"{n % 2}" for n in range(60)]).title
    count = int(fitted(REVIEWS, [f"{n % 6}" for n in range(60)]).title.split("fitted on ")[1].split()[0])
    assert 15 < count < 25


def test_what_is_kept_is_bounded_by_the_number_of_labels(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(linear_baseline, "LARGEST_FEATURES", 120)
    texts = [f"word{n} word{n + 1} other{n % 9} text" for n in range(200)]
    linear = fitted(texts, labels(texts))
    assert linear.arrays()["weights"].shape == (2, 120)
    # Those that occur in most texts are kept.
    assert {"text", *(f"other{n}" for n in range(9))} <= set(linear.to_json()["terms"])


def test_the_majority_and_the_most_frequent_tag():
    majority = Majority("label")
    majority.fit(None, {"label": ["y", "x", "x", "z"]})  # type: ignore[arg-type]
    assert majority.score(None, {"label": ["x", "y", "y", "y"]}) == 0.25  # type: ignore[arg-type]
    tags = FrequentTag("words", "tags")
    tags.fit(None, {"words": [["a", "b"], ["a", "c"], ["a", "d"]], "tags": [["D", "N"], ["D", "N"], ["N", "N"]]})  # type: ignore[arg-type]
    score = tags.score(None, {"words": [["a", "new"], ["b"]], "tags": [["D", "N"], ["D"]]})  # type: ignore[arg-type]
    assert score == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", TASKS)
def test_the_names_of_the_baselines_are_those_that_are_made(name: str):
    task = find_task(name)
    assert tuple(each.name for each in task.baselines()) == (*task.baseline_names, *task.asked_baselines) != ()


@pytest.mark.parametrize("texts", [REVIEWS, NAMES, [[0.5, 1.0], [2.0]] * 10], ids=["words", "characters", "numbers"])
def test_saved_and_loaded_they_score_the_same(texts: list):
    task = Classify(ClassifierSettings())
    values = Values({"text": texts, "label": [f"{n % 3}" for n in range(len(texts))]})
    found, missing = fit_baselines(task, values)
    assert not missing
    document = json.loads(json.dumps(baselines_to_json(found)))
    again = restore_baselines(task, document, baseline_tensors(found))
    other = {"text": [*texts[:7], *([] if isinstance(texts[0], list) else NEW)]}
    assert [each.name for each in again] == ["majority", "linear"]
    assert [each.title for each in again] == [each.title for each in found]
    assert again[1].predict(other["text"]) == found[1].predict(other["text"])  # type: ignore[attr-defined]
    assert [each.score(task, values.columns) for each in again] == [each.score(task, values.columns) for each in found]


WAVES = [np.sin(np.arange(12.0) * (1 + n % 2) + n) for n in range(40)]
SETTINGS: dict[str, Any] = {"hidden_size": 4, "epochs": 1, "seed": 1}
ECHOES = {
    "label": (SequenceClassifier(**SETTINGS), ["slow" if n % 2 else "fast" for n in range(40)], "accuracy"),
    "number": (SequenceRegressor(**SETTINGS), [float(each[-1]) for each in WAVES], "rmse"),
    "steps": (SequenceRegressor(warmup_steps=3, **SETTINGS), [[0.0, *each[:-1].tolist()] for each in WAVES], "rmse"),
}


@pytest.mark.parametrize("name", ECHOES)
def test_an_echo_state_network_is_fitted_if_it_is_asked_for(name: str, tmp_path: Path):
    made, y, metric = ECHOES[name]
    model = clone(made).fit(WAVES, y)
    model.fit_baselines()
    assert "reservoir" not in [each.name for each in model.baselines_]
    state = torch.random.get_rng_state()
    model.fit_baselines("reservoir")
    assert torch.equal(torch.random.get_rng_state(), state)
    simple, found = model.baseline(WAVES, y)[-2:]
    assert (found.name, found.metric.name) == ("reservoir", metric)
    assert "echo state network of 100 units reaches" in found.sentence
    # The last value, the speed of a wave and the value before are easy for it.
    assert found.value == 1 if metric == "accuracy" else found.value < 0.3 * model.baseline(WAVES, y)[0].value
    assert simple.name == {"label": "linear", "number": "ridge", "steps": "mean"}[name]
    model.save(tmp_path / "m")
    again = open_model(tmp_path / "m").baseline(WAVES, y)[-1]
    assert (again.name, again.value) == ("reservoir", found.value)


def test_an_echo_state_network_of_steps_is_ridge_regression_on_its_states():
    made, y, _ = ECHOES["steps"]
    model = clone(made).fit(WAVES, y)
    model.fit_baselines("reservoir")
    echo: Any = model.baselines_[-1]
    every = np.concatenate(WAVES)
    states = echo._echo.states([((each - every.mean()) / every.std())[:, None] for each in WAVES])
    rows, targets = np.concatenate([each[3:] for each in states]), np.concatenate([each[3:] for each in y])
    errors = [
        np.square(Ridge(alpha=a, solver="svd").fit(rows, targets).predict(rows) - echo.outputs(WAVES, 3)[:, 0]).max()
        for a in RIDGES
    ]
    assert min(errors) < 1e-12
    # The state after a step knows nothing of the steps after it.
    (beginning,) = echo._echo.states([np.ones((5, 1))])
    (longer,) = echo._echo.states([np.concatenate([np.ones((5, 1)), np.full((4, 1), 9.0)])])
    np.testing.assert_allclose(longer[:5], beginning, atol=1e-6)


def test_texts_have_no_reservoir():
    model = SequenceRegressor(**SETTINGS).fit(["a", "bb", "ccc", "dddd"] * 3, [1, 2, 3, 4] * 3)
    assert "reads series of numbers" in " ".join(model.fit_baselines("reservoir"))
    assert [each.name for each in model.baselines_] == ["mean", "ridge"]


TEXT = "the cat sat on the mat; the dog sat on the log.\n" * 12
SMALL = {"hidden_size": 4, "embedding_size": 4, "epochs": 1, "streams": 2, "window": 6}


def witten_bell(ids: list[int], size: int, context: tuple[int, ...], token: int) -> float:
    """The formula of the docstring, counted from the text itself."""
    shorter = witten_bell(ids, size, context[1:], token) if context else 1 / size
    length = len(context)
    runs = [tuple(ids[n : n + length + 1]) for n in range(len(ids) - length)]
    # A run is counted where the longest runs are: from the third token on.
    following = Counter(run[-1] for run in runs[2 - length :] if run[:-1] == context)
    total, kinds = sum(following.values()), len(following)
    return (following[token] + kinds * shorter) / (total + kinds) if total else shorter


@pytest.mark.parametrize(("tokens", "order"), [("characters", 3), ("words", 3)])
def test_the_n_gram_model_is_its_formula(tokens: str, order: int):
    model = LanguageModel(**SMALL, tokens=tokens).fit(TEXT)
    other = "the mat sat; on a dog\n"
    found = model.baseline(other)[0]
    size = len(model.coder_.vocabulary)
    learned, judged = (model.coder_.encode(text).tolist() for text in (TEXT, other))
    nats = [
        -math.log(witten_bell(learned, size, tuple(judged[max(0, n - 2) : n]), judged[n]))
        for n in range(1, len(judged))
    ]
    characters = len(other) - len(model.coder_.decode(judged[:1]))
    assert found.metric.name == "bits_per_character"
    assert found.value == pytest.approx(sum(nats) / math.log(2) / characters, rel=1e-5)


@pytest.mark.parametrize(("table", "title"), [(2**20, "trigram"), (4000, "bigram"), (10, "unigram")])
def test_the_n_gram_model_reads_as_far_as_its_table_allows(monkeypatch: pytest.MonkeyPatch, table: int, title: str):
    monkeypatch.setattr("elman.tasks.ngram_baseline.LARGEST_TABLE", table)
    model = LanguageModel(**SMALL).fit(TEXT)
    found = model.baseline(TEXT)[0]
    assert found.title == f"a {title} model of characters"
    monkeypatch.setattr("elman.tasks.ngram_baseline.READ_AT_ONCE", 7)
    assert model.baseline(TEXT)[0].value == pytest.approx(found.value, rel=1e-9)
    costs = {"unigram": (3.5, 4.5), "bigram": (1.0, 2.0), "trigram": (0.2, 0.6)}[title]
    assert costs[0] < found.value < costs[1]
    assert LanguageModel(**SMALL, tokens="bytes").fit(TEXT).baseline(TEXT)[0].metric.name == "bits_per_byte"


def test_a_long_text_is_counted_in_part(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("elman.tasks.ngram_baseline.LARGEST_TEXT", 100)
    model = LanguageModel(**SMALL).fit(TEXT)
    assert model.baseline(TEXT)[0].title == "a trigram model of characters, counted on the first 100,"


@pytest.mark.skipif(not (DATA / "sentiment-words").is_dir(), reason=f"needs sentiment-words in {DATA}")
def test_words_of_a_lexicon():
    train, test = (read_table(DATA / "sentiment-words" / f"sentiment-{part}.txt") for part in ("train", "test"))
    assert train.labels
    linear = fitted(train.texts, train.labels)
    assert linear.score(None, {"text": test.texts, "label": test.labels}) > 0.875  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "least"), [("reviews", 0.79), ("phrases", 0.875), ("subjectivity", 0.905)])
@pytest.mark.skipif(not (DATA / "short-texts").is_dir(), reason=f"needs short-texts in {DATA}")
def test_short_texts(name: str, least: float):
    train, test = (read_table(DATA / "short-texts" / f"{name}-{part}.csv.xz") for part in ("train", "test"))
    assert train.labels
    linear = fitted(train.texts, train.labels)
    assert linear.score(None, {"text": test.texts, "label": test.labels}) > least  # type: ignore[arg-type]
