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
from typing import Any, NamedTuple

import lz4.block
import msgspec

from aurora_es.format.checksum import crc32c
from aurora_es.format.mark import Mark, decode_mark
from aurora_es.testing.disk import CrashableDisk, DirectoryNode

PATH = "/data/store/events"


class Violation(AssertionError):
    """The journal broke a promise."""


class Tried(NamedTuple):
    """A commit that a history tried to append."""

    commit_id: bytes
    states: tuple[bytes, ...]
    tracking: tuple[str, int] | None


class Found(NamedTuple):
    """All that the files say, up to the mark."""

    commits: list[tuple[bytes, tuple[bytes, ...], tuple[str, int] | None]]
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
            raise Violation(f"other commits than those that were visible: {names} and {known}")
        if len(names) < len(known) and may_lag and decided is None:
            return
        if len(names) < len(known):
            self._lose(len(names), found.mark)
        for entry in found.commits[common:]:
            tried = self.open.pop(entry[0], None)
            if tried is None:
                fate = "refused" if entry[0] in self.refused else "gone"
                raise Violation(f"a commit that was {fate} has appeared: {entry[0].hex()}")
            self.visible.append(tried)
        for entry, commit in zip(found.commits, self.visible, strict=True):
            if entry != commit:
                raise Violation(f"commit {entry[0].hex()} has another content")
        if found.mark.epoch < self.epoch:
            raise Violation(f"the epoch fell from {self.epoch} to {found.mark.epoch}")
        self.epoch = found.mark.epoch
        self.mark = found.mark
        if self.always:
            self.durable_count = len(self.visible)
        for commit_id in decided or ():
            if commit_id in self.open:
                self.refused[commit_id] = self.open.pop(commit_id)

    def _lose(self, count: int, mark: Mark) -> None:
        if not self.may_shrink or count < self.durable_count:
            raise Violation(f"{len(self.visible) - count} visible commits have vanished")
        if count < self.vouched_count and mark.epoch <= self.epoch:
            raise Violation(f"visible commits have vanished under the same epoch {mark.epoch}")
        del self.visible[count:]

    @property
    def states(self) -> list[bytes]:
        """States of all records, in order."""
        return [state for commit in self.visible for state in commit.states]

    @property
    def tracking(self) -> dict[str, int]:
        """Tracking positions."""
        return dict(commit.tracking for commit in self.visible if commit.tracking is not None)


def read_files(disk: CrashableDisk, path: str = PATH) -> Found:
    """Read every commit up to the mark from the cache of the disk, without the journal's code."""
    mark = decode_mark(disk.content(os.path.join(path, "mark")))
    if mark is None:
        raise Violation("no valid mark")
    directory = disk.find(path)
    assert isinstance(directory, DirectoryNode)
    names = sorted(name for name in directory.entries if name.endswith(".segment"))
    found = Found([], mark, {})
    before = (0, 0, 0)
    for number, name in enumerate(names, 1):
        if number > mark.segment_number:
            break
        data = disk.content(os.path.join(path, name))
        if number == mark.segment_number:
            data = data[: mark.visible_offset]
        before = _read_segment(name, number, data, before, found)
    count = len(found.commits)
    records = sum(len(commit[1]) for commit in found.commits)
    if (count, records) != (mark.visible_commit, mark.visible_position):
        raise Violation(f"{count} commits, {records} records; the mark says {mark}")
    return found


def _read_segment(
    name: str, number: int, data: bytes, before: tuple[int, int, int], found: Found
) -> tuple[int, int, int]:
    """Read one segment; returns its end offset, last position and last header checksum."""
    position = sum(len(commit[1]) for commit in found.commits)
    header = data[:128]
    previous = _number(header, 124, 4)
    _expect(name, 0, crc32c(header[:124]) == previous, "header checksum")
    _expect(name, 0, _number(header, 20, 4) == number, "segment number")
    _expect(name, 0, _number(header, 40, 8) == position + 1, "base position")
    chained = _number(header, 96, 8), _number(header, 104, 8), _number(header, 112, 4)
    _expect(name, 0, chained == before, f"{before} as predecessor, not {chained}")
    ranges = found.acknowledged[name] = [(0, 128)]
    parts: list[list[Any]] = []
    offset, kind = 128, 2
    while offset < len(data):
        kind, payload, checksum = _read_frame(name, data, offset, previous, position + 1)
        _expect(name, offset, _number(data, offset + 32, 8) == len(found.commits) + (kind == 1), "commit number")
        previous = checksum
        ranges.append((offset, offset + 72 + _number(data, offset + 12, 4)))
        position += _number(data, offset + 20, 4)
        if kind == 1:
            parts.append(payload)
            if _number(data, offset + 56, 2) == _number(data, offset + 58, 2):
                found.commits.append(_commit_of(parts))
                parts = []
        offset = (ranges[-1][1] + 7) & ~7
    sealed = number < found.mark.segment_number
    _expect(name, offset, offset == len(data) and (kind == 3) == sealed and not parts, "the end")
    return offset, position, previous


def _read_frame(
    name: str, data: bytes, offset: int, previous: int, position: int
) -> tuple[int, list[Any], int]:
    header = data[offset : offset + 72]
    checksum = _number(header, 68, 4)
    payload = data[offset + 72 : offset + 72 + _number(header, 12, 4)]
    _expect(name, offset, len(header) == 72 and crc32c(header[:68]) == checksum, "frame header")
    _expect(name, offset, header[:8] == data[56:64], "the salt")
    _expect(name, offset, _number(header, 60, 4) == previous, "the chain of checksums")
    _expect(name, offset, _number(header, 24, 8) == position, f"position {position}")
    _expect(name, offset, _number(header, 64, 4) == crc32c(payload), "payload checksum")
    if header[10]:
        payload = lz4.block.decompress(payload, uncompressed_size=_number(header, 16, 4))
    return header[8], msgspec.msgpack.decode(payload), checksum


def _commit_of(
    parts: list[list[Any]],
) -> tuple[bytes, tuple[bytes, ...], tuple[str, int] | None]:
    (commit_id, tracking, records), *others = parts
    records = records + [record for part in others for record in part]
    states = tuple(record[3] for record in records)
    return commit_id, states, None if tracking is None else (tracking[0], tracking[1])


def _number(data: bytes, offset: int, length: int) -> int:
    return int.from_bytes(data[offset : offset + length], "little")


def _expect(name: str, offset: int, holds: bool, what: str) -> None:  # noqa: FBT001
    if not holds:
        raise Violation(f"{name} at {offset}: expected {what}")
