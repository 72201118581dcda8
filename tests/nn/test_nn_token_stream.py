"""A network fed token by token scores as its parts do on whole texts."""

import numpy as np
import pytest
import torch
from torch import nn

from elman import Recurrent
from elman.errors import ShapeError, UsageError
from elman.nn.softmax import AdaptiveSoftmax, Softmax
from elman.nn.token_stream import TokenStream

TOKENS, SIZE, BATCH, TIME = 11, 7, 3, 5


def parts(dtype=torch.float32, target=None, *, bias=True):
    embedding = nn.Embedding(TOKENS, 4, dtype=dtype)
    layer = Recurrent("lstm", 4, SIZE, num_layers=2, target=target).to(dtype)
    return embedding, layer, nn.Linear(SIZE, TOKENS, bias=bias, dtype=dtype)


@pytest.mark.parametrize("is_module", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("target", ["llvm", "eager"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_are_those_of_the_whole_network(dtype, target, bias, is_module):
    embedding, layer, head = parts(dtype, target, bias=bias)
    ids = torch.randint(TOKENS, (BATCH, TIME))
    stream = TokenStream(embedding.weight, layer, head if is_module else lambda x: head(x), batch_size=BATCH)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    with torch.no_grad():
        expected = head(layer(embedding(ids))[0])
        first = head(torch.zeros(BATCH, SIZE, dtype=dtype))
    torch.testing.assert_close(torch.tensor(stream.scores()), first, **tolerance)
    for time in range(TIME):
        torch.testing.assert_close(torch.tensor(stream.first_scores()), first, **tolerance)
        stream.read(ids[:, time].numpy())
        scores = torch.tensor(stream.scores())
        assert scores.dtype == dtype
        torch.testing.assert_close(scores, expected[:, time], **tolerance)
    assert stream.target.target == target


@pytest.mark.parametrize("target", ["llvm", "eager"])
def test_scores_of_an_adaptive_softmax(target):
    embedding, layer, _ = parts(target=target)
    head = AdaptiveSoftmax(SIZE, TOKENS, cutoffs=(4,), counts=torch.randperm(TOKENS))
    stream = TokenStream(embedding.weight, layer, head, batch_size=BATCH)
    ids = torch.randint(TOKENS, (BATCH,))
    stream.read(ids.numpy())
    with torch.no_grad():
        expected = head.logits(layer(embedding(ids[:, None]))[0][:, 0])
    torch.testing.assert_close(torch.tensor(stream.scores()), expected, rtol=1e-5, atol=1e-5)


def test_it_goes_on_from_a_state_and_can_be_set_back():
    network = parts()
    stream = TokenStream(network[0].weight, *network[1:])
    stream.read(np.array([3]))
    state = stream.state
    stream.read(np.array([4]))
    expected = stream.scores().copy()
    other = TokenStream(network[0].weight, *network[1:], state)
    other.read(np.array([4]))
    assert (other.scores() == expected).all()
    stream.state = state
    stream.read(np.array([4]))
    assert (stream.scores() == expected).all()


def test_states_and_heads_of_other_networks_are_refused():
    embedding, layer, head = parts()
    with pytest.raises(ShapeError, match="same model"):
        TokenStream(embedding.weight, layer, head, Recurrent("lstm", 4, SIZE).zero_state(1))
    for target in ("llvm", "eager"):
        other = Recurrent("lstm", 4, SIZE, target=target)
        with pytest.raises(UsageError, match="11 tokens"):
            TokenStream(embedding.weight, other, nn.Linear(SIZE, TOKENS + 1))


class Doubled(torch.nn.Linear):
    """A head that does something else with its matrix."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2.0 * super().forward(input)


def test_a_head_of_another_type_or_with_hooks_is_called():
    table, layer = torch.randn(5, 3), Recurrent("gru", 3, 4)
    hooked = torch.nn.Linear(4, 5)
    hooked.register_forward_hook(lambda module, given, output: 3.0 * output)
    for head in (Doubled(4, 5), hooked):
        stream = TokenStream(table, layer, head)
        stream.read(np.array([1]))
        wanted = head(layer(table[1].reshape(1, 1, 3))[0][:, 0])
        np.testing.assert_allclose(stream.scores(), wanted.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("table", "head", "message"),
    [
        (torch.zeros(5, 3), torch.nn.Linear(7, 5), "reads 4 features"),
        (torch.zeros(5, 3), Softmax(9, 5), "reads 4 features"),
        (torch.zeros(5, 3), torch.nn.Linear(4, 5).double(), "float32"),
        (torch.zeros(5, 7), torch.nn.Linear(4, 5), "3 features"),
    ],
)
def test_heads_and_tables_that_do_not_fit_are_refused(table: torch.Tensor, head: torch.nn.Module, message: str):
    with pytest.raises((ShapeError, UsageError), match=message):
        TokenStream(table, Recurrent("gru", 3, 4), head)
