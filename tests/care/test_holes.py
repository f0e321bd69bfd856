"""A journal with holes against a plain list: every way to read gives what is left, and no more."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eventsourcing.persistence import Notification
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_es import ConflictError, CorruptionError, Journal, Record, RollCycle, Sync
from aurora_es.care import repair
from aurora_es.codecs.compression import CODEC_LZ4
from aurora_es.format.names import segment_name
from aurora_es.journal.background import cool, merge, seal, work
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.cool import cool_segment
from aurora_es.journal.holes import Holes
from aurora_es.journal.manifest_file import change_manifest, read_manifest
from aurora_es.journal.retention import retain
from tests.care.holes import punch
from tests.face.support import SCRATCH, factory_on
from tests.journal.support import HOUR, SECOND, ManualClock, effects_with, event, open_with

SEGMENT_EVENTS = 6
ORIGINATORS = ["a", "b", "c"]

commits = st.tuples(
    st.integers(0, 4),  # records; none: tracking only
    st.sampled_from(ORIGINATORS),
    st.sampled_from(["often", "often", "seldom"]),
    st.sampled_from([0, SECOND, HOUR]),  # step of the clock
)
Commit = tuple[int, str, str, int]


class Model:
    """What was appended and is left: position, time, commit number and record of each."""

    def __init__(self, path: str) -> None:
        """Begin with a journal that does not exist."""
        self.path = path
        self.clock = ManualClock()
        self.effects = effects_with(clock=self.clock)
        self.records: list[tuple[int, int, int, Record]] = []
        self.position = self.commit = 0
        self.tracked = 0
        self.versions: Counter[str] = Counter()

    def open(self, **arguments: Any) -> Journal:
        """Open the journal."""
        return open_with(
            self.path,
            self.effects,
            sync=Sync.NEVER,
            roll_cycle=RollCycle.events(SEGMENT_EVENTS),
            **arguments,
        )

    def append(self, history: list[Commit]) -> None:
        """Append commits, and note them."""
        with self.open() as journal:
            for count, originator, topic, step in history:
                self.clock.now += step
                records = [
                    Record(
                        originator_id=originator,
                        originator_version=self.versions[originator] + at,
                        topic=topic,
                        state=b"%d" % (self.position + at),
                    )
                    for at in range(1, count + 1)
                ]
                self.versions[originator] += count
                self.commit += 1
                self.tracked += not records
                tracking = None if records else ("upstream", self.tracked)
                positions = journal.append(records, tracking=tracking)
                self.records += [
                    (position, self.clock.now, self.commit, record)
                    for position, record in zip(positions, records, strict=True)
                ]
                self.position += count

    def lose(self, lost: set[int]) -> None:
        """Lose those of the commits that are in sealed segments."""
        manifest = read_manifest(self.effects.files, self.path)
        assert manifest is not None
        last = manifest.segments[-1].last_commit if manifest.segments else 0
        lost = {number for number in lost if number <= last}
        punch(self.effects, self.path, lost)
        self.records = [one for one in self.records if one[2] not in lost]

    # What must hold

    def check(self) -> None:
        """Compare every way to read."""
        with self.open() as journal, self.open(read_only=True) as reader:
            self.check_reads(journal)
            self.check_reads(reader)
            self.check_queries(reader)
            self.check_tail(journal)

    def check_reads(self, journal: Journal) -> None:
        """From everywhere, by any limit, with and without topics."""
        first = journal.first_position
        assert journal.last_position == self.position
        for start in {first, first + 1, max(first, self.position // 2), self.position + 1}:
            left = [one for one in self.records if one[0] >= start]
            assert _plain(journal.read(start)) == _wanted(left)
            for limit in (0, 1, 3, 50):
                assert _plain(journal.read(start, limit=limit)) == _wanted(left[:limit])
                assert _plain(journal.read(start, stop=start + 3, limit=limit)) == _wanted(
                    [one for one in left if one[0] <= start + 3][:limit]
                )
                for topic in ("often", "seldom", "never"):
                    chosen = [one for one in left if one[3].topic == topic][:limit]
                    assert _plain(journal.read(start, limit=limit, topics=[topic])) == _wanted(
                        chosen
                    )

    def check_queries(self, journal: Journal) -> None:
        """Listing, topics, times, statistics, tracking."""
        kept = [one[3] for one in self.records if one[0] >= journal.first_position]
        listed = {one.originator_id: one for one in journal.originator_ids()}
        counts = Counter(str(record.originator_id) for record in kept)
        assert {str(name): one.record_count for name, one in listed.items()} == counts
        assert journal.topics() == Counter(record.topic for record in kept)
        assert journal.tracking() == ({"upstream": self.tracked} if self.tracked else {})
        statistics = journal.statistics()
        assert statistics.events == len(kept)
        whole = self.position + 1 - journal.first_position
        assert statistics.lost_positions == whole - len(kept)
        for _, time, _, _ in self.records:
            as_of = journal.read(journal.first_position, as_of=_datetime(time))
            assert _plain(as_of) == _wanted(
                [one for one in self.records if one[1] <= time and one[0] >= journal.first_position]
            )

    def check_tail(self, journal: Journal) -> None:
        """Following gives the same, and waits at the end."""
        with journal.tail(after=journal.first_position - 1) as tailer:
            kept = [one for one in self.records if one[0] >= journal.first_position]
            assert _plain([next(tailer) for _ in kept]) == _wanted(kept)


def cool_again(model: Model) -> None:
    """Cool all segments, also those that were cooled or repaired before."""
    manifest = read_manifest(model.effects.files, model.path)
    assert manifest is not None
    for segment in manifest.segments:
        assert cool_segment(model.effects, model.path, segment, CODEC_LZ4)


def _datetime(time: int) -> Any:
    from aurora_es.journal.records import datetime_of

    return datetime_of(time)


def _plain(stored: Any) -> list[tuple[int, Record]]:
    return [(one.position, one.record) for one in stored]


def _wanted(records: list[tuple[int, int, int, Record]]) -> list[tuple[int, Record]]:
    return [(one[0], one[3]) for one in records]


@settings(max_examples=25)
@given(
    history=st.lists(commits, min_size=6, max_size=24),
    lost=st.sets(st.integers(1, 24), min_size=1, max_size=8),
    later=st.lists(commits, max_size=6),
    cooled=st.booleans(),
    merged=st.booleans(),
)
def test_holes_shift_nothing(
    history: list[Commit],
    lost: set[int],
    later: list[Commit],
    cooled: bool,  # noqa: FBT001 - drawn
    merged: bool,  # noqa: FBT001 - drawn
) -> None:
    """What is left stays at its position, whatever is asked, and whatever is done afterwards."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as directory:
        model = Model(os.path.join(directory, "journal"))
        model.append(history)
        seal(model.path, effects=model.effects)
        if merged:
            merge(model.path, everything=True, effects=model.effects)
        if cooled:
            cool(model.path, effects=model.effects, older_than_hours=0)
        model.lose(lost)
        model.check()
        model.append(later)
        model.check()
        work(model.path, effects=model.effects)
        cool(model.path, effects=model.effects, older_than_hours=-1, codec="none")
        cool_again(model)
        clear_away(model.effects, model.path, at_once=True)
        model.check()
        merge(model.path, everything=True, effects=model.effects)
        retain(model.path, before_position=9, effects=model.effects)
        model.check()


