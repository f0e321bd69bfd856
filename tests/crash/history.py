"""One seeded history of a journal on a crashable disk: appends, rolls, faults, crashes, checks.

Theory of operation: up to three imagined processes, each with its own open journal, take turns on
one disk; everything runs in one thread. Before a step a fault may be armed that strikes at some
file operation of that step. After each step the files are compared with what their users know, and
a step in which no fault struck has to succeed.
"""

from __future__ import annotations

import random
from threading import Lock
from typing import TYPE_CHECKING

from aurora_es.errors import (
    AuroraError,
    CommitOutcomeUnknownError,
    CorruptionError,
    PoisonedHandleError,
)
from aurora_es.files.layer import Effects
from aurora_es.format.mark import decode_mark
from aurora_es.journal.catch_up import catch_up
from aurora_es.journal.commit import PreparedCommit, prepare_commit, tracking_data
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import Journal
from aurora_es.journal.records import Record, row_of
from aurora_es.options import CompressionFormat, RollCycle, Sync
from aurora_es.testing.crashable import CrashableFiles, SimulatedKill
from aurora_es.testing.disk import CrashableDisk
from aurora_es.testing.faulty import SYNCS, Fault, FaultyFiles, SimulatedInterrupt
from tests.crash.truth import PATH, FileReader, Tried, Truth, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_START_MICROSECONDS = 1_700_000_000_000_000
_LOCK_SECONDS = 1.0
_PROCESSES_MAX = 3


class Process:
    """An imagined process with the journal open."""

    def __init__(self, files: FaultyFiles, journal: Journal) -> None:
        """Keep both; nothing is pending."""
        self.files = files
        self.journal = journal
        self.pending: list[tuple[Tried, PreparedCommit]] = []  # queued, not answered yet

    def kill(self) -> None:
        """Die between two file operations."""
        assert isinstance(self.files.inner, CrashableFiles)
        self.files.inner.kill()


