"""A run of `elman train language`: fit, save, report, and say how to go on."""

import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elman.cli.folder import stopped_in
from elman.cli.output import FLATTERED, say_unknown
from elman.cli.runs import REPORT
from elman.sequences.corpus import name_of_files


@dataclass(frozen=True)
class LanguageRun:
    """One run of training a language model.

    Attributes:
        folder: where everything of it goes.
        train: the files of the text to learn.
        validation: the text that each epoch is judged on; if not given, the end of `train`, or none.
        command: the command line that repeats the run.
        resume: continue from the checkpoint in the folder.
        example: a text, quoted for a shell, for the commands of the card.
    """

    folder: Path
    train: tuple[Path, ...]
    validation: Path | None
    command: str
    resume: bool = False
    example: str = "TEXT.txt"


def carry_out(run: LanguageRun, model: Any) -> dict[str, Any]:
    """Trains, saves and reports.

    Args:
        run: what to do.
        model: a `LanguageModel` that is not fitted.

    Returns:
        What the run ended with, as JSON can hold it: the folder, the report, the scores, the parameters, the seconds.
    """
    from elman.training.progress import progress_for

    begun = time.monotonic()
    with stopped_in(run.folder):
        model.fit(
            list(run.train),
            run.validation,
            folder=run.folder,
            resume=run.resume,
            listener=progress_for(sys.stderr, model.report_every),
        )
        history = model.history_
        name, scores = _scores(model)
        say_unknown(scores, model.tokens, FLATTERED)
        result = {
            "model": str(run.folder),
            "report": str(run.folder / REPORT),
            "judged_on": name,
            **scores,
            "parameters": sum(parameter.numel() for parameter in model.model_.parameters()),
            "vocabulary": len(model.coder_.vocabulary),
            "epochs": len(history.epochs),
            "best_epoch": history.best_epoch,
            "tokens_per_second": round(history.epochs[-1].tokens_per_second),
            "seconds": round(time.monotonic() - begun, 2),
        }
        use = use_lines(run.folder, run.example)[:2]
        model.save(run.folder, data=_facts(run, name), scores=scores, command=run.command, use=use)
        _write_report(run, model, result, scores)
    return result


def closing_lines(result: Mapping[str, Any], *, data: str) -> Iterator[str]:
    """What a person reads at the end: the scores, where things are, how to go on.

    Args:
        result: what `carry_out` gave.
        data: a text for the example of `elman evaluate`.
    """
    for name in ("bits_per_character", "bits_per_byte", "perplexity"):
        if name in result:
            yield f"{name.replace('_', ' '):<19}{result[name]:.4f} ({result['judged_on']})"
    yield f"model              {result['model']}"
    yield f"report             {result['report']}"
    yield ""
    yield "Go on with:"
    yield from (f"  {line}" for line in use_lines(result["model"], data))


def use_lines(folder: str | Path, data: str) -> list[str]:
    """Return the commands that use a model, as they are typed.

    Args:
        folder: of the model.
        data: a text, quoted for a shell.
    """
    model = shlex.quote(str(folder))
    return [f"elman generate {model} --length 500", f"elman evaluate {model} {data}", f"elman summary {model}"]


def _scores(model: Any) -> tuple[str, dict[str, float]]:
    """The scores of the weights that were kept, and what they are on."""
    history = model.history_
    number = history.best_epoch if model.restore_best else None
    record = history.epochs[-1 if number is None else number - 1]
    if record.validation is not None:
        return "validation text", dict(record.validation)
    return "training text, while it was learned", {"loss": record.loss, history.metric: record.metric}


def _facts(run: LanguageRun, name: str) -> dict[str, str]:
    learned = name_of_files(run.train)
    held = str(run.validation) if run.validation else f"{learned}: its end" if name == "validation text" else "–"
    return {"trained on": learned, "judged on": held}


def _write_report(run: LanguageRun, model: Any, result: Mapping[str, Any], scores: Mapping[str, float]) -> None:
    from elman.report import curves_of, write_language_report
    from elman.training.log import LOG, read_log

    rows = read_log(run.folder / LOG)
    samples = [row["text"] for row in rows if row["kind"] == "sample"]
    write_language_report(
        run.folder / REPORT,
        title=f"{run.folder.name}: {model.tokens} of {run.train[0].name}",
        scores=scores,
        judged_on=result["judged_on"],
        curves=curves_of(model.history_, rows),
        sample=samples[-1] if samples else None,
        settings=model.settings().model_dump(),
        facts={
            **_facts(run, result["judged_on"]),
            **{name: result[name] for name in ("vocabulary", "parameters", "epochs", "tokens_per_second", "seconds")},
        },
        command=run.command,
        best_epoch=result["best_epoch"] if model.restore_best else None,
    )
