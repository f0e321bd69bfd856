"""Fork: a second store with the first one's history, which neither of them ever changes."""

from __future__ import annotations

import errno
import os
import random
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.utils import Environment

from aurora_es import (
    ArgumentError,
    AuroraFactory,
    CorruptionError,
    ForeignDirectoryError,
    Journal,
    RollCycle,
    Sync,
)
from aurora_es.care import fork, restore, verify
from aurora_es.files.layer import SYSTEM_EFFECTS, SystemFiles
from aurora_es.journal import background
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.retention import retain
from aurora_es.queue.blocking import open_queue
from aurora_es.testing.faulty import Fault, FaultyFiles
from tests.journal.support import SECOND, ManualClock, effects_with, message, open_with, states


def _fill(path: Path, count: int) -> None:
    with Journal.open(path, roll_cycle=RollCycle.events(3), sync=Sync.NEVER) as journal:
        for at in range(count):
            journal.append([message(b"%d" % at)])


def _contents(path: Path) -> dict[str, bytes]:
    return {name: (path / name).read_bytes() for name in os.listdir(path) if name != "recovered"}


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("prepare", ["raw", "seal", "cool"])
def test_a_journal_is_forked_at_every_position(tmp_path: Path, prepare: str, *, copy: bool) -> None:
    """It has the source's digest up to there, goes on by itself, and the source is as it was."""
    source = tmp_path / "journal"
    _fill(source, 10)
    if prepare != "raw":
        background.seal(str(source))
        background.merge(str(source), everything=True)
    if prepare == "cool":
        background.cool(str(source))
    before = _contents(source)
    for position in [*range(11), None]:
        target = tmp_path / f"fork-{position}"
        (forked,) = fork(source, target, position=position, copy=copy).journals
        last = 10 if position is None else position
        assert (forked.position, forked.left_out) == (last, 10 - last)
        assert forked.digest == verify(source, until=last).digest
        assert (forked.linked_files > 0) == (last > 2 and not copy)
        assert (forked.copied_files > 0) == (last > 2 and copy)
        with Journal.open(target) as journal:
            assert states(journal) == [b"%d" % at for at in range(last)]
            for at in range(4):
                assert journal.append([message(b"new")]) == range(last + 1 + at, last + 2 + at)
        manifest = read_manifest(SYSTEM_EFFECTS.files, str(target))
        assert manifest is not None
        assert manifest.epochs == [(forked.epoch, last + 1)]
        background.work(str(target))
        background.cool(str(target), older_than_hours=-1)
        assert verify(target).is_whole
        assert _contents(source) == before
    with Journal.open(source) as journal:
        assert states(journal) == [b"%d" % at for at in range(10)]


def test_whole_segments_are_the_same_files(tmp_path: Path) -> None:
    """They take no space a second time, and outlive the source."""
    source, target = tmp_path / "journal", tmp_path / "fork"
    _fill(source, 10)
    background.seal(str(source))
    fork(source, target, position=7)
    shared = [path.name for path in source.iterdir() if path.stat().st_nlink > 1]
    assert sorted(name for name in shared if name.endswith(".segment")) == [
        "0000000001-00000000000000000001.segment",
        "0000000002-00000000000000000004.segment",
    ]
    for path in source.iterdir():
        if path.is_file():
            path.unlink()
    assert verify(target).is_whole
    assert verify(target).last_position == 7


def test_another_file_system_is_refused_unless_files_are_copied(tmp_path: Path) -> None:
    """The refusal names the option and leaves nothing; with it the fork is whole."""
    source, target = tmp_path / "journal", tmp_path / "fork"
    _fill(source, 10)
    files = FaultyFiles(SystemFiles(), random.Random(1))
    files.arm(Fault("error", error_number=errno.EXDEV), only=frozenset({"link"}))
    effects = replace(SYSTEM_EFFECTS, files=files)
    with pytest.raises(ArgumentError, match=r"another one.*--copy"):
        fork(source, target, effects=effects)
    assert os.listdir(tmp_path) == ["journal"]
    fork(source, target, copy=True, effects=effects)
    assert verify(target).last_position == 10


