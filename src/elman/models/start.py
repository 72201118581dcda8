"""Weights that a model starts from, in place of drawn ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from elman.data.text.vocabulary import Vocabulary
from elman.errors import ShapeError, UsageError
from elman.tasks.task import Task, inputs

EMBEDDING, BODY = "embedding.table.weight", "body."
# The minibatches counted for a schedule, and the discriminator of professor forcing.
NOT_TAKEN_OVER = ("batches", "discriminator.")


class Start(Protocol):
    """The origin of the first weights of a model."""

    def prepare(self, task: Task) -> None:
        """Give the encoders a vocabulary that they need not learn."""
        ...

    def give(self, task: Task, network: nn.Module) -> None:
        """Give a network that was just drawn its weights."""
        ...


@dataclass(frozen=True)
class Pretrained:
    """A vocabulary and weights that were learned elsewhere.

    Args:
        vocabulary: the tokens it knows; for the first input of the task.
        weights: parameters by their names in the network, such as `body.layer0.input/0`; the others are drawn anew.
    """

    vocabulary: Vocabulary | None
    weights: Mapping[str, Tensor]

    def prepare(self, task: Task) -> None:
        """Give the vocabulary."""
        _encoder(task).vocabulary = self.vocabulary

    def give(self, task: Task, network: nn.Module) -> None:
        """Copy the weights.

        Raises:
            ShapeError: names every parameter that does not fit.
        """
        for member in _members(network):
            _copy(member, self.weights)


@dataclass(frozen=True)
class OtherModel:
    """The embedding and the recurrent layers of a saved model of any task, a language model among them.

    The rows of the embedding are those of the same tokens; tokens that the other model does not know, and the backward
    direction where it reads forward only, are drawn anew. A model that writes texts, such as a translator, starts from
    the whole of another of its task: its vocabularies and all its weights.

    Args:
        folder: of the other model.
    """

    folder: Path

    @cached_property
    def _other(self) -> Any:
        from elman.models import open_task_model

        return open_task_model(self.folder)

    def prepare(self, task: Task) -> None:
        """Give the vocabularies where the whole network is taken over.

        Raises:
            UsageError: the other model has another task, or one vocabulary where this one has two.
        """
        if not task.starts_whole:
            return
        other = self._other.task_
        if other.name != task.name:
            raise UsageError(
                f"Expected a {task.noun} to start from, got a {other.noun}.",
                where=str(self.folder),
                fix=f"Give the folder of a {task.noun}, all of whose weights are taken over.",
            )
        self._check_tokens(task)
        for name, encoder in task.encoders.items():
            encoder.load(other.encoders[name].to_json())

    def _check_tokens(self, task: Task) -> None:
        kinds = [_kind(each.settings) for each in (task, self._other.task_)]
        if kinds[0] != kinds[1]:
            raise UsageError(
                f"Expected a model of {kinds[0]} to start from, got one of {kinds[1]}.",
                where=str(self.folder),
                fix=f"Give another model, or --tokens {kinds[1]}.",
            )
        joint = [getattr(each.settings, "joint", None) for each in (task, self._other.task_)]
        if task.starts_whole and joint[0] != joint[1]:
            raise UsageError(
                f"Expected a model with joint={joint[0]} to start from, got one with joint={joint[1]}.",
                where=str(self.folder),
                fix=f"Give another model, or {'--joint' if joint[1] else '--no-joint'}.",
            )

    def give(self, task: Task, network: nn.Module) -> None:
        """Copy the weights.

        Raises:
            UsageError: the other model has other tokens.
            ShapeError: names every parameter that does not fit.
        """
        self._check_tokens(task)
        for member in _members(network):
            self._give(task, member, self._other)

    def _give(self, task: Task, network: nn.Module, other: Any) -> None:
        # Of an ensemble, those of the first network.
        theirs = next(iter(_members(other.model_))).state_dict()
        if task.starts_whole:
            weights = {name: value for name, value in theirs.items() if not name.startswith(NOT_TAKEN_OVER)}
        else:
            weights = {name: value for name, value in theirs.items() if name.startswith(BODY)}
        if not weights and EMBEDDING not in theirs:
            raise UsageError(
                f"A {task.noun} cannot start from a {other.task_.noun}: it has no such layers.",
                where=str(self.folder),
                fix="Give a model that reads one sequence with recurrent layers, such as a language model.",
            )
        try:
            if not task.starts_whole and EMBEDDING in theirs:
                rows = network.state_dict().get(EMBEDDING)
                weights[EMBEDDING] = _mapped(rows, theirs[EMBEDDING], _known(task), _known(other.task_))
            _copy(network, weights)
        except ShapeError as error:
            fix = "Give the embedding, cell, sizes and layers of the other model; `elman summary` shows them."
            raise ShapeError(error.problem, where=f"{self.folder}\n{error.where}", fix=fix) from None


def _members(network: nn.Module) -> Iterable[nn.Module]:
    """Return the networks of an ensemble, or the network itself."""
    members = getattr(network, "members", None)
    return [network] if members is None else members


def _mapped(own: Tensor | None, rows: Tensor, known: Vocabulary, others: Vocabulary) -> Tensor:
    """Return the network's table with the other model's rows for the tokens that both have."""
    if own is None or own.shape[1:] != rows.shape[1:]:
        wanted = "no such table" if own is None else f"rows of {own.shape[1]}"
        where = f"embedding: expected {wanted}, got rows of {rows.shape[1]}"
        raise ShapeError("The weights to start from do not fit the network.", where=where)
    found = own.clone()
    for token in known.tokens:
        if token in others:
            found[known.encode([token])[0]] = rows[others.encode([token])[0]]
    for name in known.specials.keys() & others.specials.keys():
        found[known.specials[name]] = rows[others.specials[name]]
    return found


@torch.no_grad()
def _copy(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    own = network.state_dict()
    wrong = [
        f"{name}: expected {tuple(own[name].shape) if name in own else 'no such parameter'}, got {tuple(value.shape)}"
        for name, value in weights.items()
        if name not in own or own[name].shape != value.shape
    ]
    if wrong:
        raise ShapeError("The weights to start from do not fit the network.", where="\n".join(wrong))
    network.load_state_dict({**own, **weights})


def _encoder(task: Task) -> Any:
    return task.encoders[inputs(task.columns)[0].name]


def _known(task: Task) -> Vocabulary:
    return _encoder(task).vocabulary


def _kind(settings: Any) -> str:
    return getattr(settings, "tokens", "words")
