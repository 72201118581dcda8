"""Several threads: fits give the bits that they give alone, and so do predictions and layers."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from elman import LSTM, LanguageModel, Ragged, Recurrent, SequenceClassifier
from elman.errors import TrainingError, UsageError
from elman.training import kept_memory
from elman.training.generators import own_generators
from elman.training.listener import Silent

TEXTS = ["abab", "ba", "abba", "ccd", "dcd", "dd", "cdcd", "ab"] * 3
LABELS = ["ab", "ab", "ab", "cd", "cd", "cd", "cd", "ab"] * 3
PATIENCE = 60  # seconds, after which a test says that a thread hangs


def classifier(seed: int, **settings: Any) -> SequenceClassifier:
    return SequenceClassifier(hidden_size=6, epochs=2, batch_size=6, learning_rate=0.02, seed=seed, **settings)


def regularised(seed: int) -> SequenceClassifier:
    model = classifier(
        seed, embedding=5, token_dropout=0.2, embedding_dropout=0.1, input_dropout=0.2, dropout=0.3, output_dropout=0.2,
        weight_drop=0.2, zoneout=0.1, num_layers=2, dense=(4,), validation_fraction=0.25,
    )  # fmt: skip
    return model.fit(TEXTS, LABELS)


def plain(seed: int) -> SequenceClassifier:
    return classifier(seed).fit(TEXTS, LABELS)


def language(seed: int) -> LanguageModel:
    settings = {"hidden_size": 6, "embedding_size": 4, "epochs": 2, "streams": 2, "window": 8, "seed": seed}
    return LanguageModel(**settings, softmax="sampled", softmax_samples=3, embedding_dropout=0.2).fit(
        "to be or not " * 9
    )


FITS: dict[str, Callable[[int], Any]] = {"plain": plain, "regularised": regularised, "language": language}


def bits(model: Any) -> tuple[dict[str, Tensor], list[Any]]:
    """The weights, and what training recorded, without its times."""
    rows = [{k: v for k, v in epoch.items() if "second" not in k} for epoch in model.history_.to_json()["epochs"]]
    return model.model_.state_dict(), rows


def assert_same(one: Any, other: Any) -> None:
    (weights, rows), (other_weights, other_rows) = bits(one), bits(other)
    assert rows == other_rows
    for name, value in weights.items():
        assert torch.equal(value, other_weights[name])


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """The results of the calls, each in a thread of its own, all begun together."""
    barrier = threading.Barrier(len(calls))

    def begin(call: Callable[[], Any]) -> Any:
        barrier.wait(PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(PATIENCE) for future in [pool.submit(begin, call) for call in calls]]


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_fits_at_once_are_the_fits_alone(fit: Callable[[int], Any]):
    alone = [fit(seed) for seed in range(3)]
    before = torch.get_rng_state()
    for one, other in zip(at_once([lambda seed=seed: fit(seed) for seed in range(3)]), alone, strict=True):
        assert_same(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_fits_of_several_kinds_at_once():
    alone = [fit(5) for fit in FITS.values()]
    for one, other in zip(at_once([lambda fit=fit: fit(5) for fit in FITS.values()]), alone, strict=True):
        assert_same(one, other)


class AtFirstEpoch(Silent):
    """Does something when the first epoch has ended."""

    def __init__(self, act: Callable[[], Any]):
        self.act = act
        self.result: Any = None

    def epoch(self, event: Any) -> None:
        act, self.act = self.act, lambda: self.result
        self.result = act()


def test_a_listener_may_fit_another_model():
    inside = AtFirstEpoch(lambda: regularised(2))
    outer = classifier(1, input_dropout=0.2).fit(TEXTS, LABELS, listener=inside)
    assert_same(outer, classifier(1, input_dropout=0.2).fit(TEXTS, LABELS))
    assert_same(inside.result, regularised(2))
    assert kept_memory._holders == 0


def failing(error: BaseException) -> Callable[[], Any]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_a_fit_that_fails_leaves_the_way_free(error: BaseException):
    def fails() -> None:
        with pytest.raises(type(error)):
            classifier(1).fit(TEXTS, LABELS, listener=AtFirstEpoch(failing(error)))

    _, fitted, _ = at_once([fails, lambda: plain(3), fails])
    assert_same(fitted, plain(3))
    assert kept_memory._holders == 0


def test_a_fit_whose_loss_is_infinite_leaves_the_way_free():
    def fails() -> None:
        with pytest.raises(TrainingError):
            SequenceClassifier(tokens="values", epochs=9, learning_rate=1e38).fit([[[1e3]], [[-1e3]]], ["a", "b"])

    _, fitted = at_once([fails, lambda: plain(3)])
    assert_same(fitted, plain(3))


def test_of_two_fits_in_one_folder_one_is_refused(tmp_path: Path):
    def fit() -> SequenceClassifier | UsageError:
        try:
            return classifier(1).fit(TEXTS, LABELS, folder=tmp_path)
        except UsageError as refused:
            return refused

    found = at_once([fit, fit])
    (refused,) = (each for each in found if isinstance(each, UsageError))
    assert "Another run is writing" in refused.problem or "The folder holds a run" in refused.problem
    (fitted,) = (each for each in found if not isinstance(each, UsageError))
    assert_same(fitted, plain(1))


def test_a_forked_process_does_not_wait_for_a_thread_that_it_does_not_have():
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with own_generators([]):
            holding.set()
            assert done.wait(PATIENCE)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        assert holding.wait(PATIENCE)
        child = os.fork()
        if child == 0:
            with own_generators([], 1):
                os._exit(0)
        ended = (0, 0)
        for _ in range(10 * PATIENCE):
            ended = os.waitpid(child, os.WNOHANG)
            if ended[0]:
                break
            time.sleep(0.1)
        done.set()
        held.result(PATIENCE)
    assert ended == (child, 0)


# What draws nothing


def test_predictions_at_once_are_the_predictions_alone():
    model, writer = plain(1), language(1)
    texts = [TEXTS[number : number + 9] for number in range(6)]
    alone = [model.predict_proba(part) for part in texts]
    written = [str.join("", writer.generate("to", length=9, seed=seed)) for seed in range(6)]
    for _ in range(3):
        for found, wanted in zip(
            at_once([lambda p=part: model.predict_proba(p) for part in texts]), alone, strict=True
        ):
            assert (found == wanted).all()
        calls = [lambda seed=seed: str.join("", writer.generate("to", length=9, seed=seed)) for seed in range(6)]
        assert at_once(calls) == written


def test_predictions_while_a_model_is_fitted():
    model = plain(1)
    wanted = model.predict_proba(TEXTS)

    def predict() -> bool:
        return all((model.predict_proba(TEXTS) == wanted).all() for _ in range(20))

    fitted, same = at_once([lambda: regularised(4), predict])
    assert same
    assert_same(fitted, regularised(4))


@pytest.mark.parametrize("target", ["llvm", "eager"])
def test_layers_at_once_are_the_layers_alone(target: str):
    layer = Recurrent("lstm", 3, 5, num_layers=2, bidirectional=True, target=target)
    batches = [Ragged(torch.randn(7 + number, 3), [4, 0, 3 + number]) for number in range(4)]

    def train(batch: Ragged) -> list[Tensor]:
        steps, last = layer(batch)
        return [steps.data.detach(), *torch.autograd.grad(last.h.sum() + steps.data.sum(), list(layer.parameters()))]

    alone = [train(batch) for batch in batches]
    for found, wanted in zip(at_once([lambda b=batch: train(b) for batch in batches]), alone, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_streams_at_once_are_the_streams_alone():
    layer = LSTM(3, 5)
    inputs = torch.randn(4, 10, 1, 3)

    def run(rows: Tensor) -> Tensor:
        stream = layer.stream()
        return torch.stack([stream.step(row).clone() for row in rows])

    alone = [run(rows) for rows in inputs]
    for found, wanted in zip(at_once([lambda r=rows: run(r) for rows in inputs]), alone, strict=True):
        assert torch.equal(found, wanted)
