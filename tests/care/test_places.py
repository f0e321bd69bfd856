"""Where a copy is made, and from where on: what cannot be is refused early, and leaves nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_es import ArgumentError, ForeignDirectoryError, Journal, RollCycle, StorageFullError
from aurora_es.care import backup, fork, repair, restore, verify
from aurora_es.files.layer import Effects, SystemFiles
from aurora_es.journal import background
from aurora_es.journal.retention import retain
from tests.journal.support import flip, message

MOUNT_POINT = "/proc"  # nothing is written to it

Copy = Callable[..., object]


def made(tmp_path: Path) -> tuple[Path, Path]:
    """A journal of sealed segments of four records, and a target of backups."""
    path = tmp_path / "journal"
    with Journal.open(path, roll_cycle=RollCycle.events(4), background=False) as journal:
        for number in range(18):
            journal.append([message(b"%d" % number * 100)])
    background.seal(str(path))
    return path, tmp_path / "backup"


@pytest.mark.parametrize("copy", [restore, fork])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_link_stands_for_where_it_leads(tmp_path: Path, copy: Copy, *, is_there: bool) -> None:
    """To an empty directory, or to none yet: the store is there, and the link still leads to it."""
    path, target = made(tmp_path)
    backup(path, target)
    elsewhere = tmp_path / "disk" / "elsewhere"
    elsewhere.parent.mkdir()
    if is_there:
        elsewhere.mkdir()
    link = tmp_path / "link"
    link.symlink_to(elsewhere)
    copy(target if copy is restore else path, link)
    assert link.is_symlink()
    assert verify(link).is_whole
    assert os.listdir(elsewhere.parent) == ["elsewhere"]
    assert sorted(os.listdir(tmp_path)) == ["backup", "disk", "journal", "link"]


@pytest.mark.parametrize("copy", [backup, restore, fork])
def test_a_link_into_the_source_is_no_way_around(tmp_path: Path, copy: Copy) -> None:
    """A target inside of the source is refused by any name, and told what to do."""
    path, target = made(tmp_path)
    backup(path, target)
    source = target if copy is restore else path
    (tmp_path / "link").symlink_to(source)
    before = sorted(os.listdir(source))
    with pytest.raises(ArgumentError, match=rf"`aurora-es {copy.__name__} {source} TARGET`"):
        copy(source, tmp_path / "link" / "new")
    assert sorted(os.listdir(source)) == before


@pytest.mark.skipif(not os.path.ismount(MOUNT_POINT), reason="no such mount point here")
@pytest.mark.parametrize("copy", [restore, fork])
def test_a_mount_point_is_refused_before_anything_is_copied(tmp_path: Path, copy: Copy) -> None:
    """No directory can take its place."""
    path, target = made(tmp_path)
    backup(path, target)
    with pytest.raises(ForeignDirectoryError, match="found a mount point"):
        copy(target if copy is restore else path, MOUNT_POINT)
    assert not os.path.exists(MOUNT_POINT + ".restoring")


@pytest.mark.parametrize("copy", [restore, fork])
def test_what_is_missing_at_the_beginning_is_told_as_it_is(tmp_path: Path, copy: Copy) -> None:
    """Dropped by retain, or lost by damage: two reasons, and where the first commit left ends."""
    path, target = made(tmp_path)
    retain(str(path), before_position=9)
    flip(next(path.glob("0000000003-*.segment")), 400)
    assert repair(path).lost == ((9, 9),)
    backup(path, target)
    source, new = target if copy is restore else path, tmp_path / "new"
    for position, reason in (
        (8, "what is before position 9 was dropped"),
        (9, "position 9 was lost"),
    ):
        with pytest.raises(ArgumentError, match=reason) as caught:
            copy(source, new, position=position)
        assert "`--position 10`" in str(caught.value)
        assert ("lost" in str(caught.value)) is (position == 9)
        assert sorted(os.listdir(tmp_path)) == ["backup", "journal", "journal.broken-1"]
    copy(source, new, position=10)
    assert verify(new).last_position == 10


class _Full(SystemFiles):
    """A disk on which nothing more can be written."""

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:  # type: ignore[override]
        """Fail as the system does: without a name."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("copy", [backup, restore, fork])
def test_a_full_disk_is_told_by_its_name(tmp_path: Path, copy: Copy) -> None:
    """With what to do; what was written goes, since room is what is missing."""
    path, target = made(tmp_path)
    backup(path, target)
    new = tmp_path / "new"
    with pytest.raises(StorageFullError, match=f"{new}: No space left.*`aurora-es doctor`"):
        copy(target if copy is restore else path, new, effects=Effects(_Full()))
    left = {*tmp_path.iterdir()} - {path, target}
    assert left == ({new} if copy is backup else set())
    assert copy is not backup or os.listdir(new) == ["lock"]
