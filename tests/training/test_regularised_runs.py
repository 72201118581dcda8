"""Networks with every regulariser at once: off in evaluation, nothing at zero, and resumed bit for bit."""

import itertools
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_training import At, assert_same_run, left_behind, nothing

from elman import CELLS, LanguageModel, SequenceClassifier, zoneout
from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError
from elman.language_network import LanguageNetwork, LanguageNetworkSettings
from elman.networks import NetworkSettings, RowNetwork
from elman.nn.penalties import collected_penalties
from elman.settings import check_settings
from elman.tasks.classify import ClassifierSettings, Classify
from elman.tasks.kinds import Label
from elman.tasks.task import Batch
from elman.training import TrainingInterrupted, TrainingSettings
from elman.training.learner import Learner

NETWORK: dict[str, Any] = {"embedding": 6, "hidden_size": 5, "num_layers": 2, "dense": (4,)}
REGULARISERS: dict[str, Any] = {
    "embedding_dropout": 0.2,
    "input_dropout": 0.2,
    "dropout": 0.2,
    "output_dropout": 0.2,
    "weight_drop": 0.3,
    "zoneout": {"c": 0.5, "h": 0.05},
    "cell_options": {"candidate_dropout": 0.2},
    "activation_regularisation": 2.0,
    "temporal_regularisation": 1.0,
}
PENALTIES = ("activation_regularisation", "temporal_regularisation")
AVERAGES: dict[str, dict[str, Any]] = {
    "asgd": {"averaging": "asgd", "average_after": 1},
    "nt-asgd": {"averaging": "nt-asgd", "nonmonotone_interval": 1},
}
WORDS = ["".join(letters) for size in (2, 3, 4) for letters in itertools.product("abc", repeat=size)][:60]
LABELS = ["a" if word.count("a") > 1 else "b" for word in WORDS]

every_regulariser = pytest.mark.parametrize("name", REGULARISERS)


def network(**settings: Any) -> RowNetwork:
    torch.manual_seed(0)
    return RowNetwork(NetworkSettings(**NETWORK | settings), 2, vocabulary_size=9)


def classify() -> Classify:
    label = Label()
    label.learn(["a", "b"])
    return Classify(ClassifierSettings(), {"label": label})


def batch() -> Ragged:
    return Ragged(torch.tensor([3, 4, 5, 6, 7, 8, 3, 3, 1, 5]), [4, 0, 1, 5])


@every_regulariser
def test_each_regulariser_acts_in_training_and_not_in_evaluation(name: str):
    plain, regular = network(), network(**{name: REGULARISERS[name]})
    assert all(map(torch.equal, plain.parameters(), regular.parameters()))
    if name == "zoneout":
        expected = {"cell": zoneout(CELLS["lstm"], REGULARISERS[name])}
        torch.manual_seed(0)
        plain = RowNetwork(NetworkSettings(**NETWORK), 2, vocabulary_size=9, **expected)
    with torch.no_grad():
        assert torch.equal(regular.eval()(batch()), plain.eval()(batch()))
    torch.manual_seed(1)
    with collected_penalties() as penalties:
        trained = regular.train()(batch())
    assert len(penalties) == (name in PENALTIES)
    assert torch.equal(trained, plain.eval()(batch())) == (name in PENALTIES)


@every_regulariser
def test_zero_of_a_regulariser_is_the_network_without_it(name: str):
    value = REGULARISERS[name]
    zero = dict.fromkeys(value, 0.0) if isinstance(value, dict) else 0.0
    plain, zeroed = network(), network(**{name: zero})
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with collected_penalties() as penalties:
        assert torch.equal(zeroed(batch()), plain(batch()))
    assert penalties == []
    assert torch.equal(torch.get_rng_state(), before)


def test_the_trainer_adds_the_penalties_to_what_it_trains_and_not_to_what_it_tells():
    targets = torch.tensor([0, 1, 1, 0])
    settings = TrainingSettings(optimizer="sgd", learning_rate=1.0)
    plain, regular = network(), network(activation_regularisation=2.0, temporal_regularisation=1.0)
    task, data = classify(), None
    minibatch = Batch({"text": batch(), "label": targets}, 4, 10)
    told = Learner(plain, task, settings, data).step(minibatch, 1.0)
    judge = network(activation_regularisation=2.0, temporal_regularisation=1.0)
    with collected_penalties() as penalties:
        loss = task.read(judge, minibatch).loss
    (loss + penalties[0]).backward()
    assert Learner(regular, task, settings, data).step(minibatch, 1.0) == told
    assert told[0] == loss.item()
    for (name, moved), start in zip(regular.named_parameters(), judge.parameters(), strict=True):
        assert torch.equal(moved, start - start.grad), name
    assert not torch.equal(plain.embedding.table.weight, regular.embedding.table.weight)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"cell": "none", "pooling": "mean", "weight_drop": 0.5}, "cell, weight_drop: without a recurrent layer"),
        ({"cell": "none", "pooling": "mean", "zoneout": 0.5}, "cell, zoneout: without a recurrent layer"),
        ({"embedding": "one-hot", "embedding_dropout": 0.5}, "embedding, embedding_dropout: only learned rows"),
        ({"weight_drop": 1.0}, "weight_drop: expected a value less than 1, got 1.0"),
        ({"zoneout": 1.5}, "less than or equal to 1"),
        ({"zoneout": {"c": -0.5}}, "greater than or equal to 0"),
        (
            {"activation_regularisation": -1.0},
            "activation_regularisation: expected a value .*, got -1.0",
        ),
    ],
)
def test_regularisers_that_make_no_sense_are_refused(values: dict, said: str):
    with pytest.raises(UsageError, match=said):
        check_settings(NetworkSettings, values)


