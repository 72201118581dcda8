"""The report of a run: one HTML file that needs nothing else, on a phone or a desk, in light or dark."""

import io
import math
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from elman.card import versions
from elman.files import atomic_write
from elman.training.record import History

SHOWN_LABELS = 20
SHOWN_PAIRS = 20
SHOWN_CHARACTERS = 400
# More points than this are a line without marks.
MARKED_POINTS = 60
_LANGUAGE_CARDS = (
    ("bits_per_character", 3, "What a character costs, on average, to be told."),
    ("bits_per_byte", 3, "The same for each byte of UTF-8."),
    ("perplexity", 2, "As unsure as among so many tokens, each as likely."),
    ("loss", 3, "Mean cross entropy, nats a token."),
)

# Colours that no figure uses otherwise: in the finished drawing each becomes a colour of the page.
_PAGE_COLOURS = {"#010203": "var(--soft)", "#0a0b0c": "var(--train)", "#1a1b1c": "var(--validation)"}
_INK, _TRAIN, _VALIDATION = _PAGE_COLOURS


@dataclass(frozen=True)
class Mistake:
    """One wrong answer.

    Attributes:
        text: what was asked.
        truth: the label it has.
        answer: the label that was given.
        probability: how sure the model was of its answer, 0 to 1.
    """

    text: str
    truth: str
    answer: str
    probability: float


@dataclass(frozen=True)
class Curve:
    """One quantity over the epochs of a run.

    Attributes:
        name: what it is, such as `loss`.
        train: epochs done to value, on the training data.
        validation: epochs done to value, on the validation data; empty without any.
    """

    name: str
    train: Mapping[float, float]
    validation: Mapping[float, float]


def curves_of(history: History, rows: Sequence[Mapping[str, Any]] = ()) -> list[Curve]:
    """The curves of a run: its loss and its metric, train and validation.

    Args:
        history: what `Trainer.run` returned.
        rows: of the run's log; given, the curves of training show what happened within the epochs.
    """
    judged: dict[float, Mapping[str, float]] = {
        check.epoch - 1 + check.batch / check.batches: check.validation for check in history.checks
    }
    judged |= {record.epoch: record.validation for record in history.epochs if record.validation}
    return [
        Curve(
            name,
            _within(rows, attribute) or {record.epoch: getattr(record, attribute) for record in history.epochs},
            {epoch: judged[epoch][name] for epoch in sorted(judged) if name in judged[epoch]},
        )
        for name, attribute in (("loss", "loss"), (history.metric, "metric"))
    ]


def _within(rows: Sequence[Mapping[str, Any]], attribute: str) -> dict[float, float]:
    """The figures of the log's lots of minibatches, by the epochs done at their ends."""
    lots = [row for row in rows if row["kind"] == "batches" and row[attribute] is not None]
    batches = max((row["last"] for row in lots), default=1)
    return {row["epoch"] - 1 + row["last"] / batches: row[attribute] for row in lots}


def worst_mistakes(
    texts: Sequence[str],
    truths: Sequence[str],
    labels: Sequence[str],
    probabilities: Sequence[Sequence[float]],
    *,
    count: int = 30,
) -> list[Mistake]:
    """The wrong answers that the model was surest of, the surest first.

    Args:
        texts: what was asked.
        truths: the right label of each text.
        labels: the labels, in the order of the columns of `probabilities`.
        probabilities: for each text, the probability of each label.
        count: at most so many.

    >>> worst_mistakes(["so-so"], ["good"], ["bad", "good"], [[0.75, 0.25]])
    [Mistake(text='so-so', truth='good', answer='bad', probability=0.75)]
    """
    answers = [max(range(len(labels)), key=row.__getitem__) for row in probabilities]
    wrong = [
        Mistake(text, truth, labels[answer], float(row[answer]))
        for text, truth, answer, row in zip(texts, truths, answers, probabilities, strict=True)
        if labels[answer] != truth
    ]
    return sorted(wrong, key=lambda mistake: -mistake.probability)[:count]


def write_report(
    path: str | Path,
    *,
    title: str,
    evaluation: Mapping[str, Any],
    curves: Iterable[Curve] = (),
    mistakes: Sequence[Mistake] = (),
    settings: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    command: str | None = None,
    best_epoch: int | None = None,
) -> None:
    """One self-contained HTML page: scores, curves, confusions, worst mistakes, settings, versions, command.

    Whatever comes from the data is escaped; the page loads nothing and runs no script.

    Args:
        path: the file to write, atomically.
        title: the heading.
        evaluation: `accuracy`, `majority`, `macro_f1`, `loss`, `count`, `labels` and `confusion`
            (rows are truths, columns answers), as `SequenceClassifier.evaluate` gives them.
        curves: what is drawn over the epochs, see `curves_of`.
        mistakes: what the table of wrong answers shows, see `worst_mistakes`.
        settings: every setting of the run.
        facts: further rows, such as the data and the number of parameters.
        command: the command that repeats the run.
        best_epoch: marked in the curves.

    Raises:
        OSError: the file cannot be written.
    """
    page = _page(
        "report_classifier.html.jinja",
        title=title,
        headline=_headline(evaluation),
        figures=[(curve.name, _draw(curve, best_epoch)) for curve in curves if curve.train or curve.validation],
        confusion=_confusion(evaluation),
        mistakes=[_shorten(mistake) for mistake in mistakes],
        tables={"About": facts or {}, "Settings": settings, "Versions": versions()},
        command=command,
    )
    atomic_write(Path(path), page)


