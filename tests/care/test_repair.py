"""Repair: what is kept, what is lost, and that a dry run says so before."""

from __future__ import annotations

import fcntl
import os
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from aurora_es import (
    ArgumentError,
    CorruptionError,
    ForeignDirectoryError,
    HistoryChangedError,
    LockTimeoutError,
    RollCycle,
)
from aurora_es.care import RepairReport, rebuild, repair, verify
from aurora_es.files.layer import Effects
from aurora_es.format.frame import HEADER_BYTES, KIND_RECORDS
from aurora_es.format.names import LOCK_FILES
from aurora_es.journal.manifest_file import read_manifest
from tests.care.repairing import DAMAGES, Truth, check_repaired, fill
from tests.care.stores import frames
from tests.face.support import events, factory_on
from tests.journal.support import effects_with, event, flip, garbling_copies, open_with, snapshot


def test_a_dry_run_makes_no_lock_files(tmp_path: Path) -> None:
    """Made by the superuser who looks at what was restored, its owner could not append."""
    effects, path = effects_with(), tmp_path / "journal"
    truth = fill(effects, str(path))
    for name in LOCK_FILES:
        (path / name).unlink()
    before = snapshot(tmp_path)
    assert repair(path, dry_run=True, effects=effects).repairs == ()
    rebuild(path, manifest=True, dry_run=True, effects=effects)
    assert snapshot(tmp_path) == before
    check_repaired(effects, str(path), truth, repair(path, effects=effects))


@pytest.mark.parametrize("name", DAMAGES)
def test_dry_run_and_repair(tmp_path: Path, name: str) -> None:
    """A dry run changes nothing and says what is then done; the rest is there, and no more."""
    effects, path = effects_with(), str(tmp_path / "journal")
    truth = fill(effects, path)
    DAMAGES[name](effects.files, path)
    before = {k: v for k, v in snapshot(tmp_path).items() if "lock" not in k}
    planned = repair(path, dry_run=True, effects=effects)
    assert {k: v for k, v in snapshot(tmp_path).items() if "lock" not in k} == before
    done = repair(path, effects=effects)
    assert planned.dry_run
    assert not done.dry_run
    assert (planned.repairs, planned.lost, planned.kept_in) == (
        done.repairs,
        done.lost,
        done.kept_in,
    )
    assert done.repairs
    assert done.kept_in is not None
    assert os.path.isdir(done.kept_in)
    check_repaired(effects, path, truth, done)


# Again


@pytest.mark.parametrize("name", DAMAGES)
def test_a_journal_with_holes_is_repaired(tmp_path: Path, name: str) -> None:
    """What was lost before stays lost and is not told again, whatever is damaged next."""
    effects, path = effects_with(), str(tmp_path / "journal")
    truth = fill(effects, path)
    for earlier in ("frame of unlisted", "missing last closed", "cut first"):
        DAMAGES[earlier](effects.files, path)
    before = repair(path, effects=effects)
    assert before.lost
    assert verify(path).is_whole
    left = _records(effects, path)
    DAMAGES[name](effects.files, path)
    done = repair(path, effects=effects)
    gone = {position for first, last in before.lost for position in range(first, last + 1)}
    lost = {position for first, last in done.lost for position in range(first, last + 1)}
    if "manifest" not in name and name != "all of it":
        assert not gone & lost
    assert _records(effects, path) == {at: one for at, one in left.items() if at not in lost}
    assert verify(path).is_whole
    with open_with(path, effects) as journal:
        assert journal.append([event("c", 1)])[0] == max(truth) + 1


def _records(effects: Effects, path: str) -> Truth:
    with open_with(path, effects, read_only=True) as journal:
        return {stored.position: stored.record for stored in journal.read()}


# What is kept, asked, refused


