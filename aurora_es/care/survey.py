"""Reads all that a directory says of a journal, whatever is missing: what repair and rebuild go by.

    files ──> candidates by segment number ──> one after the other: whole, damaged, or missing
    manifest, mark, names, headers of neighbours ──> where a damaged or missing one begins and ends

Theory of operation: nothing is changed here. A segment is *whole* if it can be walked from its header
to its end frame; of several files for one number (a cooled copy and the file that it was made from)
the one that the manifest lists is preferred, and one under a name that no segment has is the last
resort. Where a segment ends is told by itself, if its predecessor and either manifest or successor
agree; else by the manifest, the header of its successor, the successor's name, the mark; in this
order. What does not fit in is of another history, and no more use than another journal's. What a
newer version wrote is refused: it is not for this one to judge.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.care.findings import joined
from aurora_es.care.neighbours import contradictions, is_mark_beyond, newest_of
from aurora_es.care.renamed import is_renamed, renamed_segments
from aurora_es.care.summary import summary_of
from aurora_es.errors import CorruptionError
from aurora_es.files.layer import open_regular, read_exactly
from aurora_es.format.mark import SLOT_BYTES, SLOT_OFFSETS, SPAN_BYTES, Mark, decode_slot
from aurora_es.format.names import (
    MARK,
    parse_cooled_name,
    parse_frames_name,
    parse_segment_name,
    segment_name,
)
from aurora_es.journal.holes import NO_HOLES, holes_of
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.salvage import has_end_frame

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
    settings: Manifest | None  # a manifest whose lists cannot be right; or the same
    mark: Mark | None
    mark_problem: str  # also of one that can be used: it has a slot that is not valid
    seen_sequence: int  # of a mark that is not to be believed, too
    genesis_id: bytes
    candidates: dict[int, list[Candidate]]  # by segment number, in the order of preference
    foreign: tuple[Candidate, ...]  # under names of ours: of other journals, or of no segment
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
        listed = self.listed(number)
        if listed is not None:
            return end_of(listed)
        successor = self.told_by_successor(number)
        if successor is not None:
            return successor
        for candidate in self.candidates.get(number + 1, []):
            parsed = parse_segment_name(candidate.name) or parse_cooled_name(candidate.name)
            if parsed is not None and parsed[0] == number + 1:
                return Boundary(parsed[1] - 1)
        return None

    def told_by_successor(self, number: int) -> Boundary | None:
        """The end of a segment by the header of the next one."""
        for candidate in self.candidates.get(number + 1, []):
            header = candidate.header
            if header is not None:
                end = header.previous_end, header.previous_checksum
                return Boundary(header.base_position - 1, header.base_commit - 1, end)
        return None


def survey(files: Files, path: str) -> Survey:
    """Look at the files of ``path``, their headers, the manifest and the mark.

    Raises UnsupportedFormatError, CorruptionError where no file says of which journal it is, OSError.
    """
    names = tuple(sorted(files.listdir(path)))
    segments = [name for name in names if parse_segment_name(name) or parse_cooled_name(name)]
    settings, manifest_problem = _read_manifest(files, path)
    headers = {name: _header_of(files, os.path.join(path, name)) for name in segments}
    genesis_id = _genesis_of(path, settings, [header for header, _ in headers.values() if header])
    if settings is not None and settings.genesis_id != genesis_id.hex():
        manifest_problem = f"it is that of journal {settings.genesis_id}"
        settings = None
    manifest = None if manifest_problem else settings
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
    slots, mark_problem = _read_mark(files, path)
    mark, doubt = _credible(files, path, manifest, slots, candidates)
    foreign += _taken_out(files, path, manifest, mark, candidates)
    first, tail = _numbers(manifest, mark, candidates)
    for name, header in renamed_segments(files, path, genesis_id).items():
        number = header.segment_number
        if first <= number <= tail:
            candidate = Candidate(name, 0, header, f"it is segment {number}")
            candidates.setdefault(number, []).append(candidate)
    found = Survey(
        path,
        names,
        manifest,
        manifest_problem,
        settings,
        mark,
        doubt or mark_problem,
        0 if slots is None else slots.sequence,
        genesis_id,
        candidates,
        tuple(foreign),
        first,
        tail,
    )
    for number, several in candidates.items():
        listed = found.listed(number)
        # Without a list of it, readers find a segment as it was appended to, and no cooled copy.
        unlisted = None if manifest is None else 0
        preferred = unlisted if listed is None else listed.revision
        several.sort(
            key=lambda one: (
                is_renamed(one.name),
                one.revision != preferred,
                bool(one.problem),
                -one.revision,
            )
        )
    return found


def _taken_out(
    files: Files,
    path: str,
    manifest: Manifest | None,
    mark: Mark | None,
    candidates: dict[int, list[Candidate]],
) -> list[Candidate]:
    """Take out files that bear the name of a segment behind the newest one there can be."""
    known = [number for number, several in candidates.items() if any(one.header for one in several)]
    if manifest is not None:
        known.append(manifest.segments[-1].segment_number + 1 if manifest.segments else 1)
    if mark is not None:
        known.append(mark.segment_number)
    if not known:
        return []
    newest = newest_of(
        known,
        lambda number: any(_is_closed(files, path, one) for one in candidates.get(number, [])),
        lambda number: number in candidates,
    )
    problem = f"behind segment {newest} there is none"
    behind = [number for number in candidates if number > newest]
    return [one._replace(problem=problem) for number in behind for one in candidates.pop(number)]


def _is_closed(files: Files, path: str, candidate: Candidate) -> bool:
    try:
        file = SegmentFile(files, os.path.join(path, candidate.name), writable=False)
    except CorruptionError:
        return False
    return has_end_frame(file)


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
    for expected, wrong in contradictions(manifest):
        return manifest, f"expected {expected}, found {wrong}"
    return manifest, ""


def _read_mark(files: Files, path: str) -> tuple[Mark | None, str]:
    try:
        fd = open_regular(files, os.path.join(path, MARK), os.O_RDONLY)
    except FileNotFoundError:
        return None, "expected the mark, found no file"
    try:
        span = read_exactly(files, fd, SPAN_BYTES, 0)
    finally:
        files.close(fd)
    slots = [decode_slot(span[at : at + SLOT_BYTES]) for at in SLOT_OFFSETS]
    valid = [slot for slot in slots if slot is not None]
    if not valid:
        return None, f"expected a valid slot, found none in {len(span)} bytes"
    problem = "one of its two slots is damaged" if len(valid) < len(slots) else ""
    return max(valid), problem


def _header_of(files: Files, path: str) -> tuple[SegmentHeader | None, str]:
    try:
        return SegmentFile(files, path, writable=False).header, ""
    except CorruptionError as error:
        return None, f"expected {error.expected}, found {error.found}"


def _genesis_of(path: str, manifest: Manifest | None, headers: list[SegmentHeader]) -> bytes:
    ids = [header.genesis_id for header in headers]
    if manifest is not None:
        listed = bytes.fromhex(manifest.genesis_id)
        # Where all segments are of one other journal, it is the manifest that is in a wrong place.
        if listed in ids or len({*ids}) != 1:
            return listed
    if not ids:
        raise CorruptionError(
            path,
            0,
            expected="a manifest or a segment header that is whole",
            found="none, so that nothing can be repaired: move the directory away, and restore a backup"
            f" with `aurora-es restore BACKUP {shlex.quote(path)}`",
        )
    return max(ids, key=ids.count)


def _credible(
    files: Files,
    path: str,
    manifest: Manifest | None,
    mark: Mark | None,
    candidates: dict[int, list[Candidate]],
) -> tuple[Mark | None, str]:
    """The mark, unless it names a segment that cannot have been, and why not."""
    if mark is None or not candidates:
        return mark, ""
    newest = max(candidates)
    listed = manifest.segments[-1].segment_number if manifest and manifest.segments else 0
    paths = [os.path.join(path, candidate.name) for candidate in candidates[newest]]
    if not is_mark_beyond(files, mark, newest, listed, paths):
        return mark, ""
    return None, (
        f"it names segment {mark.segment_number}, and segment {newest}, the newest, is not closed"
    )


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


def end_of(entry: SealedSegment) -> Boundary:
    """Where a listed segment ends."""
    return Boundary(entry.last_position, entry.last_commit, (entry.end_offset, entry.last_checksum))


def follows(header: SegmentHeader, before: Boundary) -> bool:
    """Whether a segment with this header is the one behind ``before``."""
    if header.base_position != before.position + 1:
        return False
    if before.commit_number not in {None, header.base_commit - 1}:
        return False
    previous = header.previous_end, header.previous_checksum
    return before.end in {None, previous} and (
        before.end is None or header.previous_position == before.position
    )


def fits(found: Survey, number: int, end: tuple[int, int]) -> bool:
    """Whether manifest or successor say that a listed segment has this end."""
    listed, successor = found.listed(number), found.told_by_successor(number)
    if listed is None or end == (listed.end_offset, listed.last_checksum):
        return True
    return successor is not None and successor.end == end


def as_listed(found: Survey, number: int) -> tuple[Candidate, SealedSegment]:
    """The file of a segment that is known to be what the manifest lists, and how that is."""
    entry = found.listed(number)
    assert entry is not None
    (candidate,) = (one for one in found.candidates[number] if is_in_place(one, entry))
    return candidate, entry


def whole_segment(
    files: Files, found: Survey, number: int, before: Boundary
) -> tuple[Candidate, SealedSegment] | None:
    """The file that is whole, of those for one closed segment, and how the manifest lists it.

    It follows ``before``; None if there is none.
    """
    listed = found.listed(number)
    known = NO_HOLES if listed is None else holes_of([listed])
    spare: tuple[Candidate, SealedSegment] | None = None
    for candidate in found.candidates.get(number, []):
        if candidate.header is None or not follows(candidate.header, before):
            continue
        try:
            path = os.path.join(found.path, candidate.name)
            entry = summary_of(files, path, revision=candidate.revision)
        except CorruptionError:
            continue
        if not fits(found, number, (entry.end_offset, entry.last_checksum)):
            continue  # another history
        lost = [piece for one in entry.lost or () for piece in known.pieces(*one)]
        if listed is None and not lost:
            return candidate, entry
        if listed is not None:
            if (entry.digest, entry.lost) == (listed.digest, listed.lost):
                return candidate, entry
            if lost:
                continue  # what a killed repair has left: the original may hold more
        if spare is None or joined(entry.lost or ()) < joined(spare[1].lost or ()):
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