class History:
    """A journal's life, decided by ``seed``; ``run`` raises Violation when a promise is broken."""

    def __init__(self, seed: int, sync: Sync, steps: int = 24) -> None:
        """Prepare an empty disk."""
        self.rng = random.Random(seed)
        rng = self.rng
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
        self.idle: list[FaultyFiles] = []  # processes whose opening was interrupted
        self.reserve_bytes = rng.choice((512, 4096))
        self.tried_count = 0
        self.power_lost = False  # since the last opening that succeeded
        self.lies = False  # a sync failed, so the cache may hold what the disk does not
        self.unrest = rng.choice((0.0, 0.0, 0.02))  # chance of write-back or eviction per operation
        self.fault_chance = rng.choice((0.2, 0.5))
        self.log: list[str] = []
        self._seconds = 0.0

    def run(self) -> None:
        """Live through all steps, then open once more without faults and check."""
        actions: Sequence[tuple[int, Callable[[], None]]] = (
            (12, self.append),
            (2, self.open),
            (1, self.close),
            (1, self.kill),
            (2, self.cut_power),
            (1, self.evict),
            (1, self.read),
            (0 if self.truth.always else 1, self.sync_now),
        )
        for _ in range(self.steps):
            (action,) = self.rng.choices(
                [item[1] for item in actions], [item[0] for item in actions]
            )
            self._seconds += self.rng.choice((0.0, 0.0, 1.5))
            action()
        self.evict()
        self.open(faulty=False)
        self.append(faulty=False)
        self.read()

    # Steps

    def open(self, *, faulty: bool = True) -> None:
        """Open the journal in a new process."""
        if len(self.processes) == _PROCESSES_MAX:
            self.processes.pop(self.rng.randrange(_PROCESSES_MAX)).kill()
        files = FaultyFiles(CrashableFiles(self.disk), self.rng)
        files.hook = self._stir
        power = faulty and self._arm(files)
        try:
            journal = Journal(
                self._effects(files),
                PATH,
                self.settings,
                lock_timeout=_LOCK_SECONDS,
                new_parents_max=1,
            )
        except (SimulatedKill, SimulatedInterrupt, AuroraError, OSError) as error:
            self._note(f"open: {error!r}")
            self._forgive(files, error)
            if not isinstance(error, SimulatedKill):
                self.idle.append(files)
            journal = None
        if power and files.struck:
            self.cut_power()
            return
        files.disarm()
        self._after_failed_sync(files, None)
        if journal is None:
            self.compare()
            return
        self._note("opened")
        self.processes.append(Process(files, journal))
        if journal.handle.descriptors is None:
            if self.truth.visible:
                raise Violation("the journal has vanished")
            self.power_lost = False
            return
        self.power_lost = self.lies = False
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
        process = self.rng.choice(self.processes)
        power = faulty and self._arm(process.files)
        process.files.struck = process.files.struck if power else None
        batch: list[tuple[Tried, PreparedCommit]] = []
        try:
            if process.journal.handle.descriptors is None:
                process.journal._prepare_to_append(has_work=True)
            if not process.journal._has_appended:
                process.journal._start_appending()
            batch += [self._commit(process) for _ in range(self.rng.choice((1, 1, 1, 2, 3, 5)))]
        except (SimulatedKill, SimulatedInterrupt, AuroraError, OSError) as error:
            self._note(f"create: {error!r}")
            self._forgive(process.files, error)
            if isinstance(error, SimulatedKill) or process.journal.handle.poison is not None:
                self.processes.remove(process)
        else:
            self._append_group(process, batch)
        if power and process.files.struck:
            self.cut_power()
            return
        process.files.disarm()
        self._after_failed_sync(process.files, process)

    def close(self) -> None:
        """Close one process's journal."""
        if self.processes:
            process = self.rng.choice(self.processes)
            power = self._arm(process.files)
            process.files.struck = None
            self._note("close")
            try:
                process.journal.close()
                if process.journal._has_appended and not self.power_lost and not self.lies:
                    self.truth.durable_count = len(self.truth.visible)
            except (SimulatedKill, SimulatedInterrupt, AuroraError, OSError) as error:
                self._note(f"close: {error!r}")
                self._forgive(process.files, error)
            self.processes.remove(process)
            if power and process.files.struck:
                self.cut_power()
                return
            process.files.disarm()
            self._after_failed_sync(process.files, process)

    def sync_now(self) -> None:
        """Call ``sync`` in one process."""
        if self.processes and self.truth.visible:
            process = self.rng.choice(self.processes)
            process.journal.sync()
            self.compare()
            self.truth.durable_count = len(self.truth.visible)

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
        """Read everything through one process."""
        if self.processes and not self.lies:
            self.check_handle(self.rng.choice(self.processes))

    # Checks

    def _settled(self) -> set[bytes]:
        """Open commits that no living handle may still write."""
        waiting = {tried.commit_id for each in self.processes for tried, _ in each.pending}
        return self.truth.open.keys() - waiting

    def compare(self, *, decided: set[bytes] | None = None) -> None:
        """Compare the files with what is known; not between a power cut and the next opening."""
        if self.power_lost:
            return
        if self.disk.find(PATH + "/manifest") is None:
            if self.truth.visible:
                raise Violation("the journal has vanished")
            return
        self.truth.compare(self.reader.read(), decided=decided, may_lag=self.lies)

    def check_handle(self, process: Process) -> None:
        """Compare what a journal reads and indexes with what is known."""
        journal = process.journal
        if journal.handle.descriptors is None and not self.truth.visible:
            return
        if journal.handle.descriptors is None:
            journal.attach()  # which recovers
            self.compare()
        read = [(stored.position, stored.record.state) for stored in journal.read()]
        if read != [*enumerate(self.truth.states, 1)]:
            raise Violation("the journal reads other records than were acknowledged")
        # A roll alone brings no commit, so a reader need not have noticed it.
        catch_up(journal.handle, journal.handle.usable().mark.read())
        state = journal.handle.state
        tracking = {name: data.notification_id for name, data in state.index.tracking.items()}
        if tracking != self.truth.tracking:
            raise Violation(f"tracking {tracking}, expected {self.truth.tracking}")
        fresh = Journal(
            self._effects(FaultyFiles(CrashableFiles(self.disk), self.rng)),
            PATH,
            Settings(),
            read_only=True,
        )
        fresh.attach()
        _ = fresh.last_position
        for name in type(state.index).__slots__:
            ours, scanned = (getattr(each.index, name) for each in (state, fresh.handle.state))
            if ours != scanned:
                raise Violation(f"index differs from a fresh scan in {name}: {ours}, {scanned}")
        fresh.close()

    # Parts

    def _append_group(self, process: Process, batch: list[tuple[Tried, PreparedCommit]]) -> None:
        group = process.journal._group
        settled = self._settled()
        process.pending += batch
        for tried, _ in batch:
            self.truth.open[tried.commit_id] = tried
        for _, commit in batch[1:]:
            commit.wakeup = Lock()
            commit.wakeup.acquire()
            group._queue.append(commit)
        answers: list[tuple[Tried, PreparedCommit, BaseException | None]] = []
        self._call(process, batch[0], lambda: group.append(batch[0][1]), answers)
        while True:
            member = next(
                (item for item in process.pending if item[1].done or item[1].promoted), None
            )
            if member is None:
                break
            deadline = self._monotonic() + _LOCK_SECONDS
            commit = member[1]
            self._call(
                process, member, lambda: commit.done or group._lead(commit, deadline), answers
            )
        self._judge(process, answers, settled)

    def _call(
        self,
        process: Process,
        member: tuple[Tried, PreparedCommit],
        function: Callable[[], object],
        answers: list[tuple[Tried, PreparedCommit, BaseException | None]],
    ) -> None:
        process.pending.remove(member)
        raised: BaseException | None = None
        try:
            function()
        except (SimulatedKill, SimulatedInterrupt, AuroraError, OSError) as error:
            raised = error
        answers.append((*member, raised or member[1].error))
        if isinstance(raised, SimulatedKill):
            process.pending.clear()

    def _judge(
        self,
        process: Process,
        answers: list[tuple[Tried, PreparedCommit, BaseException | None]],
        settled: set[bytes],
    ) -> None:
        handle = process.journal.handle
        succeeded = any(error is None for *_, error in answers)
        dead = any(isinstance(error, SimulatedKill) for *_, error in answers)
        self._note(f"append: {[(a[0].commit_id.hex()[:4], a[2]) for a in answers]}")
        if succeeded:
            self.lies = False  # the mark was written again, on the data that it stands for
        if dead or handle.poison is not None:
            self.processes.remove(process)
            process.pending.clear()
        self.compare(decided=settled if succeeded else None)
        for tried, commit, error in answers:
            self._judge_one(tried, commit, error)
            if error is not None:
                self._forgive(process.files, error)
        if handle.poison is not None and not dead:
            self._check_final(process)
        if not self.truth.always and succeeded and handle.tail is not None:
            floor = handle.tail.header.base_commit - 1
            self.truth.durable_count = max(self.truth.durable_count, floor)

    def _judge_one(self, tried: Tried, commit: PreparedCommit, error: BaseException | None) -> None:
        truth = self.truth
        known = [*truth.visible]
        there = tried in known
        if error is None:
            if not there:
                raise Violation("acknowledged, and not in the journal")
            first = 1 + sum(len(each.states) for each in known[: known.index(tried)])
            if tried.states and commit.first_position != first:
                raise Violation(f"acknowledged at {commit.first_position}, is at {first}")
            return
        unknown = isinstance(error, SimulatedKill | SimulatedInterrupt | CommitOutcomeUnknownError)
        if unknown and "is not in the journal" not in str(error):
            return
        if there:
            raise Violation(f"refused ({error}), and in the journal")
        truth.open.pop(tried.commit_id, None)
        truth.refused[tried.commit_id] = tried

    def _check_final(self, process: Process) -> None:
        process.files.disarm()
        try:
            process.journal.append([Record(topic="t", state=b"late")])
        except PoisonedHandleError:
            return
        raise Violation("a handle whose sync failed goes on")

    def _forgive(self, files: FaultyFiles, error: BaseException) -> None:
        """A fault may make a call fail, but never find corruption where nothing has rotted."""
        if isinstance(error, CorruptionError):
            raise Violation(f"refused after a plain crash: {error}") from error
        interrupted_before = "is not in the journal" in str(error)
        if files.struck is None and not interrupted_before:
            raise Violation(f"failed without a fault: {error!r}") from error

    def _after_failed_sync(self, files: FaultyFiles, process: Process | None) -> None:
        if files.struck in SYNCS:
            self.lies = True
            if not self.truth.always:
                # Visible bytes may be lying, and no other handle knows: as bad as a power cut.
                self.lies = False
                self.disk.evict()
                self._lose_power()
                for each in [*self.processes]:
                    each.kill()
                self.processes.clear()
        files.struck = None
        if process is not None and process in self.processes:
            self.compare()

    def _arm(self, files: FaultyFiles) -> bool:
        """Arm a random fault, or none; returns whether it stands for a power cut."""
        rng = self.rng
        files.disarm()
        files.struck = None
        if rng.random() >= self.fault_chance:
            return False
        after = rng.randrange(rng.choice((12, 30, 70)))
        kind = rng.choice(("kill", "kill", "power", "interrupt", "sync", "error", "short"))
        moment = rng.choice(("before", "middle", "after"))
        part = rng.choice((rng.random(), 1.0 - rng.random() * 0.02))
        if kind == "sync":
            files.arm(Fault("error"), rng.randrange(4), SYNCS)
        elif kind == "error":
            number = rng.choice((28, 28, 5))
            only = frozenset({"pwrite", "open", "mkdir", "link", "ftruncate", "rename"})
            files.arm(Fault("error", moment, part, number), rng.randrange(6), only)
        elif kind == "short":
            files.arm(Fault("short", "middle", part), rng.randrange(4), frozenset({"pwrite"}))
        else:
            only_writes = frozenset({"pwrite"}) if moment == "middle" else None
            after = rng.randrange(4) if only_writes else after
            files.arm(Fault("kill" if kind == "power" else kind, moment, part), after, only_writes)
        return kind == "power"

    def _lose_power(self) -> None:
        self.power_lost = True
        self.truth.may_shrink = not self.truth.always
        self.truth.vouched_count = 0
        if self.disk.find(PATH + "/mark") is not None:
            mark = decode_mark(self.disk.content(PATH + "/mark"))
            self.truth.vouched_count = mark.visible_commit if mark is not None else 0

    def _stir(self, name: str) -> None:
        if self.unrest and self.rng.random() < self.unrest:
            if self.rng.random() < 0.5:
                self.disk.write_back(self.rng)
            elif self.truth.always:
                self.disk.evict()

    def _commit(self, process: Process) -> tuple[Tried, PreparedCommit]:
        rng = self.rng
        self.tried_count += 1
        serial = self.tried_count
        tracking = (rng.choice("ab"), serial) if rng.random() < 0.2 else None
        count = rng.choice((0 if tracking else 1, 1, 1, 2, 3))
        records = []
        for item in range(count):
            size = rng.choice((0, 3, 40, 40, 200, rng.choice((900, 900, 900, 17_000))))
            state = f"{serial}.{item}/{count}".encode() + rng.randbytes(4) * (size // 4)
            originator = rng.choice(("x", "y", "z"))
            version = serial * 10 + item
            records.append(
                Record(topic="t", state=state, originator_id=originator, originator_version=version)
            )
        pairs = [row_of(record) for record in records]
        commit_id = rng.randbytes(16)
        commit = prepare_commit(
            commit_id,
            [row for row, _ in pairs],
            [identity for _, identity in pairs],
            None if tracking is None else tracking_data(*tracking),
            process.journal.handle.codec,
        )
        return Tried(commit_id, tuple(record.state for record in records), tracking), commit

    def _effects(self, files: FaultyFiles) -> Effects:
        return Effects(
            files,
            clock=self._clock,
            monotonic=self._monotonic,
            random_bytes=self.rng.randbytes,
            sleep=self._sleep,
            reserve_bytes=self.reserve_bytes,
        )

    def _clock(self) -> int:
        return _START_MICROSECONDS + int(self._monotonic() * 1e6)

    def _monotonic(self) -> float:
        self._seconds += 1e-5
        return self._seconds

    def _sleep(self, seconds: float) -> None:
        self._seconds += seconds

    def _note(self, text: str) -> None:
        self.log.append(text)
