"""The tail index: where each record is, and which records each originator has.

Theory of operation: per record one version (``array('q')``) and the position of the previous record
of the same originator (``array('Q')``); per frame its first position, offset and length; per
originator one dictionary entry with its last position. While an originator's versions only rise,
its records form a chain of falling versions, and "is this version taken" is nearly always answered
by the last one. An originator whose versions ever came out of order moves to a dictionary of its
own. In this version the index covers every segment of the journal.

Who may write: the holder of the handle's ``index_lock``. Readers take no lock: a commit's entries
are complete before ``position`` is raised, and readers ignore whatever lies above the ``position``
they read first. So a commit is seen whole or not at all.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.format.payload import TrackingData

Key = bytes | str


class TailIndex:
    """Index over records 1 to ``position``."""

    __slots__ = (
        "_base_positions",
        "_disordered",
        "_frame_lengths",
        "_frame_offsets",
        "_frame_positions",
        "_last",
        "_previous",
        "_segment_frames",
        "_segment_numbers",
        "_versions",
        "position",
        "tracking",
    )

    def __init__(self) -> None:
        """Start empty."""
        self.position = 0
        self.tracking: dict[str, TrackingData] = {}
        self._versions = array("q")
        self._previous = array("Q")
        self._last: dict[Key, int] = {}
        self._disordered: dict[Key, dict[int, int]] = {}
        self._frame_positions = array("Q")
        self._frame_offsets = array("Q")
        self._frame_lengths = array("I")
        self._segment_numbers: list[int] = []
        self._base_positions: dict[int, int] = {}
        self._segment_frames: list[int] = []  # index of each segment's first frame

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
            self._frame_positions,
            self._frame_offsets,
            self._frame_lengths,
        )
        return sum(column.itemsize * len(column) for column in arrays)

    # Growing

    def begin_segment(self, segment_number: int) -> None:
        """Say that the frames added from here on are in this segment."""
        if not self._segment_numbers or self._segment_numbers[-1] != segment_number:
            self._base_positions.setdefault(segment_number, self.position + 1)
            self._segment_frames.append(len(self._frame_positions))
            self._segment_numbers.append(segment_number)

    def add_commit(
        self,
        identities: Sequence[tuple[Key | None, int | None]],
        frames: Sequence[tuple[int, int, int]],
        tracking: TrackingData | None,
        base_offset: int = 0,
    ) -> None:
        """Add one commit: (key, version) per record, (offset, length, records) per frame.

        ``base_offset`` is added to every offset.
        """
        position = self.position
        if len(identities) == 1 == len(frames) and tracking is None:
            offset, length, _ = frames[0]
            if self._add_one(identities[0], base_offset + offset, length):
                return
        for offset, length, count in frames:
            if count:
                self._frame_positions.append(position + 1)
                self._frame_offsets.append(base_offset + offset)
                self._frame_lengths.append(length)
                position += count
        position = self.position
        last, versions, previous = self._last, self._versions, self._previous
        if len(identities) > 1 and self._add_run(identities):
            if tracking is not None:
                self.tracking[tracking.application_name] = tracking
            self.position = position + len(identities)
            return
        for key, version in identities:
            position += 1
            if key is None or version is None:
                versions.append(0)
                previous.append(0)
                continue
            before = last.get(key, 0)
            versions.append(version)
            previous.append(before)
            if key in self._disordered:
                self._disordered[key][version] = position
            elif before and version <= versions[before - 1]:
                self._disorder(key, before)[version] = position
            last[key] = position
        if tracking is not None:
            self.tracking[tracking.application_name] = tracking
        self.position = position

    def _add_one(self, identity: tuple[Key | None, int | None], offset: int, length: int) -> bool:
        """Add the next version of one originator, the most frequent commit; False if it isn't."""
        key, version = identity
        if key is None or version is None or key in self._disordered:
            return False
        before = self._last.get(key, 0)
        if before and version <= self._versions[before - 1]:
            return False
        position = self.position + 1
        self._frame_positions.append(position)
        self._frame_offsets.append(offset)
        self._frame_lengths.append(length)
        self._versions.append(version)
        self._previous.append(before)
        self._last[key] = position
        self.position = position
        return True

    def _add_run(self, identities: Sequence[tuple[Key | None, int | None]]) -> bool:
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
        position = self.position
        self._versions.extend(run)
        self._previous.append(before)
        self._previous.extend(range(position + 1, position + len(run)))
        self._last[key] = position + len(run)
        return True

    def _disorder(self, key: Key, last: int) -> dict[int, int]:
        by_version: dict[int, int] = {}
        while last:
            by_version[self._versions[last - 1]] = last
            last = self._previous[last - 1]
        self._disordered[key] = by_version
        return by_version

    # Originators

    def find(self, key: Key, version: int) -> int:
        """Position of the record with this version, 0 when there is none."""
        last = self._last.get(key, 0)
        if not last:
            return 0
        versions = self._versions
        if version > versions[last - 1] and key not in self._disordered:
            return 0
        if key in self._disordered:
            return self._disordered[key].get(version, 0)
        while last and versions[last - 1] > version:
            last = self._previous[last - 1]
        return last if last and versions[last - 1] == version else 0

    def continues(self, identities: Sequence[tuple[Key | None, int | None]]) -> bool:
        """Whether records only continue one originator's rising versions: then all are free.

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

    def last_position(self, key: Key) -> int:
        """Position of an originator's newest record, 0 when it has none."""
        return self._last.get(key, 0)

    def last_version(self, key: Key) -> int | None:
        """Highest version of an originator, None when it has none."""
        last = self._last.get(key, 0)
        if not last:
            return None
        if key in self._disordered:
            return max(self._disordered[key])
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
        if key in self._disordered:
            return self._select_disordered(key, gt, lte, desc=desc, limit=limit, until=until)
        if limit == 1 and desc and gt is None and lte is None and last <= until:
            return [last]  # row "last event of an aggregate"
        versions, previous = self._versions, self._previous
        while last > until:
            last = previous[last - 1]
        if lte is not None:
            while last and versions[last - 1] > lte:
                last = previous[last - 1]
        bound = limit if desc and limit is not None else -1
        if gt is None:
            while last:
                found.append(last)
                if len(found) == bound:
                    break
                last = previous[last - 1]
        else:
            while last and versions[last - 1] > gt:
                found.append(last)
                if len(found) == bound:
                    break
                last = previous[last - 1]
        if not desc:
            found.reverse()
            if limit is not None:
                del found[limit:]
        return found

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
            for version, position in by_version.items()
            if position <= until
            and (gt is None or version > gt)
            and (lte is None or version <= lte)
        ]
        chosen.sort(reverse=desc)
        return [by_version[version] for version in chosen[:limit]]

    # Frames

    def frame_of(self, position: int) -> int:
        """Number (from 0) of the frame that holds ``position``."""
        return bisect_right(self._frame_positions, position) - 1

    def frame_place(self, frame: int) -> tuple[int, int, int, int]:
        """Segment number, offset, length and first position of a frame."""
        starts = self._segment_frames
        at = -1 if frame >= starts[-1] else bisect_right(starts, frame) - 1
        return (
            self._segment_numbers[at],
            self._frame_offsets[frame],
            self._frame_lengths[frame],
            self._frame_positions[frame],
        )

    def base_position(self, segment_number: int) -> int:
        """Position of the first record of a segment that has frames here."""
        return self._base_positions[segment_number]

    def frame_run(self, frame: int, until: int, bytes_max: int) -> tuple[int, int, list[int]]:
        """Frames from ``frame`` on that lie in one piece of one segment, up to ``bytes_max``.

        Returns the segment number, the length in bytes of the piece (one frame at least), and the
        offsets of its frames. Frames whose first position is above ``until`` are left out.
        """
        starts = self._segment_frames
        at = bisect_right(starts, frame) - 1
        segment_end = starts[at + 1] if at + 1 < len(starts) else len(self._frame_positions)
        end = min(bisect_right(self._frame_positions, until), segment_end)
        offsets = self._frame_offsets
        begin = offsets[frame]
        end = max(frame + 1, min(end, bisect_right(offsets, begin + bytes_max, frame, end)))
        length = offsets[end - 1] + self._frame_lengths[end - 1] - begin
        return self._segment_numbers[at], length, offsets[frame:end].tolist()
