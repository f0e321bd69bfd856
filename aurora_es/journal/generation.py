"""Lets a handle use another generation of the manifest, and with it what has been sealed meanwhile.

Theory of operation: a process learns that a segment was sealed when it reads the manifest again: at
a roll, once a second while it holds an index in memory that a run may have replaced, and when the
file of a segment that it would read is missing: then it was cooled meanwhile. Runs are opened at once, since a merge may remove them later; the sealed part of the index is then replaced
whole, and the indexes in memory that it stands for are dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.errors import AuroraError
from aurora_es.journal.closing import indexing
from aurora_es.journal.handle import State
from aurora_es.journal.logs import logger
from aurora_es.journal.lookup import JournalIndex
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.sealed_index import SealedIndex

if TYPE_CHECKING:
    from aurora_es.format.manifest import Manifest
    from aurora_es.journal.handle import Handle

_SECONDS_BETWEEN_LOOKS = 1.0


def renew_if_due(handle: Handle) -> None:
    """Look at the manifest if a run may have replaced an index in memory, once a second.

    A failure is no affair of the call that it comes in: the index in memory goes on serving.
    """
    if (
        len(handle.state.index.parts[1]) > 1
        and handle.effects.monotonic() - handle.manifest_looked_at > _SECONDS_BETWEEN_LOOKS
    ):
        try:
            renew_manifest(handle)
        except (AuroraError, OSError) as error:
            logger.warning("%s: the manifest could not be read again: %s", handle.path, error)


def renew_manifest(handle: Handle) -> None:
    """Look whether there is a newer generation of the manifest, and use it."""
    handle.manifest_looked_at = handle.effects.monotonic()
    manifest = read_manifest(handle.files, handle.path)
    if manifest is not None:
        take_manifest(handle, manifest)


def renew_past(handle: Handle, segment_number: int) -> bool:
    """Look at the manifest since a segment's file is missing; whether it is listed by now.

    Then it was cooled, and the file that was appended to removed: what is sealed goes on.
    """
    renew_manifest(handle)
    return handle.sealed is not None and segment_number <= handle.sealed.last_segment


def take_manifest(handle: Handle, manifest: Manifest) -> None:
    """Use ``manifest``: what it lists needs no index in memory."""
    sealed = before = handle.sealed
    if before is None or manifest.generation != before.manifest.generation:
        sealed = None
        if manifest.segments:
            sealed = SealedIndex(
                handle.effects,
                handle.path,
                handle.genesis_id,
                manifest,
                read_only=handle.read_only,
            )
            if before is not None:
                sealed.take_open(before)
            sealed.open_all()
    with indexing(handle):
        newest = handle.manifest
        if newest is not None and newest.generation > manifest.generation:
            return  # another thread has read a later one meanwhile: what that lists is dropped
        handle.manifest = manifest
        handle.retained_from = manifest.retained_from
        handle.sealed = sealed
        state = handle.state
        if state.index.sealed is sealed:
            return
        if (
            sealed is None
            or state.chain is None
            or state.chain.segment_number <= sealed.last_segment
        ):
            # Nothing to keep, or what would be walked next needs no walking any more.
            index = JournalIndex(sealed)
            # A thread that has just caught up may still look here, before the next walk.
            index.tracking.update(state.index.tracking)
            handle.state = State(index)
        else:
            state.index.take_sealed(sealed)