def test_the_originals_are_kept(tmp_path: Path) -> None:
    """Every file that is changed or removed is beside the journal, byte for byte."""
    effects, path = effects_with(), tmp_path / "journal"
    fill(effects, str(path))
    DAMAGES["all of it"](effects.files, str(path))
    before = {name: (path / name).read_bytes() for name in os.listdir(path)}
    done = repair(path, effects=effects)
    assert done.kept_in == f"{path}.broken-1"
    kept = Path(done.kept_in)
    for name, data in before.items():
        copy = kept / f"{name}.broken"
        if copy.exists():
            assert copy.read_bytes() == data
        elif "lock" not in name and name != "turn" and not name.endswith((".frames", ".index")):
            assert (path / name).read_bytes() == data
    report = msgspec.json.decode((kept / "repair.json").read_bytes(), type=RepairReport)
    assert report == done


def test_no_is_an_answer(tmp_path: Path) -> None:
    """Whoever is asked sees the plan; if he says no, nothing is changed."""
    effects, path = effects_with(), tmp_path / "journal"
    fill(effects, str(path))
    DAMAGES["frame of middle"](effects.files, str(path))
    before = snapshot(path)
    seen: list[RepairReport] = []

    def refuse(report: RepairReport) -> bool:
        seen.append(report)
        return False

    assert repair(path, confirm=refuse, effects=effects) == seen[0]
    assert seen[0].dry_run
    assert snapshot(path) == before


def test_progress_reaches_its_end(tmp_path: Path) -> None:
    """The bar is told of bytes, then of segments, and each time in the end all are done."""
    effects, path = effects_with(), str(tmp_path / "journal")
    fill(effects, path)
    DAMAGES["frame of middle"](effects.files, path)
    told: list[tuple[int, int]] = []
    repair(path, progress=lambda done, total: told.append((done, total)), effects=effects)
    assert all(0 < done <= total for done, total in told)
    falls = [at for at, (left, right) in enumerate(pairwise(told)) if right[0] < left[0]]
    assert len(falls) == 1
    segments = told[falls[0] + 1 :]
    assert [done for done, _ in segments] == list(range(1, len(segments) + 1))


def test_an_appender_in_the_middle_of_an_append_is_waited_for(tmp_path: Path) -> None:
    """Who holds the lock is not disturbed: the repair says so and changes nothing."""
    effects, path = effects_with(), tmp_path / "journal"
    fill(effects, str(path))
    DAMAGES["frame of middle"](effects.files, str(path))
    before = snapshot(path)
    for name in ("lock", "background.lock"):
        with (path / name).open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(LockTimeoutError):
                repair(path, effects=effects, lock_timeout=0.01)
    assert snapshot(path) == before
    assert repair(path, effects=effects).lost


def test_handles_of_before_go_on_and_learn_of_it(tmp_path: Path) -> None:
    """An open appender appends behind what is lost, and whoever reads is told of a new history."""
    effects, path = effects_with(), str(tmp_path / "journal")
    truth = fill(effects, path)
    with open_with(path, effects) as writer, open_with(path, effects, read_only=True) as reader:
        assert writer.append([event("c", 1)])[0] == max(truth) + 1
        with reader.tail(after=max(truth)) as tailer:
            assert next(tailer).position == max(truth) + 1
            DAMAGES["tail missing"](effects.files, path)
            done = repair(path, effects=effects)
            assert done.lost[-1][1] == max(truth) + 1
            assert writer.append([event("c", 2)])[0] == max(truth) + 2
            with pytest.raises(HistoryChangedError):
                next(tailer)
        lost = {at for first, last in done.lost for at in range(first, last + 1)}
        left = {at: one for at, one in truth.items() if at not in lost}
        assert {stored.position for stored in reader.read()} == {*left, max(truth) + 2}


