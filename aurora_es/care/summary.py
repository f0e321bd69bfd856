"""What a manifest lists of a segment, found by walking it from its header to its end frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.journal.seal import entry_of
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.digest import LogicalDigest
from aurora_es.segment.file import SegmentFile

if TYPE_CHECKING:
    from aurora_es.files.layer import Files
    from aurora_es.format.manifest import SealedSegment


def summary_of(files: Files, path: str, *, revision: int) -> SealedSegment:
    """The entry of the sealed segment ``path``; whatever it says is lost is believed.

    Raises CorruptionError, UnsupportedFormatError.
    """
    file = SegmentFile(files, path, writable=False)
    walk = CommitWalk(file, lost=None)
    digest = LogicalDigest()
    first_timestamp = last_timestamp = 0
    for commit in walk:
        digest.add(commit)
        first_timestamp = first_timestamp or commit.timestamp
        last_timestamp = commit.timestamp
    found = digest.digest()
    walk.check_digest(found)
    times = first_timestamp, last_timestamp
    return entry_of(walk, revision=revision, times=times, digest=found)
