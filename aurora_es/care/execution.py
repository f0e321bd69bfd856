"""Executes the plan of a repair, in an order that may be killed anywhere.

    copies, synced ──> repaired segments ──> fresh tail ──> runs ──> manifest ──> mark ──> removals

Theory of operation: until the manifest is replaced, everything is added under names that nobody
reads, but for runs, which are caches. From then on the journal is the repaired one: a mark that names
a segment which the manifest lists is moved behind it by whoever reads it. A repair that was killed
is started again: what it has written is found, or written again. The caller holds the locks.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from aurora_es.care.findings import joined
from aurora_es.care.indexing import index_segments
from aurora_es.care.locks import manifest_locked
from aurora_es.care.manifest_anew import manifest_anew
from aurora_es.care.plan import Plan, SegmentPlan, open_salvage, parts_of
from aurora_es.codecs.compression import CODEC_OF
from aurora_es.errors import CorruptionError
from aurora_es.files.layer import open_regular, write_all
from aurora_es.format.frame import KIND_CHECKPOINT
from aurora_es.format.manifest import SealedSegment
from aurora_es.format.mark import MARK_BYTES, SPAN_BYTES, Mark, encode_slot, slot_offset
from aurora_es.format.names import MARK, frames_name, segment_name
from aurora_es.format.packed import decode_tracking
from aurora_es.format.payload import CheckpointPayload
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.journal.catch_up import first_chain, read_checkpoint
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.manifest_file import begun_epoch, write_manifest
from aurora_es.journal.recovery import rewrite
from aurora_es.options import CompressionFormat, Sync
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.create import link_segment, remove_if_there, write_segment
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.frame_table import write_frame_table
from aurora_es.segment.pack import verify_packed
from aurora_es.segment.repaired import RepairedPlace, write_repaired
from aurora_es.segment.salvage import open_damaged
from aurora_es.segment.walk import Chain, Walk, start_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import Manifest
    from aurora_es.segment.repaired import RepairedSegment

_LOCK_TIMEOUT_SECONDS = 60.0


def execute(
    effects: Effects,
    plan: Plan,
    changed: set[int],
    told: Callable[[], object],
    *,
    settings: Manifest | None = None,
) -> Manifest:
    """Do what is planned; ``changed`` are segments whose runs or tables are wrong besides.

    ``told`` is called after each segment. ``settings`` are those of the manifest where the plan
    knows none. Returns the new manifest. Raises CorruptionError if a file is not any more what
    was planned with, OSError.
    """
    found = plan.found
    path, files = found.path, effects.files
    epoch = plan.epoch
    base = settings or manifest_anew(effects, found)
    entries: list[SealedSegment] = []
    for segment in plan.segments.values():
        if isinstance(segment, SegmentPlan):
            before = entries[-1] if entries else None
            entries.append(_write_segment(effects, plan, segment, before, epoch))
            changed.add(segment.number)
            told()
        else:
            entries.append(segment)
            if found.listed(segment.segment_number) != segment:
                changed.add(segment.segment_number)
    removed = {*plan.removed}
    if plan.tail is None:
        last = entries[-1]
        name = segment_name(last.segment_number + 1, last.last_position + 1)
        if name in removed:  # a stray, which was kept, has the name of the fresh tail
            remove_if_there(files, os.path.join(path, name))
            removed.discard(name)
        fresh_tail(effects, path, base, last, epoch)
    manifest = _manifest(plan, base, entries, epoch)
    manifest = index_segments(effects, path, manifest, changed, told=lambda _: told())
    files.sync_directory(path)
    with manifest_locked(effects, path, timeout=_LOCK_TIMEOUT_SECONDS):
        write_manifest(files, path, manifest)
    _write_mark(effects, plan, manifest)
    for name in sorted(removed):
        remove_if_there(files, os.path.join(path, name))
    files.sync_directory(path)
    clear_away(effects, path)
    return manifest


def _manifest(plan: Plan, base: Manifest, entries: list[SealedSegment], epoch: int) -> Manifest:
    # A file that was waiting to be removed may have taken the place of a damaged one.
    kept = {*plan.removed}
    for entry in entries:
        place = entry.segment_number, entry.base_position, entry.revision
        kept |= {segment_name(*place), frames_name(*place)}
    obsolete = [one for one in base.obsolete or () if one.file_name not in kept]
    # Where nothing vouches for the end, positions that somebody may have tracked are used again.
    last = entries[-1].last_position if plan.tail is None else plan.tail.position
    begun = begun_epoch(base, epoch, last + 1) if epoch > base.epoch else {}
    return msgspec.structs.replace(
        base,
        generation=base.generation + 1,
        **begun,
        segments=entries,
        retained_from=entries[0].base_position if entries else base.retained_from,
        obsolete=obsolete or UNSET,
    )


# Segments


def _write_segment(
    effects: Effects,
    plan: Plan,
    segment: SegmentPlan,
    before: SealedSegment | None,
    epoch: int,
) -> SealedSegment:
    """Write a repaired segment, read it back, and give it its name."""
    path, files, begin = plan.found.path, effects.files, segment.begin
    assert begin.commit_number is not None
    place = RepairedPlace(
        plan.found.genesis_id,
        segment.number,
        begin.position + 1,
        begin.commit_number + 1,
        epoch,
        _previous(plan, segment, before),
        segment.end.end,
    )
    salvage = None
    if segment.source is not None:
        source = os.path.join(path, segment.source)
        salvage, _ = open_salvage(files, source, segment.place)
    written = write_repaired(
        effects,
        path,
        place,
        parts_of(salvage or (), begin, segment.end),
        revision=segment.revision,
        checkpoint=_checkpoint(effects, plan, segment, before),
    )
    packed = written.packed
    lost = joined(packed.lost)
    if lost != segment.lost:
        raise CorruptionError(
            os.path.join(path, segment.source or packed.name),
            0,
            expected=f"the lost positions that were planned with: {segment.lost}",
            found=f"{lost}",
        )
    verify_packed(files, path, packed)
    link_segment(files, path, packed.name)
    write_frame_table(effects, path, packed.identity, packed.places)
    return repaired_entry(written)


def repaired_entry(written: RepairedSegment) -> SealedSegment:
    """A repaired segment as the manifest lists it."""
    packed = written.packed
    identity, end = packed.identity, packed.end
    return SealedSegment(
        segment_number=identity.segment_number,
        base_position=identity.base_position,
        last_position=packed.last_position,
        base_commit=written.base_commit,
        last_commit=packed.last_commit,
        end_offset=end.original_end,
        last_checksum=end.original_checksum,
        first_timestamp=written.first_timestamp,
        last_timestamp=written.last_timestamp,
        revision=identity.revision,
        size_bytes=end.end_offset,
        file_checksum=end.last_checksum,
        digest=end.digest.hex(),
        lost=packed.lost or UNSET,
    )


def _previous(
    plan: Plan, segment: SegmentPlan, before: SealedSegment | None
) -> tuple[int, int, int]:
    """What the header of a repaired segment names of its predecessor."""
    if before is not None:
        return before.end_offset, before.last_position, before.last_checksum
    for candidate in plan.found.candidates.get(segment.number, []):
        header = candidate.header
        if header is not None:
            return header.previous_end, header.previous_position, header.previous_checksum
    return 0, segment.begin.position, 0  # the first one that is retained; or 1, which has none


def _checkpoint(
    effects: Effects, plan: Plan, segment: SegmentPlan, before: SealedSegment | None
) -> CheckpointPayload:
    """Tracking table and time of all that is before: its own, or that of its predecessor's end."""
    files, path = effects.files, plan.found.path
    if segment.source is not None:
        file, _ = open_damaged(files, os.path.join(path, segment.source), segment.place)
        walk = None if file is None else Walk(file, start_of(file), file.size_bytes(), packed=True)
        frames = None if walk is None else next(iter(walk), None)
        if file is not None and frames and frames[0].header.kind == KIND_CHECKPOINT:
            with contextlib.suppress(CorruptionError):
                tracking = read_checkpoint(file, frames[0])
                return CheckpointPayload(frames[0].header.timestamp, tracking)
    if before is None:
        return CheckpointPayload(0, [])
    return _checkpoint_behind(effects, path, before)


