"""The floor: what the file system asks for the bytes of one event, with nothing around them."""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter

FLOOR_BYTES = 300
"""About what a one-event commit of a 200 B event takes on disk."""

# macOS has no fdatasync; there fsync is the nearest thing (and does not flush the drive's cache).
_sync = getattr(os, "fdatasync", os.fsync)


class Floor:
    """``pwrite`` and ``fdatasync``, again and again, into one file; ``close`` it when done."""

    def __init__(self, path: Path, *, zeroed_bytes: int = 0) -> None:
        """With ``zeroed_bytes``, the file is filled with that many zeros and synced first."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._offset = 0
        self._payload = os.urandom(FLOOR_BYTES)
        for start in range(0, zeroed_bytes, 1 << 20):
            os.pwrite(self._fd, bytes(min(1 << 20, zeroed_bytes - start)), start)
        os.fsync(self._fd)

    def run(self, count: int) -> list[float]:
        """Write ``count`` times; the seconds each took."""
        fd, offset, payload = self._fd, self._offset, self._payload
        seconds = []
        for _ in range(count):
            started = perf_counter()
            os.pwrite(fd, payload, offset)
            _sync(fd)
            seconds.append(perf_counter() - started)
            offset += FLOOR_BYTES
        self._offset = offset
        return seconds

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
