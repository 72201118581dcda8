"""Models that start from pretrained vectors."""

from pathlib import Path

import pytest
import torch

from elman.errors import ModelError, UsageError
from elman.models import SequenceClassifier
from elman.training.listener import RunStart, Silent

TEXTS = ["the good film", "the bad film", "a good Plot", "a bad plot nowhere"] * 4
LABELS = ["good", "bad", "good", "bad"] * 4
ROWS = {"the": 0.1, "good": 0.5, "bad": -0.5, "plot": 0.3, "splendid": 0.45, "awful": -0.45, "New York": 0.2}
SETTINGS = {"tokens": "words", "hidden_size": 4, "epochs": 1, "batch_size": 4, "schedule": "constant"}


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{word} {value} {-value} 0.25\n" for word, value in ROWS.items()), encoding="utf-8")
    return path


def row_of(model: SequenceClassifier, word: str) -> list[float]:
    assert model.vocabulary_ is not None
    return model.model_.embedding.table.weight[model.vocabulary_.encode([word])[0]].tolist()


class Notes(Silent):
    def start(self, start: RunStart) -> None:
        self.notes = list(start.notes)


def test_the_embedding_starts_from_the_vectors_and_stays_there_if_frozen(vectors):
    model = SequenceClassifier(vectors=vectors, freeze="embedding", **SETTINGS).fit(TEXTS, LABELS)
    assert row_of(model, "good") == pytest.approx([0.5, -0.5, 0.25])
    assert row_of(model, "Plot") == row_of(model, "plot") == pytest.approx([0.3, -0.3, 0.25])
    assert row_of(model, "absent") == [0.0, 0.0, 0.0]
    assert 0 < max(map(abs, row_of(model, "nowhere"))) < 2
    learned = SequenceClassifier(vectors=vectors, **SETTINGS).fit(TEXTS, LABELS)
    assert row_of(learned, "good") != pytest.approx([0.5, -0.5, 0.25], abs=1e-5)


def test_the_coverage_is_said_in_one_line(vectors):
    listener = Notes()
    SequenceClassifier(vectors=vectors, **SETTINGS).fit(TEXTS, LABELS, listener=listener)
    # Eight words, of which film, a and nowhere have no vector; these are 2, 2 and 1 of 13 running words.
    covered = "vectors: 5 of 8 words (62.5%) and 61.5% of the running words have a vector"
    assert listener.notes[0] == f"{covered}; the embedding has their size, 3"
    plain = Notes()
    SequenceClassifier(**SETTINGS).fit(TEXTS, LABELS, listener=plain)
    assert not any("vectors" in note for note in plain.notes)


def test_words_of_the_file_can_be_known_besides(vectors):
    model = SequenceClassifier(vectors=vectors, vector_words=9, freeze="embedding", **SETTINGS).fit(TEXTS, LABELS)
    known = model.vocabulary_
    assert known is not None
    assert known.tokens[-2:] == ("splendid", "awful")
    assert "New York" not in known
    assert row_of(model, "splendid") == pytest.approx([0.45, -0.45, 0.25])
    assert model.evaluate(["splendid film"], ["good"])["unknown"] == 0
    without = SequenceClassifier(vectors=vectors, **SETTINGS).fit(TEXTS, LABELS)
    assert without.evaluate(["splendid film"], ["good"])["unknown"] == 1


def test_words_that_max_tokens_leaves_out_come_back_with_their_vectors(vectors):
    settings = {**SETTINGS, "vectors": vectors, "max_tokens": 3}
    assert SequenceClassifier(**settings).fit(TEXTS, LABELS).evaluate(TEXTS, LABELS)["unknown"] > 20
    model = SequenceClassifier(vector_words=9, **settings).fit(TEXTS, LABELS)
    scores = model.evaluate(TEXTS, LABELS)
    assert scores["unknown"] == sum(
        word not in ROWS and word not in model.vocabulary_ for text in TEXTS for word in text.split()
    )


def test_a_saved_model_does_not_need_the_file(vectors, tmp_path):
    model = SequenceClassifier(vectors=vectors, **SETTINGS).fit(TEXTS, LABELS)
    model.save(tmp_path / "model")
    vectors.unlink()
    again = SequenceClassifier.load(tmp_path / "model")
    assert again.embedding == 3
    assert torch.equal(torch.tensor(again.predict_proba(TEXTS)), torch.tensor(model.predict_proba(TEXTS)))


def test_the_vectors_decide_the_size_of_the_embedding(vectors):
    with pytest.raises(UsageError, match="Expected an embedding of 3, the size of the vectors, got 5"):
        SequenceClassifier(vectors=vectors, embedding=5, **SETTINGS).fit(TEXTS, LABELS)
    model = SequenceClassifier(vectors=vectors, embedding=3, **SETTINGS).fit(TEXTS, LABELS)
    assert model.model_.embedding.output_size == 3


def test_a_run_is_resumed_with_the_same_vectors_only(vectors, tmp_path):
    run = tmp_path / "run"
    settings = {**SETTINGS, "vectors": vectors}
    SequenceClassifier(**settings).fit(TEXTS, LABELS, folder=run)
    moved = vectors.rename(tmp_path / "moved.txt")
    longer = SequenceClassifier(**{**settings, "vectors": moved, "epochs": 2})
    longer.fit(TEXTS, LABELS, folder=run, resume=True)
    whole = SequenceClassifier(**{**settings, "vectors": moved, "epochs": 2}).fit(TEXTS, LABELS)
    assert torch.equal(torch.tensor(longer.predict_proba(TEXTS)), torch.tensor(whole.predict_proba(TEXTS)))
    moved.write_text(moved.read_text(encoding="utf-8").replace("0.5", "0.6"), encoding="utf-8")
    with pytest.raises(ModelError, match="vectors"):
        SequenceClassifier(**{**settings, "vectors": moved, "epochs": 3}).fit(TEXTS, LABELS, folder=run, resume=True)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"tokens": "characters", "vectors": "v.txt"}, "vectors of a file are of words"),
        ({"tokens": "words", "vector_words": 3}, "only in a file of vectors"),
        ({"tokens": "words", "embedding": "one-hot", "embedding_rows": 9}, "one-hot rows are not learned"),
    ],
)
def test_settings_that_do_not_go_together(settings, problem):
    with pytest.raises(UsageError, match=problem):
        SequenceClassifier(**settings).fit(TEXTS, LABELS)


def test_rows_of_the_embedding_beyond_the_vocabulary():
    model = SequenceClassifier(embedding_rows=50, embedding_deviation=0.01, **SETTINGS).fit(TEXTS, LABELS)
    weight = model.model_.embedding.table.weight
    assert weight.shape == (50, 64)
    assert weight[20:].std().item() == pytest.approx(0.01, rel=0.2)
    with pytest.raises(UsageError, match="Expected at least 8 rows of the embedding"):
        SequenceClassifier(embedding_rows=7, **SETTINGS).fit(TEXTS, LABELS)


def test_a_classifier_of_subwords_is_saved_whole(tmp_path):
    pytest.importorskip("sentencepiece")
    settings = {**SETTINGS, "tokens": "subwords", "max_tokens": 280}
    model = SequenceClassifier(**settings).fit(TEXTS, LABELS)
    model.save(tmp_path / "model")
    again = SequenceClassifier.load(tmp_path / "model")
    texts = ["a good film", "unseen \u017e words"]
    assert torch.equal(torch.tensor(again.predict_proba(texts)), torch.tensor(model.predict_proba(texts)))
    assert again.evaluate(texts, ["good", "bad"])["unknown"] == 0
