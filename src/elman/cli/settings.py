"""The flags of `elman train` that are settings of a model: a table for each task, the names of the constructor."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import typer

from elman.errors import UsageError


class Flag(NamedTuple):
    """One flag.

    Attributes:
        name: the setting's name; the flag is `--` and the same with hyphens.
        kind: type of its value; a `list` is written with commas, a `dict` as `name=value` with commas.
        default: as the help shows it, empty for none; only the constructor's own default counts. A truth value that
            is `yes` gets the flag `--no-` and its name.
        help: one line.
        metavar: how the help shows its value.
    """

    name: str
    kind: type
    default: str
    help: str
    metavar: str | None = None


_BODY = (
    Flag("cell", str, "lstm", "One of elman's cells, your own as FILE.py:NAME, or none."),
    Flag("cell_options", dict, "", "Options of the cell, such as activation=relu.", "NAME=VALUE,…"),
    Flag("hidden_size", int, "128", "Units of each recurrent layer."),
    Flag("num_layers", int, "1", "Recurrent layers, one on another."),
    Flag("dropout", float, "0", "Part of the features to drop in training."),
    Flag("embedding_dropout", float, "0", "Part of the tokens to read as zeros, for a whole batch."),
    Flag("input_dropout", float, "0", "Part of the features of the embedding to drop."),
    Flag("output_dropout", float, "0", "Part of the features of the recurrent outputs to drop."),
    Flag("weight_drop", float, "0", "Part of the recurrent matrices' weights to drop."),
    Flag("zoneout", dict, "", "Part of the states that a step leaves as they were.", "F|NAME=F,…"),
    Flag("activation_regularisation", float, "0", "Weight of the outputs' squares in the loss (AR)."),
    Flag("temporal_regularisation", float, "0", "Weight of the squares of their changes from step to step (TAR)."),
    Flag("init", str, "keras", "How recurrent weights are drawn at the start: keras, torch."),
)
_RUN = (
    Flag("epochs", int, "20", "Passes over the data."),
    Flag("learning_rate", float, "0.001", "Size of the optimizer's steps."),
    Flag("optimizer", str, "adam", "One of: sgd, rmsprop, adam, adamw."),
    Flag("momentum", float, "0", "Momentum of sgd and rmsprop."),
    Flag("betas", list, "0.9,0.999", "Decays of the two means of adam and adamw.", "F,F"),
    Flag("weight_decay", float, "0", "Weight decay of the matrices."),
    Flag("schedule", str, "constant", "Learning rate: constant, linear, cosine, step, one-cycle."),
    Flag("warmup_fraction", float, "0", "Part of the run in which the learning rate rises."),
    Flag("final_fraction", float, "0", "Part of the learning rate at which linear and cosine end."),
    Flag("step_epochs", int, "", "Epochs between two falls of the step schedule."),
    Flag("step_factor", float, "0.1", "What a fall multiplies the learning rate with."),
    Flag("clip_norm", float, "", "The largest norm of the gradient."),
    Flag("average_decay", float, "", "Keep an average of the weights with this decay."),
    Flag("averaging", str, "", "The mean of the weights: asgd, or nt-asgd (begins by itself)."),
    Flag("average_after", int, "0", "Epochs after which asgd begins."),
    Flag("nonmonotone_interval", int, "5", "Latest epochs that nt-asgd leaves out when it compares."),
    Flag("patience", int, "", "Stop after so many epochs without a better one."),
    Flag("restore_best", bool, "yes", "Keep the weights of the last epoch, not of the best."),
    Flag("seed", int, "0", "The same seed gives the same run."),
    Flag("checkpoint_seconds", float, "30", "The longest time between two checkpoints."),
    Flag("checkpoint_batches", int, "", "Minibatches between two checkpoints."),
    Flag("validate_batches", int, "", "Judge also within an epoch, every N minibatches."),
    Flag("report_every", int, "100", "Minibatches between two lines of progress."),
)
_TEXT = (
    Flag("lower_case", bool, "no", "Turn texts into lower case first."),
    Flag("alphabet", str, "", "The characters to know, in place of those that come in training.", "CHARS"),
    Flag("min_count", int, "1", "Tokens that come less often than N times are unknown."),
    Flag("max_tokens", int, "", "Know only so many tokens, the most frequent."),
)


def _with(flags: tuple[Flag, ...], words: Mapping[str, str], **defaults: str) -> tuple[Flag, ...]:
    """The same flags, some with other words of help or other defaults."""
    return tuple(
        flag._replace(default=defaults.get(flag.name, flag.default), help=words.get(flag.name, flag.help))
        for flag in flags
    )


CLASSIFIER_FLAGS = (
    Flag("tokens", str, "characters", "A step is one of: characters, bytes, words, values (numbers)."),
    *_TEXT,
    Flag("marks", bool, "no", "Put a begin and an end mark around every text."),
    Flag("ngrams", int, "1", "Read all runs of up to so many characters at once."),
    Flag("unknown", str, "allow", "Tokens never seen in training: allow or refuse."),
    Flag("embedding", str, "64", "A token becomes N learned numbers, or one-hot.", "N|one-hot"),
    *_BODY,
    Flag("bidirectional", bool, "no", "Read the texts from both ends."),
    Flag("merge", str, "concat", "Both directions by: concat, sum, mul, average."),
    Flag("pooling", list, "last", "Steps to one row by: last, mean, max, sum, attention, flatten.", "NAME,…"),
    Flag("max_length", int, "", "Steps that pooling by flatten has inputs for."),
    Flag("dense", list, "", "Units of the dense layers before the answer.", "N,…"),
    Flag("activation", str, "relu", "Of the dense layers: relu, tanh, sigmoid."),
    Flag("token_dropout", float, "0", "Part of the tokens to read as unknown."),
    Flag("label_smoothing", float, "0", "Part of each target spread over all labels."),
    Flag("class_weight", str, "", "balanced: rare labels weigh more in the loss."),
    Flag("batch_size", int, "32", "Texts in a minibatch."),
    Flag("tokens_per_batch", int, "", "Steps in a minibatch, in place of --batch-size."),
    Flag("bucketing", bool, "yes", "Do not group texts of like length in a minibatch."),
    *_RUN,
)
LANGUAGE_FLAGS = (
    Flag("tokens", str, "characters", "What the text is cut into: characters, bytes, words, subwords."),
    *_with(_TEXT, {"max_tokens": "Know only the N most frequent; of subwords learn N, else 8,000."}),
    Flag("split", str, "punctuation", "Words end at: punctuation (and blanks), or blanks only."),
    Flag("unknown", str, "allow", "Tokens not in the vocabulary: allow or refuse."),
    Flag("embedding_size", int, "64", "A token becomes N learned numbers."),
    *_with(_BODY, {"cell": "One of elman's cells, or your own as FILE.py:NAME."}, cell="gru", hidden_size="256"),
    Flag("tied", bool, "no", "The output layer shares the weights of the embedding."),
    Flag("softmax", str, "full", "The output layer: full; adaptive, sampled for large vocabularies."),
    Flag("cutoffs", list, "", "Frequency ranks where clusters of the adaptive softmax begin.", "N,…"),
    Flag("softmax_samples", int, "1024", "Tokens that the sampled softmax draws for a minibatch."),
    Flag("streams", int, "32", "Parts of the text that are read side by side: the batch size."),
    Flag("window", int, "100", "Tokens of each part in a minibatch: how far gradients go back."),
    Flag("show_sample", int, "0", "Show a text of N tokens whenever the model is judged."),
    *_with(_RUN, {}, epochs="10", learning_rate="0.002", clip_norm="1.0"),
)


_METAVARS = {int: "N", float: "F", str: "NAME"}


def takes_settings(table: Sequence[Flag]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command with a flag for each setting; it gets those that the user gave as the dictionary `settings`."""
    return lambda command: _taking(table, command)