def test_a_language_network_regularises_what_its_head_reads():
    torch.manual_seed(0)
    settings = {"embedding_size": 4, "hidden_size": 6, "output_dropout": 0.5}
    weights = {"activation_regularisation": 2.0, "temporal_regularisation": 3.0}
    network = LanguageNetwork(LanguageNetworkSettings(**settings, **weights), tokens=9)
    with collected_penalties() as penalties:
        reading = network.read(batch())
    h, d = reading.steps.data, reading.outputs.data
    assert not torch.equal(h, d)
    changes = torch.cat([one.diff(dim=0) for one in reading.steps])
    torch.testing.assert_close(penalties[0], 2.0 * d.square().mean() + 3.0 * changes.square().mean())
    with collected_penalties() as penalties:
        reading = network.eval().read(batch())
    assert penalties == []
    assert torch.equal(reading.steps.data, reading.outputs.data)


# Whole runs


def classifier(average: str, **changes: Any) -> SequenceClassifier:
    settings = NETWORK | REGULARISERS | AVERAGES[average] | changes
    return SequenceClassifier(
        **settings, epochs=3, batch_size=20, learning_rate=0.3, optimizer="sgd", clip_norm=0.25,
        weight_decay=1.2e-6, validation_fraction=0.25, report_every=2, adversarial=0.5, virtual_adversarial=0.5,
    )  # fmt: skip


def fit(folder: Path, average: str, listener: At | None = None, resume: bool = False) -> SequenceClassifier:
    return classifier(average).fit(WORDS, LABELS, folder=folder, listener=listener, resume=resume)


@pytest.mark.usefixtures("python_handlers")
@pytest.mark.parametrize("average", AVERAGES)
def test_a_run_with_every_regulariser_stopped_after_any_minibatch_ends_with_the_same_bits(
    tmp_path, average, monkeypatch
):
    # Whether these few words stop the scores from improving is not for this test to say.
    monkeypatch.setattr("elman.training.averaging.stops_improving", lambda losses, _: len(losses) == 2)
    listener = At(nothing)
    whole = fit(tmp_path / "whole", average, listener)
    tensors = left_behind(tmp_path / "whole")[0]
    assert tensors["averaging/updates"] > 0
    for batches in range(1, len(listener.events) + 1):
        folder = tmp_path / str(batches)
        with pytest.raises(TrainingInterrupted):
            fit(folder, average, At(partial(signal.raise_signal, signal.SIGINT), batch=batches))
        again = fit(folder, average, resume=True)
        assert_same_run(tmp_path / "whole", folder)
        assert (again.predict_proba(WORDS) == whole.predict_proba(WORDS)).all()


def test_a_saved_model_carries_its_zoneout_and_draws_nothing(tmp_path):
    model = fit(tmp_path / "run", "asgd")
    model.save(tmp_path / "model")
    loaded = SequenceClassifier.load(tmp_path / "model")
    assert (loaded.predict_proba(WORDS) == model.predict_proba(WORDS)).all()
    assert (loaded.predict_proba(WORDS) == loaded.predict_proba(WORDS)).all()
    body = loaded.model_.body
    draws = body.cell.trace(*body.cell_sizes[0]).draws
    assert {(draw.name, draw.probability) for draw in draws} == {
        ("zoneout_h/draw", 0.05),
        ("zoneout_c/draw", 0.5),
        ("cell/draw", 0.8),
    }
    assert loaded.zoneout == {"c": 0.5, "h": 0.05}


def test_a_run_is_not_resumed_with_another_zoneout(tmp_path):
    fit(tmp_path, "asgd")
    with pytest.raises(Exception, match=r"settings\.|zoneout"):
        classifier("asgd", zoneout=0.1).fit(WORDS, LABELS, folder=tmp_path, resume=True)


# Language models: windows of streams with carried state

TEXT = " ".join(WORDS * 2)


def language_model(average: str) -> LanguageModel:
    return LanguageModel(
        **REGULARISERS, **AVERAGES[average], cell="lstm", hidden_size=5, num_layers=2, embedding_size=5, tied=True,
        streams=4, window=9, epochs=4, learning_rate=1.0, optimizer="sgd", clip_norm=0.25, weight_decay=1.2e-6,
        validation_fraction=0.25,
    )  # fmt: skip


@pytest.mark.usefixtures("python_handlers")
@pytest.mark.parametrize("average", AVERAGES)
def test_a_language_model_with_every_regulariser_stopped_anywhere_ends_with_the_same_bits(
    tmp_path, average, monkeypatch
):
    monkeypatch.setattr("elman.training.averaging.stops_improving", lambda losses, _: len(losses) == 2)
    listener = At(nothing)
    whole = language_model(average).fit(TEXT, folder=tmp_path / "whole", listener=listener)
    assert left_behind(tmp_path / "whole")[0]["averaging/updates"] > 0
    assert len(listener.events) > 40
    for batches in range(1, len(listener.events), 7):
        folder = tmp_path / str(batches)
        stop = At(partial(signal.raise_signal, signal.SIGINT), batch=batches)
        with pytest.raises(TrainingInterrupted):
            language_model(average).fit(TEXT, folder=folder, listener=stop)
        again = language_model(average).fit(TEXT, folder=folder, resume=True)
        assert_same_run(tmp_path / "whole", folder)
        assert again.evaluate(TEXT) == whole.evaluate(TEXT)
