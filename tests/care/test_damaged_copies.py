"""A copy before that is damaged stands in nobody's way, and is not given up for nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_es import CorruptionError, ForeignDirectoryError, Journal, RollCycle
from aurora_es.care import backup, change_settings, rebuild, repair, restore, verify
from aurora_es.journal import background
from tests.care.test_copies_of_others import flip
from tests.cli.support import run
from tests.journal.support import message

LAST = 14


def made(path: Path) -> Path:
    """A journal of sealed segments, a closed one and a tail."""
    with Journal.open(path, roll_cycle=RollCycle.events(4), background=False) as journal:
        for number in range(9):
            journal.append([message(b"%d" % number * 100)])
        background.seal(str(path))
        for number in range(9, LAST):
            journal.append([message(b"%d" % number * 100)])
    return path


def segment(path: Path, number: int) -> Path:
    """The file of a segment."""
    return next(path.glob(f"{number:010d}-*.segment"))


def cut_off(path: Path) -> None:
    """Shorten a file, in a copy of its own."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-40])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no copy": shutil.rmtree,
    "no mark": lambda copy: (copy / "mark").unlink(),
    "damaged mark": lambda copy: (copy / "mark").write_bytes(b"?" * 200),
    "old mark": lambda copy: shutil.copy(copy.parent / "older", copy / "mark"),
    "no manifest": lambda copy: (copy / "manifest").unlink(),
    "damaged manifest": lambda copy: (copy / "manifest").write_bytes(b"?"),
    "no sealed segment": lambda copy: segment(copy, 1).unlink(),
    "short sealed segment": lambda copy: cut_off(segment(copy, 1)),
    "rotten head": lambda copy: flip(segment(copy, 2), 200),
    "no closed segment": lambda copy: segment(copy, 3).unlink(),
    "short closed segment": lambda copy: cut_off(segment(copy, 3)),
    "no tail": lambda copy: segment(copy, 4).unlink(),
    "short tail": lambda copy: cut_off(segment(copy, 4)),
}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("name", DAMAGES)
def test_all_is_copied_again(tmp_path: Path, name: str, *, check: bool) -> None:
    """The next backup says what is wrong, takes nothing from the copy before, and is whole."""
    path, target = made(tmp_path / "journal"), tmp_path / "target"
    backup(path, target, copy=True)
    copy = target / "0000000001"
    shutil.copy(copy / "mark", target / "older")
    with Journal.open(path) as journal:
        journal.append([message()])
    backup(path, target, copy=True)
    copy = target / "0000000002"
    DAMAGES[name](copy)
    report = backup(path, target, copy=True, verify=check)
    (journal_report,) = report.journals
    (warning,) = journal_report.warnings
    assert str(copy) in warning
    assert "nothing was changed" not in warning
    assert journal_report.linked_files == 0
    assert journal_report.digest == verify(path, digest=True).digest
    assert report.directory > copy.name
    assert [one.name for one in target.iterdir() if one.is_dir()] == [report.directory]
    assert restore(target, tmp_path / "new").journals[0].digest == journal_report.digest
    assert backup(path, target, copy=True).journals[0].warnings == ()


def test_the_damaged_copy_stays_where_the_source_is_damaged_too(tmp_path: Path) -> None:
    """Elsewhere, so that between them they have everything: nothing is read by chance only."""
    path, target = made(tmp_path / "journal"), tmp_path / "target"
    backup(path, target, copy=True)
    copy = target / "0000000001"
    flip(segment(path, 2), segment(path, 2).stat().st_size - 20)
    (copy / "mark").unlink()
    with pytest.raises(CorruptionError, match=segment(path, 2).name):
        backup(path, target, copy=True)
    assert [one.name for one in target.iterdir() if one.is_dir()] == [copy.name]


@pytest.mark.parametrize("is_damaged", [False, True])
def test_positions_that_a_repair_gave_up_may_be_in_the_copy(
    tmp_path: Path, *, is_damaged: bool
) -> None:
    """The last copy of them is not replaced by one that lacks them, unless that is asked for."""
    path, target = made(tmp_path / "journal"), tmp_path / "target"
    backup(path, target, copy=True)
    flip(segment(path, 2), 400)
    assert repair(path).lost == ((5, 5),)
    if is_damaged:
        (target / "0000000001" / "manifest").unlink()
    with pytest.raises(ForeignDirectoryError, match="without position 5, which") as caught:
        backup(path, target, copy=True)
    assert "`aurora-es backup --replace`" in str(caught.value)
    assert "`aurora-es verify" in str(caught.value)
    assert ("damaged itself" in str(caught.value)) is is_damaged
    assert verify(target / "0000000001").is_damaged is is_damaged
    assert backup(path, target, copy=True, replace=True).journals[0].position == LAST
    # From now on it is known to be lost.
    (target / "0000000002" / "manifest").unlink()
    assert backup(path, target, copy=True).journals[0].warnings


