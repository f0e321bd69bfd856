"""What is done to a store, and what a check has to say about it."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import FrameHeader
from aurora_es.format.manifest import Manifest, decode_manifest, encode_manifest
from aurora_es.format.mark import Mark, decode_mark, encode_slot, slot_offset
from tests.care.stores import (
    write_store,
)
from tests.journal.support import flip

Ranges = tuple[tuple[int, int], ...]


class Expected(NamedTuple):
    """One finding; the texts are parts of what it says."""

    kind: str
    file_name: str
    offset: int | None
    lost: Ranges = ()
    expected: str = ""
    found: str = ""


@dataclass(frozen=True)
class Damage:
    """One way to harm a store."""

    name: str
    store: str
    inflict: Callable[[Path], object]
    findings: tuple[Expected, ...]
    # Nothing that a reader, or the next appender, would miss.
    is_harmless: bool = False


def removed(*names: str) -> Callable[[Path], None]:
    """Remove files."""

    def inflict(path: Path) -> None:
        for name in names:
            (path / name).unlink()

    return inflict


def in_the_place_of(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Make something else under the name of a file."""

    def inflict(path: Path) -> None:
        (path / name).unlink(missing_ok=True)
        make(path / name)

    return inflict


def cut(name: str, length: int) -> Callable[[Path], None]:
    """Cut a file to a length."""
    return lambda path: os.truncate(path / name, length)


def flipped(name: str, *offsets: int) -> Callable[[Path], None]:
    """Flip a bit of some bytes."""

    def inflict(path: Path) -> None:
        for offset in offsets:
            flip(path / name, offset, 0x10)

    return inflict


def longer(name: str, data: bytes) -> Callable[[Path], None]:
    """Add bytes behind the end of a file."""

    def inflict(path: Path) -> None:
        with (path / name).open("ab") as file:
            file.write(data)

    return inflict


def swapped(first: str, second: str) -> Callable[[Path], None]:
    """Let two files have each other's names."""

    def inflict(path: Path) -> None:
        (path / first).rename(path / "between")
        (path / second).rename(path / first)
        (path / "between").rename(path / second)

    return inflict


def of_another(
    store: str, name: str, seed: bytes = b"other", state: bytes = b"state"
) -> Callable[[Path], None]:
    """Put the file of the same name, of another journal, in a file's place."""

    def inflict(path: Path) -> None:
        with tempfile.TemporaryDirectory() as directory:
            other = write_store(Path(directory) / "journal", store, seed, state)
            (path / name).write_bytes((other / name).read_bytes())

    return inflict


def newer_version(name: str, at: int, checked: int, value: int = 2) -> Callable[[Path], None]:
    """Give a file another format version, or a flag, at ``at``, with a valid checksum of its ``checked`` bytes."""

    def inflict(path: Path) -> None:
        data = bytearray((path / name).read_bytes())
        data[at] = value
        data[checked : checked + 4] = struct.pack("<I", crc32c(bytes(data[:checked])))
        (path / name).write_bytes(data)

    return inflict


def changed_manifest(change: Callable[[Manifest], Manifest]) -> Callable[[Path], None]:
    """Write a manifest with valid checksums that says something else."""

    def inflict(path: Path) -> None:
        manifest = decode_manifest((path / "manifest").read_bytes())
        assert isinstance(manifest, Manifest)
        (path / "manifest").write_bytes(encode_manifest(change(manifest)))

    return inflict


def changed_mark(**fields: int) -> Callable[[Path], None]:
    """Write a newer mark that says something else."""

    def inflict(path: Path) -> None:
        data = bytearray((path / "mark").read_bytes())
        mark = decode_mark(bytes(data))
        assert isinstance(mark, Mark)
        slot = encode_slot(mark._replace(sequence=mark.sequence + 1, **fields))
        at = slot_offset(mark.sequence + 1)
        data[at : at + len(slot)] = slot
        (path / "mark").write_bytes(data)

    return inflict


def fields_of(layout: struct.Struct, *, skip_zeros: bool = True) -> Iterator[tuple[int, str]]:
    """Offset and format of each field of a structure."""
    at = 0
    count = ""
    for letter in layout.format.lstrip("<"):
        if letter.isdigit():
            count += letter
            continue
        size = struct.calcsize(f"<{count}{letter}")
        if letter != "x" or not skip_zeros:
            yield at, f"{count}{letter}"
        at += size
        count = ""


def frame_lost(header: FrameHeader) -> Ranges:
    """Positions in a frame."""
    first, count = header.first_position, header.record_count
    return ((first, first + count - 1),) if count else ()
