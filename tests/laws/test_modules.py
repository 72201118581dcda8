"""The laws of sequences over every module, each stated once; a new module is tested by being listed in `modules`."""

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import elman.language_network
import elman.networks
import elman.nn
import elman.pair_network
from elman.data.ragged.ragged import Ragged
from tests.examples import draws
from tests.laws.modules import LONGEST, MODULES, NOT_ALONE, Case, Results, penalties
from tests.laws.tolerances import assert_near, assert_near_differences

LENGTHS = (3, 0, 1, 4, 2)
EMPTY = [(), (0,), (0, 0, 0)]

every_module = pytest.mark.parametrize("name", MODULES)
every_drawing_module = pytest.mark.parametrize("name", [name for name, case in MODULES.items() if case.draws])
# Training is another thing for modules that draw, or have a penalty, only.
every_mode = pytest.mark.parametrize(
    ("name", "training"),
    [
        *((name, False) for name in MODULES),
        *((name, True) for name, case in MODULES.items() if case.draws or case.scalars is penalties),
    ],
)
takes_empty = pytest.mark.parametrize("name", [name for name, case in MODULES.items() if case.takes_empty])
lengths_lists = st.lists(st.integers(0, LONGEST), min_size=1, max_size=6)


def made(case: Case, dtype: torch.dtype = torch.float64, seed: int = 0, *, training: bool = False) -> nn.Module:
    """The module, with no parameter that is zero."""
    torch.manual_seed(seed)
    module = case.make().to(dtype).train(training)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, dtype=torch.float64).to(dtype))
    return module


def lengths_for(case: Case, lengths: Sequence[int]) -> list[int]:
    return list(lengths) if case.takes_empty else [length for length in lengths if length] or [1]


def of_sequence(results: Results, place: int) -> list[Tensor]:
    return [result[place] for result in results]


def tensors(results: Results) -> list[Tensor]:
    return [result.data if isinstance(result, Ragged) else result for result in results]


def everything(case: Case, module: nn.Module, batch: Ragged, seed: int = 0) -> list[Tensor]:
    """All results and scalars, with random numbers from the seed."""
    torch.manual_seed(seed)
    return [*tensors(case.run(module, batch)), *case.scalars(module, batch)]


def are_same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_every_public_module_is_listed():
    package = [importlib.import_module(f"elman.nn.{info.name}") for info in pkgutil.iter_modules(elman.nn.__path__)]
    public = {
        value
        for module in (*package, elman.networks, elman.language_network, elman.pair_network)
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__.startswith("elman.")
        if not name.startswith("_") and value.__name__ not in NOT_ALONE
    }
    listed = {kind for case in MODULES.values() for kind in type(case.make()).__mro__}
    assert not sorted(value.__qualname__ for value in public - listed)


@every_module
@draws(3)
@given(lengths=lengths_lists)
def test_a_sequence_gives_the_same_alone_and_in_a_batch(name: str, lengths: list[int]):
    case = MODULES[name]
    module, batch = made(case), case.batch(lengths_for(case, lengths))
    together = case.run(module, batch)
    for place in range(batch.batch_size):
        alone = case.run(module, batch.select([place]))
        assert_near(of_sequence(alone, 0), of_sequence(together, place), torch.float64)


@every_module
@draws(2)
@given(lengths=lengths_lists, seed=st.integers(0, 99))
def test_a_permuted_batch_gives_the_permuted_answer(name: str, lengths: list[int], seed: int):
    case = MODULES[name]
    module, batch = made(case), case.batch(lengths_for(case, lengths))
    order = torch.randperm(batch.batch_size, generator=torch.Generator().manual_seed(seed)).tolist()
    straight, permuted = case.run(module, batch), case.run(module, batch.select(order))
    for place, source in enumerate(order):
        assert_near(of_sequence(permuted, place), of_sequence(straight, source), torch.float64)
    if batch.total:
        assert_near(case.scalars(module, batch.select(order)), case.scalars(module, batch), torch.float64)


@takes_empty
@pytest.mark.parametrize("lengths", EMPTY, ids=str)
def test_empty_batches_and_sequences_are_legal(name: str, lengths: tuple[int, ...]):
    case = MODULES[name]
    module = made(case, training=True)
    batch, full = case.batch(lengths), case.run(module, case.batch((2, 1)))
    if batch.data.is_floating_point():
        batch = batch.replace(batch.data.requires_grad_())
    results = case.run(module, batch)
    for found, like in zip(results, full, strict=True):
        assert isinstance(found, Ragged) == isinstance(like, Ragged)
        rows = tensors([found])[0]
        assert rows.shape[1:] == tensors([like])[0].shape[1:]
        assert len(found) == len(lengths)
        assert rows.isfinite().all()
    leaves = [batch.data, *module.parameters()]
    leaves = [leaf for leaf in leaves if leaf.requires_grad] or [torch.zeros((), requires_grad=True)]
    total = sum((rows.sum() for rows in tensors(results)), torch.zeros((), requires_grad=True))
    for gradient in torch.autograd.grad(total, leaves, materialize_grads=True, allow_unused=True):
        assert gradient.isfinite().all()


