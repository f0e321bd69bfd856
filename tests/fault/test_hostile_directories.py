"""Directories that somebody has tampered with: refused with a typed error, and nothing touched."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from aurora_es import CorruptionError, Journal, StorageError
from aurora_es.errors import ForeignDirectoryError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.checksum import crc32c
from aurora_es.format.limits import TAIL_SLACK_BYTES_MAX
from aurora_es.format.manifest import (
    MANIFEST_HEADER,
    MANIFEST_HEADER_BYTES,
    MANIFEST_MAGIC,
)
from aurora_es.format.mark import Mark, decode_mark, encode_slot
from aurora_es.journal import background
from aurora_es.journal.clearing import clear_away
from tests.fault.tampered import NEEDS_ROOT, SECONDS_MAX, expect_refusal, tampered_journal
from tests.journal.support import message, segment_paths, snapshot, states

# A child forked here runs a few calls of the package, and ends.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
_NOBODY = 65534
_GIANT_BYTES = 1 << 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with two sealed segments and a tail."""
    return tampered_journal(tmp_path)


def write_mark(path: Path, **changes: int) -> Mark:
    """Rewrite both slots, with valid checksums."""
    mark = decode_mark((path / "mark").read_bytes())
    assert mark is not None
    changed = mark._replace(**changes)
    slot = encode_slot(changed).ljust(4096, b"\0")
    (path / "mark").write_bytes(slot * 2)
    return changed


