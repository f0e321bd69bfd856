"""A mark without a journal, and what the tests of wake-ups have in common."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

import pytest

from aurora_es.files._bell import Bell
from aurora_es.files.wakeups import Waiter, Wakeups

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0  # a wait that lasts this long was not woken
JOIN_S = 180.0
ROUNDS = 2_000

Result = TypeVar("Result")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def kernel_wakeups() -> Wakeups:
    """Return wake-ups that ask the kernel wherever the tests' directory is."""
    return Wakeups(file_system_type=lambda path: "ext4")


def polled_wakeups() -> Wakeups:
    """Return wake-ups that poll wherever the tests' directory is."""
    return Wakeups(file_system_type=lambda path: "overlay")


class Mark:
    """A file with a counter that is overwritten in place, as a journal's mark is."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        path.write_bytes(bytes(8))
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, value: int) -> None:
        """Publish a value."""
        os.pwrite(self._descriptor, value.to_bytes(8, "little"), 0)

    def look(self) -> int:
        """Return the value published last."""
        return int.from_bytes(os.pread(self._descriptor, 8, 0), "little")

    def close(self) -> None:
        """Free the descriptor."""
        os.close(self._descriptor)


def waited_s(waiter: Waiter, timeout: float = PATIENCE_S) -> float:
    """Wait once and return how long that took."""
    start = time.monotonic()
    waiter.wait(timeout)
    return time.monotonic() - start


def wait_for(waiter: Waiter, mark: Mark, value: int) -> int:
    """Look and wait until the mark has a value; return how many waits were not woken."""
    missed = 0
    while mark.look() < value:
        missed += waited_s(waiter) >= PATIENCE_S
    waiter.progress()
    return missed


def in_thread(function: Callable[[], Result]) -> "Future[Result]":
    """Run a function in a thread of its own."""
    executor = ThreadPoolExecutor(1)
    future = executor.submit(function)
    executor.shutdown(wait=False)
    return future


def open_descriptors() -> int:
    """Count this process's descriptors."""
    return len(os.listdir("/proc/self/fd"))


def watched_files(wakeups: Wakeups) -> int:
    """Count the files that the kernel watches for these wake-ups."""
    assert wakeups._watcher is not None
    text = Path(f"/proc/self/fdinfo/{wakeups._watcher.descriptor}").read_text("ascii")
    return text.count("inotify wd:")


@contextmanager
def python(script: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a script in another process, with its input and output as pipes."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def output_of(script: str, *arguments: str) -> str:
    """Run a script in another process and return all that it printed, errors included."""
    with python(script, *arguments) as process:
        output, errors = process.communicate(timeout=JOIN_S)
        return output + errors


def stream(pipe: IO[str] | None) -> IO[str]:
    """Return a pipe of a subprocess, which exists."""
    assert pipe is not None
    return pipe


def follow_turns(wakeups: Wakeups, *, own: Mark, other: Mark) -> int:
    """Answer each value of the other mark with the same of the own; count missed wake-ups."""
    waiter = wakeups.waiter(other.path)
    missed = 0
    for value in range(1, ROUNDS + 1):
        missed += wait_for(waiter, other, value)
        own.write(value)
    return missed


class FakeWatcher:
    """A kernel watcher that says what a test wants."""

    def __init__(
        self, read: Callable[[], dict[int, bool] | None], *, add_error: int | None = None
    ) -> None:
        self._bell = Bell.open()
        self._bell.ring()
        self.descriptor = self._bell.descriptor
        self._add_error = add_error
        self.read = read

    def add(self, path: str) -> int:
        """Give each path a key."""
        if self._add_error is not None:
            raise OSError(self._add_error, os.strerror(self._add_error))
        return hash(path)

    def remove(self, key: int) -> None:
        """Forget nothing."""

    def abandon(self) -> None:
        """Share nothing."""
