"""Postings collected from records against what the records say one by one."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from aurora_es.format.payload import RecordData
from aurora_es.index.build import sorted_postings
from aurora_es.index.collect import COMMON_SHARE, PostingCollector
from aurora_es.index.keys import key64
from tests.index.runs import GENESIS_ID, columns_of

UUID_BYTES = bytes(range(16))
records = st.builds(
    RecordData,
    originator_id=st.sampled_from([None, "a", "ä", UUID_BYTES, str(UUID(bytes=UUID_BYTES))]),
    originator_version=st.none() | st.integers(-3, 5) | st.just(-(1 << 63)),
    topic=st.sampled_from(["often"] * 40 + [f"seldom {number}" for number in range(200)]),
    state=st.just(b""),
    tags=st.lists(st.sampled_from(["x", "y", "often"]), max_size=3).map(tuple),
    event_uuid=st.none() | st.binary(min_size=16, max_size=16),
)


def expected_of(base: int, added: list[RecordData]) -> list[tuple[int, int, int]]:
    """List the postings that the records have to get, topics first."""
    postings = []
    topics = [record.topic for record in added]
    for position, record in enumerate(added, start=base):
        if topics.count(record.topic) * COMMON_SHARE <= len(added):
            postings.append((key64(GENESIS_ID, "topic", record.topic), 0, position))
        if record.originator_id is not None and record.originator_version is not None:
            key = key64(GENESIS_ID, "originator", record.originator_id)
            postings.append((key, record.originator_version, position))
        postings += [(key64(GENESIS_ID, "tag", tag), 0, position) for tag in record.tags]
        if record.event_uuid is not None:
            postings.append((key64(GENESIS_ID, "event id", record.event_uuid), 0, position))
    return postings


@given(st.lists(st.lists(records, max_size=30), max_size=20), st.sampled_from([1, 7, 1 << 12]))
def test_postings_topics_and_commons(batches: list[list[RecordData]], batch_records: int) -> None:
    """However records are batched, each gets its postings; frequent topics become common."""
    base = 1001
    collector = PostingCollector(GENESIS_ID, base)
    collector.batch_records = batch_records
    added: list[RecordData] = []
    for batch in batches:
        collector.add(base + len(added), batch)
        added += batch
        assert collector.last_position == base + len(added) - 1
    expected = sorted(set(expected_of(base, added)))
    keys, ordinals, positions = sorted_postings(collector.postings())
    found = zip(keys.tolist(), ordinals.tolist(), positions.tolist(), strict=True)
    assert list(found) == expected
    topics = [record.topic for record in added]
    assert collector.topics() == {topic: topics.count(topic) for topic in set(topics)}
    commons = {topic for topic in topics if topics.count(topic) * COMMON_SHARE > len(added)}
    assert {key for key, _, _ in collector.commons()} == {
        key64(GENESIS_ID, "topic", topic) for topic in commons
    }
    for _, first, last in collector.commons():
        assert (first, last) == (base, base + len(added) - 1)


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=60))
def test_sorting(entries: list[tuple[int, int, int]]) -> None:
    """Entries in any order are sorted by all three columns, and repetitions go."""
    columns = sorted_postings(columns_of(entries))
    found = zip(*(column.tolist() for column in columns), strict=True)
    assert list(found) == sorted(set(entries))
