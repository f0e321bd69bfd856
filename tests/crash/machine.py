"""The machine on which a history takes place: disk, processes, clock, faults and checks.

Theory of operation: see ``history.py``, which holds the steps. Here is what they share: what a
fault that struck means for everybody, and the comparison of the files with what is known.
"""

from __future__ import annotations

import random
from collections import Counter

from aurora_es.errors import AuroraError, CorruptionError, LockTimeoutError
from aurora_es.files.layer import Effects
from aurora_es.format.mark import decode_mark
from aurora_es.index.keys import originator_key
from aurora_es.index.query import query_of_topics
from aurora_es.index.tail import Key, TailIndex
from aurora_es.journal.catch_up import catch_up
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import Journal
from aurora_es.options import CompressionFormat, RollCycle, Sync
from aurora_es.testing.crashable import CrashableFiles, SimulatedKill
from aurora_es.testing.disk import CrashableDisk
from aurora_es.testing.faulty import SYNCS, FaultyFiles, SimulatedInterrupt
from tests.crash.drawing import Drawn, arm_fault
from tests.crash.truth import PATH, FileReader, Truth, ViolationError

_START_MICROSECONDS = 1_700_000_000_000_000
LOCK_SECONDS = 1.0
NOT_THERE = "is not in the journal"  # an unknown outcome that says that much
FAILURES = (SimulatedKill, SimulatedInterrupt, AuroraError, OSError)


# What the records themselves decide; the rest of an index is what somebody has looked up.
_SCANNED = {*TailIndex.__slots__} - {"before", "postings", "scattered", "unchecked"}


_EVERY = query_of_topics(["t"])  # the topic of all records


def check_lookups(journal: Journal) -> None:
    """Compare what an index says of every originator with the records themselves."""
    owned: dict[Key, dict[int, int]] = {}
    for position, record in [(stored.position, stored.record) for stored in journal.read()]:
        key = originator_key(record.originator_id)
        if key is not None and record.originator_version is not None:
            owned.setdefault(key, {})[record.originator_version] = position
    index = journal.handle.state.index
    for tail in index.parts[1]:
        if tail.postings is not None:
            last = tail.postings.position
            found, _ = tail.postings.positions(_EVERY, tail.base_position, last, 1 << 20)
            if found != [*range(tail.base_position, last + 1)]:
                raise ViolationError(f"postings {found}, expected all up to {last}")
    for key, positions in owned.items():
        versions = sorted(positions)
        for desc in (False, True):
            found = index.select(
                key, gt=None, lte=None, desc=desc, limit=None, until=index.position
            )[0]
            expected = [positions[version] for version in sorted(versions, reverse=desc)]
            if found != expected:
                raise ViolationError(f"positions {found} of {key!r}, expected {expected}")
        if index.last_version(key) != versions[-1]:
            raise ViolationError(f"{index.last_version(key)} is not the last version of {key!r}")
        for version in (*versions, versions[-1] + 1):
            if index.find(key, version) != positions.get(version, 0):
                raise ViolationError(f"version {version} of {key!r} is found in a wrong place")


class Process:
    """An imagined process with the journal open."""

    def __init__(self, files: FaultyFiles, journal: Journal) -> None:
        """Keep both; nothing is pending."""
        self.files = files
        self.journal = journal
        self.seen_position = 0
        self.pending: list[Drawn] = []  # queued, not answered yet

    def kill(self) -> None:
        """Die between two file operations."""
        assert isinstance(self.files.inner, CrashableFiles)
        self.files.inner.kill()


