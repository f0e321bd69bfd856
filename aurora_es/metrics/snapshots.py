"""Takes a snapshot: asks every open handle, subscription and queue of the process.

Theory of operation: nothing is locked and nothing is changed. What a handle has counted is copied;
what a journal is, is read from its mark and manifest, two small files, whoever has written them. A
journal or a queue that is closed meanwhile is left out.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from aurora_es.errors import AuroraError
from aurora_es.journal.handle import all_handles
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.meters import bucket_ends
from aurora_es.journal.readers import readers_of_process
from aurora_es.late_imports import fork_waits
from aurora_es.metrics.values import (
    Extent,
    Histogram,
    JournalMetrics,
    ReceiverMetrics,
    Snapshot,
    SubscriptionMetrics,
    merged,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.journal.handle import Handle

_SECONDS_BOUNDS = tuple(end / 1e6 for end in bucket_ends())
_COMMITS_BOUNDS = tuple(float(end - 1) for end in bucket_ends())


def snapshot(under: str | os.PathLike[str] | None = None) -> Snapshot:
    """Return what this process counts and sees of all that it has open, or of what is ``under``.

    ``under`` is a directory: of a journal, of a queue, of an application, or AURORA_PATH. Counts
    begin at zero when a journal is opened, and in the child of a fork; they end when it is closed.
    For any thread. Costs two small reads for each open journal and what a receiver's ``lag`` costs
    for each name of a queue; never waits for a lock of an append, and raises for no journal.
    """
    root = None if under is None else os.path.abspath(os.fspath(under))
    journals = merged(
        _journal_metrics(handle)
        for handle in all_handles()
        if not (handle.closed or handle.forked) and _is_under(root, handle.path)
    )
    last_positions = {
        one.path: 0 if one.extent is None else one.extent.last_position for one in journals
    }
    subscriptions = tuple(
        SubscriptionMetrics(
            path=one.path,
            kind=one.kind,
            number=one.number,
            position=one.reached,
            lag_records=max(last_positions.get(one.path, 0) - one.reached, 0),
        )
        for one in readers_of_process()
        if _is_under(root, one.path)
    )
    receivers = {(one.path, one.name): one for one in _receivers(root)}
    return Snapshot(
        journals=journals,
        subscriptions=subscriptions,
        receivers=tuple(receivers[key] for key in sorted(receivers)),
    )


def _is_under(root: str | None, path: str) -> bool:
    return root is None or path == root or path.startswith(os.path.join(root, ""))


def _journal_metrics(handle: Handle) -> JournalMetrics:
    meters = handle.meters
    return JournalMetrics(
        path=handle.path,
        handles=1,
        final_handles=int(handle.poison is not None),
        append_seconds=Histogram(
            _SECONDS_BOUNDS, tuple(meters.append_counts), meters.append_seconds
        ),
        sync_seconds=Histogram(_SECONDS_BOUNDS, tuple(meters.sync_counts), meters.sync_seconds),
        commits_per_sync=Histogram(
            _COMMITS_BOUNDS, tuple(meters.commits_per_sync_counts), meters.synced_commits
        ),
        appended_commits=meters.appended_commits,
        appended_records=meters.appended_records,
        appended_bytes=meters.appended_bytes,
        conflicts=meters.conflicts,
        rolls=meters.rolls,
        recoveries=handle.recoveries,
        adopted_commits=handle.adopted_commits,
        cut_bytes=handle.cut_bytes,
        extent=_extent(handle),
    )


def _extent(handle: Handle) -> Extent | None:
    descriptors = handle.descriptors
    if descriptors is None:  # not made yet, or final after a failed sync
        return None
    try:
        mark = descriptors.mark.read()
        # Behind the mark: it lists no segment that the mark does not know of.
        manifest = read_manifest(handle.files, handle.path)
    except (AuroraError, OSError):
        return None  # damaged, or closed meanwhile: verify and doctor say what is wrong
    if manifest is None:
        return None
    listed = manifest.segments
    cooled = sum(segment.revision > 0 for segment in listed)
    last_listed = listed[-1].segment_number if listed else 0
    rolled = max(mark.segment_number - last_listed - 1, 0)
    return Extent(
        epoch=max(mark.epoch, manifest.epoch),
        last_commit=mark.visible_commit,
        last_position=mark.visible_position,
        first_position=manifest.retained_from,
        segments=len(listed) + rolled + 1,
        rolled_segments=rolled,
        sealed_segments=len(listed) - cooled,
        cooled_segments=cooled,
        runs=len(manifest.runs),
        sealed_bytes=sum(segment.size_bytes for segment in listed),
        tail_bytes=mark.visible_offset,
        unsynced_bytes=mark.visible_offset - mark.durable_offset,
    )


def _receivers(root: str | None) -> Iterator[ReceiverMetrics]:
    if "aurora_es.queue" not in sys.modules:
        return  # no queue is open, and importing it would bring in asyncio
    with fork_waits:
        from aurora_es.queue.queue_base import open_queues

    for queue in open_queues():
        if not _is_under(root, queue.path):
            continue
        try:
            last_position = queue.last_position
            names = queue.names()
        except (AuroraError, OSError):
            continue  # closed meanwhile, or damaged
        for name, state in names.items():
            yield ReceiverMetrics(
                path=queue.path,
                name=name,
                kind=state.kind,
                lag_messages=state.lag(last_position),
                held_messages=len(state.held),
                parked_messages=len(state.parked),
            )
