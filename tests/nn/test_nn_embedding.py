"""The table of an embedding with options, with hooks, or replaced by another module: its rows and its gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from elman.data.ragged.ragged import Ragged
from elman.language_network import LanguageNetwork, LanguageNetworkSettings
from elman.network_parts import embed
from elman.networks import NetworkSettings, RowNetwork
from elman.nn import Embedding, OneHot, Recurrent

IDS = Ragged(torch.tensor([1, 2, 1, 4, 0]), [3, 2])


class Doubled(nn.Module):
    """Another type of module: twice the rows of a table."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Embedding(5, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return 2.0 * self.rows(ids)


def hooked() -> nn.Embedding:
    table = nn.Embedding(5, 3)
    table.register_forward_hook(lambda module, inputs, rows: rows + 1.0)
    return table


def backward_hooked() -> nn.Embedding:
    table = nn.Embedding(5, 3)
    table.register_full_backward_pre_hook(lambda module, slopes: (2.0 * slopes[0],))
    return table


TABLES: dict[str, Callable[[], nn.Module]] = {
    "padding_idx": lambda: nn.Embedding(5, 3, padding_idx=1),
    "max_norm": lambda: nn.Embedding(5, 3, max_norm=0.1),
    "scale_grad_by_freq": lambda: nn.Embedding(5, 3, scale_grad_by_freq=True),
    "sparse": lambda: nn.Embedding(5, 3, sparse=True),
    "hook": hooked,
    "backward hook": backward_hooked,
    "another module": Doubled,
}


def replaced(table: nn.Module) -> Embedding:
    layer = Embedding(5, 3)
    layer.table = table  # type: ignore[assignment]
    return layer


# torch warns of every backward hook on a module whose inputs are ids.
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("name", TABLES)
def test_a_table_with_options_is_read_by_its_own_forward(name: str):
    torch.manual_seed(0)
    layer, body = replaced(TABLES[name]()), Recurrent("gru", 3, 4)
    assert layer.lookup(IDS) is None
    inputs, table = embed(layer, IDS)
    steps, _ = body(inputs, table=table)
    steps.data.square().sum().backward()
    found = {key: value.grad.to_dense() for key, value in layer.table.named_parameters()}  # type: ignore[union-attr]
    layer.zero_grad()
    steps, _ = body(IDS.replace(layer.table(IDS.data)))
    steps.data.square().sum().backward()
    for key, value in layer.table.named_parameters():
        assert value.grad is not None
        torch.testing.assert_close(found[key], value.grad.to_dense())
    if name == "padding_idx":
        assert found["weight"][1].tolist() == [0.0] * 3


def test_a_plain_table_is_looked_up_by_the_layer():
    layer, one_hot = Embedding(5, 3), OneHot(5)
    found = layer.lookup(IDS)
    assert found is not None
    assert found[1] is layer.table.weight
    assert one_hot.lookup(IDS) is not None
    one_hot.register_full_backward_hook(lambda module, given, taken: None)
    assert one_hot.lookup(IDS) is None


@pytest.mark.parametrize("name", TABLES)
def test_several_ids_a_step_add_up_rows_of_the_tables_own_forward(name: str):
    layer = replaced(TABLES[name]())
    ids = torch.tensor([[1, 2], [4, 0], [0, 0]])
    rows = layer(Ragged(ids, [2, 1])).data
    each = layer.table(ids)
    wanted = torch.stack([each[0, 0] + each[0, 1], each[1, 0], torch.zeros(3)])
    torch.testing.assert_close(rows, wanted)


def test_rows_of_another_module_are_dropped_while_training():
    torch.manual_seed(0)
    layer = replaced(Doubled())
    layer.row_dropout = 0.5
    rows, whole = layer(IDS).data, layer.table(IDS.data)
    dropped = (rows == 0).all(1)
    assert 0 < dropped.sum() < len(rows)
    torch.testing.assert_close(rows[~dropped], 2.0 * whole[~dropped])


def test_networks_take_a_replaced_table_and_a_replaced_embedding():
    settings = NetworkSettings(embedding=3, hidden_size=4)
    network = RowNetwork(settings, 2, vocabulary_size=5)
    assert network.embedding is not None
    assert network.body is not None
    network.embedding.table = Doubled()
    rows = network.embedding.table(IDS.data)
    wanted = network.dense(network.body(IDS.replace(rows))[1].output)
    torch.testing.assert_close(network(IDS), wanted)

    class Steps(nn.Module):
        def forward(self, batch: Ragged) -> Ragged:
            return batch.replace(rows)

    network.embedding = Steps()  # type: ignore[assignment]
    torch.testing.assert_close(network(IDS), wanted)


def test_a_streamed_language_network_reads_the_rows_of_a_replaced_table():
    network = LanguageNetwork(LanguageNetworkSettings(hidden_size=4, embedding_size=3), tokens=5).eval()
    network.embedding.table = Doubled()  # type: ignore[assignment]
    stream = network.stream()
    for token in (2, 4):
        stream.read(torch.tensor([token]).numpy())
    with torch.no_grad():
        wanted = network.answer(Ragged(torch.tensor([2, 4]), [2]))[-1]
    torch.testing.assert_close(torch.from_numpy(stream.scores()[0].copy()), wanted)
