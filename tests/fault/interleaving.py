"""Two writers, a reader and a background worker on one journal, interleaved as a plan says.

The writers append the next version of the same originator, optimistically; a segment takes two
events, so that they roll all the time. Promises that are checked: a version has one winner and a
refused commit never appears; a reader sees all that was acknowledged before it began, in one order
that only grows; nobody fails; in the end everything is found by all look-ups.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from aurora_es.errors import ConflictError
from aurora_es.files.layer import Effects
from aurora_es.index.keys import text_key
from aurora_es.journal import background
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import Journal
from aurora_es.journal.records import Record
from aurora_es.options import RollCycle, Sync
from aurora_es.testing.disk import CrashableDisk
from tests.crash.machine import check_lookups
from tests.fault.scheduler import KILL, Scheduler, Switch
from tests.fault.told import Told, ViolationError, commits_of, records_of

PATH = "/data/journal"
_SETTINGS = Settings(Sync.ALWAYS, RollCycle.events(2))
_COMMITS = 2  # of each writer
_READS = 2
_LOCK_SECONDS = 1e6
_SHARED = "shared"
ACTORS = ("first writer", "second writer", "reader", "worker")


class Interleaving:
    """One run; ``play`` raises when a promise is broken."""

    def __init__(self, plan: Sequence[Switch] = ()) -> None:
        """Prepare a journal with three sealed or closed segments."""
        self.plan = plan
        self.told = Told()
        self.disk = CrashableDisk()
        self.disk.make_directories("/data")
        self.scheduler = Scheduler(self.disk, plan)
        self.wins = 0
        self.conflicts = 0
        self._seen: list[object] = []  # the longest list that a reader has seen
        self._prepare()

    def _prepare(self) -> None:
        scheduler = Scheduler(self.disk, ())
        scheduler.add(lambda effects: self._write(effects, "zero", 3), random.Random(9).randbytes)
        scheduler.run()
        self.wins = self.conflicts = 0

    def play(self) -> None:
        """Run all actors, then check."""
        add = self.scheduler.add
        add(lambda effects: self._write(effects, "one", _COMMITS), random.Random(1).randbytes)
        add(lambda effects: self._write(effects, "two", _COMMITS), random.Random(2).randbytes)
        add(self._read, random.Random(3).randbytes)
        add(self._tend, random.Random(4).randbytes)
        self.scheduler.run()
        self._check()

    def _open(self, effects: Effects, *, read_only: bool = False) -> Journal:
        return Journal(effects, PATH, _SETTINGS, read_only=read_only, lock_timeout=_LOCK_SECONDS)

    def _write(self, effects: Effects, name: str, count: int) -> None:
        journal = self._open(effects)
        serial = 0
        won = 0
        while won < count:
            serial += 1
            journal.last_position  # noqa: B018 - brings the index up to date
            last = journal.handle.state.index.last_version(text_key(_SHARED))
            version = 0 if last is None else last + 1
            first, second = records_of(name, serial, 2)
            first = replace_claim(first, version)
            self.told.take(f"try {name} {serial} 2")
            try:
                (position, _) = journal.append([first, second])
            except ConflictError:
                self.told.take(f"refused {name} {serial}")
                self.conflicts += 1
            else:
                self.told.take(f"ok {name} {serial} {position}")
                won += 1
                self.wins += 1
        journal.close()  # not by a context: who was killed runs no code that ends anything

    def _read(self, effects: Effects) -> None:
        journal = self._open(effects, read_only=True)
        for _ in range(_READS):
            acknowledged = dict(self.told.acknowledged)
            found = [*commits_of(journal)]
            common = min(len(found), len(self._seen))
            if found[:common] != self._seen[:common] or len(found) < len(self._seen):
                raise ViolationError(f"a reader saw {found} after {self._seen}")
            self._seen = [*found]
            if not acknowledged.items() <= {one.commit: one.position for one in found}.items():
                raise ViolationError(f"{acknowledged} were acknowledged before; saw {found}")
        journal.close()

    def _tend(self, effects: Effects) -> None:
        background.seal(PATH, effects=effects, lock_timeout=_LOCK_SECONDS)
        background.merge(PATH, everything=True, effects=effects, lock_timeout=_LOCK_SECONDS)
        background.cool(PATH, older_than_hours=-1, effects=effects, lock_timeout=_LOCK_SECONDS)

    def _check(self) -> None:
        scheduler = Scheduler(self.disk, ())

        def look(effects: Effects) -> None:
            with self._open(effects) as journal:
                self.told.check(journal)
                check_lookups(journal)
                found = [*commits_of(journal)]
                if found[: len(self._seen)] != self._seen:
                    raise ViolationError(f"{found} does not begin with what was seen")
                versions = [
                    stored.record.originator_version
                    for stored in journal.read()
                    if stored.record.originator_id == _SHARED
                ]
                if versions != [*range(len(versions))]:
                    raise ViolationError(f"versions {versions}")

        scheduler.add(look, random.Random(5).randbytes)
        scheduler.run()
        killed = sum(switch.to == KILL for switch in self.plan)
        if not killed and self.wins != 2 * _COMMITS:
            raise ViolationError(f"{self.wins} commits were acknowledged")


def replace_claim(record: Record, version: int) -> Record:
    """The record as the next one of the originator that all want."""
    return msgspec.structs.replace(record, originator_id=_SHARED, originator_version=version)
