"""`elman train language`: a model of a text, from a file of any size."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from elman.cli.options import AsJson, Out, Overwrite, Resume, Threads, examples, held_back, use_threads
from elman.cli.output import emit, emit_json
from elman.cli.settings import LANGUAGE_FLAGS, takes_settings
from elman.errors import UsageError


def register(app: typer.Typer) -> None:
    """Adds the command to the app."""
    app.command(
        "language",
        epilog=examples(
            "elman train language book.txt --out book",
            "elman train language wiki.xz --hidden-size 300 --num-layers 2 --streams 512 --out wiki",
            "elman train language train.txt --validation valid.txt --tokens words --tied --out words",
        ),
    )(language)


@takes_settings(LANGUAGE_FLAGS)
def language(
    context: typer.Context,
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            show_default=False,
            help="The text to learn: one file or several, UTF-8, also as .gz, .xz or .bz2. - is standard input.",
        ),
    ],
    out: Out,
    settings: dict[str, Any],
    validation: Annotated[
        Path | None,
        typer.Option(
            "--validation", metavar="FILE", show_default=False, help="A text to judge each epoch on. [the end of FILE]"
        ),
    ] = None,
    validation_fraction: Annotated[
        float | None,
        typer.Option(
            "--validation-fraction",
            metavar="F",
            show_default=False,
            help="Part of FILE, its end, held back to judge each epoch on; 0 for none. [0.1]",
        ),
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Train a language model on a text, save it and report.

    The model learns to tell each next token, so that it can write more of such text (elman generate) and judge
    another one (elman evaluate). Without --validation the end of FILE is held back; the scores are on what was not
    trained on. Memory does not grow with FILE. Ctrl-C stops a run after saving it, and --resume continues it as if it
    had never stopped.

    Defaults stand in [brackets].
    """
    fraction = held_back(validation, validation_fraction)
    # These import torch, which takes seconds: only when everything said so far makes sense.
    from elman.cli.folder import open_folder
    from elman.cli.language_runs import LanguageRun, carry_out, closing_lines
    from elman.estimators import LanguageModel
    from elman.sequences.corpus import is_read_once, open_corpus

    texts = [*data, *([] if validation is None else [validation])]
    twice = next((path for path in texts if texts.count(path) > 1 and is_read_once(path)), None)
    if twice is not None:
        raise UsageError(f"{twice} can be read once only, and was given as both texts.", fix="Give another file.")
    use_threads(threads)
    model = LanguageModel(**settings, validation_fraction=fraction)
    model.settings()
    for path in texts:
        if not is_read_once(path):
            open_corpus(path)
    going_on = open_folder(out, command=context.obj, resume=resume, overwrite=overwrite)
    shown = str(validation or data[0])
    example = "TEXT.txt" if shown == "-" else shlex.quote(shown)
    run = LanguageRun(out, tuple(data), validation, context.obj, resume=going_on, example=example)
    result = carry_out(run, model)
    if as_json:
        emit_json(result)
        return
    for line in closing_lines(result, data=example):
        emit(line)
