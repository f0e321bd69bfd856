"""Compaction, where history is not the product: superseded snapshots, and tracking.

Theory of operation: a segment is never written anew with fewer records, since positions and digests
would change. Whole sealed segments are dropped from the front, as by retention: of ``snapshots`` as
long as every snapshot in them is superseded by newer ones behind them, counted in sealed segments
only, which no power cut takes back; of ``tracking`` all but the newest, since each segment begins
with the whole table; but if it holds a view, only what is below the position that its newest sealed
checkpoint reflects. So one aggregate that was never taken a snapshot of again keeps its segment
and all later ones.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.errors import ArgumentError, CorruptionError
from aurora_es.files.layer import SYSTEM_EFFECTS, exists
from aurora_es.format.names import MANIFEST
from aurora_es.format.payload import UNDECODABLE, decode_record
from aurora_es.format.view import VIEW_CHECKPOINT, decode_checkpoint_part
from aurora_es.index.keys import originator_key
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.dropping import drop_front
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.retention import LOCK_TIMEOUT_SECONDS_DEFAULT, RetentionReport, report_of
from aurora_es.journal.sealed_index import SealedIndex
from aurora_es.segment.commits import iterate_commits

if TYPE_CHECKING:
    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import SealedSegment
    from aurora_es.format.payload import RecordData
    from aurora_es.format.view import CheckpointPart
    from aurora_es.index.tail import Key

SNAPSHOTS, TRACKING = "snapshots", "tracking"  # directories of an application


def compact(
    path: str | os.PathLike[str],
    *,
    keep_snapshots: int = 1,
    dry_run: bool = False,
    effects: Effects = SYSTEM_EFFECTS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
) -> RetentionReport:
    """Drop what newer records stand for: for the journals ``snapshots`` and ``tracking`` only.

    The newest ``keep_snapshots`` snapshots of every aggregate stay, at least. Raises ArgumentError
    for any other journal, LockTimeoutError, CorruptionError; with nothing changed.
    """
    text = os.path.abspath(os.fspath(path))
    purpose = os.path.basename(text)
    if keep_snapshots < 1:
        message = f"keep_snapshots: expected 1 or more, found {keep_snapshots}"
        raise ArgumentError(message)
    if purpose not in {SNAPSHOTS, TRACKING} or not exists(
        effects.files, os.path.join(text, MANIFEST)
    ):
        message = (
            f"{text}: expected the journal `snapshots` or `tracking` of an application; nothing was"
            " changed. The history of events is never compacted; `retain` drops what is old"
        )
        raise ArgumentError(message)
    with BackgroundLock(effects, text, timeout=lock_timeout):
        manifest = read_manifest(effects.files, text)
        assert manifest is not None, "it has just been seen"
        sealed = SealedIndex(
            effects,
            text,
            bytes.fromhex(manifest.genesis_id),
            manifest,
            read_only=False,
            owns_lock=True,
        )
        needed_from = _needed_from(sealed) if purpose == TRACKING else None
        count = 0
        for segment in manifest.segments[:-1]:
            if needed_from is None:
                if not _is_superseded(sealed, segment, keep_snapshots):
                    break
            elif segment.last_position >= needed_from:
                break
            count += 1
        report = report_of(text, manifest, count, dry_run=dry_run)
        if not dry_run:
            drop_front(effects, text, manifest, count)
        return report


def _needed_from(sealed: SealedIndex) -> int:
    """First position that whoever opens the view has to read; 1 where there is no checkpoint."""
    for entries, _ in sealed.entries(
        VIEW_CHECKPOINT, gt=None, lte=None, desc=True, limit=1, until=sealed.last_position
    ):
        for _, position in entries:
            record = sealed.segments.read_record(position)
            if record.originator_id == VIEW_CHECKPOINT:
                part = _part_of(sealed, record, position)
                return part.position + 1 if part.position else position - part.part + 1
    return 1


def _part_of(sealed: SealedIndex, record: RecordData, position: int) -> CheckpointPart:
    try:
        return decode_checkpoint_part(record.state, position)
    except UNDECODABLE as error:
        raise CorruptionError(
            sealed.path,
            0,
            expected=f"a checkpoint of a view in the record at position {position}",
            found=str(error),
        ) from error


def _is_superseded(sealed: SealedIndex, segment: SealedSegment, keep: int) -> bool:
    """Whether behind ``segment`` there are ``keep`` newer snapshots for each one in it."""
    newest: dict[Key, int] = {}
    opened = sealed.segments.open_segment(segment)
    for commit in iterate_commits(opened.file, opened.segment.lost or ()):
        for raw in commit.records:
            record = decode_record(raw)
            key, version = originator_key(record.originator_id), record.originator_version
            if key is None or version is None:
                return False  # no snapshot
            newest[key] = max(newest.get(key, version), version)
    return all(
        _has_newer(sealed, segment.last_position, key, version, keep)
        for key, version in newest.items()
    )


def _has_newer(sealed: SealedIndex, after: int, key: Key, version: int, keep: int) -> bool:
    count = 0
    for entries, _ in sealed.entries(
        key, gt=version, lte=None, desc=True, limit=None, until=sealed.last_position
    ):
        for _, position in entries:
            if position > after:
                record = sealed.segments.read_record(position)
                count += originator_key(record.originator_id) == key
                if count >= keep:
                    return True
    return False
