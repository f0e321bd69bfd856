"""Work that no append waits for: sealing, merging, cooling, clearing away.

Theory of operation: an appender that has rolled starts a child process, ``python -m
aurora_es.journal.background PATH``, which does what is due and ends. It is a process and not a
thread, since a thread would take the interpreter lock from appends all the time. One works on a
journal at a time, under ``background.lock``; killing it at any point harms nothing. The same
functions serve the command line.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from aurora_es.errors import LockTimeoutError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.cool import (
    COOL_CODEC_DEFAULT,
    codec_named,
    cool_segment,
    segments_to_cool,
)
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.mark_file import read_mark
from aurora_es.journal.merge import merge_next, runs_to_merge
from aurora_es.journal.seal import seal_next

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.files.layer import Effects

    # Told after each step: how many are done, and of how many.
    Progress = Callable[[int, int], object]

_HOUR_MICROSECONDS = 3_600_000_000
_NICENESS = 10
LOCK_TIMEOUT_SECONDS_DEFAULT = 60.0


class WorkDone(msgspec.Struct, frozen=True, kw_only=True):
    """What a background run has done."""

    sealed_segments: int = 0
    merged_runs: int = 0
    cooled_segments: int = 0
    removed_files: int = 0


def seal(
    path: str,
    *,
    effects: Effects = SYSTEM_EFFECTS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
    progress: Progress | None = None,
) -> int:
    """Seal every segment of the journal in ``path`` that is closed by now; returns how many.

    Raises LockTimeoutError while another process works on it, CorruptionError.
    """
    if not _exists(effects, path):
        return 0
    with BackgroundLock(effects, path, timeout=lock_timeout):
        return _seal_all(effects, path, progress)


def merge(
    path: str,
    *,
    everything: bool = False,
    effects: Effects = SYSTEM_EFFECTS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
    progress: Progress | None = None,
) -> int:
    """Merge the index runs that are due, or all to one; returns how many were merged away."""
    if not _exists(effects, path):
        return 0
    with BackgroundLock(effects, path, timeout=lock_timeout):
        if not everything:
            return _merge_all(effects, path, progress)
        manifest = read_manifest(effects.files, path)
        runs = [] if manifest is None else sorted(manifest.runs, key=lambda run: run.first_segment)
        return len(runs) - 1 if merge_next(effects, path, runs) else 0


def cool(  # noqa: PLR0913 - a user's choices, all by name
    path: str,
    *,
    codec: str = COOL_CODEC_DEFAULT,
    older_than_hours: float = 0,
    effects: Effects = SYSTEM_EFFECTS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
    progress: Progress | None = None,
) -> int:
    """Cool the sealed segments whose last commit is that old; returns how many were cooled."""
    number = codec_named(codec)
    if not _exists(effects, path):
        return 0
    with BackgroundLock(effects, path, timeout=lock_timeout):
        return _cool_all(effects, path, number, older_than_hours, progress)


def work(path: str, *, effects: Effects = SYSTEM_EFFECTS, lock_timeout: float = 0.0) -> WorkDone:
    """Do what is due by now: seal, merge, cool by the journal's policy, clear away."""
    if not _exists(effects, path):
        return WorkDone()
    with BackgroundLock(effects, path, timeout=lock_timeout):
        removed = clear_away(effects, path)
        sealed = _seal_all(effects, path, None)
        merged = _merge_all(effects, path, None)
        manifest = read_manifest(effects.files, path)
        cooled = 0
        if manifest is not None and manifest.cool_after_hours is not msgspec.UNSET:
            codec = codec_named(COOL_CODEC_DEFAULT)
            cooled = _cool_all(effects, path, codec, manifest.cool_after_hours, None)
        return WorkDone(
            sealed_segments=sealed,
            merged_runs=merged,
            cooled_segments=cooled,
            removed_files=len(removed),
        )


def _exists(effects: Effects, path: str) -> bool:
    """Whether there is a journal: no lock file of ours is made in any other directory."""
    return read_manifest(effects.files, path) is not None


def _seal_all(effects: Effects, path: str, progress: Progress | None) -> int:
    manifest = read_manifest(effects.files, path)
    if manifest is None:
        return 0
    listed = manifest.segments[-1].segment_number if manifest.segments else 0
    # Not what is closed meanwhile: writers that close segments faster would never be caught up with.
    total = read_mark(effects.files, path).segment_number - 1 - listed
    done = 0
    while done < total and seal_next(effects, path) is not None:
        done += 1
        if progress is not None:
            progress(done, total)
        # Between two: a long way is walked with few runs to ask, and few files to keep open.
        _merge_all(effects, path, None)
    return done


def _merge_all(effects: Effects, path: str, progress: Progress | None) -> int:
    merged = 0
    while True:
        manifest = read_manifest(effects.files, path)
        due = [] if manifest is None else runs_to_merge(manifest)
        if not due or merge_next(effects, path, due) is None:
            return merged
        merged += len(due)
        if progress is not None:
            progress(merged, merged)


def _cool_all(
    effects: Effects, path: str, codec: int, older_than_hours: float, progress: Progress | None
) -> int:
    manifest = read_manifest(effects.files, path)
    if manifest is None:
        return 0
    before = effects.clock() - int(older_than_hours * _HOUR_MICROSECONDS)
    due = segments_to_cool(manifest, before=before)
    cooled = 0
    for done, segment in enumerate(due, 1):
        cooled += cool_segment(effects, path, segment, codec)
        if progress is not None:
            progress(done, len(due))
    return cooled


def main() -> int:
    """Work on the journal named on the command line, in the background of everything else."""
    os.nice(_NICENESS)
    try:
        while work(sys.argv[1]) != WorkDone():
            pass  # meanwhile more may have been closed, by writers that saw somebody at work
    except LockTimeoutError:
        return 0  # another process is at it
    return 0


if __name__ == "__main__":
    sys.exit(main())
