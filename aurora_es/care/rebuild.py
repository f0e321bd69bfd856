"""Makes what can be told from the segments anew: index runs and tables of frames, or the manifest.

Theory of operation: runs and tables are caches, so a store in use goes on meanwhile: each takes the
place of the old one by a rename. The manifest is made under the locks of a repair, and like one: it
is the repair of a journal whose manifest is not looked at, but for its settings. Whatever is damaged
besides is refused: that is for ``repair``, which says what is lost.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.broken_copy import (
    broken_name,
    keep,
    refuse_directories,
    refuse_shared_mark,
)
from aurora_es.care.execution import execute
from aurora_es.care.indexing import index_segments
from aurora_es.care.locks import nobody_else, refuse_no_journal
from aurora_es.care.manifest_anew import manifest_anew, what_was_assumed
from aurora_es.care.plan import make_plan
from aurora_es.care.steps import Steps
from aurora_es.care.survey import survey
from aurora_es.errors import CorruptionError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.names import MANIFEST, segment_name
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.manifest_file import change_manifest, read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.care.plan import Plan
    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import Manifest

LOCK_TIMEOUT_SECONDS_DEFAULT = 60.0


class RebuildReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild has made anew, or would make."""

    path: str  # of the journal
    dry_run: bool  # nothing was changed
    segments: int  # whose index runs and tables of frames are made
    runs: int  # that are made
    manifest: bool  # whether the manifest is made, too
    kept_in: str | None  # directory with the files as they were
    assumptions: tuple[str, ...] = ()  # what could not be known and was assumed


def rebuild(  # noqa: PLR0913 - a user's choices, all by name
    path: str | os.PathLike[str],
    *,
    manifest: bool = False,
    dry_run: bool = False,
    progress: Callable[[int, int], object] | None = None,
    effects: Effects = SYSTEM_EFFECTS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
) -> RebuildReport:
    """Make all index runs and tables of frames of a journal anew; with ``manifest``, that as well.

    The former may be done while the journal is in use. ``progress`` is told how many segments are
    done, and of how many. Killed anywhere, start it again. Raises CorruptionError for damages that
    only a repair can do something about, with nothing changed; UnsupportedFormatError,
    ForeignDirectoryError, ArgumentError, LockTimeoutError, OSError.
    """
    text = os.path.abspath(os.fspath(path))
    refuse_no_journal(effects.files, text)
    if manifest:
        with nobody_else(effects, text, timeout=lock_timeout, dry_run=dry_run):
            return _rebuild_manifest(effects, text, progress, dry_run=dry_run)
    with BackgroundLock(effects, text, timeout=lock_timeout):
        return _rebuild_indexes(effects, text, progress, dry_run=dry_run)


def _rebuild_indexes(
    effects: Effects,
    path: str,
    progress: Callable[[int, int], object] | None,
    *,
    dry_run: bool,
) -> RebuildReport:
    found = read_manifest(effects.files, path)
    if found is None:
        raise CorruptionError(
            os.path.join(path, MANIFEST),
            0,
            expected="a manifest, to know which index runs there are",
            found="no file",
        )
    if not dry_run:
        numbers = {segment.segment_number for segment in found.segments}
        steps = Steps(len(numbers), progress)
        made = index_segments(effects, path, found, numbers, told=lambda _: steps.done())
        effects.files.sync_directory(path)
        if made.runs != found.runs:

            def change(current: Manifest) -> dict[str, object]:
                return {"runs": made.runs} if current.segments == found.segments else {}

            change_manifest(effects, path, change, lock_timeout=LOCK_TIMEOUT_SECONDS_DEFAULT)
    return RebuildReport(
        path=path,
        dry_run=dry_run,
        segments=len(found.segments),
        runs=len(found.runs),
        manifest=False,
        kept_in=None,
    )


def _rebuild_manifest(
    effects: Effects,
    path: str,
    progress: Callable[[int, int], object] | None,
    *,
    dry_run: bool,
) -> RebuildReport:
    found = survey(effects.files, path)
    unlisted = found._replace(manifest=None, manifest_problem="it is made anew")
    steps = Steps(2 * (found.tail_number + 1 - found.first_number), progress)
    plan = make_plan(effects.files, unlisted, steps.done)
    _refuse_damage(plan)
    settings = msgspec.structs.replace(manifest_anew(effects, found), segments=[], runs=[])
    # Other revisions of a segment go as well: what a manifest does not list, nobody removes later.
    kept = sorted({MANIFEST, *plan.removed} & {*found.names})
    report = RebuildReport(
        path=path,
        dry_run=dry_run,
        segments=len(plan.segments),
        runs=len(plan.segments),
        manifest=True,
        kept_in=broken_name(effects.files, path) if kept else None,
        assumptions=() if found.settings is not None else what_was_assumed(settings),
    )
    refuse_directories(effects.files, path, found.names)
    refuse_shared_mark(effects.files, path)
    if dry_run:
        return report
    if report.kept_in is not None:
        keep(effects.files, path, report.kept_in, kept, msgspec.json.encode(report))
    made = execute(effects, plan, set(), steps.done, settings=settings)
    return msgspec.structs.replace(report, runs=len(made.runs))


def _refuse_damage(plan: Plan) -> None:
    """Raise for the first thing that is wrong besides the manifest."""
    path = plan.found.path
    problems = [
        (
            segment.source or segment_name(segment.number, segment.begin.position + 1),
            segment.problem,
        )
        for segment in plan.repaired
    ]
    problems += [(one.name, one.problem) for one in plan.found.foreign]
    if plan.mark_problem:
        problems.append(("mark", plan.mark_problem))
    for name, problem in problems:
        raise CorruptionError(
            os.path.join(path, name), 0, expected="nothing wrong but the manifest", found=problem
        )
