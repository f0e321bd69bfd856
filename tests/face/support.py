"""Helpers for tests of the eventsourcing face."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import Environment

from aurora_es import AuroraFactory
from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
UUID_1 = UUID("5fa9b1de-52a6-4ae1-9c0f-3d7e2b8c4a01")
UUID_2 = UUID("c0ffee00-1d2e-4f3a-8b4c-5d6e7f809a0b")
# Where syncs cost nothing, for tests that are not about them.
# A fork beside threads, which is what some tests are about, is deprecated from Python 3.12 on.
_WARNINGS = ("-W", "error::ResourceWarning", "-W", "ignore::DeprecationWarning")
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - only a parent

T = TypeVar("T")
OpenFactory = Callable[..., AuroraFactory]


def factory_on(root: str | os.PathLike[str], name: str = "App", **settings: str) -> AuroraFactory:
    """Construct a factory on the store below ``root``."""
    fixed = {
        "AURORA_PATH": str(root),
        "AURORA_BACKGROUND": "n",  # see tests/conftest.py
        "AURORA_LOCK_TIMEOUT": str(PATIENCE_SECONDS),  # a disk may stall under who has the lock
    }
    return AuroraFactory(Environment(name, fixed | settings))


def event(
    version: int = 1,
    originator_id: UUID | str = UUID_1,
    *,
    topic: str = "topic",
    state: bytes = b"state",
) -> StoredEvent:
    """Make an event."""
    return StoredEvent(originator_id, version, topic, state)


def events(count: int, originator_id: UUID | str = UUID_1, *, first: int = 1) -> list[StoredEvent]:
    """Make events of one aggregate, with rising versions."""
    return [event(version, originator_id) for version in range(first, first + count)]


class Task(Generic[T]):
    """A job in a thread of its own."""

    def __init__(self, job: Callable[..., T], *arguments: object) -> None:
        """Start it."""
        self._job = job
        self._arguments = arguments
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result.append(self._job(*self._arguments))
        except BaseException as error:  # noqa: BLE001 - any verdict of the code under test
            self._error = error

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._thread.is_alive()

    def result(self, timeout: float = PATIENCE_SECONDS) -> T:
        """Wait for the end; return the result or raise the error."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "the thread hangs"
        if self._error is not None:
            raise self._error
        return self._result[0]


class Script:
    """A Python script in a process of its own, which is talked to line by line."""

    def __init__(self, source: str, *arguments: str) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, *_WARNINGS, "-c", source, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def tell(self, line: str) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        """Wait for a line."""
        assert self._process.stdout is not None
        return Task(self._process.stdout.readline).result().rstrip("\n")

    def end(self, patience: float = PATIENCE_SECONDS) -> str:
        """Wait for the end, which must be a good one; return the rest of what it says."""
        try:
            said, complained = self._process.communicate(timeout=patience)
        finally:
            self._process.kill()
        assert (self._process.returncode, complained) == (0, ""), complained
        return said

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process and no descriptor behind."""
        self._process.kill()
        self._process.wait(PATIENCE_SECONDS)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def descriptors_open() -> int:
    """Count the descriptors of this process, without those of earlier tests' garbage."""
    gc.collect()
    return len(os.listdir("/dev/fd"))


def names_below(path: str | os.PathLike[str]) -> list[str]:
    """List everything below a directory, by relative path."""
    found = []
    for parent, directories, files in os.walk(path):
        found += [os.path.relpath(os.path.join(parent, name), path) for name in directories + files]
    return sorted(found)


def attributes(thing: object) -> dict[str, Any]:
    """Attributes of a dataclass object, to compare objects of different classes."""
    return dict(vars(thing))
