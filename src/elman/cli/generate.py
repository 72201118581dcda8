"""`elman generate`: text that a language model writes."""

import math
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from elman.cli.commands import Parameters, add_lazily, option
from elman.cli.failures import Stopped
from elman.cli.options import AsJson, Device, Model, Threads, device_or_cpu, use_threads
from elman.cli.output import emit, emit_json, say
from elman.errors import DataError, ElmanError, ModelError, ShapeError, UsageError

if TYPE_CHECKING:
    from elman.generation.generator import Samples

LENGTH = 500


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_lazily(
        app,
        generate,
        _parameters,
        'elman generate my-model --prompt "Once upon a time" --length 300',
        "elman generate my-model --temperature 0.7 --top-p 0.95 --samples 3",
        "elman generate my-model --length 100 --save-state here",
        "elman generate my-model --state here --length 100",
    )


def _flags() -> tuple[Any, ...]:
    from elman.cli.flags import flags_of
    from elman.settings.generation import GenerationSettings

    flags = flags_of(GenerationSettings)
    return tuple(flag._replace(default=LENGTH) if flag.name == "length" else flag for flag in flags)


def _parameters() -> Parameters:
    from elman.cli.flags import option_of

    return {
        "model": (Model, ...),
        "prompt": (option("--prompt", "TEXT", "What the text begins with. - is standard input.", str), ""),
        **{flag.name: (option_of(flag), None) for flag in _flags()},
        "state": (option("--state", "FILE", "Continue from the state in this file.", Path | None), None),
        "save_state": (option("--save-state", "FILE", "Save the state at the end of the text.", Path | None), None),
        "threads": (Threads, None),
        "device": (Device, None),
        "as_json": (AsJson, False),
    }


