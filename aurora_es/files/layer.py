"""The file layer: every effect on the disk, the clock and the random source goes through here.

Theory of operation: the journal calls nothing in ``os`` on its own. It gets an ``Effects`` value,
whose ``files`` is the operating system here and a crashable or faulty imitation in tests (see
``aurora_es.testing``). The methods are the system calls, one to one, so that a test can fail,
cut or lose any of them; descriptors are plain integers.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aurora_es.errors import ForeignDirectoryError

if TYPE_CHECKING:
    from collections.abc import Callable

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


class Files(Protocol):
    """The system calls that the journal uses; paths are absolute, descriptors are integers."""

    def open(self, path: str, flags: int, mode: int = FILE_MODE, /) -> int: ...  # noqa: D102
    def close(self, fd: int, /) -> None: ...  # noqa: D102
    def pread(self, fd: int, length: int, offset: int, /) -> bytes: ...  # noqa: D102
    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int: ...  # noqa: D102
    def ftruncate(self, fd: int, length: int, /) -> None: ...  # noqa: D102
    def fsync(self, fd: int, /) -> None: ...  # noqa: D102
    def fdatasync(self, fd: int, /) -> None: ...  # noqa: D102
    def fstat(self, fd: int, /) -> os.stat_result: ...  # noqa: D102
    def stat(self, path: str, /) -> os.stat_result: ...  # noqa: D102
    def link(self, source: str, target: str, /) -> None: ...  # noqa: D102
    def rename(self, source: str, target: str, /) -> None: ...  # noqa: D102
    def unlink(self, path: str, /) -> None: ...  # noqa: D102
    def rmdir(self, path: str, /) -> None: ...  # noqa: D102
    def mkdir(self, path: str, mode: int = DIRECTORY_MODE, /) -> None: ...  # noqa: D102
    def listdir(self, path: str, /) -> list[str]: ...  # noqa: D102
    def flock(self, fd: int, operation: int, /) -> None: ...  # noqa: D102
    def sync_directory(self, path: str, /) -> None: ...  # noqa: D102
    def drop_cached(self, fd: int, /) -> None: ...  # noqa: D102
    def statvfs(self, path: str, /) -> os.statvfs_result: ...  # noqa: D102


def _full_sync(fd: int) -> None:
    # On macOS fsync only hands the data to the drive; F_FULLFSYNC asks for the medium.
    fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # type: ignore[attr-defined]


class SystemFiles:
    """The operating system's own calls; static, so that the hot path pays one attribute look-up."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    pread = staticmethod(os.pread)
    pwrite = staticmethod(os.pwrite)
    ftruncate = staticmethod(os.ftruncate)
    if sys.platform == "darwin":
        fsync = staticmethod(_full_sync)
        fdatasync = staticmethod(_full_sync)
    else:
        fsync = staticmethod(os.fsync)
        fdatasync = staticmethod(os.fdatasync)
    fstat = staticmethod(os.fstat)
    stat = staticmethod(os.stat)
    link = staticmethod(os.link)
    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    rmdir = staticmethod(os.rmdir)
    mkdir = staticmethod(os.mkdir)
    listdir = staticmethod(os.listdir)
    statvfs = staticmethod(os.statvfs)
    flock = staticmethod(fcntl.flock)

    @staticmethod
    def sync_directory(path: str) -> None:
        """Make creations, links, renames and removals in ``path`` durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    @staticmethod
    def drop_cached(fd: int) -> None:
        """Ask that what was synced of a file be read from the medium again; only a wish."""
        if sys.platform != "darwin":
            with contextlib.suppress(OSError):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def _clock() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Effects:
    """All that a journal needs from outside; tests pass their own."""

    files: Files
    clock: Callable[[], int] = _clock  # microseconds, UTC
    monotonic: Callable[[], float] = time.monotonic  # seconds
    random_bytes: Callable[[int], bytes] = os.urandom
    sleep: Callable[[float], None] = time.sleep  # between two tries for a lock only
    reserve_bytes: int = 1 << 20  # step in which the tail is filled with zeros ahead of use


SYSTEM_EFFECTS = Effects(SystemFiles())


def open_regular(files: Files, path: str, flags: int, mode: int = FILE_MODE) -> int:
    """Open ``path`` and make sure that it is a regular file of our own.

    Symbolic links, FIFOs, devices and files of other users are refused with ForeignDirectoryError:
    a journal directory may be writable by somebody else, and bytes of a link's target are not ours.
    """
    try:
        fd = files.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.EISDIR}:
            raise _not_regular(path, "a link, a FIFO or a directory") from error
        raise
    try:
        status = files.fstat(fd)
    except BaseException:
        files.close(fd)
        raise
    if not stat.S_ISREG(status.st_mode):
        files.close(fd)
        raise _not_regular(path, f"another kind of file (mode {status.st_mode:o})")
    user = os.geteuid()
    # The superuser may look after anybody's journal; everybody else keeps to files of his own.
    if user and status.st_uid not in {user, 0}:
        files.close(fd)
        message = (
            f"{path}: expected a file of user {user}, found one of user {status.st_uid}; nothing was"
            " changed. Run as its owner: `aurora-es doctor` looks at rights"
        )
        raise ForeignDirectoryError(message)
    return fd


def _not_regular(path: str, found: str) -> ForeignDirectoryError:
    return ForeignDirectoryError(
        f"{path}: expected a regular file, found {found}; nothing was changed. Move it away, or give"
        " the journal a directory of its own: `aurora-es doctor` looks at it"
    )


def read_exactly(files: Files, fd: int, length: int, offset: int) -> bytes:
    """Read ``length`` bytes at ``offset``; fewer only where the file ends before."""
    data = files.pread(fd, length, offset)
    if len(data) == length or not data:
        return data
    parts = [data]
    got = len(data)
    while got < length:
        data = files.pread(fd, length - got, offset + got)
        if not data:
            break
        parts.append(data)
        got += len(data)
    return b"".join(parts)


def write_all(files: Files, fd: int, data: bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``; a short write is continued, an error is raised."""
    written = files.pwrite(fd, data, offset)
    while written < len(data):
        data = data[written:]
        offset += written
        written = files.pwrite(fd, data, offset)


def read_if_there(files: Files, path: str, length_max: int) -> bytes | None:
    """Read a small file of our own, up to ``length_max`` bytes; None when there is none."""
    try:
        fd = open_regular(files, path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return read_exactly(files, fd, length_max, 0)
    finally:
        files.close(fd)


def write_synced(files: Files, path: str, data: bytes) -> None:
    """Write a whole file and force its bytes to disk; the caller syncs its name."""
    fd = open_regular(files, path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(files, fd, data, 0)
        files.fsync(fd)
    finally:
        files.close(fd)


def replace_file(files: Files, path: str, data: bytes, *, draft: str) -> None:
    """Replace a file at once and durably: whoever opens it finds the old bytes or the new ones.

    ``draft`` is the path of the temporary file, in the same directory.
    """
    write_synced(files, draft, data)
    files.rename(draft, path)
    files.sync_directory(os.path.dirname(path))


def exists(files: Files, path: str) -> bool:
    """Whether there is anything of this name; a link that leads nowhere is nothing."""
    try:
        files.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_public(mode: int) -> bool:
    """Whether everybody may replace what is in a directory of this mode: no sticky bit forbids it."""
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def is_directory(files: Files, path: str) -> bool:
    """Whether ``path`` is a directory itself, and no link to one."""
    try:
        fd = files.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in {errno.ENOTDIR, errno.ELOOP, errno.ENOENT, errno.ENXIO}:
            raise
        return False
    files.close(fd)
    return True
