"""Disks and limits of every size: whatever fits is there, and whatever does not is refused."""

import errno
import logging
import os
import resource
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aurora_es.files.layer import SYSTEM_EFFECTS
from tests.fault.figures import Figures
from tests.fault.injection import STEPS, judge
from tests.fault.mounts import make_image, mounted, mounted_tmpfs
from tests.fault.told import Told
from tests.fault.workload import Workload

# A child forked here runs the workload in its only thread, and ends.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
PAGE_BYTES = 4096
_TMPFS_PAGES = 96  # so many hold all that the workload writes
_EXT4_BLOCKS = 400  # so many, too
_EXT4_BLOCK_BYTES = 1024  # of so small a file system


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def live(path: Path, reserve_bytes: int = 2048) -> Told:
    """Run the workload in this process; returns what it told."""
    lines: list[str] = []
    effects = replace(SYSTEM_EFFECTS, reserve_bytes=reserve_bytes)
    workload = Workload(str(path), tell=lines.append, effects=effects)
    workload.take([*STEPS])
    workload.journal = None
    return Told(lines)


def check_elsewhere(path: Path, scratch: Path, told: Told) -> None:
    """Copy what is left to where there is room, and judge it there."""
    target = scratch / "journal"
    if path.exists():
        shutil.copytree(path, target)
    judge(scratch, told)
    shutil.rmtree(target)


def fill_tmpfs(point: Path, scratch: Path, sizes: list[int], figures: Figures) -> None:
    """Live on a tmpfs of each size, then make room and go on in place."""
    for pages in sizes:
        with mounted_tmpfs(point, pages * PAGE_BYTES):
            told = live(point / "journal")
            try:
                check_elsewhere(point / "journal", scratch, told)
            except BaseException as error:
                error.add_note(f"on a tmpfs of {pages} pages")
                raise
        figures.trials += 1
        figures.add(acknowledged=len(told.acknowledged), refused=len(told.refused))
        figures.add(unknown=len(told.unknown))


@pytest.mark.usefixtures("tmpfs")
def test_some_sizes_of_a_disk(tmp_path: Path) -> None:
    """A commit that does not fit is refused, and nothing of it is there; the rest is."""
    point, scratch = tmp_path / "point", tmp_path / "scratch"
    point.mkdir()
    scratch.mkdir()
    with Figures("E6", "tmpfs", "size of a disk") as figures:
        fill_tmpfs(point, scratch, [*range(2, _TMPFS_PAGES, 7)], figures)
    assert figures.counts["refused"]
    assert figures.counts["acknowledged"]


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
@pytest.mark.usefixtures("tmpfs")
def test_every_size_of_a_disk(tmp_path: Path) -> None:
    """The same for every number of pages, up to where all fits."""
    point, scratch = tmp_path / "point", tmp_path / "scratch"
    point.mkdir()
    scratch.mkdir()
    with Figures("E6", "tmpfs", "size of a disk") as figures:
        figures.is_exhaustive = True
        fill_tmpfs(point, scratch, [*range(1, _TMPFS_PAGES)], figures)


def take_all_space(fd: int) -> None:
    """Let a file grow until nothing is free: how much ext4 keeps for itself it does not tell."""
    end = 0
    for step in (1 << 20, 1 << 14, _EXT4_BLOCK_BYTES):
        while True:
            try:
                os.posix_fallocate(fd, end, step)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                os.ftruncate(fd, end)
                break
            end += step


def fill_ext4(image: Path, point: Path, scratch: Path, blocks: int) -> Told:
    """Live on an ext4 of which all but so many blocks are taken."""
    with mounted(image, point):
        filler = point / "filler"
        with filler.open("wb") as file:
            take_all_space(file.fileno())
            file.truncate(os.fstat(file.fileno()).st_size - blocks * _EXT4_BLOCK_BYTES)
            os.fsync(file.fileno())
        try:
            told = live(point / "journal")
            check_elsewhere(point / "journal", scratch, told)
        finally:
            filler.unlink()
            shutil.rmtree(point / "journal", ignore_errors=True)
    return told


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
@pytest.mark.usefixtures("ext4")
def test_every_size_of_ext4(tmp_path: Path) -> None:
    """The same on a real file system, which allocates late and keeps room for itself."""
    image, point, scratch = tmp_path / "image", tmp_path / "point", tmp_path / "scratch"
    point.mkdir()
    scratch.mkdir()
    make_image(image, "ext4")
    with Figures("E6", "ext4", "size of a disk") as figures:
        figures.is_exhaustive = True
        for blocks in range(1, _EXT4_BLOCKS):
            told = fill_ext4(image, point, scratch, blocks)
            figures.trials += 1
            figures.add(acknowledged=len(told.acknowledged), refused=len(told.refused))
            figures.add(unknown=len(told.unknown))
    assert figures.counts["refused"]


def live_limited(path: Path, limit: int) -> Told:
    """Run the workload in a child whose files may have ``limit`` bytes."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            lines: list[str] = []
            effects = replace(SYSTEM_EFFECTS, reserve_bytes=2048)
            workload = Workload(str(path), tell=lines.append, effects=effects)
            workload.take([*STEPS])
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            os.write(writing, "\n".join(lines).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as told:
        lines = told.read().splitlines()
    assert os.waitpid(child, 0)[1] == 0
    return Told(lines)


def limit_files(scratch: Path, limits: list[int], figures: Figures) -> None:
    """Live under each limit, then judge without."""
    for limit in limits:
        told = live_limited(scratch / "journal", limit)
        try:
            judge(scratch, told)
        except BaseException as error:
            error.add_note(f"under RLIMIT_FSIZE {limit}")
            raise
        shutil.rmtree(scratch / "journal")
        figures.trials += 1
        figures.add(acknowledged=len(told.acknowledged), refused=len(told.refused))
        figures.add(unknown=len(told.unknown))


def test_some_limits_of_the_size_of_a_file(tmp_path: Path) -> None:
    """``ulimit -f``: a write up to the limit is short, the next one is refused by the system."""
    with Figures("E6", "ulimit -f", "limit in bytes") as figures:
        limit_files(tmp_path, [*range(0, 9000, 577), 9_500, 12_000, 18_500], figures)
    assert figures.counts["refused"]
    assert figures.counts["acknowledged"]


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_many_limits_of_the_size_of_a_file(tmp_path: Path) -> None:
    """The same for every multiple of seven bytes, up to the largest file."""
    with Figures("E6", "ulimit -f", "limit in bytes") as figures:
        limit_files(tmp_path, [*range(0, 21_000, 7)], figures)
