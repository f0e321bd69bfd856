"""Rolls: when a segment ends, what the next one knows, and whose cycle holds."""

import os
from pathlib import Path

import pytest

from aurora_es import CompressionFormat, Journal, RollCycle, Sync
from aurora_es.format.frame import KIND_END, KIND_RECORDS, encode_header
from aurora_es.format.payload import decode_checkpoint, decode_end
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.walk import Walk, WalkedFrame, start_of
from tests.journal.support import (
    HOUR,
    SECOND,
    START,
    ManualClock,
    QuickFiles,
    effects_with,
    event,
    message,
    open_with,
    segment_paths,
    states,
)

MIB = 1 << 20
MINUTE = 60 * SECOND
DAY = 24 * HOUR
MIDNIGHT = START - START % DAY


def bases(path: Path) -> list[int]:
    """Base positions of all segments, by their names."""
    return [int(os.path.basename(segment)[11:31]) for segment in segment_paths(path)]


def frames_of(path: str) -> list[WalkedFrame]:
    """Walk all frames of a segment."""
    file = SegmentFile(QuickFiles(), path, writable=False)
    walk = Walk(file, start_of(file), file.size_bytes())
    return [frame for commit in walk for frame in commit]


@pytest.mark.parametrize(
    ("cycle", "times", "expected"),
    [
        (RollCycle.MINUTE, [0, MINUTE - 1, MINUTE, MINUTE + 1, 3 * MINUTE], [1, 3, 5]),
        (RollCycle.FIVE_MINUTES, [0, 5 * MINUTE - 1, 5 * MINUTE, 10 * MINUTE], [1, 3, 4]),
        (RollCycle.HOUR, [HOUR - 1, HOUR, HOUR + 1, 2 * HOUR], [1, 2, 4]),
        (RollCycle.DAY, [0, DAY - 1, DAY, DAY + 1, 30 * DAY], [1, 3, 5]),
        # MIDNIGHT is that of a Tuesday: the next Monday begins six days later.
        (RollCycle.WEEK, [0, 6 * DAY - 1, 6 * DAY, 13 * DAY - 1, 13 * DAY], [1, 3, 5]),
        (RollCycle.bytes(MIB), [0, DAY, 400 * DAY], [1]),
        (RollCycle.HOUR | RollCycle.events(2), [0, 1, 2, 3, HOUR], [1, 3, 5]),
    ],
    ids=str,
)
def test_rolls_by_calendar(
    tmp_path: Path, cycle: RollCycle, times: list[int], expected: list[int]
) -> None:
    """The first commit of a new cycle, by UTC, goes into a new segment; empty cycles make none."""
    path = tmp_path / "journal"
    clock = ManualClock()
    with open_with(path, effects_with(clock=clock), roll_cycle=cycle) as journal:
        for number, time in enumerate(times):
            clock.now = MIDNIGHT + time
            journal.append([message(b"%d" % number)])
        assert bases(path) == expected
    with open_with(path, effects_with(clock=clock)) as journal:
        assert states(journal) == [b"%d" % number for number in range(len(times))]


def test_rolls_by_size(tmp_path: Path) -> None:
    """A segment takes commits until it has reached its bytes, and exceeds them by one at most."""
    path = tmp_path / "journal"
    with open_with(path, roll_cycle=RollCycle.bytes(MIB)) as journal:
        for _ in range(25):
            journal.append([message(bytes(100_000))])
        journal.append([message(bytes(5 * MIB))])
        journal.append([message()])
    sizes = [os.path.getsize(segment) for segment in segment_paths(path)[:-1]]
    assert all(MIB <= size < MIB + 101_000 for size in sizes[:-1])
    assert sizes[-1] > 5 * MIB
    assert bases(path) == [1, 12, 23, 27]


def test_rolls_by_events(tmp_path: Path) -> None:
    """A commit is never split: a segment exceeds its events by the rest of one commit."""
    path = tmp_path / "journal"
    with open_with(path, roll_cycle=RollCycle.events(3)) as journal:
        for count in (1, 1, 5, 1, 2, 1):
            journal.append([message()] * count)
        assert journal.last_position == 11
    assert bases(path) == [1, 8, 11]


def test_a_commit_without_records_does_not_fill_a_segment(tmp_path: Path) -> None:
    """Tracking alone counts no events; a calendar rolls behind it, into the same base position."""
    path = tmp_path / "journal"
    clock = ManualClock()
    cycle = RollCycle.HOUR | RollCycle.events(2)
    with open_with(path, effects_with(clock=clock), roll_cycle=cycle) as journal:
        journal.append([message(b"a")])
        for number in range(5):
            journal.append([], tracking=("up", number))
        assert bases(path) == [1]
        for number in range(5, 8):
            clock.now += HOUR
            journal.append([], tracking=("up", number))
        assert bases(path) == [1, 2, 2, 2]
        journal.append([message(b"b")])
    with open_with(path, effects_with(clock=clock)) as journal:
        assert states(journal) == [b"a", b"b"]
        assert journal.handle.state.index.tracking["up"].notification_id == 7