def _clocked(path: Path, clock: ManualClock, steps: list[tuple[int, Any]]) -> None:
    with open_with(str(path), effects_with(clock=clock), sync=Sync.NEVER) as journal:
        for at, tracking in steps:
            clock.now = at * SECOND
            journal.append([message(b"%d" % at)], tracking=tracking)


def test_a_position_is_one_of_the_events(tmp_path: Path) -> None:
    """Other journals are cut before the event behind it came, and none tracks what is left out."""
    root, clock = tmp_path / "store", ManualClock()
    for name in ("Up", "Down"):
        (root / name).mkdir(parents=True)
    _clocked(root / "Up" / "events", clock, [(at, None) for at in range(10, 20)])
    _clocked(root / "Up" / "snapshots", clock, [(at, None) for at in (11, 13, 14, 19)])
    _clocked(root / "Down" / "tracking", clock, [(at, ("Up", at - 9)) for at in range(10, 20)])
    # A machine whose clock is late, as far as times are concerned.
    (root / "Late").mkdir()
    _clocked(root / "Late" / "tracking", ManualClock(), [(at, ("Up", at)) for at in range(1, 11)])
    report = fork(root / "Up", tmp_path / "fork", position=4)
    assert {one.path: one.position for one in report.journals} == {"events": 4, "snapshots": 2}
    report = fork(root / "Up", tmp_path / "end", position=10)
    assert {one.path: one.position for one in report.journals} == {"events": 10, "snapshots": 4}
    report = fork(root, tmp_path / "both", position=4)
    assert {one.path: one.position for one in report.journals} == {
        "Down/tracking": 4,
        "Late/tracking": 4,
        "Up/events": 4,
        "Up/snapshots": 2,
    }
    time = datetime.fromtimestamp(13, UTC)
    report = fork(root, tmp_path / "timed", time=time)
    assert [one.position for one in report.journals] == [4, 4, 4, 2]
    _clocked(root / "Down" / "events", clock, [(30, None)])
    with pytest.raises(ArgumentError, match="expected one application, found 5 journals"):
        fork(root, tmp_path / "new", position=1)


def test_an_application_goes_on_in_its_fork(tmp_path: Path) -> None:
    """A recorder appends to it; who had not tracked an event when it was the last has not there."""

    def factory(root: Path, name: str) -> AuroraFactory:
        return AuroraFactory(Environment(name, {"AURORA_PATH": str(root), "AURORA_SYNC": "never"}))

    def append(root: Path, count: int) -> None:
        opened = factory(root, "Up")
        for _ in range(count):
            event = StoredEvent(originator_id=uuid4(), originator_version=1, topic="t", state=b"s")
            opened.application_recorder().insert_events([event])
        opened.close()

    store, forked = tmp_path / "store", tmp_path / "fork"
    append(store, 5)
    down = factory(store, "Down")
    down.tracking_recorder().insert_tracking(Tracking("Up", 3))
    down.close()
    fork(store, forked, position=3)
    append(forked, 1)
    append(store, 2)
    for root, last, tracked in ((store, 7, 3), (forked, 4, None)):
        up, down = factory(root, "Up"), factory(root, "Down")
        assert up.application_recorder().max_notification_id() == last
        assert down.tracking_recorder().max_tracking_id("Up") == tracked
        up.close()
        down.close()


def test_a_queue_is_forked(tmp_path: Path) -> None:
    """At a position of its messages; a name goes on where it was when the next message came."""
    with open_queue(tmp_path / "queue", sync=Sync.NEVER) as queue:
        sender, receiver = queue.acquire_sender(), queue.subscribe("audit")
        for number in range(1, 6):
            sender.send(number)
            assert receiver.next(int) == number
            receiver.commit()
    report = fork(tmp_path / "queue", tmp_path / "fork", position=3)
    assert {one.path: one.position for one in report.journals}["messages"] == 3
    with open_queue(tmp_path / "fork") as queue:
        forked = queue.subscribe("audit")
        queue.acquire_sender().send(40)
        assert forked.next(int) == 40
        assert queue.last_position == 4


