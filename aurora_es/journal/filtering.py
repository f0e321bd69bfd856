"""Reads the records of some topics, in the order of positions, for both faces.

Theory of operation: the index says where a rare topic's records are, and only these frames are
read. A frequent topic has no postings, and where many records are wanted one frame after the other
costs more than reading on: such stretches are scanned. What an index run says are candidates, so
every record's topic is looked at. Each step asks the index anew: segments may be sealed meanwhile.

Segments in memory gather their topics while they are scanned for the first time: the steps take
what is known, then scan on and add what they see. A look at the newest records alone, as that of a
subscription, is not worth reading all that came before them, and adds nothing.

The loops and local names are for ``benchmarks``; frames are scanned in pieces of 256 KiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.index.topics import TailTopics
from aurora_es.journal.closing import indexing
from aurora_es.journal.reading import frame_of, index_up_to, read_piece, read_records
from aurora_es.segment.read import read_chosen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.format.payload import RecordData
    from aurora_es.index.tail import TailIndex
    from aurora_es.journal.handle import Handle
    from aurora_es.journal.lookup import JournalIndex
    from aurora_es.journal.reading import Group

_BATCH_RECORDS = 1 << 10
_SCAN_SHARE = 4  # more than one record in so many is found as fast by scanning

Match = tuple[int, int, "RecordData"]  # position, timestamp (microseconds), record


def read_matches(  # noqa: PLR0913 - what a reader may ask for
    handle: Handle,
    topics: frozenset[str],
    start: int,
    until: int,
    limit: int | None,
    *,
    with_times: bool,
) -> Iterator[list[Match]]:
    """Read the records with one of ``topics`` from ``start`` to ``until``, ``limit`` at most.

    Yields them in batches, some of which are empty. Timestamps are right ``with_times`` only: in
    cooled segments they take as long to decode as the records. ``until`` must not exceed the
    visible position that the caller has seen. Raises CorruptionError, HistoryChangedError.
    """
    missing = until - start + 1 if limit is None else limit
    while start <= until and missing > 0:
        wanted = min(missing, _BATCH_RECORDS)
        index = index_up_to(handle, until)
        tail = index.tail_of(start)
        if tail is None:
            assert index.sealed is not None
            bound = min(until, index.sealed.last_position)
            positions, told = index.sealed.topic_candidates(topics, start, bound, wanted)
        else:
            positions, told = _in_memory(tail, topics, start, min(until, tail.position), wanted)
        if positions is None or len(positions) * _SCAN_SHARE > told - start + 1:
            batch, start = _scanned(handle, tail, topics, start, told, with_times=with_times)
        else:
            batch = _read_frames(handle, index, topics, positions, with_times=with_times)
            start = told + 1
        del batch[missing:]
        missing -= len(batch)
        yield batch


def _in_memory(
    tail: TailIndex, topics: frozenset[str], start: int, until: int, limit: int
) -> tuple[list[int] | None, int]:
    """As ``SealedIndex.topic_candidates``: None where the topics are not known yet."""
    known = tail.topics
    position = 0 if known is None else known.position  # once: it may rise meanwhile
    if known is None or start > position:
        return None, until
    return known.positions(topics, start, min(until, position), limit)


def _scanned(  # noqa: PLR0913 - as read_matches
    handle: Handle,
    tail: TailIndex | None,
    topics: frozenset[str],
    start: int,
    until: int,
    *,
    with_times: bool,
) -> tuple[list[Match], int]:
    """Matches in the next piece of frames up to ``until``, and the position to go on from."""
    begin, gathers = start, False
    if tail is not None:
        known = tail.base_position - 1 if tail.topics is None else tail.topics.position
        # What was never looked at before is read first if it is no more than what was asked for.
        if known < start <= until + known - start + 2:
            begin, gathers = known + 1, True
    if with_times:
        groups, behind = read_piece(handle, begin, until)
    else:
        first, records = read_records(handle, begin, until)
        groups, behind = [(first, 0, records)], first + len(records)
    if gathers and tail is not None:
        _gather(handle, tail, groups)
    matches = [
        (position, timestamp, record)
        for first, timestamp, records in groups
        for position, record in enumerate(records, first)
        if record.topic in topics and start <= position <= until
    ]
    return matches, min(max(start, behind), until + 1)


def _gather(handle: Handle, tail: TailIndex, groups: list[Group]) -> None:
    """Add what was read to the topics of a segment in memory."""
    topics = [record.topic for _, _, records in groups for record in records]
    with indexing(handle):
        if tail.topics is None:
            tail.topics = TailTopics(tail.base_position)
        tail.topics.add(groups[0][0], topics)


def _read_frames(
    handle: Handle,
    index: JournalIndex,
    topics: frozenset[str],
    positions: list[int],
    *,
    with_times: bool,
) -> list[Match]:
    """Matches among ``positions``, which rise, from the frames that hold them."""
    matches: list[Match] = []
    at, count = 0, len(positions)
    while at < count:
        file, *place = frame_of(handle, index, positions[at])
        chosen, at = read_chosen(file, place, positions, at, with_times=with_times)
        matches += [match for match in chosen if match[2].topic in topics]
    return matches
