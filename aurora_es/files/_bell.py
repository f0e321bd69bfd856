"""A bell: the descriptor by which any thread ends another one's ``poll``.

Theory of operation.  On Linux an eventfd, elsewhere a pipe; both without blocking.  ``ring`` takes
no lock, so that it may be called during garbage collection and in a signal handler.

The descriptor is closed by the last reference to the bell and by nothing else.  A thread that
rings or listens holds a reference, so it never writes into, or reads from, a number that has
meanwhile been given to another file: the ring of a bell that was just closed must not land in a
segment.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Bell"]

_RING = (1).to_bytes(8, sys.byteorder)  # what an eventfd adds to its count; a pipe takes any bytes
_SILENCE_BYTES = 4096


class Bell:
    """Readable from a ring until it is silenced."""

    __slots__ = ("_ringing", "descriptor")

    def __init__(self, descriptor: int, ringing: int) -> None:
        """Take over the descriptors to listen on and to ring; an eventfd is both."""
        self.descriptor = descriptor
        self._ringing = ringing

    @classmethod
    def open(cls) -> Bell:
        """Return a new bell; raises OSError when no descriptor is left."""
        if sys.platform == "linux" and hasattr(os, "eventfd"):
            both = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            return cls(both, both)
        return cls.open_pipe()

    @classmethod
    def open_pipe(cls) -> Bell:
        """Return a new bell where the system has no eventfd."""
        listening, ringing = os.pipe()
        os.set_blocking(listening, False)
        os.set_blocking(ringing, False)
        return cls(listening, ringing)

    def ring(self) -> None:
        """Make the descriptor readable; any number of times, from any thread."""
        try:  # noqa: SIM105 - half the cost of contextlib.suppress
            os.write(self._ringing, _RING)
        except BlockingIOError:
            pass  # the counter or the pipe is full, so the bell is rung

    def silence(self) -> None:
        """Forget all rings so far; for the one thread that listens."""
        try:
            while len(os.read(self.descriptor, _SILENCE_BYTES)) == _SILENCE_BYTES:
                pass
        except BlockingIOError:
            pass  # nobody has rung

    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        _close(self.descriptor)
        if self._ringing != self.descriptor:
            _close(self._ringing)
