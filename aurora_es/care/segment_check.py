"""Checks one segment: all of its bytes, what the manifest says of it, and its table of frames.

Theory of operation: a segment that is whole is walked once, and everything that others say about it
(the manifest, its successor, its index run, another copy of the journal) is gathered on the way as
``SegmentFacts``. One that is not whole is read again by ``Salvage``, gap by gap, which tells what
is lost. A segment is checked by itself, so that several can be at a time.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.findings import (
    MARK_WRONG,
    RECOVERY_DUE,
    SEGMENT_CUT,
    SEGMENT_FOREIGN,
    SEGMENT_FRAME_DAMAGED,
    SEGMENT_HEADER_DAMAGED,
    SEGMENT_OVERLONG,
    UNREADABLE,
    UNSUPPORTED,
    Finding,
    PositionRange,
    joined,
    repair_command,
)
from aurora_es.care.table_check import check_table
from aurora_es.errors import CorruptionError, ForeignDirectoryError, UnsupportedFormatError
from aurora_es.format.frame import frame_bytes
from aurora_es.format.names import MARK
from aurora_es.format.payload import UNDECODABLE, decode_record
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.journal.sealed_segments import identity_of
from aurora_es.late_imports import fork_waits
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.digest import LogicalDigest
from aurora_es.segment.file import SegmentFile, check_segment
from aurora_es.segment.salvage import (
    CUT,
    FRAME,
    HEADER,
    OVERLONG,
    Gap,
    Place,
    Salvage,
    frames_from,
    open_damaged,
)

if TYPE_CHECKING:
    from aurora_es.files.layer import Files
    from aurora_es.format.manifest import SealedSegment
    from aurora_es.format.run import Columns
    from aurora_es.index.collect import PostingCollector
    from aurora_es.segment.bulk import Batch
    from aurora_es.segment.commits import Raw, SegmentCommit
    from aurora_es.segment.frame_table import FramePlaces

NO_BOUND = (1 << 64) - 1
_ONE_BY_ONE_BYTES = 1 << 14
_DECODED_RECORDS = 1 << 10  # at a time: one call for many is cheaper
_KIND_OF = {
    HEADER: SEGMENT_HEADER_DAMAGED,
    FRAME: SEGMENT_FRAME_DAMAGED,
    CUT: SEGMENT_CUT,
    OVERLONG: SEGMENT_OVERLONG,
}


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """The commits that a digest covers: those that end at a position, and up to a commit."""

    position: int
    commit: int


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A segment that ought to be there, and what is known of it from outside; None: not known."""

    genesis_id: bytes
    segment_number: int
    file_name: str
    base_position: int
    base_commit: int | None = None
    last_position: int | None = None
    last_commit: int | None = None
    entry: SealedSegment | None = None  # as the manifest lists it
    is_tail: bool = False
    # Of a tail: where the mark says that it ends, and up to where it was on disk.
    visible_offset: int | None = None
    durable_offset: int | None = None

    @property
    def place(self) -> Place:
        """The same, as the salvage of a segment takes it."""
        return Place(
            self.genesis_id,
            self.segment_number,
            self.base_position,
            self.base_commit,
            self.last_position,
            self.last_commit,
            self.visible_offset,
        )


class IndexFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an index run has to say of a segment."""

    base_position: int
    last_position: int
    fingerprint: int
    entry_count: int
    topics: dict[str, int]
    commons: list[tuple[int, int, int]]


class SegmentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole segment says of itself."""

    segment_number: int
    size_bytes: int
    base_position: int
    base_commit: int
    last_position: int
    last_commit: int
    first_timestamp: int
    last_timestamp: int
    previous: tuple[int, int, int]  # its predecessor's end offset, last position, last checksum
    end: tuple[int, int]  # end offset and last checksum, before any cooling
    file_checksum: int  # header checksum of the last frame in the file
    digest: bytes
    # Digest, last position and last commit of the commits inside the bound; None if that is none.
    bounded: tuple[bytes, int, int] | None
    index: IndexFacts | None  # of listed segments


class SegmentResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of one segment gives."""

    facts: SegmentFacts | None  # None: it is not whole
    findings: list[Finding]
    last_position: int | None  # of its last record, lost or not
    size_bytes: int


def examine(files: Files, directory: str, target: Target, bound: Bound) -> SegmentResult:
    """Check a segment and its table; raises FileNotFoundError if there is no such file."""
    path = os.path.join(directory, target.file_name)
    findings: list[Finding] = []
    facts: SegmentFacts | None = None
    places: FramePlaces | None = None
    last = target.last_position
    size = files.stat(path).st_size
    try:
        file = SegmentFile(files, path, writable=False)
        check_segment(target.genesis_id, file, target.segment_number, target.base_position)
        facts, places = _facts_of(file, target, bound)
        last = facts.last_position
    except CorruptionError as error:
        if _is_foreign(files, path, target):
            findings.append(_foreign(path, directory, target, error))
        else:
            last = _damages(files, path, directory, target, findings)
    except (UnsupportedFormatError, ForeignDirectoryError, PermissionError) as error:
        findings.append(_unchecked(UNSUPPORTED, path, directory, error))
    except FileNotFoundError:
        raise
    except OSError as error:
        findings.append(_unchecked(UNREADABLE, path, directory, error))
    if target.entry is not None:
        identity = identity_of(target.genesis_id, target.entry)
        table = check_table(files, directory, identity, places)
        if table is not None:
            findings.append(table)
    return SegmentResult(facts=facts, findings=findings, last_position=last, size_bytes=size)


def _facts_of(file: SegmentFile, target: Target, bound: Bound) -> tuple[SegmentFacts, FramePlaces]:
    """Walk a whole segment; raises CorruptionError, UnsupportedFormatError."""
    walk = CommitWalk(file, visible_offset=target.visible_offset)
    gathered = _Gathered(
        walk, bound, is_inside=_is_inside(target, bound), is_indexed=target.entry is not None
    )
    # Commits of cooled segments are read as fast one by one.
    is_raw = target.entry is None or not target.entry.revision
    _gather(walk, gathered, file.size_bytes() if is_raw else 0, target.visible_offset)
    gathered.decode()
    if walk.checkpoint is None:
        raise CorruptionError(
            file.path, SEGMENT_HEADER_BYTES, expected="a checkpoint frame", found="another"
        )
    walk.tracking_before()  # raises if it is no table
    digest = gathered.digest.digest()
    if walk.end is not None:
        walk.check_digest(digest)
    header, end, chain = file.header, walk.end, walk.chain
    return SegmentFacts(
        segment_number=header.segment_number,
        size_bytes=chain.offset,
        base_position=header.base_position,
        base_commit=header.base_commit,
        last_position=chain.position,
        last_commit=chain.commit_number,
        first_timestamp=gathered.first_timestamp,
        last_timestamp=gathered.last_timestamp,
        previous=(header.previous_end, header.previous_position, header.previous_checksum),
        end=(chain.offset, chain.previous_checksum)
        if end is None
        else (end.original_end, end.original_checksum),
        file_checksum=chain.previous_checksum,
        digest=digest,
        bounded=gathered.at_the_end(digest),
        index=None if gathered.collector is None else _index_facts(gathered.collector),
    ), walk.places


def _is_inside(target: Target, bound: Bound) -> bool:
    """Whether all of a segment is inside the bound, for sure."""
    position, commit = target.last_position, target.last_commit
    # A commit without records has the position of the next record.
    return (
        bound.position == NO_BOUND or (position is not None and position < bound.position)
    ) and (bound.commit == NO_BOUND or (commit is not None and commit <= bound.commit))


def _gather(
    walk: CommitWalk, gathered: _Gathered, bulk_end: int, visible_offset: int | None
) -> None:
    """Walk all commits: many at once where that can be, else one by one."""
    if not bulk_end:
        for commit in walk:
            gathered.add(commit)
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


class _Gathered:
    """What is learned of a segment while it is walked."""

    def __init__(
        self, walk: CommitWalk, bound: Bound, *, is_inside: bool, is_indexed: bool
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
            self._undecoded += records
            if len(self._undecoded) >= _DECODED_RECORDS:
                self.decode()

    def decode(self) -> None:
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
        self.collector.add(self.collector.last_position + 1, records)

    def add_batch(self, batch: Batch) -> None:
        """Take many commits, none of which is outside the bound."""
        self.decode()
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


def _index_facts(collector: PostingCollector) -> IndexFacts:
    with fork_waits:
        from aurora_es.index.build import sorted_postings
        from aurora_es.index.fingerprint import fingerprint

    columns = collector.postings()
    if collector.has_repetitions:
        columns = sorted_postings(columns)
    return IndexFacts(
        base_position=collector.base_position,
        last_position=collector.last_position,
        fingerprint=fingerprint(columns),
        entry_count=len(columns[0]),
        topics=collector.topics(),
        commons=collector.commons(),
    )


def _is_foreign(files: Files, path: str, target: Target) -> bool:
    """Whether the file has a valid header, but that of another segment."""
    try:
        header = SegmentFile(files, path, writable=False).header
    except CorruptionError:
        return False
    expected = (target.genesis_id, target.segment_number, target.base_position)
    return (header.genesis_id, header.segment_number, header.base_position) != expected


def _foreign(path: str, directory: str, target: Target, error: CorruptionError) -> Finding:
    return Finding(
        kind=SEGMENT_FOREIGN,
        path=path,
        offset=0,
        expected=error.expected,
        found=error.found,
        lost=whole_range(target),
        cure=repair_command(directory),
    )


def whole_range(target: Target) -> tuple[PositionRange, ...]:
    """All positions of a segment, as far as its end is known."""
    if target.last_position is None:
        return ()
    return joined([(target.base_position, target.last_position)])


def _unchecked(kind: str, path: str, directory: str, error: Exception) -> Finding:
    return Finding(
        kind=kind,
        path=path,
        offset=None,
        expected="a file that this version of aurora_es can read",
        found=str(error),
        cure=f"aurora-es doctor {shlex.quote(directory)}",
    )


def _damages(
    files: Files, path: str, directory: str, target: Target, findings: list[Finding]
) -> int | None:
    """Add a finding for each gap of a damaged segment; returns its last position, if known."""
    file, header_gap = open_damaged(files, path, target.place)
    if header_gap is not None:
        lost = () if file is not None else whole_range(target)
        findings.append(_finding(path, directory, target, header_gap, lost))
    if file is None:
        return target.last_position
    if target.is_tail and _mark_is_inside_a_frame(file, target):
        findings.append(_inside_a_frame(file, directory, target))
        return None
    salvage = Salvage(file, target.place)
    last: int | None = file.header.base_position - 1
    for found in salvage:
        if not isinstance(found, Gap):
            last = found.first_position + len(found.records) - 1
            continue
        last = found.last_position
        if target.is_tail and target.visible_offset is None and last is None:
            continue  # without a mark nobody can tell an unfinished write from a damage
        lost = ()
        if last is not None:
            lost = joined([(found.first_position, last)])
        findings.append(_finding(path, directory, target, found, lost))
    return last


def _finding(
    path: str, directory: str, target: Target, gap: Gap, lost: tuple[PositionRange, ...]
) -> Finding:
    kind = _KIND_OF[gap.reason]
    if target.durable_offset is not None and gap.offset >= target.durable_offset:
        kind = RECOVERY_DUE
    return Finding(
        kind=kind,
        path=path,
        offset=gap.offset,
        expected=gap.expected,
        found=gap.found,
        lost=lost,
        cure=repair_command(directory),
    )


def _mark_is_inside_a_frame(file: SegmentFile, target: Target) -> bool:
    """Whether a valid frame of the tail begins before the mark's offset and ends behind it."""
    visible = target.visible_offset
    if visible is None:
        return False
    return any(
        offset < visible < offset + frame_bytes(header.stored_length)
        for offset, header in frames_from(file, SEGMENT_HEADER_BYTES, file.size_bytes())
    )


