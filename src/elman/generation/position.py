"""The position of a generator: the network's states, and what else it needs to continue."""

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elman.data.hashing import hash_of
from elman.data.text.vocabulary import Vocabulary
from elman.errors import ModelError, UsageError
from elman.generation.writing import MEMORY
from elman.nn.state import State

# What is attached to the states: the last tokens of each text, of which the last is not read yet (-1 for none); how
# many were drawn; which vocabulary and which weights they are of.
RECENT, DRAWN, VOCABULARY, WEIGHTS = "recent_tokens", "drawn_tokens", "vocabulary", "weights"


class Position(NamedTuple):
    """A state taken apart.

    Attributes:
        state: of the network's layers.
        recent: the last tokens of each text, `(samples, MEMORY)`.
        drawn: tokens drawn, `(samples,)`.
    """

    state: State
    recent: np.ndarray
    drawn: np.ndarray


def with_position(state: State, recent: np.ndarray, drawn: np.ndarray, vocabulary: Vocabulary, weights: int) -> State:
    """Attach the rest of a position to the layers' states. See `Position`."""
    attached = {
        RECENT: torch.from_numpy(recent),
        DRAWN: torch.from_numpy(drawn),
        VOCABULARY: torch.full((state.batch_size,), fingerprint(vocabulary)),
        WEIGHTS: torch.full((state.batch_size,), weights),
    }
    return State(state.tensors, attached=attached)


def read_position(state: State, samples: int, vocabulary: Vocabulary, weights: int, has_prompt: bool) -> Position:
    """Return the position that a state describes, with a row for each text.

    Args:
        state: of one text, which is repeated, or of as many texts as there are samples. A state that does not come from
            a generator, such as that of a layer, has read all of its text.
        samples: texts.
        vocabulary: of the model that continues.
        weights: of that model, as `fingerprint_weights` gives them.
        has_prompt: whether a prompt gives the token to read next.

    Raises:
        UsageError: a state of another number of texts, or one that needs a prompt.
        ModelError: a state of another model.
    """
    if not isinstance(state, State):
        raise UsageError(
            f"Expected a State, got {type(state).__name__}.", fix="Give a State, as State.load returns it."
        )
    if state.batch_size not in (1, samples):
        raise UsageError(
            f"The state is of {state.batch_size} texts, and {samples} samples need a state of 1 or {samples} texts.",
            fix=f"Give samples={state.batch_size} (--samples {state.batch_size}), or take one text: state.select([0]).",
        )
    if state.batch_size < samples:
        state = state.repeat(samples)
    if RECENT not in state.attached:
        if not has_prompt:
            raise UsageError(
                "This state does not say which token comes next.",
                fix="Give a prompt, or a state from `generate` or `read` of a language model.",
            )
        return Position(state, np.full((samples, MEMORY), -1), np.zeros(samples, np.int64))
    reason = _why_not(state, vocabulary, weights)
    if reason:
        raise ModelError(
            f"This model cannot continue from this state: {reason}.", fix="Give a state of the same model."
        )
    return Position(state, state.attached[RECENT].numpy(), state.attached[DRAWN].numpy())


def _why_not(state: State, vocabulary: Vocabulary, weights: int) -> str | None:
    missing = {RECENT, DRAWN, VOCABULARY, WEIGHTS} - state.attached.keys()
    recent = state.attached[RECENT]
    if missing or recent.shape[1:] != (MEMORY,) or recent.dtype != torch.int64:
        return "it is incomplete, as states are that an earlier elman saved"
    if bool((state.attached[VOCABULARY] != fingerprint(vocabulary)).any()):
        return "it is of another vocabulary"
    if bool((state.attached[WEIGHTS] != weights).any()):
        return "it is of other weights"
    drawn = state.attached[DRAWN]
    if not bool(((recent >= -1) & (recent < len(vocabulary))).all()) or bool((drawn < 0).any()):
        return "some of its tokens are none of the vocabulary"
    if len((recent[:, -1] < 0).unique()) > 1:
        return "some of its texts have begun and some have not"
    return None


@lru_cache(maxsize=8)
def fingerprint(vocabulary: Vocabulary) -> int:
    """Return a number below 2⁶³ that identifies a vocabulary."""
    text = json.dumps(vocabulary.to_json(), sort_keys=True)
    return _number(hashlib.sha256(text.encode()).hexdigest())


def fingerprint_weights(weights: Iterable[tuple[str, Tensor]]) -> int:
    """Return a number below 2⁶³ that identifies the weights of a network by their names."""
    return _number(hash_of({name: weight.detach().cpu() for name, weight in weights}))


def _number(digest: str) -> int:
    return int(digest[:16], 16) >> 1
