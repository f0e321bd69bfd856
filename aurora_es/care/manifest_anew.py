"""The manifest of a journal that has lost it: what headers tell, and defaults for the rest.

Theory of operation: genesis id, epochs, numbers and compression stand in the headers of segments. The
name of the application is that of the journals beside it, or what its directory says. Sync mode,
roll cycle and age of cooling stand nowhere else: ``always`` is the mode that loses nothing. The
generation is drawn from the clock, so that it is above every one that a process may have seen.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec
from msgspec import UNSET

from aurora_es.codecs.compression import CODEC_OF
from aurora_es.errors import AuroraError
from aurora_es.format.manifest import Manifest
from aurora_es.format.names import directory_name
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.options import CompressionFormat, RollCycle, Sync

if TYPE_CHECKING:
    from aurora_es.care.survey import Survey
    from aurora_es.files.layer import Effects, Files
    from aurora_es.format.segment_header import SegmentHeader

_PURPOSES = {"events", "snapshots", "tracking", "dcb"}


def newest_epoch(found: Survey) -> int:
    """The highest epoch that anything names."""
    epochs = [header.epoch for header in _headers(found)]
    if found.settings is not None:
        epochs.append(found.settings.epoch)
    if found.mark is not None:
        epochs.append(found.mark.epoch)
    return max(epochs, default=0)


def manifest_anew(effects: Effects, found: Survey) -> Manifest:
    """What holds besides the list of segments: of the manifest, if it is right."""
    if found.manifest is not None:
        return found.manifest
    if found.settings is not None:
        return msgspec.structs.replace(found.settings, segments=[], runs=[])
    headers = _headers(found)
    codec = headers[-1].codec if headers else 0
    compression = next(
        (one for one in CompressionFormat if CODEC_OF[one] == codec), CompressionFormat.NONE
    )
    return Manifest(
        generation=effects.clock() // 1_000_000,
        genesis_id=found.genesis_id.hex(),
        epoch=newest_epoch(found),
        name=_name(effects.files, found.path),
        sync=str(Sync.ALWAYS),
        roll_cycle=str(RollCycle.DAY),
        compression=str(compression),
        created_at=headers[0].created_at if headers else effects.clock(),
        epochs=_epochs(found) or UNSET,
    )


def _epochs(found: Survey) -> list[tuple[int, int]]:
    """Later epochs, and where each begins at the latest: one may have begun within a segment.

    Who has tracked in one of them would else be told that this journal has never had it. A segment
    that a repair has written again bears the epoch of that repair: an epoch counts from where no
    older one follows.
    """
    newest = least = newest_epoch(found)
    first_of: dict[int, int] = {}
    for number in sorted(found.candidates, reverse=True):
        for one in found.candidates[number]:
            if one.header is not None:
                least = min(least, one.header.epoch)
                first_of[least] = one.header.base_position
    if newest not in first_of and found.mark is not None:
        first_of[newest] = found.mark.visible_position + 1
    return sorted(one for one in first_of.items() if one[0])


def what_was_assumed(manifest: Manifest) -> tuple[str, ...]:
    """What has to be looked at by whoever knows better."""
    name = "none" if manifest.name is None else repr(manifest.name)
    said = (
        f"application name {name}, by the directories; sync mode {manifest.sync}, roll cycle"
        f" {manifest.roll_cycle} and no cooling, since nothing tells them; compression"
        f" {manifest.compression}, by the newest segment"
    )
    return (said,)


def _headers(found: Survey) -> list[SegmentHeader]:
    """Headers of raw segments, in order."""
    return [
        candidate.header
        for number in sorted(found.candidates)
        for candidate in found.candidates[number]
        if candidate.header is not None and not candidate.revision
    ]


def _name(files: Files, path: str) -> str | None:
    parent, purpose = os.path.split(path)
    for name in sorted(files.listdir(parent)):
        if name == purpose:
            continue
        try:
            manifest = read_manifest(files, os.path.join(parent, name))
        except (AuroraError, OSError):
            continue
        if manifest is not None and manifest.name is not None:
            return manifest.name
    directory = os.path.basename(parent)
    name = "" if directory == directory_name("") else unquote(directory)
    return name if purpose in _PURPOSES and directory_name(name) == directory else None