@every_module
def test_float32_is_float64_up_to_rounding(name: str):
    case = MODULES[name]
    module = made(case, torch.float32)
    lengths = lengths_for(case, LENGTHS)
    batch = case.batch(lengths, torch.float32)
    found = everything(case, module, batch)
    precise = copy.deepcopy(module).double()
    wanted = everything(case, precise, batch.to(torch.float64) if batch.data.is_floating_point() else batch)
    assert_near([value.double() for value in found], [value.double() for value in wanted], torch.float32)


@every_mode
def test_the_gradient_is_the_central_difference(name: str, training: bool):
    """Along a random direction of each parameter and of the input; random draws are the same on both sides."""
    case = MODULES[name]
    module = made(case, training=training)
    batch = case.batch(lengths_for(case, LENGTHS))
    leaves = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if batch.data.is_floating_point():
        batch = batch.replace(batch.data.requires_grad_())
        leaves.append(batch.data)

    def total() -> Tensor:
        parts = [value for value in everything(case, module, batch, seed=7) if value.is_floating_point()]
        return torch.stack(
            [(value.sin() * torch.arange(1.0, value.numel() + 1).view_as(value)).sum() for value in parts]
        ).sum()

    if not leaves:
        pytest.skip("nothing is learned")
    gradients = torch.autograd.grad(total(), leaves, materialize_grads=True, allow_unused=True)
    generator = torch.Generator().manual_seed(1)
    found, wanted = [], []
    for leaf, gradient in zip(leaves, gradients, strict=True):
        direction = torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)
        found.append((gradient * direction).sum())
        wanted.append(_difference(total, leaf, direction))
    assert_near_differences(torch.stack(found), torch.stack(wanted), torch.float64)


@torch.no_grad()
def _difference(total: Callable[[], Tensor], leaf: Tensor, direction: Tensor, width: float = 1e-6) -> Tensor:
    start, ends = leaf.detach().clone(), []
    for step in (width, -width):
        leaf.data.copy_(start + step * direction)
        ends.append(total())
    leaf.data.copy_(start)
    return (ends[0] - ends[1]) / (2 * width)


# Copies


def copied(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module)


def pickled(module: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(module))


@every_module
def test_saved_and_loaded_weights_give_the_same(name: str):
    case = MODULES[name]
    module, other = made(case), made(case, seed=5)
    batch = case.batch(lengths_for(case, LENGTHS))
    other.load_state_dict(module.state_dict(), strict=True)
    assert are_same(everything(case, other, batch), everything(case, module, batch))


@pytest.mark.parametrize(
    ("name", "copy_of"),
    [
        *((name, copied) for name in MODULES),
        *((name, pickled) for name in MODULES),
    ],
)
def test_a_copy_gives_the_same_and_stands_alone(name: str, copy_of: Callable[[nn.Module], nn.Module]):
    case = MODULES[name]
    module = made(case, training=True)
    batch = case.batch(lengths_for(case, LENGTHS))
    before = everything(case, module, batch)
    other: Any = copy_of(module)
    assert other.training
    assert are_same(everything(case, other, batch), before)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(2.0)
    assert are_same(everything(case, module, batch), before)


# Random draws


@every_mode
def test_the_same_seed_gives_the_same_bits(name: str, training: bool):
    case = MODULES[name]
    module = made(case, training=training)
    batch = case.batch(lengths_for(case, LENGTHS))
    assert are_same(everything(case, module, batch, seed=3), everything(case, module, batch, seed=3))


@every_module
def test_nothing_is_drawn_in_evaluation(name: str):
    case = MODULES[name]
    module, batch = made(case), case.batch(lengths_for(case, LENGTHS))
    before = torch.get_rng_state()
    case.run(module, batch)
    case.scalars(module, batch)
    assert torch.equal(torch.get_rng_state(), before)


@every_drawing_module
def test_what_is_drawn_in_training_differs_by_the_seed(name: str):
    case = MODULES[name]
    module = made(case, training=True)
    batch = case.batch([4, 5, 5, 3, 5, 4, 5])
    assert not are_same(everything(case, module, batch, seed=1), everything(case, module, batch, seed=2))
