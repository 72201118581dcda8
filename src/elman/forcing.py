"""What a decoder reads in training: true tokens, its own, or a mixture; and how both ways of running are made alike."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.data.ragged.ragged import Ragged
from elman.decoder import Decoder, DecoderState
from elman.nn.frozen import frozen
from elman.nn.penalties import add_penalty
from elman.nn.pooling import Pooling
from elman.nn.recurrent import Recurrent
from elman.settings.translation import ForcingSettings

# Below this accuracy the discriminator says too little to learn from it; above the other it learns nothing more.
LEAST_ACCURACY, MOST_ACCURACY = 0.75, 0.99


def forcing_ratio(settings: ForcingSettings, batches: int) -> float:
    """Return the probability of reading the true token, after so many minibatches.

    >>> forcing_ratio(ForcingSettings(teacher_forcing=0.2, forcing_schedule="linear", forcing_batches=10), 5)
    0.5
    """
    lowest, scale = settings.teacher_forcing, settings.forcing_batches
    match settings.forcing_schedule:
        case "constant":
            return lowest
        case "linear":
            return max(lowest, 1.0 - batches / scale)
        case "exponential":
            return max(lowest, math.exp(-batches / scale))
        case "inverse-sigmoid":
            # exp of more than 700 is infinite.
            return max(lowest, scale / (scale + math.exp(min(batches / scale, 700.0))))


@torch.no_grad()
def mixed_inputs(
    decoder: Decoder,
    state: DecoderState,
    inputs: Ragged,
    ratio: float,
    *,
    unit: str = "token",
    feedback: str = "greedy",
) -> Ragged:
    """Return the tokens that a decoder reads if it reads its own with probability 1 - ratio.

    A pass without gradient draws the tokens, with nothing dropped. The gradient of scheduled sampling does not flow
    through the choice of a token, so that one pass over the tokens drawn has the same gradient as a pass that chooses
    them on the way, at the cost of one step of the decoder a token. The first token of each sequence is always given.

    Args:
        decoder: run in evaluation mode.
        state: before the first token, a row for each sequence.
        inputs: true tokens `(total,)`.
        ratio: probability of reading the true token: 1 returns `inputs`, 0 the decoder's own tokens alone.
        unit: whether each `token` is decided by itself, or each `sequence`.
        feedback: `greedy` for the most probable token, `sample` for one that is drawn.

    Source:
        S. Bengio et al., Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks, 2015, section 2.4.
        Difference: the tokens are drawn with nothing dropped.
    """
    if ratio >= 1.0 or not inputs.total:
        return inputs
    like = inputs.data
    shape = inputs.total if unit == "token" else inputs.batch_size
    forced = torch.rand(shape, device=like.device) < ratio
    if unit == "sequence":
        forced = forced[inputs.sequence_index().to(like.device)]
    mixed, lengths, offsets = like.clone(), inputs.lengths, inputs.offsets[:-1]
    state = state.detach()
    with evaluated(decoder):
        active = (lengths > 1).nonzero().squeeze(1)
        state = state.select(active)
        for step in range(int(lengths.max()) - 1 if len(lengths) else 0):
            going = lengths[active] > step + 1
            if not going.all():
                state, active = state.select(going.nonzero().squeeze(1)), active[going]
            index = (offsets[active] + step).to(like.device)
            logits, state, _ = decoder.step(mixed[index], state)
            own = logits.argmax(1) if feedback == "greedy" else torch.multinomial(logits.softmax(1), 1).squeeze(1)
            mixed[index + 1] = torch.where(forced[index + 1], like[index + 1], own)
    return inputs.replace(mixed)


@contextmanager
def evaluated(module: nn.Module) -> Iterator[None]:
    """Drop nothing within, whether the module is in training or not."""
    was = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was)


class Discriminator(nn.Module):
    """A network that says whether hidden states are of a forced pass: a bidirectional GRU, pooled, and dense layers.

    Args:
        features: of a hidden state.
        units: of each direction, and of the dense layer. Default 128.

    Source:
        A. Lamb et al., Professor Forcing: A New Algorithm for Training Recurrent Networks, 2016, section 3.1 and
        figure 2. Difference: the outputs of the GRU are averaged over the steps.
    """

    def __init__(self, features: int, units: int = 128):
        super().__init__()
        self.body = Recurrent("gru", features, units, bidirectional=True)
        self.pooling = Pooling(("mean",), self.body.output_size)
        self.dense = nn.Sequential(nn.Linear(2 * units, units), nn.ReLU(), nn.Linear(units, 1))

    def forward(self, hidden: Ragged) -> Tensor:
        """Return the log odds that hidden states `(total, features)` were forced, `(batch,)`."""
        steps, last = self.body(hidden)
        return self.dense(self.pooling(steps, last.output)).squeeze(1)


def professor_penalty(discriminator: Any, forced: Ragged, free: Ragged, weight: float) -> None:
    """Add the losses of professor forcing to that of a minibatch.

    The discriminator learns which hidden states are of the forced pass, unless it is right nearly always; the network
    learns to make those of the free-running pass look forced, if the discriminator is right often enough.

    Args:
        discriminator: of `Discriminator`.
        forced: hidden states of the pass over true tokens `(total, features)`.
        free: of the pass over the decoder's own tokens, of the same lengths.
        weight: of the network's loss.

    Source:
        A. Lamb et al., 2016, equations 1 and 2 and section 3.2. The third loss, by which forced states should look
        free-running, is left out, as in most of their experiments.
    """
    rows = [index for index, length in enumerate(forced.lengths.tolist()) if length]
    if not rows:
        return
    forced, free = forced.select(rows), free.select(rows)
    true, own = discriminator(forced.map(Tensor.detach)), discriminator(free.map(Tensor.detach))
    right = ((true > 0).float().mean() + (own <= 0).float().mean()).item() / 2
    if right < MOST_ACCURACY:
        add_penalty((functional.softplus(-true) + functional.softplus(own)).mean())
    if right > LEAST_ACCURACY:
        with frozen(discriminator.parameters()):
            deceived = discriminator(free)
        add_penalty(weight * functional.softplus(-deceived).mean())
