"""The open mark file: what readers take from it while others publish."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aurora_es import CorruptionError
from aurora_es.format.mark import (
    MARK_BYTES,
    SLOT_BYTES,
    SLOT_OFFSETS,
    Mark,
    decode_mark,
    decode_slot,
    encode_slot,
)
from aurora_es.journal.mark_file import MarkFile
from tests.journal.support import QuickFiles, ScriptedFiles, patch, run_threads


def mark_of(sequence: int) -> Mark:
    """Make a mark whose fields all follow from its sequence."""
    return Mark(sequence, sequence * 2, sequence * 3, 1, 0, sequence * 8, sequence * 8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a mark file with sequences 1 and 2."""
    path = tmp_path / "mark"
    path.write_bytes(bytes(MARK_BYTES))
    for sequence in (1, 2):
        patch(path, SLOT_OFFSETS[sequence % 2], encode_slot(mark_of(sequence)))
    return path


@pytest.fixture
def open_mark(path: Path) -> Iterator[MarkFile]:
    """Open the mark file."""
    fd = os.open(path, os.O_RDWR)
    yield MarkFile(QuickFiles(), str(path), fd)
    os.close(fd)


def test_what_was_published_is_read(path: Path, open_mark: MarkFile) -> None:
    """By the publisher as well as by others, each slot in its turn."""
    assert open_mark.read() == mark_of(2)
    fd = os.open(path, os.O_RDONLY)
    other = MarkFile(QuickFiles(), str(path), fd)
    for sequence in range(3, 9):
        open_mark.publish(mark_of(sequence))
        assert open_mark.read() == other.read() == mark_of(sequence)
    os.close(fd)


def test_a_reader_never_goes_back(path: Path, open_mark: MarkFile) -> None:
    """If older slots turn up in the file, the mark that was seen stays."""
    old = path.read_bytes()
    for sequence in (3, 4, 5):
        open_mark.publish(mark_of(sequence))
    assert open_mark.read() == mark_of(5)
    patch(path, 0, old)
    assert open_mark.read() == mark_of(5)
    patch(path, SLOT_OFFSETS[0], encode_slot(mark_of(6)))
    assert open_mark.read() == mark_of(6)


@pytest.mark.parametrize("slot", [0, 1])
def test_a_torn_slot_is_passed_over(path: Path, open_mark: MarkFile, slot: int) -> None:
    """The other slot is the mark, even if it is older."""
    patch(path, SLOT_OFFSETS[slot] + 20, b"torn")
    assert open_mark.read() == mark_of(1 if slot == 0 else 2)


@pytest.mark.parametrize("torn", [0, 1])
def test_renewing_makes_a_torn_slot_valid(path: Path, torn: int) -> None:
    """It is on disk before the other slot is touched: the next power cut may tear that one."""
    patch(path, SLOT_OFFSETS[torn] + 20, b"torn")
    files = ScriptedFiles()
    fd = os.open(path, os.O_RDWR)
    mark = MarkFile(files.files, str(path), fd)
    newest = mark.renew(mark.read())
    os.close(fd)
    content = path.read_bytes()
    assert [decode_slot(content[at : at + SLOT_BYTES]) is None for at in SLOT_OFFSETS] == [
        False
    ] * 2
    assert decode_mark(content) == newest
    writes = [(name, call[-1]) for name, call in files.calls if name in {"pwrite", "fdatasync"}]
    assert writes == [
        ("pwrite", SLOT_OFFSETS[torn]),
        ("fdatasync", fd),
        ("pwrite", SLOT_OFFSETS[1 - torn]),
    ]


def test_renewing_brings_back_what_has_left_the_cache(path: Path, open_mark: MarkFile) -> None:
    """After a failed sync the newest slot may be in the cache alone, until it is dropped."""
    before = path.read_bytes()
    open_mark.publish(mark_of(3))
    newest = open_mark.read()
    patch(path, 0, before)
    assert open_mark.renew(newest) == mark_of(3)
    assert decode_mark(path.read_bytes()) == mark_of(3)


@pytest.mark.parametrize("content", [b"", bytes(MARK_BYTES), bytes(SLOT_BYTES)])
def test_no_valid_slot_is_corruption(path: Path, open_mark: MarkFile, content: bytes) -> None:
    """Nothing is guessed."""
    path.write_bytes(content)
    with pytest.raises(CorruptionError, match="expected a valid slot in the mark, found none"):
        open_mark.read()


def test_a_reader_beside_a_publisher_sees_whole_marks_that_rise(
    path: Path, open_mark: MarkFile
) -> None:
    """Never a mixture of two marks, and never an older one after a newer one."""
    is_publishing = threading.Event()
    is_publishing.set()

    def publish() -> None:
        for sequence in range(3, 3000):
            open_mark.publish(mark_of(sequence))
        is_publishing.clear()

    def look() -> int:
        fd = os.open(path, os.O_RDONLY)
        reader = MarkFile(QuickFiles(), str(path), fd)
        last = looks = 0
        while is_publishing.is_set():
            mark = reader.read()
            assert mark == mark_of(mark.sequence)
            assert mark.sequence >= last
            last, looks = mark.sequence, looks + 1
        os.close(fd)
        return looks

    _, looks = run_threads([publish, look])
    assert isinstance(looks, int)
