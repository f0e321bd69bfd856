"""What a power cut leaves of the mark, at each moment at which it is synced.

In all of these nothing reaches the disk but what was synced. The mark is evidence that bytes below
its durable offset had been acknowledged: one that is older than it has to be vouches for less, and
rot in what it does not vouch for looks like a torn tail.
"""

import logging
from collections.abc import Iterator

import pytest

from aurora_es import CorruptionError, Journal, Record, RollCycle, Sync
from aurora_es.format.mark import Mark, decode_mark
from aurora_es.format.names import MARK, segment_name
from aurora_es.journal.creation import Settings
from aurora_es.testing.crashable import SimulatedKill
from aurora_es.testing.disk import FileNode
from aurora_es.testing.faulty import Fault, FaultyFiles
from tests.crash.one_disk import PATH, OneDisk

_MODES = [Sync.ALWAYS, Sync.NEVER, Sync.interval(60_000)]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Machine(OneDisk):
    """One disk, and a clock that moves when told."""

    def __init__(self) -> None:
        """Prepare an empty disk."""
        super().__init__()
        self.seconds = 0.0

    def open(self, sync: Sync) -> tuple[Journal, FaultyFiles]:
        """Open the journal in a process of its own."""
        settings = Settings(sync, RollCycle.events(2))
        return self.open_with(settings, monotonic=lambda: self.seconds)

    def file(self, name: str) -> FileNode:
        """A file of the journal."""
        node = self.disk.find(f"{PATH}/{name}")
        assert isinstance(node, FileNode)
        return node

    def marks(self) -> tuple[Mark, Mark]:
        """The mark as a power cut would leave it, and as everybody sees it."""
        node = self.file(MARK)
        durable = decode_mark(bytes(node.durable[: node.durable_size]))
        visible = decode_mark(bytes(node.cached))
        assert durable is not None
        assert visible is not None
        return durable, visible

    def cut_power(self) -> None:
        """Lose everything that was not synced."""
        for node in self.disk.nodes():
            if isinstance(node, FileNode):
                node.dirty.clear()
                node.cut_at = None
                node.cached = bytearray(node.durable[: node.durable_size])
        self.disk.crash(self.rng)


def record(state: bytes = b"a") -> Record:
    """Make a record."""
    return Record(topic="t", state=state)


@pytest.mark.parametrize("sync", _MODES)
def test_a_roll_brings_the_mark_to_disk(sync: Sync) -> None:
    """Behind a roll the mark on disk names the new segment, in every sync mode."""
    machine = Machine()
    journal, _ = machine.open(sync)
    journal.append([record(), record()])
    assert machine.marks()[0].visible_position == 0
    journal.append([record()])  # rolls
    durable, visible = machine.marks()
    assert (durable.segment_number, durable.visible_position) == (2, 2)
    assert durable.visible_offset == durable.durable_offset
    assert visible.visible_position == 3


@pytest.mark.parametrize("sync", _MODES)
def test_closing_brings_the_mark_to_disk(sync: Sync) -> None:
    """A journal that was closed vouches for its last commit: rot in it is refused, never cut."""
    machine = Machine()
    journal, _ = machine.open(sync)
    journal.append([record()])
    assert machine.marks()[0].visible_position == 0
    journal.close()
    durable, visible = machine.marks()
    assert durable == visible
    assert (durable.visible_position, durable.durable_offset) == (1, durable.visible_offset)
    machine.cut_power()
    tail = machine.file(segment_name(1, 1))
    tail.write(bytes([tail.cached[durable.visible_offset - 9] ^ 1]), durable.visible_offset - 9)
    tail.sync()
    before = bytes(tail.cached)
    with pytest.raises(CorruptionError):
        machine.open(sync)[0].append([record()])
    assert bytes(tail.cached) == before


@pytest.mark.parametrize("sync", _MODES)
def test_appending_brings_the_mark_to_disk_once_a_second(sync: Sync) -> None:
    """The first commit behind a second's end does it, whatever the mode."""
    machine = Machine()
    journal, _ = machine.open(sync)
    journal.append([record()])
    machine.seconds += 0.9
    journal.append([])
    assert machine.marks()[0].visible_commit == 0
    machine.seconds += 0.2
    journal.append([], tracking=("up", 1))
    durable, visible = machine.marks()
    assert durable == visible
    assert durable.visible_commit > 0


def test_recovery_brings_the_mark_to_disk() -> None:
    """What recovery has adopted is vouched for on disk before anything is appended behind it."""
    machine = Machine()
    journal, files = machine.open(Sync.ALWAYS)
    journal.append([record(b"first")])
    files.arm(Fault("kill", "after"), 0, frozenset({"fdatasync"}))
    with pytest.raises(SimulatedKill):
        journal.append([record(b"adopted")])
    assert machine.marks()[1].visible_position == 1
    other, _ = machine.open(Sync.ALWAYS)
    assert other.append([record(b"third")]) == range(3, 4)
    durable, _ = machine.marks()
    assert durable.visible_position == 2
    assert durable.durable_offset == durable.visible_offset
