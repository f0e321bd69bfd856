"""The segments and index runs of a journal as a picture: what lies where, in which tier, and when.

Theory of operation: names and sizes come from the directory, tiers, positions and times of sealed
segments from the manifest. Of the few that are not sealed, the first and the last record are read
for their times.
"""

from __future__ import annotations

import os
from datetime import datetime

import msgspec

from aurora_es.format.manifest import Manifest, SealedSegment
from aurora_es.inspection.overview import Details, SegmentInfo, list_files
from aurora_es.journal.by_originator import read_at
from aurora_es.journal.handle import Handle
from aurora_es.journal.journal import Journal
from aurora_es.journal.records import datetime_of
from aurora_es.journal.sealed_index import file_name_of

_NOT_SEALED = frozenset({"tail", "rolled"})


class SegmentPicture(SegmentInfo, frozen=True, kw_only=True):
    """A segment with the times of its first and last commit; None where there is no record."""

    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None


class RunPicture(msgspec.Struct, frozen=True, kw_only=True):
    """An index run; ``level`` says how often it was merged."""

    file_name: str
    level: int
    first_segment: int
    last_segment: int
    base_position: int
    last_position: int
    size_bytes: int  # 0 for one that was merged away meanwhile


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """All segments and all index runs in use, oldest first, and what their files take on disk."""

    path: str
    retained_from: int
    last_position: int
    segments: list[SegmentPicture]
    runs: list[RunPicture]
    size_by_kind_bytes: dict[str, int]


def read_picture(journal: Journal) -> Picture:
    """Look at the files of an open journal; raises as ``journal.read``."""
    journal.renew()
    last = journal.last_position
    handle, manifest = journal.handle, journal.handle.manifest
    chain = handle.state.chain
    details = Details(path=handle.path, last_position=last)
    tail = None if chain is None else chain.segment_number
    listed = list_files(details, tail, manifest)
    sealed = {} if manifest is None else {one.segment_number: one for one in manifest.segments}
    segments = [_with_times(handle, one, sealed.get(one.segment_number)) for one in listed]
    return Picture(
        path=handle.path,
        retained_from=handle.retained_from,
        last_position=last,
        segments=segments,
        runs=[] if manifest is None else _runs(handle, manifest),
        size_by_kind_bytes=details.size_by_kind_bytes,
    )


def _with_times(
    handle: Handle, segment: SegmentInfo, sealed: SealedSegment | None
) -> SegmentPicture:
    first: int | None = None
    last: int | None = None
    if sealed is not None:
        first, last = sealed.first_timestamp, sealed.last_timestamp
    elif segment.state in _NOT_SEALED and (segment.last_position or 0) >= segment.base_position:
        assert segment.last_position is not None
        positions = [segment.base_position, segment.last_position]
        times = [match[1] for match in read_at(handle, sorted({*positions}))]
        first, last = times[0], times[-1]
    return SegmentPicture(
        **msgspec.structs.asdict(segment),
        first_timestamp=datetime_of(first) if first else None,
        last_timestamp=datetime_of(last) if last else None,
    )


def _runs(handle: Handle, manifest: Manifest) -> list[RunPicture]:
    found = []
    for entry in sorted(manifest.runs, key=lambda entry: entry.base_position):
        name = file_name_of(entry)
        try:
            size_bytes = handle.files.stat(os.path.join(handle.path, name)).st_size
        except FileNotFoundError:  # merged by another process meanwhile
            size_bytes = 0
        found.append(
            RunPicture(
                file_name=name,
                level=entry.level,
                first_segment=entry.first_segment,
                last_segment=entry.last_segment,
                base_position=entry.base_position,
                last_position=entry.last_position,
                size_bytes=size_bytes,
            )
        )
    return found
