"""Look-ups in an index run: which positions a key has, over sealed segments.

Theory of operation: a look-up bisects the fence, which is in memory, reads one block with one
``pread``, checks it and bisects its columns. A key with more entries than a block holds fills
several; among these it bisects by their first entries. Nothing is kept between calls, so that any
number of threads use one run. Columns are views of the bytes read, not numpy arrays: for the 63
entries of a block those cost more to make than to search. Hits are candidates: two ids may share a
key, so each is confirmed against its record.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from struct import Struct, unpack_from
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.format.limits import VERSION_MAX, VERSION_MIN
from aurora_es.format.run import BLOCK_HEAD_BYTES, KEY_BYTES, ORDINAL_CODES, POSITION_CODES
from aurora_es.index.keys import Kind, key_range
from aurora_es.index.run_file import RunFile
from aurora_es.late_imports import fork_waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aurora_es.files.layer import Files
    from aurora_es.format.run import Keys

    _Entry = tuple[int, int]  # ordinal and position
    _Columns = tuple[Sequence[int], Sequence[int], Sequence[int]]

_POSITION_MAX = (1 << 64) - 1
_is_little = sys.byteorder == "little"


class KeyEntries(NamedTuple):
    """What a run knows of one key; the first position is the lowest one."""

    key: int
    entry_count: int
    last_ordinal: int
    first_position: int


class Run(RunFile):
    """One open run, as ``RunFile``, with its look-ups. All positions are absolute."""

    __slots__ = (
        "_commons",
        "_ordinal_code",
        "_ordinals_at",
        "_position_code",
        "_positions_at",
        "_topics",
        "_unpack_ordinal",
        "_unpack_position",
    )

    def __init__(self, files: Files, path: str, *, genesis_id: bytes, source_digest: bytes) -> None:
        """Open ``path``; see ``RunFile``."""
        super().__init__(files, path, genesis_id=genesis_id, source_digest=source_digest)
        header, directory = self.header, self.directory
        self._topics = dict(directory.topics) if header.topics_listed else None
        self._commons: dict[int, list[tuple[int, int]]] = {}
        for key, first, last in directory.commons:
            self._commons.setdefault(key, []).append((first, last))
        self._ordinal_code = ORDINAL_CODES[header.ordinal_width]
        self._position_code = POSITION_CODES[header.position_width]
        self._ordinals_at = BLOCK_HEAD_BYTES + KEY_BYTES * self.block_entries
        self._positions_at = self._ordinals_at + header.ordinal_width * self.block_entries
        self._unpack_ordinal = _unpacker(self._ordinal_code)
        self._unpack_position = _unpacker(self._position_code)

    @property
    def is_monotone(self) -> bool:
        """Whether no originator has a version at or below one of its earlier records here."""
        return self.header.is_monotone == 1

    @property
    def memory_bytes(self) -> int:
        """Bytes of the fence."""
        return len(self.fence) * KEY_BYTES

    # Topics

    def topics(self) -> dict[str, int] | None:
        """Return each topic and its number of records; None where too many to list."""
        return self._topics

    def common(self, key: int) -> list[tuple[int, int]]:
        """First and last positions of the ranges where a topic is frequent and has no postings."""
        return self._commons.get(key, [])

    # Look-ups; local names and repeated lines are for the 2 µs that one takes

    def last(self, key: int) -> tuple[int, int] | None:
        """Highest ordinal of a key and, of equal ones, the highest position; None if absent."""
        block = bisect_right(self.fence, key) - 1
        if block < 0:
            return None
        data, count = self.read_block(block)
        keys = _column(data, BLOCK_HEAD_BYTES, count, "Q")
        slot = bisect_right(keys, key) - 1
        if keys[slot] != key:
            return None
        header = self.header
        position = self._unpack_position(data, self._positions_at + header.position_width * slot)[0]
        return (
            self._unpack_ordinal(data, self._ordinals_at + header.ordinal_width * slot)[0],
            header.base_position + position,
        )

    def find(self, key: int, ordinal: int) -> list[int]:
        """Positions with this key and ordinal, rising: one at most, but for ids that collide."""
        fence = self.fence
        block = bisect_right(fence, key) - 1
        if block < 0:
            return []
        if fence[block] == key:  # its entries may begin in an earlier block
            return [entry[1] for entry in self.select(key, gt=ordinal - 1, lte=ordinal)]
        data, count = self.read_block(block)
        keys = _column(data, BLOCK_HEAD_BYTES, count, "Q")
        end = bisect_right(keys, key)
        if keys[end - 1] != key:
            return []
        first = bisect_left(keys, key, 0, end)
        ordinals = _column(data, self._ordinals_at, count, self._ordinal_code)
        first = bisect_left(ordinals, ordinal, first, end)
        if first == end or ordinals[first] != ordinal:
            return []
        end = bisect_right(ordinals, ordinal, first, end)
        base = self.header.base_position
        positions = _column(data, self._positions_at, count, self._position_code)
        return [base + position for position in positions[first:end]]

    def select(
        self,
        key: int,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> list[tuple[int, int]]:
        """Ordinals and positions of a key, ordinal above ``gt`` and up to ``lte``.

        Sorted by (ordinal, position), or the other way round; the first ``limit`` of them.
        """
        low = (VERSION_MIN, -1) if gt is None else (gt, _POSITION_MAX)
        high = (VERSION_MAX if lte is None else lte, _POSITION_MAX)
        return self._entries_between(key, low, high, desc=desc, limit=limit)

    def posting_range(self, key: int, *, after: int, until: int) -> tuple[int, int]:
        """Numbers of the entries of a topic or tag above ``after`` and up to ``until``.

        First and end; entries are counted from 0 over the whole run.
        """
        if not self.fence or key < self.fence[0]:
            return 0, 0
        seen: dict[int, _Columns] = {}
        base = self.header.base_position
        first = self._rank(key, (0, after - base), seen)
        return first, self._rank(key, (0, until - base), seen)

    def positions(self, first: int, end: int) -> list[int]:
        """Positions of the entries number ``first`` to ``end``, excluded, in their order."""
        base, capacity = self.header.base_position, self.block_entries
        found: list[int] = []
        while first < end:
            block, slot = divmod(first, capacity)
            stop = min(capacity, end - block * capacity)
            positions = self._columns(block)[2]
            found += [base + position for position in positions[slot:stop]]
            first = (block + 1) * capacity
        return found

    def keys(self, kind: Kind, *, after: int = -1) -> Iterator[KeyEntries]:
        """Keys of a kind above ``after``, in their order, with what is known; in bounded memory."""
        with fork_waits:
            from aurora_es.index.columns import key_entries

        low, high = key_range(kind)
        for found in key_entries(self, max(low, after + 1), high):
            yield KeyEntries(*found)

    def distinct_keys(self, low: int, high: int) -> Keys:
        """The keys from ``low`` to ``high``, each once, rising."""
        with fork_waits:
            from aurora_es.index.columns import distinct_keys

        return distinct_keys(self, low, high)

    def _entries_between(
        self, key: int, low: _Entry, high: _Entry, *, desc: bool, limit: int | None
    ) -> list[_Entry]:
        """Entries of a key above ``low``, up to ``high``, both relative to the base position."""
        fence = self.fence
        block = bisect_right(fence, key) - 1
        if block < 0:
            return []
        if fence[block] == key:
            return self._entries_of_blocks(key, low, high, desc=desc, limit=limit)
        data, count = self.read_block(block)
        keys = _column(data, BLOCK_HEAD_BYTES, count, "Q")
        end = bisect_right(keys, key)
        if keys[end - 1] != key:
            return []
        first = bisect_left(keys, key, 0, end)
        ordinals = _column(data, self._ordinals_at, count, self._ordinal_code)
        positions = _column(data, self._positions_at, count, self._position_code)
        start = _after(ordinals, positions, low, first, end)
        start, end = _limited(start, _after(ordinals, positions, high, first, end), limit, desc)
        base = self.header.base_position
        pairs = zip(ordinals[start:end], positions[start:end], strict=True)
        found = [(ordinal, base + position) for ordinal, position in pairs]
        if desc:
            found.reverse()
        return found

    # Keys whose entries may lie in many blocks

    def _entries_of_blocks(
        self, key: int, low: _Entry, high: _Entry, *, desc: bool, limit: int | None
    ) -> list[_Entry]:
        seen: dict[int, _Columns] = {}
        start, end = self._rank(key, low, seen), self._rank(key, high, seen)
        start, end = _limited(start, end, limit, desc)
        base, capacity = self.header.base_position, self.block_entries
        found: list[_Entry] = []
        while start < end:
            block, slot = divmod(start, capacity)
            stop = min(capacity, end - block * capacity)
            _, ordinals, positions = seen.get(block) or self._columns(block)
            pairs = zip(ordinals[slot:stop], positions[slot:stop], strict=True)
            found += [(ordinal, base + position) for ordinal, position in pairs]
            start = (block + 1) * capacity
        if desc:
            found.reverse()
        return found

    def _rank(self, key: int, entry: _Entry, seen: dict[int, _Columns]) -> int:
        """Number of entries up to (key, ordinal, position) in the whole run.

        ``seen`` collects the columns of the blocks read, of which the next step needs some.
        """
        fence = self.fence
        end = bisect_right(fence, key) - 1
        block = max(bisect_left(fence, key) - 1, 0)
        while block < end:  # blocks behind the first one begin with this key
            middle = (block + end + 1) // 2
            _, ordinals, positions = self._seen(middle, seen)
            if (ordinals[0], positions[0]) <= entry:
                block = middle
            else:
                end = middle - 1
        keys, ordinals, positions = self._seen(block, seen)
        first = bisect_left(keys, key)
        end = bisect_right(keys, key, first)
        return block * self.block_entries + _after(ordinals, positions, entry, first, end)

    def _seen(self, block: int, seen: dict[int, _Columns]) -> _Columns:
        columns = seen.get(block)
        if columns is None:
            columns = seen[block] = self._columns(block)
        return columns

    def _columns(self, block: int) -> _Columns:
        data, count = self.read_block(block)
        return (
            _column(data, BLOCK_HEAD_BYTES, count, "Q"),
            _column(data, self._ordinals_at, count, self._ordinal_code),
            _column(data, self._positions_at, count, self._position_code),
        )


def _column(data: bytes, at: int, count: int, code: str) -> Sequence[int]:
    if _is_little:
        width = 8 if code in "Qq" else 4
        view: memoryview[int] = memoryview(data)[at : at + width * count].cast(code)  # type: ignore[call-overload]
        return view
    return unpack_from(f"<{count}{code}", data, at)


def _after(
    ordinals: Sequence[int], positions: Sequence[int], entry: _Entry, first: int, end: int
) -> int:
    """Index of the first entry above ``entry`` from ``first`` to ``end``, which have one key."""
    first = bisect_left(ordinals, entry[0], first, end)
    end = bisect_right(ordinals, entry[0], first, end)
    return bisect_right(positions, entry[1], first, end)


def _limited(start: int, end: int, limit: int | None, desc: bool) -> tuple[int, int]:  # noqa: FBT001
    """Range of indexes that is left of ``start`` to ``end``."""
    if limit is None or end - start <= limit:
        return start, end
    return (end - limit, end) if desc else (start, start + limit)


def _unpacker(code: str) -> Callable[[bytes, int], tuple[int, ...]]:
    return Struct("<" + code).unpack_from
