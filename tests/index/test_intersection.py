"""Queries over an index run and over postings in memory, against the records themselves."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.format.payload import RecordData
from aurora_es.index import intersection
from aurora_es.index.build import build_run
from aurora_es.index.collect import PostingCollector
from aurora_es.index.keys import key_hasher
from aurora_es.index.postings import TailPostings
from aurora_es.index.query import Query, QueryItem, query_of_topics
from aurora_es.index.run import Run
from aurora_es.index.run_writer import Coverage, publish_run
from tests.index.runs import DIGEST, GENESIS_ID, PATH, imagined_effects, open_run

BASE = 1001
TOPICS = ["often", "seldom", "rare", "absent"]
TAGS = ["a", "b", "c", "d", "nowhere"]
HASHERS = key_hasher(GENESIS_ID, "topic"), key_hasher(GENESIS_ID, "tag")

items = st.builds(
    QueryItem,
    st.frozensets(st.sampled_from(TOPICS), max_size=2),
    st.frozensets(st.sampled_from(TAGS), max_size=3),
)
queries = st.lists(items, min_size=1, max_size=3).map(Query)


def draw_records(seed: int, count: int) -> list[RecordData]:
    """Records of which some topics and tags are much more frequent than others."""
    rng = random.Random(seed)
    drawn = []
    for _ in range(count):
        topic = rng.choices(TOPICS[:3], (200, 20, 1))[0]
        tags = [
            tag
            for tag, chance in zip(TAGS, (0.9, 0.4, 0.05, 0.01, 0), strict=True)
            if rng.random() < chance
        ]
        drawn.append(RecordData(None, None, topic, b"", tuple(tags)))
    return drawn


def run_of(records: list[RecordData], split: int = 0) -> Run:
    """An index run of the records, in two segments, of which the first has ``split`` records."""
    effects, files = imagined_effects()
    parts = []
    for base, segment in ((BASE, records[:split]), (BASE + split, records[split:])):
        if segment:
            collector = PostingCollector(GENESIS_ID, base)
            collector.add(base, segment)
            parts.append(collector)
    columns = [part.postings() for part in parts]
    coverage = Coverage(GENESIS_ID, 0, 1, 1, BASE, BASE + len(records) - 1, DIGEST)
    build_run(
        effects,
        PATH,
        coverage,
        postings=(
            np.concatenate([column[0] for column in columns]),
            np.concatenate([column[1] for column in columns]),
            np.concatenate([column[2] for column in columns]),
        ),
        topics=None,
        commons=[common for part in parts for common in part.commons()],
    )
    publish_run(files, PATH)
    return open_run(files)


def matches(records: list[RecordData], query: Query, start: int, until: int) -> list[int]:
    """Positions that match from ``start`` to ``until``."""
    return [
        position
        for position, record in enumerate(records, BASE)
        if start <= position <= until and query.matches(record.topic, record.tags)
    ]


@given(
    st.integers(0, 9),
    st.sampled_from([1, 60, 1500]),
    queries.filter(lambda query: not query.matches_all),
    st.sampled_from([1, 5, 64, 5000]),
    st.integers(0, 1500),
    st.sampled_from([(0, 0), (3, 2), (256, 256)]),
    st.sampled_from([0, 100, 1000]),
)
def test_a_run_leaves_out_no_match(  # noqa: PLR0913, PLR0917 - drawn by Hypothesis
    seed: int,
    count: int,
    query: Query,
    limit: int,
    skipped: int,
    bounds: tuple[int, int],
    split: int,
) -> None:
    """Step by step, each match is among the candidates, which rise and lie where they say."""
    records = draw_records(seed, count)
    # Topics of the first part are others, so that those of the second are frequent only there.
    records[:split] = [
        RecordData(None, None, "rare" if at % 9 == 0 else "x" + each.topic, b"", each.tags)
        for at, each in enumerate(records[:split])
    ]
    run = run_of(records, split)
    start, last = BASE + min(skipped, count - 1), BASE + count - 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intersection, "_LISTS_MAX", bounds[0])
        patch.setattr(intersection, "_WORTH", bounds[1])
        while start <= last:
            found, told = intersection.candidates(run, query, HASHERS, start, last, limit)
            assert start <= told <= last
            if found is not None:
                assert found == sorted({*found})
                assert all(start <= position <= told for position in found)
                assert {*matches(records, query, start, told)} <= {*found}
            else:
                assert any(not item.tags for item in query.items)
            start = told + 1


@given(st.integers(0, 9), st.sampled_from([0, 1, 300]), queries, st.integers(1, 400))
def test_memory_knows_the_matches(seed: int, count: int, query: Query, limit: int) -> None:
    """Step by step, postings in memory name the matches and nothing else."""
    records = draw_records(seed, count)
    postings = TailPostings(BASE)
    for at in range(0, count, 7):
        postings.add(BASE + at, [(each.topic, each.tags) for each in records[at : at + 7]])
    start, last = BASE, BASE + count - 1
    assert postings.position == last
    for after in (0, BASE + count // 2, last):
        assert postings.has_match(query, after) == bool(matches(records, query, after + 1, last))
    while start <= last:
        found, told = postings.positions(query, start, last, limit)
        assert start <= told <= last
        if not query.matches_all:
            assert len(found) <= limit * len(query.items)
        assert found == matches(records, query, start, told)
        start = told + 1


def test_two_rare_tags_are_intersected() -> None:
    """Of two tags only the records that have both are candidates."""
    tags: list[tuple[str, ...]] = [("even",) if at % 2 == 0 else ("odd",) for at in range(1000)]
    tags[500] = ("even", "odd")
    run = run_of([RecordData(None, None, "t", b"", each) for each in tags])
    query = Query([QueryItem(tags=frozenset({"even", "odd"}))])
    found = intersection.candidates(run, query, HASHERS, BASE, BASE + 999, 1 << 14)
    assert found == ([BASE + 500], BASE + 999)


def test_queries_keep_what_makes_a_difference() -> None:
    """An item that asks for nothing matches all; topics alone are known as such."""
    assert Query().matches_all
    assert Query([QueryItem(tags=frozenset("a")), QueryItem()]).matches_all
    assert query_of_topics([]).matches_all
    assert query_of_topics("ab").topics == frozenset("ab")
    assert Query([QueryItem(tags=frozenset("a"))]).topics is None
    assert len(Query([QueryItem(tags=frozenset("a"))] * 2).items) == 1
