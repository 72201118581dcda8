"""A language network fed one token at a time: embedding, recurrent layers, head."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elman.compiler import dispatch
from elman.errors import ShapeError, UsageError
from elman.nn.recurrent import Recurrent
from elman.nn.softmax import AdaptiveSoftmax, Linear, SampledSoftmax, Softmax
from elman.nn.state import State
from elman.tensors import resolved


class TokenStream:
    """Texts that are read token by token, side by side, and what may follow each of them.

    It has the weights as they were when it was made. On a CPU a step allocates nothing: what the first layer computes
    of a token alone stands in a table, and the scores are written to the same memory every time.

    Args:
        embedding: the row of each token, `(tokens, features)`.
        layer: reads forward.
        head: from outputs `(batch, output size)` to the score of each token (its logit), `(batch, tokens)`; those of
            `elman.nn.softmax` and an `nn.Linear` become kernels.
        state: where to go on from; zeros if not given.
        batch_size: texts side by side, if no state is given.

    Raises:
        UsageError: a layer that cannot be fed step by step.
        ShapeError: a state of another network.

    >>> stream = TokenStream(torch.eye(4), Recurrent("gru", 4, 5), nn.Linear(5, 4))
    >>> stream.read(np.array([2]))
    >>> stream.scores().shape
    (1, 4)
    """

    def __init__(
        self,
        embedding: Tensor,
        layer: Recurrent,
        head: Callable[[Tensor], Tensor],
        state: State | None = None,
        *,
        batch_size: int = 1,
    ):
        zero = layer.zero_state(batch_size if state is None else state.batch_size)
        self.tokens = len(embedding)
        self._stream = layer.stream(zero)
        if state is not None:
            self.state = state
        self._advance = self._stream.reader(embedding)
        self._stream.output.zero_()
        self._score = self._scorer(head)

    @property
    def batch_size(self) -> int:
        """Texts side by side."""
        return len(self._stream.input)

    @property
    def target(self) -> dispatch.Choice:
        """What runs the recurrent layers, and why."""
        return self._stream.target

    @property
    def state(self) -> State:
        """A copy of the layers' states as they are now."""
        return self._stream.state

    @state.setter
    def state(self, state: State) -> None:
        mine = self._stream.state
        expected = {name: (tensor.shape[0], tensor.shape[2]) for name, tensor in mine.tensors.items()}
        came = {name: (tensor.shape[0], tensor.shape[2]) for name, tensor in state.tensors.items()}
        if came != expected or state.bidirectional:
            raise ShapeError(
                f"The network's states have these (layers, size): {expected}, and a state with {came} came.",
                fix="Give a state of the same model.",
            )
        self._stream.state = state

    def read(self, tokens: np.ndarray) -> None:
        """Read the next token of each text.

        Args:
            tokens: `(batch,)`, int64; each must be one of the embedding's.
        """
        self._advance(tokens)

    def scores(self) -> np.ndarray:
        """The score of each token as the next of each text, `(batch, tokens)`; the next call overwrites them.

        Before anything was read they are `first_scores`.
        """
        return self._score(self._stream.output)

    @torch.no_grad()
    def first_scores(self) -> np.ndarray:
        """The scores before anything was read: the head on an output of zeros, as after an empty sequence."""
        output = self._stream.output
        kept = output.clone()
        output.zero_()
        scores = self._score(output).copy()
        output.copy_(kept)
        return scores

    def _scorer(self, head: Callable[[Tensor], Tensor]) -> Callable[[Tensor], np.ndarray]:
        output = self._stream.output
        chains, join = _in_parts(head)
        _check_chains(chains, output)
        if chains and self._stream.kernels:
            kernels = [_kernels(chain, output, self.target.target) for chain in chains]
            steps = [kernel.step for chain in kernels for kernel in chain]
            found = [chain[-1].output.numpy() for chain in kernels]

            def score(_: Tensor) -> np.ndarray:
                for step in steps:
                    step()
                return join(*found)

            self._check_scores(score(output).shape)
            return score

        @torch.no_grad()
        def score_by_torch(output: Tensor) -> np.ndarray:
            scores = head(output)
            return (scores if scores.dtype == torch.float64 else scores.float()).cpu().numpy()

        self._check_scores(score_by_torch(output).shape)
        return score_by_torch

    def _check_scores(self, shape: tuple[int, ...]) -> None:
        if shape != (self.batch_size, self.tokens):
            raise UsageError(
                f"The head gives scores of shape {shape}, and the embedding has {self.tokens} tokens for "
                f"{self.batch_size} texts.",
                fix="Give a head with one score for each token.",
            )


def _in_parts(head: Callable[[Tensor], Tensor]) -> tuple[list[list[Linear]], Callable[..., np.ndarray]]:
    """The linear layers that a head is made of, in chains, and what makes scores of their ends.

    There are none for a head of another type, which may do something else, or one with hooks.
    """
    known = type(head) in (Softmax, SampledSoftmax, AdaptiveSoftmax, nn.Linear)
    if not known or any(_has_hooks(module) for module in cast("nn.Module", head).modules()):
        return [], lambda scores: scores
    if isinstance(head, nn.Linear):
        return [[(head.weight, head.bias)]], lambda scores: scores
    head = cast("Softmax | AdaptiveSoftmax", head)
    return head.chains(), head.joiner()


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or parametrize.is_parametrized(module))


def _check_chains(chains: list[list[Linear]], output: Tensor) -> None:
    """Refuse a head that does not read the layers' output: kernels read as many numbers as its matrices say."""
    for chain in chains:
        width = output.shape[1]
        for matrix, bias in chain:
            if matrix.shape[1] != width or (bias is not None and bias.shape != matrix.shape[:1]):
                raise UsageError(
                    f"Expected a head that reads {width} features, got matrices of shapes "
                    f"{[tuple(each.shape) for each, _ in chain]}.",
                    fix=f"Give a head for the {output.shape[1]} features of the layers' output.",
                )
            if matrix.dtype != output.dtype or (bias is not None and bias.dtype != output.dtype):
                raise UsageError(
                    f"Expected a head of {output.dtype}, as the layers are, got one of {matrix.dtype}.",
                    fix=f"Convert it with .to({output.dtype}).",
                )
            width = matrix.shape[0]


def _kernels(chain: list[Linear], read: Tensor, target: str) -> list[Any]:
    """A kernel for each layer, the first of which reads this memory, and each other the output before it."""
    available, kernels = dispatch.step_kernels(target), []
    for matrix, bias in chain:
        plain = resolved([matrix.detach(), *([] if bias is None else [bias.detach()])])
        kernels.append(available.LinearKernel(plain[0].t(), None if bias is None else plain[1], read))
        read = kernels[-1].output
    return kernels
