"""The page of a report: one self-contained HTML file, for phone and desktop, light and dark."""

import io
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from elman.files import atomic_write
from elman.report.figures import figure, versions
from elman.report.parts import Curve, Part
from elman.report.plots import Panel

# More points than this are a line without marks.
MARKED_POINTS = 60

# Colours that no figure uses otherwise: in the finished drawing each becomes a colour of the page.
_PAGE_COLOURS = {"#010203": "var(--soft)", "#0a0b0c": "var(--train)", "#1a1b1c": "var(--validation)"}
_INK, _TRAIN, _VALIDATION = _PAGE_COLOURS
_COLOURS = {"ink": _INK, "train": _TRAIN, "validation": _VALIDATION}


def write_page(
    path: str | Path,
    *,
    title: str,
    parts: Iterable[Part],
    settings: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    command: str | None = None,
    best_epoch: int | None = None,
) -> None:
    """Write one self-contained HTML page: the parts, facts, settings, versions and command.

    Everything from the data is escaped; the page loads nothing and runs no script.

    Args:
        path: the file to write, atomically.
        title: the heading.
        parts: in order; curves are drawn side by side.
        settings: every setting of the run.
        facts: further rows, such as the data and the number of parameters.
        command: the command that repeats the run.
        best_epoch: marked in the curves.

    Raises:
        OSError: the file cannot be written.
    """
    listed = list(parts)
    drawn = [part for part in listed if isinstance(part, Curve) and (part.train or part.validation)]
    page = _page(
        "page.html.jinja",
        title=title,
        parts=[part for part in listed if part.kind != "curve"],
        drawings=[(curve.name, _draw(curve, best_epoch)) for curve in drawn],
        tables={"About": facts or {}, "Settings": settings, "Versions": versions()},
        command=command,
    )
    atomic_write(Path(path), page)


def _page(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FunctionLoader(lambda name: files("elman.report").joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=lambda share: figure(share, percent=True),
        figure=figure,
        setting=lambda value: figure(value, trim=True),
        drawing=_draw_panel,
    )
    return environment.get_template(template).render(values)


_drawing = threading.Lock()


def _draw(curve: Curve, best_epoch: int | None) -> str:
    """Draw a curve as an SVG whose colours follow the page."""

    def paint(axes: Any) -> None:
        from matplotlib.ticker import MaxNLocator

        for name, values, colour in (("train", curve.train, _TRAIN), ("validation", curve.validation, _VALIDATION)):
            if values:
                mark = "o" if len(values) <= MARKED_POINTS else None
                axes.plot(list(values), list(values.values()), color=colour, marker=mark, markersize=3, label=name)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=_INK, linewidth=0.8, linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(curve.name.replace("_", " "))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    return _svg(curve.name, (5.6, 3.2), paint)


def _draw_panel(panel: Panel) -> str:
    """Draw the panel of a plot as an SVG whose colours follow the page."""

    def paint(axes: Any) -> None:
        for trace in panel.traces:
            x, y, colour = list(trace.x), list(trace.y), _COLOURS[trace.colour]
            named: dict[str, Any] = {"color": colour, "label": trace.label or None}
            if trace.form == "points":
                axes.plot(x, y, linestyle="", marker="o", markersize=2.5, markeredgewidth=0, alpha=0.6, **named)
            elif trace.form == "bars":
                axes.bar(x, y, width=0.9 * (x[1] - x[0] if len(x) > 1 else 1.0), **named)
            elif trace.form == "dashes":
                axes.plot(x, y, linewidth=0.8, linestyle="--", **named)
            else:
                axes.plot(x, y, linewidth=1.2, **named)
            if len(trace.low):
                axes.fill_between(x, list(trace.low), list(trace.high), color=colour, alpha=0.2, linewidth=0)
        if panel.ticks:
            axes.set_xticks(range(len(panel.ticks)), panel.ticks)
        axes.set_xlabel(panel.x_label)
        axes.set_ylabel(panel.y_label)

    return _svg(panel.name, (11.2 if panel.is_wide else 5.6, 3.2), paint)


def _svg(name: str, size: tuple[float, float], paint: Callable[[Any], None]) -> str:
    """Return what is painted on a pair of axes as a part of the page."""
    # matplotlib takes most of a second to import, and only a report needs it.
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    look: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 11,
        "font.family": "sans-serif",
    }
    ink = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK)
    # The settings of matplotlib are those of all threads.
    with _drawing, matplotlib.rc_context(look | ink):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        paint(axes)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), handlelength=1.2)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _inline(file.getvalue(), name)


def _inline(svg: str, name: str) -> str:
    """Make an SVG file part of a page: unique ids, the colours and the width of the page."""
    svg = svg[svg.index("<svg") :]
    prefix = re.sub(r"\W+", "-", name)
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r'\1 width="100%"', svg, count=1)
    svg = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    for colour, variable in _PAGE_COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg
