"""``FaultyFiles``: lets a chosen file operation fail, tear, be interrupted or kill its process.

Theory of operation: a wrapper around any ``Files``, the operating system's or a crashable disk's.
It counts the operations; when the count reaches that of an armed ``Fault``, the fault strikes
once. What needs a crashable disk (a sync that loses bytes, the death of the process) is asked of
the wrapped object if it can do it; over real files a failing sync only raises, and a kill only
stops this wrapper.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aurora_es.files.layer import DIRECTORY_MODE, FILE_MODE, Files
from aurora_es.testing.crashable import CrashableFiles, SimulatedKill

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

# A write inside one aligned line of this size is never torn by anything but a power cut.
_LINE_BYTES = 64
SYNCS = frozenset({"fsync", "fdatasync", "sync_directory"})


class SimulatedInterrupt(BaseException):
    """Stands for KeyboardInterrupt, MemoryError or a cancellation: the process lives on."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at one operation.

    ``kind``: "kill" (SimulatedKill, now and at every later call), "interrupt" (SimulatedInterrupt),
    "error" (OSError with ``error_number``) or "short" (a write of fewer bytes; nothing else).
    ``moment``: "before" the operation, "after" it, or in the "middle", which for a write is behind
    ``part`` of its bytes, and for all else is before. A sync that fails with an error always loses
    bytes, as ``CrashableDisk`` describes; ``moment`` does not matter for it.
    """

    kind: str
    moment: str = "before"
    part: float = 0.5
    error_number: int = errno.EIO


class FaultyFiles:
    """Files whose faults are armed one at a time."""

    def __init__(self, files: Files, rng: random.Random) -> None:
        """Wrap ``files``; ``rng`` decides which bytes a failing sync loses."""
        self.inner = files
        self.count = 0  # operations so far, close not counted: finalizers come when they like
        self.names: list[str] | None = None  # set to a list to record the operations
        self.struck: str | None = None  # name of the operation at which the last fault struck
        # Called before every operation with its name: to stir the disk, or to look at it.
        self.hook: Callable[[str], None] | None = None
        self._rng = rng
        self._dead = False
        self._at = -1
        self._only: frozenset[str] | None = None
        self._fault: Fault | None = None

    def arm(self, fault: Fault, after: int = 0, only: frozenset[str] | None = None) -> None:
        """Let ``fault`` strike at the next operation but ``after``, of those named in ``only``."""
        self._fault, self._only, self.struck = fault, only, None
        self._at = after

    def disarm(self) -> None:
        """Forget the armed fault."""
        self._fault = None

    def _call(self, name: str, *arguments: Any) -> Any:
        if self._dead:
            message = "a call of a process that was killed"
            raise SimulatedKill(message)
        self.count += 1
        if self.names is not None:
            self.names.append(name)
        if self.hook is not None:
            self.hook(name)
        operation = getattr(self.inner, name)
        fault = self._fault
        if fault is None or (self._only is not None and name not in self._only):
            return operation(*arguments)
        self._at -= 1
        if self._at >= 0:
            return operation(*arguments)
        self._fault = None
        self.struck = name
        return self._strike(fault, name, operation, arguments)

    def _strike(self, fault: Fault, name: str, operation: Any, arguments: tuple[Any, ...]) -> Any:
        if fault.kind == "short":
            return (
                self._part(fault, operation, arguments)
                if name == "pwrite"
                else operation(*arguments)
            )
        if fault.kind == "error":
            self._fail(fault, name, operation, arguments)
            raise OSError(fault.error_number, os.strerror(fault.error_number))
        if fault.moment == "after":
            operation(*arguments)
        elif fault.moment == "middle" and name == "pwrite":
            self._part(fault, operation, arguments)
        if fault.kind == "interrupt":
            raise SimulatedInterrupt(name)
        self._dead = True
        if isinstance(self.inner, CrashableFiles):
            self.inner.kill()
        raise SimulatedKill(name)

    def _part(self, fault: Fault, operation: Any, arguments: tuple[Any, ...]) -> int:
        fd, data, offset = arguments
        count = min(max(1, int(len(data) * fault.part)), len(data))
        if offset // _LINE_BYTES == (offset + len(data) - 1) // _LINE_BYTES:
            if fault.kind != "short":
                return 0
            count = len(data)
        operation(fd, data[:count], offset)
        return count

    def _fail(self, fault: Fault, name: str, operation: Any, arguments: tuple[Any, ...]) -> None:
        if name in SYNCS and isinstance(self.inner, CrashableFiles):
            if name == "sync_directory":
                self.inner.fail_sync_directory(arguments[0], self._rng)
            else:
                self.inner.fail_sync(arguments[0], self._rng)
        elif fault.moment == "middle" and name == "pwrite":
            self._part(fault, operation, arguments)

    def open(self, path: str, flags: int, mode: int = FILE_MODE, /) -> int:
        """As the wrapped files do."""
        fd: int = self._call("open", path, flags, mode)
        return fd

    def close(self, fd: int, /) -> None:
        """As the wrapped files do; never fails and is not counted."""
        if not self._dead:
            self.inner.close(fd)

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        """As the wrapped files do."""
        data: bytes = self._call("pread", fd, length, offset)
        return data

    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int:
        """As the wrapped files do."""
        count: int = self._call("pwrite", fd, data, offset)
        return count

    def ftruncate(self, fd: int, length: int, /) -> None:
        """As the wrapped files do."""
        self._call("ftruncate", fd, length)

    def fsync(self, fd: int, /) -> None:
        """As the wrapped files do."""
        self._call("fsync", fd)

    def fdatasync(self, fd: int, /) -> None:
        """As the wrapped files do."""
        self._call("fdatasync", fd)

    def fstat(self, fd: int, /) -> os.stat_result:
        """As the wrapped files do."""
        status: os.stat_result = self._call("fstat", fd)
        return status

    def stat(self, path: str, /) -> os.stat_result:
        """As the wrapped files do."""
        status: os.stat_result = self._call("stat", path)
        return status

    def link(self, source: str, target: str, /) -> None:
        """As the wrapped files do."""
        self._call("link", source, target)

    def rename(self, source: str, target: str, /) -> None:
        """As the wrapped files do."""
        self._call("rename", source, target)

    def unlink(self, path: str, /) -> None:
        """As the wrapped files do."""
        self._call("unlink", path)

    def rmdir(self, path: str, /) -> None:
        """As the wrapped files do."""
        self._call("rmdir", path)

    def mkdir(self, path: str, mode: int = DIRECTORY_MODE, /) -> None:
        """As the wrapped files do."""
        self._call("mkdir", path, mode)

    def listdir(self, path: str, /) -> list[str]:
        """As the wrapped files do."""
        names: list[str] = self._call("listdir", path)
        return names

    def flock(self, fd: int, operation: int, /) -> None:
        """As the wrapped files do."""
        self._call("flock", fd, operation)

    def sync_directory(self, path: str, /) -> None:
        """As the wrapped files do."""
        self._call("sync_directory", path)

    def drop_cached(self, fd: int, /) -> None:
        """As the wrapped files do; not counted, since it changes nothing and cannot fail."""
        self.inner.drop_cached(fd)

    def statvfs(self, path: str, /) -> os.statvfs_result:
        """As the wrapped files do."""
        found: os.statvfs_result = self._call("statvfs", path)
        return found
