"""Finds out whether anything above a position matches a query: the conditions of appends.

Theory of operation: a caller looks before he queues for the lock, over index runs, segments and
tail, and notes up to which position nothing matches. That stays true, so under the lock the leader
only has to look at what came later: ``look_again`` lets the postings of the segments in memory catch
up, which costs nothing unless another process has appended, and ``conflicts.py`` asks them. If the
segments that came later have been sealed meanwhile, or the epoch has changed, the leader looks as
the caller did; both are rare. Which positions broke a condition the caller finds out afterwards,
without a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.errors import Conflict, ConflictError
from aurora_es.journal.catch_up import refresh
from aurora_es.journal.filtering import add_postings, read_matches
from aurora_es.journal.reading import index_up_to, read_records
from aurora_es.journal.truncation import check_position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.index.query import Condition
    from aurora_es.index.tail import TailIndex
    from aurora_es.journal.commit import PreparedCommit
    from aurora_es.journal.group import GroupCommit
    from aurora_es.journal.handle import Handle


_POSITIONS_IN_MESSAGE = 5
CONFLICTS_NAMED_MAX = 100  # so many positions an error names


def look(handle: Handle, commit: PreparedCommit) -> None:
    """Note up to where nothing breaks the condition of ``commit``; for its caller, without a lock.

    Raises ConflictError that names what breaks it, and TruncatedError where records that might have
    been dropped.
    """
    condition = commit.condition
    assert condition is not None
    until, epoch = _seen(handle)
    check_position(handle, condition.after + 1)
    handle.keeps_postings = True
    _gather(handle, index_up_to(handle, until).parts[1], condition.after, until)
    _refuse_if_broken(handle, condition, until)
    commit.looked_to, commit.looked_epoch = until, epoch


def name_conflicts(handle: Handle, condition: Condition) -> None:
    """Raise the ConflictError that names what breaks a condition, if that was not taken back."""
    _refuse_if_broken(handle, condition, refresh(handle))


def append_on_condition(
    group: GroupCommit,
    handle: Handle,
    commit: PreparedCommit,
    condition: Condition,
    lock_timeout: float | None,
) -> int:
    """Append ``commit`` unless ``condition`` is broken; raises the ConflictError that says by what."""
    commit.condition = condition
    look(handle, commit)
    try:
        return group.append(commit, lock_timeout)
    except ConflictError as error:
        refused = error
    name_conflicts(handle, condition)
    raise refused


def look_again(handle: Handle, group: Sequence[PreparedCommit]) -> Sequence[TailIndex]:
    """Make ready what ``conflicts.py`` asks about the conditions of ``group``, under the lock.

    Returns the segments in memory whose postings hold all that the commits have not been compared
    with: a reader thread may put a newer manifest in their place meanwhile.
    """
    index = handle.state.index
    sealed, tails = index.parts
    sealed_to = 0 if sealed is None else sealed.last_position
    lowest = until = index.position
    for commit in group:
        condition = commit.condition
        if condition is None:
            continue
        if commit.looked_epoch != handle.epoch:
            commit.looked_to = 0  # a recovery has taken back what was visible
        known = max(condition.after, commit.looked_to)
        if known < sealed_to:  # another process has appended, and rolled, and sealed
            commit.is_broken = bool(_matches(handle, condition, known, sealed_to, 1))
            commit.looked_to = known = sealed_to
        lowest = min(lowest, known)
    _gather(handle, tails, lowest, until)
    return tails


def _seen(handle: Handle) -> tuple[int, int | None]:
    """The visible position, and the epoch in which it is that: another thread may find a new one."""
    while True:
        epoch = handle.epoch
        until = refresh(handle)
        if handle.epoch == epoch:
            return until, epoch


def _gather(handle: Handle, tails: Sequence[TailIndex], after: int, until: int) -> None:
    """Let the postings of those ``tails`` that end above ``after`` reach ``until``."""
    for tail in tails:
        end = min(tail.position, until)
        while after < end:
            postings = tail.postings
            known = tail.base_position - 1 if postings is None else postings.position
            if known >= end:
                break
            first, records = read_records(handle, known + 1, end)
            # Of a segment that was cooled meanwhile the frame may begin earlier.
            add_postings(handle, tail, known + 1, records[known + 1 - first :])


def _refuse_if_broken(handle: Handle, condition: Condition, until: int) -> None:
    limit = CONFLICTS_NAMED_MAX
    positions = _matches(handle, condition, condition.after, until, limit)
    if not positions:
        return
    named = ", ".join(map(str, positions[:_POSITIONS_IN_MESSAGE]))
    more = ", ..." if len(positions) > _POSITIONS_IN_MESSAGE else ""
    message = (
        f"the condition is broken: above position {condition.after} there are records that match"
        f" its query, at {named}{more}; nothing was written. Read the newer events (Journal.read), and decide again"
    )
    raise ConflictError(message, [Conflict(None, None, position) for position in positions])


def _matches(handle: Handle, condition: Condition, after: int, until: int, limit: int) -> list[int]:
    batches = read_matches(
        handle, condition.query, max(after, 0) + 1, until, limit, with_times=False
    )
    return [position for batch in batches for position, _, _ in batch]
