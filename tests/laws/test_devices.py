"""Laws of tasks on another device than the CPU, and in another precision."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch

from elman.devices import device_of
from elman.models import open_model
from elman.tasks import TASKS
from tests.elsewhere import AWAY, elsewhere
from tests.laws.test_tasks import EXAMPLES, PAIRS, new

STEPS = [[float(t + n) for t in range(1 + n % 4)] for n in range(20)]
PAIRED = EXAMPLES["compare"].values[0]
# Settings of a task that take other paths through its network, and the data for it if they are others.
MORE: dict[str, tuple[str, dict[str, Any], tuple[Any, ...] | None]] = {
    **{name: (name, {}, None) for name in TASKS},
    "classify words": ("classify", {"tokens": "words", "embedding": 5, "class_weight": "balanced"}, None),
    "classify attention": ("classify", {"pooling": ("attention",), "ensemble": 2, "wide": "off"}, None),
    "classify adversarial": (
        "classify",
        {"tokens": "words", "embedding": 5, "adversarial": 0.5, "virtual_adversarial": 0.5, "wide": "off"},
        None,
    ),
    "regress steps": ("regress", {"segment": 1}, (STEPS, STEPS)),
    "regress quantiles": ("regress", {"loss": "quantile"}, None),
    "tag crf": ("tag", {"crf": True, "affixes": True, "wide": True, "rare_dropout": 0.1, "token_dropout": 0.1}, None),
    "tag ensemble": ("tag", {"ensemble": 2, "crf": True}, None),
    "compare vectors": ("compare", {"objective": "contrastive", "dense": ()}, None),
    "compare numbers": ("compare", {"shared": False}, (PAIRED, [n % 5 + 0.5 for n in range(len(PAIRS))])),
    "compare triplets": ("compare", {"objective": "triplet", "dense": ()}, (PAIRED, [pair[0] for pair in PAIRS])),
    "language adaptive": ("language", {"softmax": "adaptive", "cutoffs": (4, 8), "hidden_size": 16}, None),
    "language sampled": ("language", {"softmax": "sampled", "softmax_samples": 4, "tokens": "words"}, None),
    "language dropout": ("language", {"input_dropout": 0.2, "average_decay": 0.9}, None),
    "forecast segments": ("forecast", {"method": "segments", "window": 6, "segment": 3, "linear": True}, None),
    "forecast seasons": ("forecast", {"method": "seasons", "window": 6, "season": 3, "horizon": 6}, None),
    "forecast ensemble": ("forecast", {"method": "segments", "window": 6, "segment": 3, "ensemble": 2}, None),
    "forecast recursive": ("forecast", {"method": "recursive", "loss": "gaussian", "samples": 3}, None),
    "forecast counts": (
        "forecast",
        {"method": "recursive", "loss": "negative-binomial", "samples": 3, "scaling": "standard"},
        None,
    ),
    "forecast student": ("forecast", {"loss": "student", "scaling": "series"}, None),
    # torch moves a parameter to a GPU in place; here it makes a new one for each module, so that tied ones part.
    "translate": ("translate", {"tied": False}, None),
    "translate all": (
        "translate",
        {"tied": False, "input_feeding": True, "coverage": True, "copying": True, "attention": "additive"},
        None,
    ),
    "describe": ("describe", {"tied": False}, None),
}
# Networks whose output layer is found by least squares, which needs float32.
RESERVOIRS: dict[str, tuple[str, dict[str, Any], tuple[Any, ...] | None]] = {
    "regress side by side": (
        "regress",
        {"cell": "reservoir", "num_reservoirs": 2, "plasticity_rate": 0.001, "bidirectional": True, "ridges": 1.0},
        (STEPS, [sum(each) for each in STEPS]),
    ),
    "regress feedback": (
        "regress",
        {
            "cell": "reservoir",
            "feedback_scaling": 0.1,
            "fitter": "force",
            "bidirectional": False,
            "ridges": 1.0,
            "segment": 1,
        },
        (STEPS, STEPS),
    ),
    "classify lags": ("classify", {"cell": "reservoir", "lags": 2, "fitter": "rls", "wide": "off"}, None),
}
CASES = {**MORE, **RESERVOIRS}
every_example = pytest.mark.parametrize("name", MORE)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Give another device, which the setting `cuda` names."""
    with elsewhere() as device:
        for module in ("fitting", "model"):
            monkeypatch.setattr(f"elman.models.{module}.find_device", {"cpu": torch.device("cpu"), "cuda": device}.get)
        yield device


def fitted(name: str, **changes: Any) -> Any:
    task, settings, values = CASES[name]
    return new(task, **{**settings, **changes}).fit(*(values or EXAMPLES[task].values))


@cache
def at_home(name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the weights and the scores of a model that learned on the CPU in float32."""
    task, _, values = CASES[name]
    model = fitted(name, epochs=1)
    return dict(model.model_.named_parameters()), model.evaluate(*(values or EXAMPLES[task].values))


def numbers(scores: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if isinstance(value, float)}


@pytest.mark.parametrize("name", CASES)
def test_a_model_learns_on_another_device_and_is_opened_on_the_cpu(name: str, request, tmp_path):
    # Dropout and other draws are those of the CPU on this device.
    task, _, values = CASES[name]
    values = values or EXAMPLES[task].values
    expected = at_home(name)[1]
    request.getfixturevalue("away")
    found = fitted(name, device="cuda", epochs=1)
    assert device_of(found.model_) == AWAY
    scores = found.evaluate(*values)
    assert numbers(scores) == pytest.approx(numbers(expected), abs=1e-3, nan_ok=True)
    if found.task.source.has_rows:
        assert len(found.answers(values[0])) == len(values[0])
    found.save(tmp_path / "m")
    again = open_model(tmp_path / "m")
    assert (again.device, device_of(again.model_).type) == ("cpu", "cpu")
    assert numbers(again.evaluate(*values)) == pytest.approx(numbers(scores), abs=1e-4, nan_ok=True)
    assert device_of(again.to("cuda").model_) == AWAY


@every_example
def test_bfloat16_learns_nearly_what_float32_does(name: str):
    task, _, values = MORE[name]
    found, (expected, scores) = fitted(name, precision="bfloat16", epochs=1), at_home(name)
    weights = dict(found.model_.named_parameters())
    assert {each.dtype for each in weights.values()} == {torch.float32}
    assert any(not torch.equal(each, weights[key]) for key, each in expected.items())
    loss = found.evaluate(*(values or EXAMPLES[task].values))["loss"]
    assert loss == pytest.approx(scores["loss"], rel=0.1, abs=0.05)


def test_text_is_written_on_another_device(away):
    model = fitted("language", device="cuda")
    here = fitted("language")
    assert "".join(model.generate("the", length=20)) == "".join(here.generate("the", length=20))


def test_vectors_of_another_device_are_arrays(away):
    model = fitted("compare vectors", device="cuda")
    assert model.transform(["a x", "b y"]).shape[0] == 2
    assert len(model.nearest("a x", ["b y", "a y"])) == 2
