"""Targets for hostile bytes: one for each parser, with checksums that hold.

Theory of operation: bytes that somebody else chose are read as *edits* of valid bytes: where, how many
to drop, what to put there. The edited part is sealed again (checksums, lengths, chain), since a wrong
checksum would end everything too early, and put into a small journal in memory, which is opened and
asked everything. Only errors of the package may come of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from aurora_es.codecs.compression import DecompressionError, decompress
from aurora_es.errors import AuroraError
from aurora_es.format import frame_table, manifest, mark, run
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import HEADER_BYTES, FrameHeader, decode_header, encode_frame
from aurora_es.format.names import (
    directory_name,
    parse_cooled_name,
    parse_frames_name,
    parse_run_name,
    parse_segment_name,
)
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.index.keys import text_key
from aurora_es.journal import background
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import Journal
from tests.fault.crash_states import Tree
from tests.fault.enumeration import disk_of
from tests.fault.hostile_edits import edited
from tests.fault.small_journal import PATH, effects_on, small_journal
from tests.fault.told import records_of

_CODECS = 4


@functools.cache
def original() -> Tree:
    """The journal that is edited."""
    return small_journal()


def ask(tree: Tree) -> None:
    """Open as a reader and as an appender, ask everything, append, work on what is sealed."""
    for read_only in (True, False):
        disk = disk_of(tree)
        effects = effects_on(disk)
        for step in (_read, _append, _work)[: 1 if read_only else 3]:
            try:
                with Journal(effects, PATH, Settings(), read_only=read_only) as journal:
                    step(journal)
            except AuroraError:
                continue


def _read(journal: Journal) -> None:
    for stored in journal.read():
        assert isinstance(stored.record.state, bytes)
    for topic in ("topic 0", "absent"):
        for _ in journal.read(topics=[topic]):
            pass
    index = journal.handle.state.index
    for name in ("a 0", "a 1", "absent"):
        key = text_key(name)
        index.last_version(key)
        index.find(key, 5)
        index.select(key, gt=1, lte=8, desc=True, limit=3, until=index.position)
    journal.statistics()


def _append(journal: Journal) -> None:
    journal.append(records_of("late", 1, 2), tracking=("a", 1_000))


def _work(journal: Journal) -> None:
    effects = journal.handle.effects
    background.seal(PATH, effects=effects)
    background.merge(PATH, everything=True, effects=effects)
    background.cool(PATH, older_than_hours=-1, effects=effects)


# Segments


class _Frame(NamedTuple):
    header: FrameHeader
    payload: bytes  # as stored


def frames_of(content: bytes) -> list[_Frame]:
    """The frames of a segment, up to its end or to zeros."""
    offset = SEGMENT_HEADER_BYTES
    frames = []
    while (decoded := decode_header(content, offset)) is not None:
        header = decoded[0]
        begin = offset + HEADER_BYTES
        frames.append(_Frame(header, content[begin : begin + header.stored_length]))
        offset = (begin + header.stored_length + 7) & ~7
    return frames


def _assembled(head: bytes, frames: list[_Frame]) -> bytes:
    """A segment in which lengths, checksums and chain are right."""
    parts = [head]
    previous = int.from_bytes(head[124:128], "little")
    for header, payload in frames:
        encoded, previous = encode_frame(header._replace(previous_checksum=previous), payload)
        parts.append(encoded)
    return b"".join(parts)


def _with_segment(path: str, content: bytes) -> Tree:
    tree = {**original(), path: content}
    if path == _tail():
        tree[f"{PATH}/mark"] = _mark_at(len(content))
        tree[path] = content + bytes(256)
    return tree


def _mark_at(offset: int) -> bytes:
    content = original()[f"{PATH}/mark"] or b""
    found = mark.decode_mark(content)
    assert found is not None
    slot = mark.encode_slot(found._replace(visible_offset=offset, durable_offset=offset))
    return slot.ljust(4096, b"\0") + slot.ljust(4096, b"\0")


def _segments() -> list[str]:
    return [path for path in original() if path.endswith(".segment")]


def _tail() -> str:
    return max(path for path in _segments() if ".r" not in path)


def _cooled() -> str:
    return next(path for path in _segments() if ".r1." in path)


def _edit_segment_header(path: str, edits: bytes) -> Tree:
    content = original()[path] or b""
    head = edited(content[:124], edits)[:124].ljust(124, b"\0")
    head += crc32c(head).to_bytes(4, "little")
    return _with_segment(path, _assembled(head, frames_of(content)))


def _edit_frame_header(path: str, edits: bytes) -> Tree:
    """Edit the fields of a frame's header; its checksum holds, and the chain may."""
    content = original()[path] or b""
    frames = frames_of(content)
    at = edits[0] % len(frames) if edits else 0
    whole = bytearray(_assembled(content[:SEGMENT_HEADER_BYTES], frames))
    begin = SEGMENT_HEADER_BYTES
    for frame in frames[:at]:
        begin = (begin + HEADER_BYTES + len(frame.payload) + 7) & ~7
    checked = edited(bytes(whole[begin : begin + 68]), edits[1:])[:68].ljust(68, b"\0")
    whole[begin : begin + HEADER_BYTES] = checked + crc32c(checked).to_bytes(4, "little")
    return _with_segment(path, bytes(whole))


