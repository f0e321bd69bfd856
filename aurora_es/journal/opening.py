"""Attaches a handle to the files of an existing journal.

Theory of operation: a handle may be made before its journal exists; it attaches when the manifest
is there. A handle for appending recovers before its first call; a read-only one takes no lock and
writes nothing.
"""

from __future__ import annotations

import os
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aurora_es.codecs.compression import CODEC_OF
from aurora_es.errors import (
    AuroraConfigurationError,
    AuroraError,
    ForeignDirectoryError,
    StorageError,
)
from aurora_es.files.mounts import file_system_type, is_network
from aurora_es.journal.append_lock import append_locked
from aurora_es.journal.catch_up import advance
from aurora_es.journal.creation import Settings, is_unborn, refuse_public
from aurora_es.journal.generation import take_manifest
from aurora_es.journal.handle import Descriptors, Handle
from aurora_es.journal.logs import logger
from aurora_es.journal.manifest_file import read_manifest, update_manifest
from aurora_es.journal.presence import manifest_identity, show_presence
from aurora_es.journal.recovery import recover
from aurora_es.journal.tail_writes import FULL_DISK_ERRNOS, storage_error
from aurora_es.options import CompressionFormat, RollCycle, Sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.format.manifest import Manifest

_HOUR_MICROSECONDS = 3_600_000_000


def refuse_network(path: str) -> None:
    """Raise AuroraConfigurationError if ``path`` is on a network file system."""
    kind = file_system_type(path)
    if is_network(kind):
        message = (
            f"{path} is on a network file system ({kind}): locks and syncs of several machines are"
            " not to be trusted there, and another machine would see no wake-ups. Put the journal"
            " on a local disk; AURORA_ALLOW_NETWORK_FILE_SYSTEM=y"
            " (allow_network_file_system=True) overrides this at your own risk"
        )
        raise AuroraConfigurationError(message)


@contextmanager
def refusals_named(path: str) -> Iterator[None]:
    """Turn what the operating system refuses into errors that say what was expected."""
    try:
        yield
    except AuroraError:
        raise
    except NotADirectoryError as error:
        message = (
            f"{path}: expected a directory or nothing, found a file at {error.filename}; nothing"
            " was written. Give the journal a directory of its own: `aurora-es doctor` looks at it"
        )
        raise ForeignDirectoryError(message) from error
    except OSError as error:
        if error.errno in FULL_DISK_ERRNOS:
            raise storage_error(path, error) from error
        message = (
            f"{path}: {error.strerror} ({error.filename or path}); expected a directory that user"
            f" {os.geteuid()} may use, below an existing one; nothing was written."
            " `aurora-es doctor` looks at rights and space"
        )
        raise StorageError(message) from error


def attach(handle: Handle, settings: Settings) -> bool:
    """Attach ``handle`` to its journal; returns False while there is none.

    Raises AuroraConfigurationError for a sync mode other than the recorded one, CorruptionError,
    ForeignDirectoryError, UnsupportedFormatError.
    """
    with handle.attach_mutex:
        if handle.descriptors is not None:
            return True
        handle.check_usable()
        identity = manifest_identity(handle)
        manifest = read_manifest(handle.files, handle.path)
        if manifest is None:
            is_unborn(handle.files, handle.path)  # raises for a foreign directory
            return False
        _check_settings(handle, settings, manifest)
        if not handle.read_only:
            refuse_public(handle.files, handle.path)
        descriptors = Descriptors(handle.files, handle.path, read_only=handle.read_only)
        if not handle.read_only:
            show_presence(handle, descriptors)
            if manifest_identity(handle) != identity:
                manifest = read_manifest(handle.files, handle.path) or manifest
                _check_settings(handle, settings, manifest)
        handle.genesis_id = bytes.fromhex(manifest.genesis_id)
        handle.sync_mode = Sync.parse(manifest.sync)
        handle.set_roll_cycle(RollCycle.parse(manifest.roll_cycle))
        handle.compression = settings.compression or CompressionFormat.parse(manifest.compression)
        handle.codec = CODEC_OF[handle.compression]
        take_manifest(handle, manifest)
        status = handle.files.stat(handle.path)
        handle.directory_identity = (status.st_dev, status.st_ino)
        handle.mark_synced_at = handle.effects.monotonic()
        handle.descriptors = descriptors
        try:
            if not handle.read_only:
                _recover(handle)
                _record_settings(handle, settings, manifest)
        except BaseException:
            handle.drop()
            raise
    logger.debug(
        "%s: opened for %s, sync mode %s",
        handle.path,
        "reading" if handle.read_only else "appending",
        handle.sync_mode,
    )
    return True


def _check_settings(handle: Handle, settings: Settings, manifest: Manifest) -> None:
    if settings.name is not None and settings.name != manifest.name:
        message = (
            f"{handle.path}: expected the store of application {settings.name!r}, found that of"
            f" {manifest.name!r}; nothing was changed. Use another AURORA_PATH; `aurora-es doctor`"
            " shows whose stores are where"
        )
        raise ForeignDirectoryError(message)
    if handle.read_only or settings.sync is None or str(settings.sync) == manifest.sync:
        return
    message = (
        f"{handle.path}: sync mode {settings.sync} was asked for, but the journal records"
        f" {manifest.sync}. Leave AURORA_SYNC (sync=) unset, or change the recorded mode while"
        f" nobody has it open: `aurora-es set {shlex.quote(handle.path)} --sync {settings.sync}`"
        " (Journal.set_sync)"
    )
    raise AuroraConfigurationError(message)


def _recover(handle: Handle) -> None:
    descriptors = handle.descriptors
    assert descriptors is not None
    # The long walk, from the start of the journal to the mark, happens before any lock.
    advance(handle, descriptors.mark.read())
    with append_locked(handle, handle.effects.monotonic() + handle.lock_timeout):
        # The manifest was found in the cache; whoever renamed it may have died before the sync.
        handle.files.sync_directory(handle.path)
        recover(handle)
    chain = handle.state.chain
    now = handle.effects.clock()
    if chain is not None and chain.timestamp > now + _HOUR_MICROSECONDS:
        logger.warning(
            "%s: the clock is %d s behind the last commit; timestamps stand still until it has"
            " caught up",
            handle.path,
            (chain.timestamp - now) // 1_000_000,
        )


def _record_settings(handle: Handle, settings: Settings, manifest: Manifest) -> None:
    changes: dict[str, object] = {}
    if settings.roll_cycle is not None and str(settings.roll_cycle) != manifest.roll_cycle:
        changes["roll_cycle"] = str(settings.roll_cycle)
    if settings.compression is not None and str(settings.compression) != manifest.compression:
        changes["compression"] = str(settings.compression)
    cool_after_hours = settings.cool_after_hours
    if cool_after_hours is not None and cool_after_hours != manifest.cool_after_hours:
        changes["cool_after_hours"] = cool_after_hours
    if changes:
        update_manifest(handle.effects, handle.path, lock_timeout=handle.lock_timeout, **changes)
        logger.info(
            "%s: recorded %s; a new roll cycle holds from the next roll", handle.path, changes
        )
