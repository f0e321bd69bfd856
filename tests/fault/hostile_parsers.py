"""Targets for hostile bytes that drive one parser each: no file, no journal, no system call.

Theory of operation: ``hostile.py`` opens a whole journal around the bytes, which takes milliseconds;
here the parsers are called with them as their readers call them, which takes microseconds, so that
a thousand times as many can be tried. Bytes are edits of valid ones again. Each parser gets them as
they are and, where a checksum would end everything too early, sealed again. A parser may return a
value that its type allows, None, or raise what its module says that it raises; what it returns must
keep the bounds that its readers rely on.
"""

from __future__ import annotations

import functools
from array import array
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec

from aurora_es.errors import AuroraError
from aurora_es.format import frame, frame_table, manifest, mark, packed, payload, run
from aurora_es.format.checksum import crc32c
from aurora_es.format.limits import (
    FRAME_TABLE_ENTRIES_MAX,
    RUN_BLOCKS_MAX,
    RUN_DIRECTORY_BYTES_MAX,
)
from aurora_es.format.segment_header import (
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    decode_segment_header,
    encode_segment_header,
)
from aurora_es.format.view import (
    CheckpointPart,
    decode_changes,
    decode_checkpoint_part,
    encode_changes,
    encode_checkpoint_part,
)
from aurora_es.queue.cursor_records import decode_cursor_record, draft_of
from aurora_es.queue.cursor_state import CursorState, decode_state, encode_state, fold
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.walk import Walk, start_of
from tests.fault.hostile import frames_of, original
from tests.fault.hostile_edits import edited
from tests.fault.hostile_records import CHANGES, RECORDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.files.layer import Files

_COUNT_MAX = 1 << 63


def _sealed(checked: bytes) -> bytes:
    seal: bytes = crc32c(checked).to_bytes(4, "little")
    return checked + seal


@functools.cache
def _content(ending: str) -> bytes:
    """A file of the small journal, of the first name with this ending."""
    path = min(name for name in original() if name.endswith(ending))
    return original()[path] or b""


# Headers


def _segment_header(edits: bytes) -> None:
    head = edited(_content(".segment")[:SEGMENT_HEADER_BYTES], edits)
    decode_segment_header(head)
    found = decode_segment_header(_sealed(head[:124].ljust(124, b"\0")))
    if found is not None:
        assert decode_segment_header(encode_segment_header(found[0])[0]) is not None


@functools.cache
def _frame_bytes() -> bytes:
    header, stored = frames_of(_content(".segment"))[1]
    return frame.encode_frame(header, stored)[0]


def _frame_header(edits: bytes) -> None:
    at = edits[0] % 16 if edits else 0
    whole = bytes(at) + edited(_frame_bytes(), edits[1:])
    frame.decode_header(whole, at)
    checked = whole[at : at + frame.CHECKED_BYTES].ljust(frame.CHECKED_BYTES, b"\0")
    found = frame.decode_header(_sealed(checked), 0)
    assert found is not None
    assert frame.encode_header(found[0]) == (_sealed(checked), found[1])


# Frames: a chain of them in the only file there is


class _OneFile:
    """What a walk needs of a file layer: one file, open for reading."""

    def __init__(self, content: bytes) -> None:
        """Hold the file."""
        self.content = content

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """Read of it."""
        return self.content[offset : offset + length]

    def fstat(self, fd: int) -> SimpleNamespace:
        """Tell its size."""
        return SimpleNamespace(st_size=len(self.content))


class _Segment:
    """A segment as a walk knows it; see ``SegmentFile``, which opens its file by name."""

    path = "segment"
    fd = 0

    def __init__(self, content: bytes, header: SegmentHeader, checksum: int) -> None:
        """Hold the content behind a valid header."""
        self.files: Files = _OneFile(content)  # type: ignore[assignment]
        self.header, self.header_checksum = header, checksum
        self.salt = header.salt

    def size_bytes(self) -> int:
        """Size of the file."""
        return self.files.fstat(self.fd).st_size


@functools.cache
def _chained(ending: str) -> tuple[bytes, list[tuple[frame.FrameHeader, bytes]]]:
    content = _content(ending)
    return content[:SEGMENT_HEADER_BYTES], [(one.header, one.payload) for one in frames_of(content)]


def _walk_frames(ending: str, edits: bytes) -> None:
    """Edit the fields and the payload of one frame; all checksums and the chain hold behind it."""
    head, frames = _chained(ending)
    decoded = decode_segment_header(head)
    assert decoded is not None
    at = edits[0] % len(frames) if edits else 0
    parts, previous = [head], decoded[1]
    for number, (header, stored) in enumerate(frames):
        chosen, field = stored, header._replace(previous_checksum=previous)
        if number == at:
            chosen = edited(stored, edits[2:])
            field = _with_fields(field, len(chosen), edits[1] if len(edits) > 1 else 0)
        checked = frame.HEADER.pack(*field._replace(payload_checksum=crc32c(chosen)))
        previous = crc32c(checked)
        parts += (checked, previous.to_bytes(4, "little"), chosen, frame.PADDING[len(chosen) & 7])
    segment: Any = _Segment(b"".join(parts), *decoded)
    walk = Walk(segment, start_of(segment), segment.size_bytes(), packed=True)
    for commit in walk:
        assert commit
    assert walk.stop.offset <= segment.size_bytes()
    with suppress(AuroraError):
        for found in CommitWalk(segment, lost=None):
            assert len(found.commit_id) == packed.COMMIT_ID_BYTES


