"""A handle: one opened journal in one process, with everything its parts share.

Theory of operation: the handle owns the descriptors, the mark, the in-memory state (index and
chain) and the verdicts "closed", "forked" and "poisoned". Readers hold no lock: they read the mark,
let the state catch up under ``index_lock`` when it lags, and then look only at what lies at or
below the position they saw. Descriptors are closed when the last user drops them, so that a call
in flight never reads from a reused number.
"""

from __future__ import annotations

import os
import threading
import weakref
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from aurora_es.errors import (
    ClosedError,
    CorruptionError,
    ForkedHandle,
    PoisonedHandleError,
    StorageError,
)
from aurora_es.files.layer import open_regular
from aurora_es.format.names import LOCK, MARK, TURN, segment_name
from aurora_es.journal.logs import logger
from aurora_es.journal.lookup import JournalIndex
from aurora_es.journal.mark_file import MarkFile
from aurora_es.journal.meters import Meters
from aurora_es.options import CompressionFormat, RollCycle, Sync
from aurora_es.segment.file import SegmentFile, check_segment
from aurora_es.weak_sets import members_of

if TYPE_CHECKING:
    from aurora_es.files.layer import Effects, Files
    from aurora_es.format.manifest import Manifest
    from aurora_es.format.mark import Mark
    from aurora_es.journal.sealed_index import SealedIndex
    from aurora_es.segment.walk import Chain

_OPEN_SEGMENTS_MAX = 64
_COMMIT_IDS_DRAWN = 64


class Descriptors:
    """The descriptors of an open journal; closed with the last reference."""

    __slots__ = ("files", "lock_fd", "lock_inode", "lock_path", "mark", "turn_fd", "turn_path")

    def __init__(self, files: Files, directory: str, *, read_only: bool) -> None:
        """Open mark and, for appending, the lock files."""
        self.files = files
        self.lock_fd = self.turn_fd = -1
        self.lock_inode = 0
        self.lock_path = os.path.join(directory, LOCK)
        self.turn_path = os.path.join(directory, TURN)
        mark_path = os.path.join(directory, MARK)
        flags = os.O_RDONLY if read_only else os.O_RDWR
        try:
            mark_fd = open_regular(files, mark_path, flags)
        except FileNotFoundError as error:
            raise CorruptionError(
                mark_path, 0, expected="the mark of a journal that has a manifest", found="no file"
            ) from error
        self.mark = MarkFile(files, mark_path, mark_fd)
        if not read_only:
            create = os.O_RDWR | os.O_CREAT
            self.turn_fd = open_regular(files, self.turn_path, create)
            self.lock_fd = open_regular(files, self.lock_path, create)
            self.lock_inode = files.fstat(self.lock_fd).st_ino

    def close(self) -> None:
        """Close now, without unlocking: in the child of a fork the locks are the parent's."""
        for fd in (self.lock_fd, self.turn_fd, self.mark.fd):
            if fd >= 0:
                self.files.close(fd)
        self.lock_fd = self.turn_fd = self.mark.fd = -1

    def __del__(self) -> None:
        """Close with the last reference."""
        if hasattr(self, "mark"):
            self.close()


class MissingSegmentError(CorruptionError):
    """A segment as it was appended to has no file; seen by users only if none took its place.

    It may have been cooled since the manifest was read: see ``generation.renew_past``.
    """

    def __init__(self, path: str, segment_number: int, *, expected: str) -> None:
        """Name the file, and what was expected of it."""
        super().__init__(path, 0, expected=expected, found="no file")
        self.segment_number = segment_number


@dataclass(slots=True)
class State:
    """What a process knows of a journal up to ``chain``; replaced whole when it can't be trusted.

    Written by the holder of ``Handle.index_lock`` only.
    """

    index: JournalIndex
    chain: Chain | None = None  # None before the first segment was looked at
    indexed_commit: int = 0
    # Set while index and chain are changed. Found set it means that a change was left in the middle, by
    # an exception behind which there was no memory even to forget the state.
    is_changing: bool = False


