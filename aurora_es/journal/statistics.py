"""Counts, sizes and settings of a journal, without reading it.

Theory of operation: what is sealed is counted from the manifest, what is not from the index in
memory and the chain; the sizes of the few files that the manifest does not know are asked for.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from aurora_es.format.names import segment_name
from aurora_es.journal.catch_up import catch_up
from aurora_es.journal.closing import indexing
from aurora_es.journal.records import datetime_of
from aurora_es.journal.sealed_index import file_name_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aurora_es.format.manifest import SealedSegment
    from aurora_es.journal.handle import Handle
    from aurora_es.segment.walk import Chain


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and settings of a journal; sizes in bytes."""

    path: str  # of the journal
    exists: bool  # whether it has been made yet
    events: int  # records that can be read
    lost_positions: int  # that a repair found lost, in what is retained
    retained_from: int  # position of the first of them
    last_position: int  # of the newest visible record; 0: there is none
    last_commit: int  # number of the newest visible commit
    last_timestamp: datetime | None  # of the last commit, UTC
    events_per_second: (
        float | None
    )  # since the newest sealed segment began; None before there is one
    originators: int | None  # None where only reading the whole journal could tell
    segments: int  # made so far, the tail included
    rolled_segments: int  # closed, and not sealed yet
    sealed_segments: int  # as they were appended to
    cooled_segments: int  # stored again, compressed
    runs: int  # index runs
    segment_bytes: int  # of all segments
    run_bytes: int  # of all index runs
    tail_bytes: int  # of what is used of the tail
    index_bytes: int  # memory of this process for records of the tail and of rolled segments
    durable: bool  # everything visible is known to be on disk
    unsynced_bytes: int  # visible, and not known to be on disk
    seconds_since_sync: float | None  # of the mark, by this process; None if it never did
    epoch: int  # rises when visible commits were taken back
    sync: str  # as recorded, in the text form of the settings
    roll_cycle: str  # likewise
    compression: str  # of what is written from now on
    genesis_id: str  # hexadecimal; drawn when the journal was made
    recoveries: int  # by this handle, since it was opened
    adopted_commits: int  # complete commits that those found behind the mark
    cut_bytes: int  # of a torn tail, that those cut


def statistics_of(handle: Handle, *, exists: bool) -> Statistics:
    """Gather the statistics of a handle that has caught up; raises OSError."""
    descriptors = handle.usable()
    mark = None if descriptors is None else descriptors.mark.read()
    if mark is not None:
        catch_up(handle, mark)  # a roll alone brings no commit, so nobody need have noticed it
    with indexing(handle):  # one moment of the journal, also while others append
        index, chain = handle.state.index, handle.state.chain
        chain = None if chain is None else chain.copy()
        originators, index_bytes = index.originator_count, index.memory_bytes
        manifest = handle.manifest
    segments = [] if manifest is None else manifest.segments
    runs = [] if manifest is None else manifest.runs
    retained_from = 1 if manifest is None else manifest.retained_from
    lost = 0 if chain is None else index.holes.count(retained_from, chain.position)
    tail_bytes = 0 if chain is None else chain.offset
    rolled = [] if chain is None else _rolled(handle, chain, segments)
    cooled = sum(segment.revision > 0 for segment in segments)
    unsynced = 0 if mark is None else mark.visible_offset - mark.durable_offset
    return Statistics(
        path=handle.path,
        exists=exists,
        events=0 if chain is None else chain.position - retained_from + 1 - lost,
        lost_positions=lost,
        retained_from=retained_from,
        last_position=0 if chain is None else chain.position,
        last_commit=0 if chain is None else chain.commit_number,
        last_timestamp=datetime_of(chain.timestamp) if chain and chain.timestamp else None,
        events_per_second=None if chain is None else _rate(chain, segments),
        originators=originators,
        segments=0 if chain is None else len(segments) + len(rolled) + 1,
        rolled_segments=len(rolled),
        sealed_segments=len(segments) - cooled,
        cooled_segments=cooled,
        runs=len(runs),
        segment_bytes=tail_bytes + sum(rolled) + sum(one.size_bytes for one in segments),
        run_bytes=sum(_sizes(handle, map(file_name_of, runs))),
        tail_bytes=tail_bytes,
        index_bytes=index_bytes,
        durable=unsynced == 0,
        unsynced_bytes=unsynced,
        seconds_since_sync=(
            handle.effects.monotonic() - handle.mark_synced_at
            if handle.mark_synced_sequence
            else None
        ),
        epoch=handle.epoch or 0,
        sync=str(handle.sync_mode),
        roll_cycle=str(handle.roll_cycle),
        compression=str(handle.compression),
        genesis_id=handle.genesis_id.hex(),
        recoveries=handle.recoveries,
        adopted_commits=handle.adopted_commits,
        cut_bytes=handle.cut_bytes,
    )


def _rolled(handle: Handle, chain: Chain, segments: list[SealedSegment]) -> list[int]:
    """Sizes of the segments between the sealed ones and the tail."""
    listed = segments[-1].segment_number if segments else 0
    return _sizes(
        handle,
        [
            segment_name(tail.segment_number, tail.base_position)
            for tail in handle.state.index.parts[1]
            if listed < tail.segment_number < chain.segment_number
        ],
    )


def _sizes(handle: Handle, names: Iterable[str]) -> list[int]:
    sizes = []
    for name in names:
        try:
            sizes.append(handle.files.stat(os.path.join(handle.path, name)).st_size)
        except FileNotFoundError:  # sealed, merged or cooled by another process meanwhile
            sizes.append(0)
    return sizes


def _rate(chain: Chain, segments: list[SealedSegment]) -> float | None:
    if not segments:
        return None
    newest = segments[-1]
    microseconds = chain.timestamp - newest.first_timestamp
    if microseconds <= 0:
        return None
    return (chain.position - newest.base_position + 1) * 1_000_000 / microseconds
