"""Encoder and decoder: steps as all at once, batch mates, gradients, copying, states."""

import pytest
import torch
from torch.nn import functional

from elman import Ragged
from elman.encoder_decoder import EncoderDecoder
from elman.errors import UsageError
from elman.nn.penalties import collected_penalties
from elman.settings import check_settings
from elman.settings.translation import DecoderSettings

TOKENS = 9
SETTINGS = {
    "plain": {},
    "additive": {"attention": "additive", "attention_size": 4},
    "dot": {"attention": "dot", "merge": "sum"},
    "feeding": {"input_feeding": True},
    "coverage": {"coverage": True, "attention": "additive"},
    "copying": {"copying": True},
    "without": {"attention": "none"},
    "one-layer": {"decoder_layers": 1},
    "lstm": {"cell": "lstm", "decoder_layers": 3, "num_layers": 2, "bidirectional": False},
    "all": {"cell": "lstm", "input_feeding": True, "coverage": True, "copying": True, "decoder_layers": 1},
    "narrowing": {"layer_sizes": (5, 3)},
    "separate": {"joint": False, "tied": False},
}
SOURCE = Ragged(torch.tensor([3, 4, 5, 6, 7, 8, 3, 5, 4]), [4, 1, 4])
TARGET = Ragged(torch.tensor([1, 4, 5, 2, 1, 2, 1, 7, 8, 3, 2]), [4, 2, 5])


def settings_of(name: str, **more) -> DecoderSettings:
    return check_settings(DecoderSettings, {"embedding": 6, "hidden_size": 5, **SETTINGS[name], **more})


def network_of(name: str, **more) -> EncoderDecoder:
    torch.manual_seed(0)
    sizes = {"vocabulary_size": TOKENS}
    return EncoderDecoder(settings_of(name, **more), TOKENS, source=sizes, begin=1, end=2).double().eval()


def stepwise(network: EncoderDecoder, source: Ragged, inputs: Ragged) -> torch.Tensor:
    """Return the logits of each sequence alone, one token at a time."""
    rows = []
    for at in range(inputs.batch_size):
        state = network.encode(source.select([at]))
        for token in inputs.select([at]).data:
            logits, state, _ = network.decoder.step(token[None], state)
            rows.append(logits)
    return torch.cat(rows)


@pytest.mark.parametrize("name", SETTINGS)
def test_step_by_step_and_alone_as_all_at_once_in_a_batch(name):
    network = network_of(name)
    inputs, targets = network.shifted(TARGET)
    decoded = network.decoder(inputs, network.encode(SOURCE))
    logits = network.decoder.logits(decoded)
    torch.testing.assert_close(logits, stepwise(network, SOURCE, inputs))
    torch.testing.assert_close(network(SOURCE, TARGET), logits)
    loss = functional.cross_entropy(logits, targets.data)
    torch.testing.assert_close(network.decoder.loss(decoded, targets), loss)


@pytest.mark.parametrize("name", SETTINGS)
def test_goes_on_from_a_state(name):
    network = network_of(name)
    inputs = Ragged(torch.tensor([1, 4, 5, 1, 7, 1, 3, 8, 6]), [3, 2, 4])
    whole = network.decoder(inputs, network.encode(SOURCE))
    firsts = Ragged(torch.tensor([1, 4, 1, 1, 3]), [2, 1, 2])
    rest = Ragged(torch.tensor([5, 7, 8, 6]), [1, 1, 2])
    state = network.decoder(firsts, network.encode(SOURCE)).state
    later = network.decoder(rest, state)
    torch.testing.assert_close(later.rows.data, whole.rows.data[[2, 4, 7, 8]])


