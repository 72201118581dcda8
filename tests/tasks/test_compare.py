"""The comparer: both orders, targets of several kinds, vectors, files and wrong input."""

import io
import itertools
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elman.cli.app import run
from elman.errors import DataError, ElmanError, NotFittedError, UsageError
from elman.models import SequenceComparer, open_model
from elman.report.plots import Plot
from elman.tasks.compare import Compare
from elman.tasks.pair_targets import are_numbers
from elman.tasks.task import Answer, Found, Row

WORDS = ("cat", "dog", "bird")
PAIRS = [(f"the {one}", f"a {two}") for one, two in itertools.product(WORDS, repeat=2)] * 6
LABELS = ["same" if one.split()[1] == two.split()[1] else "other" for one, two in PAIRS]
NUMBERS = [4.5 if label == "same" else 1.5 for label in LABELS]
SMALL: dict[str, Any] = {
    "tokens": "words",
    "hidden_size": 6,
    "embedding": 6,
    "dense": (6,),
    "epochs": 12,
    "batch_size": 8,
    "learning_rate": 0.03,
    "dropout": 0.0,
    "validation_fraction": 0.0,
    "rare_dropout": 0.0,
    "token_dropout": 0.0,
}


def fitted(y: Any = NUMBERS, **changes: Any) -> SequenceComparer:
    return SequenceComparer(**{**SMALL, **changes}).fit(PAIRS, y)


@pytest.fixture(scope="module")
def numbers() -> SequenceComparer:
    return fitted()


@pytest.fixture(scope="module")
def both() -> SequenceComparer:
    return fitted(list(zip(NUMBERS, LABELS, strict=True)), rating="distribution", ensemble=2, wide="off")


def test_numbers_are_learned_and_do_not_depend_on_the_order(numbers: SequenceComparer):
    assert numbers.task_.settings.symmetric
    assert numbers.evaluate(PAIRS, NUMBERS)["pearson"] > 0.9
    backwards = numbers.predict([(two, one) for one, two in PAIRS])
    np.testing.assert_allclose(numbers.predict(PAIRS), backwards, atol=1e-5)


def test_an_answer_may_depend_on_the_order():
    y = ["up" if WORDS.index(one.split()[1]) < WORDS.index(two.split()[1]) else "not" for one, two in PAIRS]
    model = fitted(y, epochs=20)
    assert not model.task_.settings.symmetric
    assert model.score(PAIRS, y) == 1.0


def test_two_lists_are_pairs_too(numbers: SequenceComparer):
    firsts, seconds = map(list, zip(*PAIRS, strict=True))
    np.testing.assert_array_equal(numbers.predict([firsts, seconds]), numbers.predict(PAIRS))


def test_a_number_and_a_label_are_learned_together(both: SequenceComparer, tmp_path: Path):
    y = list(zip(NUMBERS, LABELS, strict=True))
    scores = both.evaluate(PAIRS, y)
    assert scores["pearson"] > 0.9
    assert scores["accuracy"] > 0.9
    assert scores["mean_score"] == pytest.approx((scores["pearson"] + scores["accuracy"]) / 2)
    found = both.predict(PAIRS)
    assert found.shape == (len(PAIRS), 2)
    # The mean of a distribution over the scale is on the scale.
    assert all(1 <= number <= 5 for number in found[:, 0])
    assert both.predict_proba(PAIRS).sum(1) == pytest.approx(1)
    both.save(tmp_path / "m")
    assert open_model(tmp_path / "m").predict(PAIRS).tolist() == found.tolist()


def test_members_of_an_ensemble_are_different(both: SequenceComparer):
    one, two = (network.dense[0].weight for network in both.model_.networks)
    assert not torch.equal(one, two)


def test_empty_texts_have_answers(numbers: SequenceComparer, both: SequenceComparer):
    pairs = [("", "a cat"), ("the dog", ""), ("", "")]
    assert np.isfinite(numbers.predict(pairs)).all()
    assert np.isfinite(both.predict_proba(pairs)).all()
    assert SequenceComparer(**{**SMALL, "epochs": 1}).fit([*PAIRS, *pairs], [*NUMBERS, 1.0, 1.0, 1.0]).predict(pairs)[0]


