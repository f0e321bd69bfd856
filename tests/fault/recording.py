"""Records which changes and syncs go through the file layer, to compare them with a trace."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aurora_es.files.layer import Files

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fault.trace import Operation

Change = tuple[str, str, int, int]  # operation, path, offset, length


class RecordingFiles:
    """Passes everything on, and notes what changes something."""

    def __init__(self, inner: Files) -> None:
        """Record calls of ``inner``."""
        self.changes: list[Change] = []
        self._inner = inner
        self._paths: dict[int, str] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Give the call ``name``."""
        call = getattr(self._inner, name)

        def recorded(*arguments: Any) -> Any:
            result = call(*arguments)
            self._note(name, arguments, result)
            return result

        return recorded

    def _note(self, name: str, arguments: tuple[Any, ...], result: Any) -> None:
        first = arguments[0]
        if name == "open":
            self._paths[result] = first
            if arguments[1] & os.O_CREAT:
                self.changes.append(("create", first, 0, 0))
        elif name == "pwrite":
            self.changes.append(_written(self._paths[first], arguments[2], len(arguments[1])))
        elif name == "ftruncate":
            self.changes.append(("cut", self._paths[first], arguments[1], 0))
        elif name in {"fsync", "fdatasync"}:
            self._note_sync(self._paths[first])
        elif name == "sync_directory":
            self._note_sync(first)
        elif name in {"link", "rename", "unlink", "mkdir"}:
            self.changes.append((name, first, 0, 0))

    def _note_sync(self, path: str) -> None:
        if not is_timed(path):
            self.changes.append(("sync", path, 0, 0))


def _written(path: str, offset: int, length: int) -> Change:
    """A write; that of compressed bytes or of decimal numbers is as long as random ids want it."""
    if ".r1.segment" in path or path.endswith("/manifest.new"):
        return "write", path, 0, 0
    return "write", path, offset, length


def is_timed(path: str) -> bool:
    """Whether a file is synced when a second has gone by, which differs from run to run."""
    return path.endswith("/mark")


def as_recorded(operations: list[Operation]) -> list[Change]:
    """A trace in the same form."""
    return [
        _written(one.path, one.offset, len(one.data))
        if one.name == "write"
        else (one.name, one.path, one.offset, len(one.data))
        for one in operations
        if one.name != "tell" and not (one.name == "sync" and is_timed(one.path))
    ]
