"""The scores of a text against their formulas in NumPy."""

import math

import numpy as np
import pytest
import torch

from elman.data.text.coders import CoderSettings
from elman.data.text.corpus import open_corpus
from elman.data.text.streams import TokenStreams
from elman.data.text.token_text import Counts, learn_tokens
from elman.language_network import LanguageNetwork, LanguageNetworkSettings
from elman.nn.penalties import collected_penalties
from elman.nn.state import State
from elman.tasks.language import Language, LanguageSettings, language_scores
from elman.tasks.streams import Windows
from elman.training import evaluate

TEXT = "Ein naïver Satz — und noch einer.\n" * 6


def network(tokens: int, **settings) -> LanguageNetwork:
    return LanguageNetwork(LanguageNetworkSettings(hidden_size=7, embedding_size=5, **settings), tokens).double().eval()


@pytest.mark.parametrize("tokens", ["characters", "bytes", "words"])
def test_scores_are_their_formulas(tokens):
    coder, text = learn_tokens(open_corpus(TEXT), CoderSettings(tokens=tokens))
    model = network(len(coder.vocabulary))
    task = Language(LanguageSettings(tokens=tokens), {})
    scores = evaluate(model, task, Windows("text", TokenStreams(text, streams=1, window=5)))
    ids = torch.from_numpy(text.ids[:].astype(np.int64))
    logits = model.head.logits(model(ids[None, :-1])[0])[0].detach().numpy()
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    nats = -logs[np.arange(len(ids) - 1), ids[1:]]
    first = coder.decode(text.ids[:1].tolist())
    characters, size = len(TEXT) - len(first), len(TEXT.encode()) - len(first.encode())
    assert scores["loss"] == pytest.approx(nats.mean(), rel=1e-10)
    assert scores["perplexity"] == pytest.approx(np.exp(nats.mean()), rel=1e-10)
    assert scores["bits_per_character"] == pytest.approx(nats.sum() / np.log(2) / characters, rel=1e-10)
    assert scores["bits_per_byte"] == pytest.approx(nats.sum() / np.log(2) / size, rel=1e-10)
    assert scores["tokens"] == len(ids) - 1
    assert task.metric.name == ("bits_per_byte" if tokens == "bytes" else "bits_per_character")


def test_a_hopeless_model_has_no_finite_perplexity():
    assert language_scores(1e4, Counts(9, 8, 8, 0))["perplexity"] == math.inf


def test_penalties_are_beside_the_loss_that_is_reported():
    coder, text = learn_tokens(open_corpus(TEXT), CoderSettings())
    model = network(len(coder.vocabulary), output_dropout=0.5, activation_regularisation=1.0).train()
    minibatch = Windows("text", TokenStreams(text, streams=3, window=5)).read(0)
    torch.manual_seed(0)
    with collected_penalties() as penalties:
        step = Language(LanguageSettings(), {}).read(model, minibatch)
    torch.manual_seed(0)
    outputs = model.read(minibatch["text"]).outputs.data
    torch.testing.assert_close(step.loss, model.head.loss(outputs, minibatch["next"]))
    torch.testing.assert_close(penalties, [outputs.square().mean()])
    assert isinstance(step.state, State)
    assert not step.state.h.requires_grad