def test_two_encoders_have_two_vocabularies(tmp_path: Path):
    model = fitted(LABELS, shared=False, epochs=30)
    first, second = (model.task_.encoders[name].vocabulary for name in ("first", "second"))
    assert ("the" in first, "the" in second, "a" in first, "a" in second) == (True, False, False, True)
    assert model.score(PAIRS, LABELS) == 1.0
    model.save(tmp_path / "m")
    assert open_model(tmp_path / "m").predict(PAIRS).tolist() == model.predict(PAIRS).tolist()


OBJECTIVES = {
    "contrastive": LABELS,
    "cosine": LABELS,
    "cosine of numbers": NUMBERS,
    "triplet": [f"the {WORDS[(WORDS.index(two.split()[1]) + 1) % 3]}" for _, two in PAIRS],
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_like_sequences_are_near(name: str, tmp_path: Path):
    pairs = PAIRS if name != "triplet" else [(f"the {two.split()[1]}", two) for _, two in PAIRS]
    y = OBJECTIVES[name]
    model = SequenceComparer(**SMALL, objective=name.split()[0]).fit(pairs, y)
    assert model.score(pairs, y) > 0.9
    near = model.nearest("the cat", ["a dog", "a cat", "a bird", ""], 2)
    assert near[0].position == 1
    assert near[0].similarity > near[1].similarity
    vectors = model.transform(["the cat", "a cat", "a dog"])
    distances = np.linalg.norm(vectors - vectors[0], axis=1)
    assert distances[1] < distances[2]
    simple = [each[:4] for each in model.baseline(pairs, y)]
    model.save(tmp_path / "m")
    again = open_model(tmp_path / "m")
    assert again.predict(pairs).tolist() == model.predict(pairs).tolist()
    assert [each[:4] for each in again.baseline(pairs, y)] == simple


def test_nearest_texts_by_numbers(numbers: SequenceComparer):
    assert numbers.nearest("the bird", ["a dog", "a bird", "a cat"])[0].position == 1
    assert numbers.nearest("the bird", []) == []


def test_vectors_of_single_texts_need_an_objective_that_learns_them(numbers: SequenceComparer):
    with pytest.raises(UsageError, match="no vectors"):
        numbers.transform(["the cat"])
    with pytest.raises(UsageError, match="no probabilities"):
        numbers.predict_proba(PAIRS)
    with pytest.raises(DataError, match="labels only"):
        fitted(LABELS, epochs=1).nearest("the cat", ["a cat"])
    with pytest.raises(NotFittedError):
        SequenceComparer().nearest("the cat", ["a cat"])


def test_pairs_of_series():
    generator = np.random.default_rng(0)
    series = [generator.normal(size=(length, 2)) + level for length, level in ((4, 0), (3, 9), (5, 0), (2, 9))]
    pairs = list(itertools.product(series, repeat=2)) * 2
    y = ["same" if (n // 4 - n) % 2 == 0 else "other" for n in range(len(pairs))]
    model = SequenceComparer(**{**SMALL, "tokens": "values"}).fit(pairs, y)
    assert model.score(pairs, y) == 1.0
    assert len(model.baseline(pairs, y)) == 2


def test_what_targets_are():
    assert are_numbers([0.5, 1])
    assert are_numbers(range(20))
    assert not are_numbers([0, 1, 1])
    assert not are_numbers([True, False])
    assert not are_numbers(["1", "x"])
    assert fitted([1, 2, 3] * 18, epochs=1).predict(PAIRS).dtype.kind == "i"
    assert fitted([1, 2, 3] * 18, epochs=1, answer="number").predict(PAIRS).dtype.kind == "f"


def test_equal_first_texts_are_on_one_side():
    rows = [(f"text {n // 4}", f"other {n}", n % 7 / 2) for n in range(80)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    values = Compare.source.take(columns, Compare.columns)
    kept, held = Compare.source.split(values, Compare.columns, 0.2, 0)
    assert held.columns["first"]
    assert not set(kept.columns["first"]) & set(held.columns["first"])


WRONG: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "texts that are not pairs": (["the cat", "a dog", "a cat"], [1, 2, 1], {}, "Expected pairs"),
    "one label": (PAIRS, ["same"] * len(PAIRS), {}, "only one label"),
    "two labels": (PAIRS, list(zip(LABELS, LABELS, strict=True)), {}, "at most one number and one label"),
    "targets of unequal number": (PAIRS, [(1.5, "same"), *NUMBERS[1:]], {}, "Expected 2 targets"),
    "not a number": (PAIRS, [float("nan"), *NUMBERS[1:]], {}, "finite numbers"),
    "too few targets": (PAIRS, NUMBERS[1:], {}, "Give one target for each"),
    "numbers to contrast": (PAIRS, NUMBERS, {"objective": "contrastive"}, "Expected two labels"),
    "a scale that is too long": (PAIRS, [1e6, *NUMBERS[1:]], {"rating": "distribution"}, "Expected a scale"),
    "attention between vectors": (PAIRS, LABELS, {"objective": "cosine", "attention": True}, "does not depend"),
    "two encoders alike": (PAIRS, NUMBERS, {"shared": False, "symmetric": True}, "two encoders"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_refused(name: str):
    pairs, y, changes, problem = WRONG[name]
    with pytest.raises(ElmanError, match=problem):
        SequenceComparer(**{**SMALL, "epochs": 1, **changes}).fit(pairs, y)


def test_other_targets_than_in_training_are_refused(both: SequenceComparer, numbers: SequenceComparer):
    with pytest.raises(DataError, match="Expected 2 targets a pair, got 1"):
        both.evaluate(PAIRS, NUMBERS)
    with pytest.raises(DataError, match="finite numbers"):
        numbers.evaluate(PAIRS, LABELS)


HEADER = "id\tsentence_A\tsentence_B\tscore\tkind"
ROWS = [f"{n}\t{a}\t{b}\t{y}\t{k}" for n, ((a, b), y, k) in enumerate(zip(PAIRS, NUMBERS, LABELS, strict=True))]
FLAGS = ("--hidden-size", 4, "--embedding", 4, "--epochs", 1, "--tokens", "words", "--validation-fraction", 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    path.write_text("\n".join([HEADER, *ROWS]) + "\n")
    return path


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "m"
    words = ("train", "compare", data, "--target", "score,kind", "--out", folder, *FLAGS)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
        code = run([str(word) for word in words])
    assert code == 0, said.getvalue()
    assert "one of 2 labels: other, same" in said.getvalue()
    return folder


def test_a_file_is_read_as_the_training_file(elman: Any, model: Path, data: Path, tmp_path: Path):
    scores = elman("evaluate", model, data, "--json").json
    assert scores["count"] == len(PAIRS)
    assert {"pearson", "accuracy", "baseline"} <= scores.keys()
    answers = elman("predict", model, data).out.splitlines()
    assert [line.split("\t")[:2] for line in answers] == [list(pair) for pair in PAIRS]
    assert {len(line.split("\t")) for line in answers} == {5}
    swapped = elman("predict", model, data, "--first", "sentence_B", "--second", "sentence_A", "--json").json
    assert swapped["predictions"][0]["first"] == PAIRS[0][1]
    page = (model / "report.html").read_text()
    assert page.count("Worst pairs") == 1
    assert "Predictions and residuals" in page


@pytest.mark.parametrize("several", [False, True])
def test_the_report_has_predicted_against_true_numbers(several: bool):
    y = list(zip(LABELS, NUMBERS, strict=True)) if several else NUMBERS
    model = SequenceComparer(**{**SMALL, "epochs": 1}).fit(PAIRS, y)
    answers = [answer.value for answer in model.answers(PAIRS)]
    rows = [
        Row({"first": one, "second": two, "target": truth}, Answer(answer))
        for (one, two), truth, answer in zip(PAIRS, y, answers, strict=True)
    ]
    (plot,) = (part for part in model.task_.report(Found(model.evaluate(PAIRS, y), rows)) if isinstance(part, Plot))
    points = plot.panels[0].traces[1]
    assert list(points.x) == NUMBERS
    assert list(points.y) == ([answer[1] for answer in answers] if several else answers)
    assert plot.note == "Of the pairs evaluated."


def test_the_report_of_labels_has_no_plot_of_numbers():
    model = SequenceComparer(**{**SMALL, "epochs": 1}).fit(PAIRS, LABELS)
    rows = [Row({"first": "a", "second": "b", "target": "same"}, Answer("other", 0.9))]
    parts = model.task_.report(Found(model.evaluate(PAIRS, LABELS), rows))
    assert not any(isinstance(part, Plot) for part in parts)


def test_two_texts_are_a_pair(elman: Any, model: Path):
    done = elman("predict", model, "--text", "the cat", "--text", "a cat", "--text", "the dog", "--text", "a cat")
    assert [line.split("\t")[:2] for line in done.out.splitlines()] == [["the cat", "a cat"], ["the dog", "a cat"]]
    done = elman("predict", model, "--text", "the cat")
    assert done.code == 2
    assert "reads 2 texts a row" in done.err


def test_nearest_texts_of_a_file(elman: Any, model: Path, tmp_path: Path):
    texts = tmp_path / "texts.txt"
    texts.write_text("a cat\na dog\na bird\n")
    done = elman("predict", model, texts, "--nearest", "the cat", "--top", 2)
    assert len(done.out.splitlines()) == 2
    found = elman("predict", model, texts, "--nearest", "the cat", "--json").json["texts"]
    assert [each["similarity"] for each in found] == sorted((each["similarity"] for each in found), reverse=True)
    assert {each["text"] for each in found} == {"a cat", "a dog", "a bird"}
    assert elman("predict", model, "--nearest", "the cat").code == 2
    assert elman("predict", model, texts, "--top", 2).code == 2


FILES: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "no such column": (HEADER + "\n1\ta\tb\t2.5\tx\n", ("--first", "sentence_X"), "no column named `sentence_X`"),
    "a text is missing": (HEADER + "\n1\ta\tb\t2.5\tx\n2\ta\t2.5\n", (), r"line 3, column 4: expected 5 fields"),
    "no target": (HEADER + "\n1\ta\tb\t2.5\tx\n2\tc\td\t\tx\n", (), r"line 3, column `score`"),
    "a text among numbers": (
        HEADER + "\n1\ta\tb\t2.5\tx\n2\tc\td\tlots\tx\n",
        ("--answer", "number"),
        r"line 3, column `score`: the text 'lots'",
    ),
    "unclear columns": ("p\tq\tr\ts\na\tb\tc\td\n", (), "Give --first COL, --second COL, --target COL"),
    "one column": ("one text\nanother text\n", (), "has 1 column"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_file_is_refused(name: str, elman: Any, tmp_path: Path):
    content, flags, problem = FILES[name]
    path = tmp_path / "wrong.tsv"
    path.write_text(content)
    done = elman("train", "compare", path, "--out", tmp_path / "m", *FLAGS, *flags)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert re.search(problem, done.err), done.err


@pytest.mark.parametrize(("values", "kind"), [((1.5, 2.25), "number"), ((True, False), "label"), ((1, 0), "label")])
def test_jsonl_keeps_the_types_of_targets(values: tuple[Any, Any], kind: str, elman: Any, tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    rows = [{"premise": a, "hypothesis": b, "label": values[n % 2]} for n, (a, b) in enumerate(PAIRS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = elman("train", "compare", path, "--out", tmp_path / "m", *FLAGS, "--json")
    assert done.code == 0, done.err
    assert open_model(tmp_path / "m").task_.encoders["target"].kinds == [kind]


def test_scikit_learn_searches_and_frames():
    pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.model_selection import cross_val_score

    model = SequenceComparer(**{**SMALL, "epochs": 2})
    again: Any = clone(model)
    assert again.get_params() == model.get_params()
    assert cross_val_score(model, PAIRS, NUMBERS, cv=2).shape == (2,)


def test_frames_and_arrays_are_pairs():
    model = SequenceComparer(**{**SMALL, "epochs": 2}).fit(PAIRS, np.array(NUMBERS))
    np.testing.assert_array_equal(model.predict(np.array(PAIRS)), model.predict(PAIRS))
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(PAIRS, columns=["left", "right"])
    model.fit(frame, pandas.Series(NUMBERS))
    np.testing.assert_array_equal(model.predict(frame), model.predict(PAIRS))


def test_the_words_of_both_texts_explain_a_label(both: SequenceComparer):
    found = both.explain_answer(("the cat", "a cat"), "same")
    assert [each.token for each in found] == ["the", "cat", "a", "cat"]
    # Without either cat the texts have no word in common.
    assert min(found[1].weight, found[3].weight) > max(0.0, found[0].weight, found[2].weight)


def test_the_linear_model_is_fitted_to_held_out_pairs_at_the_end():
    model = SequenceComparer(**{**SMALL, "epochs": 2, "validation_fraction": 0.2})
    values = Compare.source.take([*map(list, zip(*PAIRS, strict=True)), LABELS], Compare.columns)
    model.fit_values(values, None, conclude=False)
    before = model.model_.wide
    assert before is not None
    assert model.conclude()
    after = model.model_.wide
    assert after is not before
    assert after.parts["label"].factors.tolist() == before.parts["label"].factors.tolist()
    assert after.parts["label"].fit_of == before.parts["label"].fit_of
    assert not model.conclude()


def test_a_model_starts_from_the_encoder_of_another(elman: Any, model: Path, data: Path, tmp_path: Path):
    flags = ("--start-from", model, "--freeze", "embedding,body", "--target", "kind")
    done = elman("train", "compare", data, "--out", tmp_path / "other", *flags, *FLAGS)
    assert done.code == 0, done.err
    one, other = (open_model(folder).model_.members[0].state_dict() for folder in (model, tmp_path / "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    shown = elman("summary", tmp_path / "other").out
    assert "alignment" in shown
    assert "networks.0.compare" in shown


def test_a_number_with_a_typo_is_named(elman: Any, tmp_path: Path):
    path = tmp_path / "pairs.tsv"
    ratings = [f"{1 + n / 10:.1f}" if n != 4 else "3,5" for n in range(30)]
    rows = [f"a cat {n}\ta dog {n}\t{rating}" for n, rating in enumerate(ratings)]
    path.write_text("\n".join(["first\tsecond\tscore", *rows, ""]))
    refused = elman("train", "compare", path, "--out", tmp_path / "m", "--epochs", 1)
    assert refused.code != 0
    assert "line 6, column `score`: '3,5'" in refused.err
    assert "answer=label (--answer label)" in refused.err


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one_text_is_shown(elman: Any, model: Path, data: Path, count: int):
    refused = elman("predict", model, data, "--nearest", "a cat", "--top", count)
    assert refused.code != 0
    assert "--top" in refused.err
    assert "1" in refused.err


def triplets(path: Path) -> Path:
    third = OBJECTIVES["triplet"]
    rows = [f"the {two.split()[1]}\t{two}\t{other}" for (_, two), other in zip(PAIRS, third, strict=True)]
    path.write_text("\n".join(["one\tlike\tunlike", *rows, ""]))
    return path


def test_the_third_texts_of_triplets_have_a_flag_of_their_own(elman: Any, tmp_path: Path):
    path, flags = triplets(tmp_path / "t.tsv"), ("--first", "one", "--second", "like")
    done = elman("train", "compare", path, *flags, "--negative", "unlike", "--out", tmp_path / "m", *FLAGS, "--json")
    assert done.code == 0, done.err
    assert open_model(tmp_path / "m").task_.settings.objective == "triplet"  # type: ignore[attr-defined]
    how = ("--target", "unlike", "--objective", "triplet", "--out", tmp_path / "old", *FLAGS, "--json")
    before = elman("train", "compare", path, *flags, *how)
    assert before.json["ordered"] == done.json["ordered"]
    assert elman("evaluate", tmp_path / "m", path, "--json").json["ordered"] > 0.5
    again = elman("evaluate", tmp_path / "m", path, *flags, "--negative", "unlike", "--json")
    assert again.json["count"] == len(PAIRS)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--negative", "unlike", "--target", "unlike"), "--negative and --target exclude each other"),
        (("--negative", "unlike", "--objective", "cosine"), "Expected the objective triplet"),
        (("--negative", "unlike,one"), "Expected one column"),
        (("--negative", "unlikely"), "unlikely"),
    ],
)
def test_third_texts_that_make_no_sense_are_refused(elman: Any, tmp_path: Path, more: tuple[str, ...], said: str):
    path = triplets(tmp_path / "t.tsv")
    flags = ("--first", "one", "--second", "like", *more)
    done = elman("train", "compare", path, *flags, "--out", tmp_path / "m", *FLAGS)
    assert done.code != 0
    assert said in done.err


def test_predictions_have_no_third_text(elman: Any, model: Path, data: Path):
    done = elman("predict", model, data, "--negative", "kind")
    assert done.code == 2
    assert "--negative: predictions are made for two texts" in done.err
