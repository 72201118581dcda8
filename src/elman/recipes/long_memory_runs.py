"""Recipes of the long-memory tests: networks that solve them, and networks that need help."""

from functools import partial
from pathlib import Path
from typing import Any

from elman.recipes.long_memory import ADDING_TOLERANCE, adding, copy_memory, temporal_order
from elman.recipes.recipe import PLAIN, Parts, Recipe

TRAINED, TESTED = 20_000, 2_000
TEST_SEED = 1_000_000

_NUMBERS: dict[str, Any] = {name: value for name, value in PLAIN.items() if name != "wide"}
ONE_NUMBER = {
    **_NUMBERS,
    "scaling": "none",
    "clip_norm": 1.0,
    "tolerance": ADDING_TOLERANCE,
    "restore_best": False,
    "checkpoint_seconds": 300.0,
}
HESSIAN_FREE: dict[str, Any] = {
    "cell": "simple_rnn",
    "hidden_size": 32,
    "optimizer": "hessian-free",
    "batch_size": 1000,
    "curvature_fraction": 0.25,
    "cg_iterations": 40,
}


def read_adding(length: int, name: str, data: Path) -> Parts:
    """Return sequences of the adding problem."""
    return Parts(adding(TRAINED, length), None, adding(TESTED, length, TEST_SEED), {"tokens": "values"})


def read_temporal_order(length: int, name: str, data: Path) -> Parts:
    """Return sequences of the temporal order."""
    test = temporal_order(TESTED, length, TEST_SEED)
    return Parts(temporal_order(TRAINED, length), None, test, {"tokens": "values"})


def read_copy_memory(delay: int, name: str, data: Path) -> Parts:
    """Return sequences of the copy memory."""
    return Parts(copy_memory(TRAINED, delay), None, copy_memory(TESTED, delay, TEST_SEED))


def _adding(name: str, length: int, summary: str, **settings: Any) -> Recipe:
    return Recipe(
        name=name,
        summary=f"adding problem of {length} steps; {summary}",
        task="regress",
        data=(),
        read=partial(read_adding, length),
        settings={**ONE_NUMBER, **settings},
        source="S. Hochreiter, J. Schmidhuber, 1997, experiment 4; Q. V. Le et al., 2015, section 4.1",
        threads=1,
    )


GATED: dict[str, Any] = {
    "hidden_size": 64,
    "longest_memory": 200.0,
    "batch_size": 50,
    "learning_rate": 3e-3,
    "epochs": 15,
}
adding_lstm = _adding("adding-lstm", 200, "LSTM(64), Adam", cell="lstm", **GATED)
adding_gru = _adding("adding-gru", 200, "GRU(64), Adam", cell="gru", **GATED)
adding_rnn = _adding(
    "adding-rnn",
    100,
    "simple network of 32 units, Adam",
    cell="simple_rnn",
    hidden_size=32,
    batch_size=50,
    learning_rate=1e-3,
    epochs=30,
)
SIMPLE: dict[str, Any] = {"cell": "simple_rnn", "hidden_size": 64, "batch_size": 50, "learning_rate": 1e-3}
adding_identity = _adding(
    "adding-identity",
    200,
    "100 ReLU units that start from the identity, Adam",
    **{**SIMPLE, "hidden_size": 100, "learning_rate": 3e-4},
    cell_options={"activation": "relu"},
    recurrent_start="identity",
    epochs=10,
)
adding_penalty = _adding(
    "adding-penalty",
    200,
    "simple network of 64 units, Adam, penalty on vanishing gradients",
    **SIMPLE,
    vanishing_penalty=1.0,
    epochs=4,
)
adding_flossing = _adding(
    "adding-flossing",
    200,
    "simple network of 64 units, Adam after gradient flossing",
    **SIMPLE,
    flossing_steps=200,
    epochs=8,
)
adding_hessian_free = _adding(
    "adding-hessian-free", 100, "simple network of 32 units, Hessian-free", **HESSIAN_FREE, epochs=4
)
temporal_order_lstm = Recipe(
    name="temporal-order-lstm",
    summary="temporal order in 100 steps; LSTM(64), Adam",
    task="classify",
    data=(),
    read=partial(read_temporal_order, 100),
    settings={
        **PLAIN,
        "scaling": "none",
        "cell": "lstm",
        "hidden_size": 64,
        "longest_memory": 100.0,
        "batch_size": 50,
        "learning_rate": 3e-3,
        "clip_norm": 1.0,
        "epochs": 5,
        "checkpoint_seconds": 300.0,
    },
    source="S. Hochreiter, J. Schmidhuber, 1997, experiment 6a",
    threads=1,
)
copy_memory_gru = Recipe(
    name="copy-memory-gru",
    summary="copy memory over 20 steps; GRU(128), Adam",
    task="tag",
    data=(),
    read=partial(read_copy_memory, 20),
    settings={
        "embedding": "one-hot",
        "cell": "gru",
        "hidden_size": 128,
        "num_layers": 1,
        "bidirectional": False,
        "characters": 0,
        "affixes": 0,
        "wide": False,
        "input_dropout": 0.0,
        "dropout": 0.0,
        "token_dropout": 0.0,
        "rare_dropout": 0.0,
        "average_decay": None,
        "schedule": "constant",
        "clip_norm": 1.0,
        "batch_size": 50,
        "epochs": 15,
        "checkpoint_seconds": 300.0,
    },
    source="M. Arjovsky, A. Shah, Y. Bengio, 2016, section 4.1",
    threads=1,
)
LONG_MEMORY = (
    adding_lstm,
    adding_gru,
    adding_rnn,
    adding_identity,
    adding_penalty,
    adding_flossing,
    adding_hessian_free,
    temporal_order_lstm,
    copy_memory_gru,
)
