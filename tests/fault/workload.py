"""A process that takes given steps in a journal, and tells what became of each commit.

Arguments: name of the appender, directory of the journal, steps; a step is a method of ``Workload``,
with numbers behind colons if it takes any: ``append batch:4:100``. See ``told.py`` for what it prints. An error that the
package promises (an unknown outcome, a full disk) does not end it: it opens the journal anew and goes
on with the next step, as a supervised application would.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

from aurora_es import Journal, RollCycle, Sync
from aurora_es.errors import AuroraError, CommitOutcomeUnknownError, CorruptionError
from aurora_es.files.layer import SYSTEM_EFFECTS, Effects
from aurora_es.journal import background
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.creation import Settings
from aurora_es.journal.manifest_file import read_manifest
from tests.fault.told import records_of

THREADS = 3
LOCK_SECONDS = 120.0
_BACKGROUND = {"seal", "merge", "cool", "clear"}
# A small reserve, so that the tail grows and is written into as often as it would be in a day.
EFFECTS = replace(SYSTEM_EFFECTS, reserve_bytes=2048)


def tell_output(line: str) -> None:
    """Write one line at once: the order with the other system calls is what it is for."""
    os.write(1, line.encode() + b"\n")


class Workload:
    """Takes steps, by their names."""

    def __init__(  # noqa: PLR0913 - each may be left out
        self,
        path: str,
        *,
        name: str = "a",
        tell: Callable[[str], None] = tell_output,
        effects: Effects = EFFECTS,
        sync: Sync = Sync.ALWAYS,
        cycle: int = 6,
    ) -> None:
        """Prepare; ``name`` is the appender's, ``cycle`` the number of events in a segment."""
        self.path = path
        self.name = name
        self.tell = tell
        self.effects = effects
        self.settings = Settings(sync, RollCycle.events(cycle))
        self.serial = 0
        self.journal: Journal | None = None

    def take(self, steps: list[str]) -> None:
        """Take all steps; after an error that the package promises, go on with a new handle."""
        for step in steps:
            word, *numbers = step.split(":")
            try:
                getattr(self, word)(*map(int, numbers))
            except CorruptionError:
                raise
            except (AuroraError, OSError) as error:
                if not isinstance(error, AuroraError) and word not in _BACKGROUND:
                    raise  # a journal has errors of its own for what the system refuses
                self.tell(f"error {step} {type(error).__name__} {error}")
                self._drop()

    def _drop(self) -> None:
        journal, self.journal = self.journal, None
        if journal is not None:
            try:
                journal.close()
            except AuroraError as error:
                self.tell(f"error close {type(error).__name__} {error}")

    def _opened(self) -> Journal:
        if self.journal is None:
            self.journal = Journal(
                self.effects, self.path, self.settings, lock_timeout=LOCK_SECONDS, new_parents_max=1
            )
        return self.journal

    def _append(self, count: int, filling: int = 0) -> None:
        self.serial += 1
        self._append_one(self._opened(), self.serial, count, filling)

    def _append_one(self, journal: Journal, serial: int, count: int, filling: int) -> None:
        commit = f"{self.name} {serial}"
        self.tell(f"try {commit} {count}")
        try:
            positions = journal.append(records_of(self.name, serial, count, filling))
        except CommitOutcomeUnknownError:
            self.tell(f"unknown {commit}")
            raise
        except AuroraError:
            self.tell(f"refused {commit}")
            raise
        self.tell(f"ok {commit} {positions[0]}")

    # Steps

    def weak(self) -> None:
        """Sync nothing from here on: for tests of the tests."""
        self.settings = replace(self.settings, sync=Sync.NEVER)

    def append(self, filling: int = 0) -> None:
        """Append one record."""
        self._append(1, filling)

    def batch(self, records: int = 4, filling: int = 100) -> None:
        """Append several records as one commit."""
        self._append(records, filling)

    def large(self, filling: int = 9_000) -> None:
        """Append a commit that is longer than the reserve, of several frames."""
        self._append(2, filling)

    def group(self) -> None:
        """Append from several threads at once."""
        journal = self._opened()
        first = self.serial + 1
        self.serial += THREADS
        errors: list[BaseException] = []

        def run(serial: int) -> None:
            try:
                self._append_one(journal, serial, 2, 20)
            except (AuroraError, OSError) as error:
                errors.append(error)

        threads = [threading.Thread(target=run, args=(first + one,)) for one in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def reopen(self) -> None:
        """Close and open anew."""
        if self.journal is not None:
            self.journal.close()
            self.journal = None
        self._opened()

    def abandon(self) -> None:
        """Open anew without a clean close, as after a kill: recovery has something to look at."""
        self.journal = None
        self._opened()

    def close(self) -> None:
        """Close."""
        if self.journal is not None:
            self.journal.close()
            self.journal = None

    def seal(self) -> None:
        """Seal what is closed."""
        background.seal(self.path, effects=self.effects, lock_timeout=LOCK_SECONDS)

    def merge(self) -> None:
        """Merge all runs to one."""
        background.merge(
            self.path, everything=True, effects=self.effects, lock_timeout=LOCK_SECONDS
        )

    def cool(self) -> None:
        """Cool all sealed segments."""
        background.cool(
            self.path, older_than_hours=-1, effects=self.effects, lock_timeout=LOCK_SECONDS
        )

    def clear(self) -> None:
        """Remove what is obsolete, without the wait of a minute."""
        if read_manifest(self.effects.files, self.path) is None:
            return
        with BackgroundLock(self.effects, self.path, timeout=LOCK_SECONDS):
            clear_away(self.effects, self.path, at_once=True)


def main(name: str, path: str, steps: list[str]) -> None:
    """Take the steps."""
    workload = Workload(path, name=name)
    workload.take(steps)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
