"""The processor that kernels are built for, and building them: from LLVM's language to addresses to call."""

import hashlib
import os
import time
from dataclasses import dataclass
from functools import cache
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from elman.errors import ElmanError, UsageError

try:
    import llvmlite.binding as binding
except (ImportError, OSError, RuntimeError) as reason:
    binding, missing = None, str(reason)
else:
    missing = ""

WIDTHS = (128, 256, 512)


class Unavailable(ElmanError):
    """A kernel that cannot be built on this machine, with the reason."""


@dataclass(frozen=True)
class Host:
    """The processor that kernels are built for.

    Args:
        name: the processor as LLVM calls it.
        features: LLVM's list of what it has and has not.
        bits: width of a vector.
        registers: how many vectors the processor holds.
    """

    name: str
    features: str
    bits: int
    registers: int

    def lanes(self, dtype: Any) -> int:
        """Return how many numbers of a dtype one vector holds."""
        return self.bits // (8 * np.dtype(dtype).itemsize)


def host() -> Host:
    """Return the processor that kernels are built for.

    The environment variable ELMAN_VECTOR_BITS (128, 256, 512) selects narrower vectors.

    Raises:
        Unavailable: llvmlite is not installed, or the processor has none of AVX-512, AVX2 with FMA, and NEON.
        UsageError: ELMAN_VECTOR_BITS is not a width that the processor has.
    """
    return _host(os.environ.get("ELMAN_VECTOR_BITS", ""))


def lanes(dtype: Any) -> int:
    """Return how many numbers of a dtype one vector of this machine holds."""
    return host().lanes(dtype)


@cache
def _host(asked: str) -> Host:
    if binding is None:
        raise Unavailable(f"llvmlite cannot be imported: {missing}.", fix="pip install llvmlite")
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    name, features = binding.get_host_cpu_name(), dict(binding.get_host_cpu_features())
    is_arm = binding.get_process_triple().startswith(("aarch64", "arm64"))
    widest = _widest(features, is_arm)
    if not widest:
        raise Unavailable(f"The processor ({name}) has none of AVX-512, AVX2 with FMA, and NEON.")
    if asked and asked not in map(str, WIDTHS[: WIDTHS.index(widest) + 1]):
        raise UsageError(
            f"ELMAN_VECTOR_BITS is {asked!r}, and this processor's vectors have at most {widest} bits.",
            fix=f"Set it to 128, 256 or 512, at most {widest}, or unset it.",
        )
    bits = int(asked or widest)
    listed = [f"{'+' if present else '-'}{feature}" for feature, present in sorted(features.items())]
    if not is_arm:
        # By default LLVM splits wide vectors on some processors; with narrower ones there are no AVX-512 registers.
        listed.append("-prefer-256-bit" if bits == 512 else "-avx512f")
    return Host(name, ",".join(listed), bits, 32 if is_arm or bits == 512 else 16)


def _widest(features: dict[str, bool], is_arm: bool) -> int:
    has = lambda *names: all(features.get(name) for name in names)  # noqa: E731
    if is_arm:
        return 128
    return 512 if has("avx512f", "avx512dq", "avx512vl") else 256 if has("avx2", "fma") else 0


@dataclass(frozen=True)
class Library:
    """Compiled functions; they live as long as it does.

    Args:
        name: for messages.
        seconds: how long the compilation took.
        engine: LLVM's owner of the code.
    """

    name: str
    seconds: float
    engine: Any

    def address(self, function: str) -> int:
        """Return the address of a function.

        Raises:
            KeyError: the library does not have the function.
        """
        address = self.engine.get_function_address(function)
        if not address:
            raise KeyError(function)
        return address


_LIBRARIES: WeakValueDictionary[tuple[bytes, Host, bool], Library] = WeakValueDictionary()


def compile(module: Any, name: str, *, optimise: bool = True) -> Library:
    """Compile a module for this machine's processor.

    Modules of equal text share one library while it is in use: the kernel of a layer seldom depends on its input size.
    Results are exact: nothing is reordered, and NaN and infinity are respected.

    Args:
        module: an `llvmlite.ir.Module`, or LLVM's language as text.
        name: names the library in messages.
        optimise: run LLVM's passes first; code that is written as it should run needs none.

    Raises:
        Unavailable: no kernel can be built here, or LLVM refuses the module.
    """
    text, began = str(module), time.perf_counter()
    key = hashlib.sha256(text.encode()).digest(), host(), optimise
    library = _LIBRARIES.get(key)
    if library is None:
        engine = _engine(text, host(), name, optimise)
        library = _LIBRARIES[key] = Library(name, time.perf_counter() - began, engine)
    return library


def _engine(text: str, host: Host, name: str, optimise: bool) -> Any:
    assert binding is not None
    try:
        parsed = binding.parse_assembly(text)
        target = binding.Target.from_default_triple().create_target_machine(
            cpu=host.name, features=host.features, opt=3, jit=True
        )
        parsed.triple, parsed.data_layout = target.triple, str(target.target_data)
        parsed.verify()
        if optimise:
            _optimise(parsed, target)
        engine = binding.create_mcjit_compiler(parsed, target)
        engine.finalize_object()
    except RuntimeError as reason:
        raise Unavailable(f"LLVM cannot build {name}: {reason}") from None
    return engine


def _optimise(parsed: Any, target: Any) -> None:
    """Run the few passes that help code whose vectors and loops are written out.

    Code generation does the rest. LLVM's own list of passes for the highest level gives code that is not faster, takes
    three times as long, and leaks a quarter of a megabyte each time.
    """
    assert binding is not None
    tuning = binding.create_pipeline_tuning_options(speed_level=3)
    passes = binding.create_new_module_pass_manager()
    passes.add_instruction_combine_pass()
    passes.add_new_gvn_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    passes.run(parsed, binding.create_pass_builder(target, tuning))
