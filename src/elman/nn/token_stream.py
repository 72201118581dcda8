"""A language network that runs one token at a time: embedding, recurrent layers, head."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elman.compiler import dispatch
from elman.errors import ShapeError, UsageError
from elman.nn.checks import described
from elman.nn.recurrent import Recurrent
from elman.nn.softmax import AdaptiveSoftmax, Linear, SampledSoftmax, Softmax
from elman.nn.state import State, check_state
from elman.nn.stream import check_streamable
from elman.tensors import resolved


class TokenStream:
    """Texts that are read token by token, side by side, with the scores of the next token of each.

    A token stream keeps the weights that the network had when the stream was made. On a CPU a step allocates nothing:
    the first layer's products with each token's row are in a table, and the scores are written to the same memory every
    time.

    Args:
        embedding: the row of each token, `(tokens, features)`.
        layer: a recurrent layer that reads forward.
        head: a function from outputs `(batch, output size)` to the score (logit) of each token, `(batch, tokens)`. The
            heads of `elman.nn.softmax` and an `nn.Linear` run as kernels.
        state: the states to continue from. Default zeros.
        batch_size: number of texts side by side, if no state is given. Default 1.

    Raises:
        UsageError: arguments of another kind, a layer that cannot run step by step, or a head that does not fit.
        ShapeError: an embedding that does not fit the layer, or a state of another network.

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
        _check_parts(embedding, layer, head)
        if state is not None:
            check_state(state)
        self.tokens = len(embedding)
        self._stream = layer.stream(batch_size=batch_size if state is None else state.batch_size)
        if state is not None:
            self.state = state
        self._advance = self._stream.reader(embedding)
        self._stream.output.zero_()
        self._score = self._scorer(head)

    @property
    def batch_size(self) -> int:
        """Number of texts side by side."""
        return len(self._stream.input)

    @property
    def target(self) -> dispatch.Choice:
        """The target that runs the recurrent layers, and why."""
        return self._stream.target

    @property
    def state(self) -> State:
        """A copy of the present states of the layers."""
        return self._stream.state

    @state.setter
    def state(self, state: State) -> None:
        check_state(state)
        expected, got = (
            {name: (tensor.shape[0], tensor.shape[2]) for name, tensor in each.tensors.items()}
            for each in (self._stream.state, state)
        )
        if got != expected or state.bidirectional:
            raise ShapeError(
                f"Expected states of these (layers, size): {expected}, got {got}.",
                fix="Give a state of the same model.",
            )
        self._stream.state = state

    def read(self, tokens: np.ndarray) -> None:
        """Read the next token of each text.

        Args:
            tokens: ids of tokens, `(batch,)`, int64.

        Raises:
            ShapeError: not such an array, or ids that are not in the embedding.
        """
        self._advance(tokens)

    def scores(self) -> np.ndarray:
        """Return the score of each token as the next token of each text, `(batch, tokens)`.

        The next call overwrites them. Before the first token is read they are `first_scores`.
        """
        return self._score(self._stream.output)

    @torch.no_grad()
    def first_scores(self) -> np.ndarray:
        """Return the scores of the first token, which are those of an output of zeros."""
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
                f"Expected scores of shape {(self.batch_size, self.tokens)}, for {self.tokens} tokens as the embedding "
                f"has, got scores of shape {shape}.",
                fix="Give a head with one score for each token.",
            )


def _check_parts(embedding: Any, layer: Any, head: Any) -> None:
    if not isinstance(embedding, Tensor) or embedding.dim() != 2:
        raise ShapeError(
            f"Expected embedding to be a tensor (tokens, features), got {described(embedding)}.",
            fix="Give the rows of an embedding: Embedding(tokens, features).rows().",
        )
    check_streamable(layer)
    if not callable(head):
        raise UsageError(
            f"Expected head to be a module, got {described(head)}.", fix="Give a head: nn.Linear(output size, tokens)."
        )


def _in_parts(head: Callable[[Tensor], Tensor]) -> tuple[list[list[Linear]], Callable[..., np.ndarray]]:
    """Return a head's chains of linear layers, and the function that joins their results.

    A head of another type, which may compute something else, and a head with hooks have no chains.
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
    """Refuse a head that does not fit the layers' output: a kernel would read past its end."""
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
    """Return the kernels of a chain, the first of which reads `read`."""
    available, kernels = dispatch.step_kernels(target), []
    for matrix, bias in chain:
        plain = resolved([matrix.detach(), *([] if bias is None else [bias.detach()])])
        kernels.append(available.LinearKernel(plain[0].t(), None if bias is None else plain[1], read))
        read = kernels[-1].output
    return kernels
