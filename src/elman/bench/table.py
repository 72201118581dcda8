"""Results for a person to read: one table for each kind of work, a row a case, a column a peer."""

from collections.abc import Sequence

from elman.bench.cases import MODES
from elman.bench.language_case import GENERATING, TRAINING
from elman.bench.news_case import CLASSIFYING
from elman.bench.run import BURST_STEPS, OWN, Machine, Result
from elman.bench.translation_case import TRANSLATING

KINDS = {
    "sequences of equal length": lambda result: result.case.mode in MODES[:2] and not result.case.ragged,
    "ragged batches, lengths from 1 to the longest": lambda result: result.case.ragged and result.case.mode in MODES,
    "streaming, one step at a time": lambda result: result.case.mode == "streaming",
    "language models, a batch of training": lambda result: result.case.mode == TRAINING,
    "language models, a character of writing": lambda result: result.case.mode == GENERATING,
    "classifiers, a minibatch of training": lambda result: result.case.mode == CLASSIFYING,
    "translators, a minibatch of training": lambda result: result.case.mode == TRANSLATING,
}
NOTE = (
    f"Times are medians in milliseconds (streaming: of one step, {BURST_STEPS} in a row); "
    "×: how many times elman's own; (n): measured only so many times, as it is slow."
)
CACHES = {"256 KiB": 1 << 18, "8 MiB": 1 << 23, "256 MiB": 1 << 28}


def describe_machine(machine: Machine, threads: int) -> str:
    """Describe the limits of the machine in a line."""
    if machine.peak is None:
        return f"{threads} thread(s); no kernels can be built here, so its limits are not measured"
    found = {words: machine.bandwidth(size) for words, size in CACHES.items()}
    reads = ", ".join(f"{bandwidth / 1e9:.0f} GB/s from {words}" for words, bandwidth in found.items() if bandwidth)
    return f"{threads} thread(s); one core: {machine.peak / 1e9:.0f} GF/s in float32, reads {reads}"


def lines_of(results: Sequence[Result]) -> list[str]:
    """Return the tables and a legend of their signs."""
    lines: list[str] = []
    for title, belongs in KINDS.items():
        chosen = [result for result in results if belongs(result)]
        if chosen:
            lines += [title, *_table(chosen), ""]
    return [*lines, NOTE] if lines else []


def _table(results: Sequence[Result]) -> list[str]:
    most = max(count for result in results for count in result.samples.values())
    peers = list(dict.fromkeys(name for result in results for name in result.peers))
    rows = [["case", OWN, "GF/s", "of peak", "compile", *peers]]
    rows += [[*_own(result, most), *(_peer(result, name, most) for name in peers)] for result in results]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]


def _own(result: Result, most: int) -> list[str]:
    share = result.fraction_of_peak
    return [
        result.case.name,
        milliseconds(result.elman_ms) + _few(result, OWN, most),
        f"{result.gflops:.3g}",
        "–" if share is None else f"{100 * share:.0f}%",
        f"{result.compile_ms:.0f}",
    ]


def _peer(result: Result, name: str, most: int) -> str:
    if name not in result.peers:
        return "–"
    found = result.peers[name]
    return f"{milliseconds(found)} {found / result.elman_ms:.2f}×{_few(result, name, most)}"


def _few(result: Result, name: str, most: int) -> str:
    count = result.samples.get(name, most)
    return f" ({count})" if count < most else ""


def milliseconds(value: float) -> str:
    """Format a time with three digits.

    >>> milliseconds(11763.2), milliseconds(42.31), milliseconds(0.12345)
    ('11,763', '42.3', '0.123')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def line_of(result: Result) -> str:
    """Format a result as one line: the time of each side and the number of samples."""
    times = {OWN: result.elman_ms, **result.peers}
    words = [
        f"{name} {milliseconds(found)} ms" + (f" ({result.samples[name]})" if name in result.samples else "")
        for name, found in times.items()
    ]
    pace = result.characters_per_second
    characters = f"{pace:,.0f} characters/s, " if pace else ""
    return f"{', '.join(words)}; {characters}{result.gflops:.3g} GF/s, first call {result.compile_ms:.0f} ms"
