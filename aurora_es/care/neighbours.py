"""Compares what segments, their neighbours and the manifest say of each other.

Theory of operation: a segment's header names the end of its predecessor, and the manifest says where
each listed one ends. Where the three do not agree, the two that do are believed. A segment that is
damaged says nothing: of it only what the manifest says is compared with its neighbours.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.care.findings import (
    MANIFEST_WRONG,
    SEGMENT_WRONG,
    Finding,
    repair_command,
)
from aurora_es.care.segment_facts import whole_count, whole_range
from aurora_es.errors import CorruptionError, ForeignDirectoryError, UnsupportedFormatError
from aurora_es.format.names import MANIFEST
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.salvage import has_end_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from aurora_es.care.segment_facts import SegmentFacts, Target
    from aurora_es.files.layer import Files
    from aurora_es.format.manifest import Manifest, SealedSegment
    from aurora_es.format.mark import Mark

Checked = tuple["Target", "SegmentFacts | None"]
_End = tuple[int, int, int, int]  # end offset, last position, last checksum, last commit
_END_TEXT = "an end at {} with position {}, checksum {:#010x}, commit {}"


def disagreements(directory: str, checked: Sequence[Checked]) -> Iterator[Finding]:
    """Say which segments, or which entries of the manifest, others contradict."""
    before: _End | None = None
    for at, (target, facts) in enumerate(checked):
        wrong = False
        if facts is not None and target.entry is not None:
            expected, found = _as_listed(target.entry, facts)
            if expected != found:
                wrong = True
                behind = checked[at + 1][1] if at + 1 < len(checked) else None
                yield _unlike_its_entry(directory, target, behind, expected, found)
        if facts is not None and not wrong:
            if target.segment_number == 1:
                before = (0, 0, 0, 0)
            found_before = (*facts.previous, facts.base_commit - 1)
            if before is not None and (
                before != found_before or facts.base_position != before[1] + 1
            ):
                yield Finding(
                    kind=SEGMENT_WRONG,
                    path=os.path.join(directory, target.file_name),
                    offset=0,
                    expected="a predecessor with " + _END_TEXT.format(*before),
                    found=_END_TEXT.format(*found_before),
                    lost=whole_range(target),
                    lost_commits=whole_count(target),
                    cure=repair_command(directory),
                )
        before = _end_of(target, facts)


def _end_of(target: Target, facts: SegmentFacts | None) -> _End | None:
    """Where a segment ends, by the manifest or else by itself."""
    entry = target.entry
    if entry is not None:
        return entry.end_offset, entry.last_position, entry.last_checksum, entry.last_commit
    if facts is None:
        return None
    return facts.end[0], facts.last_position, facts.end[1], facts.last_commit


def _as_listed(entry: SealedSegment, facts: SegmentFacts) -> tuple[dict[str, object], ...]:
    expected = {
        "base commit": entry.base_commit,
        "last position": entry.last_position,
        "last commit": entry.last_commit,
        "end offset": entry.end_offset,
        "last checksum": entry.last_checksum,
        "first timestamp": entry.first_timestamp,
        "last timestamp": entry.last_timestamp,
        "size": entry.size_bytes,
        "file checksum": entry.file_checksum,
        "digest": entry.digest,
    }
    found = {
        "base commit": facts.base_commit,
        "last position": facts.last_position,
        "last commit": facts.last_commit,
        "end offset": facts.end[0],
        "last checksum": facts.end[1],
        "first timestamp": facts.first_timestamp,
        "last timestamp": facts.last_timestamp,
        "size": facts.size_bytes,
        "file checksum": facts.file_checksum,
        "digest": facts.digest.hex(),
    }
    return expected, found


def _unlike_its_entry(
    directory: str,
    target: Target,
    behind: SegmentFacts | None,
    expected: dict[str, object],
    found: dict[str, object],
) -> Finding:
    entry = target.entry
    assert entry is not None
    differs = [name for name in expected if expected[name] != found[name]]
    # The successor was written when the segment was: it tells whose word holds.
    segment_is_right = behind is not None and behind.previous == (
        found["end offset"],
        found["last position"],
        found["last checksum"],
    )
    kind = MANIFEST_WRONG if segment_is_right else SEGMENT_WRONG
    name = MANIFEST if segment_is_right else target.file_name
    sides = (found, expected) if segment_is_right else (expected, found)
    texts = [", ".join(f"{name} {side[name]}" for name in differs) for side in sides]
    return Finding(
        kind=kind,
        path=os.path.join(directory, name),
        offset=None,
        expected=f"segment {entry.segment_number} with {texts[0]}",
        found=texts[1],
        lost=() if segment_is_right else whole_range(target),
        lost_commits=0 if segment_is_right else whole_count(target),
        cure=repair_command(directory),
    )


def contradictions(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What a manifest says that cannot be together: what was expected, and what was found.

    One whose segments or runs do not follow each other is not read at all.
    """
    segments = manifest.segments
    first = segments[0].base_position if segments else 1
    if manifest.retained_from != first:
        yield f"retained from position {first}", f"{manifest.retained_from}"


def newest_of(
    known: Iterable[int], is_closed: Callable[[int], bool], has_files: Callable[[int], bool]
) -> int:
    """Number of the newest segment that there can be; ``known`` are those that somebody vouches for.

    Damaged files behind a closed segment are its successors; behind a gap they are nothing.
    """
    newest = max(known)
    if is_closed(newest):
        while has_files(newest + 1):
            newest += 1
    return newest


def is_mark_beyond(
    files: Files, mark: Mark, newest: int, listed: int, paths: Iterable[str]
) -> bool:
    """Whether the mark names a segment that cannot have been: its predecessor is not closed.

    ``newest`` is the number of the newest segment of which there are files, ``paths`` are theirs, and
    ``listed`` is the number of the last one in the manifest, which was closed; 0: there is none.
    """
    return mark.segment_number > newest > listed and not any(
        may_be_closed(files, path) for path in paths
    )


def may_be_closed(files: Files, path: str) -> bool:
    """Whether a segment has an end frame, or cannot be asked."""
    try:
        file = SegmentFile(files, path, writable=False)
    except (CorruptionError, UnsupportedFormatError, ForeignDirectoryError, OSError):
        return True
    return has_end_frame(file)
