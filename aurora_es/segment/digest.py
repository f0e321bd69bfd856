"""The logical digest of a sealed segment: what it says, however it is coded.

    for each commit     commit number u64 | timestamp u64 | record count u32, tracking length u32
                        commit id 16 | tracking | record | record ...

Theory of operation: SHA-256 over the above, little-endian, for all commits in order. Tracking and
records go in as the MessagePack bytes that every coding of a segment keeps. So a cooled segment is
proven to hold what the raw one held before the raw one is removed, and two copies can be compared.
"""

from __future__ import annotations

import hashlib
from struct import Struct
from typing import TYPE_CHECKING

from aurora_es.segment.commits import CommitWalk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from aurora_es.segment.commits import Raw, SegmentCommit
    from aurora_es.segment.file import SegmentFile

COMMIT = Struct(
    "<"
    "Q"  # commit number
    "Q"  # timestamp, microseconds, UTC
    "I"  # record count
    "I"  # length of the tracking record, bytes; 0: none
    "16s"  # commit id
)
_pack_commit = COMMIT.pack


class LogicalDigest:
    """Takes commits in order and gives the digest of all of them."""

    __slots__ = ("_hash", "_update")

    def __init__(self) -> None:
        """Begin with none."""
        self._hash = hashlib.sha256()
        self._update = self._hash.update

    def add(self, commit: SegmentCommit) -> None:
        """Take the next commit."""
        number, commit_id, timestamp, tracking, _, records = commit
        encoded = b"" if tracking is None else bytes(tracking)
        head = _pack_commit(number, timestamp, len(records), len(encoded), commit_id)
        # One update of the joined parts is cheaper than many, up to commits of a few hundred MB.
        self._update(b"".join((head, encoded, *records)))

    def add_group(self, commits: Iterable[SegmentCommit]) -> None:
        """Take further commits, of a few megabytes at most, with one update for all."""
        parts: list[bytes | Raw] = []
        for number, commit_id, timestamp, tracking, _, records in commits:
            length = 0 if tracking is None else len(bytes(tracking))
            parts.append(_pack_commit(number, timestamp, len(records), length, commit_id))
            if tracking is not None:
                parts.append(tracking)
            parts += records
        self._update(b"".join(parts))

    def add_encoded(self, commits: bytes) -> None:
        """Take further commits, encoded as above."""
        self._update(commits)

    def digest(self) -> bytes:
        """The 32 bytes."""
        return self._hash.digest()


def logical_digest(
    file: SegmentFile, lost: Collection[tuple[int, int]] = ()
) -> tuple[bytes, CommitWalk]:
    """Digest of a sealed segment and the finished walk over it, with places and end.

    ``lost`` is what the manifest lists as lost in it. Raises CorruptionError, also if a cooled segment states another digest, UnsupportedFormatError.
    """
    walk = CommitWalk(file, lost=lost)
    digest = LogicalDigest()
    for commit in walk:
        digest.add(commit)
    found = digest.digest()
    walk.check_digest(found)
    return found, walk
