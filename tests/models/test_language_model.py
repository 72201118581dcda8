"""The language model as an estimator: it learns, says how well, is saved, and goes on where it was stopped."""

import copy
import itertools
import json
import math
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from elman import LanguageModel, Next, affine, cell, tanh
from elman.errors import DataError, ModelError, NotFittedError, TrainingError, UsageError
from elman.folders import CHECKPOINT
from elman.training.checkpoint import read_checkpoint
from elman.training.listener import Silent

TEXT = "the cat sat on the mat and the dog sat on the log\n" * 24
OTHER = "the dog sat on the mat and the cat sat on the log\n" * 8
SMALL = {"hidden_size": 12, "embedding_size": 6, "streams": 4, "window": 10, "epochs": 2, "learning_rate": 0.02}
# Everything that a resumed run could get wrong: several epochs, dropout, averages, a schedule, checks, samples.
EVERYTHING = SMALL | {
    "num_layers": 2,
    "dropout": 0.2,
    "output_dropout": 0.1,
    "schedule": "cosine",
    "average_decay": 0.9,
    "validate_batches": 7,
    "show_sample": 5,
    "report_every": 4,
    "softmax": "sampled",
    "softmax_samples": 6,
    "tied": True,
}


class Crash(Silent):
    """Fails after the minibatch of this number, counted over the run; counts the minibatches of this process."""

    def __init__(self, at: int | None = None):
        self.at = at
        self.batches = 0

    def batch(self, event):
        self.batches += 1
        if self.batches == self.at:
            raise RuntimeError("crash")


def fit(folder: Path | None, resume: bool = False, listener: Silent | None = None, **changes) -> LanguageModel:
    settings = {**EVERYTHING, "checkpoint_batches": 3, "checkpoint_seconds": 1e6, **changes}
    return LanguageModel(**settings).fit(TEXT, OTHER, folder=folder, resume=resume, listener=listener)


def everything_left(folder: Path) -> tuple[dict, list[str]]:
    """Tensors, and the log without its times."""
    checkpoint = read_checkpoint(folder / CHECKPOINT)
    assert checkpoint.state["finished"]
    times = ("seconds", "sequences_per_second", "tokens_per_second")
    rows = [
        {name: value for name, value in row.items() if name not in times}
        for row in map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    ]
    return dict(checkpoint.tensors), rows


def assert_same_run(one: Path, other: Path) -> None:
    (tensors, log), (other_tensors, other_log) = everything_left(one), everything_left(other)
    assert tensors.keys() == other_tensors.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], other_tensors[name])] == []
    assert log == other_log


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


def test_what_is_shown_while_training_may_differ_from_the_run_that_is_resumed(tmp_path):
    with pytest.raises(RuntimeError, match="crash"):
        fit(tmp_path, listener=Crash(5))
    fit(tmp_path, resume=True, show_sample=3)


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


def test_a_run_that_crashed_at_a_minibatch_lost_what_came_after_the_checkpoint(tmp_path):
    whole = Crash()
    fit(tmp_path / "whole", listener=whole)
    draw = random.Random(4)
    for number in range(4):
        folder = tmp_path / str(number)
        at = draw.randrange(1, whole.batches)
        with pytest.raises(RuntimeError, match="crash"):
            fit(folder, listener=Crash(at))
        again = Crash()
        fit(folder, resume=True, listener=again)
        # The checkpoints of every third minibatch of an epoch, and of the epochs, were there.
        assert 0 <= at - (whole.batches - again.batches) <= 3
        assert_same_run(tmp_path / "whole", folder)
        assert {path.name for path in folder.iterdir()} == {CHECKPOINT, "log.jsonl"}