def _edit_payload(path: str, edits: bytes) -> Tree:
    """Edit what a frame says, uncompressed."""
    content = original()[path] or b""
    frames = frames_of(content)
    at = edits[0] % len(frames) if edits else 0
    header, payload = frames[at]
    raw = edited(decompress(header.codec, payload, header.raw_length), edits[1:])
    frames[at] = _Frame(header._replace(codec=0, raw_length=len(raw), stored_length=len(raw)), raw)
    return _with_segment(path, _assembled(content[:SEGMENT_HEADER_BYTES], frames))


def _edit_compressed(path: str, edits: bytes) -> Tree:
    """Edit the compressed bytes, the codec and the length that is claimed."""
    content = original()[path] or b""
    frames = frames_of(content)
    header, payload = frames[-1]
    codec = edits[0] % _CODECS if edits else 0
    claimed = int.from_bytes(edits[1:5], "little")
    payload = edited(payload, edits[5:])
    frames[-1] = _Frame(
        header._replace(codec=codec, raw_length=claimed, stored_length=len(payload)), payload
    )
    return _with_segment(path, _assembled(content[:SEGMENT_HEADER_BYTES], frames))


# The other files


def _edit_manifest(edits: bytes) -> Tree:
    content = original()[f"{PATH}/manifest"] or b""
    payload = edited(content[manifest.MANIFEST_HEADER_BYTES :], edits)
    head = manifest.MANIFEST_HEADER.pack(
        manifest.MANIFEST_MAGIC, 1, manifest.FLAG_COOLED, 0, len(payload), crc32c(payload)
    )
    sealed = head + crc32c(head).to_bytes(4, "little") + payload
    return {**original(), f"{PATH}/manifest": sealed}


def _edit_mark(edits: bytes) -> Tree:
    content = original()[f"{PATH}/mark"] or b""
    slot = edited(content[8:64], edits)[:56].ljust(56, b"\0")
    sealed = content[:4] + crc32c(slot).to_bytes(4, "little") + slot
    both = sealed.ljust(4096, b"\0") * 2 if edits[:1] > b"\x7f" else sealed + content[64:]
    return {**original(), f"{PATH}/mark": both}


def _first(ending: str) -> str:
    return min(path for path in original() if path.endswith(ending))


