"""Rot after a clean close: every byte that was acknowledged is checked, no other one is missed."""

import copy
import logging
import random
from collections.abc import Callable, Iterator

import pytest

from aurora_es.errors import CorruptionError
from aurora_es.files.layer import Effects
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import Journal
from aurora_es.journal.records import Record
from aurora_es.options import CompressionFormat, RollCycle, Sync
from aurora_es.testing.crashable import CrashableFiles
from aurora_es.testing.disk import CrashableDisk, FileNode
from aurora_es.testing.faulty import FaultyFiles
from tests.crash.drawing import draw_commit
from tests.crash.truth import PATH, FileReader, Found

_COMMITS = 24


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def effects_on(disk: CrashableDisk, seed: int) -> Effects:
    """A new process on ``disk``; the clock stands still."""
    rng = random.Random(seed)
    files = FaultyFiles(CrashableFiles(disk), rng)
    return Effects(
        files, clock=lambda: 1_700_000_000_000_000, random_bytes=rng.randbytes, reserve_bytes=1024
    )


def closed_journal(seed: int) -> CrashableDisk:
    """A disk with a journal of several segments that was closed cleanly."""
    disk = CrashableDisk()
    disk.make_directories("/data/store")
    rng = random.Random(seed)
    settings = Settings(Sync.ALWAYS, RollCycle.events(12), rng.choice([*CompressionFormat][:2]))
    with Journal(effects_on(disk, seed), PATH, settings) as journal:
        journal._create()
        journal._has_appended = True
        for serial in range(1, _COMMITS + 1):
            journal._group.append(draw_commit(rng, serial, journal.handle.codec).commit)
    return disk


def states_read(disk: CrashableDisk, *, read_only: bool) -> list[bytes]:
    """Open the journal in a new process and read everything."""
    with Journal(effects_on(disk, 1), PATH, Settings(), read_only=read_only) as journal:
        return [stored.record.state for stored in journal.read()]


def contents(disk: CrashableDisk) -> list[bytes]:
    """Bytes of all files, by inode."""
    return [bytes(node.cached) for node in disk.nodes() if isinstance(node, FileNode)]


