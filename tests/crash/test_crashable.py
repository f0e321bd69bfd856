"""The crashable disk and the faulty files do what they promise, no more and no less."""

import copy
import errno
import fcntl
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_es.files.layer import Files, SystemFiles
from aurora_es.testing.crashable import CrashableFiles, SimulatedKill
from aurora_es.testing.disk import CrashableDisk, FileNode
from aurora_es.testing.faulty import Fault, FaultyFiles, SimulatedInterrupt

_CREATE = os.O_RDWR | os.O_CREAT


def new_disk(sector_bytes: int = 64) -> tuple[CrashableDisk, CrashableFiles]:
    """A disk with one durable directory, and a process on it."""
    disk = CrashableDisk(sector_bytes)
    disk.make_directories("/d")
    return disk, CrashableFiles(disk)


def written(files: CrashableFiles, path: str, data: bytes, *, synced: bool = True) -> int:
    """Create a file with a durable name; returns its descriptor."""
    fd = files.open(path, _CREATE)
    files.pwrite(fd, data, 0)
    if synced:
        files.fsync(fd)
    files.sync_directory("/d")
    return fd


def outcomes(disk: CrashableDisk, path: str) -> set[bytes | None]:
    """Contents of ``path`` (None: no such file) after many power cuts of copies of ``disk``."""
    found: set[bytes | None] = set()
    for seed in range(300):
        copied = copy.deepcopy(disk)
        copied.crash(random.Random(seed))
        found.add(copied.content(path) if copied.find(path) else None)
    return found


def test_a_name_that_was_not_synced_may_be_lost() -> None:
    """A synced file whose directory was not synced is there or not; after the sync it is there."""
    disk, files = new_disk()
    fd = files.open("/d/a", _CREATE)
    files.pwrite(fd, b"x", 0)
    files.fsync(fd)
    assert outcomes(disk, "/d/a") == {b"x", None}
    files.sync_directory("/d")
    assert outcomes(disk, "/d/a") == {b"x"}


def test_sectors_are_kept_or_dropped_one_by_one() -> None:
    """Every combination of two unsynced sectors occurs, never half a sector."""
    disk, files = new_disk()
    fd = written(files, "/d/a", b"0" * 128)
    files.pwrite(fd, b"1" * 128, 0)
    assert outcomes(disk, "/d/a") == {
        first * 64 + second * 64 for first in (b"0", b"1") for second in (b"0", b"1")
    }


def test_a_grown_file_may_hold_zeros_or_be_short() -> None:
    """Size and content reach the disk on their own."""
    disk, files = new_disk()
    written(files, "/d/a", b"1" * 64, synced=False)
    found = outcomes(disk, "/d/a")
    assert {b"", bytes(64), b"1" * 64} <= found
    assert all(content is not None and len(content) <= 64 for content in found)


def test_a_cut_may_or_may_not_have_happened() -> None:
    """Without a sync the old end may come back; what was written meanwhile may be anywhere."""
    disk, files = new_disk()
    fd = written(files, "/d/a", b"1" * 128)
    files.ftruncate(fd, 64)
    assert outcomes(disk, "/d/a") == {b"1" * 64, b"1" * 128} | {
        b"1" * size for size in range(64, 129) if b"1" * size in outcomes(disk, "/d/a")
    }
    files.fsync(fd)
    assert outcomes(disk, "/d/a") == {b"1" * 64}


def test_what_was_cut_may_have_been_written_before() -> None:
    """Bytes that were cut again before any sync can come back after a power cut."""
    disk, files = new_disk()
    fd = written(files, "/d/a", bytes(128))
    files.pwrite(fd, b"1" * 64, 64)
    files.ftruncate(fd, 64)
    assert bytes(64) + b"1" * 64 in outcomes(disk, "/d/a")
    files.fsync(fd)
    assert outcomes(disk, "/d/a") == {bytes(64)}


def test_a_rename_is_atomic() -> None:
    """The name leads to the old or the new file, never to none."""
    disk, files = new_disk()
    written(files, "/d/a", b"old")
    written(files, "/d/b", b"new")
    files.rename("/d/b", "/d/a")
    assert files.listdir("/d") == ["a"]
    assert outcomes(disk, "/d/a") == {b"old", b"new"}


