"""`elman predict`: the answer to each row, of a model of any task that has answers."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.cli.commands import Parameters, add_lazily, option
from elman.cli.options import AsJson, Device, Model, Threads, Unknown, device_or_cpu, use_threads
from elman.cli.output import emit, emit_json, emit_rows, say, say_unknown
from elman.cli.predict_ray import by_ray, predict_by_ray
from elman.cli.shards import Shard, answers_of_part, parse_shard
from elman.errors import UsageError, os_errors_as
from elman.files import atomic_write
from elman.report.figures import on_one_line, significant

if TYPE_CHECKING:
    from elman.data.text.unknown import UnknownTally

CHUNK = 256
# Of a series of numbers, on a line.
SHOWN_STEPS = 8
NEAREST = 10
_DATA = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        show_default=False,
        help="Texts: a line each, CSV, TSV, JSONL, or a folder. - is standard input.",
    ),
]
_PROBABILITIES = Annotated[
    bool, typer.Option("--probabilities", help="Show the probability of every label, not of the answer alone.")
]
_TOP = Annotated[
    int | None,
    typer.Option("--top", min=1, metavar="N", show_default=False, help="Texts that --nearest shows. [10]"),
]
_SHARD = "Predict only part I of N parts. The parts one after the other are the whole, byte for byte."
_OUT = "Of --engine ray: a .csv, .jsonl or .parquet file, or a folder of parts. [standard output]"
_EXPLAIN = Annotated[
    bool, typer.Option("--explain", help="Show how much each token spoke for the answer, in log odds.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_lazily(
        app,
        predict,
        _parameters,
        "elman predict words-model --text stupendous --text dreadful",
        "elman predict words-model words.txt > answers.tsv",
        "elman predict upos-model text.conllu --fill tagged.conllu",
        "cut -f1 words.tsv | elman predict words-model - --probabilities",
        "elman predict news-model --text 'Shares fall in Tokyo' --explain",
        "elman predict news-model archive.txt.gz --shard 3/16 > part03.tsv",
        "elman predict news-model archive/ --engine ray --address auto --out answers",
        "elman predict pairs-model --text 'A dog runs' --text 'A dog is running'",
        "elman predict en-de-model captions.en --beam 10 --n-best 3",
        "elman predict pairs-model sentences.txt --nearest 'A dog runs' --top 5",
    )


def _parameters() -> Parameters:
    from elman.cli.flags import option_of
    from elman.cli.reading import answer_flags, input_flags, reading_flags

    column = "Column of the texts: name or number from 1. [as in training, else by usual names, else the first]"
    return {
        "model": (Model, ...),
        "data": (_DATA, None),
        "text": (option("--text", "TEXT", "A text itself; may be repeated. Two are a pair.", list[str] | None), None),
        **{name: (annotation, None) for name, annotation in reading_flags(columns=False).items()},
        "column": (option("--column", "COL", column), None),
        **{name: (annotation, None) for name, annotation in input_flags().items()},
        "nearest": (
            option("--nearest", "TEXT", "Show the texts of DATA that are nearest to TEXT, nearest first."),
            None,
        ),
        "top": (_TOP, None),
        "fill": (
            option("--fill", "FILE", "Write DATA to FILE, with the answers in its column of tags.", Path | None),
            None,
        ),
        "shard": (option("--shard", "I/N", _SHARD), None),
        **{name: (option_of(flag), None) for name, flag in answer_flags().items()},
        "engine": (option("--engine", "NAME", "Who computes: local (this process) or ray, a cluster. [local]"), None),
        "address": (option("--address", "HOST:PORT", "Of the Ray cluster. [a new one on this machine]"), None),
        "workers": (option("--workers", "N", "Models of --engine ray. [one for each CPU]", int | None), None),
        "out": (option("--out", "PATH", _OUT, Path | None), None),
        "probabilities": (_PROBABILITIES, False),
        "explain": (_EXPLAIN, False),
        "unknown": (Unknown, None),
        "threads": (Threads, None),
        "device": (Device, None),
        "as_json": (AsJson, False),
    }


def predict(**values: Any) -> None:
    """Predict the answer to each text.

    Each line has the text, its answer and the probability of the answer, separated by tabs. Tabs, line breaks and
    backslashes within a text or an answer are escaped with a backslash. A file is read as the training file was. With
    --probabilities, each label and its probability are a field LABEL=PROBABILITY; with --explain, each token and its
    weight a field TOKEN=WEIGHT at the end. Numbers have six significant digits; with --json they have all. A forecaster
    writes a CSV table with a row for each step ahead. With --json, one object holds all predictions, and no other line
    is printed.

    Texts are read, answered and printed in blocks, so that a file may have any size. With --shard I/N, a run predicts
    one of N parts of a file, and the header of a table is in the first part alone. With --engine ray, DATA is a file or
    a folder of texts, CSV, TSV, JSONL or Parquet, and each actor of a Ray cluster has a model.

    A translator writes the best text for each source and its score; with --n-best, a line for each of the N best texts.

    A model of pairs reads two texts a row, or every two --text. With --nearest, each line has a text of DATA and how
    near it is to TEXT.
    """
    from elman.cli.flags import given_values
    from elman.cli.reading import answer_flags, input_flags, reading_flags

    model, data, text = values["model"], values["data"], values["text"]
    how = {name: values[name] for name in (*reading_flags(columns=False), "column", *input_flags())}
    if (data is None) == (not text):
        raise UsageError("Give either DATA or --text.", fix='For instance: elman predict MODEL --text "stupendous"')
    only = {**how, "fill": values["fill"], "shard": values["shard"]}
    flags = [f"--{name}" for name, value in {**only, "engine": values["engine"]}.items() if value is not None]
    if not data and flags:
        raise UsageError(f"{', '.join(flags)}: only for DATA.", fix="Leave them out where --text gives the texts.")
    if values["nearest"] is None and values["top"] is not None:
        raise UsageError("--top: only with --nearest.", fix="Leave it out.")
    if by_ray(values):
        predict_by_ray(values, how)
        return
    shard = _shard(values)
    if values["nearest"] is not None:
        _nearest(values, how)
        return
    fill = values["fill"]
    if fill is not None and fill.exists() and data != "-" and Path(data).exists() and fill.samefile(data):
        raise UsageError("--fill would replace the file that is read.", where=str(fill), fix="Give another FILE.")
    from elman.cli.reading import refuse_given, refuse_others
    from elman.data.text.unknown import UnknownTally
    from elman.models import open_task_model
    from elman.tasks.task import inputs, targets

    use_threads(values["threads"])
    opened, tally = open_task_model(model).to(device_or_cpu(values["device"])), UnknownTally()
    options = answer_flags()
    others = {**how, **{name: values[name] for name in options}}
    refuse_others(opened.task, {name: value for name, value in others.items() if name != "column"}, model)
    given_options = given_values(options.values(), values)
    # A model without answers, and options that make no sense, are refused before any data are read.
    opened.answers([], **given_options)
    header = opened.task_.answer_header()
    if header is not None or not opened.task.has_probabilities:
        refuse_given(values, ("probabilities", "explain"), opened.task.noun, model)
    names = [column.name for column in inputs(opened.task.columns)]
    given = _typed(opened, text or [], len(names)) if data is None else _read(opened, data, how)
    # A user who types texts wants each answer at once.
    chunk = 1 if data == "-" and sys.stdin.isatty() else CHUNK

    def answered(rows: Iterable[tuple[str, Any]]) -> Iterator[tuple[Any, Any]]:
        return _answers(opened, rows, chunk, unknown=values["unknown"], tally=tally, **given_options)

    if shard is None:
        answers = answered(given)
    else:
        assert data is not None
        total = sum(1 for _ in opened.task.source.asked(data, how, known=opened.known()).rows)
        answers = answers_of_part(shard.rows(total), iter(given), answered, chunk)
    if values["fill"] is not None:
        assert data is not None
        _fill(opened, data, how, [answer.value for _, answer in answers], values)
        say_unknown(vars(tally), opened.task_.tokens)
        return
    if header is not None:
        _write_table(opened, list(header), answers, values, header_shown=shard is None or shard.number == 1)
        return
    explained = ((*each, opened.explain_answer(each[0]) if values["explain"] else None) for each in answers)
    if values["as_json"]:
        name, every = targets(opened.task.columns)[0].name, values["probabilities"]
        predictions = [_as_object(*each, inputs=names, name=name, every=every) for each in explained]
        say_unknown(vars(tally), opened.task_.tokens)
        emit_json({"model": str(model), "predictions": predictions})
        return
    for row, answer, weights in explained:
        for each in (answer, *answer.others):
            emit(as_line(row, each, weights, several=len(names) > 1, every=values["probabilities"]))
    say_unknown(vars(tally), opened.task_.tokens)


def _read(model: Any, data: str, how: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    notes, rows = model.task.source.asked(data, how, known=model.known())
    for note in notes:
        say(f"elman: note: {note}.")
    return rows


def _fill(model: Any, data: str, how: dict[str, Any], answers: list[Any], values: dict[str, Any]) -> None:
    """Write the data with the answers in their column."""
    path = values["fill"]
    content = model.task.source.filled(data, answers, how, known=model.known())
    with os_errors_as(UsageError, f"{path} cannot be written", fix="Give another file."):
        atomic_write(path, content)
    if values["as_json"]:
        emit_json({"model": str(values["model"]), "written": str(path), "rows": len(answers)})
    else:
        emit(f"{path}: {len(answers):,} {model.task.source.noun}")


def _write_table(
    model: Any, header: list[str], answers: Iterable[tuple[Any, Any]], values: dict[str, Any], *, header_shown: bool
) -> None:
    """Write the answers as CSV as they come, or as JSON objects with the names of its columns."""
    rows = (list(row) for each in answers for row in model.task_.answer_rows(*each))
    if values["as_json"]:
        emit_json({"model": str(values["model"]), "predictions": [dict(zip(header, row, strict=True)) for row in rows]})
        return
    emit_rows(chain([header] if header_shown else [], rows))


def _shard(values: dict[str, Any]) -> Shard | None:
    """Return the part of the file to predict, None for all of it."""
    if values["shard"] is None:
        return None
    shard = parse_shard(values["shard"])
    wrong = [f"--{name}" for name in ("fill", "nearest") if values[name] is not None]
    if wrong:
        raise UsageError(f"--shard: not with {', '.join(wrong)}.", fix="Leave one of them out.")
    if values["data"] == "-":
        raise UsageError("Standard input cannot be divided into parts.", fix="Give --shard with a file.")
    return shard


def _nearest(values: dict[str, Any], how: dict[str, Any]) -> None:
    """Show the texts of a file that are nearest to another text."""
    from elman.cli.reading import refuse_others
    from elman.models import open_task_model

    use_threads(values["threads"])
    opened, wanted = open_task_model(values["model"]).to(device_or_cpu(values["device"])), values["nearest"]
    if not hasattr(opened, "nearest"):
        raise UsageError("--nearest: only for a comparer.", where=str(values["model"]), fix="Leave it out.")
    if values["data"] is None:
        raise UsageError("--nearest needs DATA, the texts to choose from.", fix="Give a file of texts, one a line.")
    reading = {name: value for name, value in how.items() if name != "column"}
    refuse_others(opened.task, reading, values["model"])
    notes, rows = opened.task.source.asked_texts(values["data"], how)
    for note in notes:
        say(f"elman: note: {note}.")
    texts = [text for _, text in rows]
    found = opened.nearest(wanted, texts, values["top"] or NEAREST)
    if values["as_json"]:
        near = [
            {"text": texts[each.position], "row": each.position + 1, "similarity": each.similarity} for each in found
        ]
        emit_json({"model": str(values["model"]), "nearest_to": wanted, "texts": near})
        return
    for each in found:
        emit(f"{on_one_line(_words(texts[each.position]))}\t{each.similarity:.4f}")


def _typed(model: Any, texts: list[str], size: int) -> Iterator[tuple[str, Any]]:
    """Return the rows of the command line, each with its name in messages, of `size` texts each."""
    if model.task_.tokens == "values":
        raise UsageError(
            "This model reads sequences of numbers, and --text gives texts.",
            fix=f"Give DATA in place of --text. {model.task.source.numeric_files or model.task.source.help}",
        )
    if len(texts) % size:
        raise UsageError(
            f"This model reads {size} texts a row, and there {'is' if len(texts) == 1 else 'are'} {len(texts)}.",
            fix=f"Give {' '.join(['--text TEXT'] * size)} for each row.",
        )
    typed = [model.task.source.typed(text) for text in texts]
    rows = typed if size == 1 else list(zip(*[iter(typed)] * size, strict=True))
    return ((f"--text {on_one_line(text)[:60]}", row) for text, row in zip(texts[::size], rows, strict=True))


def _answers(
    model: Any, given: Iterable[tuple[str, Any]], size: int, *, tally: "UnknownTally", **how: Any
) -> Iterator[tuple[Any, Any]]:
    """Yield each row with its answer, computed in chunks as the rows are read."""
    from elman.tasks.rows import rows_named
    from elman.tasks.task import Values

    waiting = iter(given)
    while chunk := list(islice(waiting, size)):
        names, rows = zip(*chunk, strict=True)
        with rows_named(Values({}, names)):
            answers = model.answers(list(rows), tally=tally, **how)
        yield from zip(rows, answers, strict=True)
        sys.stdout.flush()


def _words(value: Any) -> str:
    """Return a row or an answer on one line: words separated by blanks, numbers as JSON."""
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return " ".join(value)
    return value if isinstance(value, str) else json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    """Return a series of numbers as lists, of one channel as one list."""
    if not hasattr(value, "tolist"):
        return value
    return (value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value).tolist()


def _shown(row: Any) -> str:
    """Return a row on one line, of a long series of numbers the first steps."""
    if isinstance(row, str) or len(row) <= SHOWN_STEPS or isinstance(row[0], str):
        return _words(row)
    return f"{_words(row[:SHOWN_STEPS]).removesuffix(']')}, …] ({len(row):,} steps)"


def _answer(value: Any) -> str:
    return str(value) if isinstance(value, bool) else _words(significant(value))


def _as_object(row: Any, answer: Any, weights: Any, *, inputs: list[str], name: str, every: bool) -> dict[str, Any]:
    parts = zip(["text"] if len(inputs) == 1 else inputs, [row] if len(inputs) == 1 else row, strict=True)
    found = {key: part if isinstance(part, str) else _words(part) for key, part in parts} | {name: answer.value}
    if answer.probability is not None:
        found["probability"] = answer.probability
    found |= {} if answer.bounds is None else {"quantiles": answer.bounds}
    found |= {} if answer.score is None else {"score": answer.score}
    found |= {"others": [{name: each.value, "score": each.score} for each in answer.others]} if answer.others else {}
    found |= {"probabilities": answer.probabilities} if every else {}
    return found | ({"weights": [each._asdict() for each in weights]} if weights is not None else {})


def as_line(row: Any, answer: Any, weights: Any, *, several: bool, every: bool) -> str:
    """Return the line of an answer.

    Args:
        row: that was answered, a tuple of several inputs.
        answer: to it.
        weights: of its tokens, None if they are not shown.
        several: whether the model has several inputs.
        every: whether the probability of every label is shown.
    """
    if every:
        shown = [f"{on_one_line(label)}={share:.4f}" for label, share in (answer.probabilities or {}).items()]
    else:
        shown = [f"{value:.4f}" for value in (answer.probability, answer.score) if value is not None]
    shown += [f"{name}={_answer(bound)}" for name, bound in (answer.bounds or {}).items()]
    shown += [f"{on_one_line(token)}={weight:+.2f}" for token, weight in weights or ()]
    texts = row if several else (row,)
    values = answer.value if isinstance(answer.value, tuple) else (answer.value,)
    fields = [*(on_one_line(_shown(text)) for text in texts), *(on_one_line(_answer(value)) for value in values)]
    return "\t".join([*fields, *shown])
