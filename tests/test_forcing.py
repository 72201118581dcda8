"""Teacher forcing, scheduled sampling and professor forcing against their definitions."""

import math

import pytest
import torch

from elman import Ragged
from elman.encoder_decoder import EncoderDecoder
from elman.forcing import Discriminator, forcing_ratio, mixed_inputs, professor_penalty
from elman.nn.penalties import collected_penalties
from elman.settings import check_settings
from elman.settings.translation import DecoderSettings, ForcingSettings

TOKENS = 9
SOURCE = Ragged(torch.tensor([3, 4, 5, 6, 7, 8, 3, 5, 4]), [4, 1, 4])
INPUTS = Ragged(torch.tensor([1, 4, 5, 3, 1, 1, 7, 8, 3, 6]), [4, 1, 5])


@pytest.fixture
def network() -> EncoderDecoder:
    torch.manual_seed(0)
    settings = check_settings(DecoderSettings, {"embedding": 6, "hidden_size": 5, "input_dropout": 0.5})
    return EncoderDecoder(settings, TOKENS, source={"vocabulary_size": TOKENS}, begin=1, end=2).double()


def own_tokens(network: EncoderDecoder) -> torch.Tensor:
    """Return the inputs of a pass in which each token is the most probable one after those before it."""
    rows = []
    for at in range(INPUTS.batch_size):
        state, token = network.encode(SOURCE.select([at])), torch.tensor([1])
        for _ in range(int(INPUTS.lengths[at])):
            rows.append(token)
            logits, state, _ = network.decoder.step(token, state)
            token = logits.argmax(1)
    return torch.cat(rows)


def test_a_ratio_of_one_is_teacher_forcing_and_of_zero_free_running(network):
    network.eval()
    state = network.encode(SOURCE)
    assert mixed_inputs(network.decoder, state, INPUTS, 1.0) is INPUTS
    free = mixed_inputs(network.decoder, state, INPUTS, 0.0)
    assert free.data.tolist() == own_tokens(network).tolist()
    assert free.lengths.tolist() == INPUTS.lengths.tolist()


@pytest.mark.parametrize("unit", ["token", "sequence"])
def test_what_is_decided_at_once(network, unit):
    """Over many draws the true token is read with the probability asked for; a sequence has one decision."""
    network.eval()
    state, ratio, draws = network.encode(SOURCE), 0.3, 400
    firsts = INPUTS.offsets[:-1]
    # No token of the decoder's own equals a true one, so that the decisions can be read off.
    true = Ragged(torch.full((INPUTS.total,), TOKENS - 1), INPUTS.lengths)
    true.data[firsts] = 1
    with torch.no_grad():
        network.decoder.head.bias[TOKENS - 1] = -1e9
    torch.manual_seed(1)
    kept, whole = 0, 0
    for _ in range(draws):
        mixed = mixed_inputs(network.decoder, state, true, ratio, unit=unit)
        assert (mixed.data[firsts] == 1).all()
        last = mixed.data[5:][1:] == TOKENS - 1
        kept += int(last.sum())
        whole += int(last.all() | ~last.any())
    deviation = math.sqrt(ratio * (1 - ratio) / draws)
    assert kept / (4 * draws) == pytest.approx(ratio, abs=4 * deviation)
    if unit == "sequence":
        assert whole == draws
    else:
        assert whole / draws == pytest.approx(ratio**4 + (1 - ratio) ** 4, abs=4 * 0.5 / math.sqrt(draws))


def test_the_decoder_reads_on_from_the_mixed_tokens(network):
    """The token after a true one depends on the true one, and not on the one that the decoder would have written."""
    network.eval()
    state = network.encode(SOURCE)
    torch.manual_seed(5)
    mixed = mixed_inputs(network.decoder, state, INPUTS, 0.5)
    logits = network.decoder.logits(network.decoder(mixed, state))
    torch.manual_seed(5)
    forced = torch.rand(INPUTS.total) < 0.5
    for at in range(1, INPUTS.total):
        if at not in INPUTS.offsets[:-1].tolist():
            expected = INPUTS.data[at] if forced[at] else logits[at - 1].argmax()
            assert mixed.data[at] == expected


def test_drawn_tokens_are_reproducible_and_training_goes_on(network):
    network.train()
    state = network.encode(SOURCE)
    torch.manual_seed(3)
    first = mixed_inputs(network.decoder, state, INPUTS, 0.5, feedback="sample").data.tolist()
    torch.manual_seed(3)
    assert mixed_inputs(network.decoder, state, INPUTS, 0.5, feedback="sample").data.tolist() == first
    assert network.decoder.training
    assert network.decoder.dropout.training


@pytest.mark.parametrize(
    ("schedule", "batches", "expected"),
    [
        ("constant", 7, 0.2),
        ("linear", 0, 1.0),
        ("linear", 25, 0.75),
        ("linear", 1000, 0.2),
        ("exponential", 50, math.exp(-0.5)),
        ("inverse-sigmoid", 0, 100 / 101),
        ("inverse-sigmoid", 460, 100 / (100 + math.exp(4.6))),
        ("inverse-sigmoid", 10**9, 0.2),
    ],
)
def test_schedules(schedule, batches, expected):
    how = {"forcing_batches": 100} if schedule != "constant" else {}
    settings = check_settings(ForcingSettings, {"teacher_forcing": 0.2, "forcing_schedule": schedule, **how})
    assert forcing_ratio(settings, batches) == pytest.approx(expected)


def test_professor_forcing_gives_each_loss_to_its_own_network(network):
    torch.manual_seed(0)
    discriminator = Discriminator(5, 4).double()
    inputs = INPUTS
    state = network.eval().encode(SOURCE)
    forced = network.decoder(inputs, state).hidden
    free = network.decoder(mixed_inputs(network.decoder, state, inputs, 0.0), state).hidden

    def gradients(part: torch.nn.Module) -> float:
        return sum(float(each.grad.abs().sum()) for each in part.parameters() if each.grad is not None)

    with collected_penalties() as penalties:
        professor_penalty(discriminator, forced, free, 0.5)
    # Untrained it is right half of the time: it learns, and the network does not.
    assert len(penalties) == 1
    penalties[0].backward(retain_graph=True)
    assert gradients(discriminator) > 0
    assert gradients(network) == 0

    discriminator.zero_grad()
    with torch.no_grad():
        discriminator.dense[2].weight.zero_()
    # Always right and sure of it: only the network learns.
    right = type("Right", (torch.nn.Module,), {"forward": lambda self, hidden: self.say(hidden)})()
    answers = iter([torch.full((3,), 9.0), torch.full((3,), -9.0)])
    right.weight = torch.nn.Parameter(torch.ones(5, dtype=torch.float64))
    right.say = lambda hidden: (
        next(answers, None) if hidden.data.requires_grad is False else hidden.first() @ right.weight
    )
    with collected_penalties() as penalties:
        professor_penalty(right, forced, free, 0.5)
    assert len(penalties) == 1
    expected = 0.5 * torch.nn.functional.softplus(-(free.first() @ right.weight)).mean()
    torch.testing.assert_close(penalties[0], expected)
    penalties[0].backward()
    assert right.weight.grad is None
    assert gradients(network) > 0
