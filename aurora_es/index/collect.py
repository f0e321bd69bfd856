"""Collects the postings of a segment's records, batch by batch while it is walked.

Theory of operation: what is to be indexed is gathered in lists and turned into columns some
thousand records at a time, by loops that run in C: ``map`` over a dictionary that computes the key
of an id the first time it is asked for it. So an id is hashed once, and memory is bounded by the
records of the segment, some tens of bytes for each posting, and by its different ids.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from aurora_es.index.keys import key_hasher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aurora_es.format.payload import RecordData
    from aurora_es.format.run import Columns

_BATCH_RECORDS = 1 << 12
COMMON_SHARE = 64  # a topic of more than one in 64 records is found as fast by scanning


class _Keys(dict[bytes | str, int]):
    """Keys of the ids seen so far."""

    def __init__(self, hashed: Callable[[bytes | str], int]) -> None:
        super().__init__()
        self._hashed = hashed

    def __missing__(self, value: bytes | str) -> int:
        key = self[value] = self._hashed(value)
        return key


class _Numbers(dict[str, int]):
    """Numbers for topics, in the order in which they are first seen."""

    def __missing__(self, topic: str) -> int:
        number = self[topic] = len(self)
        return number


class PostingCollector:
    """Postings, topics and commons of the records of one segment."""

    def __init__(self, genesis_id: bytes, base_position: int) -> None:
        """Start with the record at ``base_position``."""
        self.batch_records = _BATCH_RECORDS
        self.base_position = base_position
        self._position = base_position  # of the next record to be turned into columns
        self._pending: list[RecordData] = []
        self._topic_hasher = key_hasher(genesis_id, "topic")
        self._event_hasher = key_hasher(genesis_id, "event id")
        self._originators = _Keys(key_hasher(genesis_id, "originator"))
        self._tags = _Keys(key_hasher(genesis_id, "tag"))
        self._topics = _Numbers()
        self._topic_of = array("I")  # number of each record's topic
        # How many records there are before a hole, and how many positions that is long.
        self._holes: list[tuple[int, int]] = []
        self._originator_keys, self._originator_positions = array("Q"), array("Q")
        self._versions = array("q")
        self._keys, self._positions = array("Q"), array("Q")  # of tags and event ids

    def add(self, first_position: int, records: Sequence[RecordData]) -> None:
        """Add the records from ``first_position`` on; what lies before, since the last, is lost."""
        lost = first_position - (self._position + len(self._pending))
        if lost:
            assert lost > 0
            self._flush()
            self._position = first_position
            self._holes.append((len(self._topic_of), lost))
        self._pending += records
        if len(self._pending) >= self.batch_records:
            self._flush()

    @property
    def last_position(self) -> int:
        """Position of the last record added; base position - 1 if there is none."""
        return self._position + len(self._pending) - 1

    def topics(self) -> dict[str, int]:
        """Return each topic and its number of records."""
        self._flush()
        counts = np.bincount(self._topic_numbers(), minlength=len(self._topics))
        return dict(zip(self._topics, counts.tolist(), strict=True))

    @property
    def has_repetitions(self) -> bool:
        """Whether an entry may be there twice, as when a record has a tag twice."""
        return len(self._keys) > 0

    def commons(self) -> list[tuple[int, int, int]]:
        """Topics that are too frequent for postings: key, first and last position of the segment."""
        first, last = self.base_position, self.last_position
        return [
            (self._topic_hasher(topic), first, last)
            for topic, count in self.topics().items()
            if self._is_common(count)
        ]

    def postings(self) -> Columns:
        """Keys, ordinals and positions of everything added, unsorted."""
        counts = self.topics()
        numbers = self._topic_numbers()
        is_rare = np.array([not self._is_common(count) for count in counts.values()], bool)
        topic_keys = np.array([self._topic_hasher(topic) for topic in counts], np.uint64)
        rare = is_rare[numbers].nonzero()[0]
        keys = np.concatenate(
            (_column(self._originator_keys), topic_keys[numbers[rare]], _column(self._keys))
        )
        ordinals = np.zeros(len(keys), np.int64)
        ordinals[: len(self._versions)] = np.frombuffer(self._versions, np.int64)
        rare_positions = rare.astype(np.uint64) + np.uint64(self.base_position)
        for count, lost in self._holes:
            rare_positions[rare >= count] += np.uint64(lost)
        positions = np.concatenate(
            (
                _column(self._originator_positions),
                rare_positions,
                _column(self._positions),
            )
        )
        return keys, ordinals, positions

    def _is_common(self, count: int) -> bool:
        return count * COMMON_SHARE > len(self._topic_of)

    def _topic_numbers(self) -> np.typing.NDArray[np.intp]:
        return np.frombuffer(self._topic_of, np.uint32).astype(np.intp)

    def _flush(self) -> None:
        records, self._pending = self._pending, []
        first = self._position
        self._position = end = first + len(records)
        self._topic_of.extend(map(self._topics.__getitem__, [record.topic for record in records]))
        self._flush_originators(records, first, end)
        tagged = [(record.tags, at) for at, record in enumerate(records, first) if record.tags]
        for tags, position in tagged:
            self._keys.extend(map(self._tags.__getitem__, tags))
            self._positions.extend([position] * len(tags))
        identified = [
            (record.event_uuid, at)
            for at, record in enumerate(records, first)
            if record.event_uuid is not None
        ]
        if identified:  # each of them is new, so no dictionary
            event_ids, positions = zip(*identified, strict=True)
            self._keys.extend(map(self._event_hasher, event_ids))
            self._positions.extend(positions)

    def _flush_originators(self, records: list[RecordData], first: int, end: int) -> None:
        ids = [record.originator_id for record in records]
        versions = [record.originator_version for record in records]
        positions: Sequence[int] = range(first, end)
        if None in versions or None in ids:  # messages: no originator, so no posting
            owned = [
                (key, version, position)
                for key, version, position in zip(ids, versions, positions, strict=True)
                if key is not None and version is not None
            ]
            ids = [key for key, _, _ in owned]
            versions = [version for _, version, _ in owned]
            positions = [position for _, _, position in owned]
        self._originator_keys.extend(map(self._originators.__getitem__, ids))
        self._versions.extend(version for version in versions if version is not None)
        self._originator_positions.extend(positions)


def _column(values: array[int]) -> np.typing.NDArray[np.uint64]:
    return np.frombuffer(values, np.uint64)
