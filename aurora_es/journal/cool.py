"""Cools sealed segments: stores them again in packed frames, compressed, and lists the copy.

Theory of operation: the copy is written, synced, read back from the disk and compared by its logical
digest before it gets its name, and only then does a new generation of the manifest list it. The file
it replaces is listed as obsolete and removed a minute later: readers that have it open go on, others
find the copy. Killed anywhere, the segment is as it was, and what is left over is removed by the
next run. The caller holds ``background.lock``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from aurora_es.codecs.compression import CODEC_LZ4, CODEC_NONE, CODEC_SNAPPY, CODEC_ZSTD
from aurora_es.errors import AuroraConfigurationError, CorruptionError
from aurora_es.format.manifest import ObsoleteFile
from aurora_es.format.names import frames_name, segment_name
from aurora_es.journal.logs import logger
from aurora_es.journal.manifest_file import change_manifest, read_manifest
from aurora_es.journal.seal import LOCK_TIMEOUT_SECONDS
from aurora_es.journal.sealed_segments import SealedSegments
from aurora_es.segment.create import link_segment, remove_if_there
from aurora_es.segment.frame_table import write_frame_table
from aurora_es.segment.pack import verify_packed, write_packed

if TYPE_CHECKING:
    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import Manifest, SealedSegment

COOL_CODECS = {
    "lz4": CODEC_LZ4,
    "none": CODEC_NONE,
    "snappy": CODEC_SNAPPY,
    "zstd": CODEC_ZSTD,
}
COOL_CODEC_DEFAULT = "lz4"


def codec_named(name: str) -> int:
    """Codec of cooled segments by its name; raises AuroraConfigurationError."""
    codec = COOL_CODECS.get(name.lower())
    if codec is None:
        message = (
            f"codec of cooled segments: expected one of {', '.join(COOL_CODECS)}; found {name!r}"
        )
        raise AuroraConfigurationError(message)
    return codec


def segments_to_cool(manifest: Manifest, *, before: int) -> list[SealedSegment]:
    """Segments not cooled yet whose last commit is older than ``before`` (microseconds)."""
    return [
        segment
        for segment in manifest.segments
        if segment.revision == 0 and segment.last_timestamp < before
    ]


def cool_segment(effects: Effects, path: str, segment: SealedSegment, codec: int) -> bool:
    """Cool one listed segment; False if it was dropped or replaced meanwhile.

    Raises CorruptionError with nothing changed if segment or copy are not what was sealed.
    """
    files = effects.files
    manifest = read_manifest(files, path)
    if manifest is None or segment not in manifest.segments:
        return False
    revision = segment.revision + 1
    number, base = segment.segment_number, segment.base_position
    segments = SealedSegments(
        effects, path, bytes.fromhex(manifest.genesis_id), manifest.segments, read_only=False
    )
    packed = write_packed(
        effects,
        path,
        segments.open_segment(segment).file,
        revision=revision,
        codec=codec,
        lost=segment.lost or (),
    )
    verify_packed(files, path, packed)
    if packed.end.digest.hex() != segment.digest:
        raise CorruptionError(
            os.path.join(path, segment_name(number, base, segment.revision)),
            0,
            expected=f"logical digest {segment.digest}, as it was sealed",
            found=packed.end.digest.hex(),
        )
    # An unlisted file of that name is what a killed run has left.
    remove_if_there(files, os.path.join(path, packed.name))
    link_segment(files, path, packed.name)
    write_frame_table(effects, path, packed.identity, packed.places)
    cooled = msgspec.structs.replace(
        segment,
        revision=revision,
        size_bytes=packed.size_bytes,
        file_checksum=packed.end.last_checksum,
    )
    now = effects.clock()
    replaced = [
        ObsoleteFile(file_name=name, since=now)
        for name in (
            segment_name(number, base, segment.revision),
            frames_name(number, base, segment.revision),
        )
    ]

    def change(current: Manifest) -> dict[str, object]:
        if segment not in current.segments:
            return {}  # retention has dropped it meanwhile
        return {
            "segments": [cooled if one == segment else one for one in current.segments],
            "obsolete": [*(current.obsolete or ()), *replaced],
        }

    # Killed before this: an unlisted revision, removed by the next run; behind it: two names, one listed.
    listed = change_manifest(effects, path, change, lock_timeout=LOCK_TIMEOUT_SECONDS)
    if cooled not in listed.segments:
        remove_if_there(files, os.path.join(path, packed.name))
        return False
    logger.info(
        "%s: cooled segment %d, %d to %d bytes", path, number, segment.size_bytes, cooled.size_bytes
    )
    return True
