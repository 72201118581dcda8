"""Datasets of Ray from files and folders, and back."""

import csv
import json
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from elman.cluster.connect import import_ray
from elman.data.files import ending_of, missing_file
from elman.data.tables.tables import JSON_LINES, SEPARATORS
from elman.errors import DataError, UsageError, os_errors_as
from elman.models import Model
from elman.tasks.task import inputs

# Rows of a block: some chunks of predictions.
ROWS = 2048
READER_CPUS = 0.01
# Columns of rows that are not texts: the row itself, pickled, and where it is.
ROW, POSITION = "row", "position"
PARQUET = ".parquet"
TEXTS = ("", ".txt", ".text", *SEPARATORS, *JSON_LINES)


def read_files(path: Path, model: Model, how: Mapping[str, Any], *, pickled: bool = False) -> Any:
    """Return the rows of a file, or of the files of a folder in the order of their names.

    Texts, CSV, TSV and JSONL are read as `elman predict` reads them, with columns named as the inputs of the model;
    Parquet has the columns of its files. Series have the columns `position` and `row`, which holds them pickled.

    Args:
        path: the file or the folder; all machines of the cluster must see it.
        model: whose training file says how others are read.
        how: flags that say how files are read, by name.
        pickled: whether the rows are not texts.

    Raises:
        DataError: there is no such file, or a folder has none.
    """
    ray = import_ray()
    files = files_in(path)
    if ending_of(files[0]) == PARQUET:
        return ray.data.read_parquet([str(each.absolute()) for each in files], shuffle=None)
    names = [column.name for column in inputs(model.task.columns)]
    source, known = model.task.source, model.known()

    def tables(file: Path) -> Iterator[Any]:
        import pyarrow

        rows = source.asked(str(file), how, known=known).rows
        while block := list(islice(rows, ROWS)):
            yield pyarrow.table(_columns(block, names, pickled=pickled))

    source_of_files = _datasource([each.absolute() for each in files], tables)
    return ray.data.read_datasource(source_of_files, num_cpus=READER_CPUS, override_num_blocks=len(files))


def _columns(block: Sequence[tuple[str, Any]], names: Sequence[str], *, pickled: bool) -> dict[str, list[Any]]:
    """Return the columns of rows with their positions."""
    positions, rows = zip(*block, strict=True)
    if pickled:
        return {POSITION: [*map(str, positions)], ROW: [*map(pickle.dumps, rows)]}
    columns = [rows] if len(names) == 1 else zip(*rows, strict=True)
    return dict(zip(names, map(list, columns), strict=True))


def unpickled(rows: Sequence[bytes]) -> list[Any]:
    """Return the values of the column `row`."""
    return [pickle.loads(row) for row in rows]


def files_in(path: Path) -> list[Path]:
    """Return the file, or the files of a folder in the order of their names.

    Raises:
        DataError: there is none, or files of several kinds.
    """
    if not path.is_dir():
        if not path.is_file():
            raise missing_file(path)
        return [path]
    files = sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith((".", "_")))
    kinds = sorted({ending_of(each) for each in files})
    if not files or len(kinds) > 1:
        problem = f"has files of several kinds: {', '.join(kinds)}" if files else "has no files"
        raise DataError(f"{path} {problem}.", fix="Give a folder with files of one kind.")
    return files


def write_files(dataset: Any, path: Path, kind: str) -> None:
    """Write a dataset, in the order of its rows.

    Args:
        dataset: of Ray.
        path: a file in .csv, .jsonl or .parquet, which this process writes; or a folder that does not exist yet, in
            which each block becomes a file whose name has its position.
        kind: the ending of the files in a folder.

    Raises:
        UsageError: the folder exists, or the file cannot be written.
    """
    if path.suffix.lower() in _WRITERS:
        with os_errors_as(UsageError, f"{path} cannot be written", fix="Give another --out."):
            part = path.with_name(f".{path.name}.part")
            _WRITERS[path.suffix.lower()](part, dataset.iter_batches(batch_size=None, batch_format="pyarrow"))
            part.replace(path)
        return
    if path.suffix or path.exists():
        problem = "already exists" if path.exists() else "has an unknown ending"
        fix = "Give a new folder, or a file in .csv, .jsonl or .parquet."
        raise UsageError(f"The output {path} {problem}.", fix=fix)
    write = {".csv": dataset.write_csv, PARQUET: dataset.write_parquet}.get(kind, dataset.write_json)
    write(str(path.absolute()))


def _write_csv(path: Path, tables: Iterable[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer, header = csv.writer(file, lineterminator="\n"), False
        for table in tables:
            if not header:
                writer.writerow(table.column_names)
            header = True
            writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _write_json(path: Path, tables: Iterable[Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for table in tables:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())


def _write_parquet(path: Path, tables: Iterable[Any]) -> None:
    from pyarrow.parquet import ParquetWriter

    writer = None
    try:
        for table in tables:
            writer = writer or ParquetWriter(path, table.schema)
            writer.write_table(table.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()


_WRITERS = {".csv": _write_csv, ".jsonl": _write_json, PARQUET: _write_parquet}


def _datasource(files: Sequence[Path], tables: Any) -> Any:
    """Return a source for Ray with a task for each file, which gives block after block."""
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask

    class Files(Datasource):
        """Files that elman reads."""

        def estimate_inmemory_data_size(self) -> int:
            """Return the bytes of the files."""
            return sum(each.stat().st_size for each in files)

        def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:
            """Return a task for each file."""
            return [self._task(each) for each in files]

        def _task(self, file: Path) -> Any:
            size = file.stat().st_size
            metadata = BlockMetadata(num_rows=None, size_bytes=size, input_files=(str(file),), exec_stats=None)
            return ReadTask(lambda: tables(file), metadata)

    return Files()
