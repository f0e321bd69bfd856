"""Copies a journal up to a commit: what a restore is made of.

    segments before the cut   copied as they are, or linked, with tables and runs
    the one that it is in     raw: copied up to the commit; cooled or the first that is left: packed
                              again, and closed
    the newest                the raw one that was copied in part, or a fresh one behind the packed one

Theory of operation: the newest segment of a journal is a raw one that ends behind its last commit. A
raw segment whose first commits are kept is that already, once the rest is left out. A cooled one
cannot be appended to, so it gets an end, and a fresh segment follows it; so does the first one of a
journal whose earlier ones were dropped, as some sealed segment has to be left. Runs that reach beyond the
cut know positions that are not there any more: these segments are indexed anew.
"""

from __future__ import annotations

import os
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import UNSET

from aurora_es.care.copying import copy_file, stored_bytes, stored_bytes_up_to
from aurora_es.care.execution import fresh_tail, repaired_entry
from aurora_es.care.indexing import index_segments
from aurora_es.care.layout import lost_of_part, open_part
from aurora_es.care.plan import parts_of
from aurora_es.care.sizes import is_cache_of_its_size, refuse_other_size
from aurora_es.care.survey import Boundary
from aurora_es.codecs.compression import CODEC_OF
from aurora_es.format.mark import Mark
from aurora_es.format.names import segment_name
from aurora_es.format.payload import CheckpointPayload
from aurora_es.journal.catch_up import first_chain
from aurora_es.journal.manifest_file import begun_epoch, write_manifest
from aurora_es.journal.sealed_index import file_name_of
from aurora_es.options import CompressionFormat, Sync
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.create import link_segment, write_segment
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.frame_table import write_frame_table
from aurora_es.segment.pack import verify_packed
from aurora_es.segment.repaired import RepairedPlace, write_repaired
from aurora_es.segment.walk import Chain, Walk, start_of, stop_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.care.layout import Part
    from aurora_es.care.restore_point import Point
    from aurora_es.files.layer import Effects, Files
    from aurora_es.format.manifest import SealedSegment
    from aurora_es.format.segment_header import SegmentHeader

    # Gives a source a second name, or copies it.
    Place = Callable[[Files, str, str], object]

_NOTHING = Chain(0, 0, 0, 0, 0, 0)


class CopySize(NamedTuple):
    """How many bytes a copy up to a point takes, at least: what is made anew is not counted."""

    unchanged_bytes: int  # whole segments, tables and runs: linked or copied
    cut_bytes: int  # of the segment that the cut falls into, where that is known

    @property
    def all_bytes(self) -> int:
        """Bytes of all files."""
        return self.unchanged_bytes + self.cut_bytes


def size_up_to(files: Files, point: Point) -> CopySize:
    """How much ``copy_up_to`` copies; raises CorruptionError, OSError."""
    kept, cut = _split(files, point)
    names = [part.name for part in kept]
    names += [part.table_name for part in kept if part.entry is not None]
    last = max((part.number for part in kept if part.entry is not None), default=0)
    names += [file_name_of(run) for run in point.at.manifest.runs if run.last_segment <= last]
    # Somewhere within it, nobody knows before it is read.
    end = cut.visible_offset or 0 if point.commit == point.mark.visible_commit else 0
    return CopySize(
        sum(stored_bytes(files, os.path.join(point.at.path, name)) for name in names),
        stored_bytes_up_to(files, os.path.join(point.at.path, cut.name), end),
    )


def _split(files: Files, point: Point) -> tuple[list[Part], Part]:
    """Segments that are kept as they are, and the one that the cut falls into.

    A cut at the end of a segment falls into the next one, of which no commit is kept.
    """
    parts = point.parts
    kept = 0
    while kept + 1 < len(parts):
        following = open_part(files, point.at, parts[kept + 1]).header
        if following.base_commit - 1 > point.commit:
            break
        kept += 1
    return parts[:kept], parts[kept]


def copy_up_to(
    effects: Effects, point: Point, target: str, *, epoch: int, place: Place = copy_file
) -> Mark:
    """Copy a journal into the directory ``target`` up to a point; returns the mark it is to have.

    ``place`` gives the target what never changes: a whole segment, a table, a run.
    """
    return _Copy(effects, point, target, epoch, place).run()


