"""``CrashableFiles``: what one process sees of a ``CrashableDisk``.

Theory of operation: the methods are the system calls of ``aurora_es.files.layer.Files``, with the
errors that the operating system raises. Descriptors and locks belong to the process: ``kill``
takes them away and leaves the cache as it is, as the death of a real process does. A test gives
each imagined process a ``CrashableFiles`` of its own on one disk::

    disk = CrashableDisk()
    disk.make_directories("/data")
    first, second = CrashableFiles(disk), CrashableFiles(disk)

A dead process runs no code, but Python still runs its ``finally`` blocks and finalizers in the
test: every call of a killed process raises SimulatedKill, only ``close`` does nothing. For faults
at a chosen call see ``aurora_es.testing.faulty``.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

from aurora_es.files.layer import DIRECTORY_MODE, FILE_MODE
from aurora_es.testing.disk import CrashableDisk, DirectoryNode, FileNode, Node, status_of

if TYPE_CHECKING:
    import random

_FIRST_DESCRIPTOR = 3


class SimulatedKill(BaseException):
    """The process that made this call is dead; no ``except Exception`` may catch that."""


class OpenFile:
    """An open file description: what descriptors refer to and locks belong to."""

    __slots__ = ("node", "path", "readable", "writable")

    def __init__(self, node: Node, path: str, flags: int) -> None:
        """Open ``node`` as ``flags`` say."""
        access = flags & os.O_ACCMODE
        self.node = node
        self.path = path
        self.readable = access != os.O_WRONLY
        self.writable = access != os.O_RDONLY


class CrashableFiles:
    """The system calls of one process on a ``CrashableDisk``."""

    def __init__(self, disk: CrashableDisk) -> None:
        """Start a process without open files."""
        self.disk = disk
        self.dead = False
        self._descriptors: dict[int, OpenFile] = {}
        self._next_descriptor = _FIRST_DESCRIPTOR
        disk.processes.append(self)

    def kill(self) -> None:
        """Let the process die: descriptors and locks go, the cache of the disk stays."""
        self.dead = True
        for opened in self._descriptors.values():
            _unlock(opened)
        self._descriptors.clear()
        if self in self.disk.processes:
            self.disk.processes.remove(self)

    @property
    def open_paths(self) -> list[str]:
        """Paths under which the open descriptors were opened: to find leaks."""
        return sorted(opened.path for opened in self._descriptors.values())

    # Descriptors

    def open(self, path: str, flags: int, mode: int = FILE_MODE, /) -> int:
        """Open or create a file; a directory can only be read, that is, synced."""
        self._check_alive()
        parent, name = self._parent_of(path)
        node: Node | None = parent.entries.get(name) if name else parent
        if node is None:
            if not flags & os.O_CREAT:
                raise _error(errno.ENOENT, path)
            node = self.disk.new_file(mode & 0o777)
            parent.change((name, node))
        elif flags & os.O_CREAT and flags & os.O_EXCL:
            raise _error(errno.EEXIST, path)
        if isinstance(node, DirectoryNode):
            if flags & (os.O_ACCMODE | os.O_CREAT):
                raise _error(errno.EISDIR, path)
        elif flags & os.O_DIRECTORY:
            raise _error(errno.ENOTDIR, path)
        elif flags & os.O_TRUNC and flags & os.O_ACCMODE != os.O_RDONLY and node.cached:
            node.truncate(0)
        fd = self._next_descriptor
        self._next_descriptor += 1  # never used again: a stale number is always an error
        self._descriptors[fd] = OpenFile(node, path, flags)
        return fd

    def close(self, fd: int, /) -> None:
        """Close a descriptor and drop its lock."""
        if self.dead:
            return
        _unlock(self._opened(fd))
        del self._descriptors[fd]

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        """Read from the cache."""
        opened = self._opened(fd)
        if not opened.readable:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return bytes(_file(opened).cached[offset : offset + length])

    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int:
        """Write into the cache; returns the number of bytes."""
        self._writable(fd).write(data, offset)
        return len(data)

    def ftruncate(self, fd: int, length: int, /) -> None:
        """Cut or extend the file in the cache."""
        self._writable(fd).truncate(length)

    def fsync(self, fd: int, /) -> None:
        """Make bytes and size durable, except for lying sectors."""
        self._opened(fd).node.sync()

    def fdatasync(self, fd: int, /) -> None:
        """Make bytes and size durable, except for lying sectors."""
        self._opened(fd).node.sync()

    def fstat(self, fd: int, /) -> os.stat_result:
        """Type, owner, inode and size."""
        return status_of(self._opened(fd).node)

    def flock(self, fd: int, operation: int, /) -> None:
        """Take or release a lock of this open file; raises BlockingIOError when it is taken.

        Only LOCK_NB can be imitated by one thread: without it a taken lock raises RuntimeError.
        """
        opened = self._opened(fd)
        owners = opened.node.owners
        kind = operation & ~fcntl.LOCK_NB
        if kind == fcntl.LOCK_UN:
            owners.pop(opened, None)
            return
        for owner, held in owners.items():
            if owner is not opened and fcntl.LOCK_EX in {held, kind}:
                if operation & fcntl.LOCK_NB:
                    raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
                message = f"{opened.path}: this lock would never be released"
                raise RuntimeError(message)
        owners[opened] = kind

    # Names

    def stat(self, path: str, /) -> os.stat_result:
        """Type, owner, inode and size."""
        self._check_alive()
        return status_of(self._find(path))

    def link(self, source: str, target: str, /) -> None:
        """Give a file a second name; raises FileExistsError."""
        self._check_alive()
        node = self._find(source)
        parent, name = self._parent_of(target)
        if name in parent.entries:
            raise _error(errno.EEXIST, target)
        parent.change((name, node))

    def rename(self, source: str, target: str, /) -> None:
        """Rename inside one directory, replacing a file, atomically."""
        self._check_alive()
        node = self._find(source)
        parent, name = self._parent_of(source)
        other, new_name = self._parent_of(target)
        if other is not parent:
            raise _error(errno.EXDEV, target)
        if isinstance(parent.entries.get(new_name), DirectoryNode):
            raise _error(errno.EISDIR, target)
        parent.change((name, None), (new_name, node))

    def unlink(self, path: str, /) -> None:
        """Remove a name; open descriptors go on."""
        self._check_alive()
        if isinstance(self._find(path), DirectoryNode):
            raise _error(errno.EISDIR, path)
        parent, name = self._parent_of(path)
        parent.change((name, None))

    def rmdir(self, path: str, /) -> None:
        """Remove an empty directory."""
        if self.listdir(path):
            raise _error(errno.ENOTEMPTY, path)
        parent, name = self._parent_of(path)
        parent.change((name, None))

    def mkdir(self, path: str, mode: int = DIRECTORY_MODE, /) -> None:
        """Make a directory; raises FileExistsError."""
        self._check_alive()
        parent, name = self._parent_of(path)
        if not name or name in parent.entries:
            raise _error(errno.EEXIST, path)
        parent.change((name, self.disk.new_directory(mode & 0o777)))

    def listdir(self, path: str, /) -> list[str]:
        """Names in a directory, in no useful order."""
        self._check_alive()
        return [*reversed(self._directory(path).entries)]

    def sync_directory(self, path: str, /) -> None:
        """Make the names in a directory durable."""
        self._check_alive()
        self._directory(path).sync()

    def drop_cached(self, fd: int, /) -> None:
        """Drop nothing: what was synced reads the same from the cache."""
        self._opened(fd)

    def statvfs(self, path: str, /) -> os.statvfs_result:
        """Count no blocks, as file systems without a bound do."""
        self._check_alive()
        self._directory(path)
        return os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))

    # Failures

    def fail_sync(self, fd: int, rng: random.Random) -> None:
        """Leave the file as a failed fsync does: each dirty sector durable or lying."""
        node = self._opened(fd).node
        if isinstance(node, FileNode):
            node.fail_sync(rng)
        else:
            node.write_back(rng)

    def fail_sync_directory(self, path: str, rng: random.Random) -> None:
        """Leave a directory as a failed sync does: some names durable, the rest unsynced."""
        self._check_alive()
        self._directory(path).write_back(rng)

    # Parts

    def _check_alive(self) -> None:
        if self.dead:
            message = "a call of a process that was killed"
            raise SimulatedKill(message)

    def _opened(self, fd: int) -> OpenFile:
        self._check_alive()
        opened = self._descriptors.get(fd)
        if opened is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return opened

    def _writable(self, fd: int) -> FileNode:
        opened = self._opened(fd)
        if not opened.writable:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return _file(opened)

    def _find(self, path: str) -> Node:
        parent, name = self._parent_of(path)
        node = parent.entries.get(name) if name else parent
        if node is None:
            raise _error(errno.ENOENT, path)
        return node

    def _directory(self, path: str) -> DirectoryNode:
        node = self._find(path)
        if not isinstance(node, DirectoryNode):
            raise _error(errno.ENOTDIR, path)
        return node

    def _parent_of(self, path: str) -> tuple[DirectoryNode, str]:
        *parents, name = path.strip("/").split("/")
        node: Node | None = self.disk.root
        for part in parents:
            if not isinstance(node, DirectoryNode):
                raise _error(errno.ENOTDIR, path)
            node = node.entries.get(part)
            if node is None:
                raise _error(errno.ENOENT, path)
        if not isinstance(node, DirectoryNode):
            raise _error(errno.ENOTDIR, path)
        return node, name


def _file(opened: OpenFile) -> FileNode:
    if not isinstance(opened.node, FileNode):
        raise _error(errno.EISDIR, opened.path)
    return opened.node


def _unlock(opened: OpenFile) -> None:
    opened.node.owners.pop(opened, None)


def _error(number: int, path: str) -> OSError:
    # OSError picks the subclass, FileNotFoundError and so on, by the number.
    return OSError(number, os.strerror(number), path)
