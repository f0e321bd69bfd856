"""A process that examines segments for another one; ``examining.py`` starts it.

       ┌──────────────── length u64 | GREETING <─────┐
       v                                             │
    verify ──> length u64 | order  ──> socket ──> examiner
       ^                                             │
       └────── length u64 | SegmentResult or nil <───┘

Theory of operation: stdin is a socket. The process greets: whoever started it may have started
something else. Then orders come in, one at a time, and each is answered before the next is read; all
of it is MessagePack. Where the other end is closed, as when whoever gave the orders was
killed, the process ends. What ``examine`` raises ends it, too, for whoever gave the order examines
that segment itself then, and sees the error. It is no child of multiprocessing, which would import
the user's main module again.
"""

from __future__ import annotations

import signal
import socket
from struct import Struct
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.segment_check import SegmentResult, examine
from aurora_es.care.segment_facts import Target
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal.gathering import Bound

if TYPE_CHECKING:
    from aurora_es.files.layer import Files

_GREETING = b"aurora_es.care.examiner"
_LENGTH = Struct("<Q")  # of the message behind it, bytes
# Findings are the longest: some hundred bytes for each damaged stretch of a segment.
_MESSAGE_BYTES_MAX = 1 << 30
_PIECE_BYTES = 1 << 20
# Whoever wants SIGPIPE to end a process does not want it for an examiner that was killed.
_NO_SIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)


class Order(msgspec.Struct, array_like=True, frozen=True):
    """One segment to be examined."""

    directory: str
    target: Target
    bound: Bound


encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
_decoder: msgspec.msgpack.Decoder[SegmentResult | None]
_decoder = msgspec.msgpack.Decoder(SegmentResult | None)
decode_result = _decoder.decode


def examined(files: Files, directory: str, target: Target, bound: Bound) -> SegmentResult | None:
    """Examine one segment; None if there is no such file."""
    try:
        return examine(files, directory, target, bound)
    except FileNotFoundError:
        return None


def await_greeting(link: socket.socket, seconds: float) -> None:
    """Wait until an examiner is there; raises EOFError, OSError if none is."""
    link.settimeout(seconds)
    if receive(link) != _GREETING:
        raise EOFError
    link.settimeout(None)


def send(link: socket.socket, message: bytes) -> None:
    """Send one message; raises OSError if the other end is closed."""
    link.sendall(_LENGTH.pack(len(message)) + message, _NO_SIGNAL)


def receive(link: socket.socket) -> bytes:
    """Wait for one message; raises EOFError, OSError if the other end is closed."""
    (length,) = _LENGTH.unpack(_receive_exactly(link, _LENGTH.size))
    if length > _MESSAGE_BYTES_MAX:
        message = f"a message of {length} bytes, at most {_MESSAGE_BYTES_MAX} expected"
        raise EOFError(message)
    return _receive_exactly(link, length)


def _receive_exactly(link: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = link.recv(min(length - len(data), _PIECE_BYTES))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def main() -> None:
    """Examine until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches all of a command: no traceback
    with socket.socket(fileno=0) as link:
        try:
            send(link, _GREETING)
            while True:
                order = decode_order(receive(link))
                result = examined(SYSTEM_EFFECTS.files, order.directory, order.target, order.bound)
                send(link, encode(result))
        except (EOFError, ConnectionError):
            return
