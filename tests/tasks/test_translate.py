"""The translator and the describer: answers, options of the search, limits, messages."""

import json
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV

from elman import Describer, Translator
from elman.cli.app import run
from elman.errors import DataError, MissingPackageError, ShapeError, UsageError
from elman.forcing import Discriminator
from elman.models import open_model
from elman.report.grid import Grid
from elman.report.parts import Examples
from elman.settings import check_settings
from elman.settings.decoding import DecodingOptions
from elman.tasks import translate_scores
from elman.tasks.task import Answer, Found, Row
from elman.tasks.writing import search
from elman.tasks.writing_report import worst_texts
from elman.training.listener import RunStart, Silent

SOURCES = ["ab", "ba", "aab", "bba", "abab", "b", "a", "bbaa"]
TARGETS = [text.upper()[::-1] for text in SOURCES]
SMALL = {"hidden_size": 12, "embedding": 8, "batch_size": 4, "tokens": "characters", "epochs": 2, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def model() -> Translator:
    return Translator(**SMALL).fit(SOURCES * 4, TARGETS * 4)


@pytest.fixture(scope="module")
def folder(model: Translator, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("translator") / "model"
    model.save(path)
    return path


def test_it_learns_to_write(tmp_path: Path):
    model = Translator(**{**SMALL, "hidden_size": 32, "epochs": 40, "output_dropout": 0.0})
    model.fit(SOURCES * 4, TARGETS * 4)
    assert model.predict(SOURCES) == TARGETS
    scores = model.evaluate(SOURCES, TARGETS)
    assert scores["exact"] == 1
    assert scores["token_error_rate"] == 0
    assert scores["loss_free_running"] == pytest.approx(scores["loss"], rel=1e-4)


@pytest.mark.parametrize("options", [{}, {"beam": 1}, {"beam": 3, "nested": False}, {"length_penalty": 0.0}])
def test_batch_mates_never_change_an_answer(model: Translator, options: dict):
    together = model.translate(SOURCES, **options)
    alone = [model.translate([text], **options)[0] for text in SOURCES]
    assert [[each.text for each in found] for found in together] == [[each.text for each in found] for found in alone]
    for one, other in zip(together, alone, strict=True):
        assert [each.score for each in one] == pytest.approx([each.score for each in other], abs=1e-5)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_beam_as_wide_as_needed_finds_the_best_text(model: Translator, penalty: float):
    """Every text of up to three tokens is scored by itself."""
    network, encoder = model.model_, model.task_.encoders["target"]
    ids = model.task_.encoders["source"].encode(["ab"])
    letters = [id for id in range(len(encoder.vocabulary)) if id not in (*encoder.never_written, encoder.end)]
    best, longest = (-np.inf, ""), 3
    with torch.inference_mode():
        for size in range(longest):
            for tokens in product(letters, repeat=size):
                state, found = network.encode(ids), 0.0
                for before, after in zip((encoder.begin, *tokens), (*tokens, encoder.end), strict=True):
                    logits, state, _ = network.decoder.step(torch.tensor([before]), state)
                    found += float(logits.log_softmax(1)[0, after])
                best = max(best, (found / ((5 + size + 1) / 6) ** penalty, encoder.decode(tokens)))
        how = {"beam": 400, "max_length": longest, "length_penalty": penalty, "nested": False}
        options = check_settings(DecodingOptions, how)
        hypotheses = search(network, network.encode(ids), [4], encoder, options)[0]
    finished = next(each for each in hypotheses if each.finished)
    assert encoder.decode(finished.tokens) == best[1]


def test_more_beam_never_scores_worse(model: Translator):
    scores = [[found[0].score for found in model.translate(SOURCES, beam=beam)] for beam in (1, 2, 4, 8)]
    for narrow, wide in pairwise(scores):
        assert all(other >= one - 1e-6 for one, other in zip(narrow, wide, strict=True))


def test_attention_sums_to_one_over_the_source(model: Translator):
    source, written, weights = model.attention_weights("abab")
    assert source == ["<begin>", "a", "b", "a", "b", "<end>"]
    assert weights.shape == (len(written), len(source))
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)


def test_options_of_the_search(model: Translator):
    assert all(found.startswith("BB") for found in model.predict(SOURCES, prefix="BB"))
    assert all("BAB" in found for found in model.predict(SOURCES, require=("BAB",)))
    assert not any("A" in found for found in model.predict(SOURCES, ban=("A",)))
    assert all(len(found) >= 6 for found in model.predict(SOURCES, min_length=6))
    assert all(len(found) <= 1 for found in model.predict(SOURCES, max_length=2))
    best = model.translate(["abab"], n_best=3)[0]
    assert len({each.text for each in best}) == 3
    assert [each.score for each in best] == sorted((each.score for each in best), reverse=True)
    drawn = [model.predict(SOURCES, search="sample", temperature=2.0) for _ in range(2)]
    assert drawn[0] == drawn[1]
    with pytest.raises(UsageError, match="'Z' has tokens that training never saw"):
        model.predict(["ab"], prefix="Z")
    with pytest.raises(UsageError, match="widen it"):
        model.predict(["ab"], beam=2, n_best=3)
    with pytest.raises(UsageError, match="search=sample"):
        model.predict(["ab"], temperature=0.5)


def test_pairs_that_are_too_long_are_counted_and_named(tmp_path: Path):
    seen: list[str] = []

    class Seen(Silent):
        def start(self, event: RunStart) -> None:
            seen.extend(event.notes)

    model = Translator(**SMALL, max_source_length=3)
    model.fit(SOURCES, TARGETS, listener=Seen())
    note = "2 of 8 pairs are longer than max_source_length=3 and left out of the training: 5, 8."
    assert note in seen
    # An evaluation leaves nothing out.
    assert model.evaluate(SOURCES, TARGETS)["count"] == 8
    with pytest.raises(DataError, match="All 8 pairs"):
        Translator(**SMALL, max_target_length=0 + 1).fit(["abc"] * 8, ["abc"] * 8)


def test_professor_forcing_has_a_discriminator_and_the_others_have_none(model: Translator):
    assert not any(isinstance(part, Discriminator) for part in model.model_.modules())
    forced = Translator(**SMALL, professor_forcing=0.5).fit(SOURCES, TARGETS)
    assert isinstance(forced.model_.discriminator, Discriminator)


def test_separate_vocabularies_and_words_from_characters():
    model = Translator(**SMALL, joint=False, target_tokens="words").fit(
        ["12", "3", "41"] * 4, ["one two", "three", "four one"] * 4
    )
    assert set(" ".join(model.predict(["12"])).split()) <= {"one", "two", "three", "four"}
    assert "1" not in model.task_.encoders["target"].vocabulary.tokens
    with pytest.raises(UsageError, match="joint=False"):
        Translator(**SMALL, target_tokens="words").fit(SOURCES, TARGETS)


def test_unknown_tokens_are_read_and_never_written(model: Translator):
    assert "?" not in "".join(model.predict(["a?b"]))
    assert "unknown" not in model.predict(["a?b"])[0]


def test_what_settings_refuse():
    with pytest.raises(UsageError, match="Did you mean `linear`"):
        Translator(forcing_schedule="linaer").settings()
    with pytest.raises(UsageError, match="constant probability"):
        Translator(forcing_batches=5).settings()


def test_bleu_needs_sacrebleu(monkeypatch):
    monkeypatch.setattr(translate_scores, "has_sacrebleu", lambda: False)
    with pytest.raises(MissingPackageError, match="sacrebleu"):
        Translator(**SMALL, metric="bleu").fit(SOURCES, TARGETS)
    found = Translator(**{**SMALL, "epochs": 1}).fit(SOURCES, TARGETS).evaluate(SOURCES, TARGETS)
    assert "bleu" not in found
    assert "exact" in found


def test_predictions_on_the_command_line(folder: Path, tmp_path: Path, capsys):
    path = tmp_path / "sources.txt"
    path.write_text("ab\nba\n")
    assert run(["predict", str(folder), str(path), "--n-best", "2", "--beam", "3"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["ab", "ab", "ba", "ba"]
    assert all(float(line[2]) < 0 for line in lines)
    assert run(["predict", str(folder), "--text", "ab", "--n-best", "2", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["predictions"]
    assert found.keys() == {"text", "target", "score", "others"}
    assert len(found["others"]) == 1
    assert run(["predict", str(folder), "--text", "ab", "--beam", "0"]) == 2
    assert "beam" in capsys.readouterr().err


def test_an_evaluation_on_the_command_line(folder: Path, tmp_path: Path, capsys):
    (tmp_path / "a.txt").write_text("ab\nba\n")
    (tmp_path / "b.txt").write_text("BA\nAB\n")
    paths = [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    assert run(["evaluate", str(folder), *paths, "--json", "--beam", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"bleu", "chrf", "exact", "token_error_rate", "loss", "loss_free_running"} <= found.keys()
    (tmp_path / "b.txt").write_text("BA\n")
    assert run(["evaluate", str(folder), *paths]) == 1
    assert "has 2 lines" in capsys.readouterr().err


def test_validation_texts_with_unknown_tokens(tmp_path: Path, capsys):
    pairs = "".join(f"{one}\t{other}\n" for one, other in zip(SOURCES, TARGETS, strict=True))
    (tmp_path / "train.tsv").write_text(f"source\ttarget\n{pairs}")
    (tmp_path / "valid.tsv").write_text("source\ttarget\na?b\tBA\n")
    flags = ["--hidden-size", "6", "--embedding", "4", "--epochs", "1", "--tokens", "characters"]
    paths = ["train", "translate", str(tmp_path / "train.tsv"), "--validation", str(tmp_path / "valid.tsv")]
    assert run([*paths, "--out", str(tmp_path / "m"), *flags]) == 0
    assert "unknown" in capsys.readouterr().err
    page = (tmp_path / "m" / "report.html").read_text()
    assert "nrefs:1" in page


def test_the_report_has_attention_and_the_worst_texts(model: Translator):
    scores = model.evaluate(SOURCES, TARGETS, prefix="A")
    parts = model.task_.report(Found(scores, [Row({"source": "ab", "target": "B A"}, Answer("C A"))]))
    grids = [part for part in parts if isinstance(part, Grid)]
    assert [len(grid.shares[0]) for grid in grids] == [len(grid.columns) for grid in grids] != []
    assert grids[0].rows[0] == "A"
    worst = next(part for part in parts if isinstance(part, Examples))
    assert worst.rows == [("0.50", "ab", "B A", "C A")]


def test_the_textbooks_loop_at_most_fifteen_tokens(model: Translator):
    assert all(len(found) <= 14 for found in model.predict(["ab" * 30], max_length=15, beam=1))


VECTORS = np.eye(4).repeat(6, 0)
TEXTS = [text for text in ("one", "two birds", "three", "four cats sit") for _ in range(6)]


def test_vectors_are_described():
    how = {"hidden_size": 24, "embedding": 12, "epochs": 40, "learning_rate": 0.01, "output_dropout": 0.0}
    model = Describer(**how).fit(VECTORS, TEXTS)
    assert model.predict(np.eye(4)) == ["one", "two birds", "three", "four cats sit"]
    assert model.generate([0.0, 0.0, 1.0, 0.0]) == "three"
    with pytest.raises(ShapeError, match="vectors of 4 numbers"):
        model.predict([[1.0, 2.0]])
    with pytest.raises(DataError, match="finite"):
        model.predict([[1.0, np.nan, 0.0, 0.0]])


def test_a_text_is_not_a_vector(tmp_path: Path, capsys):
    rows = "".join(f"{text},{','.join(map(str, row))}\n" for row, text in zip(VECTORS, TEXTS, strict=True))
    (tmp_path / "v.csv").write_text(f"target,a,b,c,d\n{rows}")
    flags = ["--hidden-size", "6", "--embedding", "4", "--epochs", "1"]
    assert run(["train", "describe", str(tmp_path / "v.csv"), "--out", str(tmp_path / "m"), *flags]) == 0
    capsys.readouterr()
    assert run(["predict", str(tmp_path / "m"), "--text", "one"]) == 2
    assert "reads sequences of numbers" in capsys.readouterr().err
    (tmp_path / "t.csv").write_text("text,target\nhello there,one\nwhat is this,two\n")
    assert run(["train", "describe", str(tmp_path / "t.csv"), "--out", str(tmp_path / "n"), *flags]) == 1
    assert "Expected rows of numbers" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["v.csv", "v.jsonl"])
def test_a_describer_reads_texts_of_any_column(tmp_path: Path, capsys, name: str):
    texts = [f"{text} {number}" for number, text in enumerate(TEXTS)]
    rows = [(*map(float, row), text) for row, text in zip(VECTORS, texts, strict=True)]
    path, other = tmp_path / name, tmp_path / f"other-{name}"
    if name == "v.csv":
        path.write_text("a,b,c,d,text\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
        other.write_text("a,b,c,d\n1,0,0,0\n")
    else:
        path.write_text("".join(json.dumps({"v": row[:-1], "text": row[-1]}) + "\n" for row in rows))
        other.write_text('{"v": [1, 0, 0, 0]}\n')
    flags = ["--hidden-size", "6", "--embedding", "4", "--epochs", "1"]
    model = str(tmp_path / "m")
    assert run(["train", "describe", str(path), "--target", "text", "--out", model, *flags]) == 0
    assert run(["evaluate", model, str(path), "--mistakes"]) == 0
    assert "0, 1, 0, 0\n  reference two birds 6\n" in capsys.readouterr().out
    assert run(["predict", model, str(other)]) == 0
    assert run(["summary", model]) == 0


def test_a_describer_of_lists_refuses_a_text():
    model = Describer(hidden_size=6, embedding=4, epochs=1).fit(VECTORS, TEXTS)
    with pytest.raises(DataError, match="vectors of numbers, got the text '1'"):
        model.predict(["1"])


def test_the_worst_texts_are_in_order():
    rows = [Row({"source": name, "target": "A B C"}, Answer(text)) for name, text in (("b", "A B"), ("a", "D"))]
    assert [row[1] for row in worst_texts(rows)] == ["a", "b"]


@pytest.mark.parametrize("kind", [Translator, Describer])
def test_a_search_of_scikit_learn_keeps_the_smaller_loss(kind: type):
    X, y = (SOURCES, TARGETS) if kind is Translator else (np.tile(np.eye(4), (6, 1)), TEXTS[::6] * 6)
    model = kind(tokens="words", hidden_size=8, embedding=8, learning_rate=0.01)
    found = GridSearchCV(model, {"epochs": [1, 8]}, cv=2).fit(X, y)
    assert found.best_params_ == {"epochs": 8}
    best = found.best_estimator_
    assert best.score(X, y) == -best.evaluate(X, y)["loss"] < 0


def test_a_text_that_is_required_and_banned_is_named(model: Translator):
    with pytest.raises(UsageError, match="'A' is required, and 'A' in it is banned"):
        model.predict(["ab"], require=("A",), ban=("A",))


@pytest.mark.parametrize("joint", [True, False])
def test_targets_may_be_as_long_as_those_of_training(tmp_path, joint):
    """Targets of many tokens for each source token are not cut by the usual limits, unless these are given."""
    sources, long = ["a", "b"] * 8, ["x y z " * 70 + "x", "y " * 30 + "y"] * 8
    how = {"tokens": "words", "joint": joint, "hidden_size": 8, "embedding": 4, "epochs": 1, "validation_fraction": 0}
    model = Translator(**how).fit(sources, [text.strip() for text in long])
    model.save(tmp_path / "m")
    for each in (model, open_model(tmp_path / "m")):
        writer = each.task_.encoders["target"]
        assert (writer.longest, writer.growth) == (212, 202.0)
        allowed = writer.allowing(check_settings(DecodingOptions, {}))
        assert (allowed.max_length, allowed.max_length_factor) == (265, 252.5)
        given = check_settings(DecodingOptions, {"max_length": 9, "max_length_factor": 1.0})
        assert writer.allowing(given) == given


HOUSES = "floors,age,garden,advert\n" + "".join(
    f"{n % 3},{n % 5},{n % 2},{'new' if n % 5 < 3 else 'old'} house\n" for n in range(30)
)


@pytest.fixture(scope="module")
def houses(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("houses")
    (folder / "train.csv").write_text(HOUSES)
    small = ["--hidden-size", "8", "--embedding", "8", "--epochs", "2", "--batch-size", "4", "--learning-rate", "0.02"]
    words = ["train", "describe", str(folder / "train.csv"), "--target", "advert", "--out", str(folder / "model")]
    assert run([*words, *small, "--json"]) == 0
    return folder


def described(capsys, houses: Path, content: str, *options: str) -> list[str]:
    (houses / "new.csv").write_text(content)
    capsys.readouterr()
    assert run(["predict", str(houses / "model"), str(houses / "new.csv"), *options, "--json"]) == 0
    return [each["target"] for each in json.loads(capsys.readouterr().out)["predictions"]]


def test_columns_of_vectors_are_found_by_their_names(capsys, houses):
    rows = [(0, 4, 1), (2, 0, 0), (1, 3, 1), (0, 1, 0)]
    first = "".join(f"{a},{b},{c}\n" for a, b, c in rows)
    turned = "".join(f"{c},{a},text,{b}\n" for a, b, c in rows)
    expected = described(capsys, houses, "floors,age,garden\n" + first)
    assert described(capsys, houses, "garden,floors,advert,age\n" + turned) == expected


@pytest.mark.parametrize(
    ("header", "said"),
    [("floors,years,garden", "`age` missing, `years` not known"), ("floors,age", "`garden` missing")],
)
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_other_columns_of_vectors_are_refused(capsys, houses, header, said, command):
    count = header.count(",") + 1
    text = header + ",advert\n" + ",".join("1" * count) + ",old house\n"
    (houses / "other.csv").write_text(text * (command != "predict") or header + "\n" + ",".join("1" * count) + "\n")
    capsys.readouterr()
    assert run([command, str(houses / "model"), str(houses / "other.csv")]) == 1
    assert said in capsys.readouterr().err


def test_the_encoding_of_a_table_of_vectors_is_that_which_was_given(capsys, houses):
    path = houses / "utf16.csv"
    path.write_text("floors,age,garden\n0,4,1\n", encoding="utf-16")
    capsys.readouterr()
    assert run(["predict", str(houses / "model"), str(path), "--encoding", "utf-16", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["predictions"]) == 1
