"""What a manifest lists of a segment, found by walking it from its header to its end frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.journal.seal import entry_of
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.digest import LogicalDigest
from aurora_es.segment.file import SegmentFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.files.layer import Files
    from aurora_es.format.manifest import SealedSegment

_COMMITS_BETWEEN = 1024


def summary_of(
    files: Files, path: str, *, revision: int, told: Callable[[int], object] = lambda _: None
) -> SealedSegment:
    """The entry of the sealed segment ``path``; whatever it says is lost is believed.

    ``told`` is called now and then with the bytes read since. Raises CorruptionError,
    UnsupportedFormatError.
    """
    file = SegmentFile(files, path, writable=False)
    walk = CommitWalk(file, lost=None)
    digest = LogicalDigest()
    first_timestamp = last_timestamp = seen = 0
    for number, commit in enumerate(walk):
        digest.add(commit)
        first_timestamp = first_timestamp or commit.timestamp
        last_timestamp = commit.timestamp
        if not number % _COMMITS_BETWEEN:
            told(walk.chain.offset - seen)
            seen = walk.chain.offset
    told(walk.chain.offset - seen)
    found = digest.digest()
    walk.check_digest(found)
    times = first_timestamp, last_timestamp
    return entry_of(walk, revision=revision, times=times, digest=found)
