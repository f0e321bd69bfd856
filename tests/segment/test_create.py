"""Creating a segment file: complete before it has its name, and never over another one."""

import errno
import os
from pathlib import Path

import pytest

from aurora_es.format.names import segment_name
from aurora_es.format.payload import TrackingData, decode_checkpoint
from aurora_es.segment.create import link_segment, write_segment
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.walk import Chain, Walk, start_of
from tests.journal.support import START, ManualClock, ScriptedFiles, effects_with, error_of

AFTER = Chain(4, 90, 5_000, 77, commit_number=60, position=99, timestamp=START - 5)
NAME = segment_name(5, 100)
NO_LINKS = [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK]


def create(directory: Path, files: ScriptedFiles, *, reserve: bool = True) -> str:
    """Write the segment behind AFTER as ``.new``."""
    return write_segment(
        effects_with(files, clock=ManualClock(), reserve_bytes=1000),
        str(directory),
        genesis_id=bytes(range(16)),
        after=AFTER,
        epoch=3,
        codec=1,
        tracking=[TrackingData("up", 7)],
        reserve=reserve,
    )


@pytest.fixture
def files() -> ScriptedFiles:
    """Give files that remember what was asked of them."""
    return ScriptedFiles()


@pytest.mark.parametrize("reserve", [True, False])
def test_what_is_written(tmp_path: Path, files: ScriptedFiles, *, reserve: bool) -> None:
    """Header, checkpoint and zeros say where the segment belongs."""
    name = create(tmp_path, files, reserve=reserve)
    assert name == NAME
    assert os.listdir(tmp_path) == [NAME + ".new"]
    link_segment(files.files, str(tmp_path), name)
    assert os.listdir(tmp_path) == [NAME]
    segment = SegmentFile(files.files, str(tmp_path / NAME), writable=False)
    header = segment.header
    assert (header.segment_number, header.base_position, header.base_commit) == (5, 100, 61)
    assert (header.previous_end, header.previous_position, header.previous_checksum) == (
        5_000,
        99,
        77,
    )
    assert (header.epoch, header.codec, header.created_at) == (3, 1, START)
    assert header.genesis_id == bytes(range(16))
    assert any(header.salt)
    walk = Walk(segment, start_of(segment), segment.size_bytes())
    ((checkpoint,),) = list(walk)
    payload = decode_checkpoint(checkpoint.payload)
    assert (payload.timestamp, payload.tracking) == (START - 5, [TrackingData("up", 7)])
    assert walk.stop.reason == ("zeros" if reserve else "end")
    assert segment.size_bytes() == walk.chain.offset + (1000 if reserve else 0)


def test_it_is_synced_before_it_has_its_name(tmp_path: Path, files: ScriptedFiles) -> None:
    """Content first, then the name, then the directory."""
    link_segment(files.files, str(tmp_path), create(tmp_path, files))
    order = [
        name
        for name, _ in files.calls
        if name in {"pwrite", "fsync", "link", "unlink", "sync_directory"}
    ]
    assert order == ["unlink", "pwrite", "fsync", "link", "unlink", "sync_directory"]


def test_a_leftover_is_replaced(tmp_path: Path, files: ScriptedFiles) -> None:
    """What a dead process left under the temporary name is no obstacle."""
    (tmp_path / (NAME + ".new")).write_bytes(b"half a segment")
    link_segment(files.files, str(tmp_path), create(tmp_path, files))
    assert os.listdir(tmp_path) == [NAME]


@pytest.mark.parametrize("number", [None, *NO_LINKS])
def test_no_segment_replaces_another(
    tmp_path: Path, files: ScriptedFiles, number: int | None
) -> None:
    """If the name is taken, linking fails, with or without hard links."""
    (tmp_path / NAME).write_bytes(b"precious")
    if number is not None:
        files.fail("link", error_of(number))
    create(tmp_path, files)
    with pytest.raises(FileExistsError):
        link_segment(files.files, str(tmp_path), NAME)
    assert (tmp_path / NAME).read_bytes() == b"precious"


@pytest.mark.parametrize("number", NO_LINKS)
def test_without_hard_links_it_is_renamed(
    tmp_path: Path, files: ScriptedFiles, number: int
) -> None:
    """File systems that know no hard links serve as well."""
    files.fail("link", error_of(number))
    link_segment(files.files, str(tmp_path), create(tmp_path, files))
    assert os.listdir(tmp_path) == [NAME]


def test_another_error_of_linking_is_raised(tmp_path: Path, files: ScriptedFiles) -> None:
    """A full directory, for one, is not taken for a missing feature."""
    create(tmp_path, files)
    files.fail("link", error_of(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        link_segment(files.files, str(tmp_path), NAME)
    assert os.listdir(tmp_path) == [NAME + ".new"]


def test_the_salt_is_never_zero(tmp_path: Path) -> None:
    """Zeros mean "not yet written", so a random source that gives them is asked again."""
    drawn = [bytes(8), bytes(8), b"\0" * 7 + b"x"]
    files = ScriptedFiles()
    effects = effects_with(files, random_bytes=lambda count: drawn.pop(0))
    name = write_segment(
        effects,
        str(tmp_path),
        genesis_id=bytes(16),
        after=AFTER,
        epoch=0,
        codec=0,
        tracking=(),
        reserve=False,
    )
    segment = SegmentFile(files.files, str(tmp_path / (name + ".new")), writable=False)
    assert segment.salt == b"\0" * 7 + b"x"
