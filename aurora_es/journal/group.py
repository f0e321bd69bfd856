"""Group commit: joins the appends of one process's threads into one write and one sync.

Theory of operation: a thread that appends while nobody leads becomes the leader; the others queue.
The leader takes the append lock, takes whatever waits then, writes all of it with one ``pwrite``
and one sync, releases the lock, and hands the lead to the first waiter that came too late. A waiter
sleeps on a lock of its own. Until a leader has taken its commit, a waiter may give up (time-out,
interrupt); from then on it waits for the verdict.

An interrupt (KeyboardInterrupt, MemoryError) may stop a leader between write and publication. It
then propagates to the leader's caller only. The commits of its group stay *unresolved*: the next
leader finds the handle in doubt, recovers, and answers each by its commit id: found, or unknown.
Nobody repairs anything in an exception handler.

One may come between any two instructions, also where the lead is taken or given up. So who leads is
one attribute, and changing that is one instruction; all steps of giving it up can be taken again, and
are, by whoever gets an exception. A waiter that nobody has woken looks by itself, once a second.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from aurora_es.errors import AuroraError, CommitOutcomeUnknownError, LockTimeoutError, StorageError
from aurora_es.journal.append import mark_under_lock, write_group
from aurora_es.journal.append_lock import AppendLock
from aurora_es.journal.conditions import look_again
from aurora_es.journal.conflicts import admit
from aurora_es.journal.generation import renew_if_due
from aurora_es.journal.roll import roll, roll_is_due

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.format.mark import Mark
    from aurora_es.journal.commit import PreparedCommit
    from aurora_es.journal.handle import Handle
    from aurora_es.segment.walk import Chain

_GROUP_BYTES_MAX = 8 << 20
_RECHECK_SECONDS = 1.0
_MARK_SYNC_SECONDS = 1.0


def mark_sync_is_due(handle: Handle, now: float) -> bool:
    """Whether the next append will sync the mark; ``now`` is in monotonic seconds."""
    return now - handle.mark_synced_at > _MARK_SYNC_SECONDS


class GroupCommit:
    """The queue of commits of one handle."""

    def __init__(self, handle: Handle) -> None:
        """Serve appends on ``handle``, whose journal exists."""
        self._handle = handle
        self._mutex = threading.Lock()  # protects the three below
        self._leader: PreparedCommit | None = None
        self._queue: deque[PreparedCommit] = deque()
        self._unresolved: deque[PreparedCommit] = deque()

    def append(self, commit: PreparedCommit, lock_timeout: float | None = None) -> int:
        """Append ``commit``; returns the position of its first record, or raises its error.

        ``lock_timeout`` (seconds) is that of the handle unless given.
        """
        handle = self._handle
        if lock_timeout is None:
            lock_timeout = handle.lock_timeout
        commit.begun = handle.effects.monotonic()
        deadline = commit.begun + lock_timeout
        try:
            with self._mutex:
                leads = self._leader is None
                if leads:
                    self._leader = commit
                else:
                    commit.wakeup = threading.Lock()
                    commit.wakeup.acquire()
                    self._queue.append(commit)
            if leads or self._wait(commit, deadline):
                self._lead(commit, deadline)
        except BaseException:
            self._leave(commit)
            raise
        if commit.error is not None:
            error, commit.error = commit.error, None
            try:
                raise error
            finally:
                # This frame is in the error's traceback: an error that it knew would know itself,
                # and keep the journal's descriptors open until the next garbage collection.
                del error
        return commit.first_position

    # Waiting

    def _wait(self, commit: PreparedCommit, deadline: float) -> bool:
        """Wait for the verdict; returns True if this thread has to lead instead."""
        assert commit.wakeup is not None
        while True:
            commit.wakeup.acquire(timeout=self._patience(commit, deadline))
            if commit.done:
                return False
            with self._mutex:
                if self._leader is None:
                    self._leader = commit  # who should have handed over was interrupted
                if self._leader is commit:
                    self._forget(commit)
                    return True
                self._give_up_if_late(commit, deadline)

    def _patience(self, commit: PreparedCommit, deadline: float) -> float:
        if commit.taken:
            return _RECHECK_SECONDS
        return min(_RECHECK_SECONDS, max(0.0, deadline - self._handle.effects.monotonic()))

    def _give_up_if_late(self, commit: PreparedCommit, deadline: float) -> None:
        if not commit.taken and self._handle.effects.monotonic() >= deadline:
            message = (
                f"{self._handle.path}: timed out in the queue behind other threads' appends;"
                " nothing was written. Try again, or raise AURORA_LOCK_TIMEOUT (lock_timeout=)"
            )
            raise LockTimeoutError(message)

    def _forget(self, commit: PreparedCommit) -> None:
        for queue in (self._queue, self._unresolved):
            if commit in queue:
                queue.remove(commit)

    def _leave(self, commit: PreparedCommit) -> None:
        """Forget a commit whose caller goes away, unless a leader has it; end its own lead."""
        with self._mutex:
            commit.left = True
            self._forget(commit)
            self._handle.unresolved.pop(commit.commit_id, None)
        self._end_lead(commit)

    # Leading

    def _lead(self, commit: PreparedCommit, deadline: float) -> None:
        mark = None
        index = self._handle.state.index
        if index.tail.base_position > 1:
            index.look_ahead(commit.identities)
        group: list[PreparedCommit] = []
        commit.group = group
        try:
            mark = self._lead_locked(commit, deadline, group)
        except (AuroraError, OSError) as error:
            if commit.taken and not commit.done:
                commit.error = CommitOutcomeUnknownError(
                    f"{self._handle.path}: the append was interrupted and could not be looked up"
                    f" ({error}). Open the journal again (Journal.open) and read"
                )
                commit.done = True
            elif commit.error is None and not commit.done:
                raise
        finally:
            self._end_lead(commit)
        handle = self._handle
        # As ``mark_sync_is_due`` has it; every append comes here.
        if mark is not None and commit.begun - handle.mark_synced_at > _MARK_SYNC_SECONDS:
            self._sync_mark(mark)
            renew_if_due(handle)

    def _end_lead(self, commit: PreparedCommit) -> None:
        """Tell the verdicts of the group that ``commit`` leads, and hand over; again, if need be.

        The verdicts first: an interrupt from here on takes none of them back. Then the lead, so
        that the disk has work again while this thread wakes its group.
        """
        group = commit.group
        for member in group:
            member.done = True
        self._hand_over(commit)
        if len(group) > 1 or commit.wakeup is not None:
            self._wake(group)
        commit.group = ()  # else it would know itself

    def _lead_locked(
        self, commit: PreparedCommit, deadline: float, group: list[PreparedCommit]
    ) -> Mark | None:
        """Take what waits into ``group``, write it, and note the verdict of each member."""
        handle = self._handle
        is_writing = False
        published: Mark | None = None
        lock = AppendLock(handle, deadline)
        try:
            try:
                with lock:
                    mark = mark_under_lock(handle)
                    if self._unresolved or commit.taken:
                        self._answer_unresolved(commit)
                    chain = handle.state.chain
                    assert chain is not None
                    now = max(handle.effects.clock(), chain.timestamp)
                    if not commit.done and roll_is_due(handle.roll_bounds, chain, now):
                        mark = roll(handle, mark)
                        chain = handle.state.chain
                        assert chain is not None
                    if not commit.done:
                        commit.taken = True
                        group.append(commit)
                    if self._queue:
                        self._take(group, chain)
                    tails = look_again(handle, group) if handle.keeps_postings else ()
                    winners = admit(handle.state.index, group, tails)
                    if winners:
                        is_writing = True
                        mark = published = write_group(handle, mark, winners, now)
                        handle.meters.note_appends(winners, handle.effects.monotonic())
                    if winners is not group:
                        handle.meters.conflicts += len(group) - len(winners)
            except (AuroraError, OSError) as error:
                lock.release()
                if not group:
                    raise
                if published is None:
                    self._fail(group, error)
                    return None
                # Only unlocking failed; what is published is acknowledged.
        except (AuroraError, OSError):
            raise  # before anything was taken
        except BaseException:
            # Also one that comes in the middle of the answer to an error.
            lock.release()
            members = [*group]
            group.clear()  # it has no verdict
            self._leave_unresolved(members, commit, is_writing=is_writing)
            raise
        return mark

    def _take(self, group: list[PreparedCommit], chain: Chain) -> None:
        """Move what waits into ``group``, up to a bound of bytes and to the roll's caps."""
        size = sum(member.stored_bytes for member in group)
        records = sum(member.record_count for member in group)
        bounds = self._handle.roll_bounds
        size_max = min(_GROUP_BYTES_MAX, bounds.segment_bytes_max - chain.offset)
        records_max = bounds.segment_events_max - (chain.position - chain.base_position + 1)
        with self._mutex:
            while self._queue and (not group or (size < size_max and records < records_max)):
                member = self._queue[0]
                group.append(member)
                member.taken = True
                self._queue.popleft()
                size += member.stored_bytes
                records += member.record_count

    def _wake(self, group: Sequence[PreparedCommit]) -> None:
        """Wake those who wait for a verdict that is there; again, if need be."""
        for member in group:
            if member.wakeup is not None and member.wakeup.locked():
                member.wakeup.release()

    def _fail(self, group: list[PreparedCommit], error: Exception) -> None:
        """Answer a group whose write failed; conflicts inside it are not facts any more."""
        if isinstance(error, OSError) and not isinstance(error, AuroraError):
            refused: Exception = StorageError(
                f"{self._handle.path}: {error}; `aurora-es doctor` looks at rights and space"
            )
            refused.__cause__ = error
            error = refused
        for member in group:
            if member.error is None or member.error_depends_on_group:
                member.error = error

    def _leave_unresolved(
        self, group: list[PreparedCommit], leader: PreparedCommit, *, is_writing: bool
    ) -> None:
        """The leader is interrupted: its caller gets the interrupt, the others an answer later.

        Once the write was begun, their commits may also be published: they are looked up.
        """
        handle = self._handle
        if is_writing:
            # Before the state is forgotten: who catches up anew then looks for them.
            for member in group:
                if member is not leader:
                    handle.unresolved[member.commit_id] = 0
            handle.forget_state()
        with self._mutex:
            for member in group:
                self._forget(member)
                if member is leader:
                    member.done = True
                elif is_writing:
                    self._unresolved.append(member)
                elif not member.left:
                    member.taken = False
                    member.error = None
                    self._queue.appendleft(member)

    def _answer_unresolved(self, leader: PreparedCommit) -> None:
        """Answer the commits of an interrupted group: catch-up and recovery have looked for them.

        An interrupt in the middle takes no verdict back, and leaves the rest to the next leader.
        """
        handle = self._handle
        members = [*self._unresolved]
        if leader.taken and not leader.done:
            members.append(leader)
        for member in members:
            found = handle.unresolved.get(member.commit_id)
            if found:
                member.first_position = found - 1
                member.error = None
            elif member.error is None or member.error_depends_on_group:
                where = "may be in the journal" if found is None else "is not in the journal"
                member.error = CommitOutcomeUnknownError(
                    f"{handle.path}: the append was interrupted before it was published, and its"
                    f" commit {where}. Read (Journal.read) before you try again"
                )
            member.done = True
        with self._mutex:
            for member in members:
                self._forget(member)
                handle.unresolved.pop(member.commit_id, None)
        self._wake(members)

    def _hand_over(self, commit: PreparedCommit) -> None:
        """Give the lead of ``commit`` to the next waiter, or let the next caller take it."""
        with self._mutex:
            if self._leader is not commit:
                return
            if not self._queue and not self._unresolved:
                self._leader = None
                return
            successor = self._next_waiting()
            self._leader = successor  # who takes itself out of the queue
            if successor is not None and successor.wakeup is not None:
                successor.wakeup.release()

    def _next_waiting(self) -> PreparedCommit | None:
        for queue in (self._queue, self._unresolved):
            for member in queue:
                if not member.done:
                    return member
        return None

    def _sync_mark(self, mark: Mark) -> None:
        """Sync the mark once a second, after the waiters were answered.

        No commit waits for it: a stale mark on disk is safe, recovery walks forward from it.
        """
        handle = self._handle
        try:
            handle.sync_mark(mark)
        except AuroraError:
            pass  # closed or poisoned meanwhile, by another thread: no affair of these commits
        except OSError as error:
            handle.poison_with(error)