def _edit_run(edits: bytes) -> Tree:
    """Edit an index run anywhere, then seal header, blocks, directory and fence as far as it goes."""
    path = _first(".index")
    data = bytearray(edited(original()[path] or b"", edits))
    head = run.RUN_HEADER.size
    data += bytes(max(0, run.RUN_HEADER_BYTES - len(data)))
    header = run.decode_run_header(
        bytes(data[:head]) + crc32c(bytes(data[:head])).to_bytes(4, "little")
    )
    if header is not None:
        blocks = min(header.block_count, (len(data) - run.RUN_HEADER_BYTES) // run.BLOCK_BYTES)
        for block in range(blocks):
            begin = run.RUN_HEADER_BYTES + block * run.BLOCK_BYTES
            checked = bytes(data[begin + 4 : begin + run.BLOCK_BYTES])
            data[begin : begin + 4] = crc32c(header.salt + checked).to_bytes(4, "little")
        at, length = header.directory_offset, header.directory_length
        fence = bytes(data[at + length : at + length + 8 * header.block_count])
        header = header._replace(
            directory_checksum=crc32c(bytes(data[at : at + length])), fence_checksum=crc32c(fence)
        )
        data[: run.RUN_HEADER_BYTES] = run.encode_run_header(header)
    return {**original(), path: bytes(data)}


def _edit_table(edits: bytes) -> Tree:
    """Edit a table of frames anywhere, then seal its header, block and fence."""
    path = _first(".r1.frames")
    data = bytearray(edited(original()[path] or b"", edits))
    size = frame_table.TABLE_HEADER_BYTES
    data += bytes(max(0, size - len(data)))
    head = bytes(data[: size - 4])
    header = frame_table.decode_table_header(head + crc32c(head).to_bytes(4, "little"))
    if isinstance(header, frame_table.TableHeader):
        begin, end = size, size + frame_table.BLOCK_BYTES
        checked = bytes(data[begin + 4 : end])
        data[begin : begin + 4] = crc32c(header.salt + bytes(4) + checked).to_bytes(4, "little")
        fence = bytes(data[end:])
        header = header._replace(fence_checksum=crc32c(header.salt + fence))
        data[:size] = frame_table.encode_table_header(header)
    return {**original(), path: bytes(data)}


# Targets


def _on_tree(build: Callable[[bytes], Tree]) -> Callable[[bytes], None]:
    return lambda edits: ask(build(edits))


def _parse_names(edits: bytes) -> None:
    text = edits.decode("utf-8", "replace")
    names = [min(_segments()).rpartition("/")[2], _first(".index").rpartition("/")[2]]
    for name in (
        text,
        *(edited(name.encode(), edits).decode("utf-8", "replace") for name in names),
    ):
        for parse in (parse_segment_name, parse_cooled_name, parse_frames_name, parse_run_name):
            parse(name)
        directory = directory_name(name)
        assert directory is None or ("/" not in directory and directory not in {"", ".", ".."})


def _decompress(edits: bytes) -> None:
    for codec in range(_CODECS):
        try:
            decompress(codec, edits[4:], int.from_bytes(edits[:4], "little"))
        except (DecompressionError, AuroraError):
            continue


# What each makes of edits: a journal of which one part was edited, and sealed again.
BUILDERS: dict[str, Callable[[bytes], Tree]] = {
    "segment header": lambda edits: _edit_segment_header(_tail(), edits),
    "frame header": lambda edits: _edit_frame_header(_tail(), edits),
    "payload": lambda edits: _edit_payload(_tail(), edits),
    "compressed payload": lambda edits: _edit_compressed(_tail(), edits),
    "cooled segment header": lambda edits: _edit_segment_header(_cooled(), edits),
    "cooled frame header": lambda edits: _edit_frame_header(_cooled(), edits),
    "packed payload": lambda edits: _edit_payload(_cooled(), edits),
    "run": _edit_run,
    "table of frames": _edit_table,
    "manifest": _edit_manifest,
    "mark": _edit_mark,
}
TARGETS: dict[str, Callable[[bytes], None]] = {
    "names": _parse_names,
    "decompression": _decompress,
    **{name: _on_tree(build) for name, build in BUILDERS.items()},
}