# Notifications


def notifications_of(recorder: Any, **arguments: Any) -> list[int]:
    """Ids of selected notifications."""
    found: list[Notification] = recorder.select_notifications(**arguments)
    return [notification.id for notification in found]


@settings(max_examples=25)
@given(lost=st.sets(st.integers(1, 24), max_size=20), limit=st.integers(1, 9))
def test_pages_sections_and_subscriptions_pass_over_holes(lost: set[int], limit: int) -> None:
    """A page is full while there is more, every section leads on, and a subscription goes on."""
    from aurora_es.notification_log import AuroraNotificationLog

    with tempfile.TemporaryDirectory(dir=SCRATCH) as directory:
        path = os.path.join(directory, "App", "events")
        os.makedirs(os.path.dirname(path), 0o700)
        model = Model(path)
        model.append([(1, "a", "often", 0)] * 24)
        seal(path, effects=model.effects)
        model.lose(lost)
        change_manifest(model.effects, path, lambda _: {"name": "App"}, lock_timeout=1.0)
        kept = [one[0] for one in model.records]
        with factory_on(directory, AURORA_SYNC="never", ORIGINATOR_ID_TYPE="text") as factory:
            recorder = factory.application_recorder()
            for start in range(1, 26):
                page = notifications_of(recorder, start=start, limit=limit)
                assert page == [one for one in kept if one >= start][:limit]
            log = AuroraNotificationLog(recorder, section_size=limit)
            found: list[int] = []
            section_id: str | None = f"1,{limit}"
            while section_id is not None:
                section = log[section_id]
                found += [item.id for item in section.items]
                section_id = section.next_id
            assert found == kept
            sections = [log[one] for one in log.archived_section_ids()]
            firsts = [section.items[0].id for section in sections]
            assert firsts == sorted(set(firsts))
            with recorder.subscribe(gt=0) as subscription:
                assert [next(subscription).id for _ in kept] == kept
            versions = [
                stored.originator_version for stored in recorder.select_events(originator_id="a")
            ]
            assert versions == kept  # versions and positions are the same here


