"""Gathers what there is to tell about a journal, without reading its records.

Theory of operation: ``survey`` reads the manifest, the mark and the directory, whatever the
journal's length; ``inspect`` opens the journal too, which walks and checks what is not sealed, up to
the mark. What fails becomes the ``error`` of the result, beside all that could be learned: a damaged
journal is the one about which a person wants to know most. Counts come from what was walked, or
else from the mark; files are listed last, so that every segment counted is among them.
"""

from __future__ import annotations

import os
import stat
from datetime import datetime

import msgspec

from aurora_es.errors import AuroraError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.manifest import Manifest
from aurora_es.format.names import (
    RECOVERED,
    parse_cooled_name,
    parse_frames_name,
    parse_run_name,
    parse_segment_name,
)
from aurora_es.inspection.finding import open_to_read, unfinished
from aurora_es.inspection.plain import encodable
from aurora_es.journal.creation import is_unborn
from aurora_es.journal.handle import Descriptors
from aurora_es.journal.journal import Journal
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.records import datetime_of

_SEGMENTS = "segments"
_OBSOLETE = "obsolete"
_BLOCK_BYTES = 512  # unit of st_blocks, on every file system


class SegmentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A segment file.

    ``state`` is ``tail``, ``rolled`` (closed, not sealed yet), ``sealed``, ``cooled``, ``obsolete``
    (replaced or dropped, and to be removed), or ``newer`` for one made since the journal was looked
    at, or left by a writer that died in a roll.
    """

    file_name: str
    segment_number: int
    base_position: int
    last_position: int | None  # below the base position when it holds no record; None: not known
    size_bytes: int
    state: str | None


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why not everything could be learned."""

    kind: str  # name of the error's class
    message: str


class Summary(msgspec.Struct, kw_only=True):
    """What manifest, mark and directory say; None where that could not be learned."""

    path: str
    name: str | None = None  # of the application, if the journal belongs to one
    genesis_id: str | None = None
    created_at: datetime | None = None
    sync: str | None = None
    roll_cycle: str | None = None
    compression: str | None = None
    epoch: int | None = None
    last_position: int | None = None
    last_commit: int | None = None
    durable: bool | None = None  # everything visible is known to be on disk
    tail_bytes: int | None = None  # of the tail segment's file, those that hold commits
    retained_from: int | None = None  # the first position that has not been dropped
    segment_count: int = 0  # without obsolete ones
    segments_by_state: dict[str, int] = {}
    run_count: int | None = None  # index runs in use
    size_on_disk_bytes: int = 0  # of all files of the journal, as ``du`` counts
    size_by_kind_bytes: dict[str, int] = {}  # the same, by what the files are
    error: Fault | None = None


class Details(Summary, kw_only=True):
    """A summary, and what only opening the journal tells."""

    originators: int | None = None
    last_timestamp: datetime | None = None  # of the last commit
    tracking: dict[str, int] | None = None  # name -> notification id reached
    recovered_files: int = 0  # kept from what recoveries cut off
    recovered_bytes: int = 0
    segments: list[SegmentInfo] = []


def survey(path: str) -> tuple[Summary, Exception | None] | None:
    """Summarize the journal in ``path``; returns it and what failed, None if it was never made."""
    summary = Summary(path=path)
    tail, error = _read_settings(summary)
    if error is None and tail is None:
        return None
    list_files(summary, tail, _manifest_of(path))
    return summary, error


def inspect(path: str) -> tuple[Details, Exception | None]:
    """Learn all about the journal in ``path``; returns it and what failed.

    Raises PathError for a journal whose creation was never finished.
    """
    details = Details(path=path)
    tail, error = _read_settings(details)
    if error is None:
        if tail is None:
            raise unfinished(path)
        try:
            with open_to_read(path) as journal:
                tail = _walk(details, journal)
        except (AuroraError, OSError) as failed:
            error = failed
            details.error = _fault(failed)
    details.segments = list_files(details, tail, _manifest_of(path))
    return details, error


def _manifest_of(path: str) -> Manifest | None:
    """The newest manifest, for what it lists; None if it cannot be read, which was told before."""
    try:
        return read_manifest(SYSTEM_EFFECTS.files, path)
    except (AuroraError, OSError):
        return None


