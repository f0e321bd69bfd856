"""What a journal's directory says before any segment is read: manifest, mark, names.

Theory of operation: the manifest is read first and the mark second. A segment is visible before it
is listed, so on a live journal the mark is at least as new as the list, and everything up to it is
there to be checked. Each file may be damaged, or of another journal; then the others speak for it,
and a journal without a manifest is known by the headers of its segments.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from typing import TYPE_CHECKING

from aurora_es.care.findings import (
    MANIFEST_DAMAGED,
    MANIFEST_MISSING,
    MANIFEST_WRONG,
    MARK_DAMAGED,
    MARK_MISSING,
    MARK_SLOT_DAMAGED,
    SEGMENT_FOREIGN,
    UNCHECKED_KINDS,
    UNREADABLE,
    UNSUPPORTED,
    Finding,
    doctor_command,
    repair_command,
)
from aurora_es.care.neighbours import may_be_closed
from aurora_es.errors import CorruptionError, ForeignDirectoryError, UnsupportedFormatError
from aurora_es.files.layer import open_regular, read_exactly
from aurora_es.format.frame import KIND_RECORDS
from aurora_es.format.mark import SLOT_BYTES, SLOT_OFFSETS, SPAN_BYTES, Mark, decode_slot
from aurora_es.format.names import MANIFEST, MARK, parse_cooled_name, parse_segment_name
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.salvage import frames_from

if TYPE_CHECKING:
    from aurora_es.files.layer import Files
    from aurora_es.format.manifest import Manifest
    from aurora_es.format.segment_header import SegmentHeader

_UNREADABLE = (CorruptionError, UnsupportedFormatError, ForeignDirectoryError, OSError)
_TRIES = 5  # to read a slot that a writer may be writing
_SegmentName = tuple[int, int, int]  # segment number, base position, revision


class Evidence:
    """Manifest, mark and names of one journal, and what is wrong with them."""

    def __init__(self, files: Files, path: str) -> None:
        """Read them; raises OSError if the directory cannot be listed."""
        self.files = files
        self.path = path
        self.findings: list[Finding] = []
        self.manifest: Manifest | None = self._read_manifest()
        self.mark: Mark | None = self._read_mark()
        self.segments: dict[str, _SegmentName] = {}
        self.list_segments()
        self._headers: dict[str, SegmentHeader] | None = None
        self.genesis_id = self._genesis_id()

    def list_segments(self) -> None:
        """List the segments again."""
        self.segments = {}
        for name in self.files.listdir(self.path):
            place = parse_cooled_name(name)
            raw = parse_segment_name(name)
            if place is not None or raw is not None:
                self.segments[name] = place or (*(raw or (0, 0)), 0)
        self._by_number: dict[int, list[tuple[int, int, str]]] = {}  # revision, base position, name
        for name, (number, base, revision) in self.segments.items():
            self._by_number.setdefault(number, []).append((revision, base, name))
        for files in self._by_number.values():
            files.sort()
        self.numbers = sorted(self._by_number)

    @property
    def is_unborn(self) -> bool:
        """Whether nothing speaks for a journal in which anything was ever committed."""
        return (
            any(one.kind == MANIFEST_MISSING for one in self.findings)
            and not any(place[0] > 1 or place[2] for place in self.segments.values())
            and (self.mark is None or not self.mark.visible_commit)
            and not any(self._holds_commits(name) for name in self.segments)
        )

    def _holds_commits(self, name: str) -> bool:
        try:
            file = SegmentFile(self.files, os.path.join(self.path, name), writable=False)
        except _UNREADABLE:
            return True
        frames = frames_from(file, SEGMENT_HEADER_BYTES, file.size_bytes())
        return any(header.kind == KIND_RECORDS for _, header in frames)

    def headers(self) -> dict[str, SegmentHeader]:
        """The valid headers of all segments, by file name."""
        if self._headers is None:
            self._headers = {}
            for name in sorted(self.segments):
                try:
                    file = SegmentFile(self.files, os.path.join(self.path, name), writable=False)
                except _UNREADABLE:
                    continue  # told when the segment itself is checked
                self._headers[name] = file.header
        return self._headers

    def names_of(self, segment_number: int) -> list[str]:
        """Files that have the name of this segment, the one as it was appended to first."""
        return [name for _, _, name in self._by_number.get(segment_number, ())]

    def is_closed(self, segment_number: int) -> bool:
        """Whether the segment has a file with an end frame, or one that cannot be asked."""
        return any(
            may_be_closed(self.files, os.path.join(self.path, name))
            for name in self.names_of(segment_number)
        )

    def base_behind(self, segment_number: int, *, is_missing: bool) -> int | None:
        """Base position of the next segment; behind a missing one, of the next that has a file."""
        at = bisect_right(self.numbers, segment_number)
        if at == len(self.numbers):
            return None
        number = self.numbers[at]
        if number > segment_number + 1 and not is_missing:
            return None
        return self._by_number[number][0][1]

    def commit_before(self, segment_number: int) -> int | None:
        """Number of the last commit in front of a segment, by its header; None: that is not valid."""
        for name in self.names_of(segment_number):
            try:
                header = SegmentFile(
                    self.files, os.path.join(self.path, name), writable=False
                ).header
            except _UNREADABLE:
                continue
            if (header.genesis_id, header.segment_number) == (self.genesis_id, segment_number):
                return header.base_commit - 1
        return None

    def finding(self, kind: str, name: str, expected: str, found: str, offset: int | None) -> None:
        """Add a finding about one of the small files, or about a file as a whole."""
        command = doctor_command if kind in UNCHECKED_KINDS else repair_command
        self.findings.append(
            Finding(
                kind=kind,
                path=os.path.join(self.path, name),
                offset=offset,
                expected=expected,
                found=found,
                cure=command(self.path),
            )
        )

    def stray(self, name: str, expected: str) -> None:
        """Add a finding about what has the name of a segment that cannot be."""
        try:
            fd = open_regular(self.files, os.path.join(self.path, name), os.O_RDONLY)
        except FileNotFoundError:
            return  # removed meanwhile
        except (OSError, ForeignDirectoryError) as error:
            self.finding(UNREADABLE, name, expected, str(error), None)
            return
        self.files.close(fd)
        self.finding(SEGMENT_FOREIGN, name, expected, "another file", 0)

    def _read_manifest(self) -> Manifest | None:
        try:
            manifest = read_manifest(self.files, self.path)
        except CorruptionError as error:
            self.finding(MANIFEST_DAMAGED, MANIFEST, error.expected, error.found, 0)
        except UnsupportedFormatError as error:
            self.finding(UNSUPPORTED, MANIFEST, "a manifest of this version", str(error), 0)
        except (OSError, ForeignDirectoryError) as error:
            self.finding(UNREADABLE, MANIFEST, "a manifest", str(error), None)
        else:
            if manifest is None:
                self.finding(MANIFEST_MISSING, MANIFEST, "a manifest", "no file", None)
            return manifest
        return None

    def _read_mark(self) -> Mark | None:
        path = os.path.join(self.path, MARK)
        try:
            fd = open_regular(self.files, path, os.O_RDONLY)
        except FileNotFoundError:
            self.finding(MARK_MISSING, MARK, "the mark of a journal", "no file", None)
            return None
        except (OSError, ForeignDirectoryError) as error:
            self.finding(UNREADABLE, MARK, "the mark of a journal", str(error), None)
            return None
        try:
            for _ in range(_TRIES):
                span = read_exactly(self.files, fd, SPAN_BYTES, 0)
                slots = [decode_slot(span[at : at + SLOT_BYTES]) for at in SLOT_OFFSETS]
                if None not in slots:
                    break
        finally:
            self.files.close(fd)
        valid = [slot for slot in slots if slot is not None]
        if not valid:
            self.finding(MARK_DAMAGED, MARK, "a valid slot in the mark", "none", 0)
            return None
        if len(valid) == 1:
            at = SLOT_OFFSETS[slots.index(None)]
            self.finding(MARK_SLOT_DAMAGED, MARK, "a slot with a valid checksum", "other bytes", at)
        return max(valid)

    def _genesis_id(self) -> bytes:
        """Of the manifest; where no segment has it, or there is none, that of the segments."""
        listed = None if self.manifest is None else bytes.fromhex(self.manifest.genesis_id)
        if listed is not None and (not self.segments or self._any_has(listed)):
            return listed
        found = {header.genesis_id for header in self.headers().values()}
        if len(found) == 1:
            (genesis_id,) = found
            if listed is not None:
                self.finding(
                    MANIFEST_WRONG,
                    MANIFEST,
                    f"the manifest of journal {genesis_id.hex()}",
                    f"that of journal {listed.hex()}",
                    0,
                )
                self.manifest = None
            return genesis_id
        return listed or bytes(16)

    def _any_has(self, genesis_id: bytes) -> bool:
        """Whether a segment names this genesis id: the first that is asked, as a rule."""
        for name in sorted(self.segments):
            try:
                file = SegmentFile(self.files, os.path.join(self.path, name), writable=False)
            except _UNREADABLE:
                continue
            if file.header.genesis_id == genesis_id:
                return True
        return False
