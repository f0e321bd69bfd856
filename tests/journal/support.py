"""Fakes and helpers for tests of the journal."""

from __future__ import annotations

import itertools
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from aurora_es import CompressionFormat, Journal, Record, RollCycle, Sync
from aurora_es.files.layer import Effects, Files, SystemFiles
from aurora_es.format.names import MARK
from aurora_es.journal.creation import Settings
from tests.patience import PATIENCE_SECONDS

START = 1_700_000_000_000_000  # 2023-11-14 22:13:20 UTC, a Tuesday
SECOND = 1_000_000
HOUR = 3_600 * SECOND

Call = Callable[[], Any]
Reaction = Callable[..., Any]


class ManualClock:
    """A clock that moves when told."""

    def __init__(self, now: int = START) -> None:
        """Start at ``now`` (microseconds)."""
        self.now = now

    def __call__(self) -> int:
        """Tell the time."""
        return self.now


class QuickFiles(SystemFiles):
    """The operating system's calls without syncs, where a test is not about power cuts."""

    @staticmethod
    def fsync(fd: object) -> None:
        """Sync nothing."""

    @staticmethod
    def fdatasync(fd: object) -> None:
        """Sync nothing."""

    @staticmethod
    def sync_directory(path: str) -> None:
        """Sync nothing."""


class ScriptedFiles:
    """Files of which chosen calls react as a test says.

    A reaction is called as ``reaction(call, *arguments)``, where ``call()`` is the real one. That
    to "*" is for all calls that have none of their own, but for ``close``: finalizers come when
    they like.
    """

    def __init__(self, inner: Files | None = None) -> None:
        """Pass everything on to ``inner``, by default the operating system without syncs."""
        self.inner: Files = QuickFiles() if inner is None else inner
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.reactions: dict[str, Reaction] = {}
        self.garbled = False  # set by ``garbling_copies``

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Give the call ``name``."""
        inner = getattr(self.inner, name)

        def call(*arguments: Any) -> Any:
            self.calls.append((name, arguments))
            reaction = self.reactions.get(name)
            if reaction is None and name != "close":
                reaction = self.reactions.get("*")
            if reaction is None:
                return inner(*arguments)
            return reaction(lambda: inner(*arguments), *arguments)

        return call

    @property
    def files(self) -> Files:
        """The same object, by the type of what it stands for."""
        return cast("Files", self)

    def fail(  # noqa: PLR0913 - each may be left out
        self,
        name: str,
        error: BaseException,
        *,
        times: int = 1,
        after: int = 0,
        late: bool = False,
        when: Callable[..., bool] = lambda *_: True,
    ) -> None:
        """Let call ``name`` raise, ``times`` times, behind ``after`` calls that succeed.

        With ``late`` it takes effect before it raises. Only calls with arguments for which
        ``when`` holds count.
        """
        counter = itertools.count()

        def reaction(call: Call, *arguments: Any) -> Any:
            if when(*arguments) and after <= next(counter) < after + times:
                if late:
                    call()
                raise error
            return call()

        self.reactions[name] = reaction

    def obey(self) -> None:
        """Let every call succeed again."""
        self.reactions.clear()


def error_of(number: int) -> OSError:
    """Make the error that the operating system gives for ``number``."""
    return OSError(number, os.strerror(number))


def effects_with(
    files: Files | ScriptedFiles | None = None,
    *,
    clock: Callable[[], int] | None = None,
    reserve_bytes: int = 4096,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> Effects:
    """Make effects: quick files, a clock that stands still and a small reserve unless told."""
    return Effects(
        files=cast("Files", QuickFiles() if files is None else files),
        clock=ManualClock() if clock is None else clock,
        random_bytes=random_bytes,
        reserve_bytes=reserve_bytes,
    )


def open_with(  # noqa: PLR0913 - as Journal.open
    path: str | os.PathLike[str],
    effects: Effects | None = None,
    *,
    sync: Sync | None = None,
    roll_cycle: RollCycle | None = None,
    compression: CompressionFormat | None = None,
    read_only: bool = False,
    lock_timeout: float = PATIENCE_SECONDS,
) -> Journal:
    """Open a journal with other effects than the system's."""
    return Journal(
        effects_with() if effects is None else effects,
        os.path.abspath(path),
        Settings(sync, roll_cycle, compression),
        read_only=read_only,
        lock_timeout=lock_timeout,
    )


def event(originator_id: Any, version: int, state: bytes = b"state", topic: str = "t") -> Record:
    """Make a record of an originator."""
    return Record(topic=topic, state=state, originator_id=originator_id, originator_version=version)


def message(state: bytes = b"state", topic: str = "t") -> Record:
    """Make a record without an originator."""
    return Record(topic=topic, state=state)


def states(journal: Journal, **arguments: Any) -> list[bytes]:
    """Read the states of all records, after checking that positions have no gap."""
    stored = list(journal.read(**arguments))
    if not arguments:
        assert [one.position for one in stored] == list(range(1, len(stored) + 1))
    return [one.record.state for one in stored]


@dataclass(frozen=True)
class FileState:
    """What can be seen of a file."""

    mode: int
    modified_ns: int
    size: int
    inode: int
    content: bytes | None


