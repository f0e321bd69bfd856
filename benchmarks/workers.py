"""The parent's side of benchmarks that need other processes.

Workers are started as ``python -m benchmarks.worker`` (a new interpreter, never a fork), read one
JSON command per line from stdin and answer with one JSON line. They end when stdin does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .stores import Kind, Sync

_ROOT = Path(__file__).resolve().parent.parent
_END_SECONDS = 20.0


class WorkerError(Exception):
    """A worker reported an error or died."""


class Worker:
    """One other process with one opened store, or, of kind None, with none."""

    def __init__(
        self,
        kind: Kind | None,
        path: Path,
        sync: Sync,
        *,
        writer: int = 0,
        module: str = "benchmarks.worker",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Start it; ``settings`` go to the store's factory beside those of its kind."""
        env = dict(os.environ)
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), env.get("PYTHONPATH"))))
        self._child = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        self.opened: dict[str, Any] = {}
        if kind is None:
            return
        try:
            self.opened = self.ask(
                command="open",
                kind=kind,
                path=str(path),
                sync=sync,
                writer=writer,
                settings=dict(settings or {}),
            )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def tell(self, **command: Any) -> None:
        """Send a command; its answer is to be had from :meth:`answer`."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(command) + "\n")
        self._child.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the next answer."""
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            msg = f"a worker ended with exit status {self._child.wait()}"
            raise WorkerError(msg)
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise WorkerError(found["error"])
        return found

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.tell(**command)
        return self.answer()

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._child.kill()
        self._child.wait()

    def close(self) -> None:
        """Let the worker close its store and end."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.close()
            self._child.wait(_END_SECONDS)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._child.kill()
            self._child.wait()
        finally:
            self._child.stdout.close()
