"""Examines the segments of a journal, on several cores where that pays, and gives results in order.

    targets in order ──> next one ──> this process ──> results ──> in order
                            └──> examiner, examiner ───┘

Theory of operation: segments are examined each by itself, so any process may take the next one. This
process takes its share; beside it, each examiner (``examiner.py``) has a thread here that hands it
one segment after the other. A result is small whatever the segment holds: postings stay where they
were gathered, and only their fingerprint travels.

An examiner that ends before it has answered, as one that was killed for want of memory, is done
without: its segment goes back to those that nobody has taken, and in the end this process examines
whatever is left. So a journal is verified to the end, if slower, and what an examiner cannot do is
told by the error that it raises here. Examiners belong to the group of this process, so that Ctrl-C
and Ctrl-Z in a terminal reach them; they are killed when nobody wants their results any more.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING

from aurora_es.care.care_logs import logger
from aurora_es.care.examiner import (
    MODULE,
    Order,
    decode_result,
    encode,
    examined,
    receive,
    send,
)
from aurora_es.errors import AuroraConfigurationError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal.spawn import import_path

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from aurora_es.care.segment_check import SegmentResult
    from aurora_es.care.segment_facts import Target
    from aurora_es.files.layer import Effects, Files
    from aurora_es.journal.gathering import Bound

# An examiner starts in a quarter of a second, and examines about this much in that time.
_BYTES_PER_PROCESS = 32 << 20
_AUTOMATIC_MAX = 8  # each takes memory for one segment, and disks get no faster


def examine_all(
    effects: Effects,
    directory: str,
    targets: Sequence[Target],
    bound: Bound,
    processes: int | None,
) -> Generator[tuple[Target, SegmentResult | None], None, None]:
    """Yield all ``targets`` in order, each with its result, or None if there is no such file.

    ``processes`` counts this one; None: as many as pay. With effects other than the system's own it
    is the only one. The iterator is to be closed. Raises OSError.
    """
    count = _count_of(effects, directory, targets, processes)
    shared = _Shared(effects.files, directory, targets, bound)
    examiners: list[_Examiner] = []
    try:
        for _ in range(count - 1):
            examiner = _start_examiner(shared)
            if examiner is None:
                break
            examiners.append(examiner)
        for at, target in enumerate(targets):
            yield target, shared.result(at)
    finally:
        shared.is_wanted = False
        for examiner in examiners:
            examiner.process.kill()
        for examiner in examiners:
            examiner.end()


def _count_of(
    effects: Effects, directory: str, targets: Sequence[Target], wanted: int | None
) -> int:
    if wanted is not None and wanted < 1:
        message = (
            f"processes: expected 1 or more, or None for as many as pay, found {wanted}; pass"
            " `processes=1` to examine all in this process"
        )
        raise AuroraConfigurationError(message)
    is_possible = (
        effects is SYSTEM_EFFECTS
        # Else sys.executable is no Python, but the program itself.
        and bool(sys.executable)
        and not getattr(sys, "frozen", False)
        and _is_text(directory)
    )
    if wanted is None and is_possible:
        count = sum(_size_of(effects.files, directory, target) for target in targets)
        wanted = min(_usable_cores(), _AUTOMATIC_MAX, count // _BYTES_PER_PROCESS)
    return max(1, min(wanted or 1, len(targets))) if is_possible else 1


def _is_text(directory: str) -> bool:
    """Whether a path can be told in a message."""
    try:
        directory.encode()
    except UnicodeEncodeError:
        return False
    return True


def _usable_cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _size_of(files: Files, directory: str, target: Target) -> int:
    try:
        return files.stat(os.path.join(directory, target.file_name)).st_size
    except OSError:
        return 0  # told when it is examined


class _Shared:
    """Targets that nobody has taken, and results that nobody has asked for; for several threads."""

    def __init__(
        self, files: Files, directory: str, targets: Sequence[Target], bound: Bound
    ) -> None:
        self.files = files
        self.directory = directory
        self.targets = targets
        self.bound = bound
        self.is_wanted = True  # cleared by the thread that asks, when it has enough
        self._changed = threading.Condition()  # guards all below
        self._untaken = deque(range(len(targets)))  # rising
        self._results: dict[int, SegmentResult | None] = {}
        self._exit_codes: list[int] = []  # of examiners that ended too early, and was not told yet

    def result(self, at: int) -> SegmentResult | None:
        """The result of a target; until it is there, this thread examines what nobody has taken."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: at in self._results or self._untaken)
                codes, self._exit_codes = self._exit_codes, []
                is_there = at in self._results
                mine = at if is_there else self._untaken.popleft()
            # Told here, since Ctrl-C in a terminal ends the examiners, and this thread with them.
            for code in codes:
                logger.warning(
                    "%s: a process that examined segments ended with exit code %d; they are"
                    " examined without it",
                    self.directory,
                    code,
                )
            if is_there:
                return self._results.pop(at)
            self.give(mine, examined(self.files, self.directory, self.targets[mine], self.bound))

    def take(self) -> int | None:
        """A target that is to be examined; None if there is none."""
        with self._changed:
            return self._untaken.popleft() if self._untaken and self.is_wanted else None

    def give(self, at: int, result: SegmentResult | None) -> None:
        """Take the result of a target."""
        with self._changed:
            self._results[at] = result
            self._changed.notify_all()

    def give_back(self, at: int, exit_code: int) -> None:
        """Let somebody else examine a target whose examiner has ended."""
        with self._changed:
            self._exit_codes.append(exit_code)
            self._untaken.appendleft(at)
            self._changed.notify_all()


class _Examiner:
    """A process that examines segments, and the thread that hands them to it."""

    def __init__(
        self, shared: _Shared, process: subprocess.Popen[bytes], link: socket.socket
    ) -> None:
        self.process = process
        self._shared = shared
        self._link = link
        self._thread = threading.Thread(target=self._hand_out, name="examiner", daemon=True)
        self._thread.start()

    def _hand_out(self) -> None:
        shared = self._shared
        while (at := shared.take()) is not None:
            order = Order(shared.directory, shared.targets[at], shared.bound)
            try:
                send(self._link, encode(order))
                result = decode_result(receive(self._link))
            except (EOFError, OSError, ValueError, MemoryError):
                # It was killed, or met an error that this process is to meet, or a message is none.
                self.process.kill()
                shared.give_back(at, self.process.wait())
                return
            shared.give(at, result)

    def end(self) -> None:
        """Wait for process and thread, once the process has been killed."""
        self.process.wait()
        self._thread.join()
        self._link.close()


def _start_examiner(shared: _Shared) -> _Examiner | None:
    """Start one; None if the system has no further process, thread or descriptor for us."""
    try:
        ours, theirs = socket.socketpair()
    except OSError:
        return None
    with theirs:
        try:
            process = subprocess.Popen(
                # -P: whatever lies in the current directory is not to be imported for ours.
                [sys.executable, "-P", "-m", MODULE],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": import_path()},
            )
        except OSError:
            ours.close()
            return None
    try:
        return _Examiner(shared, process, ours)
    except RuntimeError:  # no further thread
        process.kill()
        process.wait()
        ours.close()
        return None
