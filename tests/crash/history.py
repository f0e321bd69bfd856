"""One seeded history of a journal on a crashable disk: appends, rolls, faults, crashes, checks.

Theory of operation: up to three imagined processes, each with its own open journal, take turns on
one disk; everything runs in one thread. Before a step a fault may be armed that strikes at some
file operation of that step. After each step the files are compared with what their users know, and
a step in which no fault struck has to succeed. Groups of commits are put into the queue of the
group commit by hand, as waiting threads would have done.
"""

from __future__ import annotations

import random
from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING

from aurora_es.errors import (
    AuroraError,
    CommitOutcomeUnknownError,
    ConflictError,
    CorruptionError,
    LockTimeoutError,
    PoisonedHandleError,
)
from aurora_es.files.layer import Effects
from aurora_es.format.mark import decode_mark
from aurora_es.journal.catch_up import catch_up
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import Journal
from aurora_es.journal.records import Record
from aurora_es.journal.syncing import _sync_once
from aurora_es.options import CompressionFormat, RollCycle, Sync
from aurora_es.testing.crashable import CrashableFiles, SimulatedKill
from aurora_es.testing.disk import CrashableDisk
from aurora_es.testing.faulty import SYNCS, FaultyFiles, SimulatedInterrupt
from tests.crash.drawing import Claim, Drawn, arm_fault, draw_commit
from tests.crash.truth import PATH, FileReader, Truth, ViolationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_START_MICROSECONDS = 1_700_000_000_000_000
_LOCK_SECONDS = 1.0
_PROCESSES_MAX = 3
_NOT_THERE = "is not in the journal"  # an unknown outcome that says that much

FAILURES = (SimulatedKill, SimulatedInterrupt, AuroraError, OSError)
_DEATHS = (SimulatedKill, SimulatedInterrupt)
Answer = tuple[Drawn, BaseException | None]


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


