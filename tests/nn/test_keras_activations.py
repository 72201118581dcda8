"""Keras's activations by their names, beside Keras's formulas typed out in NumPy; options of words in cells."""

import math
import pickle
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import elman
from elman import CELLS, GRU, LSTM, SequenceClassifier, SimpleRNN
from elman.compiler.cell import describe_options
from elman.errors import UsageError
from elman.nn import keras_activation
from elman.nn.keras_activations import ELSEWHERE, KERAS
from tests.compiler.run import evaluate

sigmoid = lambda x: 1.0 / (1.0 + np.exp(-x))  # noqa: E731
relu6 = lambda x: np.clip(x, 0.0, 6.0)  # noqa: E731
elu = lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))  # noqa: E731
log_sum = lambda x: np.log(np.exp(x).sum(1, keepdims=True))  # noqa: E731
erf = np.vectorize(math.erf)

# As keras/src/activations/activations.py of Keras 3 and its NumPy backend have them, with their defaults.
FORMULAS: dict[str | None, Callable[[np.ndarray], np.ndarray]] = {
    None: lambda x: x,
    "celu": elu,
    "elu": elu,
    "exponential": np.exp,
    "gelu": lambda x: 0.5 * x * (1.0 + erf(x / math.sqrt(2.0))),
    "glu": lambda x: x[:, :12] * sigmoid(x[:, 12:]),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0.0),
    "hard_sigmoid": lambda x: relu6(x + 3.0) / 6.0,
    "hard_silu": lambda x: x * relu6(x + 3.0) / 6.0,
    "hard_swish": lambda x: x * relu6(x + 3.0) / 6.0,
    "hard_tanh": lambda x: np.clip(x, -1.0, 1.0),
    "leaky_relu": lambda x: np.maximum(x, 0.2 * x),
    "linear": lambda x: x,
    "log_sigmoid": lambda x: -np.log1p(np.exp(-x)),
    "log_softmax": lambda x: x - log_sum(x),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "relu": lambda x: np.maximum(x, 0.0),
    "relu6": relu6,
    "selu": lambda x: 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "soft_shrink": lambda x: np.where(x > 0.5, x - 0.5, np.where(x < -0.5, x + 0.5, 0.0)),
    "softmax": lambda x: np.exp(x - log_sum(x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "sparse_plus": lambda x: np.where(x <= -1, 0.0, np.where(x < 1, 0.25 * (x + 1.0) ** 2, x)),
    "sparse_sigmoid": lambda x: np.where(x <= -1, 0.0, np.where(x >= 1, 1.0, 0.5 * (x + 1.0))),
    "squareplus": lambda x: (x + np.sqrt(x**2 + 4.0)) / 2.0,
    "swish": lambda x: x * sigmoid(x),
    "tanh": np.tanh,
    "tanh_shrink": lambda x: x - np.tanh(x),
}

POINTS = np.array([[0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 6.0, -6.0, *np.linspace(-7.0, 7.0, 14)]])


@pytest.mark.parametrize("name", FORMULAS)
def test_an_activation_is_kerass(name: str | None):
    found = evaluate(keras_activation(name), torch.from_numpy(POINTS), target="eager")
    np.testing.assert_allclose(found.numpy(), FORMULAS[name](POINTS), rtol=1e-12, atol=1e-15)


def test_every_name_is_compared():
    assert set(FORMULAS) == {*KERAS, None}


@pytest.mark.parametrize("name", [*ELSEWHERE, "tahn", 3, ""])
def test_another_name_is_refused_with_the_repair(name: object):
    with pytest.raises(UsageError, match="Expected the name of an activation of Keras, got") as caught:
        keras_activation(name)  # type: ignore[arg-type]
    assert caught.value.fix == ELSEWHERE.get(str(name), caught.value.fix)


def test_the_table_of_the_docs_is_this_one():
    text = (Path(__file__).parents[2] / "docs" / "from-keras-or-torch.md").read_text(encoding="utf-8")
    section = text.split("### Activations by name")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", section, re.MULTILINE))
    assert rows == KERAS


# Options of words


@pytest.mark.parametrize("layer", [SimpleRNN, LSTM, GRU])
def test_none_is_linear(layer: Callable):
    torch.manual_seed(0)
    none = layer(3, 4, activation=None)
    torch.manual_seed(0)
    linear = layer(3, 4, activation="linear")
    x = torch.randn(2, 5, 3)
    assert torch.equal(none(x)[0], linear(x)[0])
    assert describe_options(none.cell) == describe_options(linear.cell)


def test_a_word_with_options_is_an_option_and_described_by_its_text():
    given = [partial(elman.leaky_relu, slope=0.2), "leaky_relu(slope=0.2)", keras_activation("leaky_relu")]
    cells = [CELLS["simple_rnn"].with_options(activation=activation) for activation in given]
    assert [describe_options(cell) for cell in cells] == 3 * [{"activation": "leaky_relu(slope=0.2)", "use_bias": True}]
    assert len({str(cell.trace(3, 4)) for cell in cells}) == 1
    assert "leaky_relu(slope=0.2)" in repr(cells[0])
    assert "0.2" in str(cells[0].trace(3, 4))
    text = CELLS["lstm"].with_options(recurrent_activation="gelu(approximate='tanh')")
    assert "sigmoid" in str(text.trace(3, 4))
    assert pickle.loads(pickle.dumps(cells[0].options["activation"])).keywords == {"slope": 0.2}


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        ("swish", "It is called `silu` here."),
        ("exponential", "It is called `exp` here."),
        ("hardtanh", "It is called `hard_tanh` here."),
        ("leaky_relu(slop=0.2)", "Did you mean `slope`? Valid: slope."),
        ("tanh(slope=0.2)", "`tanh` has no options."),
        ("leaky_relu(slope='steep')", "Write a word, and its options by name: leaky_relu(slope=0.2)."),
        ("leaky_relu(slope=True)", "Write a word, and its options by name: leaky_relu(slope=0.2)."),
        ("leaky_relu(0.2)", "Write a word, and its options by name: leaky_relu(slope=0.2)."),
        ("leaky_relu(slope=print())", "Write a word, and its options by name: leaky_relu(slope=0.2)."),
        ("leaky_relu(slope=0.2", "Write a word, and its options by name: leaky_relu(slope=0.2)."),
        ("elman.tanh", "Write a word, and its options by name: leaky_relu(slope=0.2)."),
        ("", "Write a word, and its options by name: leaky_relu(slope=0.2)."),
    ],
)
def test_what_is_no_word_is_refused_with_the_repair(value: str, fix: str):
    with pytest.raises(UsageError) as caught:
        SimpleRNN(3, 4, activation=value)
    assert caught.value.problem == f"The option `activation` of `simple_rnn` is {value!r}."
    assert caught.value.fix == fix


@pytest.mark.parametrize(("name", "word"), [("swish", "silu"), ("exponential", "exp"), ("hardsigmoid", "hard_sigmoid")])
def test_another_librarys_name_leads_to_the_word(name: str, word: str):
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'; use elman.{word}$"):
        getattr(elman, name)


def test_options_of_words_are_saved_with_a_model(tmp_path: Path):
    x = ["good film", "bad", "a good one", "too bad"]
    y = ["a", "b", "a", "b"]
    options = {"activation": "leaky_relu(slope=0.2)"}
    model = SequenceClassifier(cell="simple_rnn", cell_options=options, hidden_size=4, epochs=1, seed=0)
    model.fit(x, y)
    model.save(tmp_path / "model")
    again = SequenceClassifier.load(tmp_path / "model")
    assert again.get_params()["cell_options"] == options
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))