def test_segments_of_one_base_position_have_names_of_their_own(tmp_path: Path) -> None:
    """A position alone does not name a segment: one without records begins where the next one does."""
    path = tmp_path / "journal"
    clock = ManualClock()
    effects = effects_with(clock=clock)
    with open_with(path, effects, roll_cycle=RollCycle.HOUR) as journal:
        for number in range(3):
            journal.append([], tracking=("up", number))
            clock.now += HOUR
        journal.append([message(b"a")])
    headers = [
        SegmentFile(QuickFiles(), name, writable=False).header for name in segment_paths(path)
    ]
    assert [header.base_position for header in headers] == [1, 1, 1, 1]
    assert [header.segment_number for header in headers] == [1, 2, 3, 4]
    with open_with(path, effects) as journal:
        assert states(journal) == [b"a"]
        assert journal.handle.state.index.tracking["up"].notification_id == 2


def test_what_a_roll_writes(tmp_path: Path) -> None:
    """The end frame counts, the next header names the end, the checkpoint holds the tracking."""
    path = tmp_path / "journal"
    with open_with(path, roll_cycle=RollCycle.events(3)) as journal:
        journal.append([message(b"a"), message(b"b")], tracking=("up", 7))
        journal.append([message(bytes(40_000))], tracking=("other", 1))
        journal.append([message(b"d")])
    first, second = segment_paths(path)
    frames = frames_of(first)
    end = frames[-1]
    assert end.header.kind == KIND_END
    assert (end.header.commit_number, end.header.first_position) == (2, 4)
    payload = decode_end(end.payload)
    assert (payload.last_position, payload.last_commit, payload.record_count) == (3, 2, 3)
    assert payload.frame_count == len(frames) - 1  # the checkpoint too, the end frame not
    file = SegmentFile(QuickFiles(), second, writable=False)
    header = file.header
    assert (header.previous_end, header.previous_position) == (os.path.getsize(first), 3)
    assert header.previous_checksum == encode_header(end.header)[1]
    assert (header.base_position, header.base_commit, header.segment_number) == (4, 3, 2)
    table = decode_checkpoint(frames_of(second)[0].payload).tracking
    assert [(one.application_name, one.notification_id) for one in table] == [
        ("up", 7),
        ("other", 1),
    ]
    with open_with(path) as journal:
        tracking = journal.handle.state.index.tracking
        assert {name: one.notification_id for name, one in tracking.items()} == {
            "up": 7,
            "other": 1,
        }


def test_a_closed_segment_has_no_slack(tmp_path: Path) -> None:
    """Zeros that were filled in ahead are cut when a segment is closed."""
    path = tmp_path / "journal"
    with open_with(
        path, effects_with(reserve_bytes=MIB), roll_cycle=RollCycle.events(1)
    ) as journal:
        journal.append([message()])
        assert os.path.getsize(segment_paths(path)[0]) > MIB
        journal.append([message()])
    first, second = segment_paths(path)
    assert os.path.getsize(first) < 1000
    assert os.path.getsize(second) > MIB


def test_an_originator_goes_on_over_rolls(tmp_path: Path) -> None:
    """Versions in closed segments are found, and conflict, like those in the tail."""
    path = tmp_path / "journal"
    with open_with(path, roll_cycle=RollCycle.events(2)) as journal:
        for version in range(7):
            journal.append([event("a", version)])
    with open_with(path) as journal:
        index = journal.handle.state.index
        assert [index.find("a", version) for version in range(8)] == [1, 2, 3, 4, 5, 6, 7, 0]
        found = index.select("a", gt=0, lte=4, desc=True, limit=3, until=7)
        assert found[0] == [5, 4, 3]


# Changing the cycle


def test_another_cycle_is_recorded_and_holds_from_the_next_roll(tmp_path: Path) -> None:
    """The segment that is open goes on under the old cycle; a later open needs not say it again."""
    path = tmp_path / "journal"
    with open_with(path, roll_cycle=RollCycle.events(3)) as journal:
        journal.append([message()])
    with open_with(path, roll_cycle=RollCycle.events(1)) as journal:
        assert journal.statistics().roll_cycle == "3events"
        journal.append([message()])
        journal.append([message()])
        assert bases(path) == [1]
        journal.append([message()])
        assert journal.statistics().roll_cycle == "1events"
        journal.append([message()])
        assert bases(path) == [1, 4, 5]
    with open_with(path) as journal:
        assert journal.statistics().roll_cycle == "1events"
        journal.append([message()])
    assert bases(path) == [1, 4, 5, 6]


