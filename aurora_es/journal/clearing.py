"""Removes files that nobody needs any more: obsolete ones, and what killed background runs left.

Theory of operation: a file is listed as obsolete when another takes its place, and removed a minute
later, so that a reader that has just read the manifest still finds it. Of everything else only what
is certainly ours is removed: ``.new`` files of runs, tables and cooled segments, runs that are not
listed, and revisions of listed segments that are not. An unlisted segment, and any file whose name
says nothing, is left alone. The caller holds ``background.lock``, so nobody is writing any of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.format.names import (
    NEW_SUFFIX,
    parse_cooled_name,
    parse_frames_name,
    parse_run_name,
)
from aurora_es.journal.manifest_file import change_manifest
from aurora_es.journal.seal import LOCK_TIMEOUT_SECONDS
from aurora_es.journal.sealed_index import file_name_of
from aurora_es.segment.create import remove_if_there

if TYPE_CHECKING:
    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import Manifest

OBSOLETE_SECONDS = 60


def clear_away(effects: Effects, path: str, *, at_once: bool = False) -> list[str]:
    """Remove what is not needed any more; returns the names of the files.

    ``at_once`` does not wait for the minute: for tests, and for who knows that nobody reads.
    """
    files = effects.files
    removed: list[str] = []
    latest = effects.clock() - (0 if at_once else OBSOLETE_SECONDS * 1_000_000)

    def change(current: Manifest) -> dict[str, object]:
        kept = []
        for obsolete in current.obsolete or ():
            if obsolete.since > latest:
                kept.append(obsolete)
                continue
            remove_if_there(files, os.path.join(path, obsolete.file_name))
            removed.append(obsolete.file_name)
        for name in _left_over(files.listdir(path), current):
            remove_if_there(files, os.path.join(path, name))
            removed.append(name)
        if removed:
            files.sync_directory(path)
        if len(kept) == len(current.obsolete or ()):
            return {}
        return {"obsolete": kept}

    change_manifest(effects, path, change, lock_timeout=LOCK_TIMEOUT_SECONDS)
    return removed


def _left_over(names: list[str], manifest: Manifest) -> list[str]:
    needed = {file_name_of(run) for run in manifest.runs}
    needed |= {obsolete.file_name for obsolete in manifest.obsolete or ()}
    revisions = {segment.segment_number: segment.revision for segment in manifest.segments}
    found = []
    for name in sorted(names):
        stem = name.removesuffix(NEW_SUFFIX)
        place = parse_cooled_name(stem) or parse_frames_name(stem)
        if name in needed or not (parse_run_name(stem) or place):
            continue
        if stem == name and place and revisions.get(place[0], place[2]) == place[2]:
            continue  # in use, or of a segment that is not listed: left alone
        found.append(name)
    return found
