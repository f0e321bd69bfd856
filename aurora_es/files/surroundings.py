"""What a directory's file system and this machine offer: space, locks, links, wake-ups, sync cost.

Theory of operation: everything but ``probe`` only looks. Whether flock works is seen on a file that
exists, by two descriptors: while one holds a shared lock, the other must be refused an exclusive
one; neither disturbs anybody who uses the file, if the lock is one that is taken shared. ``probe``
makes one file and removes its names at once: killed in the middle it leaves at most these.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH
from typing import TYPE_CHECKING

from aurora_es.files.floor import Floor
from aurora_es.files.layer import open_regular
from aurora_es.files.wakeups import open_watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.files.layer import Effects, Files

_INOTIFY_LIMITS = "/proc/sys/fs/inotify"
_PROBE_NAME = ".aurora-es-probe-"
_PROBE_SYNCS = 50


@dataclass(frozen=True, slots=True)
class Space:
    """What is free for us on a file system."""

    free_bytes: int | None  # None where the file system does not count them: one without a bound
    free_inodes: int | None  # None where the file system does not count them
    is_read_only: bool


@dataclass(frozen=True, slots=True)
class Probed:
    """What writing to a directory has shown; times in microseconds."""

    flock: bool
    hard_links: bool
    sync_p50_us: int
    sync_p99_us: int


def nearest_directory(path: str) -> str:
    """``path``, or the nearest directory above it that exists."""
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def space_of(files: Files, path: str) -> Space:
    """What is free on the file system of a directory; raises OSError."""
    found = files.statvfs(path)
    # A file system may keep a reserve that only root may use.
    blocks = found.f_bavail if os.geteuid() else found.f_bfree
    return Space(
        free_bytes=blocks * found.f_frsize if found.f_blocks else None,
        free_inodes=found.f_favail if found.f_files else None,
        is_read_only=bool(found.f_flag & os.ST_RDONLY),
    )


def flock_excludes(files: Files, path: str) -> bool:
    """Whether a shared flock on the file at ``path`` keeps an exclusive one out; raises OSError."""
    first = open_regular(files, path, os.O_RDONLY)
    try:
        second = open_regular(files, path, os.O_RDONLY)
        try:
            return not _locks(files, first, LOCK_SH) or not _locks(files, second, LOCK_EX)
        finally:
            files.close(second)
    finally:
        files.close(first)


def _locks(files: Files, fd: int, operation: int) -> bool:
    """Whether the lock is granted; False while another one excludes it. Raises OSError."""
    try:
        files.flock(fd, operation | LOCK_NB)
    except BlockingIOError:
        return False
    return True


def probe(effects: Effects, directory: str) -> Probed:
    """Write, lock, link and sync one temporary file in ``directory``; raises OSError."""
    files = effects.files
    path = os.path.join(directory, _PROBE_NAME + effects.random_bytes(8).hex())
    fd = open_regular(files, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        try:
            works = _works(lambda: flock_excludes(files, path))
            links = _works(lambda: _links(files, path))
        finally:
            files.unlink(path)
        times = sorted(Floor(effects, fd).run(_PROBE_SYNCS))
    finally:
        files.close(fd)
    return Probed(
        flock=works,
        hard_links=links,
        sync_p50_us=round(times[len(times) // 2] * 1_000_000),
        sync_p99_us=round(times[len(times) * 99 // 100] * 1_000_000),
    )


def _works(attempt: Callable[[], bool]) -> bool:
    try:
        return attempt()
    except OSError:
        return False


def _links(files: Files, path: str) -> bool:
    files.link(path, path + ".link")
    files.unlink(path + ".link")
    return True


def watcher_error() -> str:
    """Why this process cannot have a kernel watcher; empty if it can."""
    try:
        open_watcher()
    except OSError as error:
        return str(error)
    return ""


def inotify_limits() -> dict[str, int]:
    """The kernel's limits of inotify, by their names; empty where there is no inotify."""
    limits = {}
    for name in ("max_user_instances", "max_user_watches"):
        try:
            with open(os.path.join(_INOTIFY_LIMITS, name), encoding="ascii") as file:
                limits[name] = int(file.read())
        except (OSError, ValueError):
            continue
    return limits
