"""Examines the segments of a journal, on several cores where that pays, and gives results in order.

    targets in order ──> next one ──> this process ──> results ──> in order
                            └──> examiner, examiner ───┘

Theory of operation: segments are examined each by itself, so any process may take the next one. This
process takes its share; beside it, each examiner (``examiner.py``) has a thread here that hands it
one segment after the other. A result is small whatever the segment holds: postings stay where they
were gathered, and only their fingerprint travels.

Nothing is handed out before the examiner has greeted, since ``sys.executable`` of a program that
embeds Python may be no Python, and never answer. An examiner that does not greet, or ends before it
has answered, as one that was killed for want of memory, is done without: its segment goes back to
those that nobody has taken, and in the end this process examines whatever is left. So a journal is
verified to the end, if slower, and what an examiner cannot do is told by the error that it raises
here. Examiners belong to the group of this process, so that Ctrl-C and Ctrl-Z in a terminal reach
them; they are killed when nobody wants their results any more. A fork of this process closes what it
has inherited of the sockets: else an examiner whose verify is killed would live as long as the fork.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress

# multiprocessing, too, starts its children by it.
from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]
from typing import TYPE_CHECKING

from aurora_es.care.care_logs import logger
from aurora_es.care.examiner import (
    Order,
    await_greeting,
    decode_result,
    encode,
    examined,
    receive,
    send,
)
from aurora_es.errors import AuroraConfigurationError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal.spawn import import_root
from aurora_es.late_imports import fork_waits

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from aurora_es.care.segment_check import SegmentResult
    from aurora_es.care.segment_facts import Target
    from aurora_es.files.layer import Effects, Files
    from aurora_es.journal.gathering import Bound

# An examiner starts in a quarter of a second, and examines about this much in that time.
_BYTES_PER_PROCESS = 32 << 20
_AUTOMATIC_MAX = 8  # each takes memory for one segment, and disks get no faster
_GREETING_SECONDS = 10.0  # on a machine so busy that it takes longer, one more process is no help
# By -c, not -m: the package imports this module first, of which -m would warn. The path is that of
# the very package that runs here, also where PYTHONPATH is ignored.
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop());"
    " from aurora_es.care.examiner import main; main()"
)
_links: set[socket.socket] = set()  # both ends of each, while they are open in this process


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
    count = _count_of_processes(effects, directory, targets, processes)
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


def _count_of_processes(
    effects: Effects, directory: str, targets: Sequence[Target], asked: int | None
) -> int:
    if asked is not None and asked < 1:
        message = (
            f"processes: expected 1 or more, or None for as many as pay, found {asked}; pass"
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
    if not is_possible:
        return 1
    wanted = _paying_count(effects.files, directory, targets) if asked is None else asked
    return max(1, min(wanted, len(targets)))


def _paying_count(files: Files, directory: str, targets: Sequence[Target]) -> int:
    size_bytes = sum(_size_of(files, directory, target) for target in targets)
    return min(_usable_cores(), _AUTOMATIC_MAX, size_bytes // _BYTES_PER_PROCESS)


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
                    "%s: a process that was to examine segments ended with exit code %d; they are"
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

    def give_back(self, at: int | None, exit_code: int) -> None:
        """Do without an examiner that has ended; let somebody else examine what it had."""
        with self._changed:
            self._exit_codes.append(exit_code)
            if at is not None:
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
        at: int | None = None
        try:
            await_greeting(self._link, _GREETING_SECONDS)
            while (at := shared.take()) is not None:
                send(self._link, encode(Order(shared.directory, shared.targets[at], shared.bound)))
                shared.give(at, decode_result(receive(self._link)))
        except Exception:  # noqa: BLE001 - else what this thread has taken is waited for without end
            # It was killed, or is no examiner, or met an error that this process is to meet, or a
            # message is none, or cannot be made.
            self.process.kill()
            shared.give_back(at, self.process.wait())

    def end(self) -> None:
        """Wait for process and thread, once the process has been killed."""
        self.process.wait()
        with suppress(OSError):  # the other end is closed, or this is a fork, which has closed ours
            # What it may have started holds that end, and the thread would wait for it.
            self._link.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        _close(self._link)


def _start_examiner(shared: _Shared) -> _Examiner | None:
    """Start one; None if the system has no further process, thread or descriptor for us."""
    try:
        ours, theirs = _linked_pair()
    except OSError:
        return None
    try:
        process = subprocess.Popen(
            examiner_command(),
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        _close(ours)
        return None
    finally:
        _close(theirs)
    try:
        return _Examiner(shared, process, ours)
    except RuntimeError:  # no further thread
        process.kill()
        process.wait()
        _close(ours)
        return None


def examiner_command() -> list[str]:
    """How to start an examiner, whose stdin is to be a socket: by the flags of this interpreter."""
    # -P: whatever lies in the current directory is not to be imported for ours.
    flags = [*_args_from_interpreter_flags(), "-P"]
    return [sys.executable, *flags, "-c", _PROGRAM, import_root()]


def _linked_pair() -> tuple[socket.socket, socket.socket]:
    with fork_waits:  # a fork between the two would not know of them
        pair = socket.socketpair()
        _links.update(pair)
    return pair


def _close(link: socket.socket) -> None:
    link.close()
    _links.discard(link)


def _close_after_fork() -> None:
    for link in [*_links]:
        _close(link)


os.register_at_fork(after_in_child=_close_after_fork)
