"""The directory of the demo's store: what may be removed, and what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.git_history.store_directory import (
    MARKER,
    StoreDirectoryError,
    bytes_on_disk,
    fresh_store,
)


def test_a_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    """The first run needs nothing to be there."""
    with fresh_store(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / MARKER).is_file()


def test_an_empty_directory_is_used(tmp_path: Path) -> None:
    """There is nothing to lose in an empty directory."""
    with fresh_store(tmp_path):
        assert (tmp_path / MARKER).is_file()


def test_an_earlier_demo_is_removed(tmp_path: Path) -> None:
    """What lies beside the marker was made by a demo."""
    with fresh_store(tmp_path):
        (tmp_path / "old").mkdir()
    with fresh_store(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [MARKER]


def test_a_store_in_use_is_refused(tmp_path: Path) -> None:
    """Two demos at a time do not remove each other's store."""
    with (
        fresh_store(tmp_path),
        pytest.raises(StoreDirectoryError, match="another demo"),
        fresh_store(tmp_path),
    ):
        pass


@pytest.mark.parametrize("kind", ["file", "link", "foreign"])
def test_what_no_demo_made_is_refused(tmp_path: Path, kind: str) -> None:
    """A file, a link and a directory of others stay as they are."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "data").write_text("precious")
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(foreign)

    with pytest.raises(StoreDirectoryError), fresh_store(tmp_path / kind):
        pass

    assert (foreign / "data").read_text() == (tmp_path / "file").read_text() == "precious"
    assert (tmp_path / "link").is_symlink()
    assert not (foreign / MARKER).exists()


def test_the_size_on_disk_counts_allocated_blocks(tmp_path: Path) -> None:
    """Files in every directory below count with what they take up, a hole with nothing."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "full").write_bytes(bytes(range(256)) * 64)
    full = bytes_on_disk(tmp_path)
    with (tmp_path / "hole").open("wb") as hole:
        hole.truncate(1 << 20)

    assert full >= 256 * 64
    assert bytes_on_disk(tmp_path) < full + (1 << 20)
