"""Steps of which only one rare crash shows that they are needed: each with exactly that crash.

The histories meet these crashes late or never, see ``mutants.py``.
"""

import logging
from collections.abc import Iterator

import pytest

from aurora_es import Journal, Record, RollCycle, Sync
from aurora_es.journal.creation import Settings
from aurora_es.testing.crashable import SimulatedKill
from aurora_es.testing.disk import DirectoryNode
from aurora_es.testing.faulty import Fault, FaultyFiles
from tests.crash.one_disk import OneDisk

_SETTINGS = Settings(Sync.ALWAYS, RollCycle.events(2))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Machine(OneDisk):
    """One disk, of which a power cut takes names only."""

    def open(self) -> tuple[Journal, FaultyFiles]:
        """Open the journal in a process of its own."""
        return self.open_with(_SETTINGS)

    def lose_names(self) -> None:
        """Cut the power: all bytes are on the disk, and no name that was not synced."""
        for node in self.disk.nodes():
            if isinstance(node, DirectoryNode):
                node.pending.clear()
            else:
                node.sync()
        self.disk.crash(self.rng)


def record(state: bytes) -> Record:
    """Make a record."""
    return Record(topic="t", state=state)


def states(journal: Journal) -> list[bytes]:
    """States of all records."""
    return [stored.record.state for stored in journal.read()]


def test_a_successor_is_found_before_its_name_is_on_disk() -> None:
    """Who finds the segment of a dead roll syncs its name before the mark refers to it."""
    machine = Machine()
    first, files = machine.open()
    first.append([record(b"a"), record(b"b")])
    second, _ = machine.open()
    assert second.last_position == 2
    files.arm(Fault("kill", "after"), 0, frozenset({"link"}))
    with pytest.raises(SimulatedKill):
        first.append([record(b"lost")])
    assert second.append([record(b"c")]) == range(3, 4)
    machine.lose_names()
    assert states(machine.open()[0]) == [b"a", b"b", b"c"]


def test_a_manifest_is_found_before_its_name_is_on_disk() -> None:
    """Who finds the manifest of a dead creator syncs its name before anything is appended."""
    machine = Machine()
    creator, files = machine.open()
    files.arm(Fault("kill", "after"), 0, frozenset({"rename"}))
    with pytest.raises(SimulatedKill):
        creator.append([record(b"lost")])
    journal, _ = machine.open()
    journal.append([record(b"a")])
    machine.lose_names()
    assert states(machine.open()[0]) == [b"a"]
