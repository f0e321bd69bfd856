"""Gathers what one pass over a segment tells: logical digest, times, and postings for its run.

Theory of operation: of a raw segment many small commits are taken at once, from the first on; where
that fails, the walk goes on one by one, ever further before it is tried again. Of a cooled segment
the commits of a frame are taken at once.
"""

from __future__ import annotations

from itertools import chain as flattened
from typing import TYPE_CHECKING

import msgspec

from aurora_es.errors import CorruptionError
from aurora_es.format.payload import UNDECODABLE, decode_record
from aurora_es.late_imports import fork_waits
from aurora_es.segment.digest import LogicalDigest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aurora_es.index.collect import PostingCollector
    from aurora_es.segment.bulk import Batch
    from aurora_es.segment.commits import CommitWalk, Raw, SegmentCommit

NO_BOUND = (1 << 64) - 1
_ONE_BY_ONE_BYTES = 1 << 14
_GROUP_MIN = 2  # commits that are cheaper to take at once
_DECODED_RECORDS = 1 << 10  # at a time: one call for many is cheaper


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """The commits that a digest covers: those that end at a position, and up to a commit."""

    position: int
    commit: int


UNBOUNDED = Bound(position=NO_BOUND, commit=NO_BOUND)


def gather(
    walk: CommitWalk, gathered: Gathered, *, is_raw: bool, visible_offset: int | None = None
) -> None:
    """Walk all commits into ``gathered``; raises CorruptionError, UnsupportedFormatError.

    ``visible_offset`` is where the mark says that a tail ends.
    """
    bulk_end = walk.file.size_bytes() if is_raw else 0
    if not bulk_end:
        for group in walk.groups():
            gathered.add_group(group)
        return
    with fork_waits:
        from aurora_es.segment.bulk import take_batch

    if visible_offset is not None:
        bulk_end = min(bulk_end, visible_offset)
    commits = iter(walk)
    patience = 0  # how far to go one by one, behind the first, before many are tried again
    while True:
        resume_at = walk.chain.offset + patience
        for commit in commits:
            gathered.add(commit)
            if walk.chain.offset >= resume_at:
                break
        else:
            return
        is_any = False
        while gathered.takes_batches and (batch := take_batch(walk, bulk_end)) is not None:
            gathered.add_batch(batch)
            is_any = True
        if is_any:
            commits = iter(walk)  # from the walk's new place
        patience = 0 if is_any else max(2 * patience, _ONE_BY_ONE_BYTES)


class Gathered:
    """What is learned of a segment while it is walked."""

    def __init__(
        self,
        walk: CommitWalk,
        *,
        is_indexed: bool,
        bound: Bound = UNBOUNDED,
        is_inside: bool = True,
    ) -> None:
        """Begin with none; ``is_inside``: no commit can be outside of the bound."""
        header = walk.file.header
        self.digest = LogicalDigest()
        self.collector: PostingCollector | None = None
        if is_indexed:
            with fork_waits:
                from aurora_es.index.collect import PostingCollector
            self.collector = PostingCollector(header.genesis_id, header.base_position)
        self.first_timestamp = self.last_timestamp = 0
        self._walk = walk
        self._bound = bound
        self.takes_batches = is_inside
        self._bounded: tuple[bytes, int, int] | None = None
        self._undecoded: list[Raw] = []
        self._first = header.base_position  # position of the first of these
        self._within = False  # a commit inside the bound was met, and none outside of it
        self._position, self._number = header.base_position - 1, header.base_commit - 1

    def add(self, commit: SegmentCommit) -> None:
        """Take the next commit; raises CorruptionError if records do not decode."""
        number, _, timestamp, _, first, records = commit
        last = first + len(records) - 1
        if self.takes_batches:
            self._within = True
        else:
            bound = self._bound
            is_inside = max(first, last) <= bound.position and number <= bound.commit
            if self._within and not is_inside:
                self._bounded = self.digest.digest(), self._position, self._number
            self._within = is_inside
        self.digest.add(commit)
        self._position, self._number = last, number
        self.last_timestamp = timestamp
        self.first_timestamp = self.first_timestamp or timestamp
        if self.collector is not None:
            self._take(first, records)

    def add_group(self, commits: list[SegmentCommit]) -> None:
        """Take the next commits, between whose positions there is no gap."""
        if not self.takes_batches or len(commits) < _GROUP_MIN:
            for commit in commits:
                self.add(commit)
            return
        self._within = True
        self.digest.add_group(commits)
        number, _, timestamp, _, first, records = commits[-1]
        self._position, self._number = first + len(records) - 1, number
        self.last_timestamp = timestamp
        self.first_timestamp = self.first_timestamp or commits[0].timestamp
        if self.collector is not None:
            self._take(
                commits[0].first_position, flattened.from_iterable([one.records for one in commits])
            )

    def finish(self) -> bytes:
        """Return the digest, compared with the one in the end frame; raises CorruptionError."""
        self._decode()
        digest = self.digest.digest()
        if self._walk.end is not None:
            self._walk.check_digest(digest)
        return digest

    def _take(self, first: int, records: Iterable[Raw]) -> None:
        """Take records from position ``first`` on, to be decoded with others."""
        if first != self._first + len(self._undecoded):
            self._decode()  # those before a hole
            self._first = first
        self._undecoded += records
        if len(self._undecoded) >= _DECODED_RECORDS:
            self._decode()

    def _decode(self) -> None:
        """Decode the records taken so far; raises CorruptionError if they do not."""
        undecoded, self._undecoded = self._undecoded, []
        if self.collector is None or not undecoded:
            return
        try:
            records = [*map(decode_record, undecoded)]
        except UNDECODABLE as error:
            raise CorruptionError(
                self._walk.file.path,
                self._walk.chain.offset,
                expected="records in front of this offset",
                found=str(error),
            ) from error
        self.collector.add(self._first, records)
        self._first += len(records)

    def add_batch(self, batch: Batch) -> None:
        """Take many commits, none of which is outside the bound."""
        self._decode()
        self._within = True
        self.digest.add_encoded(batch.digested)
        self._position, self._number = batch.last_position, batch.last_commit
        self.last_timestamp = batch.last_timestamp
        self.first_timestamp = self.first_timestamp or batch.first_timestamp
        if self.collector is not None and batch.records:
            self.collector.add(batch.first_position, batch.records)

    def at_the_end(self, digest: bytes) -> tuple[bytes, int, int] | None:
        """Digest, last position and last commit of the commits inside the bound."""
        return (digest, self._position, self._number) if self._within else self._bounded
