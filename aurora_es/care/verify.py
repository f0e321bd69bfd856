"""Checks a whole journal, and says what is wrong with it, where, and what is lost.

    manifest, mark, names ──> segments that ought to be there ──> each by itself, with its table
                                                                    │
                       index runs <── what records say <────────────┤
          digest of the journal <── digest of each segment <────────┘

Theory of operation: everything is read and nothing written, no lock is taken, and nothing above the
mark is looked at, so a journal may be in use meanwhile. What others replace or drop while it is being
checked is looked up in a newer manifest, and checked there: a file is missing only if the newest
manifest still lists it.

The digest of a journal is a chain: SHA-256 over the digest so far (zeros in front of the first
segment) and the logical digest of the next segment, which does not depend on how it is coded. A
segment in which no commit counts is left out, so that a roll changes nothing. Two journals of one
history that begin with the same segment have the same digest up to a position exactly if they hold
the same commits.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.backup_record import copy_above, cure_of_copy
from aurora_es.care.evidence import Evidence
from aurora_es.care.examiner import examined
from aurora_es.care.examining import examine_all
from aurora_es.care.findings import (
    FILE_MODE,
    FILE_STRANGE,
    MANIFEST_WRONG,
    MARK_SLOT_DAMAGED,
    MARK_WRONG,
    RUN_MISSING,
    SEGMENT_FOREIGN,
    SEGMENT_MISSING,
    SEGMENT_OVERLONG,
    TABLE_MISSING,
    UNCHECKED_KINDS,
    UNREADABLE,
    UNSUPPORTED,
    Finding,
    count_of,
    joined,
    repair_command,
)
from aurora_es.care.locks import refuse_no_files
from aurora_es.care.neighbours import contradictions, disagreements
from aurora_es.care.renamed import renamed_segments
from aurora_es.care.segment_check import Held, SegmentResult, held_by
from aurora_es.care.segment_facts import (
    SegmentFacts,
    Target,
    postings_of,
    whole_count,
    whole_range,
)
from aurora_es.care.strange import strange_files
from aurora_es.care.targets import listed_target, targets_of
from aurora_es.care.verify_report import VerifiedSegment, VerifyReport
from aurora_es.errors import AuroraError, CorruptionError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.names import MANIFEST, MARK, segment_name
from aurora_es.journal.gathering import NO_BOUND, Bound
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.mark_file import read_mark
from aurora_es.journal.sealed_index import file_name_of
from aurora_es.late_imports import fork_waits
from aurora_es.segment.file import SegmentFile, check_segment
from aurora_es.segment.salvage import frames_from, has_end_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import IndexRun, Manifest
    from aurora_es.format.run import Columns

    Progress = Callable[[int, int], object]


_NOT_THERE = frozenset({SEGMENT_MISSING, SEGMENT_FOREIGN})
_TRIES = 5  # to check a journal whose retention drops all of it meanwhile


def verify(  # noqa: PLR0913 - a user's choices, all by name
    path: str | os.PathLike[str],
    *,
    digest: bool = False,
    until: int | None = None,
    until_commit: int | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
    effects: Effects = SYSTEM_EFFECTS,
) -> VerifyReport:
    """Check all of the journal in ``path``; nothing is written, and it may be in use.

    ``digest`` also computes the digest of all commits up to the mark. With ``until`` it is of the
    commits that end at or before this position, up to the last one with records: so it stays the
    same, whatever is appended later. With ``until_commit`` it is of all up to this commit, as
    ``digest_commit`` of another copy's report names it. ``processes`` is how many
    examine segments, this one included; by default as many as there are cores, and pay. ``progress``
    is told how many bytes were read, and of how many. Raises ArgumentError for a directory in which
    no file is a journal's, as an AURORA_PATH; OSError if it cannot be listed.
    """
    bound = Bound(
        position=NO_BOUND if until is None else until,
        commit=NO_BOUND if until_commit is None else until_commit,
    )
    for _ in range(_TRIES):
        verification = _Verification(effects, os.path.abspath(path), bound, processes, progress)
        verification.run()
        if not verification.is_overtaken:
            break
    else:
        verification.tell_overtaken()
    return verification.report(with_digest=digest or until is not None or until_commit is not None)


class _Verification:
    """One check of one journal."""

    def __init__(
        self,
        effects: Effects,
        path: str,
        bound: Bound,
        processes: int | None,
        progress: Progress | None,
    ) -> None:
        self.effects = effects
        self.files = effects.files
        self.path = path
        self.bound = bound
        self.processes = processes
        self.progress = progress
        self.evidence = Evidence(self.files, path)
        self.findings = self.evidence.findings
        self.checked: list[tuple[Target, SegmentResult]] = []
        self.done_bytes = self.total_bytes = 0
        self.last_position: int | None = None
        self.last_commit: int | None = None  # of what was checked; None: not known
        self.is_overtaken = False  # all that there was has been dropped meanwhile

    def run(self) -> None:
        """Check everything."""
        evidence = self.evidence
        if evidence.is_unborn:
            refuse_no_files(self.files, self.path)
            evidence.findings[:] = [one for one in evidence.findings if one.kind in UNCHECKED_KINDS]
            return
        self._check_small_files()
        if any(one.kind == UNSUPPORTED for one in evidence.findings):
            return  # what a newer version says of its segments, this one cannot judge
        targets = targets_of(evidence)
        self._measure(targets.found)
        results = examine_all(self.effects, self.path, targets.found, self.bound, self.processes)
        with closing(results):
            for target, result in results:
                self._check(target, result)
        self.is_overtaken = bool(targets.found) and not self.checked
        if self.is_overtaken:
            return
        self._check_mark(targets.mark is not None)
        self._check_others()
        manifest = evidence.manifest
        if manifest is not None:
            for expected, found in contradictions(manifest):
                evidence.finding(MANIFEST_WRONG, MANIFEST, expected, found, None)
            self._check_runs()
        self.findings.extend(
            disagreements(self.path, [(target, result.facts) for target, result in self.checked])
        )

    def tell_overtaken(self) -> None:
        """Say that retention drops segments faster than they are checked: nothing was."""
        self.findings.append(
            Finding(
                kind=UNREADABLE,
                path=self.path,
                offset=None,
                expected="segments that stay until they are checked",
                found="that `retain` drops all of them before that",
                cure=f"aurora-es verify {shlex.quote(self.path)}",
            )
        )

    def _check_small_files(self) -> None:
        """Look at what readers do not need: the next append, or the next roll, refuses it."""
        told = {one.path for one in self.findings}
        for one in strange_files(self.files, self.path):
            if os.path.join(self.path, one.name) not in told:
                kind = FILE_STRANGE if one.is_kind_wrong else FILE_MODE
                self.evidence.finding(kind, one.name, one.expected, one.found, None)

    # Segments

    def _check(self, target: Target, result: SegmentResult | None) -> None:
        """Check one segment, by a newer manifest if need be; None: there was no such file."""
        while result is None or any(one.kind == TABLE_MISSING for one in result.findings):
            newer = self._newer(target)
            if newer is None:
                self._forget_dropped()
                return
            if newer == target:
                break
            target = newer
            result = examined(self.files, self.path, target, self.bound)
        if result is None:
            target = self._placed(target)
            result = self._missing(target)
        if result.is_unread or any(one.lost or one.lost_commits for one in result.findings):
            result = self._looked_for_elsewhere(self._begun(target), result)
        if result.facts is not None and any(
            one.kind == SEGMENT_OVERLONG for one in result.findings
        ):
            result = self._without_what_was_appended(result)
        self.checked.append((target, result))
        self.findings.extend(result.findings)
        if result.last_position is not None:
            self.last_position = result.last_position
        if result.last_commit is not None:
            self.last_commit = result.last_commit
        self._advance(result.size_bytes)

    def _without_what_was_appended(self, result: SegmentResult) -> SegmentResult:
        """A large tail that has grown since its mark was read is not one that nobody appends to."""
        if read_mark(self.files, self.path) == self.evidence.mark:
            return result
        findings = [one for one in result.findings if one.kind != SEGMENT_OVERLONG]
        return msgspec.structs.replace(result, findings=findings)

    def _newer(self, target: Target) -> Target | None:
        """The same segment by the newest manifest; None if it was dropped meanwhile."""
        manifest = None if self.evidence.manifest is None else read_manifest(self.files, self.path)
        entries = [] if manifest is None else manifest.segments
        if entries and target.segment_number < entries[0].segment_number:
            return None
        for entry in entries:
            if entry.segment_number == target.segment_number:
                newer = listed_target(target.genesis_id, entry)
                return target if newer.file_name == target.file_name else newer
        return target

    def _forget_dropped(self) -> None:
        """All segments so far were dropped while they were being checked."""
        gone = {os.path.join(self.path, one.file_name) for one, _ in self.checked}
        self.findings[:] = [one for one in self.findings if one.path not in gone]
        self.checked.clear()

    def _placed(self, target: Target) -> Target:
        """A missing segment that nobody lists begins where the one before it ends."""
        if target.entry is not None or self.last_position is None:
            return target
        base = self.last_position + 1
        name = segment_name(target.segment_number, base)
        return msgspec.structs.replace(target, base_position=base, file_name=name)

    def _begun(self, target: Target) -> Target:
        """A segment whose first commit nobody tells begins where the one before it ends."""
        before = 0 if target.segment_number == 1 else self.last_commit
        if target.base_commit is not None or before is None:
            return target
        return msgspec.structs.replace(target, base_commit=before + 1)

    def _missing(self, target: Target) -> SegmentResult:
        finding = Finding(
            kind=SEGMENT_MISSING,
            path=os.path.join(self.path, target.file_name),
            offset=None,
            expected=f"segment {target.segment_number}",
            found="no file",
            lost=whole_range(target),
            cure=repair_command(self.path),
        )
        return SegmentResult(
            facts=None,
            findings=[finding],
            last_position=target.last_position,
            size_bytes=0,
            is_end_known=target.last_position is not None,
            last_commit=target.place.last_commit,
            is_unread=True,
        )

    def _looked_for_elsewhere(self, target: Target, result: SegmentResult) -> SegmentResult:
        """The same, if another file holds more of the segment: then less is lost, or nothing.

        The raw file of a cooled segment is there for a while, somebody may have given a file another
        name, and a repair takes what holds most.
        """
        wanted = (target.genesis_id, target.segment_number, target.base_position)
        if result.is_unread:
            whole = msgspec.structs.replace(result.findings[0], lost_commits=whole_count(target))
            result = msgspec.structs.replace(result, findings=[whole, *result.findings[1:]])
        best = Held(
            joined(one for finding in result.findings for one in finding.lost),
            sum(finding.lost_commits for finding in result.findings),
        )
        is_missing = any(one.kind in _NOT_THERE for one in result.findings)
        holder = ""
        renamed = renamed_segments(self.files, self.path, target.genesis_id)
        for name, header in (self.evidence.headers() | renamed).items():
            found = (header.genesis_id, header.segment_number, header.base_position)
            if name == target.file_name or found != wanted:
                continue
            other = msgspec.structs.replace(target, file_name=name)
            held = held_by(self.files, self.path, other)
            is_more = (count_of(held.lost), held.lost_commits) < (
                count_of(best.lost),
                best.lost_commits,
            )
            if is_more or (is_missing and not holder):
                holder, best = name, held
        if not holder:
            return result
        if result.last_position is None:  # of a tail without a mark, which has to speak for itself
            result = msgspec.structs.replace(
                result, last_position=best.last_position, last_commit=best.last_commit
            )
        lost, commits = best.lost, best.lost_commits
        findings = []
        for one in result.findings:
            if one.lost or one.lost_commits or one.kind in _NOT_THERE:
                held_there = "more of it" if lost or commits else "it"
                findings.append(
                    msgspec.structs.replace(
                        one,
                        lost=lost,
                        lost_commits=commits,
                        found=f"{one.found}; {holder} holds {held_there}",
                    )
                )
                lost, commits = (), 0  # told once
            else:
                findings.append(one)
        return msgspec.structs.replace(result, findings=findings)

    def _check_mark(self, is_credible: bool) -> None:  # noqa: FBT001 - one caller
        """Compare the mark with the tail, and with what lies behind it."""
        mark = self.evidence.mark
        if mark is None or not is_credible or not self.checked:
            return
        target, result = self.checked[-1]
        facts = result.facts
        if target.visible_offset is not None and facts is not None:
            expected = (facts.last_commit, facts.last_position)
            found = (mark.visible_commit, mark.visible_position)
            if expected != found:
                text = "commit {} and position {}"
                self.evidence.finding(
                    MARK_WRONG,
                    MARK,
                    text.format(*expected) + f" at offset {mark.visible_offset}",
                    text.format(*found),
                    None,
                )
                return
        if target.visible_offset is not None and not result.findings:
            self._check_behind(target)

    def _check_behind(self, tail: Target) -> None:
        """Behind the tail there is nothing, or its successor while a roll is under way, or killed."""
        self.evidence.list_segments()
        number = tail.segment_number
        later = {name: place for name, place in self.evidence.segments.items() if place[0] > number}
        if not later:
            return
        if read_mark(self.files, self.path) != self.evidence.mark:
            return
        is_closed = self._is_closed(tail)  # it was before its successor got its name
        whole = [place[0] for name, place in later.items() if self._is_segment(name, place)]
        expected = f"segment {number + 1}" if is_closed else f"none behind segment {number}"
        for name, place in sorted(later.items()):
            if not (is_closed and place[0] == number + 1 and place[0] in whole):
                self.evidence.stray(name, expected)

    def _is_closed(self, tail: Target) -> bool:
        file = SegmentFile(self.files, os.path.join(self.path, tail.file_name), writable=False)
        return has_end_frame(file, tail.visible_offset or 0)

    def _is_segment(self, name: str, place: tuple[int, int, int]) -> bool:
        try:
            file = SegmentFile(self.files, os.path.join(self.path, name), writable=False)
            check_segment(self.evidence.genesis_id, file, place[0], place[1])
        except (AuroraError, OSError):
            return False
        return True

    def _check_others(self) -> None:
        """Look at files that nobody reads: under the name of a segment each has to be that one.

        A raw file is there for a while behind its cooling, and a repair may have need of it.
        """
        known = {target.file_name for target, _ in self.checked}
        known |= {os.path.basename(one.path) for one in self.findings}
        for name in sorted({*self.evidence.segments} - known):
            number, base, _ = self.evidence.segments[name]
            try:
                file = SegmentFile(self.files, os.path.join(self.path, name), writable=False)
            except (AuroraError, OSError):
                continue  # removed meanwhile, or of no use to anybody
            try:
                check_segment(self.evidence.genesis_id, file, number, base)
            except CorruptionError as error:
                self.evidence.finding(SEGMENT_FOREIGN, name, error.expected, error.found, 0)

    # Index runs

    def _check_runs(self) -> None:
        """Check the runs that the newest manifest lists, until it lists no other."""
        seen: set[IndexRun] = set()
        while True:
            manifest = self._manifest_of_runs()
            runs = [run for run in manifest.runs if run not in seen]
            if not runs:
                return
            for run in runs:
                finding = self._check_run(run)
                if (
                    finding is not None
                    and finding.kind == RUN_MISSING
                    and run not in self._manifest_of_runs().runs
                ):
                    continue  # merged or dropped meanwhile
                seen.add(run)
                if finding is not None:
                    self.findings.append(finding)

    def _manifest_of_runs(self) -> Manifest:
        manifest = read_manifest(self.files, self.path)
        assert manifest is not None, "a manifest that was there is never removed"
        return manifest

    def _check_run(self, run: IndexRun) -> Finding | None:
        with fork_waits:
            from aurora_es.care.run_check import check_run

        by_number = {target.segment_number: (target, result) for target, result in self.checked}
        numbers = range(run.first_segment, run.last_segment + 1)
        covered = [by_number[number] for number in numbers if number in by_number]
        facts = [
            result.facts.index
            for _, result in covered
            if result.facts is not None and result.facts.index is not None
        ]

        def postings(at: int) -> Columns:
            return postings_of(self.files, self.path, covered[at][0])

        finding = check_run(
            self.files,
            self.path,
            run,
            genesis_id=self.evidence.genesis_id,
            # Fewer: a segment is damaged, or was sealed since it was checked.
            facts=facts if len(facts) == len(numbers) else None,
            postings_of=postings,
        )
        self._advance(self._size_of(file_name_of(run)))
        return finding

    # What comes out of it

    def report(self, *, with_digest: bool) -> VerifyReport:
        """Put together what was found."""
        findings = self._with_cures()
        is_damaged = any(one.kind not in UNCHECKED_KINDS for one in findings)
        digest = self._digest() if with_digest else None
        segments = tuple(
            VerifiedSegment(
                segment_number=target.segment_number,
                file_name=target.file_name,
                base_position=target.base_position,
                last_position=result.last_position,
                size_bytes=result.size_bytes,
                is_whole=result.facts is not None,
                digest=None if result.facts is None else result.facts.digest.hex(),
            )
            for target, result in self.checked
        )
        return VerifyReport(
            path=self.path,
            is_whole=not findings,
            is_damaged=is_damaged,
            findings=findings,
            lost=joined(one for finding in findings for one in finding.lost),
            lost_behind=self._lost_behind(),
            lost_commits=sum(finding.lost_commits for finding in findings),
            first_position=segments[0].base_position if segments else 1,
            last_position=self.last_position if segments else 0,
            segments=segments,
            digest=None if digest is None else digest[0],
            digest_position=None if digest is None else digest[1],
            digest_commit=None if digest is None else digest[2],
        )

    def _with_cures(self) -> tuple[Finding, ...]:
        """All findings; in a copy in a target of backups nothing is to be repaired."""
        copy = copy_above(self.files, self.path) if self.findings else None
        if copy is None:
            return tuple(self.findings)
        cure = cure_of_copy(self.files, copy)
        return tuple(
            one if one.kind in UNCHECKED_KINDS else msgspec.structs.replace(one, cure=cure)
            for one in self.findings
        )

    def _lost_behind(self) -> int | None:
        if not self.checked:
            return None
        target, result = self.checked[-1]
        if result.is_end_known and not self._may_have_been_further(target):
            return None
        return target.base_position - 1 if result.last_position is None else result.last_position

    def _may_have_been_further(self, tail: Target) -> bool:
        """Whether a damaged slot may have been the newer one, with nothing left that it vouched for."""
        if not any(one.kind == MARK_SLOT_DAMAGED for one in self.findings):
            return False
        begin = tail.visible_offset
        if begin is None:
            return True
        try:
            path = os.path.join(self.path, tail.file_name)
            file = SegmentFile(self.files, path, writable=False)
        except (AuroraError, OSError):
            return True  # told when it was checked
        return next(frames_from(file, begin, file.size_bytes()), None) is None

    def _digest(self) -> tuple[str, int, int] | None:
        """The chain, last position and last commit; None where something in it is damaged."""
        chain, position, commit = bytes(32), 0, 0
        for target, result in self.checked:
            if target.base_position > self.bound.position or commit >= self.bound.commit:
                break
            facts: SegmentFacts | None = result.facts
            if facts is None:
                return None
            if facts.bounded is not None:
                part, position, commit = facts.bounded
                chain = hashlib.sha256(chain + part).digest()
        return chain.hex(), position, commit

    # Progress

    def _measure(self, targets: list[Target]) -> None:
        if self.progress is None:
            return
        names = [target.file_name for target in targets]
        manifest = self.evidence.manifest
        names += [file_name_of(run) for run in manifest.runs] if manifest is not None else []
        self.total_bytes = sum(self._size_of(name) for name in names)

    def _size_of(self, name: str) -> int:
        if self.progress is None:
            return 0
        try:
            return self.files.stat(os.path.join(self.path, name)).st_size
        except OSError:  # missing, or a link that leads nowhere: told where it is checked
            return 0

    def _advance(self, count: int) -> None:
        if self.progress is not None:
            self.done_bytes += count
            self.progress(self.done_bytes, max(self.total_bytes, self.done_bytes))