def test_an_application_finds_its_store_again(tmp_path: Path) -> None:
    """The name of the application is in the manifest that was made anew."""
    with factory_on(tmp_path, name="Ünïcode & Söhne") as factory:
        factory.application_recorder().insert_events(events(5))
    (path,) = tmp_path.glob("*/events")
    (path / "manifest").unlink()
    assert "'Ünïcode & Söhne'" in repair(path).assumptions[0]
    with factory_on(tmp_path, name="Ünïcode & Söhne") as factory:
        recorder = factory.application_recorder()
        assert len(recorder.select_notifications(1, 10)) == 5


@pytest.mark.parametrize("what", ["nothing", "a file", "other files", "another manifest"])
def test_what_is_no_journal_is_refused(tmp_path: Path, what: str) -> None:
    """No file of ours gets into a directory of somebody else."""
    path = tmp_path / "place"
    if what == "a file":
        path.write_text("mine")
    elif what == "other files":
        path.mkdir()
        (path / "notes.txt").write_text("mine")
    elif what == "another manifest":
        path.mkdir()
        (path / "manifest").write_text("Manifest-Version: 1.0")
    before = sorted(str(one) for one in tmp_path.rglob("*"))
    with pytest.raises((ArgumentError, ForeignDirectoryError), match="nothing was changed"):
        repair(path)
    assert sorted(str(one) for one in tmp_path.rglob("*")) == before


def test_a_link_in_the_place_of_a_segment_is_refused(tmp_path: Path) -> None:
    """What a link leads to is not ours to read or to replace."""
    effects, path = effects_with(), tmp_path / "journal"
    fill(effects, str(path))
    name = max(path.glob("*.segment"))
    name.rename(tmp_path / "elsewhere")
    name.symlink_to(tmp_path / "elsewhere")
    before = snapshot(path)
    with pytest.raises(ForeignDirectoryError):
        repair(path, effects=effects)
    assert snapshot(path) == before


def test_a_copy_that_was_written_wrong_is_not_listed(tmp_path: Path) -> None:
    """What the disk holds is read back: the journal stays as it was, and a second try repairs it."""
    path = str(tmp_path / "journal")
    truth = fill(effects_with(), path)
    DAMAGES["frame of middle"](effects_with().files, path)
    before = read_manifest(effects_with().files, path)
    files = garbling_copies()
    with pytest.raises(CorruptionError):
        repair(path, effects=effects_with(files))
    assert files.garbled
    assert read_manifest(effects_with().files, path) == before
    check_repaired(effects_with(), path, truth, repair(path, effects=effects_with()))


# Commits without records


@pytest.mark.parametrize("places", [(2,), (2, 3), (5,)], ids=["closed", "two at once", "tail"])
def test_a_lost_tracking_record(tmp_path: Path, places: tuple[int, ...]) -> None:
    """A commit that held a tracking record only has no position, and is counted instead."""
    effects, path = effects_with(), str(tmp_path / "journal")
    with open_with(path, effects, roll_cycle=RollCycle.events(2)) as journal:
        journal.append([event("a", 1)])
        journal.append([], tracking=("upstream", 1))
        journal.append([], tracking=("upstream", 2))
        journal.append([event("a", 2)])
        journal.append([], tracking=("upstream", 3))
    for name in sorted(effects.files.listdir(path)):
        for offset, header in frames(tmp_path / "journal" / name) if "segment" in name else ():
            if header.commit_number in places and header.kind == KIND_RECORDS:
                flip(f"{path}/{name}", offset + HEADER_BYTES)
    found = verify(path)
    assert (found.lost, found.lost_behind, found.lost_commits) == ((), None, len(places))
    planned = repair(path, dry_run=True, effects=effects)
    done = repair(path, effects=effects)
    assert planned.repairs == done.repairs
    assert (done.lost, done.lost_behind, done.lost_commits) == ((), None, len(places))
    assert verify(path).is_whole
    assert repair(path, effects=effects).lost_commits == 0
    with open_with(path, effects, read_only=True) as journal:
        assert len([*journal.read()]) == 2