class Handle:
    """Shared state of an opened journal. ``opening.open_handle`` makes one."""

    def __init__(
        self, effects: Effects, path: str, *, read_only: bool, lock_timeout: float
    ) -> None:
        """Prepare a handle on the directory ``path``, which may not exist yet."""
        self.effects = effects
        self.files = effects.files
        self.path = path
        self.read_only = read_only
        self.lock_timeout = lock_timeout
        self.descriptors: Descriptors | None = None  # None: absent, closed, forked or poisoned
        self.manifest: Manifest | None = None  # set together with descriptors
        self.sealed: SealedIndex | None = None  # what it lists; replaced whole under index_lock
        self.retained_from = 1  # as the manifest says: positions below it are gone
        self.manifest_looked_at = 0.0  # monotonic seconds
        self.keeps_postings = False  # an append had a condition: all appends add to the postings
        self.has_new_segment = False  # since the last append: ``tending`` is due
        self.genesis_id = b""
        self.directory_identity: tuple[int, int] | None = None  # (device, inode) once attached
        self.sync_mode = Sync.ALWAYS
        self.roll_cycle = RollCycle.DAY
        self.roll_bounds = self.roll_cycle.bounds()
        self.compression = CompressionFormat.NONE
        self.codec = 0  # of ``compression``
        self.attach_mutex = threading.Lock()
        # Taken before the flocks, by AppendLock only, and never twice: of this kind since it knows who
        # has it, whenever an interrupt comes.
        self.append_mutex = threading.RLock()
        self.index_lock = threading.Lock()
        # Threads that may hold append_mutex, and those that may hold index_lock outside of an
        # append: each adds and discards itself, see ``closing.py``.
        self.appending_threads: set[int] = set()
        self.indexing_threads: set[int] = set()
        self.state = State(JournalIndex())
        self.epoch: int | None = None  # of the mark seen first; None before
        # Under the append lock only:
        self.in_doubt = False  # a write was begun whose end nobody saw
        self.tail: SegmentFile | None = None  # the tail, open for writing
        self.reserved_end = 0  # offset up to which the tail is filled with zeros
        self.own_mark: Mark | None = None  # published last by this handle, its state is there
        self.contended = 0  # above 0: another process has appended not long ago
        self.turn_ends = 0.0  # monotonic seconds; until then appends need not queue for ``turn``
        self.mark_synced_at = 0.0  # monotonic seconds
        self.mark_synced_sequence = 0
        self.unresolved: dict[bytes, int] = {}  # commit id -> first position + 1, 0: not found
        # Verdicts, each set once:
        self.closed = False
        self.forked = False
        self.poison: BaseException | None = None
        self.recoveries = 0
        self.adopted_commits = 0
        self.cut_bytes = 0
        self.meters = Meters()
        self._commit_ids: list[bytes] = []
        self.open_segments: dict[int, SegmentFile] = {}
        _handles.add(self)

    def usable(self) -> Descriptors | None:
        """Descriptors of a usable handle, None while the journal does not exist yet."""
        descriptors = self.descriptors
        if descriptors is None:
            self.check_usable()
        return descriptors

    def attached(self) -> Descriptors:
        """Descriptors of a usable handle that were there a moment ago.

        Raises StorageError if another thread, which was opening the journal, has since failed or was
        interrupted: it has taken back what it had opened.
        """
        descriptors = self.usable()
        if descriptors is None:
            message = (
                f"{self.path}: another thread was stopped while it opened the journal; nothing of"
                " this call was written. Try again; if that fails, too, `aurora-es doctor` tells more"
            )
            raise StorageError(message)
        return descriptors

    def check_usable(self) -> None:
        """Raise what forbids the use of this handle, if anything does."""
        if self.poison is not None:
            self._raise_poisoned()
        if self.forked:
            message = f"{self.path} was opened before a fork; open it again in this process (Journal.open)"
            raise ForkedHandle(message)
        if self.closed:
            message = f"{self.path} was closed; open it again (Journal.open)"
            raise ClosedError(message)

    def _raise_poisoned(self) -> NoReturn:
        message = (
            f"{self.path}: an earlier sync failed ({self.poison}); what was on its way then may or"
            " may not be on disk. Open the journal again (Journal.open): that recovers first"
        )
        raise PoisonedHandleError(message) from self.poison

    def poison_with(self, error: BaseException) -> None:
        """Make the handle final after a failed sync; every later call raises."""
        if self.poison is None:
            # A copy has no traceback, whose frames would keep this handle, and the handle them: the
            # descriptors would stay open until the next garbage collection.
            self.poison = copy(error)
            self.descriptors = None
            logger.error("%s: a sync failed, the handle is final: %s", self.path, self.poison)

    def segment(self, segment_number: int, base_position: int) -> SegmentFile:
        """The segment file, opened for reading if need be; raises CorruptionError if missing."""
        file = self.open_segments.get(segment_number)
        if file is None:
            path = os.path.join(self.path, segment_name(segment_number, base_position))
            try:
                file = SegmentFile(self.files, path, writable=False)
            except FileNotFoundError as error:
                raise MissingSegmentError(
                    path, segment_number, expected="a segment below the mark"
                ) from error
            check_segment(self.genesis_id, file, segment_number, base_position)
            while len(self.open_segments) >= _OPEN_SEGMENTS_MAX:
                self.open_segments.pop(next(iter(self.open_segments)), None)
            self.open_segments[segment_number] = file
        return file

    def open_tail(self, chain: Chain) -> SegmentFile:
        """The tail segment opened for writing; the caller holds the append lock."""
        tail = self.tail
        if tail is None or tail.header.segment_number != chain.segment_number:
            name = segment_name(chain.segment_number, chain.base_position)
            tail = SegmentFile(self.files, os.path.join(self.path, name), writable=True)
            check_segment(self.genesis_id, tail, chain.segment_number, chain.base_position)
            self.tail = tail
            self.reserved_end = 0
        return tail

    def set_roll_cycle(self, cycle: RollCycle) -> None:
        """Let ``cycle`` decide about the next roll."""
        self.roll_cycle = cycle
        self.roll_bounds = cycle.bounds()

    def next_commit_id(self) -> bytes:
        """16 random bytes. Drawn in blocks; a block never outlives a fork, as handles do not."""
        while True:
            try:
                return self._commit_ids.pop()
            except IndexError:
                block = self.effects.random_bytes(16 * _COMMIT_IDS_DRAWN)
                ids = [block[at : at + 16] for at in range(0, len(block), 16)]
                self._commit_ids = ids

    def forget_state(self) -> None:
        """Drop index and chain: they are read anew from the segments at the next call."""
        self.state = State(JournalIndex(self.sealed))
        self.own_mark = None

    def sync_mark(self, mark: Mark) -> None:
        """Force the mark to disk and remember that; raises OSError."""
        descriptors = self.usable()
        if descriptors is not None:
            descriptors.mark.sync()
            self.mark_synced_at = self.effects.monotonic()
            self.mark_synced_sequence = mark.sequence

    def is_finalized(self) -> bool:
        """Whether this is garbage whose descriptors the collector has finalized already.

        It runs the finalizers of what it frees in no order: one of a user may close a journal whose
        descriptors are gone.
        """
        descriptors, tail = self.descriptors, self.tail
        return (descriptors is not None and descriptors.mark.fd < 0) or (
            tail is not None and tail.fd < 0
        )

    def drop(self) -> None:
        """Forget all descriptors; each closes when its last user has gone."""
        self.descriptors = None
        self.tail = None
        self.open_segments = {}

    def close_after_fork(self) -> None:
        """In the child: close the parent's descriptors without unlocking, and be forked."""
        descriptors, self.descriptors = self.descriptors, None
        self.forked = True
        self.attach_mutex = threading.Lock()
        self.append_mutex = threading.RLock()
        self.index_lock = threading.Lock()
        self.appending_threads = set()
        self.indexing_threads = set()
        if descriptors is not None:
            descriptors.close()
        for file in [*self.open_segments.values(), self.tail, self.sealed]:
            if file is not None:
                file.close()
        self.drop()


_handles: weakref.WeakSet[Handle] = weakref.WeakSet()


def all_handles() -> list[Handle]:
    """Every handle of this process."""
    return members_of(_handles)


def _close_after_fork() -> None:
    # The child owns copies of the parent's descriptors: unlocking one would drop the parent's
    # lock, so they are only closed. The handles raise ForkedHandle from here on.
    for handle in all_handles():
        handle.close_after_fork()


os.register_at_fork(after_in_child=_close_after_fork)
