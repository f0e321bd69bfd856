"""Reads and replaces the manifest.

Theory of operation: a new generation is written to a temporary file, synced and renamed over the
old one under ``manifest.lock``, after reading again: two writers never lose each other's changes,
and a reader sees one generation or the next. Lock order: background.lock, lock, manifest.lock.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from aurora_es.errors import CorruptionError, UnsupportedFormatError
from aurora_es.files.layer import read_if_there, replace_file
from aurora_es.files.locks import flocked
from aurora_es.format.limits import MANIFEST_BYTES_MAX
from aurora_es.format.manifest import (
    MANIFEST_HEADER_BYTES,
    Manifest,
    UnsupportedManifest,
    decode_manifest,
    encode_manifest,
)
from aurora_es.format.names import MANIFEST, MANIFEST_LOCK, NEW_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aurora_es.files.layer import Effects, Files


def read_manifest(files: Files, directory: str) -> Manifest | None:
    """Read the manifest of a journal; None when there is no such file."""
    path = os.path.join(directory, MANIFEST)
    data = read_if_there(files, path, MANIFEST_HEADER_BYTES + MANIFEST_BYTES_MAX)
    if data is None:
        return None
    manifest = decode_manifest(data)
    if manifest is None:
        raise CorruptionError(
            path, 0, expected="a manifest with valid checksums", found=f"{len(data)} other bytes"
        )
    if isinstance(manifest, UnsupportedManifest):
        message = (
            f"{path}: expected manifest version 1 without incompatible flags, found version"
            f" {manifest.version}, flags {manifest.incompatible_flags:#x}; nothing was changed."
            " Open it with the version of aurora_es that wrote it, or a newer one:"
            " `pip install --upgrade aurora-es`"
        )
        raise UnsupportedFormatError(message)
    return manifest


def write_manifest(files: Files, directory: str, manifest: Manifest) -> None:
    """Replace the manifest; the caller holds ``manifest.lock``, or ``lock`` during creation."""
    path = os.path.join(directory, MANIFEST)
    replace_file(files, path, encode_manifest(manifest), draft=path + NEW_SUFFIX)


def begun_epoch(manifest: Manifest, epoch: int, first_position: int) -> dict[str, object]:
    """The changes by which ``epoch`` begins: its first record will be at ``first_position``."""
    return {"epoch": epoch, "epochs": [*(manifest.epochs or ()), (epoch, first_position)]}


def update_manifest(
    effects: Effects, directory: str, *, lock_timeout: float, **changes: object
) -> Manifest:
    """Write a new generation with ``changes`` under ``manifest.lock``; returns it."""
    return change_manifest(effects, directory, lambda _: changes, lock_timeout=lock_timeout)


def change_manifest(
    effects: Effects,
    directory: str,
    change: Callable[[Manifest], Mapping[str, object]],
    *,
    lock_timeout: float,
) -> Manifest:
    """Write a new generation under ``manifest.lock``; returns it, or the present one unchanged.

    ``change`` is given the present generation, read under the lock, and says what is to be
    different; nothing is written if that is nothing.
    """
    files = effects.files
    lock_path = os.path.join(directory, MANIFEST_LOCK)
    with flocked(effects, lock_path, effects.monotonic() + lock_timeout):
        current = read_manifest(files, directory)
        if current is None:
            raise CorruptionError(
                os.path.join(directory, MANIFEST), 0, expected="a manifest", found="no file"
            )
        changes = change(current)
        if not changes:
            return current
        changed = msgspec.structs.replace(current, generation=current.generation + 1, **changes)
        write_manifest(files, directory, changed)
    return changed
