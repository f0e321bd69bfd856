"""Restores a backup: to its end, to a position or to a time.

Theory of operation: the backup is verified, then its journals are copied into a directory beside
the target, which is renamed when everything in it is on disk: killed anywhere, there is no target,
and the next restore removes what is left over. The segment in which a journal is cut, its newest
one as a rule, is written again up to the cut and ended; behind it comes a fresh segment, with which
a new epoch begins. The manifest says from which position on the epoch counts, so that whoever has
tracked a history that goes on differently can be told. Epochs of restores are taken from the clock
(seconds since 1970): two restores of one backup never share one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.backup_record import read_record
from aurora_es.care.copying import (
    copy_file,
    journals_below,
    make_directories,
    remove_tree,
    write_new_mark,
)
from aurora_es.care.restore_point import Point, cut_at
from aurora_es.care.verify import verify
from aurora_es.codecs.compression import CODEC_OF
from aurora_es.errors import ArgumentError, CorruptionError, ForeignDirectoryError
from aurora_es.files.layer import DIRECTORY_MODE, SYSTEM_EFFECTS
from aurora_es.format.mark import Mark
from aurora_es.format.names import frames_name, segment_name
from aurora_es.journal.catch_up import first_chain
from aurora_es.journal.manifest_file import begun_epoch, read_manifest, write_manifest
from aurora_es.journal.mark_file import read_mark
from aurora_es.journal.records import timestamp_of
from aurora_es.journal.roll import end_frame
from aurora_es.journal.seal import SegmentPostings, write_segment_run
from aurora_es.journal.sealed_index import file_name_of
from aurora_es.journal.sealed_segments import identity_of
from aurora_es.options import CompressionFormat
from aurora_es.segment.create import link_segment, write_segment
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.frame_table import write_frame_table
from aurora_es.segment.rewrite import rewrite_segment
from aurora_es.segment.walk import start_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import IndexRun, SealedSegment

    Progress = Callable[[int, int], object]

_BUILD_SUFFIX = ".restoring"
_SECOND_MICROSECONDS = 1_000_000


class RestoredJournal(msgspec.Struct, frozen=True, kw_only=True):
    """One journal as it was restored."""

    path: str  # relative to the target
    epoch: int  # the new one
    position: int  # of the last record; the new epoch begins behind it
    commit: int
    cut_positions: int  # records of the backup that were left out


class RestoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """A finished restore."""

    backup: str
    target: str
    journals: tuple[RestoredJournal, ...]


def restore(  # noqa: PLR0913 - a user's choices, all by name
    backup: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    position: int | None = None,
    time: datetime | None = None,
    progress: Progress | None = None,
    effects: Effects = SYSTEM_EFFECTS,
) -> RestoreReport:
    """Restore the current copy in ``backup`` to ``target``, which must be absent or empty.

    With ``position`` (of a backup of one journal), or ``time``, everything behind the last commit
    up to it is left out; several journals are cut so that no tracking record lies beyond what it
    tracks. Each journal begins a new epoch. ``progress`` is told of journals.

    Raises ArgumentError, ForeignDirectoryError for a target that is not empty, CorruptionError for
    a backup that is damaged; the target is made last, whole.
    """
    files = effects.files
    source, place = os.path.abspath(os.fspath(backup)), os.path.abspath(os.fspath(target))
    record = read_record(files, source)
    root = source if record is None else os.path.join(source, record.directory)
    if position is not None and time is not None:
        message = "expected a position or a time, found both"
        raise ArgumentError(message)
    if os.path.commonpath((source, place)) in {source, place}:
        message = f"{place}: expected a target outside of {source}, and not above it"
        raise ArgumentError(message)
    _refuse_taken(effects, place)
    points = _points_of(effects, source, root)
    if position is not None and len(points) != 1:
        message = (
            f"{source} holds {len(points)} journals, and a position means another place in each;"
            " restore to a time, or restore one journal: name its directory in the backup"
        )
        raise ArgumentError(message)
    cut_at(files, points, position=position, timestamp=None if time is None else timestamp_of(time))
    building = place + _BUILD_SUFFIX
    try:
        files.mkdir(building, DIRECTORY_MODE)
    except FileExistsError:
        remove_tree(files, building)  # what a killed restore has left
        files.mkdir(building, DIRECTORY_MODE)
    restored = []
    for done, point in enumerate(points, 1):
        make_directories(files, building, point.path)
        restored.append(_Restoring(effects, point, building).run())
        if progress is not None:
            progress(done, len(points))
    files.sync_directory(building)
    if _exists(effects, place):
        files.rmdir(place)
    files.rename(building, place)
    files.sync_directory(os.path.dirname(place))
    return RestoreReport(backup=source, target=place, journals=tuple(restored))


def _exists(effects: Effects, path: str) -> bool:
    try:
        effects.files.stat(path)
    except FileNotFoundError:
        return False
    return True


def _refuse_taken(effects: Effects, target: str) -> None:
    if _exists(effects, target) and effects.files.listdir(target):
        message = (
            f"{target}: expected an absent or empty directory, found files; nothing was changed."
            " Move it away first, or restore to another place"
        )
        raise ForeignDirectoryError(message)


def _points_of(effects: Effects, backup: str, root: str) -> list[Point]:
    """The journals of a backup, verified, each with its cut at its end."""
    files = effects.files
    points = []
    for path in journals_below(files, root) if _exists(effects, root) else ():
        directory = os.path.normpath(os.path.join(root, path))
        report = verify(directory, effects=effects)
        if report.is_damaged:
            worst = report.findings[0]
            raise CorruptionError(
                worst.path, worst.offset or 0, expected=worst.expected, found=worst.found
            )
        manifest, mark = read_manifest(files, directory), read_mark(files, directory)
        assert manifest is not None, "it has just been verified"
        points.append(
            Point(path, directory, manifest, mark, mark.visible_commit, mark.visible_position)
        )
    if not points:
        message = f"{backup}: expected a backup made by `aurora-es backup`, found no journal in it"
        raise ArgumentError(message)
    return points


class _Restoring:
    """One journal that is being restored."""

    def __init__(self, effects: Effects, point: Point, root: str) -> None:
        self.effects = effects
        self.files = effects.files
        self.point = point
        self.target = os.path.normpath(os.path.join(root, point.path))
        self.epoch = max(
            point.manifest.epoch + 1, point.mark.epoch + 1, effects.clock() // _SECOND_MICROSECONDS
        )

    def run(self) -> RestoredJournal:
        """Write all files; the manifest comes last."""
        point, files = self.point, self.files
        if point.position + 1 < point.manifest.retained_from:
            message = (
                f"{point.directory}: expected a point behind position"
                f" {point.manifest.retained_from - 1}: what is before was dropped by `retain`"
            )
            raise ArgumentError(message)
        names = point.segment_names(files)
        files_of = [point.open(files, name) for name in names]
        # The last segment that has a kept commit is written again; the first one at least.
        at = max(
            (k for k, file in enumerate(files_of) if file.header.base_commit <= point.commit),
            default=0,
        )
        kept = list(point.manifest.segments[:at])
        for name in names[:at]:
            self._copy(name)
        for segment in kept:
            self._copy_if_there(
                frames_name(segment.segment_number, segment.base_position, segment.revision)
            )
        runs = self._runs(kept)
        mark = self._fresh_tail(files_of[at])
        if not at and files_of[0].header.segment_number > 1:
            # What was retained begins here: a journal finds its beginning in the manifest.
            header = files_of[0].header
            segment, run = self._sealed(segment_name(header.segment_number, header.base_position))
            kept, runs = [segment], [run]
        write_new_mark(files, self.target, mark)
        manifest = point.manifest
        write_manifest(
            files,
            self.target,
            msgspec.structs.replace(
                manifest,
                generation=manifest.generation + 1,
                segments=kept,
                runs=runs,
                obsolete=msgspec.UNSET,
                **begun_epoch(manifest, self.epoch, point.position + 1),
            ),
        )
        return RestoredJournal(
            path=point.path,
            epoch=self.epoch,
            position=point.position,
            commit=point.commit,
            cut_positions=point.mark.visible_position - point.position,
        )

    def _copy(self, name: str) -> None:
        copy_file(
            self.files, os.path.join(self.point.directory, name), os.path.join(self.target, name)
        )

    def _copy_if_there(self, name: str) -> None:
        if _exists(self.effects, os.path.join(self.point.directory, name)):
            self._copy(name)

    def _sealed(self, name: str) -> tuple[SealedSegment, IndexRun]:
        """Seal the rewritten segment."""
        genesis_id = bytes.fromhex(self.point.manifest.genesis_id)
        file = SegmentFile(self.files, os.path.join(self.target, name), writable=False)
        found = SegmentPostings(file, genesis_id)
        entry = found.entry(0)
        write_frame_table(
            self.effects, self.target, identity_of(genesis_id, entry), found.walk.places
        )
        run = write_segment_run(
            self.effects, self.target, genesis_id, entry, found, rises=lambda _: True
        )
        return entry, run

    def _runs(self, kept: list[SealedSegment]) -> list[IndexRun]:
        """Runs over exactly the kept segments: copied, or made anew where one covers others too."""
        last = kept[-1].segment_number if kept else 0
        runs = []
        covered: set[int] = set()
        for run in self.point.manifest.runs:
            if run.last_segment <= last:
                self._copy_if_there(file_name_of(run))
                runs.append(run)
                covered.update(range(run.first_segment, run.last_segment + 1))
        genesis_id = bytes.fromhex(self.point.manifest.genesis_id)
        for segment in kept:
            if segment.segment_number in covered:
                continue
            name = segment_name(segment.segment_number, segment.base_position, segment.revision)
            file = SegmentFile(self.files, os.path.join(self.target, name), writable=False)
            runs.append(
                write_segment_run(
                    self.effects,
                    self.target,
                    genesis_id,
                    segment,
                    SegmentPostings(file, genesis_id),
                    rises=lambda _: False,  # not known without asking all earlier runs
                )
            )
        return runs

    def _fresh_tail(self, source: SegmentFile) -> Mark:
        """End the segment of the cut, begin the new epoch's first, and return the mark."""
        manifest, files = self.point.manifest, self.files
        rewritten = rewrite_segment(
            self.effects,
            self.target,
            source,
            last_commit=self.point.commit,
            end_frame=lambda salt, chain: end_frame(salt, chain, synced_to=chain.offset),
        )
        name = write_segment(
            self.effects,
            self.target,
            genesis_id=bytes.fromhex(manifest.genesis_id),
            after=rewritten.ended,
            epoch=self.epoch,
            codec=CODEC_OF[CompressionFormat.parse(manifest.compression)],
            tracking=rewritten.tracking.values(),
            reserve=False,
        )
        link_segment(files, self.target, name)
        file = SegmentFile(files, os.path.join(self.target, name), writable=False)
        chain = first_chain(file, start_of(file))
        return Mark(
            2,
            rewritten.ended.commit_number,
            rewritten.ended.position,
            chain.segment_number,
            self.epoch,
            chain.offset,
            chain.offset,
        )