def test_a_store_in_use_is_forked(tmp_path: Path) -> None:
    """Each fork is a beginning of the one history, while it is appended to, sealed and dropped."""
    source = tmp_path / "journal"
    _fill(source, 4)

    def write() -> None:
        with Journal.open(source) as journal:
            for at in range(4, 200):
                journal.append([message(b"%d" % at)])

    writer = threading.Thread(target=write)
    writer.start()
    number = 0
    while writer.is_alive() or number < 2:
        number += 1
        target = tmp_path / f"fork-{number}"
        (forked,) = fork(source, target).journals
        with Journal.open(target, read_only=True) as journal:
            assert states(journal) == [b"%d" % at for at in range(forked.position)]
        background.work(str(source))
    writer.join()
    (forked,) = fork(source, tmp_path / "last").journals
    assert forked.position == 200


def test_damage_behind_the_cut_does_not_matter(tmp_path: Path) -> None:
    """A fork of what is before it is whole; one that would hold it is refused, and leaves nothing."""
    source = tmp_path / "journal"
    _fill(source, 10)
    segment = source / "0000000003-00000000000000000007.segment"
    data = bytearray(segment.read_bytes())
    data[-100] ^= 1
    segment.write_bytes(data)
    fork(source, tmp_path / "fork", position=5)
    assert verify(tmp_path / "fork").is_whole
    with pytest.raises(CorruptionError, match=str(segment)):
        fork(source, tmp_path / "other")
    assert sorted(os.listdir(tmp_path)) == ["fork", "journal"]


def test_segments_that_are_cooled_meanwhile(tmp_path: Path) -> None:
    """A file that a newer manifest does not list any more sends the fork back to the marks."""
    source, target = tmp_path / "journal", tmp_path / "fork"
    _fill(source, 10)
    background.seal(str(source))

    def cool(name: str) -> None:
        if name != "link" or files.hook is None:
            return
        files.hook = None
        background.cool(str(source), older_than_hours=-1)
        for path in source.glob(f"000000000[123]-{'?' * 20}.segment"):
            path.unlink()

    files = FaultyFiles(SystemFiles(), random.Random(1))
    files.hook = cool
    effects = replace(SYSTEM_EFFECTS, files=files)
    (forked,) = fork(source, target, effects=effects).journals
    assert forked.linked_files > 0
    assert list(target.glob("*.r1.segment"))
    assert verify(target).last_position == 10


def test_what_cannot_be_forked(tmp_path: Path) -> None:
    """Each is refused with what was expected, and nothing is made."""
    source = tmp_path / "journal"
    _fill(source, 10)
    (tmp_path / "empty").mkdir()
    now = datetime.now(UTC)
    with pytest.raises(ArgumentError, match=r"or a time .*, found both"):
        fork(source, tmp_path / "new", position=1, time=now)
    with pytest.raises(ArgumentError, match="expected a position up to 10, which is its last"):
        fork(source, tmp_path / "new", position=11)
    with pytest.raises(ArgumentError, match="outside of"):
        fork(source, source / "new")
    with pytest.raises(ArgumentError, match="found no journal"):
        fork(tmp_path / "empty", tmp_path / "new")
    with pytest.raises(ForeignDirectoryError, match="found files; nothing was changed"):
        fork(tmp_path / "empty", source)
    background.seal(str(source))
    retain(source, before_position=7)
    with pytest.raises(ArgumentError, match="was dropped by `retain`"):
        fork(source, tmp_path / "new", position=3)
    assert sorted(os.listdir(tmp_path)) == ["empty", "journal"]
    fork(source, tmp_path / "empty", position=8)
    assert verify(tmp_path / "empty").is_whole


def test_a_fork_is_forked_and_backed_by_nobody(tmp_path: Path) -> None:
    """Forks of forks have rising epochs, and restore does not take one for a backup's target."""
    _fill(tmp_path / "a", 4)
    first = fork(tmp_path / "a", tmp_path / "b").journals[0].epoch
    second = fork(tmp_path / "b", tmp_path / "c").journals[0].epoch
    assert first < second
    restore(tmp_path / "c", tmp_path / "d")
    assert verify(tmp_path / "d").last_position == 4
