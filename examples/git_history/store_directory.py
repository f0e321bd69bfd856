"""The directory of the demo's store: made afresh by every run, never at the cost of other data."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARKER = "made-by-the-git-history-demo"
MARKER_TEXT = (
    "This directory was made by examples.git_history, which removes it when it runs again.\n"
)
DISK_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own block is


class StoreDirectoryError(Exception):
    """The directory cannot be used; the message says why and what to do."""


@contextmanager
def fresh_store(path: Path) -> Iterator[None]:
    """Remove what an earlier demo left at `path`, make the directory, and keep other demos off it.

    Raises StoreDirectoryError, with nothing touched, if it is not a directory that a demo made, or
    if another demo is using it.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise StoreDirectoryError(f"{path} is not a directory; give another one with --store")
    if path.is_dir() and any(path.iterdir()):
        if not (path / MARKER).is_file():
            raise StoreDirectoryError(
                f"{path} holds files that no demo made (no {MARKER} in it); it is left as it is. "
                "Give another directory with --store"
            )
        with _locked(path):
            shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)
    (path / MARKER).write_text(MARKER_TEXT, encoding="utf-8")
    with _locked(path):
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with (path / MARKER).open("rb") as marker:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreDirectoryError(f"another demo is using {path} right now") from None
        yield


def bytes_on_disk(path: Path) -> int:
    """Return what the files below `path` take up, in bytes of allocated blocks."""
    names = (Path(parent) / name for parent, _, files in os.walk(path) for name in files)
    return sum(name.stat().st_blocks * DISK_BLOCK_BYTES for name in names)
