"""A small journal in memory that has files of every kind, and what it says when asked everything."""

from __future__ import annotations

import random

from aurora_es.files.layer import Effects
from aurora_es.journal import background
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import Journal
from aurora_es.options import CompressionFormat, RollCycle, Sync
from aurora_es.testing.crashable import CrashableFiles
from aurora_es.testing.disk import CrashableDisk, FileNode
from tests.crash.machine import check_lookups
from tests.fault.crash_states import Tree
from tests.fault.enumeration import HOME
from tests.fault.told import records_of

PATH = f"{HOME}/journal"
CACHES = (".index", ".frames")
_SETTINGS = Settings(Sync.ALWAYS, RollCycle.events(4), CompressionFormat.LZ4)


def effects_on(disk: CrashableDisk, seed: object = "") -> Effects:
    """A new process on ``disk``; ``seed`` decides its random bytes, salts and ids among them."""
    return Effects(
        CrashableFiles(disk),
        clock=lambda: 1_700_000_000_000_000,
        random_bytes=random.Random(f"{seed}").randbytes,
        reserve_bytes=512,
    )


def small_journal(word: str = "a") -> Tree:
    """Two cooled segments, a sealed raw one, a closed one, a tail; runs, tables, manifest, mark."""
    disk = CrashableDisk()
    disk.make_directories(HOME)
    effects = effects_on(disk, word)  # one for all, so that no two files have the same salt

    def append(first: int, last: int) -> None:
        with Journal(effects, PATH, _SETTINGS) as journal:
            for serial in range(first, last):
                tracking = (word, serial) if serial % 3 == 0 else None
                journal.append(records_of(word, serial, 2, 40 * (serial % 2)), tracking=tracking)

    append(1, 5)
    background.seal(PATH, effects=effects)
    background.cool(PATH, older_than_hours=-1, effects=effects)
    append(5, 8)
    background.seal(PATH, effects=effects)
    append(8, 10)
    return tree_of(disk)


def smallest_journal() -> Tree:
    """A cooled segment, a sealed raw one, a tail, of a record each; runs, tables, manifest, mark."""
    disk = CrashableDisk()
    disk.make_directories(HOME)
    effects = effects_on(disk, "smallest")
    settings = Settings(Sync.ALWAYS, RollCycle.events(1), CompressionFormat.NONE)

    def append(serial: int) -> None:
        with Journal(effects, PATH, settings) as journal:
            journal.append(records_of("a", serial, 1))

    append(1)
    append(2)  # rolls
    background.seal(PATH, effects=effects)
    background.cool(PATH, older_than_hours=-1, effects=effects)
    append(3)
    background.seal(PATH, effects=effects)
    clear_away(effects, PATH, at_once=True)  # the raw copy of the cooled segment
    return tree_of(disk)


def tree_of(disk: CrashableDisk) -> Tree:
    """The files of the journal."""
    directory = CrashableFiles(disk)
    tree: Tree = {PATH: None}
    for name in sorted(directory.listdir(PATH)):
        node = disk.find(f"{PATH}/{name}")
        tree[f"{PATH}/{name}"] = bytes(node.cached) if isinstance(node, FileNode) else None
    return tree


def answers(disk: CrashableDisk, *, read_only: bool) -> list[bytes]:
    """Read everything and look everything up, in a new process."""
    with Journal(effects_on(disk), PATH, Settings(), read_only=read_only) as journal:
        found = [stored.record.state for stored in journal.read()]
        check_lookups(journal)
        return found
