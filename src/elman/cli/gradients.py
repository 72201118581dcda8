"""`elman gradients`: how far gradients reach back through the recurrent layers of a model."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from elman.cli.commands import Parameters, add_lazily, option
from elman.cli.options import AsJson, Model, Threads, use_threads
from elman.cli.output import emit, emit_json, say_notes
from elman.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_lazily(
        app,
        gradients,
        _parameters,
        "elman gradients words-model test.csv",
        "elman gradients power-model HouseholdPower_TEST.ts --plot gradients.html",
        "elman gradients book-model book.txt --steps 200 --json",
    )


def _parameters() -> Parameters:
    from elman.cli.reading import reading_flags

    help = "Data of the kind that the model was trained on. - is standard input."
    return {
        "model": (Model, ...),
        "data": (Annotated[str, typer.Argument(metavar="DATA", show_default=False, help=help)], ...),
        **{name: (annotation, None) for name, annotation in reading_flags().items()},
        "sequences": (_count("--sequences", "Read at most N sequences. [16]"), None),
        "steps": (_count("--steps", "Read at most N steps of each sequence. [1000]"), None),
        "exponents": (_count("--exponents", "Number of Lyapunov exponents. [5]", least=0), None),
        "probes": (_count("--probes", "Random directions to follow. [all up to 256 units, else 32]"), None),
        "plot": (option("--plot", "FILE", "Write a page with a plot of the norms.", Path | None), None),
        "threads": (Threads, None),
        "as_json": (AsJson, False),
    }


def _count(flag: str, line: str, *, least: int = 1) -> Any:
    return Annotated[int | None, typer.Option(flag, min=least, metavar="N", show_default=False, help=line)]


def gradients(**values: Any) -> None:
    """Show how far gradients reach back through the recurrent layers of a model.

    For each layer: the norm of the derivative of the last state by the state some steps before, the steps in which it
    falls to 1/e (the memory), the largest Lyapunov exponents, and what to do if gradients vanish or explode.
    """
    from elman.cli.reading import reading_flags, refuse_others
    from elman.dynamics.flow import plot_of
    from elman.models import open_task_model
    from elman.models.gradients import gradient_flow
    from elman.report.figures import table
    from elman.report.page import write_page

    plot = values["plot"]
    if plot is not None and not plot.parent.is_dir():
        raise UsageError(f"There is no folder {plot.parent} for the page.", fix="Give another --plot.")
    use_threads(values["threads"])
    reading = reading_flags()
    model = open_task_model(values["model"])
    task = model.task
    refuse_others(task, {name: values[name] for name in reading}, values["model"])
    data = task.source.read(values["data"], task.columns, {name: values[name] for name in reading}, known=model.known())
    say_notes(data)
    names = ("sequences", "steps", "exponents", "probes")
    flows = gradient_flow(model, data, **{name: values[name] for name in names if values[name] is not None})
    if plot is not None:
        title = f"{values['model'].name}: gradients"
        write_page(plot, title=title, parts=[plot_of(flows)], settings={}, facts={"data": values["data"]})
    if values["as_json"]:
        layers = [flow.to_json() for flow in flows]
        emit_json({"model": str(values["model"]), "data": values["data"], "layers": layers})
        return
    for flow in flows:
        for line in table(rows_of(flow), header=(flow.layer, "")):
            emit(line)
        emit(flow.sentence)
        emit()


def rows_of(flow: Any) -> list[tuple[str, str]]:
    """Return the rows of a layer's table: norms at some distances, the memory and the exponents."""
    distances, distance = [], 1
    while distance < flow.steps:
        distances.append(distance)
        distance *= 2
    norms = [
        (f"norm {each} step{'s' * (each != 1)} before the end", _power(flow.norms.logarithms[each]))
        for each in [*distances, flow.steps]
    ]
    exponents = ", ".join(f"{each:.3g}" for each in flow.exponents)
    directions = "all" if flow.norms.exact else "a random sample"
    rows = [*norms, ("memory in steps", f"{flow.norms.memory:.3g}"), ("directions", directions)]
    return [*rows, ("Lyapunov exponents", exponents)] if exponents else rows


def _power(logarithm: float) -> str:
    """Return e to a power that may be too large or too small for a number."""
    if not math.isfinite(logarithm):
        return "0"
    whole = math.floor(logarithm / math.log(10))
    mantissa = math.exp(logarithm - whole * math.log(10))
    return f"{mantissa:.2f}e{whole:+03d}" if abs(whole) > 2 else f"{mantissa * 10.0**whole:.4g}"
