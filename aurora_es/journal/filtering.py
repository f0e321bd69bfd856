"""Reads the records that match a query, in the order of positions, for both faces.

Theory of operation: the index says where a rare topic's or a tag's records are, and only these
frames are read. A frequent topic has no postings, and where many records are wanted one frame after
the other costs more than reading on: such stretches are scanned. What an index run says are
candidates, so every record itself is looked at. Each step asks the index anew: segments may be
sealed meanwhile. A step that finds much fewer records than are wanted is followed by a wider one.

Segments in memory gather their postings while they are scanned for the first time: the steps take
what is known, then scan on and add what they see. A look at the newest records alone, as that of a
subscription, is not worth reading all that came before them, and adds nothing.

The loops and local names are for ``benchmarks``; frames are scanned in pieces of 256 KiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.journal.closing import indexing
from aurora_es.journal.reading import frame_of, index_up_to, read_piece, read_records
from aurora_es.segment.read import read_chosen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.format.payload import RecordData
    from aurora_es.index.query import Query
    from aurora_es.index.tail import TailIndex
    from aurora_es.journal.handle import Handle
    from aurora_es.journal.lookup import JournalIndex
    from aurora_es.journal.reading import Group

_BATCH_RECORDS = 1 << 10
_POSTINGS_MIN, _POSTINGS_MAX = 1 << 6, 1 << 14  # of one part of a query, looked at in one step
_SCAN_SHARE = 4  # more than one record in so many is found as fast by scanning

Match = tuple[int, int, "RecordData"]  # position, timestamp (microseconds), record


def read_matches(  # noqa: PLR0913 - what a reader may ask for
    handle: Handle,
    query: Query,
    start: int,
    until: int,
    limit: int | None,
    *,
    with_times: bool,
) -> Iterator[list[Match]]:
    """Read the records that match ``query`` from ``start`` to ``until``, ``limit`` at most.

    Yields them in batches, some of which are empty. Timestamps are right ``with_times`` only: in
    cooled segments they take as long to decode as the records. ``until`` must not exceed the
    visible position that the caller has seen. Raises CorruptionError, HistoryChangedError.
    """
    missing = until - start + 1 if limit is None else limit
    width = 1
    while start <= until and missing > 0:
        wanted = min(missing, _BATCH_RECORDS)
        index = index_up_to(handle, until)
        tail = index.tail_of(start)
        postings = min(max(wanted, _POSTINGS_MIN) * width, _POSTINGS_MAX)
        positions, told = _candidates(index, tail, query, start, until, postings)
        if positions is not None and len(positions) > wanted:
            told = positions[wanted - 1]
            del positions[wanted:]
        if positions is None or len(positions) * _SCAN_SHARE > told - start + 1:
            batch, start = _scanned(handle, tail, query, start, told, with_times=with_times)
        else:
            batch = matches_at(handle, index, query, positions, with_times=with_times)
            start = told + 1
            if len(batch) * 2 < wanted:
                width *= 4
        del batch[missing:]
        missing -= len(batch)
        yield batch


def _candidates(  # noqa: PLR0913, PLR0917 - as read_matches
    index: JournalIndex,
    tail: TailIndex | None,
    query: Query,
    start: int,
    until: int,
    limit: int,
) -> tuple[list[int] | None, int]:
    """As ``SealedIndex.candidates``: None also where the tail's postings are not gathered yet."""
    if query.matches_all:
        return None, min(until, start + limit - 1)
    if tail is None:
        assert index.sealed is not None
        return index.sealed.candidates(query, start, min(until, index.sealed.last_position), limit)
    until = min(until, tail.position)
    known = tail.postings
    position = 0 if known is None else known.position  # once: it may rise meanwhile
    if known is None or start > position:
        return None, until
    return known.positions(query, start, min(until, position), limit)


def _scanned(  # noqa: PLR0913 - as read_matches
    handle: Handle,
    tail: TailIndex | None,
    query: Query,
    start: int,
    until: int,
    *,
    with_times: bool,
) -> tuple[list[Match], int]:
    """Matches in the next piece of frames up to ``until``, and the position to go on from."""
    begin, gathers = start, False
    if tail is not None:
        known = tail.base_position - 1 if tail.postings is None else tail.postings.position
        # What was never looked at before is read first if it is no more than what was asked for.
        if known < start <= until + known - start + 2:
            begin, gathers = known + 1, True
    if with_times:
        groups, behind = read_piece(handle, begin, until)
    else:
        first, records = read_records(handle, begin, until)
        groups, behind = [(first, 0, records)], first + len(records)
    if gathers and tail is not None:
        for first, _, records in groups:
            add_postings(handle, tail, first, records)
    matches = _matching(query, groups, start, until)
    return matches, min(max(start, behind), until + 1)


def _matching(query: Query, groups: list[Group], start: int, until: int) -> list[Match]:
    """The records from ``start`` to ``until`` that match."""
    topics, matches = query.topics, query.matches
    if topics is not None:
        return [
            (position, timestamp, record)
            for first, timestamp, records in groups
            for position, record in enumerate(records, first)
            if record.topic in topics and start <= position <= until
        ]
    return [
        (position, timestamp, record)
        for first, timestamp, records in groups
        for position, record in enumerate(records, first)
        if start <= position <= until and matches(record.topic, record.tags)
    ]


def add_postings(
    handle: Handle, tail: TailIndex, first_position: int, records: Sequence[RecordData]
) -> None:
    """Add what was read to the postings of a segment in memory, if it comes next."""
    labels = [(record.topic, record.tags) for record in records]
    with indexing(handle):
        tail.add_postings(first_position, labels)


def matches_at(
    handle: Handle,
    index: JournalIndex,
    query: Query,
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
        matches += [match for match in chosen if query.matches(match[2].topic, match[2].tags)]
    return matches