def _inside_a_frame(file: SegmentFile, directory: str, target: Target) -> Finding:
    return Finding(
        kind=MARK_WRONG,
        path=os.path.join(directory, MARK),
        offset=None,
        expected=f"a visible offset between two frames of {file.path}",
        found=f"offset {target.visible_offset}, inside a valid frame",
        cure=repair_command(directory),
    )


def lost_of(files: Files, directory: str, target: Target) -> tuple[PositionRange, ...]:
    """The positions of a segment that its file does not hold."""
    findings: list[Finding] = []
    try:
        _damages(files, os.path.join(directory, target.file_name), directory, target, findings)
    except (OSError, UnsupportedFormatError, ForeignDirectoryError):
        return whole_range(target)
    return joined(one for finding in findings for one in finding.lost)


def postings_of(files: Files, directory: str, target: Target) -> Columns:
    """The index entries of a whole segment, in any order."""
    with fork_waits:
        from aurora_es.index.collect import PostingCollector

    path = os.path.join(directory, target.file_name)
    file = SegmentFile(files, path, writable=False)
    collector = PostingCollector(file.header.genesis_id, file.header.base_position)
    for commit in CommitWalk(file):
        if commit.records:
            collector.add(commit.first_position, [*map(decode_record, commit.records)])
    return collector.postings()
