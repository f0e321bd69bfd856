"""A disk without room is told before anything is written, and progress counts bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from aurora_es import Journal, RollCycle, StorageFullError, Sync
from aurora_es.care import backup, fork, repair, restore, verify
from aurora_es.care.copying import stored_bytes
from aurora_es.errors import AuroraError, CorruptionError
from aurora_es.files.layer import Effects, SystemFiles
from aurora_es.files.surroundings import space_of
from aurora_es.journal import background
from aurora_es.journal.mark_file import read_mark, write_new_mark
from tests.care.stores import PLAIN, ROLLED, SEALED, segment, write_store
from tests.journal.support import message

Work = Callable[[Effects], object]
_UNBOUNDED = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))


class _Free(SystemFiles):
    """A disk on which so many bytes are free; without a number it does not tell."""

    def __init__(self, free_bytes: int | None) -> None:
        """Say what is free."""
        self._free_bytes = free_bytes

    def statvfs(self, path: str) -> os.statvfs_result:  # type: ignore[override]
        """Tell what is free, in blocks of one byte."""
        if self._free_bytes is None:
            raise OSError(38, "Function not implemented", path)
        free = self._free_bytes
        return os.statvfs_result((1, 1, 1 << 40, free, free, 0, 0, 0, 0, 255))


def _sizes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def _listing(root: Path) -> list[tuple[str, int]]:
    paths = [path for path in root.rglob("*") if path.is_file() and path.name != "lock"]
    return sorted((str(path), path.stat().st_size) for path in paths)


def _needed(root: Path, work: Work) -> int:
    """How many bytes have to be free; with one less nothing is written, with them it works."""
    before = _listing(root)
    with pytest.raises(
        StorageFullError, match=r"nothing was written.*`aurora-es doctor`"
    ) as caught:
        work(Effects(_Free(0)))
    found = re.search(r"expected ([\d,]+) bytes free", str(caught.value))
    assert found is not None
    needed = int(found[1].replace(",", ""))
    with pytest.raises(StorageFullError, match=f"found {needed - 1:,};"):
        work(Effects(_Free(needed - 1)))
    assert _listing(root) == before
    work(Effects(_Free(needed)))
    return needed


def test_a_backup_needs_room_for_what_it_copies(tmp_path: Path) -> None:
    """For all files when it copies, for the newest segment when it links, and for what is new."""
    path = write_store(tmp_path / "journal", SEALED)
    copied = tmp_path / "copied"
    needed = _needed(tmp_path, lambda effects: backup(path, copied, copy=True, effects=effects))
    files = [file for file in (copied / "0000000001").iterdir() if file.suffix]
    assert needed == _sizes(files)
    linked = tmp_path / "linked"
    needed = _needed(tmp_path, lambda effects: backup(path, linked, effects=effects))
    (newest,) = (linked / "0000000001").glob("0000000004-*.segment")
    assert needed == newest.stat().st_size
    with Journal.open(path) as journal:
        journal.append([message(b"new")])
    needed = _needed(tmp_path, lambda effects: backup(path, copied, copy=True, effects=effects))
    # One of which the copy before has a part, and one behind it.
    files = [
        file for number in (4, 5) for file in (copied / "0000000002").glob(f"*{number}-*.segment")
    ]
    assert needed == _sizes(files)
    backup(path, copied, copy=True, effects=Effects(_Free(0)))


def test_another_disk_is_seen_before_anything_is_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where source and target are on two devices, every file is going to be copied."""
    path = write_store(tmp_path / "journal", SEALED)
    target = tmp_path / "target"

    class Elsewhere(_Free):
        """The target is on another device."""

        @staticmethod
        def stat(name: str) -> os.stat_result:  # type: ignore[override]
            """Another device, where the target is meant."""
            status = list(os.stat(name))
            if name == str(target):
                status[2] += 1
            return os.stat_result(status)

    whole = _sizes(file for file in path.iterdir() if file.name[0].isdigit())
    with pytest.raises(StorageFullError) as caught:
        backup(path, target, effects=Effects(Elsewhere(0)))
    found = re.search(r"expected ([\d,]+) bytes free", str(caught.value))
    assert found is not None
    tail = (path / segment(4)).stat().st_size
    assert whole - tail < int(found[1].replace(",", "")) <= whole


@pytest.mark.parametrize("position", [None, 9])
def test_a_restore_needs_room_for_all_of_it(tmp_path: Path, position: int | None) -> None:
    """As far as it goes; of the segment that the cut falls into nobody knows how much."""
    path, target = write_store(tmp_path / "journal", SEALED), tmp_path / "backup"
    backup(path, target)
    new = tmp_path / "new"
    needed = _needed(
        tmp_path, lambda effects: restore(target, new, position=position, effects=effects)
    )
    files = [file for file in new.iterdir() if file.suffix]
    if position is not None:
        files = [one for one in files if one.name != segment(3)]
    assert needed == _sizes(files)


def test_a_fork_needs_room_for_what_is_not_linked(tmp_path: Path) -> None:
    """The newest segment; or everything, if it copies."""
    path = write_store(tmp_path / "journal", SEALED)
    new, copied = tmp_path / "new", tmp_path / "copied"
    needed = _needed(tmp_path, lambda effects: fork(path, new, effects=effects))
    assert needed == (new / segment(4)).stat().st_size
    needed = _needed(tmp_path, lambda effects: fork(path, copied, copy=True, effects=effects))
    assert needed == _sizes(file for file in copied.iterdir() if file.suffix)