def test_a_run_stopped_again_and_again_ends_with_the_same_bits(tmp_path):
    fit(tmp_path / "whole")
    for number in itertools.count():
        try:
            fit(tmp_path / "parts", resume=number > 0, listener=Crash(5), checkpoint_batches=1)
            break
        except RuntimeError:
            continue
    assert number > 10
    fit(tmp_path / "whole2", checkpoint_batches=1)
    assert_same_run(tmp_path / "whole2", tmp_path / "parts")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(
    ("changes", "text", "named"),
    [
        ({}, TEXT[:-1] + "x", "training data"),
        ({"hidden_size": 13}, TEXT, "hidden_size"),
        ({"streams": 5}, TEXT, "streams"),
        ({"cell": "lstm"}, TEXT, "identity.cell"),
        ({"lower_case": True}, TEXT, "lower_case"),
    ],
)
def test_a_checkpoint_of_another_text_or_model_is_refused(tmp_path, changes, text, named):
    settings = {**SMALL, "checkpoint_batches": 1}
    with pytest.raises(RuntimeError, match="crash"):
        LanguageModel(**settings).fit(TEXT, folder=tmp_path, listener=Crash(3))
    with pytest.raises(UsageError, match="not finished"):
        LanguageModel(**settings).fit(TEXT, folder=tmp_path)
    with pytest.raises(ModelError, match="made by another run") as caught:
        LanguageModel(**{**settings, **changes}).fit(text, folder=tmp_path, resume=True)
    assert named in str(caught.value)
    # The run itself is untouched by that.
    resumed = LanguageModel(**settings).fit(TEXT, folder=tmp_path, resume=True)
    assert resumed.evaluate(OTHER) == LanguageModel(**settings).fit(TEXT).evaluate(OTHER)


def test_a_full_disk_ends_the_run_and_the_last_checkpoint_is_good(tmp_path, monkeypatch):
    from elman.training import checkpoint as module

    fit(tmp_path / "whole")
    writes, atomic_write = itertools.count(1), module.atomic_write

    def filling(path, content):
        if next(writes) > 4:
            raise OSError(28, "No space left on device")
        atomic_write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(module, "atomic_write", filling)
        with pytest.raises(TrainingError, match="No space left"):
            fit(tmp_path / "part")
    again = Crash()
    fit(tmp_path / "part", resume=True, listener=again)
    # The first checkpoint was that of the start, three more came with every third minibatch.
    assert again.batches == 2 * len(TEXT) // 40 - 9 + (2 * len(TEXT) % 40 > 0)
    assert_same_run(tmp_path / "whole", tmp_path / "part")


def test_the_log_and_the_history_have_checks_and_samples(tmp_path):
    model = fit(tmp_path)
    _, log = everything_left(tmp_path)
    kinds = [row["kind"] for row in log]
    assert kinds.count("check") == len(model.history_.checks) == 2 * 4
    assert kinds.count("sample") == kinds.count("check") + 2
    assert all(len(row["text"]) == 5 for row in log if row["kind"] == "sample")
    record = model.history_.epochs[-1]
    assert record.validation is not None
    best = model.history_.epochs[(model.history_.best_epoch or 0) - 1].validation
    assert best == pytest.approx(model.evaluate(OTHER))


DYING = """
import os, random, signal, sys, threading, time, torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from test_language_model import Crash, fit
from pathlib import Path

class Die(Crash):
    # Some time after a minibatch: in the midst of another one, of judging, or of writing.
    def batch(self, event):
        self.batches += 1
        if self.batches == self.at:
            threading.Timer(random.uniform(0.0, 0.02), os.kill, (os.getpid(), signal.SIGKILL)).start()

fit(None)
for number in range(int(sys.argv[3])):
    random.seed(number)
    if os.fork() == 0:
        fit(Path(sys.argv[2]) / f"killed {number}", listener=Die(random.randint(1, 40)))
        time.sleep(1.0)
    assert os.WTERMSIG(os.wait()[1]) == signal.SIGKILL
"""


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_with_the_same_bits(tmp_path):
    fit(tmp_path / "whole")
    script = [sys.executable, "-c", DYING, str(Path(__file__).parent), str(tmp_path), "20"]
    subprocess.run(script, check=True, timeout=300, env=dict(os.environ))
    killed = sorted(tmp_path.glob("killed *"))
    assert len(killed) == 20
    for folder in killed:
        fit(folder, resume=True)
        assert_same_run(tmp_path / "whole", folder)


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


def test_a_model_is_not_saved_into_an_unfinished_run(tmp_path, fitted):
    with pytest.raises(RuntimeError, match="crash"):
        fit(tmp_path, listener=Crash(8))
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="a run that is not finished"):
        fitted.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == before
    fit(tmp_path, resume=True).save(tmp_path)
    assert LanguageModel.load(tmp_path).evaluate(OTHER)