def _with_fields(header: frame.FrameHeader, length: int, choice: int) -> frame.FrameHeader:
    """What a header may say wrongly, beside the truth."""
    wrong: dict[str, Any] = {"stored_length": length, "raw_length": length, "codec": 0}
    if choice & 1:
        wrong["codec"] = choice >> 4 & 7
    if choice & 2:
        wrong["raw_length"] = 1 << (choice >> 3)
    if choice & 4:
        wrong |= {"kind": choice >> 4 & 15, "record_count": choice >> 3}
    return header._replace(**wrong)


# Payloads

_PAYLOADS = (
    payload.encode_payload(
        payload.FirstPayload(
            bytes(16),
            payload.TrackingData("up", 7, 1),
            [
                payload.RecordData(bytes(16), 1, "t", b"state"),
                payload.RecordData("a", 2, "t", b"", ("tag",), bytes(16), {"k": [1]}),
            ],
        )
    ),
    payload.encode_payload([payload.RecordData("a", 3, "t", b"state")]),
    payload.encode_payload(payload.CheckpointPayload(1, [payload.TrackingData("up", 7)])),
    payload.encode_payload(payload.EndPayload(2, 1, 2, 2)),
)
_PACKED = (
    packed.encode_packed(
        packed.PackedPayload(
            [packed.PackedCommit(1, bytes(16), 1, 5, packed.NIL)],
            [msgspec.Raw(payload.encode_payload(payload.RecordData("a", 1, "t", b"state")))],
        )
    ),
    packed.encode_packed(packed.SealedEndPayload(1, 1, 1, 2, 300, 5, bytes(32))),
    packed.encode_packed(packed.LostPayload(3, 5, 2, 3)),
)
_DECODERS: tuple[Callable[[bytes], object], ...] = (
    payload.decode_first,
    payload.decode_records,
    payload.decode_first_identities,
    payload.decode_identities,
    payload.decode_first_raw,
    payload.decode_raw_records,
    payload.decode_record,
    payload.decode_checkpoint,
    payload.decode_end,
)
_PACKED_DECODERS: tuple[Callable[[bytes], object], ...] = (
    packed.decode_packed_records,
    packed.decode_packed_groups,
    packed.decode_packed_some,
    packed.decode_packed_one,
    packed.decode_packed,
    packed.decode_source,
    packed.decode_sealed_end,
    packed.decode_lost,
    packed.decode_tracking,
    packed.decode_fields,
)


def _payloads(
    valid: tuple[bytes, ...], decoders: tuple[Callable[[bytes], object], ...], edits: bytes
) -> None:
    at = edits[0] % len(valid) if edits else 0
    data = edited(valid[at], edits[1:])
    for decode in decoders:
        with suppress(*payload.UNDECODABLE):
            decode(data)


# Files that are read whole or in blocks


def _mark(edits: bytes) -> None:
    slot = edited(_content("/mark")[: mark.SLOT_BYTES], edits)
    mark.decode_slot(slot)
    checked = slot[8:64].ljust(56, b"\0")
    sealed = slot[:4].ljust(4, b"\0") + crc32c(checked).to_bytes(4, "little") + checked
    found = mark.decode_mark(sealed.ljust(4096, b"\0") + sealed)
    if found is not None:
        assert max(found) < _COUNT_MAX
        following = found._replace(sequence=found.sequence + 1, epoch=found.epoch + 1)
        assert mark.decode_slot(mark.encode_slot(found)) == found
        mark.encode_slot(following)


def _manifest(edits: bytes) -> None:
    body = edited(_content("/manifest")[manifest.MANIFEST_HEADER_BYTES :], edits[1:])
    flags = edits[0] & 3 if edits else 0
    head = manifest.MANIFEST_HEADER.pack(
        manifest.MANIFEST_MAGIC, 1, flags, 0, len(body), crc32c(body)
    )
    manifest.decode_manifest(edits)
    found = manifest.decode_manifest(_sealed(head) + body)
    if isinstance(found, manifest.Manifest):
        again = manifest.decode_manifest(manifest.encode_manifest(found))
        assert again == found


