"""torch's own tests of its modules (`torch.testing._internal.common_modules`), run over elman's drop-ins.

torch keeps, for each of its modules, arguments to build it with, inputs, references and wrong calls with the error that
each must raise. The tests here are those of torch's `test/test_modules.py` that say something of a module on a CPU;
each takes torch's entry and puts elman's class of that name in the place of torch's. Every entry is run, with packed
sequences, too, and every error's message is matched against torch's pattern. What is left out:

- in-place activations, lazy modules, memory formats (of inputs with four axes), other devices: these modules have none;
- swapping parameters while a `state_dict` is loaded: torch's own recurrent layers refuse it, since they keep weak
  references to their parameters (`test_to` swaps them on conversion);
- gradients of gradients of packed sequences: torch's test cannot differentiate by what lies inside one.
"""

import copy
import io
import pickle
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector
from torch.nn.utils.rnn import PackedSequence

from elman.nn import torch as mine

if TYPE_CHECKING:
    from torch.testing._internal.common_modules import ModuleInfo, ModuleInput

NAMES = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
DTYPES = (torch.float32, torch.float64)

# torch says so once in a process, of its own layers.

each_module = pytest.mark.parametrize("name", NAMES)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
each_mode = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


@cache
def common_modules() -> Any:
    """Import torch's list, which takes seconds, only where its tests are run."""
    with warnings.catch_warnings():
        # Its import reads the processor's features and looks for optional packages, and warns of missing ones.
        warnings.simplefilter("ignore")
        from torch.testing._internal import common_modules
    # The import also forbids the whole process to set torch.backends' flags, which is for torch's own tests.
    setattr(torch.backends, "__allow_nonbracketed_mutation_flag", True)
    return common_modules


def entry(name: str) -> "ModuleInfo":
    """Return torch's entry for a module."""
    (found,) = (each for each in common_modules().module_db if each.module_cls is getattr(nn, name))
    return found


def samples(
    name: str, dtype: torch.dtype, *, training: bool = True, requires_grad: bool = False
) -> "list[ModuleInput]":
    """torch's inputs for a module, those of packed sequences among them."""
    info = entry(name)
    settings = {"device": "cpu", "dtype": dtype, "requires_grad": requires_grad, "training": training}
    packed = {"with_packed_sequence": True} if name in ("RNN", "GRU") else {}
    return list(info.module_inputs_func(info, **settings, **packed))


def build(sample: "ModuleInput", kind: type, dtype: torch.dtype, **more: Any) -> nn.Module:
    torch.manual_seed(0)
    return kind(*sample.constructor_input.args, **sample.constructor_input.kwargs, **more).to(dtype)


def elmans(name: str) -> Any:
    return getattr(mine, name)


def call(module: nn.Module, sample: "ModuleInput") -> Any:
    return module(*sample.forward_input.args, **sample.forward_input.kwargs)


def flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, PackedSequence):
        return [value.data]
    return [] if value is None else [tensor for part in value for tensor in flat(part)]


