"""Keeps what a repair is going to change or remove, beside the journal.

    <journal>                       <journal>.broken-<n>
      <name>  ──── link or copy ───>  <name>.broken
                                      unfinished: what is going to be lost; removed in the end
                                      repair.json, last of all: what is going to be done

Theory of operation: segments, runs and tables are never changed in place, so another name for them
is a copy; manifest and mark are copied. Everything is synced before the journal is touched. A
directory without ``repair.json`` is what a killed repair has left before it changed anything: it is
used again. One with ``unfinished`` is that of a repair that was killed later: holes of it may be in the
manifest before anybody was told, so the next repair tells. Nothing else here is ever removed: that is
for whoever has looked at the result.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.care_logs import logger
from aurora_es.care.copying import copy_file, is_linked
from aurora_es.errors import ForeignDirectoryError
from aurora_es.files.layer import (
    exists,
    is_directory,
    read_if_there,
    replace_file,
    write_synced,
)
from aurora_es.format.limits import MANIFEST_BYTES_MAX
from aurora_es.format.manifest import MANIFEST_HEADER_BYTES
from aurora_es.format.mark import MARK_BYTES
from aurora_es.format.names import (
    MANIFEST,
    MARK,
    NEW_SUFFIX,
    is_sealed_file_name,
    parse_frames_name,
    parse_run_name,
)
from aurora_es.segment.create import remove_if_there

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aurora_es.files.layer import Files

REPORT = "repair.json"
# No more of them was ever written: what somebody has blown up is not kept whole.
_BYTES_MAX_IN_PLACE = {MANIFEST: MANIFEST_HEADER_BYTES + MANIFEST_BYTES_MAX, MARK: MARK_BYTES}
_UNFINISHED = "unfinished"
_UNFINISHED_BYTES_MAX = 64 << 20
# Else the directory would pass for a journal.
_KEPT_SUFFIX = ".broken"


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What a repair has found to be lost, from before it changes anything until it has ended."""

    lost: tuple[tuple[int, int], ...] = ()  # positions, first and last included
    lost_behind: int | None = None


def broken_name(files: Files, path: str) -> str:
    """Path of the directory that the next copy goes into."""
    number = 1
    while True:
        directory = f"{path}.broken-{number}"
        try:
            names = files.listdir(directory)
        except FileNotFoundError:
            return directory
        if REPORT not in names:
            return directory
        number += 1


def kept_name(name: str) -> str:
    """Under which name a file is kept."""
    return name + _KEPT_SUFFIX


def begun_repairs(files: Files, path: str) -> dict[str, Begun]:
    """The repairs of the journal ``path`` that were killed, by the directories of what they kept."""
    begun = {}
    parent = os.path.dirname(path)
    for name in sorted(files.listdir(parent)):
        directory = os.path.join(parent, name)
        if not name.startswith(f"{os.path.basename(path)}.broken-"):
            continue
        with contextlib.suppress(NotADirectoryError):
            names = files.listdir(directory)
            if REPORT in names and _UNFINISHED in names:
                begun[directory] = _read_begun(files, os.path.join(directory, _UNFINISHED))
    return begun


def _read_begun(files: Files, path: str) -> Begun:
    data = read_if_there(files, path, _UNFINISHED_BYTES_MAX) or b""
    try:
        return msgspec.json.decode(data, type=Begun)
    except msgspec.DecodeError as error:
        # No crash: it was synced before ``repair.json`` got its name.
        logger.warning("%s: damaged, and left out of account: %s", path, error)
        return Begun()


def refuse_to_keep(files: Files, path: str, names: Iterable[str]) -> None:
    """Raise ForeignDirectoryError for what cannot be kept, or is somebody else's as well.

    A directory has no second name and is no copy of a file; in the place of a cache, which is made anew,
    it is moved away by ``keep``. A mark with another name beside this one
    would be changed under that, too: it is the one file that is written in place.
    """
    for name in names:
        file = os.path.join(path, name)
        is_cache = parse_run_name(name) is not None or parse_frames_name(name) is not None
        if is_directory(files, file) and not is_cache:
            raise _not_alone(file, "a directory", "Move it elsewhere")
        if name == MARK and exists(files, file) and files.stat(file).st_nlink > 1:
            cure = "Put a copy in its place (`cp`, then `mv`)"
            raise _not_alone(file, "one with another name besides", cure)


def refuse_directories(files: Files, path: str, names: Iterable[str]) -> None:
    """Raise ForeignDirectoryError for a directory that has a name which a file may be given."""
    for name in names:
        if is_sealed_file_name(name.removesuffix(NEW_SUFFIX)):
            file = os.path.join(path, name)
            if is_directory(files, file):
                raise _not_alone(file, "a directory", "Move it elsewhere")


def _not_alone(file: str, found: str, cure: str) -> ForeignDirectoryError:
    return ForeignDirectoryError(
        f"{file}: expected a file of the journal alone, found {found}; nothing was changed. {cure}:"
        " `aurora-es doctor` looks at the journal"
    )


def end_repairs(files: Files, directories: Iterable[str]) -> None:
    """Say that the repairs that keep files in ``directories`` have ended."""
    for directory in directories:
        remove_if_there(files, os.path.join(directory, _UNFINISHED))
        files.sync_directory(directory)


def keep(  # noqa: PLR0913, PLR0917 - what is kept, where, and why
    files: Files,
    path: str,
    directory: str,
    names: Iterable[str],
    report: bytes,
    begun: Begun | None = None,
) -> None:
    """Keep the files ``names`` of the journal ``path`` in ``directory``, and sync."""
    with contextlib.suppress(FileExistsError):
        files.mkdir(directory)
    files.sync_directory(os.path.dirname(path))
    for name in names:
        source, target = os.path.join(path, name), os.path.join(directory, kept_name(name))
        if is_directory(files, source):  # in the place of a cache: a missing one is made anew
            files.rename(source, target)
            files.sync_directory(path)
        if is_directory(files, target):
            continue  # also where a killed repair has moved it there
        remove_if_there(files, target)
        bytes_max = _BYTES_MAX_IN_PLACE.get(name)
        if bytes_max is not None or not is_linked(files, source, target):
            with contextlib.suppress(FileNotFoundError):  # a mark or manifest that is missing
                copy_file(files, source, target, until=bytes_max)
    if begun is not None:
        write_synced(files, os.path.join(directory, _UNFINISHED), msgspec.json.encode(begun))
    files.sync_directory(directory)
    target = os.path.join(directory, REPORT)
    replace_file(files, target, report, draft=target + NEW_SUFFIX)