def split(disk: CrashableDisk, found: Found) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Places (file, offset) of acknowledged bytes, and of padding, slack and unused bytes."""
    used, unused = [], []
    for name, ranges in found.acknowledged.items():
        path = f"{PATH}/{name}"
        acknowledged = {offset for begin, end in ranges for offset in range(begin, end)}
        used += [(path, offset) for offset in sorted(acknowledged)]
        size = len(disk.content(path))
        unused += [(path, offset) for offset in range(size) if offset not in acknowledged]
    used += [
        (f"{PATH}/manifest", offset) for offset in range(len(disk.content(f"{PATH}/manifest")))
    ]
    unused += [(f"{PATH}/mark", offset) for offset in range(8192)]
    return used, unused


def flip_used(disk: CrashableDisk, places: list[tuple[str, int]], rng: random.Random) -> None:
    """Flip bits of each place in turn and expect a refusal that changes nothing."""
    for path, offset in places:
        bits = rng.choice((1, 128, 255, rng.randrange(1, 256)))
        disk.damage(path, offset, bits)
        before = contents(disk)
        for read_only in (False, True):
            where = f"{path} at {offset} ^ {bits}, read_only={read_only}"
            try:
                states_read(disk, read_only=read_only)
            except CorruptionError:
                assert contents(disk) == before, f"changed though refused: {where}"
            else:
                pytest.fail(f"rot accepted: {where}")
        disk.damage(path, offset, bits)


def flip_unused(disk: CrashableDisk, places: list[tuple[str, int]], rng: random.Random) -> None:
    """Flip bits of each place in turn, in a copy of the disk, and expect that it does not matter."""
    expected = states_read(disk, read_only=True)
    for path, offset in places:
        copied = copy.deepcopy(disk)
        copied.damage(path, offset, rng.choice((1, 128, 255)))
        # Without the newer slot a reader sees the older mark, until an appender has recovered.
        seen = states_read(copied, read_only=True)
        assert seen == expected[: len(seen)], (path, offset)
        assert seen == expected or path.endswith("/mark"), (path, offset)
        for read_only in (False, True):
            assert states_read(copied, read_only=read_only) == expected, (path, offset)


@pytest.mark.parametrize("seed", range(3))
def test_rot_in_acknowledged_bytes_is_refused(seed: int) -> None:
    """A flipped byte of header, frame or manifest is corruption, named and left as it is."""
    disk, rng = closed_journal(seed), random.Random(seed)
    used, _ = split(disk, FileReader(disk).read())
    flip_used(disk, rng.sample(used, 250), rng)


@pytest.mark.parametrize("seed", range(3))
def test_rot_elsewhere_is_harmless(seed: int) -> None:
    """A flipped byte of padding, of the slack behind the tail or of one slot changes nothing."""
    disk, rng = closed_journal(seed), random.Random(seed)
    _, unused = split(disk, FileReader(disk).read())
    slots = [(f"{PATH}/mark", offset) for at in (0, 4096) for offset in range(at, at + 64)]
    flip_unused(disk, rng.sample(unused, 30) + rng.sample(slots, 20), rng)


@pytest.mark.reliability
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("seed", range(100, 102))
def test_rot_of_every_byte(seed: int, reliability_factor: int) -> None:
    """The same for every single byte in use, and for many of the others."""
    disk, rng = closed_journal(seed), random.Random(seed)
    used, unused = split(disk, FileReader(disk).read())
    flip_used(disk, used, rng)
    flip_unused(disk, rng.sample(unused, min(len(unused), 20 * reliability_factor)), rng)


def cut_tail(disk: CrashableDisk) -> None:
    """Drop the last acknowledged byte, and the slack behind it."""
    mark = FileReader(disk).read().mark
    disk_node(disk, segment_paths(disk)[-1]).truncate(mark.visible_offset - 1)


def segment_paths(disk: CrashableDisk) -> list[str]:
    """Paths of the segments, in order."""
    names = CrashableFiles(disk).listdir(PATH)
    return sorted(f"{PATH}/{name}" for name in names if name.endswith(".segment"))


def disk_node(disk: CrashableDisk, path: str) -> FileNode:
    """The file at ``path``."""
    node = disk.find(path)
    assert isinstance(node, FileNode)
    return node


def swap_first_segments(disk: CrashableDisk) -> None:
    """Let two segments change their content."""
    first, second = (disk_node(disk, path) for path in segment_paths(disk)[:2])
    first.cached, second.cached = second.cached, first.cached


def blank_mark(disk: CrashableDisk) -> None:
    """Fill both slots with zeros."""
    disk_node(disk, f"{PATH}/mark").write(bytes(8192), 0)


def cases() -> dict[str, Callable[[CrashableDisk], None]]:
    """Damages to whole files, by name."""
    return {
        "tail cut": cut_tail,
        "segments swapped": swap_first_segments,
        "no valid slot": blank_mark,
        "no first segment": lambda disk: CrashableFiles(disk).unlink(segment_paths(disk)[0]),
        "no second segment": lambda disk: CrashableFiles(disk).unlink(segment_paths(disk)[1]),
        "no tail": lambda disk: CrashableFiles(disk).unlink(segment_paths(disk)[-1]),
        "no mark": lambda disk: CrashableFiles(disk).unlink(f"{PATH}/mark"),
        "no manifest": lambda disk: CrashableFiles(disk).unlink(f"{PATH}/manifest"),
        "segment of another journal": lambda disk: swap_journals(disk, 1),
        "frame of another history": graft_frame,
        "segment of another history": graft_segment,
        "tail of another journal": lambda disk: swap_journals(disk, -1),
    }


def grow(disk: CrashableDisk, seed: int, commits: int) -> None:
    """Append commits of equal size, whose content ``seed`` decides."""
    rng = random.Random(seed)
    with Journal(effects_on(disk, seed), PATH, Settings()) as journal:
        for serial in range(100, 100 + commits):
            state = rng.randbytes(40)
            journal.append(
                [Record(topic="t", state=state, originator_id="g", originator_version=serial)]
            )


def two_histories(disk: CrashableDisk, commits: int) -> CrashableDisk:
    """Append to ``disk`` and, another content, to a copy of it, which is returned."""
    other = copy.deepcopy(disk)
    grow(disk, 1, commits)
    grow(other, 2, commits)
    return other


def graft_frame(disk: CrashableDisk) -> None:
    """Put the last frame of another history of this journal, valid in itself, in the place of ours."""
    other = two_histories(disk, 2)
    end = FileReader(disk).read().mark.visible_offset
    begin = FileReader(disk).read().acknowledged[segment_paths(disk)[-1].rpartition("/")[2]][-1][0]
    path = segment_paths(disk)[-1]
    disk_node(disk, path).write(other.content(path)[begin:end], begin)


def graft_segment(disk: CrashableDisk) -> None:
    """Put the tail of another history of this journal behind our sealed segments."""
    segments = len(segment_paths(disk))
    other = two_histories(disk, 14)
    path = segment_paths(disk)[-1]
    assert len(segment_paths(disk)) > segments
    disk_node(disk, path).cached = disk_node(other, path).cached


def swap_journals(disk: CrashableDisk, which: int) -> None:
    """Put the segment of an equally long journal, with another history, into this one."""
    other = closed_journal(8)
    path, foreign = segment_paths(disk)[which], segment_paths(other)[which]
    disk_node(disk, path).cached = disk_node(other, foreign).cached


def try_damage(damage: Callable[[CrashableDisk], None]) -> None:
    """Damage a journal and expect that it is refused, unchanged, by appenders and readers."""
    for read_only in (False, True):
        disk = closed_journal(7)
        damage(disk)
        before = contents(disk)
        with pytest.raises(CorruptionError):
            states_read(disk, read_only=read_only)
        assert contents(disk) == before


@pytest.mark.parametrize("damage", cases().values(), ids=cases().keys())
def test_a_missing_or_foreign_file_is_refused(damage: Callable[[CrashableDisk], None]) -> None:
    """A file that is gone, cut or another one is corruption, and nothing is made up for it."""
    try_damage(damage)
