"""The index of a whole journal: the tail, sealed segments without a run yet, and index runs.

Theory of operation: the newest segments have an index in memory each, all older ones are covered by
index runs. An originator's records may lie in any of them. While its versions only rise, which is
nearly always, the newest hit is its last event, and a version above it is free. Whether a segment's
records of an originator rise above all its earlier ones is known of own appends, which were checked
under the lock; of records found while catching up it is looked up when somebody asks, and noted.

Who may write: the holder of the handle's ``index_lock``, but for what the sets of a tail index note.
Readers take no lock: they take ``parts`` once, and look at nothing above the position they hold.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from aurora_es.index.tail import TailIndex
from aurora_es.journal.holes import NO_HOLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.format.payload import TrackingData
    from aurora_es.index.tail import Key
    from aurora_es.journal.holes import Holes
    from aurora_es.journal.sealed_index import Entries, SealedIndex

_BEFORE_MAX = 1 << 14  # looked-up versions that a tail index remembers


# Positions of an originator's records, and whether they are candidates: some come from an index run,
# which may hold those of another id too.
Selection = tuple[list[int], bool]


class JournalIndex:
    """Index over all records up to ``position``."""

    __slots__ = ("parts", "position", "tail", "tracking")

    def __init__(self, sealed: SealedIndex | None = None) -> None:
        """Start with what ``sealed`` lists, and nothing behind it."""
        self.tracking: dict[str, TrackingData] = {}
        # Replaced whole: what is sealed, and one index for each later segment, oldest first.
        self.parts: tuple[SealedIndex | None, tuple[TailIndex, ...]] = (sealed, ())
        self.position = 0 if sealed is None else sealed.last_position
        self.tail = TailIndex(0, self.position + 1)  # until the first segment begins

    @property
    def sealed(self) -> SealedIndex | None:
        """What the manifest lists."""
        return self.parts[0]

    @property
    def holes(self) -> Holes:
        """The positions that are lost."""
        sealed = self.parts[0]
        return NO_HOLES if sealed is None else sealed.segments.holes

    @property
    def originator_count(self) -> int | None:
        """Number of originators; None where only reading all of them could tell."""
        sealed, tails = self.parts
        if len(tails) > 1 or (sealed is not None and sealed.runs):
            return None
        return self.tail.originator_count

    @property
    def memory_bytes(self) -> int:
        """Bytes taken per record and frame in memory, without the dictionaries."""
        return sum(tail.memory_bytes for tail in self.parts[1])

    # Growing

    def begin_segment(self, segment_number: int, base_position: int) -> bool:
        """Say that the commits added from here on are in this segment; whether it is a new one."""
        if segment_number <= self.tail.segment_number:
            return False
        sealed, tails = self.parts
        self.tail = TailIndex(segment_number, base_position)
        self.parts = (sealed, (*tails, self.tail))
        return True

    def take_sealed(self, sealed: SealedIndex) -> None:
        """Drop the indexes of segments that ``sealed`` lists with a run."""
        tails = self.parts[1]
        kept = tuple(tail for tail in tails if tail.segment_number > sealed.last_segment)
        self.parts = (sealed, kept)

    def add_commit(
        self,
        identities: Sequence[tuple[Key | None, int | None]],
        frames: Sequence[tuple[int, int, int]],
        tracking: TrackingData | None,
        base_offset: int = 0,
        *,
        rises: bool = False,
    ) -> None:
        """Add one commit to the tail; see ``TailIndex.add_commit``."""
        tail = self.tail
        tail.add_commit(identities, frames, base_offset, rises=rises)
        if tracking is not None:
            self.tracking[tracking.application_name] = tracking
        self.position = tail.position

    def add_messages(self, offsets: Sequence[int], lengths: Sequence[int]) -> None:
        """Add commits of one message each to the tail; see ``TailIndex.add_messages``."""
        tail = self.tail
        tail.add_messages(offsets, lengths)
        self.position = tail.position

    # Conflicts

    def continues(self, identities: Sequence[tuple[Key | None, int | None]]) -> bool:
        """Whether records only continue one originator's rising versions: then all are free.

        By far the most frequent commit; False means nothing but "look closer".
        """
        tail = self.tail
        if not tail.continues(identities):
            return False
        if tail.base_position == 1:
            return True
        key, version = identities[0]
        assert key is not None
        assert version is not None
        if key in tail:
            return self._rises(tail, key)
        before = self.version_before(key)
        return before is None or before < version

    def find(self, key: Key, version: int) -> int:
        """Position of the record with this version, 0 when there is none.

        For a version that was dropped the last position that was.
        """
        sealed, tails = self.parts
        tail = self.tail
        last = tail.last_version(key) if key in tail else self.version_before(key)
        if last is None or (version > last and (key not in tail or self._rises(tail, key))):
            return 0  # nearly always: it continues what there is
        for tail in reversed(tails):
            position = tail.find(key, version)
            if position:
                return position
        if sealed is None:
            return 0
        position = sealed.find(key, version)
        if position or sealed.retained_from == 1:
            return position
        # Below the lowest version that is left: it was dropped, as a rule, and is not free.
        lowest = self.first_version(key)
        return sealed.retained_from - 1 if lowest is not None and version < lowest else 0

    def look_ahead(self, identities: Sequence[tuple[Key | None, int | None]]) -> None:
        """Look up, before a lock is taken, what ``continues`` will ask about the sealed part."""
        if identities:
            key = identities[0][0]
            if key is not None and key not in self.tail:
                self.version_before(key)

    def version_before(self, key: Key) -> int | None:
        """Highest version that an originator may have before the tail, None if it has none."""
        tail = self.tail
        remembered = tail.before
        if key in remembered:
            return remembered[key]
        found = self._highest_before(tail, key)
        if len(remembered) >= _BEFORE_MAX:
            remembered.clear()
        remembered[key] = found
        return found

    def _highest_before(self, behind: TailIndex, key: Key) -> int | None:
        sealed, tails = self.parts
        highest: int | None = None
        for tail in reversed(tails):
            if tail.segment_number >= behind.segment_number:
                continue
            last = tail.last_version(key)
            if last is not None:
                highest = last if highest is None else max(highest, last)
                if self._rises(tail, key):
                    return highest
        last = None if sealed is None else sealed.last_version(key)
        if last is None or highest is None:
            return highest if last is None else last
        return max(highest, last)

    def _rises(self, tail: TailIndex, key: Key) -> bool:
        """Whether the originator's versions in ``tail`` are above all its earlier ones."""
        if key in tail.scattered:
            return False
        if key in tail.unchecked:
            before, first = self._highest_before(tail, key), tail.first_version(key)
            if before is not None and first is not None and before >= first:
                tail.scattered.add(key)
            tail.unchecked.discard(key)
            return key not in tail.scattered
        return True

    # Originators

    def last_version(self, key: Key) -> int | None:
        """Highest version of an originator, None when it has none."""
        positions, _ = self.select(key, gt=None, lte=None, desc=True, limit=1, until=self.position)
        return self._version_at(key, positions[0]) if positions else None

    def first_version(self, key: Key) -> int | None:
        """Lowest version that an originator may have, None when it has none."""
        sealed, tails = self.parts
        found = [tail.first_version(key) for tail in tails]
        found.append(None if sealed is None else sealed.first_version(key))
        return min((version for version in found if version is not None), default=None)

    def _version_at(self, key: Key, position: int) -> int | None:
        sealed, tails = self.parts
        for tail in tails:
            if tail.base_position <= position <= tail.position:
                return tail.version_at(position)
        return None if sealed is None else sealed.last_version(key)

    def select(  # noqa: PLR0913 - the library's own arguments
        self,
        key: Key,
        *,
        gt: int | None,
        lte: int | None,
        desc: bool,
        limit: int | None,
        until: int,
    ) -> Selection:
        """Positions of an originator's records up to position ``until``, sorted by version."""
        tail = self.tail
        if tail.base_position == 1 or (
            limit == 1
            and desc
            and gt is None
            and lte is None
            and key in tail
            and self._rises(tail, key)
        ):
            found = tail.select(key, gt=gt, lte=lte, desc=desc, limit=limit, until=until)
            if found or tail.base_position == 1:
                return found, False
        elif limit == 1 and desc and gt is None and lte is None:
            newest = self._newest_sealed(key, until)
            if newest is not None:
                return newest
        return self._select_everywhere(key, gt, lte, desc=desc, limit=limit, until=until)

    def _newest_sealed(self, key: Key, until: int) -> Selection | None:
        """The last event of an originator that is in the sealed part only, None if unsure."""
        sealed, tails = self.parts
        if sealed is None or until < sealed.last_position or any(key in tail for tail in tails):
            return None
        found = sealed.newest(key)
        if found is None:
            return [], False
        return ([found[1]], True) if found[2] else None

    def _select_everywhere(  # noqa: PLR0913 - as select
        self,
        key: Key,
        gt: int | None,
        lte: int | None,
        *,
        desc: bool,
        limit: int | None,
        until: int,
    ) -> Selection:
        newest_first: list[Entries] = []
        count, are_candidates, all_rise = 0, False, True
        for entries, rises, is_candidate in self._parts_of(
            key, gt, lte, desc=desc, limit=limit, until=until
        ):
            if not entries:
                continue
            newest_first.append(entries)
            count += len(entries)
            are_candidates = are_candidates or is_candidate
            all_rise = all_rise and rises
            if rises and (
                (desc and all_rise and limit is not None and count >= limit)
                or (gt is not None and min(entries[0][0], entries[-1][0]) == gt + 1)
            ):
                break  # whatever is older has lower versions
        if not desc:
            newest_first.reverse()
        merged = [entry for part in newest_first for entry in part]
        if len(newest_first) > 1 and any(
            (left > right) is not desc for left, right in pairwise(merged)
        ):
            merged.sort(reverse=desc)
        return [position for _, position in merged[:limit]], are_candidates

    def _parts_of(  # noqa: PLR0913 - as select
        self,
        key: Key,
        gt: int | None,
        lte: int | None,
        *,
        desc: bool,
        limit: int | None,
        until: int,
    ) -> Iterator[tuple[Entries, bool, bool]]:
        """Versions and positions, newest part first: with "rises", and "from a run"."""
        sealed, tails = self.parts
        for tail in reversed(tails):
            if key not in tail:
                continue
            positions = tail.select(key, gt=gt, lte=lte, desc=desc, limit=limit, until=until)
            entries = [(tail.version_at(position), position) for position in positions]
            yield entries, self._rises(tail, key), False
        if sealed is None:
            return
        for entries, rises in sealed.entries(
            key, gt=gt, lte=lte, desc=desc, limit=limit, until=until
        ):
            yield entries, rises, True

    # Frames

    def segment_end(self, position: int) -> int | None:
        """Last position of the segment that holds ``position``; None while that is the tail."""
        sealed, tails = self.parts
        if sealed is not None and position <= sealed.last_position:
            return sealed.segments.listed_at(position).last_position
        for later in tails:
            if position < later.base_position:
                return later.base_position - 1
        return None

    def tail_of(self, position: int) -> TailIndex | None:
        """The index in memory that holds ``position``, None if that is in the sealed part."""
        for tail in reversed(self.parts[1]):
            if position >= tail.base_position:
                return tail
        return None
