"""The recipes on series: the textbook's deep stack is torch's network, and both read their data."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from elman.data.ragged.ragged import Ragged
from elman.networks import StepNetwork
from elman.nn import torch as drop_in
from elman.nn.torch_convert import from_torch
from elman.recipes import RECIPES
from elman.settings import check_settings
from elman.tasks.regress import RegressorSettings

DATA = Path(__file__).parents[3] / "shared" / "data"
SIZES = (400, 300, 200, 100)
needs_data = pytest.mark.skipif(not (DATA / "time-series").exists(), reason="elman data get time-series")
has_appliances = (DATA / "appliance-series").exists()
needs_appliances = pytest.mark.skipif(not has_appliances, reason="elman data get appliance-series")


class TextbookStack(nn.Module):
    """The textbook's network of torch's layers, or of the layers of elman with the same names."""

    def __init__(self, lstm: Any = nn.LSTM):
        super().__init__()
        widths = [6, *(2 * size for size in SIZES)]
        self.layers = nn.ModuleList(
            lstm(width, size, bidirectional=True, batch_first=True) for width, size in zip(widths, SIZES, strict=False)
        )
        self.dense = nn.Sequential(nn.Linear(200, 50), nn.SELU(), nn.Linear(50, 1))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            batch, _ = layer(batch)
        return self.dense(batch)


def own_network() -> StepNetwork:
    settings = RECIPES["oil-temperature-stack"].settings
    checked: Any = check_settings(RegressorSettings, {**settings, "tokens": "values"})
    return StepNetwork(checked, 1, features=6)


def test_the_same_state_dict_gives_the_same_numbers_in_torch_and_in_elman():
    torch.manual_seed(0)
    theirs, own = TextbookStack(), TextbookStack(drop_in.LSTM)
    own.load_state_dict(theirs.state_dict(), strict=True)
    batch = torch.randn(2, 5, 6)
    torch.testing.assert_close(own(batch), theirs(batch), rtol=1e-4, atol=1e-5)


def test_the_network_of_the_recipe_is_torchs_with_one_bias():
    torch.manual_seed(0)
    theirs, own = TextbookStack(), own_network().eval()
    assert own.body is not None
    for layer, module in zip(own.body.layers, theirs.layers, strict=True):
        layer.load_state_dict(from_torch(module).state_dict(), strict=True)
    linear = [part for part in own.dense if isinstance(part, nn.Linear)]
    for mine, yours in zip(linear, (theirs.dense[0], theirs.dense[2]), strict=True):
        mine.load_state_dict(yours.state_dict())
    batch = torch.randn(2, 5, 6)
    torch.testing.assert_close(own(Ragged.from_dense(batch)).data.view(2, 5, 1), theirs(batch), rtol=1e-4, atol=1e-5)
    count = lambda module: sum(parameter.numel() for parameter in module.parameters())  # noqa: E731
    assert count(theirs) - count(own) == 2 * 4 * sum(SIZES)


def test_the_starts_are_glorot_orthogonal_and_a_forget_bias_of_1():
    torch.manual_seed(0)
    body = own_network().body
    assert body is not None
    weights = body.layers[1].weights(0)
    recurrent = weights["forget/1"].detach()
    gates = [weights[f"{gate}/1"].detach() for gate in ("input", "forget", "cell", "output")]
    joined = torch.cat(gates, 1)
    torch.testing.assert_close(joined @ joined.T, torch.eye(300), atol=1e-4, rtol=0)
    assert recurrent.shape == (300, 300)
    bound = (6 / (800 + 4 * 300)) ** 0.5
    assert 0.95 * bound < weights["input/0"].abs().max() <= bound
    assert weights["forget/bias"].unique().tolist() == [1.0]
    assert weights["input/bias"].unique().tolist() == [0.0]


@needs_data
def test_the_windows_do_not_leave_their_part():
    _, parts = RECIPES["oil-temperature-stack"].open(DATA)
    sizes = [len(part.columns["text"]) for part in parts[:3] if part is not None]
    assert sizes == [357, 30, 30]
    train = parts.train.columns
    assert train["text"][0].shape == (96, 6)
    # Degrees of the first three hours: 30.531, 27.787, 27.787.
    assert train["target"][0][:3] == pytest.approx([0.0, -2.744, -2.744], abs=2e-3)


@needs_appliances
def test_the_appliances_are_read():
    _, parts = RECIPES["appliance-series"].open(DATA)
    assert parts.test is not None
    for part in (parts.train, parts.test):
        assert len(part.columns["text"]) == 537
        assert sorted(set(part.columns["label"])) == list(range(11))
    lengths = [len(each) for each in parts.train.columns["text"]]
    assert (min(lengths), max(lengths)) == (100, 1344)
    assert parts.settings == {"tokens": "values"}
