"""Which target runs, and that it is said."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from elman import CELLS, Recurrent
from elman.compiler.dispatch import TARGETS, choose, run
from elman.errors import UsageError
from elman.order import TimeMajor


def test_the_choice_and_its_reason():
    assert choose(None).target == "llvm"
    assert str(choose(None)).startswith("llvm: ")
    assert "float16" in choose(None, torch.device("cpu"), torch.float16).reason
    assert "meta" in choose(None, torch.device("meta"), torch.float32).reason
    for name in TARGETS:
        assert str(choose(name)) == f"{name}: asked for by name"


def test_an_unknown_target_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"(?s)no target `eagre`.*Did you mean `eager`\?"):
        choose("eagre")


def test_kernels_that_read_memory_refuse_what_has_none():
    layer = Recurrent("lstm", 3, 4, target="llvm")
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(UsageError, match=r"(?s)`llvm`.*Leave out"):
        layer(torch.zeros(2, 5, 3))
    layer.to("meta")
    with pytest.raises(UsageError, match=r"(?s)on the CPU for the target `llvm`, got tensors on meta.*Leave out"):
        layer(torch.zeros(2, 5, 3, device="meta"))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lengths", [[], [0], [0, 0], [2, 0]])
def test_shapes_and_types_are_those_of_the_inputs(target: str, dtype: torch.dtype, lengths: list[int]):
    graph = CELLS["lstm"].trace(3, 4)
    weights = {item.name: torch.ones(item.shape, dtype=dtype) for item in graph.parameters}
    order = TimeMajor(torch.tensor(lengths, dtype=torch.int64))
    states = [torch.ones(len(lengths), 4, dtype=dtype) for _ in graph.states]
    output, last = run(graph, weights, [torch.ones(sum(lengths), 3, dtype=dtype)], states, order, target=target)
    assert (output.shape, output.dtype) == ((sum(lengths), 4), dtype)
    assert [(state.shape, state.dtype) for state in last] == [((len(lengths), 4), dtype)] * 2


def test_the_reference_runs_where_no_gradient_is_asked_for():
    graph = CELLS["simple_rnn"].trace(1, 1)
    weights = {item.name: torch.ones(item.shape, requires_grad=True) for item in graph.parameters}
    asked = [torch.ones(1, 1)], [torch.zeros(1, 1)], TimeMajor(torch.tensor([1]))
    with pytest.raises(UsageError, match=r"(?s)gives no gradients.*torch\.no_grad"):
        run(graph, weights, *asked, target="reference")
    with torch.no_grad():
        assert run(graph, weights, *asked, target="reference")[0].item() == pytest.approx(0.9640275)