def test_what_was_lost_before_is_missed_by_nobody(tmp_path: Path) -> None:
    """A store that was restored from a copy with a hole goes on with its target."""
    path, target = made(tmp_path / "journal"), tmp_path / "target"
    flip(segment(path, 2), 400)
    assert repair(path).lost == ((5, 5),)
    backup(path, target)
    shutil.rmtree(path)
    restore(target, path)
    assert backup(path, target).journals[0].position == LAST


def test_the_number_of_a_copy_that_is_gone_is_not_taken_again(tmp_path: Path) -> None:
    """Killed before the new one is complete, the record would name it."""
    path, target = made(tmp_path / "journal"), tmp_path / "target"
    backup(path, target)
    shutil.rmtree(target / "0000000001")

    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(path, target, progress=killed)
    with pytest.raises(CorruptionError, match="as the record of the backup says"):
        restore(target, tmp_path / "new")
    assert backup(path, target).journals[0].warnings
    assert [one.name for one in target.iterdir() if one.is_dir()] == ["0000000002"]


def test_an_older_copy_stays_until_there_is_a_newer(tmp_path: Path) -> None:
    """A backup that was killed between its record and the end leaves two: one may be damaged."""
    path, target = made(tmp_path / "journal"), tmp_path / "target"
    backup(path, target, copy=True)
    shutil.copytree(target / "0000000001", target / "0000000009")
    (target / "0000000001" / "mark").unlink()
    flip(segment(path, 2), 400)
    with pytest.raises(CorruptionError):
        backup(path, target, copy=True)
    assert restore(target / "0000000009", tmp_path / "new").journals[0].position == LAST


def test_paths_may_hold_any_bytes(tmp_path: Path) -> None:
    """The record is JSON, and keeps them."""
    path = tmp_path / os.fsdecode(b"n\xff")
    path.mkdir()
    made(path / os.fsdecode(b"j\xfe"))
    target = tmp_path / os.fsdecode(b"t\xfd")
    backup(path, target)
    assert backup(path, target).journals[0].path == os.fsdecode(b"j\xfe")
    for command in (("backup", path, target), ("restore", target, tmp_path / "new")):
        done = run(*command, "--json")
        assert done.returncode == 0, done.stderr
        assert '"path":"j\\\\xfe"' in done.stdout
    shutil.move(path / os.fsdecode(b"j\xfe"), path / "other")
    with pytest.raises(ForeignDirectoryError, match="holds a backup of other journals"):
        backup(path, target)


def test_nothing_is_repaired_inside_of_a_target(tmp_path: Path) -> None:
    """A damaged copy is made again from its source; where that is gone, a copy of it is repaired."""
    path, target = made(tmp_path / "journal"), tmp_path / "target"
    backup(path, target, copy=True)
    copy = target / "0000000001"
    (copy / "mark").write_bytes(b"?")
    (finding,) = verify(copy).findings
    assert finding.cure == f"aurora-es backup {path} {target} --verify"
    path.rename(tmp_path / "moved")
    (finding,) = verify(copy).findings
    rescued = tmp_path / "target.rescued"
    assert finding.cure == f"cp -R {copy} {rescued} && aurora-es repair {rescued} --dry-run"
    before = {one.name: one.stat().st_mtime_ns for one in copy.iterdir()}
    for change in (repair, rebuild, change_settings):
        with pytest.raises(ForeignDirectoryError, match="a copy in a target of backups"):
            change(copy)
    assert {one.name: one.stat().st_mtime_ns for one in copy.iterdir()} == before
    shutil.copytree(copy, rescued)
    assert repair(rescued).repairs
    assert verify(rescued).is_whole


def test_a_damaged_record_is_told_with_a_way_out(tmp_path: Path) -> None:
    """Nobody knows which copy it named: each is found, and restored, by its own path."""
    path, target = made(tmp_path / "journal"), tmp_path / "target"
    backup(path, target)
    (target / "backup").write_bytes(b"?")
    for call in (lambda: backup(path, target), lambda: restore(target, tmp_path / "new")):
        with pytest.raises(CorruptionError, match=f"aurora-es restore {target}/0000000001`"):
            call()
    assert restore(target / "0000000001", tmp_path / "new").journals[0].position == LAST
