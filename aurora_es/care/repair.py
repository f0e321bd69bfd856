"""Repairs a damaged journal: what can be read is kept at its positions, what cannot is said to be lost.

Theory of operation: the plan is made under the locks, by reading; a dry run ends there, and the real
run executes that plan and no other. What is changed or removed is kept beside the journal first. No
position is used again, and the epoch is raised, so that whoever has seen lost records learns of it.
What is going to be lost is written down before anything is changed: a repair that is killed behind the
writing of the manifest has made holes that nobody was told of, and the next one tells.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from aurora_es.care.broken_copy import (
    Begun,
    begun_repairs,
    broken_name,
    end_repairs,
    keep,
    move_aside,
    refuse_directories,
    refuse_shared_mark,
)
from aurora_es.care.care_logs import logger
from aurora_es.care.checked import checked
from aurora_es.care.copying import free_bytes_at, stored_bytes
from aurora_es.care.execution import execute
from aurora_es.care.findings import count_of, joined, newly_lost
from aurora_es.care.locks import nobody_else, refuse_no_journal
from aurora_es.care.manifest_anew import manifest_anew, what_was_assumed
from aurora_es.care.plan import make_plan
from aurora_es.care.steps import Steps
from aurora_es.care.strange import movable_files
from aurora_es.care.survey import survey
from aurora_es.errors import ForeignDirectoryError, InUseError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.names import LOCK, MANIFEST, MARK, segment_name
from aurora_es.journal.presence import is_open_for_appending
from aurora_es.journal.sealed_index import file_name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aurora_es.care.plan import Plan
    from aurora_es.care.strange import Strange
    from aurora_es.files.layer import Effects

LOCK_TIMEOUT_SECONDS_DEFAULT = 5.0
_MOVED = "moved aside"


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one file, and what is done about it."""

    file: str  # its name in the journal
    problem: str  # what is wrong with it
    action: str  # what is done about it
    lost: tuple[tuple[int, int], ...] = ()  # positions, first and last included; but known holes
    lost_commits: int = 0  # number of those that held a tracking record only


class RepairReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a repair has done, or would do; without repairs there was nothing to do."""

    path: str  # of the journal
    dry_run: bool  # nothing was changed
    repairs: tuple[Repair, ...]  # by file
    # Positions that were not known to be lost before this repair, and those that were killed.
    lost: tuple[tuple[int, int], ...]
    # Position behind which nobody knows how many were used, or none: the mark is gone, and what is
    # there cannot be read. They may be used again. None: all that is lost is known.
    lost_behind: int | None
    kept_in: str | None  # directory with the files as they were
    assumptions: tuple[str, ...]  # what could not be known and was assumed
    epoch: int  # of the journal behind the repair
    # Number of commits that are gone and held a tracking record only: who follows others goes on from
    # an earlier one, and handles some events again.
    lost_commits: int = 0
    # Directories with the files of earlier repairs that were killed: what these had found lost, and
    # may have made known, is told once more.
    killed: tuple[str, ...] = ()

    @property
    def lost_count(self) -> int:
        """Number of positions that are lost."""
        return count_of(self.lost)


def repair(  # noqa: PLR0913 - a user's choices, all by name
    path: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    progress: Callable[[int, int], object] | None = None,
    confirm: Callable[[RepairReport], bool] = lambda _: True,
    effects: Effects = SYSTEM_EFFECTS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
) -> RepairReport:
    """Repair the journal in the directory ``path``, or say what a repair would do.

    ``progress`` is told how much is done, and of how much, anew for each pass: bytes that were
    checked, then segments that were read and written. ``confirm`` is shown the plan
    of a real run, under the locks: if it says no, nothing is done, and the report is that of a dry
    run. Killed anywhere, start it again.

    Raises UnsupportedFormatError, ForeignDirectoryError, ArgumentError, LockTimeoutError while
    somebody appends, InUseError where ``lock`` is no file and somebody may hold the one before,
    CorruptionError where nothing says which journal it is, StorageFullError where
    the disk gets full: the journal is as it was then, and what is kept of it beside it stays. OSError.
    """
    text = os.path.abspath(os.fspath(path))
    refuse_no_journal(effects.files, text)
    one = _Repair(effects, text, progress, lock_timeout)
    strange = movable_files(effects.files, text)
    if not strange:
        return one.run(confirm, dry_run=dry_run)
    # What is no file cannot be locked. So the plan is made without, and again behind the moving: then
    # somebody may have appended in between.
    planned = one.run(confirm, strange, dry_run=True)
    if dry_run or not confirm(planned):
        return planned
    if any(thing.name == LOCK for thing in strange):
        _refuse_use(effects, text)
    kept_in = broken_name(effects.files, text)
    move_aside(effects.files, text, kept_in, [thing.name for thing in strange])
    return one.run(lambda now: now == planned or confirm(now), strange, dry_run=False)


def _refuse_use(effects: Effects, path: str) -> None:
    """Raise InUseError if somebody has the journal open: he may hold the lock that was there before.

    Then two would append at once. Nobody opens it for appending while something else is in that place.
    """
    try:
        is_open = is_open_for_appending(effects, path)
    except (OSError, ForeignDirectoryError):
        return  # without its mark nobody can be asked, and the mark is repaired, too
    if is_open:
        place = shlex.quote(os.path.join(path, MARK))
        message = (
            f"{path} is open for appending, by somebody who may hold the lock that was there before;"
            f" nothing was changed. Close it everywhere (`fuser -v {place}` lists who has it open), then"
            f" `aurora-es repair {shlex.quote(path)}` again"
        )
        raise InUseError(message)


class _Repair(NamedTuple):
    """One repair of one journal."""

    effects: Effects
    path: str
    progress: Callable[[int, int], object] | None
    lock_timeout: float

    def run(
        self,
        confirm: Callable[[RepairReport], bool],
        strange: Sequence[Strange] = (),
        *,
        dry_run: bool,
    ) -> RepairReport:
        """Plan, show the plan, and execute it; what is ``strange`` was moved, or will be."""
        effects, path, progress = self.effects, self.path, self.progress
        without = {one.name for one in movable_files(effects.files, path)}
        with nobody_else(
            effects, path, timeout=self.lock_timeout, dry_run=dry_run, without=without
        ):
            found = survey(effects.files, path)
            known = checked(effects, found, progress)
            steps = Steps(found.tail_number + 1 - found.first_number, progress)
            plan = make_plan(effects.files, found, steps.done, verified=known.whole)
            caches = known.damaged({one.number for one in plan.repaired})
            begun = begun_repairs(effects.files, path)
            repairs = (*_repairs(effects, plan), *_cache_repairs(caches))
            report = _report(effects, plan, repairs, strange, begun)
            names = _changed_files(plan, caches) if repairs else []
            if repairs:
                moved = {*caches, *(one.name for one in strange)}
                refuse_directories(effects.files, path, {*found.names} - moved)
                refuse_shared_mark(effects.files, path)
            _warn_of_little_room(effects, plan)
            if dry_run or (report.repairs and not confirm(report)):
                return report
            if report.repairs:
                report = msgspec.structs.replace(report, dry_run=False)
                assert report.kept_in is not None
                lost = Begun(lost=report.lost, lost_behind=report.lost_behind)
                keep(effects.files, path, report.kept_in, names, msgspec.json.encode(report), lost)
                begun[report.kept_in] = lost
            if repairs:
                steps.add(len(plan.repaired) + len(plan.segments))
                execute(effects, plan, {number for number, _ in caches.values()}, steps.done)
            end_repairs(effects.files, begun)
            return report


def _warn_of_little_room(effects: Effects, plan: Plan) -> None:
    """Warn where the segments that are written again, as they are now, would not fit.

    They are packed, and what is no frame is left out: how much it will be, nobody knows before. What
    else is kept beside the journal is linked, or small.
    """
    files, path = effects.files, plan.found.path
    sources = [segment.source for segment in plan.repaired if segment.source is not None]
    needed = sum(stored_bytes(files, os.path.join(path, source)) for source in sources)
    free = free_bytes_at(files, path)
    if free is not None and needed > free:
        logger.warning(
            "%s: repair may have to write up to %d bytes, and %d are free: it may end with a full"
            " disk, and can be started again then",
            path,
            needed,
            free,
        )


def _report(
    effects: Effects,
    plan: Plan,
    planned: Sequence[Repair],
    strange: Sequence[Strange],
    begun: dict[str, Begun],
) -> RepairReport:
    moved = [Repair(file=one.name, problem=one.problem, action=_MOVED) for one in strange]
    repairs = (*moved, *planned)
    assumptions = plan.assumptions
    if plan.found.settings is None and repairs:
        assumptions = (*assumptions, *what_was_assumed(manifest_anew(effects, plan.found)))
    return RepairReport(
        path=plan.found.path,
        dry_run=True,
        repairs=repairs,
        lost=joined([*plan.lost, *_lost_by_killed(plan, begun)]),
        lost_behind=_lost_behind(plan, begun),
        lost_commits=plan.lost_commits,
        kept_in=broken_name(effects.files, plan.found.path) if repairs else None,
        assumptions=assumptions if repairs else (),
        epoch=plan.epoch,
        killed=tuple(begun),
    )


def _lost_by_killed(plan: Plan, begun: dict[str, Begun]) -> tuple[tuple[int, int], ...]:
    """What repairs that were killed have found lost, but for what has come back since."""
    lost = [one for killed in begun.values() for one in killed.lost]
    return newly_lost(lost, newly_lost(lost, plan.holes))


def _lost_behind(plan: Plan, begun: dict[str, Begun]) -> int | None:
    """Behind which position nobody knows, by the plan or by a repair that had no better mark."""
    told = [plan.lost_behind, *(killed.lost_behind for killed in begun.values())]
    return min((one for one in told if one is not None), default=None)


def _repairs(effects: Effects, plan: Plan) -> Iterator[Repair]:
    found = plan.found
    for segment in plan.repaired:
        number, base = segment.number, segment.begin.position + 1
        name = segment.source or segment_name(number, base)
        target = segment_name(number, base, segment.revision)
        action = f"written again as {target}, without what is lost"
        lost = newly_lost(segment.lost, plan.known)
        if not lost and not segment.lost_commits:
            nothing = "nothing is lost" if segment.is_end_known else "what is lost is not known"
            action = f"written again as {target}; {nothing}"
        if number == found.tail_number:
            action += f"; segment {number + 1} follows it"
        yield Repair(
            file=name,
            problem=segment.problem,
            action=action,
            lost=lost,
            lost_commits=segment.lost_commits,
        )
    told = {segment.source for segment in plan.repaired}
    for segment in plan.repaired:
        if segment.source is None:
            told |= {one.name for one in found.candidates.get(segment.number, [])}
    for name, problem in plan.removed.items():
        if name not in told:
            yield Repair(file=name, problem=problem, action=_MOVED)
    if plan.manifest_problem:
        count = len(plan.segments)
        action = f"written again, with {count} segments" + (
            "" if found.settings is not None else " and with settings by default"
        )
        yield Repair(file=MANIFEST, problem=plan.manifest_problem, action=action)
    if plan.mark_problem:
        if plan.tail is None:
            action = "written again, at the beginning of the new tail"
        elif not plan.moves_mark:
            action = "written again"
        else:
            action = f"written again, at position {plan.tail.position}"
        in_tail = 0 if plan.tail is None else plan.tail.lost_commits
        yield Repair(file=MARK, problem=plan.mark_problem, action=action, lost_commits=in_tail)


def _cache_repairs(caches: dict[str, tuple[int, str]]) -> Iterator[Repair]:
    for name, (_, problem) in caches.items():
        yield Repair(file=name, problem=problem, action="made anew from the segments")


def _changed_files(plan: Plan, caches: dict[str, tuple[int, str]]) -> list[str]:
    """Names of all files that are changed or removed."""
    found = plan.found
    names = {MANIFEST, MARK, *plan.removed, *caches}
    changed = {segment.number for segment in plan.repaired}
    for run in () if found.manifest is None else found.manifest.runs:
        if any(run.first_segment <= number <= run.last_segment for number in changed):
            names.add(file_name_of(run))
    return sorted(names & {*found.names})
