"""Ctrl-C, SIGTERM and SIGHUP while a model is trained: the first stops the run after a minibatch."""

import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

# A lost connection sends SIGHUP, which Windows does not have.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class TrainingInterrupted(KeyboardInterrupt):
    """The run was stopped between two minibatches, and its checkpoint, if it has a folder, was written.

    Attributes:
        epoch: in which it stopped, from 1.
        batch: minibatches of that epoch that were trained.
        folder: of the checkpoint; `None` if the run writes nothing.
    """

    def __init__(self, epoch: int, batch: int, folder: Path | None):
        super().__init__(epoch, batch, folder)
        self.epoch = epoch
        self.batch = batch
        self.folder = folder

    def __str__(self) -> str:
        kept = f"resume it from {self.folder}" if self.folder else "nothing was kept, as the run has no folder"
        return f"Training was interrupted in epoch {self.epoch} after minibatch {self.batch}; {kept}."


class Interrupts(AbstractContextManager):
    """Handlers by which the first signal only sets `requested`; a later SIGINT raises KeyboardInterrupt.

    Outside the main thread, where Python allows no handlers, nothing is changed. The earlier handlers are restored at
    the end.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._install(number)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _install(self, number: int) -> None:
        before = signal.getsignal(number)
        # A handler that was not set from Python reads as None and could not be restored; one that ignores the signal,
        # as under nohup, is what the user asked for.
        if before is not None and before is not signal.SIG_IGN:
            self._before[number] = before
            signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
