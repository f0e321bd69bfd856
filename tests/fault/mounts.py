"""Small file systems for tests: tmpfs of a given size, ext4 and XFS on loop devices.

They need root and ``mount``; where that is not allowed, ``why_not`` says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

# Smaller XFS than one would use in earnest are made only for its own tests, which say so like this.
_XFS_TESTS = {"TEST_DIR": "1", "TEST_DEV": "1", "QA_CHECK_FS": "1"}
IMAGE_BYTES = {"ext4": 16 << 20, "xfs": 32 << 20}


@cache
def why_not(kind: str = "tmpfs") -> str:
    """Why such a file system cannot be mounted here; empty if it can."""
    if sys.platform != "linux":
        return "written for Linux"
    if os.geteuid() != 0:
        return "only root may mount"
    if kind != "tmpfs" and shutil.which(f"mkfs.{kind}") is None:
        return f"mkfs.{kind} is not installed"
    try:
        with tempfile.TemporaryDirectory() as directory:
            at = Path(directory)
            if kind == "tmpfs":
                with mounted_tmpfs(at, 1 << 20):
                    return ""
            image = at / "image"
            make_image(image, kind)
            point = at / "point"
            point.mkdir()
            with mounted(image, point):
                return ""
    except subprocess.CalledProcessError as error:
        return f"{kind} cannot be mounted here: {error.stderr.decode()[-200:]}"


def run(*command: str, environment: dict[str, str] | None = None) -> str:
    """Run a command of the system; returns what it prints."""
    done = subprocess.run(
        command, check=True, capture_output=True, env={**os.environ, **(environment or {})}
    )
    return done.stdout.decode()


def make_image(image: Path, kind: str) -> None:
    """Make an empty file system in a file."""
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES[kind])
    make_file_system(image, kind)


def make_file_system(device: Path, kind: str) -> None:
    """Make an empty file system on a device or in a file."""
    if kind == "ext4":
        # Made in full at once: a thread that does so later would write in the background.
        options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        run("mkfs.ext4", "-q", "-F", "-E", options, "-J", "size=4", str(device))
    else:
        run("mkfs.xfs", "-q", "-f", "-K", str(device), environment=_XFS_TESTS)


@contextmanager
def mounted(device: Path, point: Path, *, options: str = "") -> Iterator[Path]:
    """Mount a device or an image; gives the place, and unmounts in the end."""
    words = ",".join(word for word in ("loop" if device.is_file() else "", options) if word)
    run("mount", *(("-o", words) if words else ()), str(device), str(point))
    try:
        yield point
    finally:
        run("umount", str(point))


@contextmanager
def mounted_tmpfs(point: Path, size_bytes: int) -> Iterator[Path]:
    """Mount a tmpfs of a size."""
    run("mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "tmpfs", str(point))
    try:
        yield point
    finally:
        run("umount", str(point))