def close(found: Any, expected: Any, dtype: torch.dtype) -> None:
    tolerance = {torch.float32: 5e-6, torch.float64: 1e-13}[dtype]
    for a, b in zip(flat(found), flat(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def is_packed(sample: "ModuleInput") -> bool:
    return isinstance(sample.forward_input.args[0], PackedSequence)


def test_torch_has_entries_for_all_of_them():
    for name in NAMES:
        assert issubclass(elmans(name), entry(name).module_cls)
        assert entry(name).module_error_inputs_func is not None
        assert all(sample.forward_input is not None for sample in samples(name, torch.float32))


@each_module
@each_dtype
@each_mode
def test_forward(name: str, dtype: torch.dtype, training: bool):
    """The outputs are those of torch's module, and those of torch's reference for inputs without a batch."""
    for sample in samples(name, dtype, training=training):
        module = build(sample, elmans(name), dtype).train(training)
        theirs = build(sample, entry(name).module_cls, dtype).train(training)
        outputs = call(module, sample)
        close(outputs, call(theirs, sample), dtype)
        if not is_packed(sample):
            with common_modules().freeze_rng_state():
                reference = sample.reference_fn(module, *sample.forward_input.args)
            close(outputs, reference, dtype)


@each_module
@each_dtype
@each_mode
def test_backward(name: str, dtype: torch.dtype, training: bool):
    """The gradients of inputs, states and parameters are those of torch's module."""
    for sample in samples(name, dtype, training=training, requires_grad=True):
        gradients = []
        for kind in (elmans(name), entry(name).module_cls):
            module = build(sample, kind, dtype).train(training)
            leaves = [*flat(sample.forward_input.args), *module.parameters()]
            outputs = flat(call(module, sample))
            weights = [torch.linspace(-1, 1, output.numel(), dtype=dtype).view_as(output) for output in outputs]
            gradients.append(torch.autograd.grad(outputs, leaves, weights))
        close(gradients[0], gradients[1], dtype)


@each_module
@each_dtype
@pytest.mark.parametrize("default", [None, "cpu"])
def test_factory_kwargs(name: str, dtype: torch.dtype, default: str | None):
    """All parameters are made with the device and the type that the caller gives."""
    for sample in samples(name, dtype):
        given = sample.constructor_input
        module = elmans(name)(*given.args, **given.kwargs, device=default, dtype=dtype)
        assert {parameter.dtype for parameter in module.parameters()} == {dtype}
        assert {parameter.device.type for parameter in module.parameters()} == {"cpu"}
        hollow = elmans(name)(*given.args, **given.kwargs, device="meta", dtype=dtype)
        assert {parameter.device.type for parameter in hollow.parameters()} == {"meta"}


@each_module
def test_repr(name: str):
    """The module prints as torch's does."""
    for sample in samples(name, torch.float32):
        module = build(sample, elmans(name), torch.float32)
        assert repr(module) == repr(build(sample, entry(name).module_cls, torch.float32))
        assert str(module) == repr(module)


@each_module
@each_dtype
@each_mode
def test_pickle(name: str, dtype: torch.dtype, training: bool):
    """A pickled or copied module gives the same outputs."""
    for sample in samples(name, dtype, training=training):
        module = build(sample, elmans(name), dtype).train(training)
        for other in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
            assert other.training == training
            with common_modules().freeze_rng_state():
                close(call(other, sample), call(module, sample), dtype)


@each_module
def test_save_load(name: str):
    """Modules and state_dicts go through files, from elman to torch and back."""
    for sample in samples(name, torch.float64):
        module = build(sample, elmans(name), torch.float64)
        theirs = build(sample, entry(name).module_cls, torch.float64)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_()
        file = io.BytesIO()
        torch.save(module.state_dict(), file)
        file.seek(0)
        theirs.load_state_dict(torch.load(file, weights_only=True), strict=True)
        again = build(sample, elmans(name), torch.float64)
        again.load_state_dict(theirs.state_dict(), strict=True, assign=True)
        close(call(module, sample), call(theirs, sample), torch.float64)
        close(call(again, sample), call(module, sample), torch.float64)
        if not name.endswith("Cell"):
            assert all(a is b for a, b in zip(again._flat_weights, again.parameters(), strict=True))


def noncontiguous(value: Any) -> Any:
    """The same numbers in memory with gaps."""
    if isinstance(value, PackedSequence):
        return PackedSequence(noncontiguous(value.data), *value[1:])
    if isinstance(value, tuple):
        return tuple(map(noncontiguous, value))
    return torch.stack([value.detach()] * 2, -1)[..., 0].requires_grad_(value.requires_grad)


@each_module
@each_dtype
@each_mode
def test_non_contiguous_tensors(name: str, dtype: torch.dtype, training: bool):
    """Inputs, states and parameters with gaps in memory give the same outputs and gradients."""
    for sample in samples(name, dtype, training=training, requires_grad=True):
        module = build(sample, elmans(name), dtype).train(training)
        gapped = copy.deepcopy(module)
        for key, parameter in list(gapped.named_parameters()):
            setattr(gapped, key, nn.Parameter(noncontiguous(parameter)))
            assert parameter.numel() == 1 or not getattr(gapped, key).is_contiguous()
        results = []
        for each, arguments in (
            (module, sample.forward_input.args),
            (gapped, tuple(map(noncontiguous, sample.forward_input.args))),
        ):
            outputs = flat(each(*arguments))
            leaves = [*flat(arguments), *each.parameters()]
            results.append((outputs, torch.autograd.grad(sum(output.square().sum() for output in outputs), leaves)))
        close(results[1], results[0], dtype)


def gradient_samples(name: str) -> Iterator[tuple[Callable[..., Any], list[Tensor]]]:
    """For each sample the outputs as a function of the input, the states and a vector of all parameters, and those."""
    for sample in samples(name, torch.float64, requires_grad=True):
        # Without a batch it makes no difference which axis would be first; gradients of packed inputs: `test_backward`.
        if is_packed(sample) or sample.constructor_input.kwargs.get("batch_first"):
            continue
        module = build(sample, elmans(name), torch.float64)
        inputs = flat(sample.forward_input.args)
        # One vector is tried in one direction, which all parameters have a part in.
        parameters = parameters_to_vector(module.parameters()).detach().requires_grad_()
        yield partial(run_with, module), [*inputs, parameters]


def run_with(module: nn.Module, x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
    """The outputs with these tensors: the input, its states, and a vector of all parameters."""
    *states, vector = rest
    hx = None if not states else states[0] if len(states) == 1 else tuple(states)
    named = dict(module.named_parameters())
    pieces = vector.split([parameter.numel() for parameter in named.values()])
    weights = {name: piece.view_as(named[name]) for name, piece in zip(named, pieces, strict=True)}
    return tuple(flat(torch.func.functional_call(module, weights, (x, hx))))


@each_module
def test_grad(name: str):
    """The gradients are those of central differences."""
    for run, tensors in gradient_samples(name):
        assert torch.autograd.gradcheck(run, tensors, fast_mode=True)


@each_module
def test_gradgrad(name: str):
    """The gradients of gradients are those of central differences."""
    for run, tensors in gradient_samples(name):
        assert torch.autograd.gradgradcheck(run, tensors, fast_mode=True)


@each_module
def test_train_and_eval_modes(name: str):
    """A module knows its mode, and without dropout computes the same in both."""
    for sample in samples(name, torch.float64):
        module = build(sample, elmans(name), torch.float64)
        assert module.training
        trained = call(module, sample)
        assert not module.eval().training
        close(call(module, sample), trained, torch.float64)


@each_module
@pytest.mark.parametrize("swap", [False, True], ids=["copy", "swap"])
def test_to(name: str, swap: bool):
    """A module goes to another type and back, its parameters in place or swapped, and keeps working."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(swap)
    try:
        for sample in samples(name, torch.float32):
            module = build(sample, elmans(name), torch.float32)
            with torch.no_grad():
                expected = call(module, sample)
            module.to(torch.float64)
            assert {parameter.dtype for parameter in module.parameters()} == {torch.float64}
            module.to(torch.float32)
            close(call(module, sample), expected, torch.float32)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


@each_module
def test_to_empty(name: str):
    """A module made without memory is given some, and then works."""
    for sample in samples(name, torch.float32):
        expected = build(sample, elmans(name), torch.float32)
        module = build(sample, elmans(name), torch.float32, device="meta").to_empty(device="cpu")
        module.load_state_dict(expected.state_dict())
        close(call(module, sample), call(expected, sample), torch.float32)


@each_module
@each_dtype
@each_mode
def test_errors(name: str, dtype: torch.dtype, training: bool):
    """What torch lists as wrong is refused with torch's type of error and a message that its pattern finds."""
    info = entry(name)
    settings = {"device": "cpu", "dtype": dtype, "requires_grad": False, "training": training}
    wrong = list(info.module_error_inputs_func(info, **settings))
    assert wrong
    for error in wrong:
        sample = error.module_error_input
        if error.error_on is common_modules().ModuleErrorEnum.CONSTRUCTION_ERROR:
            with pytest.raises(error.error_type, match=error.error_regex):
                build(sample, elmans(name), dtype)
        else:
            module = build(sample, elmans(name), dtype).train(training)
            with pytest.raises(error.error_type, match=error.error_regex):
                call(module, sample)
