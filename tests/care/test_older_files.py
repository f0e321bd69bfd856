"""Older files copied over newer ones: ``verify`` and ``repair`` agree, and nothing is lost silently."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aurora_es import RollCycle
from aurora_es.care import repair, verify
from aurora_es.care.findings import MARK_MISSING, MARK_WRONG, SEGMENT_FOREIGN, SEGMENT_MISSING
from aurora_es.files.layer import Effects
from aurora_es.journal import background
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away
from tests.care.repairing import check_repaired
from tests.care.stores import record, store_effects
from tests.journal.support import open_with

STAGES = ("rolled", "sealed", "cooled")
STRAYS = ("0000000050-00000000000000000999.segment", "9999999999-00000000000000000999.segment")


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one journal that grows, and keep a copy of each stage."""
    directory = tmp_path_factory.mktemp("stages")
    effects, path = store_effects(), directory / "journal"
    _append(effects, path, 1, 13)
    shutil.copytree(path, directory / "rolled")
    background.seal(str(path), effects=effects)
    _clear(effects, path)
    shutil.copytree(path, directory / "sealed")
    background.cool(str(path), older_than_hours=-1, effects=effects)
    _clear(effects, path)
    _append(effects, path, 14, 17)
    shutil.copytree(path, directory / "cooled")
    _append(effects, path, 18, 22)
    shutil.copytree(path, directory / "soon")
    _append(effects, path, 23, 30)
    shutil.copytree(path, directory / "later")
    return directory


def _append(effects: Effects, path: Path, first: int, last: int) -> None:
    """Append records one by one; four make a segment."""
    with open_with(str(path), effects, roll_cycle=RollCycle.events(4)) as journal:
        for position in range(first, last + 1):
            journal.append([record(position)])


def _clear(effects: Effects, path: Path) -> None:
    with BackgroundLock(effects, str(path), timeout=0):
        clear_away(effects, str(path), at_once=True)


def _check(path: Path, last: int, lost: tuple[tuple[int, int], ...] = ()) -> None:
    """What ``verify`` calls lost is what a dry run and a repair do; then the journal is whole."""
    effects = store_effects(b"repair")
    report = verify(path)
    planned = repair(path, dry_run=True, effects=effects)
    assert bool(planned.repairs) == report.is_damaged
    assert (report.lost, report.lost_behind) == (planned.lost, planned.lost_behind)
    assert report.lost == lost
    done = repair(path, effects=effects)
    assert (done.repairs, done.lost) == (planned.repairs, planned.lost)
    assert verify(path).is_whole
    truth = {position: record(position) for position in range(1, last + 1)}
    check_repaired(effects, str(path), truth, done)


def test_a_manifest_of_before_the_sealing(stages: Path, tmp_path: Path) -> None:
    """Cooled segments that no manifest lists are found by no reader: the store is not whole."""
    path = shutil.copytree(stages / "later", tmp_path / "journal")
    shutil.copy(stages / "rolled" / "manifest", path)
    report = verify(path)
    missing = [one for one in report.findings if one.kind == SEGMENT_MISSING]
    assert [Path(one.path).name for one in missing] == [
        "0000000001-00000000000000000001.segment",
        "0000000002-00000000000000000005.segment",
        "0000000003-00000000000000000009.segment",
    ]
    assert all(".r1.segment holds it" in one.found for one in missing)
    _check(path, 30)


@pytest.mark.parametrize("stage", STAGES)
def test_an_older_mark(stage: str, stages: Path, tmp_path: Path) -> None:
    """What lies behind an old mark is checked too, and nobody knows whether there was more."""
    path = shutil.copytree(stages / "later", tmp_path / "journal")
    shutil.copy(stages / stage / "mark", path)
    report = verify(path)
    assert [one.kind for one in report.findings] == [MARK_WRONG]
    assert (report.last_position, report.lost_behind) == (30, 30)
    _check(path, 30)


def test_a_lost_segment_behind_an_older_mark(stages: Path, tmp_path: Path) -> None:
    """An old mark does not hide that a segment behind it is gone."""
    path = shutil.copytree(stages / "later", tmp_path / "journal")
    shutil.copy(stages / "cooled" / "mark", path)
    (gone,) = path.glob("0000000006-*.segment")
    gone.unlink()
    assert verify(path).lost == ((21, 24),)
    _check(path, 30, ((21, 24),))


@pytest.mark.parametrize("older", STAGES)
def test_an_older_copy_merged_over_a_newer_one(older: str, stages: Path, tmp_path: Path) -> None:
    """Every event that a file still holds is kept, and what was overwritten is named."""
    path = shutil.copytree(stages / "later", tmp_path / "journal")
    shutil.copytree(stages / older, path, dirs_exist_ok=True)
    _check(path, 30, {"rolled": ((14, 16),), "sealed": ((14, 16),), "cooled": ((18, 20),)}[older])


def test_an_older_tail_and_its_mark_in_front_of_the_next_segment(
    stages: Path, tmp_path: Path
) -> None:
    """The segment behind it is no stray: it tells that the tail went on, and what of it is lost."""
    path = shutil.copytree(stages / "soon", tmp_path / "journal")
    shutil.copytree(stages / "cooled", path, dirs_exist_ok=True)
    report = verify(path)
    assert MARK_WRONG in {one.kind for one in report.findings}
    assert SEGMENT_FOREIGN not in {one.kind for one in report.findings}
    assert report.lost_behind == 22
    _check(path, 22, ((18, 20),))


def test_cooled_copies_of_a_newer_state(stages: Path, tmp_path: Path) -> None:
    """A copying that was killed when it had brought cooled files only has changed nothing."""
    path = shutil.copytree(stages / "rolled", tmp_path / "journal")
    for name in (stages / "cooled").glob("*.r1.*"):
        shutil.copy(name, path)
    assert verify(path).is_whole
    assert repair(path, dry_run=True).repairs == ()
    _check(path, 13)


@pytest.mark.parametrize("stray", STRAYS)
@pytest.mark.parametrize("mark", ["missing", "older"])
def test_a_stray_segment_where_no_mark_names_the_tail(
    mark: str, stray: str, stages: Path, tmp_path: Path
) -> None:
    """A file under the name of a far segment makes no lost positions, and no endless check."""
    path = shutil.copytree(stages / "later", tmp_path / "journal")
    (path / "mark").unlink()
    if mark == "older":
        shutil.copy(stages / "rolled" / "mark", path)
    (path / stray).touch()
    report = verify(path)
    assert [(one.kind, Path(one.path).name) for one in report.findings] == [
        ({"missing": MARK_MISSING, "older": MARK_WRONG}[mark], "mark"),
        (SEGMENT_FOREIGN, stray),
    ]
    assert (report.lost, report.lost_behind) == ((), 30)
    _check(path, 30)
