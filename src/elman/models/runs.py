"""One run of training of any task: fit, evaluate, save, report, and name the next commands."""

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elman.folders import LOG
from elman.models.description import use_lines
from elman.models.explanation import weigh_pieces
from elman.report.figures import table
from elman.report.page import write_page
from elman.report.parts import SHOWN_CHARACTERS
from elman.settings.training import MACHINE_SETTINGS
from elman.tasks.baselines import OFF, BaselineScore, beside
from elman.tasks.task import Found, Row, Values
from elman.training.gradient_watch import gradient_parts
from elman.training.listener import Listener
from elman.training.log import read_log
from elman.training.processes import alone
from elman.training.record import curves_of

REPORT = "report.html"

CONCLUDED = "{} the evaluation {}."


@dataclass(frozen=True)
class Run:
    """One run of training.

    Attributes:
        folder: where the run is written.
        train: training data.
        validation: data by which epochs are compared; `None` for none, or for a part of `train` if the settings say so.
        test: data on which the finished model is evaluated, if not on the validation data.
        command: the command line that repeats the run.
        resume: continue from the checkpoint in the folder.
        how: further arguments of `fit_values`.
        facts: about the data, for the card and the report.
        example: data, quoted for a shell, for the commands of the card; a placeholder if not given.
        text: a text for them.
        baseline: the name of the last baseline to compare with, `off` for none; all of the task if not given.
        options: of the evaluation, by name.
    """

    folder: Path
    train: Values
    validation: Values | None
    command: str
    test: Values | None = None
    resume: bool = False
    how: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    example: str = ""
    text: str = "TEXT"
    baseline: str | None = OFF
    options: Mapping[str, Any] = field(default_factory=dict)

    def use_lines(self, model: Any) -> list[str]:
        """Return the commands that use its model."""
        return use_lines(model, self.folder, self.example, self.text)


def carry_out(run: Run, model: Any, listener: Listener | None = None) -> dict[str, Any]:
    """Train, evaluate, save and report.

    Args:
        run: what to do.
        model: not fitted yet.
        listener: is given the progress.

    Returns:
        The result as JSON can hold it: the folder, the report, the scores, the strongest baseline, the parameters, the
        seconds; `baseline_missing` says why a baseline is left out.
    """
    begun = time.monotonic()
    how = {"folder": run.folder, "resume": run.resume, "listener": listener, "conclude": False}
    how |= run.how
    model.fit_values(run.train, run.validation, **how)
    with alone():
        return _concluded(run, model, begun)


def follow(run: Run, model: Any) -> None:
    """Train together with the process that carries out a run, and write nothing.

    Args:
        run: what to do.
        model: not fitted yet.
    """
    how = {"folder": run.folder, "resume": run.resume, "conclude": False}
    model.fit_values(run.train, run.validation, **how, **run.how)


def _concluded(run: Run, model: Any, begun: float) -> dict[str, Any]:
    """Evaluate, save and report a model that was trained."""
    # Scores on the validation data are those before they are learned.
    concluded = CONCLUDED.format("Before", model.task_.conclusion) if run.test is not None and model.conclude() else ""
    history = model.history_
    name, evaluated, scores = _evaluation(run, model)
    missing = [] if run.baseline == OFF else model.fit_baselines(run.baseline)
    compared = model.baseline_values(run.test or model.held_ or model.train_, **run.options)
    facts = {"trained on": _named(model, model.train_), "evaluated on": f"{evaluated}: {name}", **run.facts}
    if compared:
        facts["compared with"] = compared[-1].sentence
    result = {
        "model": str(run.folder),
        "report": str(run.folder / REPORT),
        "evaluated_on": name,
        **scores,
        "baseline": compared[-1].to_json() if compared else None,
        **_other_baseline(model, compared),
        **({"baseline_missing": " ".join(missing)} if missing else {}),
        **described(model),
        "epochs": len(history.epochs),
        "best_epoch": history.best_epoch,
        "tokens_per_second": round(history.epochs[-1].tokens_per_second),
        "seconds": round(time.monotonic() - begun, 2),
    }
    numbers = {key: value for key, value in scores.items() if isinstance(value, int | float)}
    _write_report(run, model, result, facts, scores, compared)
    if model.conclude():
        concluded = CONCLUDED.format("After", model.task_.conclusion)
    if concluded:
        facts["at the end"] = concluded
        result |= {"concluded": concluded, **described(model)}
    model.save(run.folder, data=facts, scores=numbers, command=run.command, use=run.use_lines(model))
    return result


