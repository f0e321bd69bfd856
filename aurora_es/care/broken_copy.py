"""Keeps what a repair is going to change or remove, beside the journal.

    <journal>                       <journal>.broken-<n>
      <name>  ──── link or copy ───>  <name>.broken
                                      repair.json, last of all: what is going to be done

Theory of operation: segments, runs and tables are never changed in place, so another name for them
is a copy; manifest and mark are copied. Everything is synced before the journal is touched. A
directory without ``repair.json`` is what a killed repair has left before it changed anything: it is
used again. Nothing here is ever removed: that is for whoever has looked at the result.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from aurora_es.care.copying import copy_file, is_linked
from aurora_es.files.layer import replace_file
from aurora_es.format.names import MANIFEST, MARK, NEW_SUFFIX
from aurora_es.segment.create import remove_if_there

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aurora_es.files.layer import Files

REPORT = "repair.json"
_CHANGED_IN_PLACE = {MANIFEST, MARK}
# Else the directory would pass for a journal.
_KEPT_SUFFIX = ".broken"


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


def keep(files: Files, path: str, directory: str, names: Iterable[str], report: bytes) -> None:
    """Keep the files ``names`` of the journal ``path`` in ``directory``, and sync."""
    with contextlib.suppress(FileExistsError):
        files.mkdir(directory)
    files.sync_directory(os.path.dirname(path))
    for name in names:
        source, target = os.path.join(path, name), os.path.join(directory, kept_name(name))
        remove_if_there(files, target)
        if name in _CHANGED_IN_PLACE or not is_linked(files, source, target):
            with contextlib.suppress(FileNotFoundError):  # a mark or manifest that is missing
                copy_file(files, source, target)
    files.sync_directory(directory)
    target = os.path.join(directory, REPORT)
    replace_file(files, target, report, draft=target + NEW_SUFFIX)
