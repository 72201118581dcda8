"""A trained `LanguageModel` writes what its network says, whatever its tokens and its head."""

import json
import sys
from functools import cache

import numpy as np
import pytest
import torch

from elman import LanguageModel
from elman.errors import ModelError, NotFittedError, UsageError
from elman.language_network import LanguageNetwork, LanguageNetworkSettings
from elman.nn.softmax import AdaptiveSoftmax

TEXT = "The cat sat on the mat. A dög slept on the log.\nA bird sang \N{BIRD}.\n" * 30
KINDS = ("characters", "bytes", "words", "subwords")


@cache
def model(kind: str, **settings) -> LanguageModel:
    settings = {"hidden_size": 12, "streams": 4, "window": 10, "epochs": 2, "learning_rate": 0.01, **settings}
    return LanguageModel(tokens=kind, max_tokens=300 if kind == "subwords" else None, **settings).fit(TEXT)


HEADS = {
    "full": {},
    "tied": {"tied": True, "embedding_size": 12},
    "tied with a projection": {"tied": True, "embedding_size": 5},
    "sampled": {"softmax": "sampled", "softmax_samples": 4},
    "adaptive": {"softmax": "adaptive", "cutoffs": (5, 10), "hidden_size": 64},
}


@pytest.mark.parametrize("head", HEADS)
def test_a_stream_scores_as_the_network_does(head: str):
    settings = LanguageNetworkSettings(**{"hidden_size": 12, "num_layers": 2, **HEADS[head]})
    network = LanguageNetwork(settings, tokens=20).train()
    ids = torch.randint(20, (3, 6))
    stream = network.stream(batch_size=3)
    with torch.no_grad():
        outputs, _ = network.eval()(ids)
        expected = network.head.logits(outputs)
    assert isinstance(network.head, AdaptiveSoftmax) == (head == "adaptive")
    for time in range(6):
        stream.read(ids[:, time].numpy())
        torch.testing.assert_close(torch.tensor(stream.scores()), expected[:, time], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_what_the_coder_makes_of_the_tokens(kind: str):
    found = model(kind)
    generator = found.generate("The ", length=60, temperature=1.2)
    tokens, pieces = found.coder_.encode("The ").tolist(), []
    for piece in generator:
        pieces.append(piece)
        tokens.append(generator.token)
    whole, written = found.coder_.decode(tokens), found.coder_.decode(found.coder_.encode("The ")) + "".join(pieces)
    assert whole.rstrip("\N{REPLACEMENT CHARACTER}") == written.rstrip("\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize("kind", KINDS)
def test_the_probabilities_of_a_text_are_those_of_its_evaluation(kind: str):
    found = model(kind)
    generator = found.generate("The ", length=40)
    losses = [-generator.log_probability for _ in generator]
    prompt, tokens = found.coder_.encode("The ").tolist(), [*generator.samples._recent]
    assert len(losses) == 40
    again = found.generate("The ", length=40)
    written = [again.token for _ in again]
    with torch.no_grad():
        outputs, _ = found.model_(torch.tensor([[*prompt, *written]]))
        scores = torch.log_softmax(found.model_.head.logits(outputs)[0].double(), 1)
    expected = [-float(scores[len(prompt) - 1 + place, token]) for place, token in enumerate(written)]
    assert [int(each[0]) for each in tokens][-40:] == written
    assert np.allclose(losses, expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_writes_the_same(tmp_path, kind: str):
    found = model(kind)
    found.save(tmp_path / "model")
    loaded = LanguageModel.load(tmp_path / "model")
    texts = ["".join(each.generate("The ", length=50, seed=2)) for each in (found, loaded)]
    assert texts[0] == texts[1]


def test_reading_is_a_prompt_without_a_text():
    found = model("characters")
    state = found.read("The cat sat", state=found.read("A bird. "))
    assert "".join(found.generate(state=state, length=30)) == "".join(found.generate("A bird. The cat sat", length=30))
    assert not any(tensor.requires_grad for tensor in state.tensors.values())


def test_writing_changes_no_random_number_of_torch():
    before = torch.get_rng_state()
    list(model("characters").generate(length=5))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", ["bytes", "words"])
def test_a_state_is_of_the_model_saved_and_loaded_and_of_no_other_of_its_size(tmp_path, kind: str):
    found = model(kind)
    found.save(tmp_path / "model")
    state = found.read("The cat")
    texts = ["".join(each.generate(state=state, length=9)) for each in (found, LanguageModel.load(tmp_path / "model"))]
    assert texts[0] == texts[1]
    with pytest.raises(ModelError, match="other weights"):
        model(kind, seed=1).generate(state=state)


def test_subwords_without_sentencepiece_say_what_to_install_when_they_are_loaded(tmp_path, monkeypatch):
    model("subwords").save(tmp_path / "model")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(UsageError, match="sentencepiece, which is not installed") as error:
        LanguageModel.load(tmp_path / "model")
    assert error.value.where == str(tmp_path / "model")
    assert "pip install" in error.value.fix


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"hidden_size": -1}, "greater than 0, got -1"), ({"hidden_size": 13}, "sizes"), ({"zoneouts": 1}, "`zoneout`")],
)
def test_settings_that_are_not_those_of_the_weights_are_a_matter_of_the_folder(tmp_path, settings: dict, said: str):
    model("characters").save(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["settings"] |= settings
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="do not belong together") as error:
        LanguageModel.load(tmp_path / "model")
    assert said in str(error.value)


def test_one_text_or_several_and_only_of_a_trained_model():
    with pytest.raises(UsageError, match="generate_samples"):
        model("characters").generate(samples=3)
    with pytest.raises(NotFittedError, match="fit"):
        LanguageModel().generate()
    with pytest.raises(UsageError, match="Did you mean `temperature`"):
        model("characters").generate(temprature=1)