def write_language_report(
    path: str | Path,
    *,
    title: str,
    scores: Mapping[str, float],
    judged_on: str,
    curves: Iterable[Curve] = (),
    sample: str | None = None,
    settings: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    command: str | None = None,
    best_epoch: int | None = None,
) -> None:
    """One self-contained HTML page on a language model: scores, curves, a text it wrote, settings, versions, command.

    Args:
        path: the file to write, atomically.
        title: the heading.
        scores: as `LanguageModel.evaluate` gives them; those that are missing are left out.
        judged_on: what the scores are on.
        sample: a text that the model wrote.
        curves, settings, facts, command, best_epoch: as for `write_report`.

    Raises:
        OSError: the file cannot be written.
    """
    page = _page(
        "report_language.html.jinja",
        title=title,
        cards=[
            (name.replace("_", " "), f"{scores[name]:.{digits}f}", note)
            for name, digits, note in _LANGUAGE_CARDS
            if name in scores
        ],
        judged_on=judged_on,
        figures=[(curve.name, _draw(curve, best_epoch)) for curve in curves if curve.train or curve.validation],
        sample=sample,
        tables={"About": facts or {}, "Settings": settings, "Versions": versions()},
        command=command,
    )
    atomic_write(Path(path), page)


def accuracy_interval(accuracy: float, count: int) -> tuple[float, float]:
    """Where the true accuracy lies with 95% confidence, judged on `count` answers (Wilson's interval).

    >>> [round(bound, 3) for bound in accuracy_interval(0.5, 100)]
    [0.404, 0.596]
    """
    z = 1.959964
    middle = (accuracy + z * z / (2 * count)) / (1 + z * z / count)
    reach = z * math.sqrt(accuracy * (1 - accuracy) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    # Rounding must not put a perfect or hopeless accuracy outside its own interval.
    return min(accuracy, max(0.0, middle - reach)), max(accuracy, min(1.0, middle + reach))


def _page(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FunctionLoader(lambda name: files("elman").joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent, plain=_plain)
    return environment.get_template(template).render(values)


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}%"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return "–" if value is None else str(value)


def _headline(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    low, high = accuracy_interval(evaluation["accuracy"], evaluation["count"])
    return {**evaluation, "low": low, "high": high}


def _confusion(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The whole matrix where it fits a page, and the pairs that are mixed up most often in any case."""
    labels, rows = list(evaluation["labels"]), evaluation["confusion"]
    pairs = sorted(
        (
            (count, labels[truth], labels[answer])
            for truth, row in enumerate(rows)
            for answer, count in enumerate(row)
            if truth != answer and count
        ),
        key=lambda pair: -pair[0],
    )
    table = [
        {"label": label, "total": sum(row), "cells": [(count, count / max(1, sum(row))) for count in row]}
        for label, row in zip(labels, rows, strict=True)
    ]
    small = len(labels) <= SHOWN_LABELS
    return {"labels": labels, "table": table if small else [], "pairs": [] if small else pairs[:SHOWN_PAIRS]}


def _shorten(mistake: Mistake) -> Mistake:
    if len(mistake.text) <= SHOWN_CHARACTERS:
        return mistake
    return Mistake(mistake.text[:SHOWN_CHARACTERS] + " …", mistake.truth, mistake.answer, mistake.probability)


_drawing = threading.Lock()


def _draw(curve: Curve, best_epoch: int | None) -> str:
    """The curve as an SVG whose colours follow the page."""
    # matplotlib takes most of a second to import, and only a report needs it.
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    look: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": curve.name,
        "font.size": 11,
        "font.family": "sans-serif",
    }
    ink = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK)
    # The settings of matplotlib are those of all threads.
    with _drawing, matplotlib.rc_context(look | ink):
        figure = Figure(figsize=(5.6, 3.2), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for name, values, colour in (("train", curve.train, _TRAIN), ("validation", curve.validation, _VALIDATION)):
            if values:
                mark = "o" if len(values) <= MARKED_POINTS else None
                axes.plot(list(values), list(values.values()), color=colour, marker=mark, markersize=3, label=name)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=_INK, linewidth=0.8, linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(curve.name.replace("_", " "))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), handlelength=1.2)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _inline(file.getvalue(), curve.name)


def _inline(svg: str, name: str) -> str:
    """An SVG file as a part of a page: its own names for its parts, the colours and the width of the page."""
    svg = svg[svg.index("<svg") :]
    prefix = re.sub(r"\W+", "-", name)
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r'\1 width="100%"', svg, count=1)
    svg = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    for colour, variable in _PAGE_COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg
