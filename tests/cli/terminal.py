"""Runs the command at a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios

from tests.cli.support import COMMAND, environment
from tests.patience import PATIENCE_SECONDS

ROWS = 24


def run_at_terminal(*arguments: object, columns: int = 80, **more: str) -> str:
    """Run ``aurora-es`` with all streams at a terminal; returns what appears on it."""
    return answer_at_terminal("", *arguments, columns=columns, **more)


def answer_at_terminal(keys: str, *arguments: object, columns: int = 80, **more: str) -> str:
    """The same, while somebody has typed ``keys`` already."""
    controller, terminal = pty.openpty()
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        with subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            env=environment(**more),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        ) as process:
            os.close(terminal)
            terminal = -1
            os.write(controller, keys.encode())
            shown = _read_all(controller)
            process.wait(PATIENCE_SECONDS)
    finally:
        os.close(controller)
        if terminal >= 0:
            os.close(terminal)
    return shown.decode().replace("\r\n", "\n")


def _read_all(controller: int) -> bytes:
    shown = b""
    while True:
        try:
            data = os.read(controller, 1 << 16)
        except OSError:  # Linux says so when the last process has left the terminal
            return shown
        if not data:
            return shown
        shown += data
