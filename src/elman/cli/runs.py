"""What `train classify` and `demo` have in common: fit, judge, save, report, and say how to go on."""

import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elman.cli.data import places_named
from elman.cli.folder import stopped_in
from elman.cli.output import percent, say_unknown
from elman.sequences.tables import Table

REPORT = "report.html"


@dataclass(frozen=True)
class Run:
    """One run of training.

    Attributes:
        folder: where everything of it goes.
        train: what to train on.
        validation: what each epoch is judged on; `None` for nothing.
        test: what the finished model is judged on, if not on `validation`.
        command: the command line that repeats the run.
        resume: continue from the checkpoint in the folder.
        example: labelled data, quoted for a shell, for the commands of the card.
    """

    folder: Path
    train: Table
    validation: Table | None
    command: str
    test: Table | None = None
    resume: bool = False
    example: str = "DATA"

    @property
    def judged(self) -> tuple[str, Table]:
        """What the scores are taken on, and its name."""
        if self.test is not None:
            return "test data", self.test
        return ("validation data", self.validation) if self.validation is not None else ("training data", self.train)


def carry_out(run: Run, estimator: Any) -> dict[str, Any]:
    """Trains, judges, saves and reports.

    Args:
        run: what to do.
        estimator: a `SequenceClassifier` that is not fitted.

    Returns:
        What the run ended with, as JSON can hold it: the folder, the report, the scores, the parameters, the seconds.
    """
    from elman.training.progress import progress_for

    begun = time.monotonic()
    with stopped_in(run.folder):
        with places_named(run.train.places, run.validation.places if run.validation else ()):
            estimator.fit(
                run.train.texts,
                run.train.labels,
                validation=None if run.validation is None else (run.validation.texts, run.validation.labels),
                folder=run.folder,
                resume=run.resume,
                listener=progress_for(sys.stderr, estimator.report_every),
            )
        name, table = run.judged
        with places_named(table.places):
            scores = estimator.evaluate(table.texts, table.labels)
        say_unknown(scores, estimator.tokens)
        result = {
            "model": str(run.folder),
            "report": str(run.folder / REPORT),
            "judged_on": name,
            **scores,
            "parameters": sum(parameter.numel() for parameter in estimator.model_.parameters()),
            "epochs": len(estimator.history_.epochs),
            "best_epoch": estimator.history_.best_epoch,
            "seconds": round(time.monotonic() - begun, 2),
        }
        use = use_lines(run.folder, run.example, None if run.train.is_numeric else "TEXT")[:2]
        estimator.save(run.folder, data=_data_facts(run), scores=_figures(scores), command=run.command, use=use)
        _write_report(run, estimator, result)
    return result


def use_lines(folder: str | Path, data: str, text: str | None) -> list[str]:
    """Return the commands that use a model, as they are typed.

    Args:
        folder: of the model.
        data: labelled data, quoted for a shell.
        text: a text; None where the model reads numbers, which a command line does not take.
    """
    model = shlex.quote(str(folder))
    given = data if text is None else f"--text {shlex.quote(text)}"
    return [f"elman predict {model} {given}", f"elman evaluate {model} {data}", f"elman summary {model}"]


def closing_lines(result: Mapping[str, Any], *, data: str, text: str | None = "TEXT") -> Iterator[str]:
    """What a person reads at the end: the score next to the majority rate, where things are, how to go on.

    Args:
        result: what `carry_out` gave.
        data: labelled data for the example of `elman evaluate`.
        text: a text for the example of `elman predict`; None where the model reads numbers.
    """
    yield f"accuracy      {percent(result['accuracy'])} on {result['count']:,} texts ({result['judged_on']})"
    yield f"majority rate {percent(result['majority'])}, what always giving the most frequent label gets"
    yield f"model         {result['model']}"
    yield f"report        {result['report']}"
    yield ""
    yield "Go on with:"
    yield from (f"  {line}" for line in use_lines(result["model"], data, text))


def _data_facts(run: Run) -> dict[str, str]:
    name, table = run.judged
    return {
        "trained on": f"{run.train.source} ({len(run.train):,} texts)",
        "judged on": f"{table.source}: {name} ({len(table):,} texts)",
    }


def _figures(scores: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if isinstance(value, int | float)}


def _write_report(run: Run, estimator: Any, result: Mapping[str, Any]) -> None:
    from elman.report import curves_of, worst_mistakes, write_report

    _, table = run.judged
    labels = [str(label) for label in estimator.classes_]
    mistakes = worst_mistakes(
        [str(text) for text in table.texts],
        [str(label) for label in table.labels or []],
        labels,
        estimator.predict_proba(table.texts).tolist(),
    )
    write_report(
        run.folder / REPORT,
        title=f"{run.folder.name}: {', '.join(labels) if len(labels) <= 5 else f'{len(labels)} labels'}",
        evaluation=result,
        curves=curves_of(estimator.history_),
        mistakes=mistakes,
        settings=estimator.settings().model_dump(),
        facts={
            **_data_facts(run),
            "parameters": result["parameters"],
            "epochs": result["epochs"],
            "seconds": result["seconds"],
        },
        command=run.command,
        best_epoch=result["best_epoch"] if estimator.restore_best else None,
    )
