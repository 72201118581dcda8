"""The tagger: the textbook's sentences, and what it refuses."""

from pathlib import Path

import pytest
import torch

from elman.errors import DataError
from elman.models import model_for
from elman.recipes import RECIPES
from elman.recipes.tag_toy import TAGS, WORDS

SENTENCES = [row.split() for row in WORDS]
RIGHT = [row.split() for row in TAGS]
SMALL = {"embedding": 5, "hidden_size": 5, "epochs": 2}


def test_every_tag_of_the_textbook_is_right():
    result = RECIPES["tag-toy"].run(Path())
    assert result["accuracy"] == 1.0
    assert result["count"] == 9
    assert result["parameters"] == 10 * 6 + 4 * 6 * (6 + 6 + 1) + 6 * 3 + 3


def test_the_toy_is_reported_and_resumed(tmp_path: Path):
    recipe = RECIPES["tag-toy"]
    first = recipe.run(Path(), folder=tmp_path, epochs=4)
    assert (tmp_path / "report.html").is_file()
    again = recipe.run(Path(), folder=tmp_path, epochs=4, resume=True)
    assert again["loss"] == first["loss"]


@pytest.mark.parametrize(
    ("words", "tags", "said"),
    [
        ([["a", "b"], ["a"]], [["X", "Y"], ["X", "Y"]], "text 2"),
        (["a b", "a"], [["X", "Y"], ["X"]], "Expected a list of words"),
        ([["a"], ["b"]], [["X"], ["X"]], "only one label"),
        ([["a"]], [["X"], ["Y"]], "1 sequences and 2"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(words: list, tags: list, said: str):
    with pytest.raises(DataError) as caught:
        model_for("tag")(**SMALL).fit(words, tags)
    assert said in str(caught.value)


def test_unknown_words_are_read_as_unknown_or_refused():
    model = model_for("tag")(**SMALL).fit(SENTENCES, RIGHT)
    assert len(model.answers([["The", "zebra"]])[0].value) == 2
    with pytest.raises(DataError, match="never saw") as caught:
        model.answers([["The", "zebra"]], unknown="refuse")
    assert "text 1: zebra" in str(caught.value)


def test_tags_that_are_not_known_are_named_with_their_step():
    model = model_for("tag")(**SMALL).fit(SENTENCES, RIGHT)
    with pytest.raises(DataError) as caught:
        model.evaluate([["The", "dog"]], [["DET", "ADJ"]])
    assert "text 1, step 2: 'ADJ'" in str(caught.value)


def test_answers_that_are_not_finite_are_refused_with_the_sentence():
    model = model_for("tag")(**SMALL).fit(SENTENCES, RIGHT)
    with torch.no_grad():
        next(model.model_.parameters()).fill_(float("nan"))
    for ask in (lambda: model.predict(SENTENCES), lambda: model.evaluate(SENTENCES, RIGHT)):
        with pytest.raises(DataError, match="not finite for 2 of 2 sequences") as caught:
            ask()
        assert "sequence 1: NaN" in str(caught.value)


def test_what_only_looks_like_a_list_is_refused():
    model = model_for("tag")(**SMALL)
    for words in ("a b", {"a": ["b"]}):
        with pytest.raises(DataError, match="Expected a list of sequences"):
            model.fit(words, RIGHT)
