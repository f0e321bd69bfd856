"""Lists the originators of a journal and counts its topics, in bounded memory.

Theory of operation: every index run streams its 64-bit keys in order, the indexes in memory give
theirs sorted, and a merge of these streams puts together what belongs to one key. The id itself is
read from the record at the key's first position. Two ids may share a key; that is looked for with
two reads: while every id's versions have no gap, a second id shows as a version that is there twice
or missing, or as another id at the highest version. Whatever looks like that is told apart by
reading all records of the key.
"""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import msgspec

from aurora_es.index.keys import key_hasher, originator_key
from aurora_es.index.run_file import RunDamagedError
from aurora_es.journal.reading import read_position, read_positions
from aurora_es.journal.records import disk_id_of
from aurora_es.late_imports import fork_waits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aurora_es.format.manifest import IndexRun
    from aurora_es.index.run import KeyEntries
    from aurora_es.index.tail import Key
    from aurora_es.journal.handle import Handle
    from aurora_es.journal.sealed_index import SealedIndex

_PIECE_RECORDS = 1 << 10


class Originator(msgspec.Struct, frozen=True, kw_only=True):
    """One originator, with the records that the journal holds of it."""

    originator_id: UUID | str  # as it was written
    record_count: int  # that the journal holds; dropped ones do not count
    last_version: int  # of its newest record
    first_topic: str  # of the record at the first position
    first_position: int  # of the first that the journal holds


class _Found(NamedTuple):
    """What a stream knows of a key; ``key`` is None for a candidate, from a run."""

    key64: int
    record_count: int
    last_version: int
    first_position: int
    key: Key | None


def list_originators(handle: Handle, after: UUID | str | None = None) -> Iterator[Originator]:
    """Every originator with records up to the position of the handle's index, in no useful order.

    The order is the same each time: those behind ``after`` are the ones that follow it in it.
    Raises CorruptionError, TruncatedError if its first record is dropped meanwhile.
    """
    if after is None:
        return _listed(handle, -1)
    behind = disk_key(after)
    hashed = key_hasher(handle.genesis_id, "originator")
    key64 = hashed(behind)

    def follows(found: Originator) -> bool:
        key = disk_key(found.originator_id)
        return hashed(key) > key64 or _rank(key) > _rank(behind)

    # Those that share its 64-bit key are among the first; they have an order of their own.
    return filter(follows, _listed(handle, key64 - 1))


def find_originator(handle: Handle, key: Key) -> Originator | None:
    """The originator with this key, None if there is no record of it; raises as the list."""
    hashed = key_hasher(handle.genesis_id, "originator")
    key64 = hashed(key)
    for found in _listed(handle, key64 - 1):
        other = disk_key(found.originator_id)
        if other == key:
            return found
        if hashed(other) > key64:
            break
    return None


def disk_key(originator_id: UUID | str) -> Key:
    """The key by which the index knows an originator."""
    key = originator_key(disk_id_of(originator_id))
    assert key is not None
    return key


def _rank(key: Key) -> tuple[bool, Key]:
    """Where a key stands among those with the same hash."""
    return isinstance(key, str), key


def _listed(handle: Handle, after: int) -> Iterator[Originator]:
    """Those whose 64-bit key is above ``after``, of all that are there at the call."""
    index = handle.state.index
    until = index.position
    sealed, tails = index.parts
    streams: list[Iterable[_Found]] = []
    if sealed is not None:
        streams += [_keys_of(sealed, entry, after) for entry in sealed.runs]
    hashed = key_hasher(handle.genesis_id, "originator")
    streams += [
        sorted(
            (
                _Found(hashed(key), count, last, first, key)
                for key, count, last, first in tail.originators(until)
                if hashed(key) > after
            ),
            key=lambda found: found.key64,
        )
        for tail in tails
    ]
    return _merged(handle, sealed, streams)


def _merged(
    handle: Handle, sealed: SealedIndex | None, streams: list[Iterable[_Found]]
) -> Iterator[Originator]:
    merged = heapq.merge(*streams, key=lambda found: found.key64)
    for key64, group in groupby(merged, key=lambda found: found.key64):
        yield from _originators_of(handle, sealed, key64, [*group])


