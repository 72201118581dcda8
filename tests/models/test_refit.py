"""The setting `refit`: training again on all data, for the best number of epochs."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elman import SequenceClassifier, SequenceComparer, SequenceRegressor, SequenceTagger, UsageError
from elman.models import Pretrained
from elman.models.start import EMBEDDING
from elman.tasks.task import Values
from elman.training import TrainingInterrupted
from elman.training.listener import Silent

TEXTS = [f"a {('poor', 'fine', 'dull', 'good')[n % 4]} film , number {n % 7} of {n % 3}" for n in range(120)]
LABELS = ["good" if n % 2 else "bad" for n in range(120)]
WORDS = [[f"{'ab'[n % 2]}{n % 5}", f"the{n % 3}", "dog", "ran"[: 1 + n % 3]] for n in range(40)]
TAGS = [[f"{'XY'[n % 2]}", "Z", "XY"[n % 2], "Y"] for n in range(40)]
PAIRS = [(text, other) for text, other in zip(TEXTS, TEXTS[3:], strict=False)]
SMALL: dict[str, Any] = {"hidden_size": 6, "embedding": 5, "epochs": 2, "batch_size": 16}
HELD = {"validation_fraction": 0.1}

CASES = {
    "classify": (SequenceClassifier, SMALL, (TEXTS, LABELS)),
    "several networks": (SequenceClassifier, {**SMALL, "ensemble": 2}, (TEXTS, LABELS)),
    "regress": (SequenceRegressor, SMALL, (TEXTS, [float(n % 4) for n in range(120)])),
    "tag": (SequenceTagger, {**SMALL, "num_layers": 1, "characters": 3, "affixes": 3}, (WORDS, TAGS)),
    "compare": (SequenceComparer, SMALL, (PAIRS, LABELS[: len(PAIRS)])),
}


def weights(model: Any, *, wide: bool) -> dict[str, torch.Tensor]:
    found = model.model_.state_dict()
    return {name: value.clone() for name, value in found.items() if ("wide" in name) == wide}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


class StopIn(Silent):
    """Stops the process as Ctrl-C does, in a minibatch of one of the trainings."""

    def __init__(self, training: int, epoch: int, batch: int):
        self.left, self.at = training, (epoch, batch)

    def start(self, start) -> None:
        self.left -= 1

    def batch(self, event) -> None:
        if not self.left and (event.epoch, event.batch) == self.at:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("name", CASES)
def test_the_network_is_that_of_all_data_with_what_held_out_data_decided(name: str):
    kind, settings, values = CASES[name]
    model = kind(**settings, **HELD, refit=True)
    taken = model.task.source.take(values, model.task.columns)
    if name == "compare":
        taken = model.task.source.take([*map(list, zip(*PAIRS, strict=True)), values[1]], model.task.columns)
    model.fit_values(taken, None, conclude=False)
    first, temperature = weights(model, wide=False), model.task_.temperature
    factors = {key: value for key, value in weights(model, wide=True).items() if key.endswith("factors")}
    assert model.refit_history_ is None
    assert model.conclude()
    assert not model.conclude()
    best = model.history_.best_epoch
    assert best is not None
    assert len(model.refit_history_.epochs) == best
    whole = kind(**{**settings, "epochs": best, "validation_fraction": 0.0}).fit(*values)
    assert same(weights(model, wide=False), weights(whole, wide=False))
    assert not same(weights(model, wide=False), first)
    assert model.task_.temperature == temperature
    kept = weights(model, wide=True)
    assert all(torch.equal(kept[key], value) for key, value in factors.items())
    # The settings of the model are those that were given.
    assert model.task_.settings.refit
    assert model.task_.settings.validation_fraction == pytest.approx(0.1)


def test_it_is_saved(tmp_path: Path):
    model = SequenceClassifier(**SMALL, refit=True).fit(TEXTS, LABELS)
    model.save(tmp_path / "m")
    again = SequenceClassifier.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
    assert again.task_.settings == model.task_.settings


def test_validation_data_that_were_given_are_not_learned():
    notes: list[str] = []

    class Watch(Silent):
        def start(self, start) -> None:
            notes.extend(start.notes)

    held = TEXTS[80:], LABELS[80:]
    model = SequenceClassifier(**SMALL, refit=True).fit(TEXTS[:80], LABELS[:80], validation=held, listener=Watch())
    assert sum("refit changes nothing" in note for note in notes) == 1
    assert model.refit_history_ is None
    plain = SequenceClassifier(**SMALL).fit(TEXTS[:80], LABELS[:80], validation=held)
    assert same(weights(model, wide=False), weights(plain, wide=False))


@pytest.mark.parametrize("at", [(1, 2, 3), (2, 1, 3), (2, 2, 1)], ids=str)
def test_a_run_that_is_stopped_in_either_training_ends_with_the_same_bits(at: tuple[int, int, int], tmp_path: Path):
    how = {**SMALL, "refit": True, "dropout": 0.2}
    expected = SequenceClassifier(**how).fit(TEXTS, LABELS)
    with pytest.raises(TrainingInterrupted) as stopped:
        SequenceClassifier(**how).fit(TEXTS, LABELS, folder=tmp_path / "run", listener=StopIn(*at))
    assert stopped.value.folder == tmp_path / "run"
    resumed = SequenceClassifier(**how).fit(TEXTS, LABELS, folder=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(resumed.predict_proba(TEXTS), expected.predict_proba(TEXTS))
    # A finished run is not trained again.
    ended = SequenceClassifier(**how)
    ended.fit(TEXTS, LABELS, folder=tmp_path / "run", resume=True, listener=StopIn(1, 1, 1))
    np.testing.assert_array_equal(ended.predict_proba(TEXTS), expected.predict_proba(TEXTS))


def test_a_new_run_in_the_same_folder_trains_again_on_all_data(tmp_path: Path):
    SequenceClassifier(**SMALL, refit=True).fit(TEXTS, LABELS, folder=tmp_path)
    (tmp_path / "checkpoint.safetensors").unlink()
    other = [*LABELS[1:], LABELS[0]]
    model = SequenceClassifier(**SMALL, refit=True).fit(TEXTS, other, folder=tmp_path)
    expected = SequenceClassifier(**SMALL, refit=True).fit(TEXTS, other)
    np.testing.assert_array_equal(model.predict_proba(TEXTS), expected.predict_proba(TEXTS))


def test_without_the_best_weights_the_epochs_are_those_that_were_trained():
    how = {**SMALL, "epochs": 30, "learning_rate": 0.05, "patience": 2, "restore_best": False}
    model = SequenceClassifier(**how, refit=True).fit(TEXTS, LABELS)
    trained = len(model.history_.epochs)
    assert model.history_.best_epoch < trained
    assert len(model.refit_history_.epochs) == trained


def test_both_trainings_start_from_the_same_weights():
    vocabulary = SequenceClassifier(**SMALL).fit(TEXTS, LABELS).vocabulary_
    rows = torch.full((len(vocabulary), 5), 3.0)
    how = {**SMALL, "learning_rate": 1e-6, "wide": "off"}
    model = SequenceClassifier(**how, refit=True).fit(TEXTS, LABELS, start=Pretrained(vocabulary, {EMBEDDING: rows}))
    found = model.model_.embedding.table.weight[2:]
    assert torch.allclose(found, torch.tensor(3.0), atol=1e-3)


def test_averaging_that_needs_a_validation_set_is_refused():
    with pytest.raises(UsageError, match="refit"):
        SequenceClassifier(**SMALL, refit=True, averaging="nt-asgd").fit(TEXTS, LABELS)


def test_rows_are_whole_in_their_order():
    source, columns = SequenceClassifier.task.source, SequenceClassifier.task.columns
    values = Values({"text": TEXTS, "label": LABELS})
    whole = source.whole(*source.split(values, columns, 0.3, 0))
    assert (whole.columns["text"], whole.columns["label"]) == (TEXTS, LABELS)


def test_averaging_that_needs_a_validation_set_is_allowed_with_one():
    held = TEXTS[80:], LABELS[80:]
    model = SequenceClassifier(**SMALL, refit=True, averaging="nt-asgd").fit(TEXTS[:80], LABELS[:80], validation=held)
    assert model.refit_history_ is None
