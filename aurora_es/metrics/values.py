"""The values of a snapshot: frozen, with units in their names, and to be added up.

Theory of operation: ``a + b`` puts together what two handles, or two processes, have counted of one
journal: counts add up, and what is said of the journal itself is taken from whoever has seen more.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec

from aurora_es.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Histogram(msgspec.Struct, frozen=True):
    """How often values were seen; ``counts[n]`` are those up to ``bounds[n]``, the last one above."""

    bounds: tuple[float, ...]  # rising; one less than there are counts
    counts: tuple[int, ...]
    sum: float  # of all values

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Mean of the values, 0.0 without any."""
        count = self.count
        return self.sum / count if count else 0.0

    def quantile(self, share: float) -> float:
        """The value below which ``share`` (0 to 1) of all are, to about an eighth of itself.

        0.0 without any values; the largest bound for what lies above it. Raises ArgumentError.
        """
        if not 0 <= share <= 1:
            message = f"share: expected a number from 0 to 1, found {share}"
            raise ArgumentError(message)
        wanted = share * self.count
        below = 0
        for number, count in enumerate(self.counts[:-1]):
            if count and below + count >= wanted:
                lower = self.bounds[number - 1] if number else 0.0
                return lower + (self.bounds[number] - lower) * (wanted - below) / count
            below += count
        return self.bounds[-1] if below < self.count else 0.0

    def cumulative(self) -> list[int]:
        """For each bound the number of values up to it."""
        return list(accumulate(self.counts[:-1]))

    def __add__(self, other: Histogram) -> Histogram:
        """Both together; raises ArgumentError unless their bounds are the same."""
        if self.bounds != other.bounds:
            message = (
                "expected histograms with the same bounds, found others; add what one version made"
            )
            raise ArgumentError(message)
        counts = tuple(map(sum, zip(self.counts, other.counts, strict=True)))
        return Histogram(self.bounds, counts, self.sum + other.sum)


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """A journal as it is, whoever made it so; sizes in bytes."""

    epoch: int
    last_commit: int
    last_position: int
    first_position: int  # of the first record that retention has left
    segments: int  # all of the following, and the tail
    rolled_segments: int  # closed, and not sealed yet
    sealed_segments: int  # as they were appended to
    cooled_segments: int
    runs: int
    sealed_bytes: int  # of sealed and cooled segments
    tail_bytes: int
    unsynced_bytes: int  # visible, and not known to be on disk


class JournalMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """One journal: what this process has counted since it opened it, and what there is of it."""

    path: str
    handles: int  # how often it is open here
    final_handles: int  # of these, those that a failed sync has made unusable
    append_seconds: Histogram  # from the call, once it is encoded, to the publication
    sync_seconds: Histogram  # of the tail
    commits_per_sync: Histogram  # own commits that one sync made durable
    appended_commits: int
    appended_records: int
    appended_bytes: int
    conflicts: int  # commits that were refused
    rolls: int
    recoveries: int
    adopted_commits: int  # complete commits of interrupted writers that a recovery kept
    cut_bytes: int  # unfinished bytes that a recovery cut
    extent: Extent | None  # None where there is no journal yet, or where it cannot be read

    def __add__(self, other: JournalMetrics) -> JournalMetrics:
        """What two handles, or two processes, have counted of one journal."""
        return JournalMetrics(
            path=self.path,
            handles=self.handles + other.handles,
            final_handles=self.final_handles + other.final_handles,
            append_seconds=self.append_seconds + other.append_seconds,
            sync_seconds=self.sync_seconds + other.sync_seconds,
            commits_per_sync=self.commits_per_sync + other.commits_per_sync,
            appended_commits=self.appended_commits + other.appended_commits,
            appended_records=self.appended_records + other.appended_records,
            appended_bytes=self.appended_bytes + other.appended_bytes,
            conflicts=self.conflicts + other.conflicts,
            rolls=self.rolls + other.rolls,
            recoveries=self.recoveries + other.recoveries,
            adopted_commits=self.adopted_commits + other.adopted_commits,
            cut_bytes=self.cut_bytes + other.cut_bytes,
            extent=max(self.extent, other.extent, key=_progress),
        )


class SubscriptionMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """An iterator of this process that follows a journal."""

    path: str  # of the journal
    kind: str  # "subscription", "async subscription" or "tailer"
    number: int  # in the order in which they began, counted from 1; never used again
    position: int  # up to here everything was returned, or left out by the topics
    lag_records: int  # positions behind it that are visible


class ReceiverMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """A named receiver or a group of a queue, whichever process its receivers are in."""

    path: str  # of the queue
    name: str
    kind: str  # "receiver" or "group"
    lag_messages: int  # that nobody is done with, parked ones left out
    held_messages: int  # of a group: looked at, and nobody is done with them
    parked_messages: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All of it at about one moment."""

    journals: tuple[JournalMetrics, ...]  # by path
    subscriptions: tuple[SubscriptionMetrics, ...]  # in the order in which they began
    receivers: tuple[ReceiverMetrics, ...]  # by path and name

    def journal(self, path: str) -> JournalMetrics:
        """The journal in the directory ``path``; raises ArgumentError if it is not open here."""
        for found in self.journals:
            if found.path == path:
                return found
        paths = ", ".join(one.path for one in self.journals) or "none"
        message = f"{path}: expected a journal that is open in this process, found {paths}"
        raise ArgumentError(message)

    def __add__(self, other: Snapshot) -> Snapshot:
        """Two snapshots of different processes as one; journals of one path are added up."""
        receivers = {(one.path, one.name): one for one in (*self.receivers, *other.receivers)}
        return Snapshot(
            journals=merged(self.journals + other.journals),
            subscriptions=self.subscriptions + other.subscriptions,
            receivers=tuple(receivers[key] for key in sorted(receivers)),
        )


def merged(journals: Iterable[JournalMetrics]) -> tuple[JournalMetrics, ...]:
    """One entry for each path, in their order."""
    found: dict[str, JournalMetrics] = {}
    for journal in journals:
        before = found.get(journal.path)
        found[journal.path] = journal if before is None else before + journal
    return tuple(found[path] for path in sorted(found))


def _progress(extent: Extent | None) -> tuple[int, int, int]:
    """Rises with what was seen of a journal."""
    if extent is None:
        return (-1, 0, 0)
    return extent.epoch, extent.last_commit, extent.sealed_segments + extent.cooled_segments
