"""Backup: consistent, incremental, atomic, and of one source."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aurora_es import (
    CorruptionError,
    ForeignDirectoryError,
    Journal,
    LockTimeoutError,
    RollCycle,
    Sync,
)
from aurora_es.care import backup, restore, verify
from aurora_es.files.layer import Effects, SystemFiles
from aurora_es.journal import background
from tests.journal.support import Call, ScriptedFiles, flip, message, segment_paths, states


def _fill(path: Path, count: int) -> None:
    with Journal.open(path, roll_cycle=RollCycle.events(3), sync=Sync.NEVER) as journal:
        for at in range(count):
            journal.append([message(b"%d" % at)])


def _current(target: Path) -> Path:
    return max(path for path in target.iterdir() if path.is_dir())


@pytest.mark.parametrize("copy", [False, True])
def test_each_backup_equals_its_source(tmp_path: Path, *, copy: bool) -> None:
    """Raw, sealed, merged and cooled segments, one after the other into one target."""
    source, target = tmp_path / "journal", tmp_path / "backup"
    steps: list[Callable[[], object]] = [
        lambda: _fill(source, 10),
        lambda: background.seal(str(source)),
        lambda: background.merge(str(source), everything=True),
        lambda: background.cool(str(source)),
        lambda: _fill(source, 4),
    ]
    for step in steps:
        step()
        report = backup(source, target, copy=copy, verify=True)
        assert report.journals[0].digest == verify(source, digest=True).digest
        assert verify(_current(target)).is_whole
        assert len([path for path in target.iterdir() if path.is_dir()]) == 1
        with Journal.open(_current(target), read_only=True) as journal:
            expected = Journal.open(source, read_only=True)
            assert states(journal) == states(expected)
            expected.close()
        inodes = {path.stat().st_ino for path in source.glob("*.segment")}
        shared = {path.stat().st_ino for path in _current(target).glob("*.segment")} & inodes
        assert bool(shared) is not copy


def test_nothing_is_copied_twice(tmp_path: Path) -> None:
    """A second backup of the same state links everything, also in a target of copies."""
    source, target = tmp_path / "journal", tmp_path / "backup"
    _fill(source, 10)
    assert backup(source, target, copy=True).journals[0].copied_files > 1
    assert backup(source, target, copy=True).journals[0].copied_files == 0


def test_a_target_is_of_one_source(tmp_path: Path) -> None:
    """Another journal's backup, and a directory with other files, are left alone."""
    _fill(tmp_path / "one", 2)
    _fill(tmp_path / "two", 2)
    backup(tmp_path / "one", tmp_path / "backup")
    with pytest.raises(ForeignDirectoryError):
        backup(tmp_path / "two", tmp_path / "backup")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    with pytest.raises(ForeignDirectoryError):
        backup(tmp_path / "one", tmp_path / "mine")
    assert os.listdir(tmp_path / "mine") == ["letter"]


def test_a_damaged_tail_ends_the_backup(tmp_path: Path) -> None:
    """Below the mark something cannot be read: the backup before stays the current one."""
    _fill(tmp_path / "journal", 2)
    before = backup(tmp_path / "journal", tmp_path / "backup")
    _fill(tmp_path / "journal", 3)
    tail = Path(segment_paths(tmp_path / "journal")[-1])
    flip(tail, len(tail.read_bytes().rstrip(b"\0")) - 3)
    with pytest.raises(CorruptionError) as damage:
        backup(tmp_path / "journal", tmp_path / "backup")
    assert damage.value.path == str(tail)  # and not the copy, which is gone
    assert os.listdir(tmp_path / "backup" / before.directory)
    restored = restore(tmp_path / "backup", tmp_path / "restored")
    assert restored.journals[0].position == 2


def test_a_copy_of_an_earlier_epoch_is_not_linked(tmp_path: Path) -> None:
    """After a restore, files of the same name, length and first page may hold other records."""
    path, target = tmp_path / "journal", tmp_path / "backup"

    def fill(*starts: bytes) -> None:
        with Journal.open(path, roll_cycle=RollCycle.events(3), sync=Sync.NEVER) as journal:
            for start in starts:
                journal.append([message(start * 3_000)])

    fill(b"a", b"b", b"c", b"d")
    backup(path, target)
    restore(target, tmp_path / "restored", position=2)
    shutil.rmtree(path)
    (tmp_path / "restored").rename(path)
    fill(b"x", b"y")
    report = backup(path, target)
    with Journal.open(target / report.directory, read_only=True) as copy:
        assert [state[:1] for state in states(copy)] == [b"a", b"b", b"x", b"y"]


def test_nobody_appends_while_marks_are_read(tmp_path: Path) -> None:
    """Else a journal whose mark is read later could track what is behind another one's mark."""
    store, target = tmp_path / "store", tmp_path / "target"
    paths = [store / name / "events" for name in ("A", "B")]
    for path in paths:
        path.parent.mkdir(parents=True)
        with Journal.open(path) as journal:
            journal.append([message()])
    files = ScriptedFiles(SystemFiles())
    refused: list[Exception] = []

    def intrude(call: Call, path: str, *_: Any) -> Any:
        if path == str(paths[1] / "mark") and not refused:  # that of A has been read
            try:
                with Journal.open(paths[0], lock_timeout=0.05) as first:
                    last = first.append([message()]).start
                with Journal.open(paths[1], lock_timeout=0.05) as second:
                    second.append([], tracking=("A", last))
            except LockTimeoutError as error:
                refused.append(error)
        return call()

    files.reactions["open"] = intrude
    report = backup(store, target, effects=Effects(files.files))
    with Journal.open(target / report.directory / "B" / "events", read_only=True) as copy:
        tracked = copy.tracking().get("A", 0)
    assert tracked <= report.journals[0].position
    assert refused


def test_what_the_source_has_lost_is_not_given_up_by_itself(tmp_path: Path) -> None:
    """A journal that is gone, another one, or one that goes less far leaves the copy before."""
    source, target = tmp_path / "store" / "Bank", tmp_path / "backup"
    for name in ("events", "snapshots"):
        (source / name).mkdir(parents=True)
        _fill(source / name, 4)
    shorter = tmp_path / "shorter"
    backup(source / "events", shorter)
    _fill(source / "events", 3)
    backup(source, target)
    shutil.move(source / "events", tmp_path / "moved")
    with pytest.raises(ForeignDirectoryError, match="found no such journal in the source"):
        backup(source, target)
    restore(shorter, source / "events")
    with pytest.raises(ForeignDirectoryError, match="found it up to position 4 only"):
        backup(source, target)
    assert restore(target, tmp_path / "first").journals[0].position == 7
    assert backup(source, target, replace=True).journals[0].position == 4
    shutil.rmtree(source / "events")
    _fill(source / "events", 9)
    with pytest.raises(ForeignDirectoryError, match=r"found journal [0-9a-f]{32}"):
        backup(source, target)
    backup(source, target, replace=True, verify=True)
    shutil.rmtree(source / "events")
    (report,) = backup(source, target, replace=True).journals
    assert report.path == "snapshots"


def test_half_a_backup_is_not_restored(tmp_path: Path) -> None:
    """The record says which journals there are: one that is not there is damage."""
    source, target = tmp_path / "store" / "Bank", tmp_path / "backup"
    for name in ("events", "snapshots"):
        (source / name).mkdir(parents=True)
        _fill(source / name, 4)
    backup(source, target)
    shutil.rmtree(_current(target) / "events")
    with pytest.raises(CorruptionError, match="as the record of the backup says"):
        restore(target, tmp_path / "new")
    assert not (tmp_path / "new").exists()