def test_a_tailer_at_a_hole_sleeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost at the end is no record to wait for: one look, and the tailer sleeps."""
    model = Model(str(tmp_path / "journal"))
    model.append([(1, "a", "often", 0)] * 12)
    os.unlink(os.path.join(model.path, segment_name(2, 7)))
    assert repair(model.path, effects=model.effects).lost == ((7, 12),)
    with model.open() as journal, journal.tail(after=5) as tailer:
        assert next(tailer).position == 6
        reads: list[int] = []

        def read(*arguments: Any, **_: Any) -> Iterator[Any]:
            reads.append(arguments[0])
            assert len(reads) < 3
            return iter(())

        def sleep(_: float) -> None:
            tailer.stop()

        monkeypatch.setattr(journal, "read", read)
        monkeypatch.setattr(tailer._follower, "sleep", sleep)
        assert next(tailer, None) is None
        assert not reads


def test_rare_topics_behind_a_hole(tmp_path: Path) -> None:
    """A topic that is rare enough to have postings is found at its position behind a hole."""
    path, effects = str(tmp_path / "journal"), effects_with()
    with open_with(path, effects, roll_cycle=RollCycle.events(300), sync=Sync.NEVER) as journal:
        for number in range(310):
            topic = "rare" if number in {5, 150, 290} else "often"
            journal.append([Record(topic=topic, state=b"%d" % number)])
    seal(path, effects=effects)
    punch(effects, path, {100, 101, 102, 200})
    with open_with(path, effects) as journal:
        rare = [stored.position for stored in journal.read(topics=["rare"])]
        assert rare == [6, 151, 291]
        assert journal.topics() == {"rare": 3, "often": 303}


def test_a_run_of_before_is_not_that_of_a_journal_with_holes(tmp_path: Path) -> None:
    """Runs name what they were made from, holes included: an old one leads to what is gone."""
    model = Model(str(tmp_path / "journal"))
    model.append([(1, "a", "often", 0)] * 12)
    seal(model.path, effects=model.effects)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("journal/*.index")}
    model.lose({4})
    for name, data in before.items():
        (tmp_path / "journal" / name).write_bytes(data)
    model.check()


# No other holes


@pytest.fixture
def holed(tmp_path: Any) -> Model:
    """A journal of four segments that has lost commits 8 and 9."""
    model = Model(str(tmp_path / "journal"))
    model.append([(1, "a", "often", 0)] * 24)
    seal(model.path, effects=model.effects)
    model.lose({8, 9})
    return model


def test_a_hole_that_is_not_listed_is_corruption(holed: Model) -> None:
    """Take a hole from the manifest, and reading, walking and cooling all refuse."""

    def change(manifest: Any) -> dict[str, object]:
        segments = [
            msgspec.structs.replace(segment, lost=msgspec.UNSET) for segment in manifest.segments
        ]
        return {"segments": segments}

    change_manifest(holed.effects, holed.path, change, lock_timeout=1.0)
    with holed.open(read_only=True) as journal:
        with pytest.raises(CorruptionError, match="which the manifest does not list"):
            list(journal.read())
        assert len(list(journal.read(13))) == 12
        with pytest.raises(CorruptionError, match="which the manifest does not list"):
            list(journal.read(1, topics=["never", "often"]))
    with pytest.raises(CorruptionError, match="which the manifest does not list"):
        cool_again(holed)


def test_a_hole_that_is_listed_and_not_there_is_corruption(holed: Model) -> None:
    """A manifest that lists more as lost than a segment says is not believed."""

    def change(manifest: Any) -> dict[str, object]:
        segments = list(manifest.segments)
        segments[0] = msgspec.structs.replace(segments[0], lost=((2, 3),))
        return {"segments": segments}

    change_manifest(holed.effects, holed.path, change, lock_timeout=1.0)
    for segment in ("0000000001", "0000000002"):
        for name in os.listdir(holed.path):
            if name.startswith(segment) and name.endswith(".frames"):
                os.unlink(os.path.join(holed.path, name))
    with (
        holed.open(read_only=True) as journal,
        pytest.raises(CorruptionError, match="lost positions as in the manifest"),
    ):
        list(journal.read())


def test_an_appender_may_take_versions_that_were_lost(holed: Model) -> None:
    """What is lost is free again; what is left is not."""
    with holed.open() as journal:
        journal.append([event("a", 8)])
        with pytest.raises(ConflictError):
            journal.append([event("a", 7)])


# The arithmetic


@given(
    gaps=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=5),
    start=st.integers(1, 45),
    count=st.integers(1, 30),
)
def test_holes_against_a_set(gaps: list[tuple[int, int]], start: int, count: int) -> None:
    """Every question is answered as a plain set answers it."""
    ranges, at = [], 0
    for kept, lost in gaps:
        ranges.append((at + kept + 1, at + kept + lost))
        at += kept + lost
    holes = Holes(ranges)
    gone = {position for first, last in ranges for position in range(first, last + 1)}
    left = [position for position in range(start, 200) if position not in gone]
    assert holes.behind(start) == left[0]
    assert holes.last_of(start, count) == left[count - 1]
    until = start + count - 1
    assert holes.count(start, until) == len(gone & set(range(start, until + 1)))
    pieces = list(holes.pieces(start, until))
    assert [at for first, last in pieces for at in range(first, last + 1)] == [
        position for position in left if position <= until
    ]
