"""Creates a segment file: header, checkpoint frame, zeros, under a name that did not exist.

Theory of operation: the file is written as ``<name>.new``, synced, then linked to its name, which
fails if the name exists, so no segment ever replaces another. Who finds the file under its name
finds it complete. The directory is synced by ``link_segment``, before anything refers to the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from aurora_es.files.layer import open_regular, write_all
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import (
    FRAME_VERSION,
    KIND_CHECKPOINT,
    FrameHeader,
    encode_frame,
)
from aurora_es.format.names import NEW_SUFFIX, segment_name
from aurora_es.format.payload import CheckpointPayload, TrackingData, encode_payload
from aurora_es.format.segment_header import (
    FORMAT_VERSION,
    NO_KEY,
    SEGMENT_MAGIC,
    SegmentHeader,
    encode_segment_header,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aurora_es.files.layer import Effects, Files
    from aurora_es.segment.walk import Chain

NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def write_segment(  # noqa: PLR0913 - each is one field of the header
    effects: Effects,
    directory: str,
    *,
    genesis_id: bytes,
    after: Chain,
    epoch: int,
    codec: int,
    tracking: Iterable[TrackingData],
    reserve: bool,
) -> str:
    """Write the segment that follows the chain ``after`` as ``.new`` and sync it; returns its name.

    ``after`` is the predecessor's chain behind its end frame; for segment 1 one with segment
    number 0 and everything else 0.
    """
    files = effects.files
    name = segment_name(after.segment_number + 1, after.position + 1)
    header, checksum = encode_segment_header(
        SegmentHeader(
            SEGMENT_MAGIC,
            FORMAT_VERSION,
            0,
            0,
            after.segment_number + 1,
            genesis_id,
            after.position + 1,
            after.commit_number + 1,
            new_salt(effects),
            max(effects.clock(), after.timestamp),
            epoch,
            codec,
            NO_KEY,
            after.offset if after.segment_number else 0,
            after.position,
            after.previous_checksum,
        )
    )
    data = header + _checkpoint_frame(header, checksum, after, tracking)
    path = os.path.join(directory, name + NEW_SUFFIX)
    remove_if_there(files, path)
    fd = open_regular(files, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        write_all(files, fd, data + bytes(effects.reserve_bytes if reserve else 0), 0)
        files.fsync(fd)
    finally:
        files.close(fd)
    return name


def _checkpoint_frame(
    header: bytes, checksum: int, after: Chain, tracking: Iterable[TrackingData]
) -> bytes:
    """The frame behind the header of a segment: what was tracked before it."""
    payload = encode_payload(CheckpointPayload(after.timestamp, list(tracking)))
    frame, _ = encode_frame(
        FrameHeader(
            salt=header[56:64],
            kind=KIND_CHECKPOINT,
            flags=0,
            codec=0,
            version=FRAME_VERSION,
            stored_length=len(payload),
            raw_length=len(payload),
            record_count=0,
            first_position=after.position + 1,
            commit_number=after.commit_number,
            timestamp=after.timestamp,
            synced_to=0,
            frame_number=1,
            frames_in_commit=1,
            previous_checksum=checksum,
            payload_checksum=crc32c(payload),
        ),
        payload,
    )
    return frame


def link_segment(files: Files, directory: str, name: str) -> None:
    """Give a written segment its name; raises FileExistsError when the name is taken."""
    path = os.path.join(directory, name)
    try:
        files.link(path + NEW_SUFFIX, path)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        # No hard links on this file system: checked, then renamed; the caller holds the lock.
        if name in files.listdir(directory):
            raise FileExistsError(errno.EEXIST, "segment exists", path) from error
        files.rename(path + NEW_SUFFIX, path)
    remove_if_there(files, path + NEW_SUFFIX)
    files.sync_directory(directory)


def new_salt(effects: Effects) -> bytes:
    """Draw the salt of a new file; never zeros, which stand for "not written"."""
    while not any(salt := effects.random_bytes(8)):
        pass
    return salt


def remove_if_there(files: Files, path: str) -> None:
    """Remove a file that may be missing."""
    with contextlib.suppress(FileNotFoundError):
        files.unlink(path)