def count_topics(handle: Handle) -> dict[str, int]:
    """Number of records of each topic, up to the position of the handle's index.

    Sealed segments whose runs list their topics are not read.
    """
    index = handle.state.index
    until = index.position
    sealed, tails = index.parts
    counts: Counter[str] = Counter()
    first = tails[0].base_position if tails else until + 1
    ranges = [(first, until)]
    for entry in () if sealed is None else sealed.runs:
        assert sealed is not None
        topics = sealed.ask(entry, lambda run: run.topics())
        if topics is None:
            ranges.append((entry.base_position, entry.last_position))
        else:
            counts.update(topics)
    pieces = [piece for one in ranges for piece in index.holes.pieces(*one)]
    for start, stop in pieces:
        for at in range(start, stop + 1, _PIECE_RECORDS):
            positions = range(at, min(at + _PIECE_RECORDS, stop + 1))
            counts.update(record.topic for record in read_positions(handle, positions))
    return dict(counts)


def _keys_of(sealed: SealedIndex, entry: IndexRun, after: int) -> Iterator[_Found]:
    """The originators of a listed run; a damaged one is built anew, and the stream goes on."""
    with fork_waits:
        import aurora_es.index.columns  # noqa: F401 - so that ``keys`` finds it imported
    run = sealed.open_run(entry)
    while True:
        try:
            for found in run.keys("originator", after=after):
                after = found.key
                yield _candidate(found)
        except RunDamagedError as error:
            run = sealed.mended(entry, run, error)
        else:
            return


def _candidate(found: KeyEntries) -> _Found:
    return _Found(found.key, found.entry_count, found.last_ordinal, found.first_position, None)


def _originators_of(
    handle: Handle, sealed: SealedIndex | None, key64: int, group: list[_Found]
) -> Iterator[Originator]:
    """Tell what a group of findings with one key says about each of its originators."""
    by_key: dict[Key, _Found] = {}
    candidates = [found for found in group if found.key is None]
    if candidates:
        assert sealed is not None
        joined = _joined(candidates)
        key = _only_owner(handle, sealed, joined)
        if key is not None:
            by_key[key] = joined
        else:
            by_key = _told_apart(handle, sealed, key64)
    for found in group:
        if found.key is not None:
            known = by_key.get(found.key)
            by_key[found.key] = found if known is None else _joined([known, found])
    for _, found in sorted(by_key.items(), key=lambda item: _rank(item[0])):
        record = read_position(handle, found.first_position)
        raw = record.originator_id
        yield Originator(
            originator_id=UUID(bytes=raw) if isinstance(raw, bytes) else str(raw),
            record_count=found.record_count,
            last_version=found.last_version,
            first_topic=record.topic,
            first_position=found.first_position,
        )


def _joined(found: list[_Found]) -> _Found:
    return _Found(
        found[0].key64,
        sum(one.record_count for one in found),
        max(one.last_version for one in found),
        min(one.first_position for one in found),
        found[0].key,
    )


def _only_owner(handle: Handle, sealed: SealedIndex, found: _Found) -> Key | None:
    """Key of the one originator that all these candidates are of; None if there may be two."""
    first = read_position(handle, found.first_position)
    key = originator_key(first.originator_id)
    if found.record_count == 1:
        return key
    assert first.originator_version is not None
    if found.record_count != found.last_version - first.originator_version + 1:
        return None
    for entry in sealed.runs:  # newest first, and that is nearly always the right one
        last = sealed.ask(entry, lambda run: run.last(found.key64))
        if last is not None and last[0] == found.last_version:
            newest = read_position(handle, last[1])
            return key if originator_key(newest.originator_id) == key else None
    return None


def _told_apart(handle: Handle, sealed: SealedIndex, key64: int) -> dict[Key, _Found]:
    """Read all sealed records of a 64-bit key, and say what each originator has of them."""
    by_key: dict[Key, _Found] = {}
    for entry in sealed.runs:
        entries = sealed.ask(entry, lambda run: run.select(key64))
        for at in range(0, len(entries), _PIECE_RECORDS):
            positions = [position for _, position in entries[at : at + _PIECE_RECORDS]]
            records = read_positions(handle, positions)
            for position, record in zip(positions, records, strict=True):
                key = originator_key(record.originator_id)
                assert key is not None
                assert record.originator_version is not None
                one = _Found(key64, 1, record.originator_version, position, None)
                known = by_key.get(key)
                by_key[key] = one if known is None else _joined([known, one])
    return by_key
