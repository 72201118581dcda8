"""Products of the Gauss–Newton matrix of a loss with vectors, without the matrix."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError
from elman.nn.recurrent import Recurrent


class GaussNewton:
    """The curvature of a loss by the weights of a network, as a product with a vector.

    G·v = Jᵀ·H·J·v, where J has the derivatives of the outputs z of the last linear layer by the weights, and H the
    second derivatives of the loss by z. With J_s, those of the outputs of all recurrent layers at every step,
    S·v = J_sᵀ·J_s·v / sequences is the curvature of the squared change of the states: structural damping.

    Jᵀ·u is linear in u, so that its own gradient by u is J·v: both products are backward passes, each over a graph
    that is built once. With elman's kernels this takes a quarter of the time of torch's forward tangents.

    Args:
        model: has a linear layer.
        parameters: of the model; a vector has all of them one after the other.
        loss: reads the batch, and returns the loss.
        sequences: in the batch.
        structural: whether `structural` is asked for, which needs the outputs of the recurrent layers.

    Raises:
        UsageError: the model has no linear layer on which the loss depends.

    Source:
        N. N. Schraudolph, Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent, 2002. Structural
        damping: J. Martens, I. Sutskever, Learning Recurrent Neural Networks with Hessian-Free Optimization, 2011,
        section 3.2, with the squared distance of the outputs of any cell.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Sequence[Tensor],
        loss: Callable[[], Tensor],
        *,
        sequences: int,
        structural: bool = False,
    ):
        self._parameters = list(parameters)
        self._sequences = sequences
        with torch.enable_grad(), _outputs_of(model, structural) as (linear, states):
            self.loss = loss()
            if not linear:
                raise _no_outputs()
            outputs = linear[-1]
            slopes = torch.autograd.grad(self.loss, outputs, create_graph=True, allow_unused=True)[0]
            if slopes is None:
                raise _no_outputs()
            self._slopes = slopes
            self._observed = [outputs, *states]
            self._probes = [torch.zeros_like(each).requires_grad_() for each in self._observed]
            self._pulled = self._pull(self._probes, create_graph=True)

    def product(self, vector: Tensor, structural: float = 0.0) -> Tensor:
        """Return G·v + structural·S·v, `(weights,)`."""
        outputs, *states = self.tangents(vector)
        curved = [self._curve(outputs)]
        if structural:
            curved += [structural / self._sequences * state for state in states]
        return flat(self._pull(curved), self._parameters)

    def structural_change(self, vector: Tensor) -> float:
        """Return vᵀ·S·v."""
        _, *states = self.tangents(vector)
        return sum(float(state.square().sum()) for state in states) / self._sequences

    def tangents(self, vector: Tensor) -> list[Tensor]:
        """Return J·v: the change of the outputs, and of each observed recurrent layer's outputs."""
        given = split(vector, self._parameters)
        used = [(pulled, part) for pulled, part in zip(self._pulled, given, strict=True) if pulled is not None]
        found = torch.autograd.grad(
            [pulled for pulled, _ in used],
            self._probes,
            [part for _, part in used],
            retain_graph=True,
            allow_unused=True,
        )
        pairs = zip(found, self._probes, strict=True)
        return [torch.zeros_like(probe) if each is None else each for each, probe in pairs]

    def squared_gradients(self, probes: int) -> Tensor:
        """Return an estimate of the mean over the rows of the squared gradient of each weight.

        The gradients of the rows are added with random signs; the square of such a sum has the sum of the squares as
        its mean.

        Args:
            probes: sums to average over.
        """
        slopes = self._slopes.detach()
        total = torch.zeros_like(flat([None] * len(self._parameters), self._parameters))
        for _ in range(probes):
            signs = 2.0 * torch.randint(0, 2, (*slopes.shape[:-1], 1), device=slopes.device) - 1.0
            total += flat(self._pull([slopes * signs]), self._parameters).square()
        return total * (slopes.numel() // slopes.shape[-1]) / probes

    def _curve(self, tangent: Tensor) -> Tensor:
        """Return H·u."""
        if not self._slopes.requires_grad:
            return torch.zeros_like(tangent)
        found = torch.autograd.grad(self._slopes, self._observed[0], tangent, retain_graph=True, allow_unused=True)
        return torch.zeros_like(tangent) if found[0] is None else found[0]

    def _pull(self, values: Sequence[Tensor], *, create_graph: bool = False) -> tuple[Tensor | None, ...]:
        """Return Jᵀ·u for each parameter, None for one that has no part in the outputs."""
        return torch.autograd.grad(
            self._observed[: len(values)],
            self._parameters,
            values,
            create_graph=create_graph,
            retain_graph=True,
            allow_unused=True,
        )


def flat(parts: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> Tensor:
    """Join parts in the shapes of the parameters to one vector, with zeros for None."""
    pairs = zip(parts, parameters, strict=True)
    return torch.cat([(torch.zeros_like(like) if part is None else part).flatten() for part, like in pairs])


def split(vector: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Return the parts of a vector in the shapes of the parameters."""
    parts = vector.split([parameter.numel() for parameter in parameters])
    return [part.view_as(parameter) for part, parameter in zip(parts, parameters, strict=True)]


@contextmanager
def _outputs_of(model: nn.Module, recurrent: bool) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Collect the outputs of the linear layers, and of the recurrent layers if asked for."""
    linear: list[Tensor] = []
    states: list[Tensor] = []
    hooks = []

    def keep_linear(module: nn.Module, given: Any, found: Tensor) -> None:
        linear.append(found)

    def keep_states(module: nn.Module, given: Any, found: Any) -> None:
        states.extend(_steps(found[0]))

    for module in model.modules():
        if isinstance(module, nn.Linear):
            hooks.append(module.register_forward_hook(keep_linear))
        elif recurrent and isinstance(module, Recurrent):
            hooks.append(module.register_forward_hook(keep_states))
    try:
        yield linear, states
    finally:
        for hook in hooks:
            hook.remove()


def _steps(outputs: Ragged | Tensor | tuple) -> list[Tensor]:
    each = outputs if isinstance(outputs, tuple) else (outputs,)
    return [one.data if isinstance(one, Ragged) else one for one in each]


def _no_outputs() -> UsageError:
    return UsageError(
        "Expected a network with a linear output layer, on whose outputs the loss depends; got another one.",
        fix="Give another optimizer, such as adam.",
    )
