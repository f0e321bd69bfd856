"""File systems that a test asks for; it is skipped, with the reason, where they cannot be had."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.mounts import why_not

_MEMORY = "/dev/shm"  # noqa: S108 - only a parent: a private directory is made in it


def _need(kind: str) -> None:
    reason = why_not(kind)
    if reason:
        pytest.skip(reason)


@pytest.fixture
def tmpfs() -> None:
    """A tmpfs can be mounted."""
    _need("tmpfs")


@pytest.fixture(params=["ext4", "xfs"])
def file_system(request: pytest.FixtureRequest) -> str:
    """The name of a file system that can be mounted."""
    kind: str = request.param
    _need(kind)
    return kind


@pytest.fixture
def ext4() -> None:
    """An ext4 can be mounted."""
    _need("ext4")


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: images are rewritten all the time."""
    parent = _MEMORY if os.access(_MEMORY, os.W_OK) else str(tmp_path)
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        yield Path(directory)
