"""Scores of written texts, beside sacrebleu itself and plain definitions."""

import importlib.util
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import MissingPackageError
from elman.tasks.translate_scores import TextScores, edit_distance, require_sacrebleu


def tokenised_note(references):
    return scored(references, references).get("reference_note", "")


needs_sacrebleu = pytest.mark.skipif(importlib.util.find_spec("sacrebleu") is None, reason="elman[translate]")
TEXTS = ["The dog runs on the grass.", "two cats sleep in the sun today", "A man, a plan."]
REFERENCES = ["The dog runs on the grass.", "Two cats sleep in the sun.", "A man has a plan."]


def scored(texts, references):
    scores = TextScores()
    scores.update(texts, references)
    return scores.compute()


@needs_sacrebleu
def test_scores_are_those_of_sacrebleu():
    import sacrebleu

    found = scored(TEXTS, REFERENCES)
    assert found["bleu"] == sacrebleu.corpus_bleu(TEXTS, [REFERENCES]).score
    assert found["bleu_lower"] == sacrebleu.corpus_bleu(TEXTS, [REFERENCES], lowercase=True).score
    assert found["chrf"] == sacrebleu.corpus_chrf(TEXTS, [REFERENCES]).score
    assert found["bleu"] < found["bleu_lower"]
    assert "case:mixed" in found["bleu_signature"]
    assert "case:lc" in found["bleu_lower_signature"]
    assert "nc:6" in found["chrf_signature"]


@needs_sacrebleu
def test_exact_answers_and_edits_are_counted():
    found = scored(TEXTS, REFERENCES)
    assert found["exact"] == pytest.approx(1 / 3)
    # two → Two, sun → sun., today removed; `man,` → man, has inserted; of 17 words.
    assert found["token_error_rate"] == pytest.approx((3 + 2) / 17)
    assert "reference_note" not in found


@needs_sacrebleu
def test_parts_count_as_one_whole():
    parts = TextScores()
    for text, reference in zip(TEXTS, REFERENCES, strict=True):
        parts.update([text], [reference])
    assert parts.compute() == scored(TEXTS, REFERENCES)


@needs_sacrebleu
def test_no_texts_have_no_scores():
    assert TextScores().compute() == {}
    found = scored([""], [""])
    assert (found["exact"], found["token_error_rate"]) == (1, None)


@needs_sacrebleu
def test_a_reference_is_needed_for_each_text():
    with pytest.raises(ValueError, match="shorter"):
        TextScores().update(["a", "b"], ["a"])


@needs_sacrebleu
def test_references_that_look_tokenised_are_noted_and_not_printed(caplog):
    with caplog.at_level(logging.WARNING):
        found = scored(["A dog ."] * 150, ["A dog ."] * 150)
    assert found["reference_note"].startswith('150 of 150 references look tokenised (such as "A dog .")')
    assert not caplog.records


@pytest.mark.parametrize(
    "text", ["Ein Hund , hier", "Er sagt &quot; ja &quot;", "ein Ba@@ um", "a well @-@ known man", "▁a"]
)
def test_marks_of_tokenisers_are_seen(text):
    assert tokenised_note([text])


@pytest.mark.parametrize("text", ["Ein Hund, hier.", "Pi is 3.14, not .5 or so…", "Ça va ? Oui !", "me@@home", "x .5"])
def test_plain_texts_are_not_noted(text):
    assert not tokenised_note([text])


def test_a_few_odd_references_are_not_noted():
    assert not tokenised_note(["A dog ."] + ["A dog."] * 10)


WORDS = st.lists(st.sampled_from("abc"), max_size=6)


@given(WORDS, WORDS)
def test_edits_follow_the_definition(first, second):
    def distance(a, b):
        if not a or not b:
            return len(a) + len(b)
        return min(distance(a[1:], b) + 1, distance(a, b[1:]) + 1, distance(a[1:], b[1:]) + (a[0] != b[0]))

    assert edit_distance(first, second) == distance(first, second)


def test_without_sacrebleu_there_are_the_other_scores(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert scored(TEXTS, REFERENCES).keys() == {"exact", "token_error_rate"}
    with pytest.raises(MissingPackageError, match=r"pip install 'elman\[translate\]'"):
        require_sacrebleu()
