"""Wrong settings and inputs: each public constructor of `elman.nn` names the argument and the repair."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import elman
from elman import nn as layers
from elman.cells import CELLS
from elman.compiler.language import affine, tanh
from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError, UsageError
from elman.nn import (
    Attention,
    EachStep,
    Embedding,
    Flatten,
    NumberInput,
    OneHot,
    Pooling,
    Recurrent,
    Scaling,
    Segments,
    SequenceDropout,
)
from elman.nn.crf import CRF
from elman.nn.regularisers import ActivationRegulariser
from elman.nn.softmax import AdaptiveSoftmax, SampledSoftmax, Softmax
from elman.nn.state import State
from elman.nn.stream import Stream
from elman.nn.token_stream import TokenStream

BATCH = Ragged(torch.zeros(3, 4), [2, 1])
NAN = float("nan")

CONSTRUCTORS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "OneHot": (OneHot, {"size": 4}),
    "Embedding": (Embedding, {"size": 4, "features": 3}),
    "EachStep": (EachStep, {"module": nn.Linear(3, 2)}),
    "Scaling": (Scaling, {"kind": "standard", "channels": 2}),
    "NumberInput": (NumberInput, {"channels": 2}),
    "Segments": (Segments, {"size": 2}),
    "SequenceDropout": (SequenceDropout, {"probability": 0.5}),
    "ActivationRegulariser": (ActivationRegulariser, {}),
    "Attention": (Attention, {"features": 3}),
    "Flatten": (Flatten, {"max_length": 3}),
    "Pooling": (Pooling, {"names": ("last", "flatten"), "features": 3, "max_length": 2}),
    "Softmax": (Softmax, {"features": 4, "tokens": 5}),
    "SampledSoftmax": (SampledSoftmax, {"features": 4, "tokens": 5, "samples": 2}),
    "AdaptiveSoftmax": (AdaptiveSoftmax, {"features": 4, "tokens": 5, "cutoffs": (2,)}),
    "CRF": (CRF, {"tags": 3}),
    "Recurrent": (Recurrent, {"cell": "gru", "input_size": 3, "hidden_size": 4}),
    "LSTM": (layers.LSTM, {"input_size": 3, "hidden_size": 4}),
    "GRU": (layers.GRU, {"input_size": 3, "hidden_size": 4}),
    "SimpleRNN": (layers.SimpleRNN, {"input_size": 3, "hidden_size": 4}),
}
SIZES = (0, -1, 2.5, "3", None, True)
CONSTRAINTS = (torch.ones(2, dtype=torch.bool), [True], "yes")
PROBABILITIES = (-0.1, 1.5, NAN, "0.5", None, True)
WEIGHTS = (-0.1, NAN, float("inf"), "1", None, True)
FLAGS = ("False", 0, None)
RECURRENT = {
    "input_size": SIZES,
    "hidden_size": SIZES,
    "num_layers": SIZES,
    "bidirectional": FLAGS,
    "go_backwards": FLAGS,
    "stateful": FLAGS,
    "dropout": (*PROBABILITIES, 1.0),
    "weight_drop": (*PROBABILITIES, 1.0),
    "merge": ("cat", ["sum"], 3),
    "init": ("glorot", None, 3),
    "constants": ([1], "topic", 3),
}
WRONG: dict[str, dict[str, tuple[Any, ...]]] = {
    "OneHot": {"size": SIZES, "zeros": (9, -1, 0.5, None)},
    "Embedding": {
        "size": SIZES,
        "features": SIZES,
        "zeros": (9, -1, 0.5, None),
        "deviation": WEIGHTS,
        "dropout": PROBABILITIES,
        "row_dropout": PROBABILITIES,
    },
    "EachStep": {"module": (None, "linear", torch.tanh)},
    "Scaling": {"kind": ("standrad", None, 3), "channels": SIZES},
    "NumberInput": {"channels": SIZES, "views": ("value", ["value"], [], None), "mask": FLAGS},
    "Segments": {"size": SIZES, "whole": ("start", None), "shift": FLAGS},
    "SequenceDropout": {"probability": PROBABILITIES},
    "ActivationRegulariser": {"activation": WEIGHTS, "temporal": WEIGHTS},
    "Attention": {"features": SIZES},
    "Flatten": {"max_length": SIZES},
    "Pooling": {"names": ("last", None, 3), "features": SIZES, "max_length": SIZES},
    "Softmax": {"features": SIZES, "tokens": SIZES, "counts": (torch.ones(3), [1]), "tied": (torch.ones(3, 4), 3)},
    "SampledSoftmax": {"features": SIZES, "tokens": SIZES, "samples": SIZES, "counts": (torch.ones(3),)},
    "AdaptiveSoftmax": {"features": SIZES, "tokens": SIZES, "cutoffs": (3, "2", (1.5,)), "counts": (torch.ones(3),)},
    "CRF": {"tags": SIZES, "starts": CONSTRAINTS, "transitions": CONSTRAINTS, "ends": CONSTRAINTS},
    "Recurrent": RECURRENT,
    "LSTM": RECURRENT,
    "GRU": RECURRENT,
    "SimpleRNN": RECURRENT,
}
CASES = [(name, argument) for name, each in WRONG.items() for argument in each]


def test_every_public_module_is_in_the_table():
    public = {name for name in layers.__all__ if name not in ("State", "Summary", "summary", "keras_activation")}
    assert public <= set(CONSTRUCTORS)
    assert set(WRONG) == set(CONSTRUCTORS)


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_a_wrong_setting_is_refused_by_its_name(name: str, argument: str):
    build, valid = CONSTRUCTORS[name]
    build(**valid)
    for value in WRONG[name][argument]:
        with pytest.raises((UsageError, ShapeError), match=argument) as refused:
            build(**{**valid, argument: value})
        assert "give" in str(refused.value).lower() or "valid:" in str(refused.value).lower() or refused.value.fix


def test_a_probability_of_one_drops_everything():
    torch.manual_seed(0)
    assert SequenceDropout(1.0)(BATCH.replace(torch.ones(3, 4))).data.tolist() == [[0.0] * 4] * 3
    steps, last = SequenceDropout(1.0).with_last(BATCH.replace(torch.ones(3, 4)), torch.ones(2, 4))
    assert not steps.data.any()
    assert not last.any()
    ids = Ragged(torch.tensor([1, 2, 3]), [2, 1])
    assert not Embedding(4, 3, row_dropout=1.0)(ids).data.any()
    layer = Embedding(4, 3, dropout=1.0)
    assert torch.equal(layer(ids).data, layer.table.weight[[0, 0, 0]])


DENSE: dict[str, Callable[[Any], Any]] = {
    "Pooling": lambda given: Pooling(("mean",), 4)(given, None),
    "Attention": lambda given: Attention(4)(given),
    "Flatten": lambda given: Flatten(4)(given),
    "Embedding": lambda given: Embedding(4, 3)(given),
    "Embedding lookup": lambda given: Embedding(4, 3).lookup(given),
    "OneHot": lambda given: OneHot(4)(given),
    "OneHot lookup": lambda given: OneHot(4).lookup(given),
    "ActivationRegulariser": lambda given: ActivationRegulariser(1.0)(given, given),
    "SequenceDropout": lambda given: SequenceDropout(0.5)(given),
    "EachStep": lambda given: EachStep(nn.Linear(3, 2))(given),
    "Scaling": lambda given: Scaling("series", 3)(given),
    "NumberInput": lambda given: NumberInput(3)(given),
    "Segments": lambda given: Segments(2)(given),
}


@pytest.mark.parametrize("given", [torch.zeros(2, 3, dtype=torch.int64), [[1, 2]], None], ids=["dense", "list", "None"])
@pytest.mark.parametrize("name", DENSE)
def test_an_input_that_is_no_ragged_batch_is_refused_with_the_repair(name: str, given: Any):
    with pytest.raises(ShapeError, match=r"(?s)expected a Ragged batch.*Ragged\.from_dense"):
        DENSE[name](given)


def test_pooling_by_last_needs_the_last_outputs():
    with pytest.raises(ShapeError, match=r"(?s)expects the last outputs.*got None.*state\.output"):
        Pooling(("last",), 4)(BATCH, None)


@elman.cell
def with_topic(x, h, *, topic):
    return tanh(affine("hidden", x, h, topic))


@pytest.mark.parametrize("given", [None, [1.0], 3])
def test_a_constant_that_is_no_tensor_is_refused(given: Any):
    layer = Recurrent(with_topic, 4, 4, constants={"topic": 2})
    with pytest.raises(ShapeError, match=r"(?s)topic.*layer\(batch, context=rows\)"):
        layer(BATCH, topic=given)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", sorted(CELLS))
def test_layers_are_built_and_run_under_every_default_type(name: str, dtype: torch.dtype):
    before = torch.get_default_dtype()
    torch.manual_seed(3)
    single = {key: value.detach() for key, value in Recurrent(name, 3, 4).named_parameters() if value.dim() == 2}
    try:
        torch.set_default_dtype(dtype)
        torch.manual_seed(3)
        layer = Recurrent(name, 3, 4)
        assert layer(torch.ones(2, 5, 3))[0].dtype == dtype
    finally:
        torch.set_default_dtype(before)
    if dtype != torch.float64:
        for key, value in layer.named_parameters():
            if key in single and value.dim() == 2:
                torch.testing.assert_close(value.detach().float(), single[key], atol=0.02, rtol=0.02)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_heads_have_one_type_under_every_default_type(dtype: torch.dtype):
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        heads = [Softmax(4, 6, counts=torch.arange(6)), SampledSoftmax(4, 6, samples=3)]
        losses = [head.loss(torch.zeros(2, 4), torch.tensor([1, 5])) for head in heads]
    finally:
        torch.set_default_dtype(before)
    assert [loss.dtype for loss in losses] == [dtype] * 2


# States and streams

STATE = State({"h": torch.zeros(1, 1, 4)})
NOT_A_STATE = ([torch.zeros(1, 4)], torch.zeros(1, 1, 4), np.zeros((1, 4)), {"h": torch.zeros(1, 1, 4)}, "state")
NOT_TENSORS = ([1.0], np.zeros((1, 1, 4)), None, torch.zeros(4), torch.zeros(1, 4), torch.zeros(()))


def gru() -> Recurrent:
    return Recurrent("gru", 3, 4)


def tokens(**changed: Any) -> TokenStream:
    parts = {"embedding": torch.zeros(5, 3), "layer": gru(), "head": nn.Linear(4, 5)} | changed
    return TokenStream(**parts)


REFUSED: dict[str, tuple[Callable[[Any], Any], tuple[Any, ...]]] = {
    "states": (State, (None, [torch.zeros(1, 1, 4)], torch.zeros(1, 1, 4), np.zeros((1, 1, 4)), {}, "h")),
    "a state": (lambda given: State({"h": given}), NOT_TENSORS),
    "bidirectional": (lambda given: State(STATE.tensors, bidirectional=given), (True, None, 1, "yes")),
    "attached": (lambda given: State(STATE.tensors, attached=given), ([1], torch.zeros(2), "tokens", {"token": None})),
    "an attached value": (
        lambda given: State(STATE.tensors, attached={"token": given}),
        ([1], np.zeros(1), None, torch.zeros(()), torch.zeros(2)),
    ),
    "concatenate": (lambda given: State.concatenate([STATE, given]), (*NOT_A_STATE, None)),
    "Stream's layer": (lambda given: Stream(given, STATE), (None, "gru", nn.GRU(3, 4), [gru()])),
    "Stream's state": (lambda given: Stream(gru(), given), (*NOT_A_STATE, None)),
    "stream": (lambda given: gru().stream(given), (*NOT_A_STATE, State({"h": torch.zeros(1, 1, 5)}))),
    "stream's batch_size": (lambda given: gru().stream(batch_size=given), SIZES),
    "stream.state": (lambda given: setattr(gru().stream(), "state", given), (*NOT_A_STATE, None)),
    "stream.step": (lambda given: gru().stream().step(given), (None, [[1.0] * 3], np.zeros((1, 3)), torch.zeros(3))),
    "stream.reader": (
        lambda given: gru().stream().reader(given),
        (None, [[1.0] * 3], np.zeros((5, 3)), torch.zeros(3)),
    ),
    "stream.reader's rows": (
        lambda given: gru().stream().reader(torch.zeros(5, 3))(given),
        (None, [1], torch.tensor([1]), np.array([1.0]), np.array([5]), np.array([[1]]), np.array([True])),
    ),
    "TokenStream's embedding": (
        lambda given: tokens(embedding=given),
        (None, [[1.0] * 3], np.zeros((5, 3)), torch.zeros(3), nn.Embedding(5, 3), torch.zeros(5, 4)),
    ),
    "TokenStream's layer": (lambda given: tokens(layer=given), (None, "gru", nn.GRU(3, 4))),
    "TokenStream's head": (lambda given: tokens(head=given), (None, torch.zeros(4, 5), [nn.Linear(4, 5)])),
    "TokenStream's state": (
        lambda given: tokens(state=given),
        (*NOT_A_STATE, State({"h": torch.zeros(1, 1, 5)}), State({"c": torch.zeros(1, 1, 4)})),
    ),
    "TokenStream's batch_size": (lambda given: tokens(batch_size=given), SIZES),
    "TokenStream.state": (lambda given: setattr(tokens(), "state", given), (*NOT_A_STATE, None)),
    "TokenStream.read": (lambda given: tokens().read(given), (None, [1], torch.tensor([1]), np.array([5]))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_states_and_streams_refuse_other_kinds_of_values_with_the_repair(name: str):
    run, wrong = REFUSED[name]
    for given in wrong:
        with pytest.raises((UsageError, ShapeError), match="Expected") as refused:
            run(given)
        assert refused.value.fix or ": give" in str(refused.value)