def _checkpoint_behind(effects: Effects, path: str, entry: SealedSegment) -> CheckpointPayload:
    """Tracking table and time at the end of a segment that is whole."""
    name = segment_name(entry.segment_number, entry.base_position, entry.revision)
    file = SegmentFile(effects.files, os.path.join(path, name), writable=False)
    walk = CommitWalk(file, lost=entry.lost or ())
    newest = {}
    for commit in walk:
        if commit.tracking is not None:
            tracking = decode_tracking(commit.tracking)
            newest[tracking.application_name] = tracking
    table = {one.application_name: one for one in walk.tracking_before()} | newest
    return CheckpointPayload(entry.last_timestamp, [*table.values()])


def fresh_tail(
    effects: Effects, path: str, base: Manifest, after: SealedSegment, epoch: int
) -> None:
    """Make a fresh tail behind the last segment, which was written again."""
    checkpoint = _checkpoint_behind(effects, path, after)
    name = write_segment(
        effects,
        path,
        genesis_id=bytes.fromhex(base.genesis_id),
        after=_end_chain(after),
        epoch=epoch,
        codec=CODEC_OF[CompressionFormat.parse(base.compression)],
        tracking=checkpoint.tracking,
        reserve=Sync.parse(base.sync) == Sync.ALWAYS,
    )
    link_segment(effects.files, path, name)


