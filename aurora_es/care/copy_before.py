"""What a backup asks of the copy before: is it sound, and is it the last copy of something.

Theory of operation: the record of the target says how far each journal of the copy went, so that what
the source has lost since is known even where the copy itself is damaged, or gone. Whether it is
damaged is told by its small files, and by names and sizes of its segments: that costs no more than
a look at each name. Rot inside of a segment is seen by who reads all of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.care.layout import journal_at, parts_at
from aurora_es.errors import AuroraError, CorruptionError, ForeignDirectoryError
from aurora_es.journal.holes import holes_of
from aurora_es.journal.manifest_file import read_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aurora_es.care.backup_record import BackedUpJournal, BackupReport
    from aurora_es.care.layout import JournalCut
    from aurora_es.files.layer import Files
    from aurora_es.format.manifest import Manifest


def damage_of(files: Files, directory: str, recorded: BackedUpJournal) -> str:
    """What is wrong with one journal of a copy; empty if nothing is, as far as names and sizes tell."""
    try:
        at = journal_at(files, directory)
        found = at.mark.visible_commit, at.mark.visible_position
        if found != (recorded.commit, recorded.position):
            return (
                f"{directory}: expected commit {recorded.commit} and position {recorded.position} at"
                f" its end, found {found[0]} and {found[1]}"
            )
        for part in parts_at(files, at):
            path = os.path.join(directory, part.name)
            size = files.stat(path).st_size
            expected = part.visible_offset if part.entry is None else part.entry.size_bytes
            if expected not in {None, size}:
                return f"{path}: expected {expected} bytes, found {size}"
    except (AuroraError, OSError) as error:
        return problem_text(error)
    return ""


def problem_text(error: AuroraError | OSError) -> str:
    """An error as part of a sentence that says itself what to do next."""
    if isinstance(error, CorruptionError):
        return f"{error.path}: expected {error.expected}, found {error.found}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def refuse_other(
    files: Files,
    target: str,
    before: BackupReport | None,
    source: Mapping[str, JournalCut],
    *,
    replace: bool,
) -> None:
    """Raise ForeignDirectoryError if the copy before holds what the source does not.

    ``source`` has its journals by their relative paths.
    """
    if before is None:
        return
    known = {one.path: one for one in before.journals}
    if not source.keys() & known.keys():
        message = (
            f"{target}: holds a backup of other journals: {', '.join(sorted(known))}; nothing was"
            " changed. Give this source another target (`aurora-es doctor` looks at what is there)"
        )
        raise ForeignDirectoryError(message)
    for path, recorded in known.items() if not replace else ():
        copy = os.path.normpath(os.path.join(target, before.directory, path))
        problem = _lacks(files, source.get(path), recorded, copy)
        if not problem:
            continue
        damage = damage_of(files, copy, recorded)
        damaged = f" (which is damaged itself: {damage})" if damage else ""
        message = (
            f"{target}: the copy in it{damaged} holds {path}, journal {recorded.genesis_id} up to"
            f" position {recorded.position}; expected that in the source, {problem}; nothing was"
            f" changed. Look at it first: `aurora-es verify {target}`, `aurora-es cat {copy}`;"
            " `aurora-es restore` makes a store of it. If it is not needed, as after a restore,"
            " give the copy up with `aurora-es backup --replace` (replace=True), or give this"
            " source another target"
        )
        raise ForeignDirectoryError(message)


def _lacks(files: Files, at: JournalCut | None, recorded: BackedUpJournal, copy: str) -> str:
    """What of a journal of the copy the source does not have; empty if it has all."""
    if at is None:
        return "found no such journal in the source"
    if at.manifest.genesis_id != recorded.genesis_id:
        return f"found journal {at.manifest.genesis_id}"
    if at.mark.visible_position < recorded.position:
        return f"found it up to position {at.mark.visible_position} only"
    lost = _lost_since(files, at.manifest, recorded, copy)
    if lost:
        first, last = lost[0]
        positions = f"position {first}" if first == last else f"positions {first} to {last}"
        several = f" and {len(lost) - 1} more ranges" if len(lost) > 1 else ""
        return f"found it without {positions}{several}, which a repair gave up"
    return ""


def _lost_since(
    files: Files, manifest: Manifest, recorded: BackedUpJournal, copy: str
) -> list[tuple[int, int]]:
    """Positions that a repair of the source gave up since the copy was made: it may have them."""
    if manifest.epoch == recorded.epoch:
        return []  # each repair begins an epoch: what is lost was lost then
    holes = holes_of(manifest.segments)
    try:
        listed = read_manifest(files, copy)
    except (AuroraError, OSError):
        listed = None  # nobody knows, so it may have them all
    known = holes_of(() if listed is None else listed.segments)
    return [
        piece
        for first, last in holes.ranges
        for piece in known.pieces(first, min(last, recorded.position))
    ]
