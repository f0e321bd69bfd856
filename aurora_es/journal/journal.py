"""The public class ``Journal``; the one place that assembles the parts."""

from __future__ import annotations

import os
import weakref
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self, TypeVar

from aurora_es.codecs.compression import CODEC_OF
from aurora_es.errors import (
    ArgumentError,
    AuroraError,
    HistoryChangedError,
    ReadOnlyError,
    StorageError,
)
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.index.query import query_of_topics
from aurora_es.journal.catch_up import refresh
from aurora_es.journal.closing import put_off
from aurora_es.journal.commit import prepare_commit, tracking_data
from aurora_es.journal.conditions import append_on_condition
from aurora_es.journal.conflicts import refuse_repetition
from aurora_es.journal.creation import Settings, create_journal, whole_hours
from aurora_es.journal.exclusive import ExclusiveAppend
from aurora_es.journal.filtering import read_matches
from aurora_es.journal.following import Follower
from aurora_es.journal.generation import renew_manifest
from aurora_es.journal.group import GroupCommit, mark_sync_is_due
from aurora_es.journal.handle import Handle
from aurora_es.journal.listing import count_topics, list_originators
from aurora_es.journal.opening import attach, refusals_named, refuse_network
from aurora_es.journal.reading import read_groups
from aurora_es.journal.recorded import change_recorded
from aurora_es.journal.records import (
    Record,
    StoredRecord,
    datetime_of,
    record_of,
    row_of,
    timestamp_of,
)
from aurora_es.journal.roll import roll_is_due
from aurora_es.journal.spawn import background_default
from aurora_es.journal.statistics import statistics_of
from aurora_es.journal.syncing import IntervalSyncer, sync_journal
from aurora_es.journal.tailing import Tailer
from aurora_es.journal.tending import tend
from aurora_es.journal.times import position_at
from aurora_es.journal.truncation import check_position
from aurora_es.options import CompressionFormat, RollCycle, Sync
from aurora_es.weak_sets import members_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aurora_es.files.layer import Effects
    from aurora_es.format.payload import TrackingData
    from aurora_es.index.query import Condition, Query
    from aurora_es.journal.commit import Identity, Row
    from aurora_es.journal.filtering import Match
    from aurora_es.journal.listing import Originator
    from aurora_es.journal.statistics import Statistics

_T = TypeVar("_T")
LOCK_TIMEOUT_SECONDS_DEFAULT = 5.0


