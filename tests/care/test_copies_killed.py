"""Backup, restore and fork killed at any file operation: source and last backup untouched, run again."""

from __future__ import annotations

import random
from typing import cast

import pytest

from aurora_es import RollCycle, Sync
from aurora_es.care import backup, fork, restore, verify
from aurora_es.files.layer import Effects, Files
from aurora_es.testing.crashable import CrashableFiles, SimulatedKill
from aurora_es.testing.disk import CrashableDisk
from aurora_es.testing.faulty import Fault, FaultyFiles
from tests.journal.support import effects_with, message, open_with


def _effects(files: object) -> Effects:
    return effects_with(cast("Files", files))


def _fill(disk: CrashableDisk, count: int) -> None:
    effects = _effects(CrashableFiles(disk))
    with open_with(
        "/data/journal", effects, sync=Sync.ALWAYS, roll_cycle=RollCycle.events(3)
    ) as journal:
        for at in range(count):
            journal.append([message(b"%d" % at)])


def _contents(disk: CrashableDisk, path: str) -> dict[str, bytes]:
    files = CrashableFiles(disk)
    found = {}
    for name in files.listdir(path):
        fd = files.open(f"{path}/{name}", 0)
        found[name] = files.pread(fd, 1 << 20, 0)
    return found


@pytest.mark.parametrize(("power", "seed"), [(False, 0), (True, 1), (True, 2), (True, 3)])
@pytest.mark.parametrize("what", ["backup", "restore", "fork"])
def test_killed_at_every_operation(what: str, *, power: bool, seed: int) -> None:
    """After any death the source is as it was, the last backup restores, and a new run succeeds."""
    step = 0
    while True:
        rng = random.Random(f"{seed} {step}")  # what a power cut takes
        disk = CrashableDisk()
        disk.make_directories("/data")
        _fill(disk, 4)
        effects = _effects(CrashableFiles(disk))
        backup("/data/journal", "/data/backup", copy=True, effects=effects)
        _fill(disk, 4)
        before = _contents(disk, "/data/journal")
        faulty = FaultyFiles(CrashableFiles(disk), rng)
        faulty.arm(Fault("kill", "middle"), step)
        try:
            if what == "backup":
                backup("/data/journal", "/data/backup", copy=True, effects=_effects(faulty))
            else:
                _make_new(what, _effects(faulty))
        except SimulatedKill:
            pass
        else:
            assert step > 50
            return
        if power:
            disk.crash(rng)
        assert _contents(disk, "/data/journal") == before
        survivor = _effects(CrashableFiles(disk))
        restored = restore("/data/backup", "/data/check", effects=survivor)
        assert restored.journals[0].position in ({4, 8} if what == "backup" else {4})
        assert verify("/data/check", effects=survivor).is_whole
        if what == "backup":
            report = backup(
                "/data/journal", "/data/backup", copy=True, verify=True, effects=survivor
            )
            assert report.journals[0].position == 8
        else:
            if not _is_there(survivor, "/data/new"):
                _make_new(what, survivor)
            checked = verify("/data/new", effects=survivor)
            assert (checked.is_whole, checked.last_position) == (True, 3)
        step += 1 if step < 20 or what == "restore" else 3


def _make_new(what: str, effects: Effects) -> None:
    if what == "restore":
        restore("/data/backup", "/data/new", position=3, effects=effects)
    else:
        fork("/data/journal", "/data/new", position=3, effects=effects)


def _is_there(effects: Effects, path: str) -> bool:
    return path.rsplit("/", maxsplit=1)[1] in effects.files.listdir("/data")