class _Copy:
    """One copy of one journal."""

    def __init__(
        self, effects: Effects, point: Point, target: str, epoch: int, place: Place
    ) -> None:
        self.effects = effects
        self.place = place
        self.files = effects.files
        self.point = point
        self.target = target
        self.epoch = epoch
        before = point.at.manifest
        self.manifest = msgspec.structs.replace(
            before,
            generation=before.generation + 1,
            obsolete=UNSET,
            **begun_epoch(before, epoch, point.position + 1),
        )

    def run(self) -> Mark:
        """Copy what is before the cut, and make what it falls into the newest segment."""
        kept, cut = _split(self.files, self.point)
        for part, following in pairwise([*kept, cut]):
            refuse_other_size(self.files, self.point.at, part, following)
            self._copy_part(part)
        entries = [part.entry for part in kept if part.entry is not None]
        if cut.revision == 0 and (kept or cut.number == 1):
            number, offset = cut.number, self._copy_raw(cut)
        else:
            if self._header(cut).base_commit <= self.point.commit:
                entries.append(self._pack(cut, entries))
            number, offset = self._fresh_tail(entries)
        self._write_manifest(entries)
        commit, position = self.point.commit, self.point.position
        return Mark(1, commit, position, number, self.epoch, offset, offset)

    def _header(self, part: Part) -> SegmentHeader:
        return open_part(self.files, self.point.at, part).header

    def _copy_part(self, part: Part) -> None:
        self.place(self.files, self._source(part.name), os.path.join(self.target, part.name))
        if part.entry is not None:
            self._copy_cache(part.table_name)

    def _copy_cache(self, name: str) -> bool:
        """Copy a file that is made anew where it is missing; whether it was there, and is one."""
        source = self._source(name)
        try:
            if not is_cache_of_its_size(self.files, source):
                return False
            self.place(self.files, source, os.path.join(self.target, name))
        except FileNotFoundError:
            return False
        return True

    def _source(self, name: str) -> str:
        return os.path.join(self.point.at.path, name)

    # The newest segment

    def _copy_raw(self, part: Part) -> int:
        """Copy a raw segment up to the cut; returns the offset behind it."""
        file = open_part(self.files, self.point.at, part)
        end = file.size_bytes() if part.visible_offset is None else part.visible_offset
        chain = start_of(file)
        walk = Walk(file, chain, end)
        for _ in walk:
            if chain.commit_number == self.point.commit:
                break
        else:
            raise stop_error(file, walk.stop)
        target = os.path.join(self.target, part.name)
        copy_file(self.files, file.path, target, until=chain.offset)
        return chain.offset

    def _pack(self, part: Part, before: list[SealedSegment]) -> SealedSegment:
        """Write the first commits of a segment as one that ends there."""
        effects, point = self.effects, self.point
        file = open_part(self.files, point.at, part)
        header = file.header
        first = CommitWalk(file, lost=lost_of_part(part))
        next(iter(first), None)
        assert first.checkpoint is not None
        checkpoint = CheckpointPayload(first.checkpoint.header.timestamp, first.tracking_before())
        end = Boundary(point.position, point.commit)
        commits = takewhile(
            lambda commit: commit.commit_number <= point.commit,
            CommitWalk(file, lost=lost_of_part(part)),
        )
        place = RepairedPlace(
            header.genesis_id,
            part.number,
            part.base_position,
            header.base_commit,
            header.epoch,
            (header.previous_end, header.previous_position, header.previous_checksum),
            None,
        )
        written = write_repaired(
            effects,
            self.target,
            place,
            parts_of(commits, Boundary(part.base_position - 1, header.base_commit - 1), end),
            revision=max(1, part.revision),
            checkpoint=checkpoint,
        )
        verify_packed(self.files, self.target, written.packed)
        link_segment(self.files, self.target, written.packed.name)
        write_frame_table(effects, self.target, written.packed.identity, written.packed.places)
        return repaired_entry(written)

    def _fresh_tail(self, entries: list[SealedSegment]) -> tuple[int, int]:
        """Make a segment behind the last one; returns its number, and the offset behind its start."""
        if entries:
            last = entries[-1]
            number, base = last.segment_number + 1, last.last_position + 1
            fresh_tail(self.effects, self.target, self.manifest, last, self.epoch)
        else:
            number = base = 1
            name = write_segment(
                self.effects,
                self.target,
                genesis_id=bytes.fromhex(self.manifest.genesis_id),
                after=_NOTHING,
                epoch=self.epoch,
                codec=CODEC_OF[CompressionFormat.parse(self.manifest.compression)],
                tracking=(),
                reserve=Sync.parse(self.manifest.sync) == Sync.ALWAYS,
            )
            link_segment(self.files, self.target, name)
        path = os.path.join(self.target, segment_name(number, base))
        file = SegmentFile(self.files, path, writable=False)
        return number, first_chain(file, start_of(file)).offset

    # The manifest

    def _write_manifest(self, entries: list[SealedSegment]) -> None:
        """List what was copied, with runs over all of it."""
        unchanged = [one for one in entries if one in self.point.at.manifest.segments]
        last = unchanged[-1].segment_number if unchanged else 0
        runs = []
        for run in sorted(self.manifest.runs, key=lambda one: one.first_segment):
            if run.last_segment > last or not self._copy_cache(file_name_of(run)):
                break  # runs cover the first segments without a gap: what follows is made anew
            runs.append(run)
        listed = msgspec.structs.replace(self.manifest, segments=entries, runs=runs)
        manifest = index_segments(self.effects, self.target, listed, ())
        write_manifest(self.files, self.target, manifest)