def _end_chain(entry: SealedSegment) -> Chain:
    return Chain(
        segment_number=entry.segment_number,
        base_position=entry.base_position,
        offset=entry.end_offset,
        previous_checksum=entry.last_checksum,
        commit_number=entry.last_commit,
        position=entry.last_position,
        timestamp=entry.last_timestamp,
        ended=True,
    )


# The mark


def _write_mark(effects: Effects, plan: Plan, manifest: Manifest) -> None:
    """Say the new epoch, and, where the mark was wrong, where the tail ends."""
    files, path, found = effects.files, plan.found.path, plan.found
    sequence = found.seen_sequence + 1
    if found.mark is None:  # above any that a process may have seen
        sequence = max(sequence, effects.clock())
    if found.mark is not None and not plan.moves_mark:
        mark = found.mark._replace(sequence=sequence, epoch=manifest.epoch)
    else:
        mark = _mark_of_tail(effects, plan, manifest, sequence)
    mark_path = os.path.join(path, MARK)
    fd = open_regular(files, mark_path, os.O_RDWR | os.O_CREAT)
    try:
        size = files.fstat(fd).st_size
        for one in (mark, mark._replace(sequence=sequence + 1)):
            write_all(files, fd, encode_slot(one), slot_offset(one.sequence))
            # Each on its own: a power cut that tears one leaves the other.
            files.fsync(fd)
        if size < MARK_BYTES:
            write_all(files, fd, bytes(MARK_BYTES - SPAN_BYTES), SPAN_BYTES)
            files.fsync(fd)
    finally:
        files.close(fd)
    files.sync_directory(path)


def _mark_of_tail(effects: Effects, plan: Plan, manifest: Manifest, sequence: int) -> Mark:
    """A mark at the end of the tail, all of which is on disk then."""
    tail = plan.tail
    if tail is None:
        last = manifest.segments[-1]
        number = last.segment_number + 1
        name = segment_name(number, last.last_position + 1)
        file = SegmentFile(effects.files, os.path.join(plan.found.path, name), writable=False)
        chain = first_chain(file, start_of(file))
        offset, commit, position = chain.offset, chain.commit_number, chain.position
    else:
        number, offset = plan.found.tail_number, tail.offset
        commit, position = tail.commit_number, tail.position
        file = SegmentFile(effects.files, os.path.join(plan.found.path, tail.name), writable=True)
        # Nobody vouches for its bytes: after a failed sync they may be in the cache alone.
        if not rewrite(file, SEGMENT_HEADER_BYTES, offset):
            raise CorruptionError(file.path, 0, expected="what was just read", found="other bytes")
        effects.files.fsync(file.fd)
    return Mark(sequence, commit, position, number, manifest.epoch, offset, offset)
