"""The floor: what the file system asks for the bytes of one event, with nothing around them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from aurora_es.files.layer import open_regular, write_all

if TYPE_CHECKING:
    from aurora_es.files.layer import Effects

FLOOR_BYTES = 300
"""About what a one-event commit of a 200 B event takes on disk."""
_BLOCK_BYTES = 1 << 20


class Floor:
    """Writes and ``fdatasync``, again and again, into one file; ``close`` it when done."""

    def __init__(self, effects: Effects, fd: int, *, wrap_bytes: int | None = None) -> None:
        """Write to ``fd``, from its beginning on, and again from there at ``wrap_bytes``."""
        self._effects = effects
        self._fd = fd
        self._wrap_bytes = wrap_bytes
        self._offset = 0
        self._payload = effects.random_bytes(FLOOR_BYTES)

    @classmethod
    def make(cls, effects: Effects, path: str, *, zeroed_bytes: int = 0) -> Self:
        """Make the file ``path``; with ``zeroed_bytes`` it is filled with so many zeros first.

        What is written goes over these zeros then, and the file does not grow.
        """
        fd = open_regular(effects.files, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        for start in range(0, zeroed_bytes, _BLOCK_BYTES):
            block = bytes(min(_BLOCK_BYTES, zeroed_bytes - start))
            write_all(effects.files, fd, block, start)
        effects.files.fsync(fd)
        return cls(effects, fd, wrap_bytes=zeroed_bytes or None)

    def write(self) -> None:
        """Write and sync once."""
        if self._wrap_bytes is not None and self._offset + FLOOR_BYTES > self._wrap_bytes:
            self._offset = 0
        self._effects.files.pwrite(self._fd, self._payload, self._offset)
        self._effects.files.fdatasync(self._fd)
        self._offset += FLOOR_BYTES

    def run(self, count: int) -> list[float]:
        """Write ``count`` times; the seconds each took."""
        write, monotonic = self.write, self._effects.monotonic
        seconds = []
        for _ in range(count):
            begun = monotonic()
            write()
            seconds.append(monotonic() - begun)
        return seconds

    def close(self) -> None:
        """Close the file."""
        self._effects.files.close(self._fd)
