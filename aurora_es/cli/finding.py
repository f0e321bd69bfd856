"""Finds the journals under a path that a command is to change; those to look at are found below.

Theory of operation: see ``aurora_es/inspection/finding.py``, whose names commands find here too.
"""

from __future__ import annotations

from aurora_es.files.layer import SYSTEM_EFFECTS
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
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.opening import refuse_network

__all__ = [
    "PathError",
    "check_directory",
    "find_journal",
    "find_journals",
    "find_one_to_change",
    "find_to_change",
    "find_to_repair",
    "open_to_read",
]


def find_to_change(path: str) -> list[str]:
    """Find the journals under ``path`` that a command is to work on; raises as ``find_journals``.

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


def find_to_repair(path: str) -> list[str]:
    """Find the journals under ``path``, whatever is wrong with them; raises as ``find_journals``."""
    _refuse_backup(path)
    journals = find_journals(path).journals
    if not network_allowed():
        for journal in journals:
            refuse_network(journal)
    return journals
