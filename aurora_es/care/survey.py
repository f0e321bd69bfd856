"""Reads all that a directory says of a journal, whatever is missing: what repair and rebuild go by.

    files ──> candidates by segment number ──> one after the other: whole, damaged, or missing
    manifest, mark, names, headers of neighbours ──> where a damaged or missing one begins and ends

Theory of operation: nothing is changed here. A segment is *whole* if it can be walked from its header
to its end frame; of several files for one number (a cooled copy and the file that it was made from)
the one that the manifest lists is preferred, then one with the digest that it lists. Where a segment
ends is told by itself, else by the header of its successor, the manifest, the successor's name, the
mark; in this order. What a newer version wrote is refused: it is nothing that this one may judge.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.care.findings import joined
from aurora_es.care.summary import summary_of
from aurora_es.errors import CorruptionError, ForeignDirectoryError
from aurora_es.files.layer import open_regular, read_exactly
from aurora_es.format.mark import SPAN_BYTES, Mark, decode_mark
from aurora_es.format.names import (
    MANIFEST,
    MARK,
    parse_cooled_name,
    parse_frames_name,
    parse_run_name,
    parse_segment_name,
    segment_name,
)
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.segment.file import SegmentFile

if TYPE_CHECKING:
    from aurora_es.files.layer import Files
    from aurora_es.format.manifest import Manifest, SealedSegment
    from aurora_es.format.segment_header import SegmentHeader


class Candidate(NamedTuple):
    """A file that may be a segment."""

    name: str
    revision: int
    header: SegmentHeader | None  # None: damaged
    problem: str  # why it cannot be used as it is; empty: nothing known


class Boundary(NamedTuple):
    """Where a segment ends, as far as that is known."""

    position: int  # of its last record
    commit_number: int | None = None  # of its last commit
    end: tuple[int, int] | None = None  # end offset and last header checksum, before any cooling


class Survey(NamedTuple):
    """What there is."""

    path: str
    names: tuple[str, ...]
    manifest: Manifest | None
    manifest_problem: str
    mark: Mark | None
    mark_problem: str
    genesis_id: bytes
    candidates: dict[int, list[Candidate]]  # by segment number, in the order of preference
    foreign: tuple[Candidate, ...]  # segments of other journals under names of ours
    first_number: int
    tail_number: int

    def listed(self, number: int) -> SealedSegment | None:
        """What the manifest lists of a segment."""
        for segment in () if self.manifest is None else self.manifest.segments:
            if segment.segment_number == number:
                return segment
        return None

    def told_by_others(self, number: int) -> Boundary | None:
        """The end of a segment by what its successor and the manifest say."""
        boundary: Boundary | None = None
        for candidate in self.candidates.get(number + 1, []):
            header = candidate.header
            if header is not None:
                return Boundary(
                    header.base_position - 1,
                    header.base_commit - 1,
                    (header.previous_end, header.previous_checksum),
                )
            parsed = parse_segment_name(candidate.name) or parse_cooled_name(candidate.name)
            if parsed is not None and parsed[0] == number + 1:
                boundary = Boundary(parsed[1] - 1)
        listed = self.listed(number)
        if listed is not None:
            return Boundary(
                listed.last_position, listed.last_commit, (listed.end_offset, listed.last_checksum)
            )
        following = self.listed(number + 1)
        if following is not None:
            return Boundary(following.base_position - 1, following.base_commit - 1)
        return boundary


def survey(files: Files, path: str) -> Survey:
    """Look at the files of ``path``, their headers, the manifest and the mark.

    Raises ForeignDirectoryError for what is no journal, UnsupportedFormatError, CorruptionError
    where no file says of which journal it is, OSError.
    """
    names = tuple(sorted(files.listdir(path)))
    segments = [name for name in names if parse_segment_name(name) or parse_cooled_name(name)]
    if MANIFEST not in names and not segments:
        message = (
            f"{path}: expected a journal, or segments of one; found neither; nothing was changed."
            " Repair the directory that holds the segments"
        )
        raise ForeignDirectoryError(message)
    manifest, manifest_problem = _read_manifest(files, path)
    mark, mark_problem = _read_mark(files, path)
    headers = {name: _header_of(files, os.path.join(path, name)) for name in segments}
    genesis_id = _genesis_of(path, manifest, [header for header, _ in headers.values() if header])
    candidates: dict[int, list[Candidate]] = {}
    foreign = []
    for name, (header, problem) in headers.items():
        number, base, revision = _place_of(name)
        if header is not None and header.genesis_id != genesis_id:
            foreign.append(Candidate(name, revision, header, "of another journal"))
            continue
        if header is not None and (header.segment_number, header.base_position) != (number, base):
            number = header.segment_number
            candidate = Candidate(name, revision, header, f"it is segment {number}")
        else:
            candidate = Candidate(name, revision, header, problem)
        candidates.setdefault(number, []).append(candidate)
    first, tail = _numbers(manifest, mark, candidates)
    found = Survey(
        path,
        names,
        manifest,
        manifest_problem,
        mark,
        mark_problem,
        genesis_id,
        candidates,
        tuple(foreign),
        first,
        tail,
    )
    for number, several in candidates.items():
        listed = found.listed(number)
        preferred = None if listed is None else listed.revision
        several.sort(key=lambda one: (one.revision != preferred, bool(one.problem), -one.revision))
    return found


def _place_of(name: str) -> tuple[int, int, int]:
    plain = parse_segment_name(name)
    if plain is not None:
        return *plain, 0
    cooled = parse_cooled_name(name)
    assert cooled is not None
    return cooled


def _read_manifest(files: Files, path: str) -> tuple[Manifest | None, str]:
    try:
        manifest = read_manifest(files, path)
    except CorruptionError as error:
        return None, f"expected {error.expected}, found {error.found}"
    if manifest is None:
        return None, "expected a manifest, found no file"
    numbers = [segment.segment_number for segment in manifest.segments]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers)) if numbers else []):
        return None, f"expected segments without a gap, found {numbers}"
    if not _covers(manifest):
        return None, "expected index runs over all listed segments, found others"
    return manifest, ""


def _covers(manifest: Manifest) -> bool:
    """Whether the listed runs cover the listed segments, each once."""
    covered = [
        number
        for run in sorted(manifest.runs, key=lambda one: one.first_segment)
        for number in (run.first_segment, run.last_segment)
    ]
    if not manifest.segments:
        return not covered
    inner = covered[1:-1]
    return (
        bool(covered)
        and covered[0] == manifest.segments[0].segment_number
        and covered[-1] == manifest.segments[-1].segment_number
        and all(left + 1 == right for left, right in zip(inner[::2], inner[1::2], strict=True))
    )


def _read_mark(files: Files, path: str) -> tuple[Mark | None, str]:
    try:
        fd = open_regular(files, os.path.join(path, MARK), os.O_RDONLY)
    except FileNotFoundError:
        return None, "expected the mark, found no file"
    try:
        span = read_exactly(files, fd, SPAN_BYTES, 0)
    finally:
        files.close(fd)
    mark = decode_mark(span.ljust(SPAN_BYTES, b"\0"))
    return mark, "" if mark else f"expected a valid slot, found none in {len(span)} bytes"


def _header_of(files: Files, path: str) -> tuple[SegmentHeader | None, str]:
    try:
        return SegmentFile(files, path, writable=False).header, ""
    except CorruptionError as error:
        return None, f"expected {error.expected}, found {error.found}"


def _genesis_of(path: str, manifest: Manifest | None, headers: list[SegmentHeader]) -> bytes:
    if manifest is not None:
        return bytes.fromhex(manifest.genesis_id)
    ids = [header.genesis_id for header in headers]
    if not ids:
        raise CorruptionError(
            path, 0, expected="a manifest or a segment header that is whole", found="none"
        )
    return max(ids, key=ids.count)


def _numbers(
    manifest: Manifest | None, mark: Mark | None, candidates: dict[int, list[Candidate]]
) -> tuple[int, int]:
    """Number of the first segment that there has to be, and of the last."""
    listed = [] if manifest is None else manifest.segments
    first = listed[0].segment_number if listed else 1
    if manifest is None and candidates:
        first = min(candidates)  # earlier ones may have been dropped by retention
    tail = max(candidates, default=first)
    if listed:
        tail = max(tail, listed[-1].segment_number + 1)
    return first, tail if mark is None else max(tail, mark.segment_number)


def whole_segment(
    files: Files, found: Survey, number: int
) -> tuple[Candidate, SealedSegment] | None:
    """The file that is whole, of those for one closed segment, and how the manifest lists it."""
    listed = found.listed(number)
    spare: tuple[Candidate, SealedSegment] | None = None
    for candidate in found.candidates.get(number, []):
        if candidate.header is None:
            continue
        try:
            path = os.path.join(found.path, candidate.name)
            entry = summary_of(files, path, revision=candidate.revision)
        except CorruptionError:
            continue
        if listed is not None and (entry.digest != listed.digest or entry.lost != listed.lost):
            continue  # what a killed repair has left, or another history
        if not entry.lost or listed is not None:
            return candidate, entry
        if spare is None or joined(entry.lost) < joined(spare[1].lost or ()):
            spare = candidate, entry
    return spare


def is_in_place(candidate: Candidate, entry: SealedSegment) -> bool:
    """Whether a file has the name that a manifest gives it."""
    name = segment_name(entry.segment_number, entry.base_position, entry.revision)
    return candidate.name == name


def next_revision(found: Survey, number: int) -> int:
    """A revision that no file of a segment has, nor its table of frames."""
    revisions = [0]
    for name in found.names:
        for suffix in ("", ".new"):
            stem = name.removesuffix(suffix) if suffix else name
            place = parse_cooled_name(stem) or parse_frames_name(stem)
            if place is not None and place[0] == number:
                revisions.append(place[2])
    listed = found.listed(number)
    return max([*revisions, 0 if listed is None else listed.revision]) + 1


def caches_of(found: Survey) -> list[str]:
    """Names of all index runs and tables of frames."""
    return [name for name in found.names if parse_run_name(name) or parse_frames_name(name)]
