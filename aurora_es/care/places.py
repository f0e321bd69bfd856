"""What ``doctor`` knows of the directories that hold stores, and what is wrong with them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.advice import ERROR, NOTE, WARNING, Advice
from aurora_es.errors import ForeignDirectoryError
from aurora_es.files.layer import is_public
from aurora_es.files.mounts import file_system_type, is_network, needs_polling
from aurora_es.files.surroundings import (
    Probed,
    Space,
    flock_excludes,
    nearest_directory,
    probe,
    space_of,
)
from aurora_es.format.names import MARK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.files.layer import Effects, Files

_FREE_BYTES_LOW = 1 << 30
_FREE_BYTES_MIN = 64 << 20  # two segments of the default size
_FREE_INODES_LOW = 1000
_SYNC_US_SLOW = 20_000
_SYNC_US_TOO_FAST = 15  # no medium is that fast: somebody says "done" who has not done it


class PlaceReport(msgspec.Struct, frozen=True, kw_only=True):
    """A directory, and the file system that it is on."""

    path: str
    exists: bool
    nearest: str  # itself, or the nearest directory above it that exists
    file_system: str  # "" where it cannot be told
    is_network: bool
    is_polled: bool  # the kernel may not report changes: readers poll
    space: Space | None
    flock: bool | None  # None: no journal to see it on; with a probe it is tried
    hard_links: bool | None  # None: not tried
    probed: Probed | None
    mode: str  # of the nearest directory, octal
    user: int  # its owner


def look_at_place(
    effects: Effects, path: str, journals: Sequence[str], *, probing: bool
) -> PlaceReport:
    """Look at a directory; ``journals`` are those in it. Writes only if ``probing``."""
    nearest = nearest_directory(path)
    status = effects.files.stat(nearest)
    probed = probe(effects, nearest) if probing else None
    flock = None if probed is None else probed.flock
    if flock is None and journals:
        flock = _flock_on(effects, journals[0])
    kind = file_system_type(nearest)
    return PlaceReport(
        path=path,
        exists=nearest == path,
        nearest=nearest,
        file_system=kind,
        is_network=is_network(kind),
        is_polled=needs_polling(kind),
        space=_space(effects.files, nearest),
        flock=flock,
        hard_links=None if probed is None else probed.hard_links,
        probed=probed,
        mode=f"{stat.S_IMODE(status.st_mode):04o}",
        user=status.st_uid,
    )


def _flock_on(effects: Effects, journal: str) -> bool | None:
    """Whether flock works, seen on the mark, whose lock appenders share."""
    try:
        return flock_excludes(effects.files, os.path.join(journal, MARK))
    except (FileNotFoundError, PermissionError, ForeignDirectoryError):
        return None  # told where the journal itself is looked at
    except OSError:
        return False


def _space(files: Files, path: str) -> Space | None:
    try:
        return space_of(files, path)
    except OSError:
        return None


def advise_on_place(place: PlaceReport, *, network_allowed: bool) -> Iterator[Advice]:
    """What is wrong with a directory and its file system."""
    yield from _advise_on_file_system(place, network_allowed=network_allowed)
    if place.space is not None:
        yield from _advise_on_space(place.nearest, place.space)
    if place.probed is not None:
        yield from _advise_on_sync(place.nearest, place.probed)
    if not place.exists:
        above = os.path.dirname(place.path)
        makes = "the first append makes it" if place.nearest == above else "nobody makes it"
        yield Advice(
            kind="directory-missing",
            severity=NOTE if place.nearest == above else ERROR,
            where=place.path,
            found=f"no such directory; {makes}",
            cure="nothing"
            if place.nearest == above
            else f"make the directory above it: `mkdir -p {above}`",
        )
    mode = int(place.mode, 8)
    if is_public(mode):
        yield Advice(
            kind="directory-writable",
            severity=WARNING,
            where=place.nearest,
            found=f"everybody may write to it (mode {place.mode}), and replace whole stores",
            cure=f"`chmod o-w {place.nearest}`",
        )


def _advise_on_file_system(place: PlaceReport, *, network_allowed: bool) -> Iterator[Advice]:
    if place.is_network:
        yield Advice(
            kind="network-file-system",
            severity=WARNING if network_allowed else ERROR,
            where=place.path,
            found=f"on a network file system ({place.file_system}), where locks and syncs of several"
            " machines are not to be trusted: "
            + ("allowed by AURORA_ALLOW_NETWORK_FILE_SYSTEM" if network_allowed else "refused"),
            cure="put the store on a local disk",
        )
    elif place.is_polled:
        yield Advice(
            kind="file-system-polled",
            severity=NOTE,
            where=place.path,
            found=f"on a file system ({place.file_system or 'of unknown type'}) whose changes the"
            " kernel may not report: readers look every 1 to 50 ms",
            cure="put the store on a local disk, such as a volume of the container, if readers are"
            " to be faster",
        )
    if place.flock is False:
        yield Advice(
            kind="flock-broken",
            severity=ERROR,
            where=place.path,
            found="flock does not exclude here: two processes could append at once",
            cure="put the store on another file system",
        )
    if place.hard_links is False:
        yield Advice(
            kind="no-hard-links",
            severity=WARNING,
            where=place.path,
            found="no hard links here: a new segment gets its name by renaming, and a backup has"
            " to copy every byte",
            cure="put the store on a file system with hard links (ext4, XFS, Btrfs, APFS)",
        )


def _advise_on_space(path: str, space: Space) -> Iterator[Advice]:
    if space.is_read_only:
        yield Advice(
            kind="mounted-read-only",
            severity=WARNING,
            where=path,
            found="mounted read-only: reading works, every append fails",
            cure="set AURORA_READ_ONLY=y if that is meant; else mount it writable",
        )
    elif space.free_bytes is not None and space.free_bytes < _FREE_BYTES_LOW:
        yield Advice(
            kind="space-low",
            severity=ERROR if space.free_bytes < _FREE_BYTES_MIN else WARNING,
            where=path,
            found=f"{space.free_bytes >> 20:,} MiB are free",
            cure="make room; `aurora-es cool` and `aurora-es retain --dry-run` say what can be had",
        )
    if space.free_inodes is not None and space.free_inodes < _FREE_INODES_LOW:
        yield Advice(
            kind="inodes-low",
            severity=WARNING,
            where=path,
            found=f"{space.free_inodes:,} files more can be made",
            cure="remove files that nobody needs, or make a file system with more inodes",
        )


def _advise_on_sync(path: str, probed: Probed) -> Iterator[Advice]:
    if probed.sync_p50_us > _SYNC_US_SLOW:
        yield Advice(
            kind="sync-slow",
            severity=WARNING,
            where=path,
            found=f"a sync takes {probed.sync_p50_us / 1000:.0f} ms",
            cure="append several events in one commit, or from several threads, which share syncs;"
            " or use a disk with a write cache that survives power loss",
        )
    elif probed.sync_p50_us < _SYNC_US_TOO_FAST:
        yield Advice(
            kind="sync-too-fast",
            severity=WARNING,
            where=path,
            found=f"a sync takes {probed.sync_p50_us} µs, as in memory: nothing here survives a"
            " power cut",
            cure="put a store that matters on a disk, and no `nobarrier` or `eatmydata` before it",
        )