def test_a_failed_sync_leaves_lies() -> None:
    """Lying sectors read well, a second sync succeeds and writes nothing, eviction shows it."""
    lied = 0
    for seed in range(20):
        disk, files = new_disk()
        fd = written(files, "/d/a", bytes(64))
        files.pwrite(fd, b"1" * 64, 0)
        files.fail_sync(fd, random.Random(seed))
        assert files.pread(fd, 64, 0) == b"1" * 64
        files.fsync(fd)
        disk.evict()
        lied += files.pread(fd, 64, 0) == bytes(64)
        files.pwrite(fd, b"1" * 64, 0)
        files.fsync(fd)
        disk.crash(random.Random(seed))
        assert disk.content("/d/a") == b"1" * 64
    assert 0 < lied < 20


def test_write_back_makes_some_changes_durable() -> None:
    """What the kernel has written on its own survives, the rest may not."""
    disk, files = new_disk()
    fd = written(files, "/d/a", bytes(128))
    files.pwrite(fd, b"1" * 128, 0)
    seeds = range(50)
    survived = set()
    for seed in seeds:
        copied = copy.deepcopy(disk)
        copied.write_back(random.Random(seed))
        node = copied.find("/d/a")
        assert isinstance(node, FileNode)
        survived.add(bytes(node.durable))
    assert {bytes(128), b"1" * 128, b"1" * 64 + bytes(64)} <= survived


def test_one_unsynced_sector_may_be_garbled() -> None:
    """Only in the file named, and only what was not synced."""
    garbled = 0
    for seed in range(100):
        disk, files = new_disk()
        fd = written(files, "/d/a", b"0" * 128)
        files.pwrite(fd, b"1" * 64, 64)
        disk.crash(random.Random(seed), garbled="/d/a")
        content = disk.content("/d/a")
        assert content[:64] == b"0" * 64
        garbled += content[64:] not in {b"0" * 64, b"1" * 64}
    assert 0 < garbled < 100


def test_the_death_of_a_process_keeps_the_cache_and_frees_its_locks() -> None:
    """Another process takes the lock and reads what the dead one wrote without a sync."""
    disk, files = new_disk()
    other = CrashableFiles(disk)
    fd = written(files, "/d/a", b"x", synced=False)
    taken = other.open("/d/a", os.O_RDWR)
    files.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with pytest.raises(BlockingIOError):
        other.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
    files.kill()
    other.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert other.pread(taken, 9, 0) == b"x"
    with pytest.raises(SimulatedKill):
        files.stat("/d")
    files.close(fd)


def test_locks_belong_to_open_files() -> None:
    """As with flock: again by the same descriptor is fine, by another of the process it is not."""
    _, files = new_disk()
    first, second = files.open("/d/a", _CREATE), files.open("/d/a", _CREATE)
    files.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
    files.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with pytest.raises(BlockingIOError):
        files.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
    files.close(first)
    files.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert files.open_paths == ["/d/a"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda files, d: files.open(f"{d}/none", os.O_RDWR), FileNotFoundError),
        (lambda files, d: files.open(f"{d}/none/a", _CREATE), FileNotFoundError),
        (lambda files, d: files.open(f"{d}/a/b", _CREATE), NotADirectoryError),
        (lambda files, d: files.open(f"{d}/a", _CREATE | os.O_EXCL), FileExistsError),
        (lambda files, d: files.open(d, os.O_RDWR), IsADirectoryError),
        (lambda files, d: files.open(f"{d}/a", os.O_RDONLY | os.O_DIRECTORY), NotADirectoryError),
        (lambda files, d: files.link(f"{d}/a", f"{d}/a"), FileExistsError),
        (lambda files, d: files.link(f"{d}/none", f"{d}/b"), FileNotFoundError),
        (lambda files, d: files.rename(f"{d}/none", f"{d}/b"), FileNotFoundError),
        (lambda files, d: files.unlink(f"{d}/none"), FileNotFoundError),
        (lambda files, d: files.mkdir(d), FileExistsError),
        (lambda files, d: files.listdir(f"{d}/none"), FileNotFoundError),
        (lambda files, d: files.listdir(f"{d}/a"), NotADirectoryError),
        (lambda files, d: files.stat(f"{d}/none"), FileNotFoundError),
        (lambda files, d: files.pread(10_000, 1, 0), OSError),
        (lambda files, d: files.pwrite(files.open(f"{d}/a", os.O_RDONLY), b"x", 0), OSError),
        (lambda files, d: files.pread(files.open(f"{d}/a", os.O_WRONLY), 1, 0), OSError),
    ],
)
def test_errors_are_those_of_the_system(
    call: Callable[[Files, str], object], error: type[OSError], tmp_path: Path
) -> None:
    """The same call raises the same kind of error on the crashable and on the real disk."""
    _, files = new_disk()
    files.open("/d/a", _CREATE)
    (tmp_path / "a").touch()
    numbers = []
    layers: list[tuple[Files, str]] = [(files, "/d"), (SystemFiles(), str(tmp_path))]
    for layer, directory in layers:
        with pytest.raises(error) as raised:
            call(layer, directory)
        numbers.append(raised.value.errno)
    assert numbers[0] == numbers[1]


