"""A reader of journals that knows nothing but what docs/format/ says: no aurora_es in here.

It shows that the pages suffice, and may be a start for a reader in another language.
"""

from __future__ import annotations

import json
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

import cramjam
import lz4.block
from google_crc32c import value as crc32c
from msgspec.msgpack import decode

MANIFEST_HEADER = Struct("<8sIIIIII")
MARK_SLOT = Struct("<IIQQQIIQQ8x")
SEGMENT_HEADER = Struct("<8sH2xIII16sQQ8sQIB3x16sQQI8xI")
FRAME_HEADER = Struct("<8sBBBBIIIQQQQHHIII")
RECORDS, CHECKPOINT, END = 1, 2, 3
NONE, LZ4, SNAPPY = 0, 1, 2
RATIO_MAX = {NONE: 1, LZ4: 255, SNAPPY: 22}
RAW_BYTES_MAX = 16_908_288
RECORD_DEFAULTS: list[Any] = [None, None, None, None, [], None, None]


class DamagedError(Exception):
    """The bytes are not what the pages say."""


class UnsupportedError(Exception):
    """The bytes are of a version or kind that the pages do not describe."""


class Mark(NamedTuple):
    """What counts of a mark's slot."""

    sequence: int
    segment_number: int
    visible_offset: int


class Found(NamedTuple):
    """A journal: (position, time, fields) of each record, and the newest tracking by name."""

    records: list[tuple[int, int, list[Any]]]
    tracking: dict[str, int]


def expect(*, fits: bool, what: str) -> None:
    """Raise DamagedError unless it fits."""
    if not fits:
        raise DamagedError(what)


def read_genesis_id(path: Path) -> bytes:
    """Check the manifest; give the journal's genesis id."""
    data = (path / "manifest").read_bytes()
    magic, version, incompatible, _, length, payload_checksum, checksum = (
        MANIFEST_HEADER.unpack_from(data)
    )
    payload = data[32:]
    expect(fits=magic == b"AUR\x89MAN\n" and checksum == crc32c(data[:28]), what="manifest header")
    if version != 1 or incompatible:
        raise UnsupportedError("manifest")
    expect(fits=(length, payload_checksum) == (len(payload), crc32c(payload)), what="manifest")
    return bytes.fromhex(json.loads(payload)["genesis_id"])


def read_mark(path: Path) -> Mark:
    """The valid slot with the higher sequence."""
    data = (path / "mark").read_bytes()
    marks = []
    for offset in (0, 4096):
        magic, checksum, sequence, _, _, segment, _, visible, _ = MARK_SLOT.unpack_from(
            data, offset
        )
        if magic == 0x4B52414D and checksum == crc32c(data[offset + 8 : offset + 64]):
            marks.append(Mark(sequence, segment, visible))
    expect(fits=bool(marks), what="mark")
    return max(marks)


def decompress(codec: int, stored: bytes, raw_length: int) -> bytes:
    """Decompress a payload to exactly ``raw_length`` bytes."""
    if codec not in RATIO_MAX:
        raise UnsupportedError(f"codec {codec}")
    expect(fits=raw_length <= min(RAW_BYTES_MAX, RATIO_MAX[codec] * len(stored)), what="raw length")
    raw = bytearray(raw_length)
    if codec == LZ4:
        raw[:] = lz4.block.decompress(stored, uncompressed_size=raw_length)
    elif codec == SNAPPY:
        cramjam.snappy.decompress_raw_into(stored, raw)
    return stored if codec == NONE else bytes(raw)


class JournalReader:
    """Reads one journal from its start to its mark."""

    def __init__(self, path: Path) -> None:
        """Read manifest and mark."""
        self.path = path
        self.genesis_id = read_genesis_id(path)
        self.mark = read_mark(path)
        self.position = self.commit = 0  # of the last record, of the last commit
        self.end = (0, 0, 0)  # of the segment before: end offset, last position, header checksum
        self.found = Found([], {})

    def read(self) -> Found:
        """Read all segments."""
        for number in range(1, self.mark.segment_number + 1):
            self.read_segment(number)
        return self.found

    def read_segment(self, number: int) -> None:
        """Read one segment up to its end frame, or up to the mark."""
        data = (self.path / f"{number:010}-{self.position + 1:020}.segment").read_bytes()
        header = SEGMENT_HEADER.unpack_from(data)
        expect(
            fits=header[0] == b"AUR\x89SEG\n" and header[-1] == crc32c(data[:124]), what="header"
        )
        if header[1:3] != (1, 0) or any(header[12]):
            raise UnsupportedError("segment")
        identity = (number, self.genesis_id, self.position + 1, self.commit + 1)
        expect(fits=header[4:8] == identity and header[13:16] == self.end, what="chain of segments")
        salt, previous, offset = header[8], header[-1], 128
        last = len(data) if number < self.mark.segment_number else self.mark.visible_offset
        kind = 0
        commit: list[tuple[Any, Any]] = []
        while offset < last and kind != END:
            frame = FRAME_HEADER.unpack_from(data, offset)
            end = (offset + 72 + frame[5] + 7) & ~7
            expect(fits=frame[16] == crc32c(data[offset : offset + 68]), what=f"frame at {offset}")
            expect(fits=frame[0] == salt and frame[14] == previous, what=f"frame at {offset}")
            stored = data[offset + 72 : offset + 72 + frame[5]]
            expect(fits=end <= last and frame[15] == crc32c(stored), what=f"payload at {offset}")
            kind, flags, codec, version = frame[1:5]
            if version != 1 or (kind not in (RECORDS, CHECKPOINT, END) and not flags & 1):
                raise UnsupportedError(f"frame of kind {kind}, version {version}")
            expect(fits=(kind == CHECKPOINT) == (offset == 128), what="place of the checkpoint")
            numbers = (self.commit + (kind == RECORDS), len(commit) + 1)
            expect(fits=(frame[9], frame[12]) == numbers, what=f"numbers at {offset}")
            expect(fits=frame[8] == self.position + 1, what=f"position at {offset}")
            commit.append((frame, decode(decompress(codec, stored, frame[6]))))
            self.position += frame[7]
            offset, previous = end, frame[16]
            if frame[12] == frame[13]:
                self.add(kind, commit)
                commit = []
        if number < self.mark.segment_number:
            expect(fits=kind == END and offset == len(data), what="end frame")
        else:
            expect(fits=not commit and offset == last, what="frames up to the mark")
        self.end = (offset, self.position, previous)

    def add(self, kind: int, commit: list[tuple[Any, Any]]) -> None:
        """Take over what a whole commit, or a checkpoint, holds."""
        frame, payload = commit[0]
        tracking = payload[1] if kind == CHECKPOINT else []
        if kind == RECORDS:
            self.commit = frame[9]
            tracking = [payload[1]] if payload[1] else []
            for index, (header, part) in enumerate(commit):
                records = part if index else part[2]
                expect(fits=len(records) == header[7], what="record count")
                for at, fields in enumerate(records):
                    whole = fields[:7] + RECORD_DEFAULTS[len(fields) :]
                    self.found.records.append((header[8] + at, header[10], whole))
        self.found.tracking.update({name: number for name, number, *_ in tracking})
