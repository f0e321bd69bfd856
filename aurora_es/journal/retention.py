"""Retention: drops the oldest events of a journal where its owner asks for it.

Theory of operation: whole sealed segments go, from the front only; never the tail, what is not
sealed yet, or the newest sealed segment. What is dropped is gone for whoever replays: so a dry run
tells first which originators lose their first events, and nothing is dropped that the tracking
record of an application in the same AURORA_PATH says is still to be read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from aurora_es.errors import ArgumentError, CorruptionError, StillNeededError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.names import MANIFEST, parse_segment_name
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.dropping import drop_front
from aurora_es.journal.journal import Journal
from aurora_es.journal.manifest_file import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import Manifest, SealedSegment

LOCK_TIMEOUT_SECONDS_DEFAULT = 60.0
ORIGINATORS_LISTED_MAX = 1000


class RetentionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a retention has dropped, or would drop."""

    path: str
    dry_run: bool
    retained_from: int  # first position that is left
    dropped_segments: int
    dropped_bytes: int
    dropped_positions: int
    # A dry run counts the originators whose first events go, and names the first thousand of them.
    originator_count: int | None = None
    originator_ids: list[UUID | str] = []


def retain(  # noqa: PLR0913 - a user's choices, all by name
    path: str | os.PathLike[str],
    *,
    older_than: timedelta | None = None,
    before_position: int | None = None,
    bytes_max: int | None = None,
    keep_from: int | None = None,
    dry_run: bool = False,
    effects: Effects = SYSTEM_EFFECTS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
) -> RetentionReport:
    """Drop the sealed segments that any of the bounds names, or say what would be dropped.

    These are segments whose last commit is older than ``older_than``, those that end before
    ``before_position``, and the oldest ones while all segments together exceed ``bytes_max``. The
    newest sealed segment stays, and with ``keep_from`` whatever holds that position or a later one. The files go a minute later, with the next background run.

    Raises StillNeededError while the tracking record of an application in the same AURORA_PATH is
    behind what would be dropped (also in a dry run), ArgumentError without a bound,
    LockTimeoutError, CorruptionError; with nothing changed.
    """
    text = os.path.abspath(os.fspath(path))
    if older_than is None and before_position is None and bytes_max is None:
        message = f"{text}: expected older_than, before_position or bytes_max; found none of them"
        raise ArgumentError(message)
    if not os.path.exists(os.path.join(text, MANIFEST)):
        message = f"{text}: expected a journal, found none"
        raise ArgumentError(message)
    with BackgroundLock(effects, text, timeout=lock_timeout):
        manifest = _manifest_of(effects, text)
        before = None
        if older_than is not None:
            before = effects.clock() - int(older_than.total_seconds() * 1_000_000)
        count = max(
            _count_older(manifest.segments, before),
            _count_before(manifest.segments, before_position),
            _count_beyond(effects, text, manifest, bytes_max),
        )
        if keep_from is not None:
            count = min(count, _count_before(manifest.segments, keep_from))
        count = min(count, max(len(manifest.segments) - 1, 0))
        if count:
            _refuse_if_needed(text, manifest, manifest.segments[count].base_position)
        report = report_of(text, manifest, count, dry_run=dry_run)
        if not dry_run:
            drop_front(effects, text, manifest, count)
            return report
    return _with_originators(report) if count else report


def report_of(path: str, manifest: Manifest, count: int, *, dry_run: bool) -> RetentionReport:
    """What dropping the first ``count`` listed segments means, without originators."""
    dropped = manifest.segments[:count]
    retained_from = manifest.segments[count].base_position if count else manifest.retained_from
    return RetentionReport(
        path=path,
        dry_run=dry_run,
        retained_from=retained_from,
        dropped_segments=count,
        dropped_bytes=sum(segment.size_bytes for segment in dropped),
        dropped_positions=retained_from - manifest.retained_from,
    )


def truncated_originators(path: str | os.PathLike[str], retained_from: int) -> Iterator[UUID | str]:
    """Ids of originators whose first records are below ``retained_from``; in bounded memory."""
    with Journal.open(path, read_only=True, allow_network_file_system=True) as journal:
        for found in journal.originator_ids():
            if found.first_position < retained_from:
                yield found.originator_id


def _with_originators(report: RetentionReport) -> RetentionReport:
    listed: list[UUID | str] = []
    count = 0
    for originator_id in truncated_originators(report.path, report.retained_from):
        count += 1
        if count <= ORIGINATORS_LISTED_MAX:
            listed.append(originator_id)
    return msgspec.structs.replace(report, originator_count=count, originator_ids=listed)


def _manifest_of(effects: Effects, path: str) -> Manifest:
    manifest = read_manifest(effects.files, path)
    if manifest is None:
        raise CorruptionError(
            os.path.join(path, MANIFEST), 0, expected="a manifest", found="no file"
        )
    return manifest


def _count_older(segments: list[SealedSegment], before: int | None) -> int:
    if before is None:
        return 0
    return next(
        (at for at, one in enumerate(segments) if one.last_timestamp >= before), len(segments)
    )


def _count_before(segments: list[SealedSegment], position: int | None) -> int:
    if position is None:
        return 0
    return next(
        (at for at, one in enumerate(segments) if one.last_position >= position), len(segments)
    )


def _count_beyond(effects: Effects, path: str, manifest: Manifest, bytes_max: int | None) -> int:
    if bytes_max is None:
        return 0
    segments = manifest.segments
    listed = segments[-1].segment_number if segments else 0
    total = sum(segment.size_bytes for segment in segments)
    for name in effects.files.listdir(path):
        place = parse_segment_name(name)
        if place is not None and place[0] > listed:
            total += effects.files.stat(os.path.join(path, name)).st_size
    count = 0
    while count < len(segments) and total > bytes_max:
        total -= segments[count].size_bytes
        count += 1
    return count


def _refuse_if_needed(path: str, manifest: Manifest, retained_from: int) -> None:
    """Raise StillNeededError if an application beside this one has yet to read what would go."""
    if manifest.name is None:
        return  # not the journal of an application
    root = os.path.dirname(os.path.dirname(path))
    for application in sorted(os.listdir(root)):
        directory = os.path.join(root, application)
        for purpose in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
            other = os.path.join(directory, purpose)
            if other != path and os.path.isfile(os.path.join(other, MANIFEST)):
                _refuse_if_behind(other, manifest.name, path, retained_from)


def _refuse_if_behind(other: str, name: str, path: str, retained_from: int) -> None:
    with Journal.open(other, read_only=True, allow_network_file_system=True) as journal:
        tracked = journal.tracking().get(name)
    if tracked is not None and tracked + 1 < retained_from:
        message = (
            f"{path}: positions below {retained_from} would be dropped, but {other} has tracked"
            f" {name!r} up to {tracked} only; nothing was changed. Let that application catch up,"
            f" or drop what is before position {tracked + 1} (before_position=,"
            " `aurora-es retain --before-position`)"
        )
        raise StillNeededError(message)
