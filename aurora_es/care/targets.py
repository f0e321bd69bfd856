"""Which segments ought to be there, and what is known of each before it is read.

Theory of operation: the manifest lists the sealed segments; the mark names the tail; between them
lie those that were rolled and not sealed yet, each with the base position that its name says. A mark
may be older than the list, if its last sync failed: then the segment behind the list is the tail,
and nobody says where it ends.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.findings import (
    MARK_WRONG,
    RECOVERY_DUE,
    SEGMENT_MISSING,
    UNCHECKED_KINDS,
)
from aurora_es.care.neighbours import is_mark_beyond, newest_of
from aurora_es.care.segment_facts import Target
from aurora_es.format.names import MARK, segment_name
from aurora_es.journal.mark_file import read_mark

if TYPE_CHECKING:
    from aurora_es.care.evidence import Evidence
    from aurora_es.format.manifest import SealedSegment
    from aurora_es.format.mark import Mark


@dataclass(slots=True)
class Targets:
    """The segments that ought to be there, in order, and those of them that have no file."""

    found: list[Target] = field(default_factory=list)
    mark: Mark | None = None  # the mark, if it is to be believed


def targets_of(evidence: Evidence) -> Targets:
    """Say which segments the journal ought to have."""
    mark = _credible_mark(evidence)
    targets = Targets(mark=mark)
    manifest = evidence.manifest
    for entry in manifest.segments if manifest is not None else ():
        targets.found.append(listed_target(evidence.genesis_id, entry))
    numbers = evidence.numbers
    listed = targets.found[-1].segment_number if targets.found else 0
    if not targets.found and manifest is None:
        listed = (numbers[0] if numbers else 1) - 1
        _tell_missing_before(evidence, listed)
    if mark is None or mark.segment_number <= listed:
        last = _newest(evidence, listed)
        _name_strays(evidence, last)
        if mark is not None and manifest is not None:
            # A writer was killed before it synced the mark, or could not, and a power cut followed.
            evidence.finding(
                RECOVERY_DUE,
                MARK,
                f"a mark behind segment {listed}, which the manifest lists",
                f"one in segment {mark.segment_number}",
                None,
            )
        mark = None
    else:
        last = mark.segment_number
    for number in range(listed + 1, last + 1):
        targets.found.append(
            _unlisted(evidence, number, targets, is_tail=number == last, mark=mark)
        )
    return targets


def _tell_missing_before(evidence: Evidence, number: int) -> None:
    """Without a manifest nothing says whether segments up to ``number`` were dropped by retention."""
    if number and not any(one.kind in UNCHECKED_KINDS for one in evidence.findings):
        evidence.finding(
            SEGMENT_MISSING,
            segment_name(1, 1),
            f"segments before segment {number + 1}, unless `retain` has dropped them",
            "no file, and no manifest that says so",
            None,
        )


def listed_target(genesis_id: bytes, entry: SealedSegment) -> Target:
    """A segment as the manifest lists it."""
    return Target(
        genesis_id=genesis_id,
        segment_number=entry.segment_number,
        file_name=segment_name(entry.segment_number, entry.base_position, entry.revision),
        base_position=entry.base_position,
        base_commit=entry.base_commit,
        last_position=entry.last_position,
        last_commit=entry.last_commit,
        entry=entry,
    )


def _unlisted(
    evidence: Evidence, number: int, targets: Targets, *, is_tail: bool, mark: Mark | None
) -> Target:
    before = targets.found[-1] if targets.found else None
    base = 1 if before is None or before.last_position is None else before.last_position + 1
    names = evidence.names_of(number)
    name = segment_name(number, base)
    if names:
        name = name if name in names else names[0]
        base, revision = evidence.segments[name][1:]
        if revision and evidence.manifest is not None:
            name = segment_name(number, base)  # only a manifest that lists it leads to a cooled one
    last = evidence.base_behind(number, is_missing=not names)
    target = Target(
        genesis_id=evidence.genesis_id,
        segment_number=number,
        file_name=name,
        base_position=base,
        last_position=None if last is None else last - 1,
        has_manifest=evidence.manifest is not None,
        is_tail=is_tail,
        told_commit=None if is_tail else evidence.commit_before(number + 1),
    )
    if not is_tail or mark is None:
        return target if not is_tail else msgspec.structs.replace(target, last_position=None)
    return msgspec.structs.replace(
        target,
        last_position=mark.visible_position,
        last_commit=mark.visible_commit,
        visible_offset=mark.visible_offset,
        durable_offset=mark.durable_offset,
    )


def _newest(evidence: Evidence, listed: int) -> int:
    """The newest segment that there can be, where no mark names it."""
    # Behind the last listed segment there is always another.
    known = [listed + (evidence.manifest is not None)]
    known += (
        header.segment_number
        for header in evidence.headers().values()
        if header.genesis_id == evidence.genesis_id
    )
    return newest_of(
        known,
        lambda number: number == listed or evidence.is_closed(number),
        lambda number: bool(evidence.names_of(number)),
    )


def _name_strays(evidence: Evidence, newest: int) -> None:
    for name, (number, _, _) in sorted(evidence.segments.items()):
        if number > newest:
            evidence.stray(name, f"none behind segment {newest}")


def _credible_mark(evidence: Evidence) -> Mark | None:
    """The mark, unless the segments contradict it: it is an old one, or names what cannot have been."""
    mark, manifest = evidence.mark, evidence.manifest
    if mark is None or not evidence.numbers:
        return mark
    newest = evidence.numbers[-1]
    listed = manifest.segments[-1].segment_number if manifest and manifest.segments else 0
    if mark.segment_number <= newest:
        if not listed < mark.segment_number < newest:
            return mark
        newest = _newest(evidence, listed)
        if not _is_old(evidence, mark, newest) or read_mark(evidence.files, evidence.path) != mark:
            return mark
        evidence.finding(
            MARK_WRONG,
            MARK,
            f"a mark in segment {newest}",
            f"one in segment {mark.segment_number}",
            None,
        )
        return None
    paths = [os.path.join(evidence.path, name) for name in evidence.names_of(newest)]
    if not is_mark_beyond(evidence.files, mark, newest, listed, paths):
        return mark
    evidence.finding(
        MARK_WRONG,
        MARK,
        f"a mark in segment {newest}, which is not closed",
        f"one in segment {mark.segment_number}",
        None,
    )
    return None


def _is_old(evidence: Evidence, mark: Mark, newest: int) -> bool:
    """Whether there are segments that this mark cannot have been followed by."""
    behind = mark.segment_number + 1
    if newest != behind:
        return newest > behind  # a roll makes the next segment before the mark names it: no two
    # Nor does it before it has closed the one in front: an older file has taken the place of that.
    begins_later = any(
        header.segment_number == behind and header.base_position > mark.visible_position + 1
        for header in evidence.headers().values()
        if header.genesis_id == evidence.genesis_id
    )
    return begins_later and not evidence.is_closed(mark.segment_number)
