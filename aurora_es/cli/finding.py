"""Finds the journals under a path that a command is to change; those to look at are found below.

Theory of operation: see ``aurora_es/inspection/finding.py``, whose names commands find here too.
"""

from __future__ import annotations

import os
import shlex

from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.names import CURSORS, MESSAGES
from aurora_es.inspection.finding import (
    PathError,
    check_directory,
    copy_in,
    find_journal,
    find_journals,
    network_allowed,
    open_to_read,
    unfinished,
)
from aurora_es.journal.discovery import journals_below
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.opening import refuse_network
from aurora_es.late_imports import fork_waits

__all__ = [
    "PathError",
    "check_directory",
    "copy_in",
    "find_journal",
    "find_journals",
    "find_one_to_change",
    "find_queue",
    "find_to_change",
    "find_to_copy",
    "find_to_repair",
    "network_allowed",
    "open_to_read",
    "refuse_queue",
]


def find_to_change(path: str) -> list[str]:
    """Find the journals under ``path`` that a command is to change; raises as ``find_to_copy``.

    A copy in a target of backups is refused with ForeignDirectoryError.
    """
    _refuse_copy(path)
    return find_to_copy(path)


def find_to_copy(path: str) -> list[str]:
    """Find the journals under ``path`` that a command works on; raises as ``find_journals``.

    One whose creation was not finished is left out, but refused where it is ``path`` itself.
    """
    _refuse_backup(path)
    found = []
    for journal in find_journals(path).journals:
        if not network_allowed():
            refuse_network(journal)
        if read_manifest(SYSTEM_EFFECTS.files, journal) is not None:
            found.append(journal)
        elif journal == path:
            raise unfinished(path)
    return found


def find_one_to_change(path: str) -> str:
    """Find the one journal that ``path`` stands for and a command is to work on; raises PathError."""
    _refuse_backup(path)
    (journal,) = find_to_change(find_journal(path))
    return journal


def _refuse_backup(path: str) -> None:
    copy = copy_in(path)
    if copy is not None:
        message = (
            f"{path}: expected a store, found a target of backups; nothing was changed. Restore it"
            f" (`aurora-es restore`) and work on that; its current copy is {copy}"
        )
        raise PathError(message)


def _refuse_copy(path: str) -> None:
    if not any(name.isdigit() for name in path.split(os.sep)):
        return  # copies have such names; see copy_in for why that is asked first
    with fork_waits:
        from aurora_es.care.backup_record import refuse_copy

    refuse_copy(SYSTEM_EFFECTS.files, path)


def find_to_repair(path: str) -> list[str]:
    """Find the journals under ``path``, whatever is wrong with them; raises as ``find_journals``."""
    _refuse_backup(path)
    _refuse_copy(path)
    journals = find_journals(path).journals
    if not network_allowed():
        for journal in journals:
            refuse_network(journal)
    return journals


def find_queue(path: str) -> str:
    """The queue ``path``, or that which its journal of messages or cursors is; raises PathError."""
    check_directory(path)
    for directory in (path, os.path.dirname(path)):
        messages, cursors = _journals_of_queue(directory)
        found = journals_below(directory).journals
        if messages in found and path in {directory, messages, cursors}:
            return directory
    message = (
        f"{path}: expected a queue (a directory with the journal `messages`), found none;"
        f" `aurora-es doctor {path}` shows what is there"
    )
    raise PathError(message)


def refuse_queue(path: str) -> None:
    """Raise PathError for a queue with names, and for its journals: some may be needed yet."""
    for directory in (path, os.path.dirname(path)):
        journals = _journals_of_queue(directory)
        if path in {directory, *journals} and {*journals} <= {*journals_below(directory).journals}:
            message = (
                f"{path}: expected no queue, found one with names, some of which may have yet to"
                " receive what would be dropped; run `aurora-es queue retain"
                f" {shlex.quote(directory)} --older-than 7d --dry-run`, or with another bound"
            )
            raise PathError(message)


def _journals_of_queue(directory: str) -> tuple[str, str]:
    return os.path.join(directory, MESSAGES), os.path.join(directory, CURSORS)
