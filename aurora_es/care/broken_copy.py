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
import shlex
import stat
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


def refuse_shared_mark(files: Files, path: str) -> None:
    """Raise ForeignDirectoryError for a mark that has another name, as in a copy made of links.

    It is written in place, and so are the tail and the locks: all would be changed under the other
    names, too.
    """
    file = os.path.join(path, MARK)
    if has_other_names(files, file):
        own = shlex.quote(f"{path}.own")
        message = (
            f"{file}: expected a file of this journal alone, found one that has another name besides,"
            " as `cp -al` makes them: what is written here is written there; nothing was changed."
            f" Make a copy that shares nothing, `{copy_command(path)}`, and look at that: `aurora-es"
            f" repair {own} --dry-run`"
        )
        raise ForeignDirectoryError(message)


def has_other_names(files: Files, path: str) -> bool:
    """Whether it is a file that has another name besides."""
    if not exists(files, path):
        return False
    status = files.stat(path)
    return stat.S_ISREG(status.st_mode) and status.st_nlink > 1


def copy_command(path: str) -> str:
    """The command line that makes a copy of a journal which shares no file with any other."""
    return f"cp -a --no-preserve=links {shlex.quote(path)} {shlex.quote(f'{path}.own')}"


def refuse_directories(files: Files, path: str, names: Iterable[str]) -> None:
    """Raise ForeignDirectoryError for a directory that has a name which a file has, or may be given.

    It has no second name, and is no copy of a file. One in the place of a cache that is made anew is
    none of ``names``: ``keep`` moves it away.
    """
    for name in names:
        if name in _BYTES_MAX_IN_PLACE or is_sealed_file_name(name.removesuffix(NEW_SUFFIX)):
            file = os.path.join(path, name)
            if is_directory(files, file):
                message = (
                    f"{file}: expected a file, found a directory; nothing was changed. Move it"
                    " elsewhere: `aurora-es doctor` says how"
                )
                raise ForeignDirectoryError(message)


def move_aside(files: Files, path: str, directory: str, names: Iterable[str]) -> None:
    """Move what is no file of the journal ``path`` into ``directory``, whatever it is."""
    _make(files, directory)
    for name in names:
        taken = files.listdir(directory)
        target = kept_name(name)
        while target in taken:  # by what a repair has moved that was killed then
            target = kept_name(target)
        files.rename(os.path.join(path, name), os.path.join(directory, target))
    files.sync_directory(directory)
    files.sync_directory(path)


def _make(files: Files, directory: str) -> None:
    with contextlib.suppress(FileExistsError):
        files.mkdir(directory)
    files.sync_directory(os.path.dirname(directory))


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
    _make(files, directory)
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
