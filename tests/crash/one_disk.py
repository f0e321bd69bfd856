"""A simulated disk on which processes open one journal after the other, for tests of single steps."""

from __future__ import annotations

import random
from typing import Any

from aurora_es import Journal
from aurora_es.files.layer import Effects
from aurora_es.journal.creation import Settings
from aurora_es.testing.crashable import CrashableFiles
from aurora_es.testing.disk import CrashableDisk
from aurora_es.testing.faulty import FaultyFiles

PATH = "/data/journal"


class OneDisk:
    """The disk; each opening is a process of its own."""

    def __init__(self) -> None:
        """Prepare an empty disk."""
        self.disk = CrashableDisk()
        self.disk.make_directories("/data")
        self.rng = random.Random(0)

    def open_with(self, settings: Settings, **effects: Any) -> tuple[Journal, FaultyFiles]:
        """Open the journal; returns it and its files, to arm faults."""
        files = FaultyFiles(CrashableFiles(self.disk), self.rng)
        made = Effects(files, random_bytes=self.rng.randbytes, reserve_bytes=4096, **effects)
        return Journal(made, PATH, settings), files
