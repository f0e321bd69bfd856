"""Measures what a directory's disk and this machine give: the floor, appends, reads, in seconds.

Theory of operation: everything works in turn, a slice of time each, again and again, so that a
machine that slows down slows down all of it; ratios are of slices that ran side by side. The floor is
what the disk asks for a commit of one event: a write and an ``fdatasync``, into a file that grows and
into one that was filled with zeros, as the tail of a journal is. The journals are in a directory of
their own that is removed at the end; it is so deep that nobody who looks for journals in the
directory above finds them. A file in it is locked meanwhile: the next bench removes what killed ones,
whose locks died with them, have left.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from statistics import median
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import msgspec

from aurora_es.care.copying import remove_tree
from aurora_es.care.measure import percentile, run_in_turn, time_for
from aurora_es.errors import ArgumentError, LockTimeoutError, StorageFullError
from aurora_es.files.floor import Floor
from aurora_es.files.layer import DIRECTORY_MODE, SYSTEM_EFFECTS, exists, is_directory
from aurora_es.files.locks import flocked
from aurora_es.files.mounts import file_system_type
from aurora_es.files.surroundings import space_of
from aurora_es.index.keys import originator_key
from aurora_es.journal.creation import Settings
from aurora_es.journal.discovery import journals_below
from aurora_es.journal.journal import Journal
from aurora_es.journal.opening import refuse_network
from aurora_es.journal.reading import read_selected
from aurora_es.journal.records import Record
from aurora_es.options import Sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.files.layer import Effects, Files

    Progress = Callable[[int, int], object]

SECONDS_DEFAULT = 10.0
_DIRECTORY = ".aurora-es-bench-"
_MARKER = "bench.unfinished"  # in it; locked meanwhile
_SLICE_SECONDS = 0.1
_FREE_BYTES_MIN = 1 << 30
_ZEROED_BYTES = 16 << 20
_STATE = b'{"amount":"1000.00","balance":"12345.67","currency":"EUR","note":"%s"}' % (b"x" * 101)
_BATCH_RECORDS = 100
_PAGE_RECORDS = 1_000
_ORIGINATORS = 200  # that are read, with a batch each

FLOOR, GROWING = "floor", "floor, growing file"
_ALWAYS, _INTERVAL, _NEVER = "append, sync always", "append, sync 20ms", "append, sync never"
_BATCH = f"append of {_BATCH_RECORDS}, sync always"
_PAGE = f"page of {_PAGE_RECORDS:,}"
_LAST = "last event"


class BenchRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of call."""

    name: str
    calls: int
    p50_us: float
    p99_us: float
    per_second: float  # calls, or of batches and pages their events
    times_floor: float | None  # of what syncs: the median ratio to the floor beside it


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, and where."""

    path: str
    file_system: str | None
    event_bytes: int
    rows: tuple[BenchRow, ...]


class _Part(NamedTuple):
    """What is measured."""

    call: Callable[[], object]
    events: int
    is_synced: bool


def bench(
    path: str | os.PathLike[str],
    *,
    seconds: float = SECONDS_DEFAULT,
    progress: Progress | None = None,
    allow_network_file_system: bool = False,
    effects: Effects = SYSTEM_EFFECTS,
) -> BenchReport:
    """Measure for so many seconds in a new directory in ``path``, which is removed at the end.

    Calls are those of a journal, with events of about 200 bytes, by one thread: an application's
    mapper comes on top. ``progress`` is told of slices of time.

    Raises ArgumentError for what is no directory, or a journal; StorageFullError below 1 GiB;
    AuroraConfigurationError on a network file system.
    """
    place = os.path.abspath(os.fspath(path))
    _refuse(effects, place, seconds)
    if not allow_network_file_system:
        refuse_network(place)
    _remove_left_over(effects, place)
    with _directory(effects, place) as directory:
        below = os.path.join(directory, "journals")  # two levels: see above
        effects.files.mkdir(below, DIRECTORY_MODE)
        with ExitStack() as stack:
            bench = _Bench(effects, below, stack)
            slices = bench.measure(seconds, progress)
    return BenchReport(
        path=place,
        file_system=file_system_type(place),
        event_bytes=len(_STATE),
        rows=tuple(_row(name, part, slices) for name, part in bench.parts.items()),
    )


@contextmanager
def _directory(effects: Effects, place: str) -> Iterator[str]:
    """A new directory in ``place``, known to be in use until it is removed at the end."""
    files = effects.files
    directory = os.path.join(place, _DIRECTORY + effects.random_bytes(8).hex())
    files.mkdir(directory, DIRECTORY_MODE)
    with flocked(effects, os.path.join(directory, _MARKER), effects.monotonic()):
        try:
            yield directory
        finally:
            _remove(files, directory)


def _remove(files: Files, directory: str) -> None:
    """Remove it, the marker last: killed in between, it is still known to be ours."""
    remove_tree(files, directory, keep=frozenset({_MARKER}))
    remove_tree(files, directory)


def _remove_left_over(effects: Effects, place: str) -> None:
    """Remove directories of killed runs: with our marker, which no living process has locked."""
    files = effects.files
    for name in files.listdir(place):
        directory = os.path.join(place, name)
        marker = os.path.join(directory, _MARKER)
        if not name.startswith(_DIRECTORY) or not exists(files, marker):
            continue
        try:
            with flocked(effects, marker, effects.monotonic()):
                _remove(files, directory)
        except (LockTimeoutError, OSError):
            continue  # in use, or of another user


def _refuse(effects: Effects, path: str, seconds: float) -> None:
    if seconds <= 0:
        message = f"seconds: expected more than 0, found {seconds} (`aurora-es bench --seconds 10`)"
        raise ArgumentError(message)
    if not is_directory(effects.files, os.path.realpath(path)):
        message = (
            f"{path}: expected a directory on the disk to measure, found none; name one that is there"
            " (`aurora-es bench DIRECTORY`), or make it (`mkdir -p`)"
        )
        raise ArgumentError(message)
    if path in journals_below(path, effects.files).journals:
        message = (
            f"{path}: expected a directory beside journals, found a journal; name the one above:"
            f" `aurora-es bench {shlex.quote(os.path.dirname(path))}`"
        )
        raise ArgumentError(message)
    free = space_of(effects.files, path).free_bytes
    if free is not None and free < _FREE_BYTES_MIN:
        message = (
            f"{path}: expected {_FREE_BYTES_MIN:,} bytes free to measure with, found {free:,};"
            " nothing was written. Make room first (`aurora-es doctor` shows what is free)"
        )
        raise StorageFullError(message)


class _Bench:
    """The files and journals that are measured."""

    def __init__(self, effects: Effects, path: str, stack: ExitStack) -> None:
        self._effects = effects
        self._path = path
        self._stack = stack
        zeroed = self._floor("zeroed", _ZEROED_BYTES)
        growing = self._floor("growing", 0)
        batches = self._journal("batches", Sync.ALWAYS)
        read = self._journal("read", Sync.NEVER)
        append = _Appending(read)
        for _ in range(_ORIGINATORS):
            append.batch()
        reading = _Reading(read, append.ids)
        self.parts = {
            FLOOR: _Part(zeroed.write, 1, is_synced=True),
            GROWING: _Part(growing.write, 1, is_synced=True),
            _ALWAYS: _Part(self._appending("always", Sync.ALWAYS).one, 1, is_synced=True),
            _INTERVAL: _Part(
                self._appending("interval", Sync.interval(20)).one, 1, is_synced=False
            ),
            _NEVER: _Part(self._appending("never", Sync.NEVER).one, 1, is_synced=False),
            _BATCH: _Part(_Appending(batches).batch, _BATCH_RECORDS, is_synced=True),
            _PAGE: _Part(reading.page, _PAGE_RECORDS, is_synced=False),
            _LAST: _Part(reading.last, 1, is_synced=False),
        }

    def _floor(self, name: str, zeroed_bytes: int) -> Floor:
        path = os.path.join(self._path, name)
        floor = Floor.make(self._effects, path, zeroed_bytes=zeroed_bytes)
        return self._stack.enter_context(closing(floor))

    def _journal(self, name: str, sync: Sync) -> Journal:
        journal = Journal(
            self._effects,
            os.path.join(self._path, name),
            Settings(sync),
            background=False,
        )
        return self._stack.enter_context(journal)

    def _appending(self, name: str, sync: Sync) -> _Appending:
        return _Appending(self._journal(name, sync))

    def measure(self, seconds: float, progress: Progress | None) -> dict[str, list[list[float]]]:
        """The seconds of each call, in slices that ran side by side."""
        blocks = max(1, round(seconds / (_SLICE_SECONDS * len(self.parts))) - 1)
        total, done = blocks * len(self.parts), count(1)

        def timed(part: _Part) -> Callable[[float], list[float]]:
            return lambda duration: time_for(duration, part.call)

        return run_in_turn(
            {name: timed(part) for name, part in self.parts.items()},
            lambda: _SLICE_SECONDS,
            blocks=blocks,
            advance=lambda: None if progress is None else progress(next(done), total),
        )


class _Appending:
    """Appends to a journal, one event or a batch at a time, each of its own aggregate."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._next = 0
        self.ids: list[UUID] = []

    def one(self) -> None:
        self._next += 1
        self._journal.append([self._record(UUID(int=self._next), 1)])

    def batch(self) -> None:
        self._next += 1
        originator_id = UUID(int=self._next)
        self.ids.append(originator_id)
        versions = range(1, _BATCH_RECORDS + 1)
        self._journal.append([self._record(originator_id, version) for version in versions])

    @staticmethod
    def _record(originator_id: UUID, version: int) -> Record:
        return Record(
            topic="bank.domain:Account.Transacted",
            state=_STATE,
            originator_id=originator_id,
            originator_version=version,
        )


