"""`elman doctor`: what this machine and this installation have, and how to get what is missing."""

import importlib
import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from elman.cli.commands import add
from elman.cli.options import AsJson
from elman.cli.output import emit, emit_json
from elman.launch import memory_size, usable_cores
from elman.report.figures import table

CPU_FEATURES = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512f",),
    "BF16": ("avx512_bf16", "amx_bf16", "bf16"),
    "NEON": ("asimd", "neon"),
}


class Finding(NamedTuple):
    """One line of the examination.

    Attributes:
        part: what was looked at.
        found: its version or state.
        well: `False` if elman cannot work with it; `None` if elman works without it.
        fix: how to mend it; None if there is nothing to mend.
    """

    part: str
    found: str
    well: bool | None = True
    fix: str | None = None


Engines = Annotated[bool, typer.Option("--engines", help="Also try two processes, and a Ray actor.")]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add(app, doctor, "elman doctor", "elman doctor --engines", "elman doctor --json")


def doctor(
    engines: Engines = False,
    as_json: AsJson = False,
) -> None:
    """Show the versions, threads, CPU features and GPU that elman finds.

    Optional parts that are missing are listed with the command that installs them; what is installed for searches and
    for files of Parquet is tried. With --engines, what runs in several processes is tried too. The exit code is 1 if
    elman cannot work.
    """
    findings = [*examine(), *(_engines() if engines else ())]
    if as_json:
        emit_json({"well": _all_well(findings), "findings": [finding._asdict() for finding in findings]})
    else:
        mark = {True: "ok", None: "-", False: "MISSING"}
        for line in table((mark[each.well], each.part, each.found, each.fix or "") for each in findings):
            emit(line)
    if not _all_well(findings):
        raise typer.Exit(1)


def examine() -> list[Finding]:
    """Return all findings, in the order in which they are shown."""
    parts: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _packages,
        _processor,
        _torch,
        _kernels,
        _extras,
        _searches,
    )
    return [finding for part in parts for finding in part()]


def _all_well(findings: list[Finding]) -> bool:
    return all(finding.well is not False for finding in findings)


def _python() -> Iterator[Finding]:
    yield Finding("system", f"{platform.system()} {platform.machine()}")
    supported = tuple(map(int, platform.python_version_tuple()[:2])) >= (3, 11)
    fix = None if supported else "Install Python 3.11 or later."
    yield Finding("python", platform.python_version(), supported, fix)
    yield Finding("elman", _version("elman") or "not installed, run from its source")


def _packages() -> Iterator[Finding]:
    for name, extra in _requirements():
        if extra is None:
            found = _version(name)
            yield Finding(name, found or "not installed", bool(found), None if found else f"pip install {name}")


def _extras() -> Iterator[Finding]:
    extras: dict[str, list[str]] = {}
    for name, extra in _requirements():
        if extra is not None and name != "elman":
            extras.setdefault(extra, []).append(name)
    for extra, names in extras.items():
        absent = [name for name in names if _version(name) is None]
        fix = f'pip install "elman[{extra}]"' if absent else None
        yield Finding(
            f"extra {extra}", f"without {', '.join(absent)}" if absent else "complete", not absent or None, fix
        )


def _searches() -> Iterator[Finding]:
    """Yield whether what searches and files of Parquet need works, if it is installed."""
    if _version("optuna") is not None:
        # Optional packages are imported only where they are installed.
        yield _tried("a journal of trials", _try_journal)
    if _version("pyarrow") is not None:
        yield _tried("a file of Parquet", _try_parquet)


def _tried(part: str, run: Callable[[], None]) -> Finding:
    from elman.errors import MissingPackageError

    try:
        run()
    except MissingPackageError:
        raise
    except Exception as error:  # as for torch
        return Finding(part, f"{type(error).__name__}: {error}", None, "Install the package again, or see TMPDIR.")
    return Finding(part, "works")


def _try_journal() -> None:
    from elman.search.journal import open_study

    with tempfile.TemporaryDirectory() as folder:
        study = open_study(Path(folder) / "journal.log", {}, larger_is_better=True)
        study.tell(study.ask(), 1.0)
        assert open_study(Path(folder) / "journal.log", {}, larger_is_better=True).best_value == 1.0


def _try_parquet() -> None:
    import pyarrow
    from pyarrow import parquet

    with tempfile.TemporaryDirectory() as folder:
        path, table = Path(folder) / "table.parquet", pyarrow.table({"text": ["a"]})
        parquet.write_table(table, path)
        assert parquet.read_table(path).equals(table)


def _processor() -> Iterator[Finding]:
    yield Finding("cores", f"{usable_cores()} usable of {os.cpu_count()}")
    if (memory := memory_size()) is not None:
        yield Finding("memory", f"{memory / 2**30:.1f} GiB")
    flags = _cpu_flags()
    names = [name for name, wanted in CPU_FEATURES.items() if flags.intersection(wanted)]
    yield Finding("CPU features", ", ".join(names) or "unknown on this system")


def _torch() -> Iterator[Finding]:
    # torch takes seconds to import and may be the very thing that is broken.
    try:
        torch = importlib.import_module("torch")
    except Exception as error:  # any failure of the import is a finding
        yield Finding("torch runs", f"{type(error).__name__}: {error}", False, "pip install --force-reinstall torch")
        return
    yield Finding("threads", f"{torch.get_num_threads()} (set with --threads or OMP_NUM_THREADS)")
    yield Finding("torch uses", torch.backends.cpu.get_cpu_capability())
    if torch.cuda.is_available():
        from elman.devices import find_gpus

        for number, gpu in enumerate(find_gpus()):
            narrow = ", bfloat16" if gpu.has_bfloat16 else ""
            memory = f"{gpu.free / 2**30:.1f} of {gpu.total / 2**30:.1f} GiB free"
            yield Finding("GPU", f"cuda:{number}: {gpu.name}, compute capability {gpu.capability}{narrow}, {memory}")
    else:
        yield Finding("GPU", "none that torch can use", None, "Not needed; for NVIDIA, install a CUDA build of torch.")


def _engines() -> Iterator[Finding]:
    # Only this flag starts processes.
    from elman.cli.engines import try_engines

    for part, found, works in try_engines():
        yield Finding(part, found, works or None, None if works else "elman works without it.")


def _kernels() -> Iterator[Finding]:
    # Imports torch, by way of the compiler.
    try:
        from elman.compiler.targets.llvm import machine

        host = machine.host()
    except Exception as error:  # as for torch
        problem = getattr(error, "problem", f"{type(error).__name__}: {error}")
        yield Finding("kernels", f"none: {problem}", None, "elman works without them, more slowly.")
        return
    yield Finding("kernels", f"{host.name}, vectors of {host.bits} bits")


def _requirements() -> Iterator[tuple[str, str | None]]:
    """Yield the packages that elman's metadata requires, each with the extra that requires it."""
    # Slow to import, and every `elman --help` imports this file.
    from importlib.metadata import requires

    for line in requires("elman") or []:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if name:
            yield name.group(), extra.group(1) if extra else None


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_flags() -> set[str]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {"neon"} if platform.machine() == "arm64" else set()
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", path.read_text(), re.MULTILINE)
    return set(found.group(1).split()) if found else set()
