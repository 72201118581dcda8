"""The log of a run: a file with one JSON object a line."""

import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict
from io import BufferedRandom
from pathlib import Path
from typing import Any

from elman.errors import TrainingError, os_errors_as
from elman.training.record import EpochRecord, finite


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a log, in order, none if it is missing."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []


class Log:
    """The log of a run, a file of one JSON object a line, cut to the length that the checkpoint knows of.

    Args:
        path: made if it is missing.
        length: bytes to keep; rows written after the checkpoint will be written again.
        epochs: the records so far, written anew if the file has lost its rows.

    Raises:
        TrainingError: it cannot be written.
    """

    def __init__(self, path: Path, length: int, epochs: Sequence[EpochRecord] = ()):
        self.path = path
        self._file = self._open(length, epochs)

    @property
    def length(self) -> int:
        """Bytes written."""
        return self._file.tell()

    def write(self, kind: str, row: Mapping[str, Any]) -> None:
        """Add one object, whose first field is its kind."""
        self._write_rows([{"kind": kind, **row}])

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        with self._failures_named():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        # Every row was flushed when it was written; one that could not be was reported then.
        with suppress(OSError):
            self._file.close()

    def _open(self, length: int, epochs: Sequence[EpochRecord]) -> BufferedRandom:
        with self._failures_named():
            self._file = self.path.open("r+b" if self.path.exists() else "w+b")
            if self._file.seek(0, os.SEEK_END) >= length:
                self._file.truncate(length)
                self._file.seek(length)
            else:
                self._restore(epochs)
        return self._file

    def _restore(self, epochs: Sequence[EpochRecord]) -> None:
        warnings.warn(
            f"{self.path} is shorter than the checkpoint says; the rows of its epochs are written again, "
            "those of its minibatches are lost.",
            stacklevel=2,
        )
        self._file.truncate(0)
        self._file.seek(0)
        self._write_rows({"kind": "epoch", **asdict(record)} for record in epochs)

    def _write_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        with self._failures_named():
            for row in rows:
                self._file.write(json.dumps(finite(row)).encode() + b"\n")
            self._file.flush()

    def _failures_named(self) -> AbstractContextManager[None]:
        fix = "Make room or the folder writable, then resume from the last checkpoint."
        return os_errors_as(TrainingError, "The log cannot be written", where=self.path, fix=fix)
