"""A repair that is killed, or whose machine loses power, at any file operation ends as any other."""

from __future__ import annotations

import contextlib
import copy
import random

import pytest

from aurora_es.care import RepairReport, rebuild, repair, verify
from aurora_es.files.layer import Effects
from aurora_es.testing.crashable import CrashableFiles, SimulatedKill
from aurora_es.testing.disk import CrashableDisk
from aurora_es.testing.faulty import Fault, FaultyFiles
from tests.care.repairing import DAMAGES, Truth, check_repaired, fill
from tests.journal.support import START, ManualClock, open_with

PATH = "/data/journal"
# Damages that lead through every branch of the execution, and into which of so many operations the
# repair is struck in the normal run; the long one strikes it in all of them.
STRIDES = {
    "frame of middle": 5,
    "missing first": 5,
    "frame of unlisted": 5,
    "tail frame": 5,
    "tail missing": 5,
    "mark missing": 5,
    "manifest missing": 5,
    "swapped": 7,
    "all of it": 7,
}


def effects_on(disk: CrashableDisk, seed: int = 0) -> tuple[Effects, FaultyFiles]:
    """Effects of a new process."""
    files = FaultyFiles(CrashableFiles(disk), random.Random(seed))
    clock = ManualClock(START + 1_000_000 * (len(disk.processes) + seed))
    rng = random.Random(seed + 17 * len(disk.processes))
    return Effects(files, clock, random_bytes=rng.randbytes, reserve_bytes=512), files


def repaired(disk: CrashableDisk) -> RepairReport:
    """What a new process reports when it repairs."""
    effects, files = effects_on(disk, 99)
    try:
        return repair(PATH, effects=effects)
    finally:
        assert isinstance(files.inner, CrashableFiles)
        files.inner.kill()


@pytest.fixture(scope="module")
def filled() -> tuple[CrashableDisk, Truth]:
    """A disk with a journal, which is not damaged yet."""
    disk = CrashableDisk()
    disk.make_directories("/data")
    effects, files = effects_on(disk)
    truth = fill(effects, PATH)
    assert isinstance(files.inner, CrashableFiles)
    files.inner.kill()
    return disk, truth


@pytest.mark.parametrize("name", STRIDES)
def test_killed_at_any_operation(filled: tuple[CrashableDisk, Truth], name: str) -> None:
    """Whatever the moment: a second repair ends with the same records, and tells of all the rest."""
    kill_at_operations(filled, name, STRIDES[name])


@pytest.mark.reliability
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("name", STRIDES)
def test_killed_at_every_operation(filled: tuple[CrashableDisk, Truth], name: str) -> None:
    """The same at every single one."""
    kill_at_operations(filled, name, 1)


def kill_at_operations(filled: tuple[CrashableDisk, Truth], name: str, stride: int) -> None:
    """Inflict a damage, and kill its repair in every ``stride``-th operation."""
    disk, truth = filled
    damaged = copy.deepcopy(disk)
    effects, files = effects_on(damaged)
    DAMAGES[name](effects.files, PATH)
    assert isinstance(files.inner, CrashableFiles)
    files.inner.kill()
    whole = copy.deepcopy(damaged)
    effects, files = effects_on(whole)
    planned = repair(PATH, effects=effects)
    operations = files.count
    left = check_repaired(effects, PATH, truth, planned)
    survived = 0
    for at in range(0, operations, stride):
        seed = at
        struck = copy.deepcopy(damaged)
        effects, files = effects_on(struck, seed)
        files.arm(Fault("kill", ("before", "middle", "after")[at % 3], 0.6), at)
        try:
            repair(PATH, effects=effects)
        except SimulatedKill:
            pass
        else:
            # An operation that failed, as the removal of what was not there, kills nobody.
            survived += 1
            continue
        if at % 2:
            struck.crash(random.Random(seed))
        second = repaired(struck)
        effects, files = effects_on(struck, seed + 1)
        told = planned if ended_in_silence(second) else second
        assert (told.lost, told.lost_behind) == (planned.lost, planned.lost_behind)
        assert check_repaired(effects, PATH, truth, told) == left
    assert survived * 10 * stride < operations


def ended_in_silence(second: RepairReport) -> bool:
    """Whether the first repair had done everything when it was killed, but for the telling."""
    return not second.repairs and not second.killed


@pytest.mark.parametrize("name", STRIDES)
def test_a_finished_repair_is_on_disk(filled: tuple[CrashableDisk, Truth], name: str) -> None:
    """A power cut behind the end of a repair takes nothing back."""
    disk, truth = filled
    for seed in range(6):
        damaged = copy.deepcopy(disk)
        effects, files = effects_on(damaged)
        DAMAGES[name](effects.files, PATH)
        done = repair(PATH, effects=effects)
        assert isinstance(files.inner, CrashableFiles)
        files.inner.kill()
        damaged.crash(random.Random(seed))
        effects, _ = effects_on(damaged, seed)
        check_repaired(effects, PATH, truth, done)


@pytest.mark.parametrize("manifest", [False, True])
def test_a_rebuild_that_is_killed_is_started_again(
    filled: tuple[CrashableDisk, Truth],
    manifest: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Runs, tables and the manifest are made in the end, and nothing is lost in between."""
    disk, truth = filled
    effects, files = effects_on(copy.deepcopy(disk))
    rebuild(PATH, manifest=manifest, effects=effects)
    for at in range(0, files.count, 9):
        struck = copy.deepcopy(disk)
        effects, files = effects_on(struck, at)
        files.arm(Fault("kill", ("before", "middle", "after")[at % 3], 0.6), at)
        with contextlib.suppress(SimulatedKill):
            rebuild(PATH, manifest=manifest, effects=effects)
        assert isinstance(files.inner, CrashableFiles)
        files.inner.kill()
        if at % 2:
            struck.crash(random.Random(at))
        effects, _ = effects_on(struck, at + 1)
        with open_with(PATH, effects, read_only=True) as journal:
            assert {one.position: one.record for one in journal.read()} == truth
        made = rebuild(PATH, manifest=manifest, effects=effects)
        assert made.segments
        assert verify(PATH, effects=effects).is_whole