def _read_settings(summary: Summary) -> tuple[int | None, Exception | None]:
    """Fill in what manifest and mark say; returns the tail's segment number and what failed.

    Neither for a journal that was never made.
    """
    files, path = SYSTEM_EFFECTS.files, summary.path
    try:
        manifest = read_manifest(files, path)
        if manifest is None:
            is_unborn(files, path)  # raises if it holds commits
            return None, None
        summary.name = manifest.name
        summary.genesis_id = manifest.genesis_id
        summary.created_at = datetime_of(manifest.created_at)
        summary.sync = manifest.sync
        summary.roll_cycle = manifest.roll_cycle
        summary.compression = manifest.compression
        descriptors = Descriptors(files, path, read_only=True)
        mark = descriptors.mark.read()
        descriptors.close()
    except (AuroraError, OSError) as error:
        summary.error = _fault(error)
        return None, error
    summary.epoch = mark.epoch
    summary.last_position = mark.visible_position
    summary.last_commit = mark.visible_commit
    summary.tail_bytes = mark.visible_offset
    summary.durable = mark.durable_offset == mark.visible_offset
    return mark.segment_number, None


def _walk(details: Details, journal: Journal) -> int:
    """Fill in what the opened journal says; returns the tail's segment number."""
    found = journal.statistics()
    details.epoch = found.epoch
    details.last_position = found.last_position
    details.last_commit = found.last_commit
    details.originators = found.originators
    details.durable = found.durable
    # This thread alone uses the handle: its state stands still, whatever writers are at.
    state = journal.handle.state
    chain = state.chain
    assert chain is not None, "a journal whose statistics were taken has been walked"
    details.tail_bytes = chain.offset
    if found.last_commit:
        details.last_timestamp = datetime_of(chain.timestamp)
    details.tracking = {
        name: tracking.notification_id for name, tracking in sorted(state.index.tracking.items())
    }
    return chain.segment_number


def list_files(summary: Summary, tail: int | None, manifest: Manifest | None) -> list[SegmentInfo]:
    """Add up the files of the journal; returns its segments, oldest first."""
    named = []
    for directory, name, status in _files_of(summary.path):
        size = status.st_blocks * _BLOCK_BYTES
        summary.size_on_disk_bytes += size
        kind = RECOVERED if directory != summary.path else _kind_of(name)
        summary.size_by_kind_bytes[kind] = summary.size_by_kind_bytes.get(kind, 0) + size
        if kind == _SEGMENTS:
            place = parse_cooled_name(name) or (*(parse_segment_name(name) or (0, 0)), 0)
            named.append((*place, name, status.st_size))
        elif kind == RECOVERED and isinstance(summary, Details):
            summary.recovered_files += 1
            summary.recovered_bytes += status.st_size
    named.sort()
    base_of = {number: base for number, base, *_ in named}
    segments = []
    for number, base, revision, name, size_bytes in named:
        last = None
        if tail is not None and number < tail and number + 1 in base_of:
            last = base_of[number + 1] - 1
        elif number == tail and summary.last_position is not None:
            last = max(base - 1, summary.last_position)
        state = _segment_state(number, revision, tail, manifest)
        segments.append(
            SegmentInfo(
                file_name=name,
                segment_number=number,
                base_position=base,
                last_position=last,
                size_bytes=size_bytes,
                state=state,
            )
        )
        summary.segment_count += state != _OBSOLETE
        if state is not None:
            summary.segments_by_state[state] = summary.segments_by_state.get(state, 0) + 1
    if manifest is not None:
        summary.run_count = len(manifest.runs)
        summary.retained_from = manifest.retained_from
    return segments


def _kind_of(name: str) -> str:
    """What a file is, by its name."""
    if parse_segment_name(name) or parse_cooled_name(name):
        return _SEGMENTS
    if parse_run_name(name):
        return "index runs"
    return "tables of frames" if parse_frames_name(name) else "other"


def _segment_state(
    number: int, revision: int, tail: int | None, manifest: Manifest | None
) -> str | None:
    if tail is None:
        return None
    listed = [] if manifest is None else manifest.segments
    if listed and number <= listed[-1].segment_number:
        in_use = number >= listed[0].segment_number and (
            listed[number - listed[0].segment_number].revision == revision
        )
        if not in_use:
            return _OBSOLETE
        return "cooled" if revision else "sealed"
    if number == tail:
        return "tail"
    return "rolled" if number < tail else "newer"


def _files_of(path: str) -> list[tuple[str, str, os.stat_result]]:
    found = []
    for directory in (path, os.path.join(path, RECOVERED)):
        try:
            names = os.listdir(directory)
        except OSError:
            continue  # no recovery yet; that ``path`` cannot be read was said before
        for name in names:
            try:
                status = os.stat(os.path.join(directory, name), follow_symlinks=False)
            except OSError:
                continue  # a temporary file of a writer at work
            if stat.S_ISREG(status.st_mode):
                found.append((directory, name, status))
    return found


def _fault(error: Exception) -> Fault:
    return Fault(kind=type(error).__name__, message=encodable(str(error)))
