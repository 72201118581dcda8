"""Taggers with a linear model of neighbouring words beside the network."""

import copy
import pickle
from pathlib import Path

import pytest
import torch

from elman import SequenceTagger, summary
from elman.nn.neighbours import FACTORS, NeighbourModel
from elman.nn.wide import DEVIATION
from elman.tasks.task import Values

WORDS = [[f"{'ab'[n % 2]}{n % 5}", f"the{n % 3}", "dog", "ran"[: 1 + n % 3]] for n in range(40)]
TAGS = [[f"{'XY'[n % 2]}", "Z", "XY"[n % 2], "Y"] for n in range(40)]
SPANS = [["B-X", "I-X", "O", "B-Y"][: len(words)] for words in WORDS]
SMALL = {"hidden_size": 4, "num_layers": 1, "embedding": 4, "characters": 3, "affixes": 3, "epochs": 2, "batch_size": 8}
HELD = {"validation_fraction": 0.2}


@pytest.fixture(scope="module")
def fitted() -> SequenceTagger:
    return SequenceTagger(**SMALL, **HELD).fit(WORDS, TAGS)


@pytest.mark.parametrize("changes", [{}, {"ensemble": 2}, {"crf": True}, {"ensemble": 2, "crf": True}], ids=str)
def test_a_copy_gives_the_same_answers(changes: dict, tmp_path: Path):
    model = SequenceTagger(**SMALL, **HELD, **changes).fit(WORDS, SPANS)
    asked = [*WORDS, ["new", "dog"], []]
    scores, answers = model.evaluate(WORDS, SPANS), model.predict(asked)
    assert model.model_.wide.factors.min() >= 0
    model.save(tmp_path / "m")
    for again in (SequenceTagger.load(tmp_path / "m"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again.evaluate(WORDS, SPANS) == scores
        assert again.predict(asked) == answers
    assert [model.predict([words])[0] for words in asked] == answers


def test_both_parts_add_up_and_the_network_learns_alone(fitted):
    words = fitted.task_.encoders["words"].encode(WORDS)
    network = fitted.model_
    a, b = network.wide.factors
    assert b > 0
    assert torch.equal(network(words).data, a * network.read(words).data + b * network.wide(words))
    network = copy.deepcopy(network).train()
    torch.manual_seed(0)
    without = network.read(words).data
    torch.manual_seed(0)
    assert torch.equal(network(words).data, without)
    off = SequenceTagger(**SMALL, **HELD, wide=False).fit(WORDS, TAGS)
    assert off.model_.wide is None
    trained = {name: value for name, value in fitted.model_.state_dict().items() if not name.startswith("wide.")}
    assert trained.keys() == off.model_.state_dict().keys()
    assert all(torch.equal(value, trained[name]) for name, value in off.model_.state_dict().items())


@pytest.mark.parametrize("changes", [{}, {"crf": True}, {"ensemble": 2}], ids=str)
def test_the_weights_of_both_parts_are_the_best_for_held_out_sentences(changes: dict):
    held = WORDS[20:], TAGS[20:]
    model = SequenceTagger(**SMALL, **changes).fit(WORDS[:20], TAGS[:20], validation=held)
    factors, expected = model.model_.wide.factors, torch.tensor(FACTORS)

    def objective(tried: torch.Tensor) -> float:
        factors.copy_(tried)
        scores = model.evaluate(*held)
        return scores["loss"] * scores["count"] + float(((tried - expected) / DEVIATION).square().sum()) / 2

    best = factors.clone()
    lowest = objective(best)
    for step in ((0.05, 0.0), (-0.05, 0.0), (0.0, 0.05), (0.0, -0.05)):
        assert objective(best + torch.tensor(step)) > lowest


def test_the_held_out_sentences_are_learned_at_the_end_by_the_linear_model_only(fitted):
    model = SequenceTagger(**SMALL, **HELD)
    model.fit_values(Values({"words": WORDS, "tags": TAGS}), None, conclude=False)
    before = copy.deepcopy(model.model_.state_dict())
    assert model.conclude()
    after = model.model_.state_dict()
    changed = {name for name in after if before[name].shape != after[name].shape or not before[name].equal(after[name])}
    assert changed == {"wide.weight"}
    assert model.predict(WORDS) == fitted.predict(WORDS)


def test_validation_sentences_that_were_given_are_not_learned():
    model = SequenceTagger(**SMALL).fit(WORDS[:20], TAGS[:20], validation=(WORDS[20:], TAGS[20:]))
    again = SequenceTagger(**SMALL, validation_fraction=0.0).fit(WORDS[:20], TAGS[:20])
    assert torch.equal(model.model_.wide.weight, again.model_.wide.weight)
    assert again.model_.wide.factors.tolist() == pytest.approx(FACTORS)


def test_a_stopped_fit_leaves_the_model_as_it_was(fitted, monkeypatch: pytest.MonkeyPatch):
    model = SequenceTagger(**SMALL, **HELD)
    model.fit_values(Values({"words": WORDS, "tags": TAGS}), None, conclude=False)
    answers = model.predict(WORDS)

    def stop(*given: object, **how: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(NeighbourModel, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        model.conclude()
    assert model.predict(WORDS) == answers


def test_the_summary_of_the_layers_has_it(fitted):
    assert "NeighbourModel" in str(summary(fitted.model_, fitted.model_.example()))


def test_ridge_regression_leaves_it_out():
    model = SequenceTagger(**{**SMALL, "fitter": "ridge"}).fit(WORDS, TAGS)
    assert model.model_.wide is None
