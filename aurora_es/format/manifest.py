"""The manifest: settings of a journal, and what is known of its sealed segments and runs.

    0  magic 8 | format version u32, incompatible flags u32
   16  compatible flags u32, payload length u32 | payload checksum u32, header checksum u32
   32  payload: UTF-8 JSON

The header is little-endian; the payload is JSON, so that a person can read the settings with
``tail -c +33 manifest``. Unknown keys of the JSON are ignored.
"""

from __future__ import annotations

from itertools import pairwise
from struct import Struct
from typing import Annotated

import msgspec

from aurora_es.format.checksum import crc32c
from aurora_es.format.limits import MANIFEST_BYTES_MAX, TIMESTAMP_MAX
from aurora_es.format.names import is_sealed_file_name

MANIFEST_HEADER = Struct(
    "<"
    "8s"  # magic
    "I"  # format version
    "I"  # incompatible flags: unknown ones refuse the file
    "I"  # compatible flags: unknown ones are ignored
    "I"  # length of the payload, bytes
    "I"  # checksum of the payload
)
CHECKSUM = Struct("<I")
MANIFEST_HEADER_BYTES = 32
assert MANIFEST_HEADER.size + CHECKSUM.size == MANIFEST_HEADER_BYTES
MANIFEST_MAGIC = b"AUR\x89MAN\n"
MANIFEST_VERSION = 1
FLAG_COOLED = 1  # incompatible: some segments are listed under another name than they had
FLAG_LOST = 2  # incompatible: some segments list positions that are lost
_KNOWN_FLAGS = FLAG_COOLED | FLAG_LOST


# Numbers, offsets and times: what other code may count with as 64 bits with a sign.
_Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
# With room for the next one; the latter two are in 32 and in 8 bits elsewhere.
_Counter = Annotated[int, msgspec.Meta(ge=0, lt=(1 << 63) - 1)]
_Word = Annotated[int, msgspec.Meta(ge=0, lt=(1 << 32) - 1)]
_Level = Annotated[int, msgspec.Meta(ge=0, lt=(1 << 8) - 1)]
_Checksum = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=TIMESTAMP_MAX)]
_Hexadecimal = Annotated[str, msgspec.Meta(pattern=r"^(?:[0-9a-f]{2})*\Z")]


class SealedSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed segment as the manifest lists it.

    ``end_offset`` and ``last_checksum`` are those behind the end frame of the segment as it was
    appended to: its successor names them, whatever revision is in use.
    """

    segment_number: _Word
    base_position: _Number
    last_position: _Number
    base_commit: _Number
    last_commit: _Number
    end_offset: _Number
    last_checksum: _Checksum
    first_timestamp: _Time  # of its first and last commit, microseconds
    last_timestamp: _Time
    revision: _Word = 0  # 0: as it was appended to; others are cooled copies
    size_bytes: _Number  # of the file in use
    file_checksum: _Checksum  # header checksum of the end frame of the file in use
    digest: _Hexadecimal  # the logical one
    # Of a repaired segment: ranges of positions that are lost, first and last included. Left out of
    # the file where there are none, as in the manifests of before.
    lost: tuple[tuple[_Number, _Number], ...] | msgspec.UnsetType = msgspec.UNSET


class IndexRun(msgspec.Struct, frozen=True, kw_only=True):
    """An index run as the manifest lists it; the listed runs cover all listed segments."""

    level: _Level
    first_segment: _Word
    last_segment: _Word
    base_position: _Number
    last_position: _Number
    source_digest: _Hexadecimal  # of the segments it covers: see ``format/run.py``
    rises: bool  # every originator's versions here are above all its earlier ones


class ObsoleteFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that nobody opens any more, to be removed some time after ``since``."""

    file_name: str
    since: _Number  # microseconds, UTC


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Settings and the list of sealed segments; a new generation replaces the old one whole."""

    generation: _Counter
    genesis_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
    epoch: _Word
    name: str | None  # exact name of the application; None for a journal opened by its path
    sync: str
    roll_cycle: str
    compression: str
    created_at: _Time  # microseconds, UTC
    retained_from: _Number = 1
    segments: list[SealedSegment] = []
    runs: list[IndexRun] = []
    # Left out of the file until they are set, as in the manifests of before.
    obsolete: list[ObsoleteFile] | msgspec.UnsetType = msgspec.UNSET
    cool_after_hours: _Number | msgspec.UnsetType = msgspec.UNSET  # unset: cooled by command only
    # Each later epoch and the first position that counts in it: what an earlier epoch had at or
    # behind that position is of another history.
    epochs: list[tuple[_Word, _Number]] | msgspec.UnsetType = msgspec.UNSET


class UnsupportedManifest(msgspec.Struct, frozen=True):
    """What ``decode_manifest`` returns for a version or flags that it does not know."""

    version: int
    incompatible_flags: int


_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder(Manifest).decode


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode the whole file."""
    payload = _encode_json(manifest)
    flags = FLAG_COOLED if any(segment.revision for segment in manifest.segments) else 0
    if any(segment.lost for segment in manifest.segments):
        flags |= FLAG_LOST
    head = MANIFEST_HEADER.pack(
        MANIFEST_MAGIC, MANIFEST_VERSION, flags, 0, len(payload), crc32c(payload)
    )
    return head + CHECKSUM.pack(crc32c(head)) + payload


def decode_manifest(data: bytes) -> Manifest | UnsupportedManifest | None:
    """Decode the whole file; None when it is not valid."""
    if len(data) < MANIFEST_HEADER_BYTES:
        return None
    magic, version, incompatible, _, length, checksum = MANIFEST_HEADER.unpack_from(data)
    head_checksum = CHECKSUM.unpack_from(data, MANIFEST_HEADER.size)[0]
    if magic != MANIFEST_MAGIC or crc32c(data[: MANIFEST_HEADER.size]) != head_checksum:
        return None
    if version != MANIFEST_VERSION or incompatible & ~_KNOWN_FLAGS:
        return UnsupportedManifest(version, incompatible)
    payload = data[MANIFEST_HEADER_BYTES:]
    if length > MANIFEST_BYTES_MAX or len(payload) != length or crc32c(payload) != checksum:
        return None
    try:
        manifest = _decode_json(payload)
    except (ValueError, RecursionError):
        return None
    return manifest if _is_consistent(manifest) else None


def _is_consistent(manifest: Manifest) -> bool:
    """Whether segments follow each other, runs cover them, and obsolete files are a journal's.

    Valid checksums say who wrote a file, and not that he meant well: names of obsolete files are
    removed, so one that leads elsewhere must not get that far.
    """
    segments = manifest.segments
    return (
        all(
            left.segment_number + 1 == right.segment_number
            and left.last_position + 1 == right.base_position
            and left.last_commit + 1 == right.base_commit
            for left, right in pairwise(segments)
        )
        and _covers(manifest.runs, segments)
        and all(is_sealed_file_name(one.file_name) for one in manifest.obsolete or ())
    )


def _covers(runs: list[IndexRun], segments: list[SealedSegment]) -> bool:
    """Whether every segment is in one run, and every run begins and ends with segments."""
    at = 0
    for run in sorted(runs, key=lambda run: run.first_segment):
        count = run.last_segment + 1 - run.first_segment
        if count < 1 or at + count > len(segments):
            return False
        first, last = segments[at], segments[at + count - 1]
        if (run.first_segment, run.base_position, run.last_position) != (
            first.segment_number,
            first.base_position,
            last.last_position,
        ):
            return False
        at += count
    return at == len(segments)
