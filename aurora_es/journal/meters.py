"""What a handle counts while it works: latencies, commits per sync, conflicts, rolls.

Theory of operation: a histogram is a list of counts over fixed buckets, four to each power of two,
so that an append adds one to an element of a list and nothing is computed while nothing happens.
The index of a bucket comes from the length of the number in bits::

    value     0 1 2 ... 7 | 8-9 10-11 12-13 14-15 | 16-19 20-23 24-27 28-31 | ...  2^26 and above
    bucket    0 1 2 ... 7 |  8    9    10    11   |  12    13    14    15   | ...       100

What nearly every append takes is below a thousand microseconds: there each microsecond has an
element of its own, and the buckets of those are added up only when somebody asks.

All is written under the append lock of the handle, which its writer holds anyway, so no count is
lost. Readers copy a list in one operation, and may see a sum that is one append older or newer than
its counts.
What it costs an append: ``python -m benchmarks --rows insert-1-never``.

A child of a fork has handles of its own, which begin at zero; the parent's are forked there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.journal.commit import PreparedCommit

_BITS_MAX = 26  # values of more bits (67 s in microseconds) share the last bucket
_EXACT_MAX = 8  # values below have a bucket each
_END = 1 << _BITS_MAX
_FINE_END = 1 << 10  # appends that take fewer microseconds are counted by the microsecond
BUCKET_COUNT = 4 * (_BITS_MAX - 3) + _EXACT_MAX + 1


def bucket_of(value: int) -> int:
    """The bucket of a value; what is below zero, by a clock that was set back, counts as zero."""
    if value < _EXACT_MAX:
        return max(value, 0)
    if value >= _END:
        return BUCKET_COUNT - 1
    shift = value.bit_length() - 3
    return (shift << 2) + (value >> shift)


def bucket_ends() -> list[int]:
    """For each bucket but the last the smallest value above it."""
    ends = list(range(1, _EXACT_MAX + 1))
    for shift in range(1, _BITS_MAX - 2):
        ends += [end << shift for end in (5, 6, 7, 8)]
    return ends


class Meters:
    """The counts of one handle, from its making on; times in seconds."""

    __slots__ = (
        "_append_counts",
        "_append_microseconds",
        "append_seconds",
        "appended_bytes",
        "appended_commits",
        "appended_records",
        "commits_per_sync_counts",
        "conflicts",
        "rolls",
        "sync_counts",
        "sync_seconds",
        "synced_commits",
    )

    def __init__(self) -> None:
        """Begin with nothing."""
        self._append_microseconds = [0] * _FINE_END  # counts by the microsecond, and
        self._append_counts = [0] * BUCKET_COUNT  # by bucket, of what took longer
        self.append_seconds = 0.0
        self.appended_commits = 0
        self.appended_records = 0
        self.appended_bytes = 0
        self.conflicts = 0
        self.rolls = 0
        self.sync_counts = [0] * BUCKET_COUNT  # of microseconds
        self.sync_seconds = 0.0
        self.commits_per_sync_counts = [0] * BUCKET_COUNT  # of commits
        self.synced_commits = 0  # own ones; the rest of ``appended_commits`` waits for a sync

    @property
    def append_counts(self) -> list[int]:
        """Counts of appends by buckets of microseconds."""
        counts = self._append_counts.copy()
        for value, count in enumerate(self._append_microseconds.copy()):
            if count:
                counts[bucket_of(value)] += count
        return counts

    def note_appends(self, group: Sequence[PreparedCommit], now: float) -> None:
        """Count the commits of a group that was published at ``now``, in monotonic seconds.

        Every append pays for this loop.
        """
        for commit in group:
            seconds = now - commit.begun
            value = int(seconds * 1e6)
            if 0 <= value < _FINE_END:
                self._append_microseconds[value] += 1
            else:
                self._append_counts[bucket_of(value)] += 1
            self.append_seconds += seconds
            self.appended_records += commit.record_count
            self.appended_bytes += commit.stored_bytes
        self.appended_commits += len(group)

    def note_sync(self, seconds: float, appended_commits: int) -> None:
        """Count a sync of the tail that succeeded: all of ``appended_commits`` are durable now."""
        self.sync_seconds += seconds
        self.sync_counts[bucket_of(int(seconds * 1e6))] += 1
        commits = appended_commits - self.synced_commits
        if commits > 0:
            self.commits_per_sync_counts[bucket_of(commits)] += 1
            self.synced_commits = appended_commits