def write_manifest(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Rewrite the payload, with valid checksums."""
    payload = msgspec.json.decode((path / "manifest").read_bytes()[MANIFEST_HEADER_BYTES:])
    change(payload)
    encoded = msgspec.json.encode(payload)
    head = MANIFEST_HEADER.pack(MANIFEST_MAGIC, 1, 0, 0, len(encoded), crc32c(encoded))
    sealed = head + crc32c(head).to_bytes(4, "little") + encoded
    (path / "manifest").write_bytes(sealed)


@pytest.mark.parametrize("durable_offset", [0, 8, 127, 130, 210])
def test_a_mark_that_names_the_middle_of_a_frame(path: Path, durable_offset: int) -> None:
    """Recovery does not write again from where no frame begins, and does not try for ever."""
    write_mark(path, durable_offset=durable_offset, visible_offset=1 << 55)
    expect_refusal(path, CorruptionError, "a durable offset at which a frame begins")


@pytest.mark.parametrize(
    "changes",
    [
        {"segment_number": 1 << 31},
        {"visible_offset": (1 << 64) - 1, "durable_offset": (1 << 64) - 1},
    ],
)
def test_a_mark_that_names_what_cannot_be(path: Path, changes: dict[str, int]) -> None:
    """A mark beyond all files is corruption, for readers, too."""
    write_mark(path, **changes)
    before = snapshot(path)
    for read_only in (True, False):
        with pytest.raises(CorruptionError):
            states(Journal.open(path, read_only=read_only))
    assert snapshot(path) == before


@pytest.mark.parametrize("name", ["../victim", "/tmp/victim", "../journal/../victim", "."])  # noqa: S108
def test_a_manifest_that_leads_elsewhere(path: Path, name: str) -> None:
    """Files that a manifest has removed are files of the journal, whatever it says."""
    (path.parent / "victim").write_text("mine")

    def change(payload: dict[str, object]) -> None:
        payload["obsolete"] = [{"file_name": name, "since": 0}]

    write_manifest(path, change)
    before = snapshot(path.parent)
    with pytest.raises(CorruptionError):
        clear_away(SYSTEM_EFFECTS, str(path), at_once=True)
    assert snapshot(path.parent) == before
    expect_refusal(path, CorruptionError, "expected a manifest")


def test_a_sparse_giant_in_the_place_of_the_tail(path: Path) -> None:
    """A tail of a terabyte of nothing is not searched: nothing of that size was ever written."""
    os.truncate(segment_paths(path)[-1], _GIANT_BYTES)
    before = os.stat(segment_paths(path)[-1]).st_mtime_ns
    began = time.monotonic()
    with pytest.raises(CorruptionError, match=f"within {TAIL_SLACK_BYTES_MAX} bytes"):
        Journal.open(path)
    with Journal.open(path, read_only=True) as journal:
        assert len(states(journal)) == 5
    assert time.monotonic() - began < SECONDS_MAX
    assert os.stat(segment_paths(path)[-1]).st_mtime_ns == before


@pytest.mark.parametrize("name", ["manifest", "mark", "recovered"])
def test_a_sparse_giant_in_the_place_of_a_small_file(path: Path, name: str) -> None:
    """No more than the greatest size of its kind is read."""
    with (path / name).open("ab") as file:
        file.truncate(_GIANT_BYTES)
    began = time.monotonic()
    try:
        with Journal.open(path) as journal:
            journal.append([message(b"late")])
    except CorruptionError:
        assert name == "manifest"
    assert time.monotonic() - began < SECONDS_MAX


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "core",
        ".hidden",
        "segment",
        "0000000009-00000000000000000099.segment.bak",
        "0000000001.segment",
        "-1-1.segment",
        "lock2",
        "a\nb",
        "\udcff",
    ],
)
def test_junk_beside_the_files_of_a_journal(path: Path, name: str) -> None:
    """What is not ours is left alone, by appends, rolls, and all work in the background."""
    junk = os.path.join(path, name)
    with open(junk, "w", encoding="utf-8") as file:
        file.write("mine")
    with Journal.open(path) as journal:
        for number in range(5):
            journal.append([message(b"%d" % number)])
    background.seal(str(path))
    background.merge(str(path), everything=True)
    background.cool(str(path), older_than_hours=-1)
    clear_away(SYSTEM_EFFECTS, str(path), at_once=True)
    with open(junk, encoding="utf-8") as file:
        assert file.read() == "mine"
    with Journal.open(path, read_only=True) as journal:
        assert len(states(journal)) == 10


@pytest.fixture
def public(path: Path) -> Iterator[Path]:
    """The same journal where everybody gets to: pytest's directories are private."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(shutil.copytree(path, Path(directory) / "journal"))


def as_nobody(act: Callable[[], None]) -> str:
    """Run ``act`` in a child without rights; returns the class of what it raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        told = "nothing"
        try:
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
            act()
        except BaseException as error:  # noqa: BLE001 - told to the parent
            told = f"{type(error).__name__}: {error}"
        finally:
            os.write(writing, told.encode()[:4000])
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told_by_child:
        told = told_by_child.read()
    os.waitpid(child, 0)
    return told


@NEEDS_ROOT
@pytest.mark.parametrize("mode", [0o000, 0o100, 0o400, 0o500])
def test_a_directory_that_may_not_be_read_or_written(public: Path, mode: int) -> None:
    """A user without the rights is told so, and nothing is changed."""
    for name in public.rglob("*"):
        os.chown(name, _NOBODY, _NOBODY)
    os.chown(public, _NOBODY, _NOBODY)
    public.chmod(mode)
    before = {name: os.lstat(name).st_mtime_ns for name in public.rglob("*")}

    def act() -> None:
        with Journal.open(public) as journal:
            for number in range(3):  # one of these rolls
                journal.append([message(b"%d" % number)])

    told = as_nobody(act)
    assert told.startswith("StorageError: ") or mode == 0o500, told
    public.chmod(0o700)
    if mode != 0o500:
        assert {name: os.lstat(name).st_mtime_ns for name in public.rglob("*")} == before
    with Journal.open(public, read_only=True) as journal:
        assert len(states(journal)) >= 5


@pytest.mark.parametrize("mode", [0o777, 0o702, 0o707])
def test_a_directory_in_which_everybody_may_replace_files(path: Path, mode: int) -> None:
    """Nothing is appended where anybody may put other files in place of ours."""
    path.chmod(mode)
    expect_refusal(path, ForeignDirectoryError, rf"found mode {mode:o}.*`chmod o-w {path}`")
    with Journal.open(path, read_only=True) as journal:
        assert len(states(journal)) == 5
    path.chmod(mode & ~0o002)
    with Journal.open(path) as journal:
        journal.append([message(b"late")])


@pytest.mark.parametrize("mode", [0o1777, 0o775, 0o755, 0o2770])
def test_a_directory_that_others_were_let_into(path: Path, mode: int) -> None:
    """The sticky bit protects our files, and a group is somebody's choice."""
    path.chmod(mode)
    with Journal.open(path) as journal:
        journal.append([message(b"late")])


def test_an_empty_directory_that_everybody_may_write_to(tmp_path: Path) -> None:
    """No journal is made there; below it one is, and nobody else may get at its files."""
    public = tmp_path / "public"
    public.mkdir()
    public.chmod(0o777)
    with (
        Journal.open(public) as journal,
        pytest.raises(ForeignDirectoryError, match="or give the journal a directory below it"),
    ):
        journal.append([message(b"a")])
    assert not [*public.iterdir()]
    with Journal.open(public / "journal") as journal:
        journal.append([message(b"a")])


@NEEDS_ROOT
def test_files_of_somebody_else_are_not_used(public: Path) -> None:
    """In a directory to which all may add, a file of another user is not ours, whoever put it."""
    os.chown(public, _NOBODY, _NOBODY)
    public.chmod(0o1777)
    for name in public.iterdir():
        os.chown(name, _NOBODY, _NOBODY)
        name.chmod(0o666)
    os.chown(public / "mark", 12345, 12345)
    before = snapshot(public)
    told = as_nobody(lambda: Journal.open(public).close())
    assert told.startswith(ForeignDirectoryError.__name__), told
    assert snapshot(public) == before


@NEEDS_ROOT
def test_a_full_name_space_for_others(public: Path) -> None:
    """A parent that may not be written to is an error of ours when the journal is made."""
    parent = public.parent / "parent"
    parent.mkdir(mode=0o755)

    def act() -> None:
        with Journal.open(parent / "journal") as journal:
            journal.append([message(b"a")])

    assert as_nobody(act).startswith(StorageError.__name__)
    assert not [*parent.iterdir()]