def _taking(table: Sequence[Flag], command: Callable[..., None]) -> Callable[..., None]:
    own = inspect.signature(command)
    flags = [
        inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(flag))
        for flag in table
    ]
    kept = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own.parameters.values() if each.name != "settings"
    ]

    @functools.wraps(command)
    def with_flags(**values: Any) -> None:
        given = {flag.name: values.pop(flag.name) for flag in table}
        command(
            **values,
            settings={flag.name: _parse(flag, given[flag.name]) for flag in table if given[flag.name] is not None},
        )

    # typer reads both of these; what it wraps would only mislead it.
    with_flags.__signature__ = own.replace(parameters=[*kept, *flags])  # pyright: ignore[reportAttributeAccessIssue]
    with_flags.__annotations__ = {each.name: each.annotation for each in [*kept, *flags]}
    del with_flags.__wrapped__
    return with_flags


def _annotation(flag: Flag) -> Any:
    option = typer.Option(
        spelling(flag),
        metavar=None if flag.kind is bool else flag.metavar or _METAVARS[flag.kind],
        show_default=False,
        help=f"{flag.help} [{flag.default}]" if flag.default and flag.kind is not bool else flag.help,
    )
    return Annotated[(flag.kind if flag.kind in (bool, int, float) else str) | None, option]


def spelling(flag: Flag) -> str:
    """The flag as it is typed.

    >>> spelling(CLASSIFIER_FLAGS[1]), spelling(Flag("bucketing", bool, "yes", ""))
    ('--lower-case', '--no-bucketing')
    """
    return f"--{'no-' * (flag.default == 'yes')}{flag.name.replace('_', '-')}"


def _parse(flag: Flag, value: Any) -> Any:
    if flag.kind is bool:
        return value != (flag.default == "yes")
    if flag.name == "embedding":
        return int(value) if value.isdecimal() else value
    if flag.kind is list:
        return _items(flag, value)
    if flag.name == "zoneout" and "=" not in value:
        return _number(value)
    if flag.kind is dict:
        return _pairs(flag, value)
    return value


def _items(flag: Flag, value: str) -> tuple[int | float | str, ...]:
    words = [word.strip() for word in value.split(",")]
    if words == ["none"]:
        return ()
    if not all(words):
        raise UsageError(
            f"{spelling(flag)} {value!r} is no list.",
            fix=f"Write it as {spelling(flag)} {flag.metavar}, without blanks.",
        )
    return tuple(_number(word) for word in words)


def _pairs(flag: Flag, value: str) -> Mapping[str, bool | int | float | str]:
    pairs = [word.partition("=") for word in value.split(",")]
    if not all(name.strip() and sign for name, sign, _ in pairs):
        raise UsageError(
            f"{spelling(flag)} {value!r} is no list of options.", fix=f"Write it as {spelling(flag)} {flag.metavar}"
        )
    found = {name.strip(): _value(text.strip()) for name, _, text in pairs}
    if len(found) < len(pairs):
        raise UsageError(f"{spelling(flag)} {value!r} has a name twice.", fix="Give each name once.")
    return found


def _value(text: str) -> bool | int | float | str:
    return text.lower() == "true" if text.lower() in ("true", "false") else _number(text)


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
