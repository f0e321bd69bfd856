"""What the operating system does not give, and what a newer version wrote, is not called damaged."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from aurora_es.care import verify
from aurora_es.care.findings import (
    RUN_DAMAGED,
    SEGMENT_FRAME_DAMAGED,
    TABLE_DAMAGED,
    UNREADABLE,
    UNSUPPORTED,
)
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import CHECKED_BYTES, FRAME_VERSION
from tests.care.stores import LAST_RUN, PLAIN, ROLLED, SEALED, segment, table, write_store
from tests.journal.support import ScriptedFiles, effects_with, error_of, flip, patch


@pytest.mark.parametrize("name", [segment(1), segment(4), "manifest", "mark"])
def test_a_link_is_not_followed(tmp_path: Path, name: str) -> None:
    """A symbolic link in a file's place is named, and what it leads to is not read."""
    path = write_store(tmp_path / "journal", SEALED)
    (path / name).rename(tmp_path / name)
    (path / name).symlink_to(tmp_path / name)
    report = verify(path)
    (finding,) = report.findings
    assert (finding.kind, Path(finding.path).name) == (UNREADABLE, name)
    assert "found a link" in finding.found
    assert (report.is_whole, report.is_damaged) == (False, False)
    assert finding.cure == f"aurora-es doctor {path}"


def test_a_disk_error_is_told(tmp_path: Path) -> None:
    """A sector that cannot be read is named by its file; the other segments are checked."""
    path = write_store(tmp_path / "journal", ROLLED)
    files = ScriptedFiles()
    # The second segment is 584 bytes long; no other read asks for just that much.
    files.fail(
        "pread",
        error_of(errno.EIO),
        times=99,
        when=lambda _, length, at: (length, at) == (456, 128),
    )
    flip(path / segment(3), 300)
    report = verify(path, effects=effects_with(files))
    found = {(finding.kind, Path(finding.path).name) for finding in report.findings}
    assert found == {(UNREADABLE, segment(2)), (SEGMENT_FRAME_DAMAGED, segment(3))}
    assert report.lost == ((9, 9),)


def test_a_frame_of_a_newer_version_behind_a_damaged_one(tmp_path: Path) -> None:
    """Nothing is said about what this version cannot judge, and no error gets through."""
    path = write_store(tmp_path / "journal", PLAIN)
    name = path / segment(1)
    data = name.read_bytes()
    head = bytearray(data[688 : 688 + CHECKED_BYTES])
    head[11] = FRAME_VERSION + 1
    patch(name, 688, bytes(head) + crc32c(bytes(head)).to_bytes(4, "little"))
    (finding,) = verify(path).findings
    assert finding.kind == UNSUPPORTED
    assert "frame version 1, found 2" in finding.found


@pytest.mark.parametrize("name", [table(1), LAST_RUN])
def test_a_cache_that_cannot_be_read_is_damaged(tmp_path: Path, name: str) -> None:
    """A table or a run behind a link, or without permission, is made anew like any damaged one."""
    path = write_store(tmp_path / "journal", SEALED)
    (path / name).rename(tmp_path / name)
    (path / name).symlink_to(tmp_path / name)
    (finding,) = verify(path).findings
    assert finding.kind in {TABLE_DAMAGED, RUN_DAMAGED}
    files = ScriptedFiles()
    files.fail("open", error_of(errno.EACCES), when=lambda one, *_: one.endswith(name))
    (finding,) = verify(path, effects=effects_with(files)).findings
    assert finding.kind in {TABLE_DAMAGED, RUN_DAMAGED}
    assert "Permission denied" in finding.found