@pytest.mark.parametrize("name", SETTINGS)
def test_rows_of_hypotheses_move_with_their_state(name):
    network = network_of(name)
    state = network.encode(SOURCE).select(torch.tensor([0, 0, 1, 2, 2]))
    _, state, _ = network.decoder.step(torch.tensor([1, 1, 1, 1, 1]), state)
    _, state, _ = network.decoder.step(torch.tensor([3, 4, 5, 6, 7]), state)
    # The second sequence ends; the hypotheses of the others are exchanged and repeated.
    state = state.select(torch.tensor([1, 1, 0, 4]))
    logits, _, attention = network.decoder.step(torch.tensor([5, 6, 7, 8]), state)
    histories = [(0, [1, 4, 5]), (0, [1, 4, 6]), (0, [1, 3, 7]), (2, [1, 7, 8])]
    for row, (sequence, tokens) in enumerate(histories):
        alone = stepwise(network, SOURCE.select([sequence]), Ragged(torch.tensor(tokens), [3]))[-1]
        torch.testing.assert_close(logits[row], alone)
    if attention is not None:
        torch.testing.assert_close(attention.sum(1), torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_of_the_whole_network_are_central_differences(name):
    network = network_of(name)
    inputs, targets = network.shifted(TARGET)

    def loss() -> torch.Tensor:
        return network.decoder.loss(network.decoder(inputs, network.encode(SOURCE)), targets)

    loss().backward()
    step = 1e-6
    for parameter in network.parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad
        at = int(torch.arange(len(flat))[gradient.abs().argmax()]) if gradient is not None else 0
        kept = flat[at].item()
        with torch.no_grad():
            flat[at] = kept + step
            high = loss().item()
            flat[at] = kept - step
            low = loss().item()
            flat[at] = kept
        found = 0.0 if gradient is None else gradient.view(-1)[at].item()
        assert found == pytest.approx((high - low) / (2 * step), rel=1e-5, abs=1e-9)


def test_copied_tokens_have_the_attention_of_their_steps():
    network = network_of("copying")
    source = Ragged(torch.tensor([4, 7, 4]), [3])
    decoded = network.decoder(Ragged(torch.tensor([1]), [1]), network.encode(source))
    own = network.decoder.head.logits(decoded.rows.data).softmax(1)[0]
    share = decoded.copied.sigmoid()[0]
    weights = decoded.weights[0]
    expected = share * own
    expected[4] += (1 - share[0]) * (weights[0] + weights[2])
    expected[7] += (1 - share[0]) * weights[1]
    found = network.decoder.logits(decoded).exp()[0]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.sum(), torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize("name", ["plain", "copying"])
def test_label_smoothing_is_torchs(name):
    network = network_of(name, label_smoothing=0.2).train()
    inputs, targets = network.shifted(TARGET)
    decoded = network.decoder(inputs, network.encode(SOURCE))
    with collected_penalties() as penalties:
        loss = network.decoder.loss(decoded, targets)
    expected = functional.cross_entropy(network.decoder.logits(decoded), targets.data, label_smoothing=0.2)
    torch.testing.assert_close(loss + sum(penalties), expected)


def test_coverage_penalises_looking_at_the_same_steps():
    network = network_of("coverage").train()
    inputs, _ = network.shifted(TARGET)
    with collected_penalties() as penalties:
        decoded = network.decoder(inputs, network.encode(SOURCE))
    expected, row = 0.0, 0
    for length in inputs.lengths.tolist():
        weights = decoded.weights[row : row + length]
        before = weights.cumsum(0) - weights
        expected += torch.minimum(before, weights).sum()
        row += length
    torch.testing.assert_close(sum(penalties), expected / inputs.total)


def test_vectors_start_the_decoder():
    torch.manual_seed(0)
    network = EncoderDecoder(settings_of("plain"), TOKENS, features=4, begin=1, end=2).double().eval()
    vectors = torch.randn(3, 4, dtype=torch.float64)
    network.encoder.learn_scale(vectors)
    inputs, _ = network.shifted(TARGET)
    together = network.decoder(inputs, network.encode(vectors)).rows
    for at in range(3):
        alone = network.decoder(inputs.select([at]), network.encode(vectors[at : at + 1])).rows
        torch.testing.assert_close(alone.data, together.select([at]).data)


def test_nothing_is_computed_for_padding():
    # A source and a target of the longest length would otherwise set the cost of all others.
    network = network_of("plain")
    seen = []
    network.decoder.lower.register_forward_hook(lambda _, given, __: seen.append(given[0].total))
    network.encoder.body.register_forward_hook(lambda _, given, __: seen.append(given[0].total))
    network(SOURCE, TARGET)
    assert seen == [SOURCE.total, TARGET.total - TARGET.batch_size]


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="merge=sum"):
        settings_of("plain", attention="dot")
    with pytest.raises(UsageError, match="without attention"):
        settings_of("plain", attention="none", coverage=True)
    with pytest.raises(UsageError, match="joint vocabulary"):
        settings_of("plain", joint=False, copying=True)
    with pytest.raises(UsageError, match="source or of vectors"):
        EncoderDecoder(settings_of("plain"), TOKENS, begin=1, end=2)
