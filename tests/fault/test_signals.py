"""Signals whose handlers raise, anywhere in an append: never a ghost, never a lock that stays."""

from __future__ import annotations

import logging
import random
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from aurora_es import Journal, RollCycle
from aurora_es.errors import CommitOutcomeUnknownError, StorageError
from tests.fault.figures import Figures
from tests.fault.told import Told, ViolationError, records_of

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="signals to threads are tried on Linux"),
    # What a handler raises in a finalizer goes nowhere, and Python says so.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
_SIGNAL = signal.SIGUSR2
_LOCK_SECONDS = 60.0


class InterruptError(Exception):
    """Raised by a signal handler, as KeyboardInterrupt is."""


class StopError(BaseException):
    """The same, and no ``except Exception`` sees it."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    previous = signal.getsignal(_SIGNAL)
    yield
    signal.signal(_SIGNAL, previous)
    logging.disable(logging.NOTSET)


class Interrupter:
    """A thread that sends the signal to the main thread after a drawn time, again and again."""

    def __init__(self, rng: random.Random, error: type[BaseException]) -> None:
        """Prepare; ``error`` is what the handler raises while ``armed``."""
        self.armed = False
        self.raised = 0
        self._error = error
        self._rng = rng
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._main = threading.main_thread().ident
        signal.signal(_SIGNAL, self._raise_if_armed)
        self._thread.start()

    def _raise_if_armed(self, number: int, frame: FrameType | None) -> None:
        if self.armed:
            self.armed = False
            self.raised += 1
            raise self._error

    def _run(self) -> None:
        assert self._main is not None
        while not self._over.wait(self._rng.uniform(0.0, 0.003)):
            if self.armed:
                signal.pthread_kill(self._main, _SIGNAL)

    def stop(self) -> None:
        """End the thread."""
        self.armed = False
        self._over.set()
        self._thread.join()


def interrupt_many(path: Path, count: int, error: type[BaseException], figures: Figures) -> None:
    """Append and be interrupted, while a second thread appends undisturbed."""
    told = Told()
    interrupter = Interrupter(random.Random(count), error)
    serial = 0
    journal = Journal.open(path, roll_cycle=RollCycle.events(200), lock_timeout=_LOCK_SECONDS)
    other = Undisturbed(journal)
    try:
        while interrupter.raised < count:
            serial += 1
            told.take(f"try a {serial} 2")
            try:
                interrupter.armed = True
                position = journal.append(records_of("a", serial, 2))[0]
                interrupter.armed = False
            except error:
                continue
            told.take(f"ok a {serial} {position}")
    finally:
        interrupter.stop()
        other.stop()
    for line in other.lines:
        told.take(line)
    told.check(journal)
    journal.close()
    with Journal.open(path) as again:
        found = told.check(again)
    figures.trials += interrupter.raised
    figures.add(
        acknowledged=len(told.acknowledged),
        adopted=found - len(told.acknowledged),
        interrupted=len(told.tried) - len(told.acknowledged),
    )
    if other.error is not None:
        raise ViolationError("an undisturbed thread has failed") from other.error


class Undisturbed:
    """A thread that appends all the time, in the same handle."""

    def __init__(self, journal: Journal) -> None:
        """Begin."""
        self.lines: list[str] = []
        self.error: BaseException | None = None
        self._journal = journal
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        serial = 0
        while not self._over.wait(0.002):
            serial += 1
            self.lines.append(f"try b {serial} 1")
            try:
                position = self._journal.append(records_of("b", serial, 1))[0]
            except StorageError:
                # The interrupted thread had just been opening the journal.
                self.lines.append(f"refused b {serial}")
                continue
            except CommitOutcomeUnknownError:
                # The interrupted thread had been about to write it, and had not begun.
                self.lines.append(f"unknown b {serial}")
                continue
            except BaseException as error:  # noqa: BLE001 - told by who stops this thread
                self.error = error
                return
            self.lines.append(f"ok b {serial} {position}")

    def stop(self) -> None:
        """End it; it must not hang."""
        self._over.set()
        self._thread.join(2 * _LOCK_SECONDS)
        if self._thread.is_alive():
            raise ViolationError("an undisturbed thread hangs")


@pytest.mark.parametrize("error", [InterruptError, StopError, KeyboardInterrupt, MemoryError])
def test_some_signals(error: type[BaseException], tmp_path: Path) -> None:
    """What was acknowledged is there once; what was interrupted is there whole or not at all."""
    with Figures("E10", error.__name__, "interrupt") as figures:
        interrupt_many(tmp_path / "journal", 60, error, figures)


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("error", [InterruptError, StopError, KeyboardInterrupt, MemoryError])
def test_many_signals(error: type[BaseException], tmp_path: Path, reliability_factor: int) -> None:
    """The same, 25 times the reliability factor, with a new journal every 500."""
    with Figures("E10", error.__name__, "interrupt") as figures:
        for number in range(-(-25 * reliability_factor // 500)):
            interrupt_many(tmp_path / str(number), 500, error, figures)
