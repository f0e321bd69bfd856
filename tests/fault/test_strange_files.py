"""FIFOs, sockets, links and devices in place of a journal's files: nothing hangs or leads outside."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aurora_es import Journal
from aurora_es.errors import ForeignDirectoryError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.mark import decode_mark
from aurora_es.format.names import BACKGROUND_LOCK, MANIFEST, MANIFEST_LOCK, MARK, RECOVERED
from aurora_es.journal import background
from aurora_es.journal.clearing import clear_away
from tests.fault.tampered import NEEDS_ROOT, SECONDS_MAX, expect_refusal, tampered_journal
from tests.journal.support import bind_socket, message, segment_paths, states


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with two sealed segments and a tail."""
    return tampered_journal(tmp_path)


def make_link(place: Path) -> None:
    """Put a link to a file, or a directory, of somebody else there."""
    target = place.parent.parent / "outside"
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(target)


def make_fifo(place: Path) -> None:
    """Put a FIFO there, which would hang whoever opens it."""
    place.unlink(missing_ok=True)
    os.mkfifo(place)


def make_socket(place: Path) -> None:
    """Put a socket there."""
    place.unlink(missing_ok=True)
    bind_socket(place)


def make_device(place: Path) -> None:
    """Put a device there: reading it never ends, and writing it loses what is written."""
    place.unlink(missing_ok=True)
    os.mknod(place, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # as /dev/zero


Make = Callable[[Path], None]
STRANGE = [
    make_link,
    make_fifo,
    make_socket,
    pytest.param(make_device, marks=NEEDS_ROOT),
]


@pytest.fixture
def outside(path: Path) -> Iterator[Path]:
    """A file of somebody else, beside the journal, that stays as it is."""
    victim = path.parent / "outside"
    victim.write_bytes(b"mine")
    before = os.stat(victim)
    began = time.monotonic()
    yield victim
    assert time.monotonic() - began < SECONDS_MAX
    assert victim.read_bytes() == b"mine"
    assert os.stat(victim).st_mtime_ns == before.st_mtime_ns


def work(path: Path) -> None:
    """All work in the background."""
    background.seal(str(path))
    background.merge(str(path), everything=True)
    background.cool(str(path), older_than_hours=-1)
    clear_away(SYSTEM_EFFECTS, str(path), at_once=True)


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("make", STRANGE)
def test_a_strange_lock_of_the_background(path: Path, make: Make) -> None:
    """Who works in the background opens it; appending and reading go on without."""
    make(path / BACKGROUND_LOCK)
    with pytest.raises(ForeignDirectoryError, match="expected a regular file"):
        background.seal(str(path))
    with Journal.open(path) as journal:
        for number in range(5):
            journal.append([message(b"%d" % number)])
        assert len(states(journal)) == 10


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("make", STRANGE)
def test_a_strange_lock_of_the_manifest(path: Path, make: Make) -> None:
    """Who changes the manifest opens it, and it is not changed."""
    with Journal.open(path) as journal:
        journal.append([message(b"a")])
        journal.append([message(b"b")])
    before = (path / MANIFEST).read_bytes()
    make(path / MANIFEST_LOCK)
    with pytest.raises(ForeignDirectoryError, match="expected a regular file"):
        work(path)
    assert (path / MANIFEST).read_bytes() == before
    with Journal.open(path, read_only=True) as journal:
        assert len(states(journal)) == 7


def torn(path: Path) -> None:
    """Let the tail end in bytes that a recovery has to cut."""
    with open(segment_paths(path)[-1], "r+b") as file:
        mark = decode_mark((path / MARK).read_bytes())
        assert mark is not None
        file.seek(mark.visible_offset)
        file.write(b"debris")


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("make", STRANGE)
def test_a_strange_directory_for_what_is_cut(path: Path, make: Make) -> None:
    """Bytes that recovery cuts are not kept elsewhere, and are not cut as long as they are not."""
    torn(path)
    make(path / RECOVERED)
    expect_refusal(
        path, ForeignDirectoryError, "expected a directory, for bytes that recovery cuts"
    )
    with Journal.open(path, read_only=True) as journal:
        assert len(states(journal)) == 5
    (path / RECOVERED).unlink()
    with Journal.open(path) as journal:
        journal.append([message(b"late")])
        assert journal.statistics().cut_bytes == 6


def test_a_link_to_a_directory_for_what_is_cut(path: Path, tmp_path: Path) -> None:
    """Nothing is written there, and of what is there nothing is dropped to make room."""
    victim = tmp_path / "victim"
    victim.mkdir()
    for number in range(40):
        (victim / f"{number:010d}-{number:012d}-{number:020d}.bytes").write_bytes(b"mine")
    torn(path)
    (path / RECOVERED).symlink_to(victim)
    expect_refusal(
        path, ForeignDirectoryError, "expected a directory, for bytes that recovery cuts"
    )
    assert len([*victim.iterdir()]) == 40


def test_other_files_among_what_was_cut(path: Path) -> None:
    """Only copies that recovery has made are dropped to make room for newer ones."""
    (path / RECOVERED).mkdir(mode=0o700)
    ours = [path / RECOVERED / f"{1:010d}-{1:012d}-{number:020d}.bytes" for number in range(40)]
    others = [path / RECOVERED / name for name in ("photo.bytes", "-1.bytes", "notes.txt")]
    for file in (*ours, *others):
        file.write_bytes(b"mine")
    torn(path)
    Journal.open(path).close()
    assert all(file.exists() for file in others)
    assert len([*(path / RECOVERED).iterdir()]) == len(others) + 16


def cooled(path: Path) -> list[Path]:
    """Names of the cooled segments, of the runs and of the tables, after all work is done."""
    work(path)
    names = sorted(path.iterdir())
    return [
        name for name in names if name.name.endswith((".index", ".frames")) or ".r1." in name.name
    ]


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("make", STRANGE)
def test_a_strange_cooled_segment(path: Path, make: Make) -> None:
    """It is not read, and what needs it is refused."""
    place = next(name for name in cooled(path) if name.name.endswith(".r1.segment"))
    make(place)
    for read_only in (True, False):
        with (
            pytest.raises(ForeignDirectoryError, match="expected a regular file"),
            Journal.open(path, read_only=read_only) as journal,
        ):
            states(journal)


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("make", STRANGE)
@pytest.mark.parametrize("ending", [".index", ".frames"])
def test_strange_caches(path: Path, ending: str, make: Make) -> None:
    """In the place of a run or a table, they are not opened; answers come from the segments."""
    for place in cooled(path):
        if place.name.endswith(ending):
            make(place)
    for read_only in (True, False):
        with Journal.open(path, read_only=read_only) as journal:
            assert len(states(journal)) == 5
            assert [one.position for one in journal.read(topics=["t"])] == [
                one.position for one in journal.read() if one.record.topic == "t"
            ]