def _run(edits: bytes) -> None:
    """Header, block, directory: edits of one of them."""
    content = _content(".index")
    at = edits[0] % 3 if edits else 0
    if at == 0:
        head = edited(content[: run.RUN_HEADER.size], edits[1:])[: run.RUN_HEADER.size]
        header = run.decode_run_header(
            _sealed(head.ljust(run.RUN_HEADER.size, b"\0")).ljust(run.RUN_HEADER_BYTES, b"\0")
        )
        if header is not None and run.header_fault(header, len(content)) is None:
            assert header.block_count <= RUN_BLOCKS_MAX
            assert header.directory_length <= RUN_DIRECTORY_BYTES_MAX
        return
    header = run.decode_run_header(content)
    assert header is not None
    if at == 1:
        block = content[run.RUN_HEADER_BYTES : run.RUN_HEADER_BYTES + run.BLOCK_BYTES]
        checked = edited(block[4:], edits[1:])[: run.BLOCK_BYTES - 4]
        checked = checked.ljust(run.BLOCK_BYTES - 4, b"\0")
        block = crc32c(header.salt + checked).to_bytes(4, "little") + checked
        widths = (header.ordinal_width, header.position_width)
        columns = run.decode_blocks(block, widths, header.salt, 0)
        assert columns is None or 0 < len(columns[0]) <= run.entries_per_block(*widths)
        return
    end = header.directory_offset + header.directory_length
    with suppress(*run.UNDECODABLE):
        run.decode_directory(edited(content[header.directory_offset : end], edits[1:]))


def _table(edits: bytes) -> None:
    """Header, block, fence of a table of frames: edits of one of them."""
    content = _content(".frames")
    size = frame_table.TABLE_HEADER_BYTES
    at = edits[0] % 3 if edits else 0
    header = frame_table.decode_table_header(content[:size])
    assert isinstance(header, frame_table.TableHeader)
    if at == 0:
        head = edited(content[: size - 4], edits[1:])[: size - 4].ljust(size - 4, b"\0")
        found = frame_table.decode_table_header(_sealed(head))
        if isinstance(found, frame_table.TableHeader):
            assert found.entry_count <= FRAME_TABLE_ENTRIES_MAX
            again = frame_table.encode_table_header(found)
            assert frame_table.decode_table_header(again) == found
    elif at == 1:
        checked = edited(content[size + 4 : size + frame_table.BLOCK_BYTES], edits[1:])
        checked = checked[: frame_table.BLOCK_BYTES - 4].ljust(frame_table.BLOCK_BYTES - 4, b"\0")
        seal = crc32c(header.salt + bytes(4) + checked).to_bytes(4, "little")
        block = frame_table.decode_block(header.salt, 0, seal + checked)
        if block is not None:
            assert 0 < len(block[0]) == len(block[1]) - 1 <= frame_table.BLOCK_ENTRIES_MAX
    else:
        data = edited(content[size + frame_table.BLOCK_BYTES :], edits[1:])
        claims = header._replace(fence_checksum=crc32c(header.salt + data))
        fence = frame_table.decode_fence(claims, data)
        assert fence is None or isinstance(fence, array)


# States of records

_ROWS = [(str(row[2]), row[3]) for record in RECORDS for row in draft_of(record).rows]


@functools.cache
def _cursor_state() -> bytes:
    state = CursorState(state_version=1)
    for state.as_of, record in enumerate(RECORDS[:-1], 1):
        fold(state, record)
    return encode_state(state)


def _cursors(edits: bytes) -> None:
    at = edits[0] if edits else 0
    if at & 1:
        with suppress(*payload.UNDECODABLE):
            decode_state(edited(_cursor_state(), edits[1:]))
        return
    topic, body = _ROWS[(at >> 1) % len(_ROWS)]
    other, _ = _ROWS[at % len(_ROWS)]
    data = edited(body, edits[1:])
    for name in (topic, other):
        with suppress(*payload.UNDECODABLE):
            decode_cursor_record(name, data)


_CHANGE = encode_changes(CHANGES)
_PART = encode_checkpoint_part(CheckpointPart(1, 1, 2, CHANGES))


def _view(edits: bytes) -> None:
    if edits and edits[0] & 1:
        with suppress(*payload.UNDECODABLE):
            part = decode_checkpoint_part(edited(_PART, edits[1:]), 9)
            assert 0 <= part.position < 9
            assert 1 <= part.part <= part.parts
        return
    with suppress(*payload.UNDECODABLE):
        for table, key, value in decode_changes(edited(_CHANGE, edits[1:])):
            assert isinstance(table, str)
            assert isinstance(key, bytes)
            assert isinstance(value, bytes)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "parser of segment headers": _segment_header,
    "parser of frame headers": _frame_header,
    "parser of frames": functools.partial(_walk_frames, ".segment"),
    "parser of payloads": functools.partial(_payloads, _PAYLOADS, _DECODERS),
    "parser of packed payloads": functools.partial(_payloads, _PACKED, _PACKED_DECODERS),
    "parser of marks": _mark,
    "parser of manifests": _manifest,
    "parser of runs": _run,
    "parser of tables of frames": _table,
    "parser of records of cursors": _cursors,
    "parser of states of views": _view,
}
