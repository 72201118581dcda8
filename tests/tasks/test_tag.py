"""The tagger: the textbook's sentences, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch

from elman.data.ragged.ragged import Ragged
from elman.errors import DataError
from elman.models import model_for, open_model
from elman.recipes import RECIPES
from elman.recipes.tag_toy import TAGS, WORDS
from elman.report.page import write_page
from elman.tasks.sentences import Words
from elman.tasks.spans import conlleval_spans, strict_spans
from elman.tasks.tag_report import tagged_sentences
from elman.tasks.task import Answer, Row

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


SPANS = [["B-X", "I-X", "O"], ["O", "B-Y"], ["B-X", "B-Y", "I-Y"], ["O"]]
NAMES = [[f"w{len(row)}{n}" for n in range(len(row))] for row in SPANS]
FEW = {"embedding": 6, "hidden_size": 5, "num_layers": 1, "characters": 3, "affixes": 3, "batch_size": 2}


def with_crf(**changes: object):
    return model_for("tag")(**{**FEW, "crf": True, "epochs": 3, **changes})


def test_a_crf_is_saved_loaded_and_resumed_with_its_constraints(tmp_path: Path):
    model = with_crf().fit(NAMES, SPANS)
    model.save(tmp_path / "m")
    again = open_model(tmp_path / "m")
    assert torch.equal(again.model_.crf.may_follow, model.model_.crf.may_follow)
    assert not again.model_.crf.may_follow.all()
    assert again.predict(NAMES) == model.predict(NAMES)
    assert again.evaluate(NAMES, SPANS) == model.evaluate(NAMES, SPANS)
    with_crf(epochs=2, schedule="constant").fit(NAMES, SPANS, folder=tmp_path / "run")
    longer = with_crf(schedule="constant").fit(NAMES, SPANS, folder=tmp_path / "run", resume=True)
    whole = with_crf(schedule="constant").fit(NAMES, SPANS)
    for name, value in whole.model_.state_dict().items():
        assert torch.equal(value, longer.model_.state_dict()[name])


def test_a_crf_never_breaks_the_scheme_whatever_the_words():
    model = with_crf(epochs=1).fit(NAMES, SPANS)
    with torch.no_grad():
        model.model_.dense[-1].bias.copy_(torch.tensor([5.0 if "I-" in tag else 0.0 for tag in model.task_.tags]))
    sentences = [[f"new{n}{length}" for n in range(length)] for length in range(1, 8)]
    found = model.predict(sentences)
    assert any("I-" in tag for tags in found for tag in tags)
    for words, tags in zip(sentences, found, strict=True):
        assert strict_spans(tags, "iob2") == conlleval_spans(tags)
        assert model.predict([words]) == [tags]


def test_transitions_of_the_training_data_are_allowed_though_the_scheme_does_not():
    model = with_crf(scheme="iob2").fit([["a", "b", "c"], ["d"]], [["I-X", "O", "B-X"], ["O"]])
    tags = model.task_.encoders["tags"]
    assert tags.exceptions == [(None, "I-X")]
    starts, pairs, _ = tags.allowed()
    names = tags.each.labels
    assert starts[names.index("I-X")]
    assert not pairs[names.index("O"), names.index("I-X")]


def test_true_tags_that_break_the_scheme_are_left_out_of_the_loss():
    model = with_crf().fit(NAMES, SPANS)
    broken = [["O", "I-X"], ["O"]]
    scores = model.evaluate([["a", "b"], ["c"]], broken)
    assert scores["count"] == 3
    assert scores["loss"] == pytest.approx(model.evaluate([["c"]], [["O"]])["loss"])


def test_the_accuracy_of_unknown_words_is_that_of_words_outside_the_vocabulary():
    model = model_for("tag")(**FEW, epochs=2).fit(SENTENCES, RIGHT)
    words = [["The", "zebra", "ate", "dog"], ["moon"]]
    answers = model.predict(words)
    true = [[answers[0][0], answers[0][1], answers[0][2], answers[0][3]], ["V" if answers[1] != ["V"] else "NN"]]
    scores = model.evaluate(words, true)
    assert (scores["unknown"], scores["unknown_accuracy"]) == (2, 0.5)
    assert scores["accuracy"] == 0.8
    assert model.evaluate(SENTENCES, RIGHT)["unknown_accuracy"] is None


def test_epochs_of_spans_are_compared_by_their_f1():
    history = with_crf().fit(NAMES, SPANS, validation=(NAMES, SPANS)).history_
    assert history.metric == "span_f1"
    assert history.epochs[0].validation["span_f1"] <= 1
    assert model_for("tag")(**FEW, epochs=1).fit(SENTENCES, RIGHT).history_.metric == "accuracy"


def test_words_that_training_has_once_are_read_as_unknown_more_often():
    # All words of both sentences but `the`, which has id 1, occur once.
    network = model_for("tag")(**FEW, token_dropout=0.0, rare_dropout=0.5, lower_case=True).fit(SENTENCES, RIGHT).model_
    ids = Ragged(torch.arange(network.vocabulary_size).repeat(200), [200 * network.vocabulary_size])
    network.train()
    kept = network._some_unknown(ids).data.view(200, -1).count_nonzero(0).tolist()
    assert kept[1] == 200
    assert all(50 < each < 150 for each in kept[2:])
    assert network.eval()._some_unknown(ids) is ids


def test_the_spelling_of_each_distinct_word_is_encoded_once():
    words = Words(model_for("tag")(lower_case=True).settings())
    batch = words.learn([["The", "dog"], ["the", "The"]])
    assert batch.ids.data.tolist() == [1, 2, 1, 1]
    assert batch.forms.tolist() == [0, 1, 2, 0]
    assert batch.characters.lengths.tolist() == [3, 3, 3]
    again = Words(model_for("tag")(lower_case=True).settings())
    again.load(json.loads(json.dumps(words.to_json())))
    encoded = again.encode([["the", "zebra"]])
    assert encoded.ids.data.tolist() == [1, 0]
    assert encoded.select([0]).lengths.tolist() == [2]


def test_the_page_shows_right_and_wrong_words_escaped():
    rows = [
        Row({"words": ["<b>", "x"], "tags": ["A", "B"]}, Answer(["A", "C"])),
        Row({"words": ["y"], "tags": ["A"]}, Answer(["A"])),
        Row({"words": ["p", "q"], "tags": ["A", "B"]}, Answer(["B", "A"])),
    ]
    worst, text = tagged_sentences(iter(rows))
    assert [[word.word for word in sentence] for sentence in worst.sentences] == [["p", "q"], ["<b>", "x"]]
    assert list(worst.lines()) == ["Worst sentences", "[p/B, not A] [q/A, not B]", "<b>/A [x/C, not B]"]
    assert list(text.lines())[1:] == ["<b>/A [x/C, not B]", "y/A", "[p/B, not A] [q/A, not B]"]
    assert tagged_sentences([]) == []


def test_the_page_colours_and_escapes_words(tmp_path: Path):
    rows = [Row({"words": ["<b>", "x"], "tags": ["A", "B"]}, Answer(["A", "<C>"]))]
    write_page(tmp_path / "page.html", title="t", parts=tagged_sentences(rows), settings={})
    page = (tmp_path / "page.html").read_text()
    assert '<span class="right">&lt;b&gt;<small>A</small></span>' in page
    assert '<span class="wrong">x<small>&lt;C&gt; ≠ B</small></span>' in page
