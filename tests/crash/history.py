"""One seeded history of a journal on a crashable disk: appends, rolls, faults, crashes, checks.

Theory of operation: up to three imagined processes, each with its own open journal, take turns on
one disk; everything runs in one thread. Before a step a fault may be armed that strikes at some
file operation of that step. After each step the files are compared with what their users know, and
a step in which no fault struck has to succeed. Groups of commits are put into the queue of the
group commit by hand, as waiting threads would have done.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from aurora_es.errors import (
    CommitOutcomeUnknownError,
    ConflictError,
    PoisonedHandleError,
)
from aurora_es.journal.journal import Journal
from aurora_es.journal.records import Record
from aurora_es.journal.syncing import _sync_once
from aurora_es.options import Sync
from aurora_es.testing.crashable import CrashableFiles, SimulatedKill
from aurora_es.testing.faulty import FaultyFiles, SimulatedInterrupt
from tests.crash.drawing import Claim, Drawn, draw_commit
from tests.crash.machine import FAILURES, LOCK_SECONDS, NOT_THERE, Process
from tests.crash.tending import Tending
from tests.crash.truth import PATH, ViolationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PROCESSES_MAX = 3

_DEATHS = (SimulatedKill, SimulatedInterrupt)
Answer = tuple[Drawn, BaseException | None]


class History(Tending):
    """A journal's life, decided by ``seed``; ``run`` raises ViolationError when a promise breaks."""

    def __init__(self, seed: int, sync: Sync, steps: int = 24) -> None:
        """Prepare an empty disk."""
        super().__init__(seed, sync)
        self.steps = steps
        self.tried_count = 0
        self.claims: dict[bytes, Sequence[Claim]] = {}  # by commit id
        self.conflicting: set[bytes] = set()  # commits that claim what is taken

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
            self.tend: 2,
        }
        for _ in range(self.steps):
            (action,) = self.rng.choices([*weights], [*weights.values()])
            self._seconds += self.rng.choice((0.0, 0.0, 1.5))
            action()
        self.evict()
        self.open(faulty=False)
        self.append(faulty=False)
        self.read()

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
                lock_timeout=LOCK_SECONDS,
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
            if not journal.attach():
                journal._create()
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
                mark = self.truth.mark
                # The thread of an interval leaves a tail alone that its process never wrote to.
                if mark is not None and (
                    not self.sync.interval_ms or mark.durable_offset == mark.visible_offset
                ):
                    self.truth.durable_count = len(self.truth.visible)
        if dead:
            self.processes.remove(process)
        if not self._end_step(process.files, power=power):
            self.compare()

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
                (
                    item
                    for item in process.pending
                    if item.commit.done or item.commit is group._leader
                ),
                None,
            )
            if member is None:
                break
            answers.append(self._answer(process, member, self._leading(process, member)))
        self._judge(process, answers, settled)

    def _leading(self, process: Process, member: Drawn) -> Callable[[], object]:
        """What the waiting thread of ``member`` does when it is woken."""
        group, commit = process.journal._group, member.commit

        def lead() -> None:
            deadline = self._monotonic() + LOCK_SECONDS
            try:
                if group._wait(commit, deadline):
                    group._lead(commit, deadline)
            except BaseException:
                group._leave(commit)
                raise

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
        if unknown and NOT_THERE not in str(error):
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

    def _stir(self, name: str) -> None:
        """What the rest of the machine may be about while a process makes a call."""
        if self.lies and self.truth.always and self.rng.random() < 0.03:
            self.disk.evict()
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