class History:
    """A journal's life, decided by ``seed``; ``run`` raises ViolationError when a promise breaks."""

    def __init__(self, seed: int, sync: Sync, steps: int = 24) -> None:
        """Prepare an empty disk."""
        rng = self.rng = random.Random(seed)
        self.steps = steps
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
        self.tried_count = 0
        self.claims: dict[bytes, Sequence[Claim]] = {}  # by commit id
        self.conflicting: set[bytes] = set()  # commits that claim what is taken
        self.power_lost = False  # since the last opening that succeeded
        self.lies = False  # a sync failed: the cache may hold what the disk does not
        self.active: Process | None = None  # whose step it is
        self.nested = False  # in a step within a step
        self.unrest = rng.choice((0.0, 0.0, 0.02))  # chance of write-back or eviction per operation
        self.fault_chance = rng.choice((0.2, 0.5))
        self.log: list[str] = []
        self.counts: Counter[str] = Counter()
        self._seconds = 0.0

    def run(self) -> None:
        """Live through all steps, then open once more without faults and check."""
        weights: dict[Callable[[], None], int] = {
            self.append: 12,
            self.open: 2,
            self.close: 1,
            self.kill: 1,
            self.cut_power: 2,
            self.evict: 1,
            self.read: 1,
            self.sync_now: 0 if self.truth.always else 1,
        }
        for _ in range(self.steps):
            (action,) = self.rng.choices([*weights], [*weights.values()])
            self._seconds += self.rng.choice((0.0, 0.0, 1.5))
            action()
        self.evict()
        self.open(faulty=False)
        self.append(faulty=False)
        self.read()

    # Steps

    def open(self, *, faulty: bool = True) -> None:
        """Open the journal in a new process."""
        self.active = None
        if len(self.processes) == _PROCESSES_MAX:
            self.processes.pop(self.rng.randrange(_PROCESSES_MAX)).kill()
        files = FaultyFiles(CrashableFiles(self.disk), self.rng)
        files.hook = self._stir
        power = faulty and self._arm(files)
        journal = None
        try:
            journal = Journal(
                self._effects(files),
                PATH,
                self.settings,
                lock_timeout=_LOCK_SECONDS,
                new_parents_max=1,
            )
        except FAILURES as error:
            self._note("open", error)
            self._forgive(files, error)
            if not isinstance(error, SimulatedKill):
                self.idle.append(files)
        if self._end_step(files, power=power):
            return
        if journal is None:
            self.compare()
            return
        self._note("open")
        self.processes.append(Process(files, journal))
        self.power_lost = False
        if journal.handle.descriptors is None:
            if self.truth.visible:
                raise ViolationError("the journal has vanished")
            return
        self.lies = False
        self.counts["adopted"] += journal.handle.adopted_commits
        self.counts["cuts"] += bool(journal.handle.cut_bytes)
        self.compare(decided=self._settled())
        self.truth.durable_count = len(self.truth.visible)
        self.truth.may_shrink = False
        self.check_handle(self.processes[-1])

    def append(self, *, faulty: bool = True) -> None:
        """Append a group of commits through one process."""
        if not self.processes:
            self.open(faulty=faulty)
            if not self.processes:
                return
        process = self.active = self._choose()
        power = faulty and self._arm(process.files)
        journal = process.journal
        try:
            if journal.handle.descriptors is None:
                journal._prepare_to_append(has_work=True)
            journal._has_appended = True  # without the thread of an interval; see sync_now
        except FAILURES as error:
            self._note("create", error)
            self._forgive(process.files, error)
            if isinstance(error, SimulatedKill) or journal.handle.poison is not None:
                self.processes.remove(process)
        else:
            self._append_group(process)
        if not self._end_step(process.files, power=power) and process in self.processes:
            self.compare()

    def close(self) -> None:
        """Close one process's journal."""
        if not self.processes:
            return
        process = self.active = self._choose()
        power = self._arm(process.files)
        self._note("close")
        try:
            process.journal.close()
            if process.journal._has_appended and not self.power_lost and not self.lies:
                self.truth.durable_count = len(self.truth.visible)
        except FAILURES as error:
            self._note("close", error)
            self._forgive(process.files, error)
        self.processes.remove(process)
        self._end_step(process.files, power=power)

    def sync_now(self) -> None:
        """Sync in one process, as ``Journal.sync`` or the thread of a sync interval does."""
        if not self.processes:
            return
        process = self.active = self._choose()
        handle = process.journal.handle
        power = self._arm(process.files)
        dead = False
        try:
            if self.sync.interval_ms and handle.tail is not None:
                _sync_once(handle)
            else:
                process.journal.sync()
        except FAILURES as error:
            self._note("sync", error)
            self._forgive(process.files, error)
            dead = isinstance(error, SimulatedKill) or handle.poison is not None
        else:
            self._note("sync")
            if handle.descriptors is not None and not self.power_lost:
                self.compare()
                self.truth.durable_count = len(self.truth.visible)
        if dead:
            self.processes.remove(process)
        if not self._end_step(process.files, power=power):
            self.compare()

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

    def read(self) -> None:
        """Read everything through one process, while the others stand still."""
        if not self.processes:
            return
        process = self._choose()
        if not self.lies:
            self.check_handle(process)
        if process.journal.handle.descriptors is not None and self.truth.always:
            hook, process.files.hook = process.files.hook, None
            position = process.journal.last_position
            process.files.hook = hook
            if position < process.seen_position:
                raise ViolationError("a reader went back behind a position that it had seen")
            process.seen_position = position

    # Checks

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
            for name in type(index).__slots__:
                ours, scanned = getattr(index, name), getattr(fresh.handle.state.index, name)
                if ours != scanned:
                    raise ViolationError(f"the index differs from a fresh scan in {name}")

    # Appending

    def _append_group(self, process: Process) -> None:
        group = process.journal._group
        settled = self._settled()
        batch = self._draw_batch(process)
        process.pending += batch
        for drawn in batch:
            self.truth.open[drawn.tried.commit_id] = drawn.tried
        for drawn in batch[1:]:
            drawn.commit.wakeup = Lock()
            drawn.commit.wakeup.acquire()
            group._queue.append(drawn.commit)
        leader = batch[0]
        answers = [self._answer(process, leader, lambda: group.append(leader.commit))]
        while True:
            member = next(
                (item for item in process.pending if item.commit.done or item.commit.promoted), None
            )
            if member is None:
                break
            answers.append(self._answer(process, member, self._leading(process, member)))
        self._judge(process, answers, settled)

    def _leading(self, process: Process, member: Drawn) -> Callable[[], object]:
        """What the waiting thread of ``member`` does when it is woken."""

        def lead() -> None:
            if not member.commit.done:
                process.journal._group._lead(member.commit, self._monotonic() + _LOCK_SECONDS)

        return lead

    def _answer(self, process: Process, member: Drawn, call: Callable[[], object]) -> Answer:
        raised: BaseException | None = None
        try:
            call()
        except FAILURES as error:
            raised = error
        process.pending.remove(member)
        if isinstance(raised, SimulatedKill):
            process.pending.clear()
        return member, raised or member.commit.error

    def _judge(self, process: Process, answers: list[Answer], settled: set[bytes]) -> None:
        handle = process.journal.handle
        succeeded = any(error is None for _, error in answers)
        dead = any(isinstance(error, SimulatedKill) for _, error in answers)
        for _, error in answers:
            self._note("append", error)
        if succeeded:
            self.lies = False  # the mark was written again, on the data that it stands for
        if dead or handle.poison is not None:
            self.processes.remove(process)
            process.pending.clear()
        self.compare(decided=settled if succeeded else None)
        unharmed = not any(isinstance(error, _DEATHS) for _, error in answers)
        if process.files.struck == "fdatasync" and unharmed and handle.poison is None:
            raise ViolationError("a sync failed, and the handle is not final")
        for drawn, error in answers:
            self._judge_one(drawn, error, process.files)
        if handle.poison is not None and not dead:
            self._check_final(process)
        if not self.truth.always and succeeded and handle.tail is not None:
            floor = handle.tail.header.base_commit - 1
            self.truth.durable_count = max(self.truth.durable_count, floor)

    def _judge_one(self, drawn: Drawn, error: BaseException | None, files: FaultyFiles) -> None:
        truth, tried = self.truth, drawn.tried
        there = tried in truth.visible
        conflicting = tried.commit_id in self.conflicting
        if error is None:
            if not there:
                raise ViolationError("acknowledged, and not in the journal")
            before = truth.visible[: truth.visible.index(tried)]
            first = 1 + sum(len(each.states) for each in before)
            if conflicting or (tried.states and drawn.commit.first_position != first):
                raise ViolationError("acknowledged at a wrong position, or against a conflict")
            return
        if isinstance(error, ConflictError):
            # With tracking, a later commit of another process may have come in between.
            name, notification_id = tried.tracking or ("", 0)
            if not conflicting and notification_id > truth.tracking.get(name, -1):
                raise ViolationError(f"a conflict with nothing: {error}") from error
        else:
            self._forgive(files, error)
        unknown = isinstance(error, SimulatedKill | SimulatedInterrupt | CommitOutcomeUnknownError)
        if unknown and _NOT_THERE not in str(error):
            return
        if there:
            raise ViolationError(f"refused ({error}), and in the journal")
        truth.refuse(tried)

    def _check_final(self, process: Process) -> None:
        process.files.disarm()
        try:
            process.journal.append([Record(topic="t", state=b"late")])
        except PoisonedHandleError:
            return
        raise ViolationError("a handle whose sync failed goes on")

    def _draw_batch(self, process: Process) -> list[Drawn]:
        return [self._draw(process) for _ in range(self.rng.choice((1, 1, 1, 2, 3, 5)))]

    def _draw(self, process: Process) -> Drawn:
        rng = self.rng
        self.tried_count += 1
        claims: Sequence[Claim] = ()
        conflicting = False
        chance = rng.random()
        if chance < 0.05 and self.truth.visible:
            claims = self.claims[rng.choice(self.truth.visible).commit_id]
            conflicting = bool(claims)
        elif chance < 0.15 and self.truth.refused:
            # What was not written has left no claim behind.
            commit_id = rng.choice([*self.truth.refused])
            if commit_id not in self.conflicting:
                claims, self.claims[commit_id] = self.claims[commit_id], ()
        drawn = draw_commit(rng, self.tried_count, process.journal.handle.codec, claims)
        self.claims[drawn.tried.commit_id] = drawn.claims
        if conflicting:
            self.conflicting.add(drawn.tried.commit_id)
        return drawn

    # Parts

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
        if files.struck is None and _NOT_THERE not in str(error):
            raise ViolationError(f"failed without a fault: {error!r}") from error

    def _lose_power(self) -> None:
        self.power_lost = True
        self.truth.may_shrink = not self.truth.always
        self.truth.vouched_count = 0
        if self.disk.find(PATH + "/mark") is not None:
            mark = decode_mark(self.disk.content(PATH + "/mark"))
            self.truth.vouched_count = mark.visible_commit if mark is not None else 0

    def _stir(self, name: str) -> None:
        """What the rest of the machine may be about while a process makes a call."""
        if not self.unrest or self.rng.random() >= self.unrest:
            return
        chance = self.rng.random()
        if chance < 0.3:
            self.disk.write_back(self.rng)
        elif chance < 0.5:
            if self.truth.always:
                self.disk.evict()
        elif chance < 0.7:
            # A reader looks at the files. What it sees must not be taken back any more.
            self.compare()
        elif not self.nested:
            self.nested = True
            try:
                self._append_between()
            finally:
                self.nested = False

    def _append_between(self) -> None:
        """Append in another process, in the middle of a step; it may find the lock taken."""
        others = [each for each in self.processes if each is not self.active]
        if others and not self.power_lost:
            process = self.rng.choice(others)
            if process.journal.handle.descriptors is not None:
                process.files.disarm()
                process.files.struck = None
                process.journal._has_appended = True
                self._append_group(process)

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