class _Reading:
    """Reads a journal, page by page and aggregate by aggregate, over and over."""

    def __init__(self, journal: Journal, ids: list[UUID]) -> None:
        self._journal = journal
        self._keys = [originator_key(one) for one in ids]
        self._start = 1
        self._at = 0

    def page(self) -> None:
        start = self._start
        found = list(self._journal.read(start, limit=_PAGE_RECORDS))
        assert len(found) == _PAGE_RECORDS
        is_last = found[-1].position + _PAGE_RECORDS > self._journal.last_position
        self._start = 1 if is_last else start + _PAGE_RECORDS

    def last(self) -> None:
        self._at = (self._at + 1) % len(self._keys)
        key = self._keys[self._at]
        assert key is not None
        handle = self._journal.handle
        found = read_selected(
            handle, key, gt=None, lte=None, desc=True, limit=1, until=self._journal.last_position
        )
        assert found[0].originator_version == _BATCH_RECORDS


def _row(name: str, part: _Part, slices: dict[str, list[list[float]]]) -> BenchRow:
    calls = [seconds for one in slices[name] for seconds in one]
    p50 = percentile(calls, 50)
    times_floor = None
    if part.is_synced and name != FLOOR:
        pairs = zip(slices[name], slices[FLOOR], strict=True)
        times_floor = median(percentile(ours, 50) / percentile(floor, 50) for ours, floor in pairs)
    return BenchRow(
        name=name,
        calls=len(calls),
        p50_us=round(p50 * 1e6, 2),
        p99_us=round(percentile(calls, 99) * 1e6, 2),
        per_second=round(part.events * len(calls) / sum(calls), 1),
        times_floor=None if times_floor is None else round(times_floor, 2),
    )