def described(model: Any) -> dict[str, Any]:
    """Return the number of parameters, and the task's facts about its model."""
    return {"parameters": sum(parameter.numel() for parameter in model.model_.parameters()), **model.task_.facts()}


def found_by(model: Any, scores: Mapping[str, Any], rows: Iterable[Row] = (), samples: Sequence[str] = ()) -> Found:
    """Return what a report of a model is made of, with the words that spoke for wrong answers.

    Args:
        model: that was evaluated.
        scores: of the evaluation.
        rows: the rows evaluated, each with its answer.
        samples: what the model wrote while it was trained.
    """

    def explain(text: Any, answer: Any, truth: Any) -> list[tuple[str, float]]:
        return weigh_pieces(model, text, answer, truth, SHOWN_CHARACTERS)

    return Found(scores, rows, samples, explain)


def closing_lines(model: Any, result: Mapping[str, Any], run: Run) -> Iterator[str]:
    """Yield the closing lines of a run: the scores, the paths, and the next commands.

    Args:
        model: that was trained.
        result: what `carry_out` gave.
        run: that was carried out.
    """
    rows = [(title, value) for title, value, _ in model.task_.figures(result)]
    rows += [("evaluated on", result["evaluated_on"]), ("model", result["model"]), ("report", result["report"])]
    yield from table(rows)
    if "concluded" in result:
        yield ""
        yield result["concluded"]
    if (baseline := result.get("baseline")) is not None:
        yield ""
        if (other := result.get("other_baseline")) is not None:
            yield _sentence(model, other)
        trainings = (model.history_, model.refit_history_)
        seconds = sum(each.seconds for each in trainings if each is not None)
        yield f"{_sentence(model, baseline)} The network took {seconds:.1f} s."
    yield ""
    yield "Next:"
    for line in (*run.use_lines(model), f"elman summary {shlex.quote(result['model'])}"):
        yield f"  {line}"


def _other_baseline(model: Any, compared: Sequence[BaselineScore]) -> dict[str, Any]:
    """Return the strongest usual baseline as JSON has it, where another one was asked for."""
    is_asked = len(compared) > 1 and compared[-1].name in model.task.asked_baselines
    return {"other_baseline": compared[-2].to_json()} if is_asked else {}


def _sentence(model: Any, baseline: Mapping[str, Any]) -> str:
    return BaselineScore.from_json(baseline, model.task.metrics).sentence


def _evaluation(run: Run, model: Any) -> tuple[str, str, dict[str, Any]]:
    """Return the name and the description of the evaluation data, and the scores on them."""
    noun = "data" if model.task.source.has_rows else "text"
    values = run.test or model.held_
    if run.test is not None or model.task.source.has_rows:
        name = "test" if run.test is not None else "training" if values is None else "validation"
        values = values or model.train_
        return f"{name} {noun}", _named(model, values), model.evaluate_values(values, **run.options)
    # A text may be readable only once; the scores of the epoch that was kept are those of the model.
    history = model.history_
    number = history.best_epoch if model.restore_best else None
    record = history.epochs[-1 if number is None else number - 1]
    if record.validation is not None:
        return f"validation {noun}", _named(model, model.held_), dict(record.validation)
    scores = {"loss": record.loss, history.metric: record.metric}
    return f"training {noun}, while it was learned", _named(model, model.train_), scores


def _named(model: Any, values: Values) -> str:
    return f"{values.source} ({model.task.source.facts(values)})"


def _write_report(
    run: Run,
    model: Any,
    result: Mapping[str, Any],
    facts: Mapping[str, str],
    scores: Mapping[str, Any],
    compared: Sequence[BaselineScore],
) -> None:
    log = read_log(run.folder / LOG)
    task, values = model.task_, run.test or model.held_ or model.train_
    rows = model.answered(values) if model.task.source.has_rows else ()
    found = found_by(model, scores, rows, [row["text"] for row in log if row["kind"] == "sample"])
    about = {name: result[name] for name in ("parameters", *task.facts(), "epochs", "tokens_per_second", "seconds")}
    write_page(
        run.folder / REPORT,
        title=f"{run.folder.name}: {task.title_of()}",
        parts=[*beside(task.report(found), task, compared), *gradient_parts(log), *curves_of(model.history_, log)],
        settings=task.settings.model_dump(exclude=set(MACHINE_SETTINGS)),
        facts={**facts, "scores on": result["evaluated_on"], **about},
        command=run.command,
        best_epoch=result["best_epoch"] if model.restore_best else None,
    )