def test_links_and_status() -> None:
    """A second name leads to the same inode; size, type and number of names are told."""
    disk, files = new_disk()
    fd = written(files, "/d/a", b"abc")
    files.link("/d/a", "/d/b")
    status = files.stat("/d/b")
    assert (status.st_ino, status.st_size, status.st_nlink) == (files.fstat(fd).st_ino, 3, 2)
    assert status.st_uid == os.geteuid()
    files.unlink("/d/a")
    files.unlink("/d/b")
    assert files.fstat(fd).st_nlink == 0
    assert files.pread(fd, 9, 0) == b"abc"
    assert disk.find("/d/a") is None


def test_a_fault_strikes_once_at_the_chosen_call() -> None:
    """Calls before and after it are left alone; the name of the call is kept."""
    _, inner = new_disk()
    files = FaultyFiles(inner, random.Random(1))
    fd = files.open("/d/a", _CREATE)
    files.arm(Fault("error", error_number=errno.ENOSPC), 1, frozenset({"pwrite"}))
    assert files.pwrite(fd, b"x", 0) == 1
    assert files.stat("/d/a").st_size == 1
    with pytest.raises(OSError, match="No space"):
        files.pwrite(fd, b"y", 1)
    assert files.struck == "pwrite"
    assert files.pwrite(fd, b"z", 1) == 1
    assert files.pread(fd, 9, 0) == b"xz"


@pytest.mark.parametrize(("moment", "left"), [("before", 0), ("middle", 100), ("after", 200)])
def test_a_kill_strikes_before_in_or_behind_a_write(moment: str, left: int) -> None:
    """What was written so far stays in the cache, and the process makes no further call."""
    disk, inner = new_disk()
    files = FaultyFiles(inner, random.Random(1))
    fd = files.open("/d/a", _CREATE)
    files.arm(Fault("kill", moment))
    with pytest.raises(SimulatedKill):
        files.pwrite(fd, b"x" * 200, 0)
    assert disk.content("/d/a") == b"x" * left
    with pytest.raises(SimulatedKill):
        files.stat("/d")
    files.close(fd)


def test_an_interrupt_and_a_short_write_leave_the_process_alive() -> None:
    """The interrupted caller may call again; a short write says how far it came."""
    _, inner = new_disk()
    files = FaultyFiles(inner, random.Random(1))
    fd = files.open("/d/a", _CREATE)
    files.arm(Fault("interrupt", "after"))
    with pytest.raises(SimulatedInterrupt):
        files.pwrite(fd, b"x" * 200, 0)
    files.arm(Fault("short", "middle", 0.25))
    assert files.pwrite(fd, b"y" * 200, 0) == 50
    assert files.pread(fd, 300, 0) == b"y" * 50 + b"x" * 150


def test_a_line_of_64_bytes_is_never_torn_by_a_kill() -> None:
    """As in a page cache: a slot of the mark is there or not."""
    disk, inner = new_disk()
    files = FaultyFiles(inner, random.Random(1))
    fd = files.open("/d/a", _CREATE)
    files.pwrite(fd, bytes(64), 0)
    files.arm(Fault("kill", "middle"))
    with pytest.raises(SimulatedKill):
        files.pwrite(fd, b"x" * 64, 0)
    assert disk.content("/d/a") == bytes(64)


def test_faults_over_real_files(tmp_path: Path) -> None:
    """Over the operating system's files a failing sync only raises, and nothing else changes."""
    files = FaultyFiles(SystemFiles(), random.Random(1))
    fd = files.open(str(tmp_path / "a"), _CREATE)
    files.pwrite(fd, b"x", 0)
    files.arm(Fault("error"), 0, frozenset({"fsync"}))
    with pytest.raises(OSError, match="Input/output"):
        files.fsync(fd)
    files.fsync(fd)
    files.close(fd)
    assert (tmp_path / "a").read_bytes() == b"x"