def bind_socket(place: Path) -> None:
    """Put a socket there."""
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(place.parent)  # the path of a socket may have 108 bytes only
        try:
            listening.bind(place.name)
        finally:
            os.chdir(here)


def snapshot(directory: str | os.PathLike[str]) -> dict[str, FileState]:
    """Look at a directory and all files in it, to compare later."""
    found = {}
    for parent, directories, files in os.walk(directory):
        for path in [parent, *(os.path.join(parent, name) for name in [*directories, *files])]:
            status = os.lstat(path)
            content = None
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            found[path] = FileState(
                status.st_mode, status.st_mtime_ns, status.st_size, status.st_ino, content
            )
    return found


def patch(path: str | os.PathLike[str], offset: int, data: bytes) -> None:
    """Overwrite bytes of a file."""
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(path: str | os.PathLike[str], offset: int, mask: int = 0x01) -> None:
    """Flip bits of one byte of a file."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


def segment_paths(directory: str | os.PathLike[str]) -> list[str]:
    """List the segment files of a journal, in order."""
    return sorted(
        os.path.join(directory, name) for name in os.listdir(directory) if name.endswith(".segment")
    )


def mark_bytes(directory: str | os.PathLike[str]) -> bytes:
    """Read the mark, to put it back later as a power cut or a kill would have left it."""
    with open(os.path.join(directory, MARK), "rb") as file:
        return file.read()


def run_threads(jobs: Iterable[Callable[[], Any]]) -> list[Any]:
    """Run jobs in threads of their own; return results or exceptions, in the order of the jobs."""
    jobs = list(jobs)
    results: list[Any] = [None] * len(jobs)

    def run(at: int) -> None:
        try:
            results[at] = jobs[at]()
        except BaseException as error:  # noqa: BLE001 - any verdict of the code under test
            results[at] = error

    threads = [threading.Thread(target=run, args=(at,), daemon=True) for at in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return results


class QueueWatch:
    """A monotonic clock that knows when a thread waits in the queue of a group commit.

    An append asks for the time once to find its deadline, and again each time it begins to wait.
    """

    def __init__(self) -> None:
        """Nobody waits."""
        self.clock: Callable[[], float] = time.monotonic
        self.begin()

    def begin(self) -> None:
        """Count only who comes from here on; a leader asks for the time as well."""
        self._asked: dict[int, int] = {}
        self._waiting = threading.Semaphore(0)

    def __call__(self) -> float:
        """Tell the time."""
        thread = threading.get_ident()
        self._asked[thread] = self._asked.get(thread, 0) + 1
        if self._asked[thread] == 2:
            self._waiting.release()
        return self.clock()

    def wait_for(self, count: int) -> None:
        """Block until ``count`` more threads have begun to wait."""
        for _ in range(count):
            assert self._waiting.acquire(timeout=PATIENCE_SECONDS), "a thread does not queue"


class Crowd:
    """Threads whose appends wait behind one whose sync is held up, so that they form one group.

    ``before_group`` is called when all of them wait and nothing of theirs was begun.
    """

    def __init__(self, files: ScriptedFiles, before_group: Callable[[], None]) -> None:
        """Prepare for a journal with these files and the effects given by ``effects``."""
        self.watch = QueueWatch()
        self.files = files
        self._before_group = before_group
        self._leader_syncs = threading.Event()

    def effects(self, **arguments: Any) -> Effects:
        """Make effects for the journal."""
        return replace(effects_with(self.files, **arguments), monotonic=self.watch)

    def append(self, journal: Journal, commits: list[list[Record]]) -> list[Any]:
        """Append the first commit, and all others in one group; return positions or errors."""
        return self.call(journal, [partial(journal.append, commit) for commit in commits])

    def call(self, journal: Journal, jobs: list[Call]) -> list[Any]:
        """The same for jobs that each append one commit."""

        def hold_up(call: Call, fd: int) -> Any:
            del self.files.reactions["fdatasync"]
            self.watch.begin()
            self._leader_syncs.set()
            self.watch.wait_for(len(jobs) - 1)
            self._before_group()
            return call()

        if not journal.attach():
            journal._create()  # which syncs, too
        self.files.reactions["fdatasync"] = hold_up

        def wait_and(job: Call) -> Any:
            assert self._leader_syncs.wait(PATIENCE_SECONDS)
            return job()

        return run_threads([jobs[0], *(partial(wait_and, job) for job in jobs[1:])])


def garbling_copies() -> ScriptedFiles:
    """Files that write a wrong byte into every new segment that replaces another."""
    files = ScriptedFiles()
    copies: set[int] = set()

    def note(call: Call, name: str, *_: object) -> Any:
        fd = call()
        if name.endswith(".segment.new"):
            copies.add(fd)
        return fd

    def garble(call: Call, fd: int, data: bytes, offset: int) -> Any:
        if fd in copies and len(data) > 200:
            files.garbled = True
            data = data[:200] + bytes([data[200] ^ 1]) + data[201:]
            return os.pwrite(fd, data, offset)
        return call()

    files.reactions.update(open=note, pwrite=garble)
    return files
