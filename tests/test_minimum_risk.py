"""The expected risk of candidates against its definition, and translators that learn by it."""

import math

import pytest
import torch

from elman import SequenceClassifier, Translator
from elman.encoder_decoder import EncoderDecoder
from elman.errors import UsageError
from elman.minimum_risk import expected_risk, risk_of
from elman.models import OtherModel
from elman.settings import check_settings
from elman.settings.translation import DecoderSettings
from tests.test_forcing import SOURCE, TOKENS

BEGIN, END = 1, 2
CANDIDATES = [[[3, 4], [5], []], [[6, 6, 3]], [[7], [8, 3, 3, 4, 5]]]
RISKS = [[0.0, 0.5, 1.0], [0.3], [0.25, 0.75]]
KINDS = {
    "attention": {},
    "copying": {"copying": True},
    "coverage": {"coverage": True},
    "feeding": {"input_feeding": True, "attention": "additive"},
    "none": {"attention": "none", "decoder_layers": 1},
}


@pytest.fixture(params=KINDS)
def network(request) -> EncoderDecoder:
    torch.manual_seed(0)
    how = {"embedding": 6, "hidden_size": 5, "input_dropout": 0.0, "output_dropout": 0.0}
    settings = check_settings(DecoderSettings, {**how, **KINDS[request.param]})
    built = EncoderDecoder(settings, TOKENS, source={"vocabulary_size": TOKENS}, begin=BEGIN, end=END).double()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)
    return built.eval()


def defined(network: EncoderDecoder, sharpness: float) -> float:
    """Return the expected risk by its definition: each candidate of each source alone, token by token."""
    total = 0.0
    for at, (candidates, risks) in enumerate(zip(CANDIDATES, RISKS, strict=True)):
        shares = []
        for ids in candidates:
            state, score = network.encode(SOURCE.select([at])), 0.0
            for token, following in zip([BEGIN, *ids], [*ids, END], strict=True):
                logits, state, _ = network.decoder.step(torch.tensor([token]), state)
                score += logits.log_softmax(1)[0, following].item()
            shares.append(math.exp(score) ** sharpness)
        total += sum(share * risk for share, risk in zip(shares, risks, strict=True)) / sum(shares)
    return total / len(CANDIDATES)


def risk(network: EncoderDecoder, sharpness: float) -> torch.Tensor:
    state = network.encode(SOURCE)
    return expected_risk(network.decoder, state, CANDIDATES, RISKS, begin=BEGIN, end=END, sharpness=sharpness)


@pytest.mark.parametrize("sharpness", [0.005, 1.0, 2.0])
def test_it_is_the_mean_risk_under_the_sharpened_probabilities(network, sharpness):
    assert risk(network, sharpness).item() == pytest.approx(defined(network, sharpness), abs=1e-12)


def test_its_gradient_is_that_of_differences(network):
    loss = risk(network, 0.7)
    loss.backward()
    parameters = [each for each in network.parameters() if each.grad is not None]
    assert parameters
    torch.manual_seed(1)
    with torch.no_grad():
        directions = [torch.randn_like(each) for each in parameters]
        slope = sum((each.grad * way).sum() for each, way in zip(parameters, directions, strict=True))
        step, ends = 1e-5, []
        for sign in (1, -2):
            for each, way in zip(parameters, directions, strict=True):
                each.add_(sign * step * way)
            ends.append(risk(network, 0.7).item())
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope.item(), rel=1e-6)
    assert slope.item() != 0


@pytest.mark.parametrize(
    ("name", "text", "reference", "expected"),
    [
        ("exact", "a b", "a b", 0.0),
        ("exact", "a b", "a  b", 1.0),
        ("token_error_rate", "a x c", "a b c d", 0.5),
        ("token_error_rate", "a", "", 1.0),
        ("bleu", "the cat is on the mat", "the cat is on the mat", 0.0),
        ("chrf", "abc", "abc", 0.0),
        ("chrf", "xyz", "abc", 1.0),
    ],
)
def test_risks_of_texts(name, text, reference, expected):
    assert risk_of(name)(text, reference) == pytest.approx(expected, abs=1e-6)


PAIRS = [
    ["ab", "ba", "aab", "bba", "abab", "b", "a", "bab"] * 4,
    ["x y", "y x", "x x y", "y y x", "x y x y", "y", "x", "z"] * 4,
]
SMALL = {"tokens": "words", "joint": False, "hidden_size": 6, "embedding": 4, "batch_size": 8, "learning_rate": 0.01}


def test_a_translator_starts_from_the_whole_of_another(tmp_path):
    first = Translator(**SMALL, epochs=3, validation_fraction=0).fit(*PAIRS)
    first.save(tmp_path / "first")
    start = OtherModel(tmp_path / "first")
    how = {**SMALL, "epochs": 1, "learning_rate": 1e-12, "validation_fraction": 0, "seed": 5}
    # At this learning rate nothing changes, and a vocabulary of fewer texts would not fit the weights.
    again = Translator(**how, risk="token_error_rate", risk_samples=3).fit(*[side[:6] for side in PAIRS], start=start)
    assert again.predict(PAIRS[0]) == first.predict(PAIRS[0])
    for name, value in first.model_.state_dict().items():
        if name != "batches":
            assert torch.allclose(again.model_.state_dict()[name], value, atol=1e-9)


@pytest.mark.parametrize(
    ("how", "said"), [({"joint": True}, "joint=True"), ({"tokens": "characters"}, "a model of characters")]
)
def test_a_start_that_does_not_fit_is_refused(tmp_path, how, said):
    Translator(**SMALL, epochs=1, validation_fraction=0).fit(*PAIRS).save(tmp_path / "first")
    with pytest.raises(UsageError, match=said):
        Translator(**{**SMALL, **how}, epochs=1).fit(*PAIRS, start=OtherModel(tmp_path / "first"))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"risk_samples": 5}, "give risk"),
        ({"risk": "exact", "risk_samples": 1}, "risk_samples"),
        ({"risk": "rouge"}, "risk"),
        ({"risk": "exact", "professor_forcing": 0.1}, "professor"),
    ],
)
def test_settings_that_make_no_sense(how, said):
    with pytest.raises(UsageError, match=said):
        Translator(**SMALL, **how).fit(*PAIRS)


def test_a_classifier_cannot_start_from_a_translator(tmp_path):
    Translator(**SMALL, epochs=1, validation_fraction=0).fit(*PAIRS).save(tmp_path / "first")
    with pytest.raises(UsageError, match="A classifier cannot start from a translator"):
        SequenceClassifier(tokens="words", epochs=1).fit(*PAIRS, start=OtherModel(tmp_path / "first"))
