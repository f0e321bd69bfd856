"""What a history knows to be true, and an independent reading of the files to compare it with.

Theory of operation: every commit that was tried is *visible* (acknowledged, or seen by anyone),
*open* (its outcome is unknown) or *refused* (its caller was told that nothing was written). The
files are read here by a small decoder of its own. What is found must be the visible commits, all of
them and in order, then open ones whole, and never a refused one. Under weak sync modes a power cut
may take visible commits from the end, down to the last sync, and then the epoch has to rise.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, NamedTuple

import lz4.block
from msgspec.msgpack import decode

from aurora_es.format.checksum import crc32c
from aurora_es.format.mark import Mark, decode_mark
from aurora_es.testing.disk import CrashableDisk, DirectoryNode
from tests.docs.sealed_from_pages import read_cooled

PATH = "/data/store/events"
# Written down once more, so that the format cannot change unnoticed: salt; kind, flags, codec,
# version; stored and raw length, records; position, commit, timestamp, synced_to; frame number,
# frames; checksums of the previous header, the payload, the header.
_HEADER = Struct("<8s4B3I4Q2H3I")


Commit = tuple[bytes, tuple[bytes, ...], "tuple[str, int] | None"]  # id, states, tracking


class ViolationError(AssertionError):
    """The journal broke a promise."""


class Tried(NamedTuple):
    """A commit that a history tried to append."""

    commit_id: bytes
    states: tuple[bytes, ...]
    tracking: tuple[str, int] | None


class Found(NamedTuple):
    """All that the files say, up to the mark."""

    commits: list[Commit]
    mark: Mark
    acknowledged: dict[str, list[tuple[int, int]]]  # per segment: ranges in use, padding left out


@dataclass
class Truth:
    """The commits that were tried, by what their callers know."""

    always: bool
    visible: list[Tried] = field(default_factory=list)
    open: dict[bytes, Tried] = field(default_factory=dict)
    refused: dict[bytes, Tried] = field(default_factory=dict)
    durable_count: int = 0  # so many of ``visible`` survive any power cut
    epoch: int = 0
    vouched_count: int = 0  # so many commits were visible in the mark that survived a power cut
    may_shrink: bool = False  # under a weak mode: power was lost since the last comparison
    mark: Mark | None = None

    def compare(self, found: Found, *, decided: set[bytes] | None, may_lag: bool = False) -> None:
        """Check what the files say.

        ``decided``: an opening or append that succeeded has settled these open commits.
        ``may_lag``: a sync of the mark has failed, so the mark in the cache may be an old one until
        the next append or opening.
        """
        names = [commit[0] for commit in found.commits]
        known = [commit.commit_id for commit in self.visible]
        common = min(len(names), len(known))
        if names[:common] != known[:common]:
            raise ViolationError(f"other commits than those that were visible: {names} and {known}")
        if len(names) < len(known) and may_lag and decided is None:
            return
        if len(names) < len(known):
            self._lose(len(names), found.mark)
        for entry in found.commits[common:]:
            tried = self.open.pop(entry[0], None)
            if tried is None:
                fate = "refused" if entry[0] in self.refused else "gone"
                raise ViolationError(f"a commit that was {fate} has appeared: {entry[0].hex()}")
            self.visible.append(tried)
        for entry, commit in zip(found.commits, self.visible, strict=True):
            if entry != commit:
                raise ViolationError(f"commit {entry[0].hex()} has another content")
        if found.mark.epoch < self.epoch:
            raise ViolationError(f"the epoch fell from {self.epoch} to {found.mark.epoch}")
        self.epoch = found.mark.epoch
        self.mark = found.mark
        if self.always:
            self.durable_count = len(self.visible)
        for commit_id in decided or ():
            if commit_id in self.open:
                self.refused[commit_id] = self.open.pop(commit_id)

    def _lose(self, count: int, mark: Mark) -> None:
        if not self.may_shrink or count < self.durable_count:
            raise ViolationError(f"{len(self.visible) - count} visible commits have vanished")
        if count < self.vouched_count and mark.epoch <= self.epoch:
            raise ViolationError(f"visible commits have vanished under the same epoch {mark.epoch}")
        del self.visible[count:]

    def refuse(self, tried: Tried) -> None:
        """Remember that ``tried`` must never appear: its caller was told so."""
        self.open.pop(tried.commit_id, None)
        self.refused[tried.commit_id] = tried

    @property
    def states(self) -> list[bytes]:
        """States of all records, in order."""
        return [state for commit in self.visible for state in commit.states]

    @property
    def tracking(self) -> dict[str, int]:
        """Tracking positions."""
        return dict(commit.tracking for commit in self.visible if commit.tracking is not None)


class FileReader:
    """Reads every commit up to the mark from the cache of the disk, without the journal's code.

    What was read before and has not changed is not read again.
    """

    def __init__(self, disk: CrashableDisk, path: str = PATH) -> None:
        """Read the journal in the directory ``path``."""
        self.disk = disk
        self.path = path
        self._known: dict[str, _Segment] = {}
        self._cooled: dict[int, tuple[list[Commit], _Place]] = {}  # by what the file holds

    def read(self) -> Found:
        """Read everything, checking all that the format promises; raises ViolationError."""
        mark = decode_mark(self.disk.content(os.path.join(self.path, "mark")))
        if mark is None:
            raise ViolationError("no valid mark")
        directory = self.disk.find(self.path)
        assert isinstance(directory, DirectoryNode)
        found = Found([], mark, {})
        before = _Place()
        names = sorted(name for name in directory.entries if name.endswith(".segment"))
        # As it was appended to, which comes last, or else cooled.
        for number, name in {int(name[:10]): name for name in names}.items():
            if before.segment_number == mark.segment_number:
                break
            data = self.disk.content(os.path.join(self.path, name))
            if ".r" in name:
                commits, before = self._read_cooled(number, before, data)
                found.commits.extend(commits)
                continue
            if before.segment_number + 1 == mark.segment_number:
                data = data[: mark.visible_offset]
            segment = self._known.get(name)
            if segment is None or segment.before != before or not data.startswith(segment.data):
                segment = self._known[name] = _Segment(name, before, data[:128])
            segment.extend(data)
            is_tail = segment.number == mark.segment_number
            _expect(
                name, len(data), segment.ended != is_tail, "an end frame, unless it is the tail"
            )
            found.commits.extend(segment.commits)
            found.acknowledged[name] = [*segment.ranges]
            before = segment.at
        if (before.segment_number, before.commit, before.position) != (
            mark.segment_number,
            mark.visible_commit,
            mark.visible_position,
        ):
            raise ViolationError(f"the files end at {before}; the mark says {mark}")
        return found

    def _read_cooled(self, number: int, before: _Place, data: bytes) -> tuple[list[Commit], _Place]:
        _expect("cooled", 0, number == before.segment_number + 1, f"segment number {number}")
        key = hash(data)
        if key not in self._cooled:
            cooled = read_cooled(data)
            commits = [
                _commit_of([[commit_id, decode(held or b"\xc0"), [*map(decode, records)]]])
                for commit_id, held, records in cooled.commits
            ]
            position, commit = cooled.place
            at = _Place(number, cooled.before[0], commit, position, cooled.before[1])
            self._cooled[key] = commits, at
        return self._cooled[key]


class _Place(NamedTuple):
    """A place between two frames."""

    segment_number: int = 0
    offset: int = 0
    commit: int = 0
    position: int = 0
    previous: int = 0  # checksum of the header before


class _Segment:
    """One segment as far as it was read."""

    def __init__(self, name: str, before: _Place, header: bytes) -> None:
        """Read the segment header."""
        self.name = name
        self.number = before.segment_number + 1
        self.before = before
        self.data = header
        self.ranges = [(0, 128)]
        self.commits: list[Commit] = []
        self.ended = False
        checksum = _number(header, 124, 4)
        _expect(name, 0, crc32c(header[:124]) == checksum, "header checksum")
        numbers = _number(header, 20, 4), _number(header, 40, 8), _number(header, 48, 8)
        expected = self.number, before.position + 1, before.commit + 1
        _expect(name, 0, numbers == expected, f"number, position, commit {expected}, not {numbers}")
        chained = _number(header, 96, 8), _number(header, 104, 8), _number(header, 112, 4)
        expected = before.offset, before.position, before.previous
        _expect(name, 0, chained == expected, f"{expected} as predecessor, not {chained}")
        self.at = _Place(self.number, 128, before.commit, before.position, checksum)

    def extend(self, data: bytes) -> None:
        """Read the frames behind those read before."""
        name = self.name
        _, offset, commit, position, previous = self.at
        parts: list[list[Any]] = []
        kind = 0
        while offset < len(data):
            _expect(name, offset, not self.ended, "nothing behind the end frame")
            header = data[offset : offset + 72]
            _expect(name, offset, len(header) == 72, "a whole header")
            fields = _HEADER.unpack(header)
            salt, kind, _, codec, _, stored, raw, count, first, number, *_ = fields
            frame_number, frames, before, payload_checksum, checksum = fields[-5:]
            payload = data[offset + 72 : offset + 72 + stored]
            _expect(name, offset, crc32c(header[:68]) == checksum, "header checksum")
            _expect(name, offset, salt == data[56:64], "the salt")
            _expect(name, offset, before == previous, "the chain of checksums")
            _expect(name, offset, first == position + 1, f"position {position + 1}")
            _expect(name, offset, number == commit + (kind == 1), "the commit number")
            _expect(name, offset, payload_checksum == crc32c(payload), "payload checksum")
            _expect(name, offset, frame_number == len(parts) + 1, "the frame number")
            if codec:
                payload = lz4.block.decompress(payload, uncompressed_size=raw)
            previous = checksum
            position += count
            if kind == 1:
                parts.append(decode(payload))
                if frame_number == frames:
                    self.commits.append(_commit_of(parts))
                    commit += 1
                    parts = []
            self.ended = kind == 3
            self.ranges.append((offset, offset + 72 + stored))
            offset = (offset + 72 + stored + 7) & ~7
        _expect(name, offset, offset == len(data) and not parts, "the end of a commit")
        self.data = data
        self.at = _Place(self.number, offset, commit, position, previous)


def _commit_of(parts: list[list[Any]]) -> Commit:
    (commit_id, tracking, records), *others = parts
    records = records + [record for part in others for record in part]
    states = tuple(record[3] for record in records)
    return commit_id, states, None if tracking is None else (tracking[0], tracking[1])


def _number(data: bytes, offset: int, length: int) -> int:
    return int.from_bytes(data[offset : offset + length], "little")


def _expect(name: str, offset: int, holds: bool, what: str) -> None:  # noqa: FBT001
    if not holds:
        raise ViolationError(f"{name} at {offset}: expected {what}")
