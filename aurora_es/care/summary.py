"""What a manifest lists of a segment, found by walking it from its header to its end frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.journal.gathering import Gathered
from aurora_es.journal.seal import entry_of
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.file import SegmentFile

if TYPE_CHECKING:
    from aurora_es.files.layer import Files
    from aurora_es.format.manifest import SealedSegment


def summary_of(files: Files, path: str, *, revision: int) -> SealedSegment:
    """The entry of the sealed segment ``path``; whatever it says is lost is believed.

    Raises CorruptionError, UnsupportedFormatError.
    """
    walk = CommitWalk(SegmentFile(files, path, writable=False), lost=None)
    return entry_of(walk, Gathered(walk, is_indexed=False), revision=revision)
