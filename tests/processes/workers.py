"""Starts the other processes of these tests, and talks to them in lines."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parent.parent.parent


class Worker:
    """A process that runs one of the modules beside this one; ended with the context."""

    def __init__(self, module: str, *arguments: object) -> None:
        """Start ``tests.processes.<module>``."""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error",
                "-m",
                f"tests.processes.{module}",
                *map(str, arguments),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, line: str) -> None:
        """Tell the process something."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def receive(self) -> str:
        """Wait for the next line of the process."""
        assert self._process.stdout is not None
        # A worker that hangs is ended, so that who waits for its answer fails and does not hang.
        guard = threading.Timer(PATIENCE_SECONDS, self._process.kill)
        guard.start()
        line = self._process.stdout.readline()
        guard.cancel()
        assert line.endswith("\n"), f"the worker ended with {self._process.wait()}"
        return line.rstrip("\n")

    def ask(self, line: str) -> str:
        """Tell the process something and wait for the answer."""
        self.send(line)
        return self.receive()

    def __enter__(self) -> Self:
        """Return the worker."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the process end, or end it if the test has failed."""
        if error is not None:
            self._process.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        status = self._process.wait(PATIENCE_SECONDS)
        self._process.stdout.close()
        assert status == 0 or error is not None, f"the worker ended with {status}"