def test_a_repair_warns_where_there_may_be_no_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows before how much it writes: bytes that are no frames are not written again."""
    path = write_store(tmp_path / "journal", SEALED)
    damaged = path / segment(2)
    junk = damaged.read_bytes() + bytes(range(256)) * 1000
    damaged.write_bytes(junk)
    stored = stored_bytes(SystemFiles(), str(damaged))
    with caplog.at_level("WARNING", "aurora_es.care"):
        assert repair(path, dry_run=True, effects=Effects(_Free(stored))).repairs
        assert not caplog.messages
        assert repair(path, dry_run=True, effects=Effects(_Free(stored - 1))).repairs
        assert not repair(path, effects=Effects(_Free(stored - 1))).dry_run
    assert len(caplog.messages) == 2
    assert f"up to {stored} bytes, and {stored - 1} are free" in caplog.messages[0]
    assert sum(one.stat().st_size for one in path.glob("0000000002-*.r*.segment")) < stored - 1
    assert verify(path).is_whole


@pytest.mark.parametrize(("user", "free"), [(0, 9), (1000, 7)])
def test_root_may_use_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, free: int
) -> None:
    """What a file system keeps back is free for root, and for nobody else."""

    class Reserving(SystemFiles):
        """Nine blocks are free, two of them for root only."""

        def statvfs(self, path: str) -> os.statvfs_result:  # type: ignore[override]
            """Tell so."""
            return os.statvfs_result((1, 1, 1 << 40, 9, 7, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert space_of(Reserving(), str(tmp_path)).free_bytes == free


@pytest.mark.parametrize("found", [_UNBOUNDED, None])
def test_a_file_system_that_does_not_tell(tmp_path: Path, found: os.statvfs_result | None) -> None:
    """It is taken for large enough: zeros are what one without a bound says."""

    class Silent(_Free):
        """Says zeros, or nothing."""

        def statvfs(self, path: str) -> os.statvfs_result:  # type: ignore[override]
            """Tell nothing."""
            return super().statvfs(path) if found is None else found

    silent = Silent(None)
    if found is not None:
        assert space_of(silent, str(tmp_path)).free_bytes is None
    path = write_store(tmp_path / "journal", PLAIN)
    backup(path, tmp_path / "backup", effects=Effects(silent))
    restore(tmp_path / "backup", tmp_path / "new", effects=Effects(silent))


def test_a_file_whose_size_cannot_be_asked(tmp_path: Path) -> None:
    """A link to itself is refused where it is read, by an error that names it."""
    path = write_store(tmp_path / "journal", ROLLED)
    name = path / segment(2)
    name.unlink()
    name.symlink_to(name)
    with pytest.raises(AuroraError, match=re.escape(str(name))):
        backup(path, tmp_path / "backup")


def test_a_mark_that_says_more_than_there_is(tmp_path: Path) -> None:
    """It is told as damage, or does no harm, and is not told as a disk that lacks so much room."""
    path = write_store(tmp_path / "journal", PLAIN)
    files = SystemFiles()
    mark = read_mark(files, str(path))
    (path / "mark").unlink()
    write_new_mark(files, str(path), mark._replace(visible_offset=1 << 60))
    with pytest.raises(CorruptionError):
        backup(path, tmp_path / "backup")
    fork(path, tmp_path / "fork")
    assert verify(tmp_path / "fork").is_whole


class _Told:
    """What a progress was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        """Note it, and that it only rises."""
        assert not self.calls or (done >= self.calls[-1][0] and total == self.calls[-1][1])
        self.calls.append((done, total))

    @property
    def total(self) -> int:
        """Of how much, at the end of which all is done."""
        assert self.calls[-1][0] == self.calls[-1][1]
        return self.calls[-1][1]


def _two_journals(root: Path) -> Path:
    for name, count in (("One", 10), ("Two", 4)):
        path = root / name / "events"
        path.parent.mkdir(parents=True)
        with Journal.open(path, roll_cycle=RollCycle.events(3), sync=Sync.NEVER) as journal:
            for at in range(count):
                journal.append([message(b"%d" % at * 100)])
        background.seal(str(path))
    return root


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    """Those of the backup, which are read, and twice those of the target: written, and read."""
    root = _two_journals(tmp_path / "store")
    backing_up, verifying, restoring = _Told(), _Told(), _Told()
    backup(root, tmp_path / "backup", progress=backing_up)
    copy = tmp_path / "backup" / "0000000001"
    segments = _sizes(copy.rglob("*.segment"))
    assert backing_up.total == segments
    backup(root, tmp_path / "verified", verify=True, progress=verifying)
    assert verifying.total == 2 * segments
    restore(tmp_path / "backup", tmp_path / "new", progress=restoring)
    assert restoring.calls[0] == (0, restoring.total)
    runs, tables = _sizes(copy.rglob("*.index")), _sizes(copy.rglob("*.frames"))
    assert restoring.total == 3 * (segments + runs) + 2 * tables
    # The copying of each file is told, and each file that is verified: not one step for a journal.
    assert len({done for done, _ in restoring.calls}) > 3 * len(list(copy.rglob("*.segment")))
    steps = [later - done for (done, _), (later, _) in pairwise(restoring.calls)]
    assert max(steps) < (segments + runs) // 2
    for copied in (False, True):
        forking = _Told()
        fork(root, tmp_path / f"fork-{copied}", copy=copied, progress=forking)
        assert forking.total == 2 * (segments + runs + tables)
