"""A file, served by FUSE, that records every write and every flush: the disk below a loop device.

Theory of operation: a process of its own speaks the kernel's FUSE protocol on ``/dev/fuse``, without a
library; only what a loop device and a reader of two files need is there. ``disk`` is the image, which
lives in the memory of this process; ``length`` tells how many writes and flushes there were, so that
who has just seen a commit acknowledged knows how much of the record it covers. The kernel passes
writes on at once, as one request after the other, and a flush of the loop device as FSYNC.

Arguments: an empty directory, the image, and the file to which the record goes when ``disk`` is
unmounted: for each entry its offset (-1 for a flush) and length, then the bytes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

_IN = struct.Struct("<IIQQIIIHH")  # length, opcode, unique, node, user, group, process
_OUT = struct.Struct("<IiQ")  # length, error, unique
_INIT = struct.Struct("<IIIIHHIIHHII24x")
_ENTRY = struct.Struct("<QQQQII")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_OPENED = struct.Struct("<QII")
_READ_OR_WRITE = struct.Struct("<QQIIQII")
_ENTRY_OF_RECORD = struct.Struct("<qI")

_LOOKUP, _FORGET, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE = 1, 2, 3, 4, 14, 15, 16
_STATFS, _RELEASE, _FSYNC, _FLUSH, _INIT_CODE, _INTERRUPT, _DESTROY = 17, 18, 20, 25, 26, 36, 38
_BATCH_FORGET = 42
_UNANSWERED = {_FORGET, _BATCH_FORGET, _INTERRUPT}
_MAX_WRITE = 1 << 17
_BIG_WRITES = 1 << 5
_DIRECT_IO = 1
_ROOT, _DISK, _LENGTH = 1, 2, 3
FLUSH = -1
NAMES = {b"disk": _DISK, b"length": _LENGTH}


class Entry(NamedTuple):
    """A write, or a flush (offset -1)."""

    offset: int
    data: bytes


class Server:
    """Answers the kernel until the file system is unmounted."""

    def __init__(self, image: bytearray) -> None:
        """Serve ``image``."""
        self.image = image
        self.record: list[Entry] = []
        self._answers: dict[int, Callable[[int, memoryview], bytes]] = {
            _INIT_CODE: self._init,
            _LOOKUP: self._look_up,
            _GETATTR: lambda node, _: struct.pack("<QII", 0, 0, 0) + self._attributes(node),
            _SETATTR: lambda node, _: struct.pack("<QII", 0, 0, 0) + self._attributes(node),
            _OPEN: self._open,
            _READ: self._read,
            _WRITE: self._write,
            _FSYNC: self._flush,
            _FLUSH: lambda *_: b"",
            _RELEASE: lambda *_: b"",
            _DESTROY: lambda *_: b"",
            _STATFS: lambda *_: bytes(80),
        }

    def serve(self, fd: int) -> None:
        """Read requests and answer them."""
        while True:
            try:
                request = memoryview(os.read(fd, _MAX_WRITE + 4096))
            except OSError as error:
                if error.errno == errno.ENODEV:  # unmounted
                    return
                if error.errno in {errno.EINTR, errno.ENOENT}:
                    continue
                raise
            _, opcode, unique, node, *_ = _IN.unpack_from(request)
            if opcode in _UNANSWERED:
                continue
            answer = self._answers.get(opcode)
            error_number, body = 0, b""
            try:
                if answer is None:
                    raise OSError(errno.ENOSYS, "")
                body = answer(node, request[_IN.size :])
            except OSError as error:
                error_number = error.errno or errno.EIO
            os.write(fd, _OUT.pack(_OUT.size + len(body), -error_number, unique) + body)

    def _init(self, node: int, body: memoryview) -> bytes:
        _, minor, read_ahead, flags = struct.unpack_from("<IIII", body)
        flags &= _BIG_WRITES
        return _INIT.pack(7, min(minor, 31), read_ahead, flags, 16, 12, _MAX_WRITE, 1, 0, 0, 0, 0)

    def _attributes(self, node: int) -> bytes:
        mode = stat.S_IFDIR | 0o700 if node == _ROOT else stat.S_IFREG | 0o600
        size = len(self.image) if node == _DISK else 64 if node == _LENGTH else 0
        times = (0,) * 6
        return _ATTRIBUTES.pack(node, size, size // 512, *times, mode, 1, 0, 0, 0, 4096, 0)

    def _look_up(self, node: int, body: memoryview) -> bytes:
        found = NAMES.get(bytes(body).rstrip(b"\0"))
        if found is None:
            raise OSError(errno.ENOENT, "")
        return _ENTRY.pack(found, 0, 0, 0, 0, 0) + self._attributes(found)

    def _open(self, node: int, body: memoryview) -> bytes:
        return _OPENED.pack(0, _DIRECT_IO if node == _LENGTH else 0, 0)

    def _read(self, node: int, body: memoryview) -> bytes:
        _, offset, size, *_ = _READ_OR_WRITE.unpack_from(body)
        if node == _LENGTH:
            return str(len(self.record)).encode()[offset : offset + size]
        return bytes(self.image[offset : offset + size])

    def _write(self, node: int, body: memoryview) -> bytes:
        _, offset, size, *_ = _READ_OR_WRITE.unpack_from(body)
        data = bytes(body[_READ_OR_WRITE.size : _READ_OR_WRITE.size + size])
        self.image[offset : offset + size] = data
        self.record.append(Entry(offset, data))
        return struct.pack("<II", size, 0)

    def _flush(self, node: int, body: memoryview) -> bytes:
        self.record.append(Entry(FLUSH, b""))
        return b""


def mount(fd: int, point: str) -> None:
    """Mount what is served on ``fd``; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fd},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    if libc.mount(b"aurora", os.fsencode(point), b"fuse", 0, options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), point)


def read_record(path: Path) -> Iterator[Entry]:
    """Read what ``main`` has written."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        offset, length = _ENTRY_OF_RECORD.unpack_from(data, at)
        at += _ENTRY_OF_RECORD.size
        yield Entry(offset, data[at : at + length])
        at += length


def main(point: str, image: str, record: str) -> None:
    """Serve an image; tell ``mounted``, and write the record in the end."""
    server = Server(bytearray(Path(image).read_bytes()))
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    mount(fd, point)
    sys.stdout.write("mounted\n")
    sys.stdout.flush()
    server.serve(fd)
    with Path(record).open("wb") as file:
        file.writelines(
            _ENTRY_OF_RECORD.pack(offset, len(data)) + data for offset, data in server.record
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