def test_another_handle_takes_the_cycle_over_at_the_roll(tmp_path: Path) -> None:
    """A handle that was open when the cycle changed follows it from the next roll, too."""
    path = tmp_path / "journal"
    with open_with(path, roll_cycle=RollCycle.events(2)) as first:
        first.append([message()])
        with open_with(path, roll_cycle=RollCycle.events(4)) as second:
            second.append([message()])
            second.append([message()])
            assert bases(path) == [1, 3]
            for _ in range(3):
                first.append([message()])
            assert bases(path) == [1, 3]
            second.append([message()])
    assert bases(path) == [1, 3, 7]


def test_another_compression_is_recorded(tmp_path: Path) -> None:
    """Compression given at open holds at once and for later opens; every frame can be read."""
    path = tmp_path / "journal"
    state = b"compressible " * 500
    with open_with(path) as journal:
        journal.append([message(state)])
    for compression in (CompressionFormat.LZ4, CompressionFormat.SNAPPY):
        with open_with(path, compression=compression) as journal:
            journal.append([message(state)])
    with open_with(path) as journal:
        assert journal.statistics().compression == "snappy"
        journal.append([message(state)])
        assert states(journal) == [state] * 4
    frames = [
        frame for frame in frames_of(segment_paths(path)[0]) if frame.header.kind == KIND_RECORDS
    ]
    assert [frame.header.codec for frame in frames] == [0, 1, 2, 2]
    assert all(len(frame.payload) < 1000 for frame in frames[1:])


@pytest.mark.parametrize("compression", [CompressionFormat.LZ4, CompressionFormat.SNAPPY])
def test_what_does_not_shrink_is_stored_raw(tmp_path: Path, compression: CompressionFormat) -> None:
    """A small or random payload costs no more than without compression."""
    path = tmp_path / "journal"
    state = bytes(range(256))
    with open_with(path, compression=compression) as journal:
        journal.append([message(state)])
        assert states(journal) == [state]
    assert frames_of(segment_paths(path)[0])[1].header.codec == 0


# Clocks


def test_timestamps_never_go_backwards(tmp_path: Path) -> None:
    """A clock that is set back leaves timestamps standing still, over a roll and a new handle."""
    path = tmp_path / "journal"
    clock = ManualClock()
    effects = effects_with(clock=clock)
    steps = [0, 5, -10, 3, -HOUR, HOUR, 1]
    highest, expected = START, []
    with open_with(path, effects, roll_cycle=RollCycle.events(2)) as journal:
        for step in steps:
            clock.now += step
            highest = max(highest, clock.now)
            expected.append(highest)
            journal.append([message()])
    clock.now -= 2 * HOUR
    with open_with(path, effects) as journal:
        journal.append([message()])
        expected.append(highest)
        found = [microseconds(journal, position) for position in range(1, 9)]
    assert found == expected


def microseconds(journal: Journal, position: int) -> int:
    """Timestamp of a record."""
    (stored,) = journal.read(start=position, limit=1)
    return int(stored.timestamp.timestamp()) * SECOND + stored.timestamp.microsecond


def test_a_clock_far_behind_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A clock more than an hour behind the last commit is worth a warning at open."""
    path = tmp_path / "journal"
    clock = ManualClock()
    effects = effects_with(clock=clock)
    with open_with(path, effects) as journal:
        journal.append([message()])
    clock.now -= HOUR
    with open_with(path, effects):
        assert not caplog.records
    clock.now -= 2 * SECOND
    with open_with(path, effects):
        assert "the clock is 3602 s behind the last commit" in caplog.text


def test_a_clock_set_back_does_not_roll(tmp_path: Path) -> None:
    """The cycle is that of the later of clock and last timestamp, so going back starts nothing."""
    path = tmp_path / "journal"
    clock = ManualClock()
    with open_with(path, effects_with(clock=clock), roll_cycle=RollCycle.DAY) as journal:
        journal.append([message()])
        clock.now -= 3 * DAY
        journal.append([message()])
        assert bases(path) == [1]
        clock.now += 4 * DAY
        journal.append([message()])
        assert bases(path) == [1, 3]


@pytest.mark.parametrize("sync", [Sync.ALWAYS, Sync.NEVER, Sync.interval(60_000)], ids=str)
def test_rolls_in_every_sync_mode(tmp_path: Path, sync: Sync) -> None:
    """A roll makes all before it durable, whatever the mode, and commits go on behind it."""
    path = tmp_path / "journal"
    with open_with(path, sync=sync, roll_cycle=RollCycle.events(2)) as journal:
        for number in range(5):
            journal.append([message(b"%d" % number)])
        mark = journal.handle.usable()
        assert mark is not None
        assert mark.mark.read().durable_offset > 128
        assert states(journal) == [b"%d" % number for number in range(5)]
    with open_with(path) as journal:
        assert len(states(journal)) == 5
        assert journal.statistics().recoveries == 0