def generate(
    *,
    model: Path,
    prompt: str,
    state: Path | None,
    save_state: Path | None,
    threads: int | None,
    device: str | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Write text with a language model, token by token.

    The prompt is printed, followed by what the model writes. The first of several samples is printed as it is
    written, the others when all are complete. With --json, one object holds everything, and no other line is printed.
    A token is what the model was trained on: a character, a byte, a word or a part of a word.

    Ctrl-C ends the text; with --save-state the state is saved, and the command that continues is printed.

    Defaults are in [brackets].
    """
    from elman.cli.flags import given_values

    given = {"length": LENGTH, **given_values(_flags(), values)}
    _check(given, save_state)
    text = _read_standard_input() if prompt == "-" else prompt
    use_threads(threads)
    from elman.models import LanguageModel

    estimator = LanguageModel.load(model).to(device_or_cpu(device))
    with _naming(f"--state {state}" if state else None):
        texts = estimator.generate_samples(text, state=None if state is None else _load(state), **given)
    record = _Record(model, text, texts, save_state)
    with _kept(texts, save_state, model, given, record.summary):
        if as_json:
            record.take_all()
        else:
            # Words come with the blank before them.
            _write(texts, text.rstrip(" ") if estimator.coder_.settings.tokens == "words" else text)
    if as_json:
        emit_json(record.summary())


def _check(given: Mapping[str, Any], save_state: Path | None) -> None:
    """Report every mistake before the model is read.

    Raises:
        UsageError: names the options.
    """
    from elman.settings import check_settings
    from elman.settings.generation import GenerationSettings

    try:
        check_settings(GenerationSettings, given)
    except UsageError as error:
        named = re.sub(r"^(\w+):", lambda found: f"{_option(found[1])}:", error.where or "", flags=re.M)
        raise UsageError("There are mistakes in the options.", where=named, fix="Correct these options.") from None
    if save_state is not None and (save_state.is_dir() or not save_state.parent.is_dir()):
        raise UsageError(
            "The state cannot be saved there.",
            where=f"--save-state {save_state}",
            fix="Give a file in a folder that exists.",
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _read_standard_input() -> str:
    """Return standard input without a byte order mark and without a final line end."""
    content = sys.stdin.buffer.read()
    try:
        return content.decode().removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise DataError(
            "The prompt is not UTF-8.",
            where=f"--prompt -: standard input, byte {error.start + 1}",
            fix="Convert it first, for instance with iconv.",
        ) from None


def _load(file: Path) -> Any:
    from elman.nn.state import State

    try:
        return State.load(file)
    except ModelError as error:
        raise ModelError(error.problem, where=error.where, fix="Give --state a file that --save-state wrote.") from None


@contextmanager
def _naming(option: str | None) -> Iterator[None]:
    """Add the option to an error about its value."""
    try:
        yield
    except (ModelError, ShapeError, UsageError) as error:
        if option is None or error.where:
            raise
        raise type(error)(error.problem, where=option, fix=error.fix) from None


@contextmanager
def _kept(
    texts: "Samples",
    save_state: Path | None,
    model: Path,
    given: Mapping[str, Any],
    result: Callable[[], dict[str, Any]],
) -> Iterator[None]:
    """Save the state however the writing ends, and report an interruption."""

    def save() -> None:
        if save_state is not None:
            texts.state.save(save_state)

    try:
        yield
    except KeyboardInterrupt:
        stopped, written = f"Stopped after {texts.turns} tokens", result()
        if save_state is None:
            problem = ElmanError(f"{stopped}.", fix="Give --save-state FILE to continue later.")
        else:
            try:
                save()
            except UsageError:
                written["state"] = None
                stopped += ", inside the next; the state is not saved."
                problem = ElmanError(stopped, fix="Press Ctrl-C only once.")
            else:
                go_on = _rest(model, save_state, {**given, "length": given["length"] - texts.turns})
                problem = ElmanError(f"{stopped}; the state is saved.", fix=f"Continue with: {go_on}")
        raise Stopped(problem, written) from None
    except OSError:
        # The reader of the text has gone, or the disk is full.
        save()
        raise
    save()
    if save_state is not None:
        say(f"state         {save_state}")


def _rest(model: Path, state: Path, given: Mapping[str, Any]) -> str:
    """Return the command that continues from a state, with these settings."""
    options = [word for name, value in given.items() for word in (_option(name), str(value))]
    return shlex.join(["elman", "generate", str(model), "--state", str(state), *options])


def _turns(texts: "Samples") -> Iterator[tuple[str, ...]]:
    """Yield the pieces of each turn, until Ctrl-C between two turns.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; the state is that after the last turn.
    """
    from elman.training.interrupts import Interrupts

    with Interrupts() as interrupts:
        for pieces in texts:
            yield pieces
            if interrupts.requested:
                raise KeyboardInterrupt


def _write(texts: "Samples", prompt: str) -> None:
    """Print the first text as it is written, and the others after it."""
    count = texts.settings.samples
    others: list[list[str]] = [[] for _ in range(count - 1)]
    show, flush = sys.stdout.write, sys.stdout.flush
    try:
        show(_title(0, count) + prompt)
        flush()
        for first, *rest in _turns(texts):
            show(first)
            flush()
            for pieces, piece in zip(others, rest, strict=True):
                pieces.append(piece)
    finally:
        emit()
        for number, pieces in enumerate(others, start=1):
            emit(_title(number, count) + prompt + "".join(pieces))
        flush()


def _title(number: int, count: int) -> str:
    return f"== {number + 1} of {count}\n" if count > 1 else ""


class _Record:
    """Every text whole, with the logarithm of its probability, and the other fields of `--json`.

    Args:
        model: its folder.
        prompt: what the texts begin with.
        texts: to be written.
        save_state: where their state goes.
    """

    def __init__(self, model: Path, prompt: str, texts: "Samples", save_state: Path | None):
        self._model, self._prompt, self._texts, self._save_state = model, prompt, texts, save_state
        # Of each text its tokens, as what they add to it and the logarithms of their probabilities.
        self._written: list[list[tuple[str, float]]] = [[] for _ in range(texts.settings.samples)]
        self._began = time.perf_counter()

    def take_all(self) -> None:
        """Write the texts to their ends."""
        for pieces in _turns(self._texts):
            found = self._texts.log_probabilities.tolist()
            for text, length in enumerate(self._texts.lengths):
                if length == self._texts.turns:
                    self._written[text].append((pieces[text], found[text]))

    def summary(self) -> dict[str, Any]:
        """Return what was written so far."""
        seconds, texts = time.perf_counter() - self._began, self._texts
        return {
            "model": str(self._model),
            "prompt": self._prompt,
            "samples": [
                {
                    "text": "".join(piece for piece, _ in tokens),
                    "tokens": len(tokens),
                    "log_probability": math.fsum(logarithm for _, logarithm in tokens),
                }
                for tokens in self._written
            ],
            "seed": texts.settings.seed,
            "target": texts.target.target,
            "state": None if self._save_state is None else str(self._save_state),
            "seconds": round(seconds, 4),
            "tokens_per_second": round(sum(map(len, self._written)) / seconds, 1),
        }
