"""Runs ``aurora-es`` in forks of a process that has imported it, so that no test waits for imports.

Theory of operation: one process for each that runs tests is started with the first command, imports
all commands, and from then on forks a child for each order that comes through a socket. The child takes
environment, directory and arguments from the order, writes to files of its own, enters the command
where the console script does, and ends as that ends. So it is a process as a user's: it has streams,
signals and an exit code, and leaves nothing behind for the next one. What it does not show is the start
of Python itself: ``tests.cli.support.run_anew`` does, once for each command.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
# Read once, when Python or a package is imported.
_READ_AT_THE_START = ("PYTHON", "LC_", "LANG", "TERM", "FORCE_", "NO_", "TTY_", "PY_", "GITHUB_")


def can_run(environment: dict[str, str]) -> bool:
    """Whether a child that finds these variables late acts as one that finds them at its start."""
    return not any(key.startswith(_READ_AT_THE_START) for key in environment)


class Prepared:
    """The process, and the way to it."""

    def __init__(self) -> None:
        """Start it."""
        self._lock = threading.Lock()
        self._directory = tempfile.TemporaryDirectory()
        self._link, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._link.settimeout(PATIENCE_SECONDS)
        self._answers = self._link.makefile("r", encoding="ascii")
        atexit.register(self.close)

    def run(
        self,
        arguments: Sequence[str],
        environment: dict[str, str],
        stdout: str | None = None,
        directory: str | os.PathLike[str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; what it writes to a file of the caller's is not returned."""
        kept = [Path(self._directory.name) / name for name in ("stdout", "stderr")]
        outputs = [stdout or kept[0], kept[1]]
        order = {
            "arguments": list(arguments),
            "environment": environment,
            "directory": str(directory or os.getcwd()),
            "outputs": [str(output) for output in outputs],
        }
        with self._lock:
            try:
                self._link.sendall(json.dumps(order).encode() + b"\n")
                code = int(self._answers.readline())
            except TimeoutError:
                os.killpg(self._process.pid, signal.SIGKILL)
                raise
            printed = "" if stdout else kept[0].read_text("utf-8")
            complained = kept[1].read_text("utf-8")
        return subprocess.CompletedProcess(["aurora-es", *arguments], code, printed, complained)

    def close(self) -> None:
        """Let it end."""
        self._answers.close()
        self._link.close()
        self._process.wait(PATIENCE_SECONDS)
        self._directory.cleanup()


def _become(order: dict[str, object]) -> None:
    """Turn this child into what the order says."""
    environment, arguments, outputs = (
        order[name] for name in ("environment", "arguments", "outputs")
    )
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    assert isinstance(outputs, list)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(str(order["directory"]))
    sys.path[0] = os.getcwd()
    sys.argv = ["aurora-es", *arguments]
    for number, output in enumerate(outputs, start=1):
        written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(written, number)
        os.close(written)


def _order_of_child(orders: TextIO) -> dict[str, object] | None:
    """Fork a child for each order; returns it in the child, and None in the parent at the end."""
    for line in orders:
        child = os.fork()
        if child == 0:
            order: dict[str, object] = json.loads(line)
            return order
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=orders, flush=True)
    return None


def main(descriptor: int) -> None:
    """Obey; a child goes on into the command."""
    import aurora_es.cli.commands  # noqa: F401 - what it is all about
    from aurora_es_command import main as run

    with socket.socket(fileno=descriptor) as link, link.makefile("rw", encoding="utf-8") as orders:
        gc.freeze()
        order = _order_of_child(orders)
    if order is not None:
        _become(order)
        run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