class Journal:
    """A directory that holds one append-only, totally ordered sequence of records.

    Any number of threads and processes may open one journal at once. An object is safe to share
    between threads. After a fork the child must open the journal again: its copy raises
    ForkedHandle. The directory is made by the first append.
    """

    def __init__(  # noqa: PLR0913 - assembled here and by ``open`` only
        self,
        effects: Effects,
        path: str,
        settings: Settings,
        *,
        read_only: bool = False,
        lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
        poll_interval: float | None = None,
        new_parents_max: int = 0,
        background: bool = False,
    ) -> None:
        """Assemble a journal from its parts; users call ``Journal.open``."""
        self.handle = Handle(effects, path, read_only=read_only, lock_timeout=lock_timeout)
        self.settings = settings
        # The first commit is encoded before the journal exists.
        self.handle.codec = CODEC_OF[settings.compression or self.handle.compression]
        self._new_parents_max = new_parents_max
        self._poll_interval = poll_interval
        self._group = GroupCommit(self.handle)
        self._syncer: IntervalSyncer | None = None
        self._has_appended = False
        self._background = background and not read_only
        self._followers: weakref.WeakSet[Follower] = weakref.WeakSet()
        self.attach()

    @classmethod
    def open(  # noqa: PLR0913 - a user's choices, all by name
        cls,
        path: str | os.PathLike[str],
        *,
        roll_cycle: RollCycle | None = None,
        compression: CompressionFormat | None = None,
        sync: Sync | None = None,
        read_only: bool = False,
        lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
        poll_interval: float | None = None,
        allow_network_file_system: bool = False,
        background: bool | None = None,
        cool_after: timedelta | None = None,
    ) -> Self:
        """Open the journal in the directory ``path``, which its first append makes.

        ``roll_cycle``, ``compression`` and ``sync`` left at None mean as recorded in the journal,
        or ``DAY``, ``NONE`` and ``ALWAYS`` when it is made. Another roll cycle or compression is
        recorded (the cycle holds from the next roll); another sync mode is an error, see
        ``set_sync``. ``lock_timeout`` (seconds) bounds the wait of an append; ``poll_interval``
        (seconds) bounds how long a lost wake-up can delay a tailer. ``background`` says whether a
        roll starts a process that seals and merges (None: unless ``AURORA_BACKGROUND=n``);
        ``cool_after`` is recorded: so old segments are stored again, compressed, in whole hours.

        Raises AuroraConfigurationError, ForeignDirectoryError, CorruptionError,
        UnsupportedFormatError, and StorageError for what the operating system refuses.
        """
        text = os.path.abspath(os.fspath(path))
        if not allow_network_file_system:
            refuse_network(text)
        return cls(
            SYSTEM_EFFECTS,
            text,
            Settings(sync, roll_cycle, compression, cool_after_hours=whole_hours(cool_after)),
            read_only=read_only,
            lock_timeout=lock_timeout,
            poll_interval=poll_interval,
            background=background_default() if background is None else background,
        )

    @classmethod
    def set_sync(cls, path: str | os.PathLike[str], sync: Sync) -> None:
        """Change the recorded sync mode of a journal that nobody has open.

        Everything in it is synced first. A journal that any process has open for appending is
        refused with InUseError; ``aurora_es.care.change_settings`` changes the other settings, too.
        """
        with cls.open(path) as journal:
            if not journal.attach():
                message = f"{journal.handle.path}: expected a journal, found none; append first"
                raise ArgumentError(message)
            change_recorded(journal.handle, sync=sync)

    # Appending

    def append(
        self,
        records: Iterable[Record],
        *,
        tracking: tuple[str, int] | None = None,
    ) -> range:
        """Append all ``records``, and ``tracking``, as one commit; returns their positions.

        ``tracking`` is (application name, notification id) and must rise for each name. When the
        call returns, the commit is visible to every process and, under ``Sync.ALWAYS``, on disk.
        No records and no tracking write nothing and return an empty range.

        Raises ConflictError (nothing written), CommitOutcomeUnknownError (a sync failed; the
        handle is final), LockTimeoutError, StorageFullError, ArgumentError, TooLargeError,
        ReadOnlyError, ClosedError, ForkedHandle, CorruptionError.
        """
        rows = []
        identities = []
        for record in records:
            row, identity = row_of(record)
            rows.append(row)
            identities.append(identity)
        first = self.append_rows(
            rows, identities, None if tracking is None else tracking_data(*tracking)
        )
        return range(first, first + len(rows))

    def append_rows(
        self,
        rows: Sequence[Row],
        identities: Sequence[Identity],
        tracking: TrackingData | None,
        *,
        lock_timeout: float | None = None,
        condition: Condition | None = None,
    ) -> int:
        """Append checked rows as one commit (for the faces); returns the first position.

        ``lock_timeout`` bounds the wait of this call, in seconds; 0.0 waits for nobody. Raises
        ConflictError if ``condition`` is broken; its ``conflicts`` name the positions.
        """
        handle = self.handle
        if handle.descriptors is None or handle.read_only:
            self._check_appendable()
        if not rows and tracking is None:
            return 0
        exists = handle.descriptors is not None or self.attach()
        commit = prepare_commit(handle.next_commit_id(), rows, identities, tracking, handle.codec)
        if not exists:
            refuse_repetition(identities)  # what will not be written makes no journal
            self._create()
        if not self._has_appended:
            self._start_appending()
        try:
            if condition is None:
                first = self._group.append(commit, lock_timeout)
            else:
                first = append_on_condition(self._group, handle, commit, condition, lock_timeout)
        except AuroraError:
            raise
        except OSError as error:
            message = (
                f"{handle.path}: {error}; nothing of this call was written. `aurora-es doctor`"
                " looks at rights and space"
            )
            raise StorageError(message) from error
        if handle.has_new_segment:
            self.tend()
        return first

    def exclusive(self) -> ExclusiveAppend:
        """The append lock, to be held while somebody reads and decides (for the faces).

        Makes the journal if there is none. ``tend`` when the lock is released.
        """
        self._check_appendable()
        if self.handle.descriptors is None and not self.attach():
            self._create()
        if not self._has_appended:
            self._start_appending()
        return ExclusiveAppend(self.handle)

    def tend(self) -> None:
        """Let what is sealed be tended if a segment has begun since the last time."""
        handle = self.handle
        if handle.has_new_segment:
            handle.has_new_segment = False
            if self._background and handle.descriptors is not None:
                tend(handle)

    def appends_at_once(self) -> bool:
        """Whether an append now would wait for no disk, for faces whose threads must not wait.

        False whenever it would create, roll or sync; a guess where another process has just rolled.
        """
        handle = self.handle
        chain = handle.state.chain
        if handle.sync_mode is Sync.ALWAYS or chain is None or not self._has_appended:
            return False
        effects = handle.effects
        return not (
            mark_sync_is_due(handle, effects.monotonic())
            or roll_is_due(handle.roll_bounds, chain, max(effects.clock(), chain.timestamp))
        )

    def _check_appendable(self) -> None:
        handle = self.handle
        handle.check_usable()
        if handle.read_only:
            message = (
                f"{handle.path} was opened read-only; open it for appending: Journal.open without"
                " read_only=True, or AURORA_READ_ONLY=n"
            )
            raise ReadOnlyError(message)

    def create(self) -> None:
        """Make the journal now, and not with the first append, unless it exists already."""
        self._check_appendable()
        if not self.attach():
            self._create()

    def _create(self) -> None:
        handle = self.handle
        deadline = handle.effects.monotonic() + handle.lock_timeout
        with refusals_named(handle.path):
            create_journal(
                handle.effects,
                handle.path,
                self.settings,
                deadline=deadline,
                new_parents_max=self._new_parents_max,
            )
        self.attach()

    def _start_appending(self) -> None:
        with self.handle.attach_mutex:  # two threads must not start two syncers
            if self._has_appended:
                return
            interval_ms = self.handle.sync_mode.interval_ms
            if interval_ms:
                self._syncer = IntervalSyncer(self.handle, interval_ms / 1000)
            self._has_appended = True

    # Reading

    @property
    def last_position(self) -> int:
        """Position of the newest visible record; 0 when there is none."""
        self.attach()
        return self._refresh()

    @property
    def first_position(self) -> int:
        """Position of the first record that can be read: 1, unless earlier ones were dropped."""
        self.renew()
        return self.handle.retained_from

    def _refresh(self) -> int:
        try:
            return refresh(self.handle)
        except AuroraError:
            raise
        except OSError as error:
            raise _unreadable(self.handle, error) from error

    def read(
        self,
        start: int = 1,
        stop: int | None = None,
        limit: int | None = None,
        topics: Sequence[str] = (),
        as_of: datetime | None = None,
    ) -> Iterator[StoredRecord]:
        """Read records from position ``start`` to ``stop``, both included, in order.

        Ends at the newest record that was visible at the call, or committed by the time ``as_of``.
        ``limit`` bounds the number of records returned, ``topics`` leaves out all others. Raises
        ArgumentError, CorruptionError, TruncatedError below ``first_position``, and
        HistoryChangedError if a recovery takes back visible records while they are read.
        """
        if limit is not None and limit < 0:
            message = f"limit: expected 0 or more, found {limit}"
            raise ArgumentError(message)
        until = self.last_position if as_of is None else self.position_at(as_of)
        if stop is not None:
            until = min(until, stop)
        start = max(start, 1)
        check_position(self.handle, start)
        return self._read(start, until, limit, frozenset(topics), self.handle.epoch)

    def _read(
        self,
        start: int,
        until: int,
        limit: int | None,
        topics: frozenset[str],
        epoch: int | None,
    ) -> Iterator[StoredRecord]:
        if topics:
            yield from self._read_topics(start, until, limit, topics, epoch)
            return
        if limit is not None:
            until = min(until, self._last_of(start, limit))
        for first, timestamp, records in self._unchanged(
            read_groups(self.handle, start, until), epoch
        ):
            time = datetime_of(timestamp)
            for position, data in enumerate(records, first):
                if start <= position <= until:
                    yield StoredRecord(position, time, record_of(data))

    def _last_of(self, start: int, limit: int) -> int:
        """Position of the last of ``limit`` records from ``start`` on, however many there are."""
        holes = self.handle.state.index.holes
        return holes.last_of(start, limit) if holes and limit else start + limit - 1

    def _read_topics(
        self,
        start: int,
        until: int,
        limit: int | None,
        topics: frozenset[str],
        epoch: int | None,
    ) -> Iterator[StoredRecord]:
        query = query_of_topics(topics)
        batches = read_matches(self.handle, query, start, until, limit, with_times=True)
        for matches in self._unchanged(batches, epoch):
            for position, timestamp, data in matches:
                yield StoredRecord(position, datetime_of(timestamp), record_of(data))

    def read_matches(
        self, query: Query, start: int, until: int, limit: int | None, epoch: int | None
    ) -> Iterator[list[Match]]:
        """Read what matches ``query``, in batches (for the faces); up to a visible ``until``.

        Raises what ``read`` raises; HistoryChangedError unless all is read in ``epoch``.
        """
        check_position(self.handle, start)
        batches = read_matches(self.handle, query, start, until, limit, with_times=False)
        return self._unchanged(batches, epoch)

    def _unchanged(self, parts: Iterator[_T], epoch: int | None) -> Iterator[_T]:
        """The same ``parts``, as long as they are read in ``epoch``."""
        while True:
            try:
                part = next(parts, None)
            except AuroraError:
                raise
            except OSError as error:
                raise _unreadable(self.handle, error) from error
            if part is None:
                return
            if self.handle.epoch != epoch:
                message = (
                    f"{self.handle.path}: the epoch changed from {epoch} to {self.handle.epoch}"
                    " while records were read. Start again from a position that you trust:"
                    " Journal.tail(after=…), Journal.read(start)"
                )
                raise HistoryChangedError(message)
            yield part

    def position_at(self, when: datetime) -> int:
        """Return the last position that was committed at or before ``when``, 0 if there is none.

        The times of commits are those of the machine's clock, but never go backwards. Raises
        ArgumentError for a datetime without a time zone.
        """
        timestamp = timestamp_of(when)
        until = self.last_position
        try:
            return position_at(self.handle, until, timestamp)
        except AuroraError:
            raise
        except OSError as error:
            raise _unreadable(self.handle, error) from error

    def tail(self, after: int = 0) -> Tailer:
        """Follow the journal: an iterator over all records behind position ``after``.

        It waits for more at the end, across rolls and processes, until its ``stop()`` is called
        from any thread or the journal is closed.
        """
        return Tailer(self, after)

    def follower(self) -> Follower:
        """A follower of this journal (for the faces); closing the journal stops it."""
        self.handle.check_usable()
        follower = Follower(self.handle, self.attach, poll_interval=self._poll_interval)
        self._followers.add(follower)
        return follower

    def originator_ids(
        self, prefix: str | None = None, first_topic: str | None = None
    ) -> Iterator[Originator]:
        """List originators: id, number of records, last version, first topic, first position.

        Of all that were there at the call, those whose id, as text, begins with ``prefix`` and
        whose first record has the topic ``first_topic``, in no useful order. Memory is bounded by
        the tail; each originator costs two reads or three.
        """
        self.renew()
        self._refresh()
        listed = list_originators(self.handle)
        return self._chosen_originators(listed, prefix, first_topic)

    def _chosen_originators(
        self, listed: Iterator[Originator], prefix: str | None, first_topic: str | None
    ) -> Iterator[Originator]:
        try:
            for found in listed:
                if prefix is not None and not str(found.originator_id).startswith(prefix):
                    continue
                if first_topic is None or found.first_topic == first_topic:
                    yield found
        except AuroraError:
            raise
        except OSError as error:
            raise _unreadable(self.handle, error) from error

    def tracking(self) -> dict[str, int]:
        """Notification id reached, by name of the application that is followed."""
        self.attach()
        self._refresh()
        tracked = self.handle.state.index.tracking.copy()
        return {name: tracked[name].notification_id for name in sorted(tracked)}

    def topics(self) -> dict[str, int]:
        """Count the records of each topic; reads the tail, and what has too many topics to list."""
        self.renew()
        self._refresh()
        try:
            return count_topics(self.handle)
        except AuroraError:
            raise
        except OSError as error:
            raise _unreadable(self.handle, error) from error

    # Looking after it

    def renew(self) -> None:
        """Use what has been sealed, cooled or dropped meanwhile, by whichever process."""
        if self.attach() and self.handle.usable() is not None:
            renew_manifest(self.handle)

    def attach(self) -> bool:
        """Attach to the files, if the journal exists by now; returns whether it does."""
        handle = self.handle
        if handle.descriptors is not None:
            return True
        with refusals_named(handle.path):
            return attach(handle, self.settings)

    def sync(self) -> None:
        """Force everything visible to disk; raises CommitOutcomeUnknownError if that fails."""
        self.handle.check_usable()
        if self.handle.read_only:
            message = (
                f"{self.handle.path} was opened read-only; syncing is for appenders. Open it"
                " without read_only=True (AURORA_READ_ONLY=n), or leave it to them"
            )
            raise ReadOnlyError(message)
        sync_journal(self.handle)

    def statistics(self) -> Statistics:
        """Counts, sizes and settings, cheaply: read are the mark, what is new, and sizes of files."""
        exists = self.attach()
        self._refresh()
        try:
            return statistics_of(self.handle, exists=exists)
        except OSError as error:
            raise _unreadable(self.handle, error) from error

    def close(self) -> None:
        """Sync what was appended, end all tailers and release everything; idempotent.

        Calls in flight finish; later ones raise ClosedError. In a finalizer or signal handler that
        runs in the middle of a call it is put off until that call has released its locks.
        """
        handle = self.handle
        if handle.closed or put_off(self.close):
            return
        if handle.is_finalized():
            handle.closed = True
            handle.drop()
            return
        try:
            if self._syncer is not None:
                self._syncer.stop()
            if self._has_appended and handle.poison is None and not handle.forked:
                self._sync_at_close()
        finally:
            self._release()

    def _release(self) -> None:
        handle = self.handle
        # An append in flight has to publish what it wrote, so it keeps its descriptors; but not
        # for ever: what a stuck one leaves behind is recovered by the next owner of the lock.
        waited = handle.append_mutex.acquire(timeout=handle.lock_timeout)
        try:
            handle.closed = True
            handle.drop()
        finally:
            if waited:
                handle.append_mutex.release()
            for follower in members_of(self._followers):
                follower.stop()

    def _sync_at_close(self) -> None:
        handle = self.handle
        if handle.sync_mode != Sync.ALWAYS:
            sync_journal(handle)
            return
        # Commits are on disk already; the mark alone needs no lock to be synced.
        descriptors = handle.usable()
        if descriptors is not None:
            try:
                mark = descriptors.mark.read()
                if mark.sequence != handle.mark_synced_sequence:
                    handle.sync_mark(mark)
            except OSError as error:
                handle.poison_with(error)

    def __enter__(self) -> Self:
        """Return the journal itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Name the path and the state."""
        state = "closed" if self.handle.closed else "open"
        return f"<{type(self).__name__} {self.handle.path!r} {state}>"


def _unreadable(handle: Handle, error: OSError) -> StorageError:
    return StorageError(
        f"{handle.path}: {error}; what was asked for could not be read. `aurora-es doctor` looks at"
        " rights and limits"
    )
