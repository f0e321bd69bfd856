"""Reads cooled segments and tables of frames, knowing nothing but what docs/format/ says.

No aurora_es in here; see ``reader_from_pages.py``, whose structures of segments are used.
"""

from __future__ import annotations

from bisect import bisect_right
from hashlib import sha256
from struct import Struct, unpack_from
from typing import Any, NamedTuple

import zstandard
from google_crc32c import value as crc32c
from msgspec import Raw
from msgspec.msgpack import Decoder, decode

from tests.docs.reader_from_pages import (
    CHECKPOINT,
    END,
    FRAME_HEADER,
    RAW_BYTES_MAX,
    SEGMENT_HEADER,
    decompress,
    expect,
)

TABLE_HEADER = Struct("<8sH2xII I16sQQ8sQQIIIII24xI".replace(" ", ""))
DIGESTED = Struct("<QQII16s")
PACKED, ZSTD = 7, 3
decode_parts = Decoder(tuple[list[tuple[int, bytes, int, int, Raw]], list[Raw]]).decode


class Cooled(NamedTuple):
    """What a cooled segment holds."""

    records: list[tuple[int, int, bytes]]  # position, time, MessagePack
    tracking: list[Any]  # the checkpoint's
    digest: bytes
    before: tuple[int, int]  # end offset, last header checksum
    commits: list[tuple[bytes, bytes, list[Raw]]]  # commit id, tracking or nothing, records
    place: tuple[int, int]  # position and commit number of the last


def raw_payload(codec: int, stored: bytes, raw_length: int) -> bytes:
    """Decompress the payload of a packed frame."""
    if codec != ZSTD:
        return decompress(codec, stored, raw_length)
    claimed = zstandard.get_frame_parameters(stored).content_size
    expect(fits=raw_length == claimed <= RAW_BYTES_MAX, what="raw length")
    return zstandard.ZstdDecompressor().decompress(stored)


def read_cooled(data: bytes) -> Cooled:
    """Read a whole cooled segment."""
    header = SEGMENT_HEADER.unpack_from(data)
    expect(fits=header[0] == b"AUR\x89SEG\n" and header[-1] == crc32c(data[:124]), what="header")
    salt, previous, offset, position, kind = header[8], header[-1], 128, header[6], 0
    number = header[7] - 1  # of the last commit
    commits: list[tuple[int, int, bytes, bytes, list[Raw]]] = []
    found = Cooled([], [], b"", (0, 0), [], (0, 0))
    while kind != END:
        frame = FRAME_HEADER.unpack_from(data, offset)
        end = (offset + 72 + frame[5] + 7) & ~7
        stored = data[offset + 72 : offset + 72 + frame[5]]
        expect(fits=frame[16] == crc32c(data[offset : offset + 68]), what="frame")
        expect(fits=(frame[0], frame[14], frame[8]) == (salt, previous, position), what="chain")
        expect(fits=frame[15] == crc32c(stored), what="payload")
        kind, previous, offset = frame[1], frame[16], end
        payload = raw_payload(frame[3], stored, frame[6])
        if kind == CHECKPOINT:
            found = found._replace(tracking=decode(payload)[1])
        elif kind == PACKED:
            table, records = decode_parts(payload)
            expect(fits=sum(row[2] for row in table) == len(records) == frame[7], what="count")
            expect(fits=(table[0][0], table[-1][3]) == (frame[9], frame[10]), what="commits")
            for commit, commit_id, count, time, tracking in table:
                part, records = records[:count], records[count:]
                found.records.extend(
                    (position + at, time, bytes(record)) for at, record in enumerate(part)
                )
                position += count
                if commit == number:
                    commits[-1][4].extend(part)
                    continue
                expect(fits=commit == number + 1, what="commit number")
                number = commit
                held = bytes(tracking).removeprefix(b"\xc0")
                commits.append((commit, time, commit_id, held, part))
    expect(fits=offset == len(data), what="end of file")
    digest = sha256()
    for commit, time, commit_id, held, records in commits:
        digest.update(DIGESTED.pack(commit, time, len(records), len(held), commit_id) + held)
        digest.update(b"".join(records))
    totals = decode(payload)
    expect(fits=totals[:2] == [position - 1, number] and totals[6] == digest.digest(), what="end")
    return found._replace(
        digest=totals[6],
        before=(totals[4], totals[5]),
        commits=[(commit_id, held, records) for _, _, commit_id, held, records in commits],
        place=(position - 1, number),
    )


def find_frame(table: bytes, position: int) -> tuple[int, int, int]:
    """Offset of the frame with ``position``, end of its bytes, and its first position."""
    fields = TABLE_HEADER.unpack_from(table)
    base, last, salt, blocks = fields[6], fields[7], fields[8], fields[14]
    expect(fits=fields[0] == b"AUR\x89FRM\n" and fields[-1] == crc32c(table[:124]), what="header")
    expect(fits=len(table) == 128 + 1028 * blocks and base <= position <= last, what="size")
    fence = table[128 + 1024 * blocks :]
    expect(fits=fields[15] == crc32c(salt + fence), what="fence")
    number = bisect_right(unpack_from(f"<{blocks}I", fence), position - base) - 1
    block = table[128 + 1024 * number :][:1024]
    checksum, count = unpack_from("<II", block)
    expect(fits=checksum == crc32c(salt + number.to_bytes(4, "little") + block[4:]), what="block")
    positions, offsets = (
        unpack_from(f"<{count}I", block, 8),
        unpack_from(f"<{count + 1}I", block, 512),
    )
    at = bisect_right(positions, position - base) - 1
    return 8 * offsets[at], 8 * offsets[at + 1], base + positions[at]
