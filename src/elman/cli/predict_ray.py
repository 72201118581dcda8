"""`elman predict --engine ray`: the same lines from a Ray cluster, or the rows with their answers as files."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elman.cli.output import emit, emit_json, emit_rows, rows_as_csv, say
from elman.errors import UsageError

ENGINES = ("local", "ray")
LINE = "line"


@dataclass(frozen=True)
class Lines:
    """Gives the line of each answer, as `elman predict` prints it.

    Attributes:
        every: whether the line has the probability of every label.
        explain: whether it has the weights of the tokens.
        options: of the answers, by name; among them `unknown`, what happens to tokens that training never saw.
    """

    every: bool
    explain: bool
    options: Mapping[str, Any]

    def __call__(self, model: Any, rows: Sequence[Any]) -> dict[str, list[str]]:
        """Return a column of lines."""
        from elman.cli.predict import as_line
        from elman.tasks.task import inputs

        several = len(inputs(model.task.columns)) > 1
        answers = model.answers(list(rows), **self.options)
        if model.task_.answer_header() is not None:
            lines = (rows_as_csv(model.task_.answer_rows(*each)) for each in zip(rows, answers, strict=True))
            return {LINE: [text.removesuffix("\n") for text in lines]}
        weights = (model.explain_answer(row) if self.explain else None for row in rows)
        found = []
        for row, answer, pieces in zip(rows, answers, weights, strict=True):
            lines = [as_line(row, each, pieces, several=several, every=self.every) for each in (answer, *answer.others)]
            found.append("\n".join(lines))
        return {LINE: found}


@dataclass(frozen=True)
class Columns:
    """Gives the values and the probabilities of the answers.

    Attributes:
        options: of the answers, by name.
    """

    options: Mapping[str, Any]

    def __call__(self, model: Any, rows: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
        """Return the columns of the answers."""
        from elman.cluster.predict import answers_of

        return answers_of(model, rows, **self.options)


def by_ray(values: Mapping[str, Any]) -> bool:
    """Return whether a cluster predicts.

    Raises:
        UsageError: there is no such engine, or flags that do not go with it.
    """
    engine = values["engine"] or "local"
    if engine not in ENGINES:
        raise UsageError(f"Expected local or ray for --engine, got {engine!r}.", fix="Give one of the two.")
    names = ("address", "workers", "out") if engine == "local" else ("shard", "fill", "nearest")
    wrong = [f"--{name}" for name in names if values[name] is not None]
    if wrong:
        how = "only with" if engine == "local" else "not with"
        raise UsageError(f"{', '.join(wrong)}: {how} --engine ray.", fix="Leave it out.")
    if values["workers"] is not None and values["workers"] < 1:
        raise UsageError(f"Expected at least 1 for --workers, got {values['workers']}.", fix="Correct it.")
    if engine == "ray" and values["data"] == "-":
        raise UsageError("A cluster does not read standard input.", fix="Give a file or a folder.")
    if engine == "ray" and values["as_json"] and values["out"] is None:
        raise UsageError("--json: with --engine ray only with --out.", fix="Give --out answers.jsonl.")
    return engine == "ray"


def predict_by_ray(values: Mapping[str, Any], how: Mapping[str, Any]) -> None:
    """Predict the rows of a file or a folder on a cluster, and print or write them in order.

    Args:
        values: of all flags by name.
        how: those that say how files are read.

    Raises:
        UsageError, DataError, ModelError: as `elman predict`; or there is no cluster.
    """
    from elman.cli.flags import given_values
    from elman.cli.reading import answer_flags, refuse_given, refuse_others
    from elman.cluster.connect import connected, import_ray, problem_of
    from elman.models import open_task_model

    import_ray()
    opened, path, out = open_task_model(values["model"]), Path(values["data"]), values["out"]
    flags = answer_flags()
    others = {**how, **{name: values[name] for name in flags}}
    refuse_others(opened.task, {name: value for name, value in others.items() if name != "column"}, values["model"])
    options = {"unknown": values["unknown"], **given_values(flags.values(), values)}
    opened.answers([], **options)
    header = opened.task_.answer_header()
    if header is not None or not opened.task.has_probabilities:
        refuse_given(values, ("probabilities", "explain"), opened.task.noun, values["model"])
    if header is not None and out is not None:
        raise UsageError(
            f"--out: not for a {opened.task.noun}, whose table is printed.",
            where=str(values["model"]),
            fix="Leave it out, and write standard output to a file: elman predict … > answers.csv",
        )
    pickled = _check_files(opened, path, how)
    answer = Columns(options) if out is not None else Lines(values["probabilities"], values["explain"], options)
    with connected(values["address"], values["workers"]) as ray:
        try:
            _predict(opened, path, how, values, answer, pickled=pickled)
        except (ray.exceptions.RayError, ray.data.exceptions.RayDataUserCodeException) as error:
            raise problem_of(error) from None
    if out is not None and values["as_json"]:
        emit_json({"model": str(values["model"]), "written": str(out)})
    elif out is not None:
        emit(str(out))


def _predict(
    model: Any, path: Path, how: Mapping[str, Any], values: Mapping[str, Any], answer: Any, *, pickled: bool
) -> None:
    from elman.cluster.files import PARQUET, ROW, files_in, read_files, write_files
    from elman.cluster.predict import columns_of, predict_dataset
    from elman.data.files import ending_of
    from elman.tasks.task import inputs

    dataset, kind = read_files(path, model, how, pickled=pickled), ending_of(files_in(path)[0])
    names = [ROW] if pickled else [column.name for column in inputs(model.task.columns)]
    if kind == PARQUET:
        names = [how["column"]] if how.get("column") else columns_of(model, dataset.columns() or [])
    gpus = 0 if values["device"] in (None, "cpu") else 1
    found = predict_dataset(model, dataset, columns=names, workers=values["workers"], gpus=gpus, answer=answer)
    if values["out"] is not None:
        write_files(found, values["out"], kind)
        return
    if (header := model.task_.answer_header()) is not None:
        emit_rows([header])
    for table in found.iter_batches(batch_size=None, batch_format="pyarrow"):
        for line in table[LINE].to_pylist():
            emit(line)
        sys.stdout.flush()


def _check_files(model: Any, path: Path, how: Mapping[str, Any]) -> bool:
    """Report what was assumed to read the first file, and return whether its rows are not texts."""
    from elman.cluster.files import PARQUET, files_in
    from elman.data.files import ending_of

    first = files_in(path)[0]
    if ending_of(first) == PARQUET:
        return False
    asked = model.task.source.asked(str(first), how, known=model.known())
    for note in asked.notes:
        say(f"elman: note: {note}.")
    row = next((row for _, row in asked.rows), "")
    return not all(map(_is_text, row if isinstance(row, tuple) else (row,)))


def _is_text(value: Any) -> bool:
    """Return whether a value is a text or a list of words."""
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(word, str) for word in value))
