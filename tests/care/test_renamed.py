"""A segment that somebody has given another name is found by what it says of itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aurora_es.care import rebuild, repair, verify
from tests.care.repairing import check_repaired
from tests.care.stores import (
    COOLED,
    LAST_POSITION,
    SEALED,
    record,
    segment,
    write_store,
)
from tests.journal.support import effects_with

TRUTH = {position: record(position) for position in range(1, LAST_POSITION + 1)}
NAMES = ("{}.bak", "old.segment", "{} (copy)")


def _file(path: Path, number: int) -> Path:
    """The file of a segment, cooled or not."""
    (found,) = path.glob(f"{number:010d}-*.segment")
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [SEALED, COOLED])
def test_a_renamed_segment(kind: str, number: int, name: str, tmp_path: Path) -> None:
    """Nothing is lost by it: ``verify`` names the file, and ``repair`` puts it where it belongs."""
    effects, path = effects_with(), write_store(tmp_path / "journal", kind)
    file = _file(path, number)
    data = file.read_bytes()
    renamed = name.format(file.name)
    file.rename(path / renamed)
    report = verify(path)
    told = [one.found for one in report.findings if renamed in one.found]
    assert told == [f"no file; {renamed} holds it"]
    assert (report.lost, report.lost_behind, report.is_damaged) == ((), None, True)
    planned = repair(path, dry_run=True, effects=effects)
    done = repair(path, effects=effects)
    assert (planned.lost, done.lost, done.repairs) == ((), (), planned.repairs)
    assert done.kept_in is not None
    assert (Path(done.kept_in) / f"{renamed}.broken").read_bytes() == data
    assert not (path / renamed).exists()
    assert verify(path).is_whole
    check_repaired(effects, str(path), TRUTH, done)


def test_a_copy_beside_a_damaged_segment(tmp_path: Path) -> None:
    """It brings back what the damaged one has lost."""
    effects, path = effects_with(), write_store(tmp_path / "journal", SEALED)
    file = path / segment(2)
    shutil.copy(file, path / "before")
    file.write_bytes(file.read_bytes()[:-100])
    report = verify(path)
    assert any("; before holds it" in one.found for one in report.findings)
    done = repair(path, effects=effects)
    assert report.lost == done.lost == ()
    assert verify(path).is_whole
    check_repaired(effects, str(path), TRUTH, done)


@pytest.mark.parametrize("kind", [SEALED, COOLED])
def test_copies_of_what_is_whole_are_left_alone(kind: str, tmp_path: Path) -> None:
    """They are somebody's, and in nobody's way; also where the manifest is gone."""
    effects, path = effects_with(), write_store(tmp_path / "journal", kind)
    copies = [path / f"{_file(path, number).name}.bak" for number in (1, 2, 3, 4)]
    for number, copy in enumerate(copies, 1):
        shutil.copy(_file(path, number), copy)
    shutil.copy(path / segment(4), path / "drafted.segment.new")
    assert verify(path).is_whole
    assert not repair(path, dry_run=True, effects=effects).repairs
    (path / "manifest").unlink()
    assert verify(path).lost == ()
    rebuild(path, manifest=True, effects=effects)
    assert verify(path).is_whole
    assert all(copy.exists() for copy in copies)


def test_one_of_another_journal_is_of_no_use(tmp_path: Path) -> None:
    """Nor is a draft: what is lost stays lost, and the file where it is."""
    effects, path = effects_with(), write_store(tmp_path / "journal", SEALED)
    other = write_store(tmp_path / "other", SEALED, seed=b"other")
    shutil.copy(other / segment(2), path / "other")
    (path / segment(2)).rename(path / "draft.new")
    done = repair(path, effects=effects)
    assert verify(path).is_whole
    assert done.lost == ((5, 8),)
    assert (path / "other").exists()
    assert (path / "draft.new").exists()
