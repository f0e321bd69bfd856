"""What a topic filter reads, and what it remembers."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from aurora_es import CorruptionError, Journal, Record, RollCycle, Sync
from aurora_es.index.postings import TailPostings
from aurora_es.index.query import query_of_topics
from aurora_es.journal import filtering, sealed_index
from aurora_es.journal.background import cool, merge, seal
from aurora_es.journal.generation import renew_manifest
from tests.journal.support import ScriptedFiles, effects_with, open_with, run_threads

COUNT = 3_000
RARE = {700, 701, 2_100, 2_950}  # positions
EACH = 1_000  # events of a segment


def topic_at(position: int) -> str:
    """Topic of the record at a position of ``rare_journal``."""
    return "rare" if position in RARE else "often"


def fill(path: Path, count: int = COUNT, commit: int = 1) -> None:
    """Append records of a frequent topic with a rare one in between."""
    cycle = RollCycle.events(EACH)
    with open_with(path, sync=Sync.NEVER, roll_cycle=cycle) as journal:
        for first in range(1, count + 1, commit):
            journal.append(
                [
                    Record(topic=topic_at(position), state=b"%d" % position)
                    for position in range(first, first + commit)
                ]
            )


def positions(journal: Journal, *topics: str, **arguments: Any) -> list[int]:
    """Read the positions of records of some topics."""
    return [stored.position for stored in journal.read(topics=topics, **arguments)]


@pytest.mark.parametrize("commit", [1, 100])
@pytest.mark.parametrize("state", ["raw", "cooled"])
def test_what_is_not_returned_is_not_read(tmp_path: Path, commit: int, state: str) -> None:
    """A rare topic in sealed segments costs a look at the index and a frame for each record."""
    fill(tmp_path, commit=commit)
    seal(str(tmp_path))
    if state == "cooled":
        cool(str(tmp_path))
    files = ScriptedFiles()
    with open_with(tmp_path, effects_with(files), read_only=True) as journal:
        sealed = journal.handle.sealed
        assert sealed is not None
        assert positions(journal, "rare") == sorted(RARE)  # opens what there is to open
        files.calls.clear()
        found = positions(journal, "rare", stop=sealed.last_position)
        assert found == [position for position in sorted(RARE) if position <= 2 * EACH]
        # For each of two runs: a block; for each record: a block of the table, and its frame.
        assert len([name for name, _ in files.calls if name == "pread"]) <= 2 + 2 * len(found) + 1
        files.calls.clear()
        assert positions(journal, "unknown", stop=sealed.last_position) == []
        assert len([name for name, _ in files.calls if name == "pread"]) <= 3


def test_hits_of_another_topic_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Topics of which all have the same key in an index run are told apart by their records."""
    monkeypatch.setattr(
        sealed_index,
        "key_hasher",
        lambda _, kind: (lambda _: 1 << 62) if kind == "topic" else hash,
    )
    monkeypatch.setattr("aurora_es.index.collect.key_hasher", lambda *_: lambda _: 1 << 62)
    names = ["one", "two", "often"]
    with open_with(tmp_path, sync=Sync.NEVER, roll_cycle=RollCycle.events(300)) as journal:
        topics = [names[at % 150] if at % 150 < 2 else f"t{at % 150}" for at in range(900)]
        journal.append([Record(topic=topic, state=b"") for topic in topics[:450]])
        journal.append([Record(topic=topic, state=b"") for topic in topics[450:]])
        journal.append([Record(topic="last", state=b"")])
        seal(str(tmp_path))
        renew_manifest(journal.handle)
        for name in names:
            expected = [at for at, topic in enumerate(topics, 1) if topic == name]
            assert positions(journal, name) == expected
            assert positions(journal, name, limit=3) == expected[:3]


