"""Adversarial losses: the loss after the small change of the embedded rows that raises it most."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError
from elman.nn.embedding import Embedding
from elman.nn.penalties import add_penalty, collected_penalties

# Length of the first step of virtual adversarial training, in units of the root mean square of the rows.
FIRST_STEP = 0.1


def read_adversarially(
    network: nn.Module,
    forward: Callable[[], Tensor],
    loss: Callable[[Tensor], Tensor],
    *,
    adversarial: float = 0.0,
    virtual: float = 0.0,
    size: float = 5.0,
) -> Tensor:
    """Return the outputs of a batch, and add its adversarial terms to the penalties.

    penalty = adversarial · loss(rows + r) + virtual · KL(p(rows) ‖ p(rows + v))

    The rows are those that the embeddings of the network return. r is the gradient of the loss by them, v the change
    to which the probabilities react most; each is scaled, for each sequence, to a norm of `size` times the root mean
    square of the rows. All passes drop the same features, and only the first adds penalties of its layers.

    Args:
        network: in training mode, with at least one `Embedding`.
        forward: reads the batch with the network, and returns logits `(…, labels)`.
        loss: of the logits, a scalar.
        adversarial: weight of the adversarial term; at least 0.
        virtual: weight of the virtual adversarial term, which needs no labels; at least 0.
        size: norm of the changes.

    Raises:
        UsageError: the network has no embedding.

    Source:
        T. Miyato, A. M. Dai, I. Goodfellow, Adversarial Training Methods for Semi-Supervised Text Classification, 2017,
        equations 3 to 8; D. S. Sachan, M. Zaheer, R. Salakhutdinov, Revisiting LSTM Networks for Semi-Supervised Text
        Classification via Mixed Objective Function, 2019, equation 12. Differences: the rows are not normalised, but
        the changes are scaled with them; no entropy term and no texts without labels; v is found by one step of the
        power method, as in the papers.
    """
    before = torch.get_rng_state()
    with _watched(network) as rows:
        outputs = forward()
    if not rows:
        raise UsageError(
            "Adversarial losses change the rows of an embedding, and the network has none.",
            fix="Leave out adversarial and virtual_adversarial, or give texts with a learned embedding.",
        )
    plain = [each.data for each in rows]

    def changed(noise: Sequence[Tensor]) -> Tensor:
        torch.set_rng_state(before)
        with collected_penalties(), _watched(network, noise):
            return forward()

    directions = [torch.randn_like(each) for each in plain] if virtual else []
    after = torch.get_rng_state()
    if adversarial:
        slopes = torch.autograd.grad(loss(outputs), plain, retain_graph=True)
        add_penalty(adversarial * loss(changed(_scaled(rows, slopes, size))))
    if virtual:
        first = [step.requires_grad_() for step in _scaled(rows, directions, FIRST_STEP)]
        slopes = torch.autograd.grad(_divergence(outputs, changed(first)), first)
        add_penalty(virtual * _divergence(outputs, changed(_scaled(rows, slopes, size))))
    torch.set_rng_state(after)
    return outputs


@contextmanager
def _watched(network: nn.Module, noise: Sequence[Tensor] | None = None) -> Iterator[list[Ragged]]:
    """Collect the rows that the embeddings return, and add noise, a tensor for each call."""
    found: list[Ragged] = []

    def collect(module: nn.Module, given: object, rows: Ragged) -> Ragged:
        if noise is not None:
            rows = rows.replace(rows.data + noise[len(found)])
        elif not rows.data.requires_grad:
            # The rows of a frozen embedding have a gradient, too.
            rows = rows.replace(rows.data.detach().requires_grad_())
        found.append(rows)
        return rows

    hooks = [each.register_forward_hook(collect) for each in network.modules() if isinstance(each, Embedding)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _scaled(rows: Sequence[Ragged], changes: Sequence[Tensor], size: float) -> list[Tensor]:
    """Scale the changes of each sequence to `size` times the root mean square of the rows."""
    found = []
    for each, change in zip(rows, changes, strict=True):
        norms = each.replace(change.square().sum(1, keepdim=True)).sum().sqrt()
        unit = change / norms.clamp(min=torch.finfo(change.dtype).tiny)[each.sequence_index()]
        found.append(size * each.data.square().mean().sqrt() * unit)
    return found


def _divergence(outputs: Tensor, others: Tensor) -> Tensor:
    """Return the mean KL(p ‖ q) of logits `(…, labels)`, where p is a constant."""
    known = outputs.detach().log_softmax(-1)
    return (known.exp() * (known - others.log_softmax(-1))).sum(-1).mean()
