"""Each byte of a small store is changed: that is found, or it is a byte that nobody reads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from aurora_es import Journal
from aurora_es.care import verify
from aurora_es.format.frame import HEADER_BYTES, frame_bytes
from aurora_es.format.mark import SLOT_BYTES, SLOT_OFFSETS
from aurora_es.journal.mark_file import read_mark
from tests.care.stores import COOLED, KINDS, SEALED, frames, record, write_store
from tests.journal.support import QuickFiles, flip

_LOCKS = ("lock", "turn", "background.lock", "manifest.lock")


def unread(path: Path, name: str) -> set[int]:
    """The bytes of a file that no reader looks at: padding, what is behind the mark, no slot."""
    size = (path / name).stat().st_size
    if name == "mark":
        slots = {at + byte for at in SLOT_OFFSETS for byte in range(SLOT_BYTES)}
        return set(range(size)) - slots
    if not name.endswith(".segment"):
        return set()
    found = set()
    for offset, header in frames(path / name):
        end = offset + HEADER_BYTES + header.stored_length
        found |= set(range(end, offset + frame_bytes(header.stored_length)))
    tail = max(one for one in os.listdir(path) if one.endswith(".segment"))
    if name == tail:
        found |= set(range(read_mark(QuickFiles(), str(path)).visible_offset, size))
    return found


def flip_each(path: Path, step: int) -> tuple[int, int, list[str]]:
    """Flip a bit of every byte; how many were found and how many are harmless, and the silent."""
    found = harmless = 0
    silent = []
    for name in sorted(os.listdir(path)):
        if name in _LOCKS:
            continue
        ignored = unread(path, name)
        size = (path / name).stat().st_size
        for at in range(0, size, step):
            if name == "mark" and at in ignored and at % 64:
                continue  # one in 64 of the 8064 bytes between the slots
            flip(path / name, at, 0x20)
            report = verify(path)
            flip(path / name, at, 0x20)
            if at in ignored:
                assert report.is_whole, (name, at, report.findings)
                harmless += 1
            elif report.is_damaged:
                assert all(Path(one.path).name == name for one in report.findings), (name, at)
                found += 1
            else:
                silent.append(f"{name} at {at}")
    return found, harmless, silent


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_changed_here_and_there(tmp_path: Path, kind: str) -> None:
    """Of every 23rd byte, each is found or harmless, and the finding names its file."""
    path = write_store(tmp_path / "journal", kind)
    found, harmless, silent = flip_each(path, 23)
    assert silent == []
    assert found > 50
    assert harmless > 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SEALED, COOLED])
def test_each_byte_changed(tmp_path: Path, kind: str) -> None:
    """Of all bytes, each is found or harmless: silent are none."""
    path = write_store(tmp_path / "journal", kind)
    found, harmless, silent = flip_each(path, 1)
    assert silent == []
    assert found > 11_000
    assert harmless > 100


def test_harmless_bytes_are_harmless(tmp_path: Path) -> None:
    """With all bytes that nobody reads changed, every record is there, and appends go on."""
    path = write_store(tmp_path / "journal", COOLED)
    for name in os.listdir(path):
        tail = max(one for one in os.listdir(path) if one.endswith(".segment"))
        visible = read_mark(QuickFiles(), str(path)).visible_offset
        for at in unread(path, name):
            if name != tail or at < visible:
                flip(path / name, at)
    assert verify(path).is_whole
    with Journal.open(path) as journal:
        assert [one.record for one in journal.read()] == [record(at) for at in range(1, 19)]
        journal.append([record(19)])
    assert verify(path).is_whole
    shutil.rmtree(path)