class Machine:
    """One disk and the processes on it; all chance comes from ``rng``."""

    def __init__(self, seed: int, sync: Sync) -> None:
        """Prepare an empty disk."""
        rng = self.rng = random.Random(seed)
        self.sync = sync
        self.disk = CrashableDisk(rng.choice((64, 64, 512)))
        self.disk.make_directories("/data")
        self.reader = FileReader(self.disk)
        self.truth = Truth(always=sync == Sync.ALWAYS)
        self.settings = Settings(
            sync,
            RollCycle.events(rng.choice((3, 8, 1000))),
            rng.choice((CompressionFormat.NONE, CompressionFormat.NONE, CompressionFormat.LZ4)),
        )
        self.processes: list[Process] = []
        self.idle: list[FaultyFiles] = []  # living processes whose opening failed
        self.reserve_bytes = rng.choice((512, 4096))
        self.power_lost = False  # since the last opening that succeeded
        self.lies = False  # a sync failed: the cache may hold what the disk does not
        self.active: Process | None = None  # whose step it is
        self.nested = False  # in a step within a step
        self.unrest = rng.choice((0.0, 0.0, 0.02))  # chance of write-back or eviction per operation
        self.fault_chance = rng.choice((0.2, 0.5))
        self.log: list[str] = []
        self.counts: Counter[str] = Counter()
        self._seconds = 0.0

    def kill(self) -> None:
        """Kill one process between two steps."""
        if self.processes:
            self._note("kill")
            self.processes.pop(self.rng.randrange(len(self.processes))).kill()

    def cut_power(self) -> None:
        """Cut the power."""
        self._note("power cut")
        self.disk.crash(self.rng, garbled=PATH + "/mark")
        self.processes.clear()
        self.idle.clear()
        self.lies = False
        self._lose_power()

    def evict(self) -> None:
        """Drop lying pages."""
        self.disk.evict()

    def _settled(self) -> set[bytes]:
        """Open commits that no living handle may still write."""
        waiting = {drawn.tried.commit_id for each in self.processes for drawn in each.pending}
        return self.truth.open.keys() - waiting

    def compare(self, *, decided: set[bytes] | None = None) -> None:
        """Compare the files with what is known; not between a power cut and the next opening."""
        if self.power_lost:
            return
        if self.disk.find(PATH + "/manifest") is None:
            if self.truth.visible:
                raise ViolationError("the journal has vanished")
            return
        self.truth.compare(
            self.reader.read(), decided=decided, may_lag=self.lies and self.truth.always
        )

    def check_handle(self, process: Process) -> None:
        """Compare what a journal reads and indexes with what is known, and with a fresh scan."""
        hook, process.files.hook = process.files.hook, None
        try:
            self._check_handle(process.journal)
        finally:
            process.files.hook = hook

    def _check_handle(self, journal: Journal) -> None:
        if journal.handle.descriptors is None:
            if not journal.attach():  # which recovers
                return
            self.compare()
        read = [(stored.position, stored.record.state) for stored in journal.read()]
        if read != [*enumerate(self.truth.states, 1)]:
            raise ViolationError("the journal reads other records than were acknowledged")
        # A roll alone brings no commit, so a reader need not have noticed it.
        descriptors = journal.handle.usable()
        assert descriptors is not None
        catch_up(journal.handle, descriptors.mark.read())
        index = journal.handle.state.index
        tracking = {name: data.notification_id for name, data in index.tracking.items()}
        if tracking != self.truth.tracking:
            raise ViolationError(f"tracking {tracking}, expected {self.truth.tracking}")
        files = FaultyFiles(CrashableFiles(self.disk), self.rng)
        with Journal(self._effects(files), PATH, Settings(), read_only=True) as fresh:
            _ = fresh.last_position
            scanned = fresh.handle.state.index
            if (index.position, index.tracking) != (scanned.position, scanned.tracking):
                raise ViolationError("the index differs from a fresh scan")
            # Who has read an older manifest holds more in memory.
            numbered = {tail.segment_number: tail for tail in index.parts[1]}
            for theirs in scanned.parts[1]:
                ours = numbered[theirs.segment_number]
                for name in _SCANNED:
                    if getattr(ours, name) != getattr(theirs, name):
                        raise ViolationError(f"the index differs from a fresh scan in {name}")
            check_lookups(fresh)
        check_lookups(journal)

    def _choose(self) -> Process:
        return self.rng.choice(self.processes)

    def _arm(self, files: FaultyFiles) -> bool:
        files.disarm()
        files.struck = None
        return self.rng.random() < self.fault_chance and arm_fault(self.rng, files)

    def _end_step(self, files: FaultyFiles, *, power: bool) -> bool:
        """Draw the consequences of a fault that struck; returns whether all processes are dead."""
        struck, files.struck = files.struck, None
        files.disarm()
        if struck is not None:
            self.counts["struck"] += 1
        if power and struck is not None:
            self.cut_power()
            return True
        if struck in SYNCS:
            self.lies = True
            if not self.truth.always:
                # Visible bytes may be lying, and no other handle knows: as bad as a power cut.
                self.lies = False
                self.disk.evict()
                for process in self.processes:
                    process.kill()
                self.processes.clear()
                self._lose_power()
                return True
        return False

    def _forgive(self, files: FaultyFiles, error: BaseException) -> None:
        """A fault may make a call fail, but never find corruption where nothing has rotted."""
        if isinstance(error, CorruptionError):
            raise ViolationError(f"refused after a plain crash: {error}") from error
        if isinstance(error, LockTimeoutError) and self.nested:
            return
        if files.struck is None and NOT_THERE not in str(error):
            raise ViolationError(f"failed without a fault: {error!r}") from error

    def _lose_power(self) -> None:
        self.power_lost = True
        self.truth.may_shrink = not self.truth.always
        self.truth.vouched_count = 0
        if self.disk.find(PATH + "/mark") is not None:
            mark = decode_mark(self.disk.content(PATH + "/mark"))
            self.truth.vouched_count = mark.visible_commit if mark is not None else 0

    def _effects(self, files: FaultyFiles) -> Effects:
        return Effects(
            files,
            clock=lambda: _START_MICROSECONDS + int(self._monotonic() * 1e6),
            monotonic=self._monotonic,
            random_bytes=self.rng.randbytes,
            sleep=self._sleep,
            reserve_bytes=self.reserve_bytes,
        )

    def _monotonic(self) -> float:
        self._seconds += 1e-5
        return self._seconds

    def _sleep(self, seconds: float) -> None:
        self._seconds += seconds

    def _note(self, step: str, error: BaseException | None = None) -> None:
        self.log.append(step if error is None else f"{step}: {error!r}")
        self.counts[step if error is None else f"{step}: {type(error).__name__}"] += 1