def test_a_look_at_the_newest_gathers_nothing(tmp_path: Path) -> None:
    """A subscription that asks for a topic does not read what came before it."""
    fill(tmp_path, EACH)
    with open_with(tmp_path) as journal:
        tail = journal.handle.state.index.tail
        assert positions(journal, "rare", start=EACH - 50) == []
        assert tail.postings is None
        assert positions(journal, "rare", start=EACH // 3) == [700, 701]
        assert tail.postings is not None
        assert tail.postings.position == EACH


def test_a_second_look_reads_no_more_than_it_returns(tmp_path: Path) -> None:
    """What was scanned once is remembered, counted, and added to as the segment grows."""
    fill(tmp_path, EACH)
    files = ScriptedFiles()
    with open_with(tmp_path, effects_with(files)) as journal:
        before = journal.statistics().index_bytes
        assert positions(journal, "rare") == [700, 701]
        assert journal.statistics().index_bytes == before + 4 * EACH
        files.calls.clear()
        assert positions(journal, "rare") == [700, 701]
        lengths = [arguments[1] for name, arguments in files.calls if name == "pread"]
        assert sum(lengths) < EACH
        assert positions(journal, "rare", limit=1) == [700]
        journal.append([Record(topic="often", state=b""), Record(topic="rare", state=b"")])
        assert positions(journal, "rare") == [700, 701, EACH + 2]


def test_a_limit_ends_the_first_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first records of a frequent topic are had without reading the whole segment."""
    monkeypatch.setattr("aurora_es.journal.reading._RUN_BYTES_MAX", 1 << 12)
    fill(tmp_path, EACH)
    with open_with(tmp_path) as journal:
        assert positions(journal, "often", limit=5) == [1, 2, 3, 4, 5]
        postings = journal.handle.state.index.tail.postings
        assert postings is not None
        assert postings.position < EACH // 10
        assert positions(journal, "rare") == [700, 701]
        assert postings.position == EACH


def test_a_damaged_frame_is_told(tmp_path: Path) -> None:
    """A frame that the index leads to is checked as any other."""
    fill(tmp_path)
    seal(str(tmp_path))
    merge(str(tmp_path), everything=True)
    first = min(tmp_path.glob("*.segment"))
    data = first.read_bytes()
    first.write_bytes(data.replace(b"\xa4rare\xc4\x03700", b"\xa4bare\xc4\x03700"))
    with open_with(tmp_path, read_only=True) as journal, pytest.raises(CorruptionError):
        positions(journal, "rare")


def test_threads_gather_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that scan the same segment while it grows all get everything, in order."""
    monkeypatch.setattr("aurora_es.journal.reading._RUN_BYTES_MAX", 1 << 11)
    monkeypatch.setattr(filtering, "_BATCH_RECORDS", 8)
    fill(tmp_path, 500)
    with open_with(tmp_path, roll_cycle=RollCycle.events(300)) as journal:
        ended = threading.Event()

        def write() -> None:
            for position in range(501, 1_001):
                journal.append([Record(topic=topic_at(position), state=b"")])
            ended.set()

        def look() -> None:
            while not ended.is_set():
                last = journal.last_position
                found = positions(journal, "rare", "unknown")
                assert found == [
                    at for at in sorted(RARE) if at <= max(last, max(found, default=0))
                ]
                assert positions(journal, "often", stop=last)[-1] == last - (last in RARE)

        assert run_threads([write, look, look, look]) == [None] * 4
        assert positions(journal, "rare") == [700, 701]


def test_topics_come_in_order_once() -> None:
    """Records that were added already, or that leave a gap, are not added."""
    postings = TailPostings(11)
    postings.add(11, [("a", ()), ("b", ()), ("a", ())])
    postings.add(11, [("b", ())])
    postings.add(15, [("b", ())])
    postings.add(14, [("b", ())])
    assert postings.position == 14
    every = query_of_topics(["a", "b", "c"])
    assert postings.positions(every, 11, 14, 9) == ([11, 12, 13, 14], 14)
    assert postings.positions(query_of_topics("ab"), 12, 14, 1) == ([12], 12)
    assert postings.positions(query_of_topics("c"), 11, 13, 1) == ([], 13)
    assert postings.memory_bytes == 16
