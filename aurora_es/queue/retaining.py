"""Retention of a queue: drops old messages that no name needs any more.

Theory of operation: as retention of a journal, whole sealed segments from the front. What a named
receiver has not committed, or a group is not done with, parked messages included, stays, and with
it everything behind. Of the journal of cursors goes what its newest folded state stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from aurora_es.errors import ArgumentError
from aurora_es.journal import background
from aurora_es.journal.retention import retain

if TYPE_CHECKING:
    from datetime import timedelta

    from aurora_es.queue.cursors import CursorLog


class QueueRetentionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a retention has dropped, or would drop."""

    dry_run: bool  # nothing was changed
    retained_from: int  # position of the first message that is left
    dropped_messages: int  # number of messages
    dropped_segments: int  # number of files of messages
    dropped_bytes: int  # of those files
    # For each name the first position that it needs; the lowest of them is never dropped.
    needed_from: dict[str, int] = {}


def retain_queue(
    log: CursorLog,
    *,
    older_than: timedelta | None = None,
    bytes_max: int | None = None,
    messages_max: int | None = None,
    dry_run: bool = False,
) -> QueueRetentionReport:
    """Drop messages older than ``older_than``, or beyond ``bytes_max`` or ``messages_max`` in all.

    Any of the bounds is enough to drop a message, unless a name needs it or an earlier one. Whole
    segments go, and the newest ones stay: how exact it is depends on the roll cycle. The files go a
    minute later, with the next background run.

    Raises ArgumentError without a bound, LockTimeoutError, CorruptionError; with nothing changed.
    """
    if older_than is None and bytes_max is None and messages_max is None:
        message = "retain: expected older_than, bytes_max or messages_max; found none of them"
        raise ArgumentError(message)
    handle = log.messages.handle
    needed_from = {name: state.first_needed() for name, state in log.names().items()}
    before = None if messages_max is None else log.messages.last_position - messages_max + 1
    background.seal(handle.path, effects=handle.effects)  # only what is sealed can be dropped
    report = retain(
        handle.path,
        older_than=older_than,
        before_position=before,
        bytes_max=bytes_max,
        keep_from=min(needed_from.values(), default=None),
        dry_run=dry_run,
        effects=handle.effects,
    )
    if not dry_run:
        log.messages.renew()
        _retain_cursors(log)
    return QueueRetentionReport(
        dry_run=dry_run,
        retained_from=report.retained_from,
        dropped_messages=report.dropped_positions,
        dropped_segments=report.dropped_segments,
        dropped_bytes=report.dropped_bytes,
        needed_from=needed_from,
    )


def _retain_cursors(log: CursorLog) -> None:
    handle = log.journal.handle
    if log.journal.attach():
        background.seal(handle.path, effects=handle.effects)
        retain(handle.path, before_position=log.state_position(), effects=handle.effects)
        log.journal.renew()
