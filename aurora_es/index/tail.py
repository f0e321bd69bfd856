"""The index of one segment in memory: where each record is, and which records an originator has.

Theory of operation: per record one version (``array('q')``) and the slot of the previous record of
the same originator (``array('I')``); per frame its first slot, its offset (in units of 8 bytes) and
its length; per originator one dictionary entry with its last slot. A *slot* counts the records of
the segment from 1; 0 means none. While an originator's versions only rise, its records form a chain
of falling versions, and "is this version taken" is nearly always answered by the last one. An
originator whose versions ever came out of order moves to a dictionary of its own.

What came before the segment is not known here. ``unchecked`` holds the originators whose versions
have not been compared with their earlier ones, ``scattered`` those that have a version at or below
an earlier one; all others only rise. ``journal.lookup`` asks and decides.

Who may write: the holder of the handle's ``index_lock``. Readers take no lock: a commit's entries
are complete before ``position`` is raised, and readers ignore whatever lies above the ``position``
they read first. So a commit is seen whole or not at all.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING

from aurora_es.index.postings import TailPostings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.index.postings import Label
    from aurora_es.index.query import Query

Key = bytes | str
_NOBODY = (None, None)
_ALIGNMENT_BITS = 3  # frames start at multiples of 8


class TailIndex:
    """Index over the records of one segment, from ``base_position`` to ``position``."""

    __slots__ = (
        "_before",
        "_disordered",
        "_frame_lengths",
        "_frame_offsets",
        "_frame_slots",
        "_last",
        "_previous",
        "_versions",
        "base_position",
        "before",
        "position",
        "postings",
        "scattered",
        "segment_number",
        "unchecked",
    )

    def __init__(self, segment_number: int, base_position: int) -> None:
        """Start empty, with the segment's first record to come at ``base_position``."""
        self.segment_number = segment_number
        self.base_position = base_position
        self.position = base_position - 1
        self.unchecked: set[Key] = set()  # readers may take out what they have compared
        self.scattered: set[Key] = set()
        self.before: dict[Key, int | None] = {}  # last version before the segment, as looked up
        self.postings: TailPostings | None = None  # once somebody has asked for a topic or tag
        self._before = base_position - 1  # position of slot 0
        self._versions = array("q")
        self._previous = array("I")
        self._last: dict[Key, int] = {}
        self._disordered: dict[Key, dict[int, int]] = {}
        self._frame_slots = array("I")
        self._frame_offsets = array("I")
        self._frame_lengths = array("I")

    def __contains__(self, key: Key) -> bool:
        """Whether the originator has a record in this segment."""
        return key in self._last

    @property
    def originator_count(self) -> int:
        """Number of originators."""
        return len(self._last)

    @property
    def memory_bytes(self) -> int:
        """Bytes taken per record and frame, without the dictionaries."""
        arrays = (
            self._versions,
            self._previous,
            self._frame_slots,
            self._frame_offsets,
            self._frame_lengths,
        )
        postings = self.postings
        return sum(column.itemsize * len(column) for column in arrays) + (
            0 if postings is None else postings.memory_bytes
        )

    # Growing

    def add_commit(
        self,
        identities: Sequence[tuple[Key | None, int | None]],
        frames: Sequence[tuple[int, int, int]],
        base_offset: int = 0,
        *,
        rises: bool = False,
    ) -> None:
        """Add one commit: (key, version) per record, (offset, length, records) per frame.

        ``base_offset`` is added to every offset. ``rises`` tells that the versions are known to be
        above all that their originators have before this segment.
        """
        if len(identities) == 1 == len(frames):
            # The next version of one originator, or a message: what is added most (row "one-event
            # insert").
            key, version = identities[0]
            if key is None or version is None:
                key, version, before = None, 0, 0
            else:
                before = self._last.get(key, 0)
            if (not before or version > self._versions[before - 1]) and (
                key not in self._disordered
            ):
                if not before and not rises and self._before and key is not None:
                    self.unchecked.add(key)
                position = self.position + 1
                slot = position - self._before
                offset, length, _ = frames[0]
                self._frame_slots.append(slot)
                self._frame_offsets.append((base_offset + offset) >> _ALIGNMENT_BITS)
                self._frame_lengths.append(length)
                self._versions.append(version)
                self._previous.append(before)
                if key is not None:
                    self._last[key] = slot
                self.position = position
                return
        self._add_many(identities, frames, base_offset, rises=rises)

    def add_messages(self, offsets: Sequence[int], lengths: Sequence[int]) -> None:
        """Add commits of one record without originator each: offset and length of each frame."""
        count = len(offsets)
        slot = self.position - self._before + 1
        self._frame_slots.extend(range(slot, slot + count))
        self._frame_offsets.extend([offset >> _ALIGNMENT_BITS for offset in offsets])
        self._frame_lengths.extend(lengths)
        self._extend_without_originator(count)
        self.position += count

    def _add_many(
        self,
        identities: Sequence[tuple[Key | None, int | None]],
        frames: Sequence[tuple[int, int, int]],
        base_offset: int,
        *,
        rises: bool,
    ) -> None:
        slot = self.position - self._before
        for offset, length, count in frames:
            if count:
                self._frame_slots.append(slot + 1)
                self._frame_offsets.append((base_offset + offset) >> _ALIGNMENT_BITS)
                self._frame_lengths.append(length)
                slot += count
        slot = self.position - self._before
        last, versions, previous = self._last, self._versions, self._previous
        if len(identities) > 1 and (
            self._add_messages(identities) or self._add_run(identities, rises=rises)
        ):
            self.position += len(identities)
            return
        for key, version in identities:
            slot += 1
            if key is None or version is None:
                versions.append(0)
                previous.append(0)
                continue
            before = last.get(key, 0)
            versions.append(version)
            previous.append(before)
            if key in self._disordered:
                self._disordered[key][version] = slot
            elif before and version <= versions[before - 1]:
                self._disorder(key, before)[version] = slot
            if not rises and self._before and (not before or key in self._disordered):
                self.unchecked.add(key)  # may be at or below what came before the segment
            last[key] = slot
        self.position = self._before + slot

    def _add_messages(self, identities: Sequence[tuple[Key | None, int | None]]) -> bool:
        """Add many records without originator at once; False if they are not all that."""
        count = len(identities)
        if identities[0] != _NOBODY or identities.count(_NOBODY) != count:
            return False
        self._extend_without_originator(count)
        return True

    def _extend_without_originator(self, count: int) -> None:
        self._versions.frombytes(bytes(self._versions.itemsize * count))
        self._previous.frombytes(bytes(self._previous.itemsize * count))

    def _add_run(self, identities: Sequence[tuple[Key | None, int | None]], *, rises: bool) -> bool:
        """Add many rising versions of one originator at once; False if they are not that."""
        key = identities[0][0]
        if key is None or key in self._disordered:
            return False
        run = array("q")
        before = self._last.get(key, 0)
        last = self._versions[before - 1] if before else None
        for other, version in identities:
            if other != key or version is None or (last is not None and version <= last):
                return False
            run.append(version)
            last = version
        if not before and not rises and self._before:
            self.unchecked.add(key)
        slot = self.position - self._before
        self._versions.extend(run)
        self._previous.append(before)
        self._previous.extend(range(slot + 1, slot + len(run)))
        self._last[key] = slot + len(run)
        return True

    def _disorder(self, key: Key, last: int) -> dict[int, int]:
        by_version: dict[int, int] = {}
        while last:
            by_version[self._versions[last - 1]] = last
            last = self._previous[last - 1]
        self._disordered[key] = by_version
        return by_version

    def add_postings(self, first_position: int, labels: Sequence[Label]) -> None:
        """Add topics and tags of the records from ``first_position`` on, if those come next."""
        if self.postings is None:
            self.postings = TailPostings(self.base_position)
        self.postings.add(first_position, labels)

    def has_match(self, query: Query, after: int) -> bool:
        """Whether a record above ``after`` matches; those records' postings are gathered."""
        if self.position <= max(after, self._before):
            return False
        postings = self.postings
        assert postings is not None
        assert postings.position >= self.position
        return postings.has_match(query, after)

    # Originators

    def find(self, key: Key, version: int) -> int:
        """Position of the record with this version, 0 when there is none in this segment."""
        last = self._last.get(key, 0)
        if not last:
            return 0
        versions = self._versions
        if version > versions[last - 1] and key not in self._disordered:
            return 0
        if key in self._disordered:
            slot = self._disordered[key].get(version, 0)
            return slot and self._before + slot
        while last and versions[last - 1] > version:
            last = self._previous[last - 1]
        return self._before + last if last and versions[last - 1] == version else 0

    def continues(self, identities: Sequence[tuple[Key | None, int | None]]) -> bool:
        """Whether records only continue one originator's rising versions in this segment.

        By far the most frequent commit; False means nothing but "look closer".
        """
        if not identities:
            return False
        first_key, version = identities[0]
        if first_key is None or version is None or first_key in self._disordered:
            return False
        last = self._last.get(first_key, 0)
        if last and version <= self._versions[last - 1]:
            return False
        if len(identities) == 1:
            return True
        for key, next_version in identities[1:]:
            if key != first_key or next_version is None or next_version <= version:
                return False
            version = next_version
        return True

    def last_version(self, key: Key) -> int | None:
        """Highest version of an originator in this segment, None when it has none."""
        last = self._last.get(key, 0)
        if not last:
            return None
        if key in self._disordered:
            return max(self._disordered[key].copy())
        return self._versions[last - 1]

    def first_version(self, key: Key) -> int | None:
        """Lowest version of an originator in this segment, None when it has none."""
        last = self._last.get(key, 0)
        if not last:
            return None
        if key in self._disordered:
            return min(self._disordered[key].copy())
        while before := self._previous[last - 1]:
            last = before
        return self._versions[last - 1]

    def select(  # noqa: PLR0913 - the library's own arguments
        self,
        key: Key,
        *,
        gt: int | None,
        lte: int | None,
        desc: bool,
        limit: int | None,
        until: int,
    ) -> list[int]:
        """Positions of an originator's records up to position ``until``, sorted by version."""
        last = self._last.get(key, 0)
        found: list[int] = []
        if not last or limit == 0:
            return found
        below = self._before
        until = max(until - below, 0)
        if key in self._disordered:
            return self._select_disordered(key, gt, lte, desc=desc, limit=limit, until=until)
        if limit == 1 and desc and gt is None and lte is None and last <= until:
            return [below + last]  # row "last event of an aggregate"
        versions, previous = self._versions, self._previous
        while last > until:
            last = previous[last - 1]
        if lte is not None:
            while last and versions[last - 1] > lte:
                last = previous[last - 1]
        bound = limit if desc and limit is not None else -1
        if gt is None:
            while last:
                found.append(below + last)
                if len(found) == bound:
                    break
                last = previous[last - 1]
        else:
            while last and versions[last - 1] > gt:
                found.append(below + last)
                if len(found) == bound:
                    break
                last = previous[last - 1]
        if not desc:
            found.reverse()
            if limit is not None:
                del found[limit:]
        return found

    def originator_keys(self) -> list[Key]:
        """The keys of all originators; those of commits that come meanwhile may be among them."""
        return [*self._last.copy()]

    def originators(self, until: int) -> Iterator[tuple[Key, int, int, int]]:
        """Key, number of records, last version and first position of each, up to ``until``."""
        versions, previous = self._versions, self._previous
        visible = max(until - self._before, 0)
        for key, slot in self._last.copy().items():  # the writer may add meanwhile
            last, count, first, highest = slot, 0, 0, None
            while last:
                if last <= visible:
                    count, first, version = count + 1, last, versions[last - 1]
                    highest = version if highest is None else max(highest, version)
                last = previous[last - 1]
            if highest is not None:
                yield key, count, highest, self._before + first

    def version_at(self, position: int) -> int:
        """Version of the record at ``position``; 0 for a record without originator."""
        return self._versions[position - self.base_position]

    def _select_disordered(  # noqa: PLR0913 - as select
        self,
        key: Key,
        gt: int | None,
        lte: int | None,
        *,
        desc: bool,
        limit: int | None,
        until: int,
    ) -> list[int]:
        # dict.copy runs without releasing the interpreter lock; the writer may add meanwhile.
        by_version = self._disordered[key].copy()
        chosen = [
            version
            for version, slot in by_version.items()
            if slot <= until and (gt is None or version > gt) and (lte is None or version <= lte)
        ]
        chosen.sort(reverse=desc)
        return [self._before + by_version[version] for version in chosen[:limit]]

    # Frames

    def frame_place(self, position: int) -> tuple[int, int, int]:
        """Offset, length and first position of the frame that holds ``position``."""
        frame = bisect_right(self._frame_slots, position - self._before) - 1
        return (
            self._frame_offsets[frame] << _ALIGNMENT_BITS,
            self._frame_lengths[frame],
            self._before + self._frame_slots[frame],
        )

    def frame_run(self, position: int, until: int, bytes_max: int) -> tuple[list[int], int, int]:
        """Frames from the one that holds ``position`` on, up to ``bytes_max`` in one piece.

        Returns their offsets (one at least), the length of the piece in bytes, and the first
        position of the first. Frames whose first position is above ``until`` are left out.
        """
        slots, offsets = self._frame_slots, self._frame_offsets
        frame = bisect_right(slots, position - self._before) - 1
        end = bisect_right(slots, until - self._before)
        begin = offsets[frame]
        last_begin = begin + (bytes_max >> _ALIGNMENT_BITS)
        end = max(frame + 1, min(end, bisect_right(offsets, last_begin, frame, end)))
        length = ((offsets[end - 1] - begin) << _ALIGNMENT_BITS) + self._frame_lengths[end - 1]
        found = [offset << _ALIGNMENT_BITS for offset in offsets[frame:end]]
        return found, length, self._before + slots[frame]
