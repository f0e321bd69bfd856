"""Finds the journals under a path that a user gave, and opens one for reading.

Theory of operation: a path is a journal, the directory of an application or a whole AURORA_PATH; see
``aurora_es/journal/discovery.py``. To read, the target of a backup stands for its current copy. What
is left here is which of them somebody looks at.
"""

from __future__ import annotations

import os

from aurora_es.environment import parse_flag, read_setting
from aurora_es.errors import AuroraError
from aurora_es.files.layer import SYSTEM_EFFECTS, exists
from aurora_es.format.names import BACKUP, CURSORS, MANIFEST, MESSAGES
from aurora_es.journal.discovery import Findings, journals_below
from aurora_es.journal.journal import Journal
from aurora_es.late_imports import fork_waits
from aurora_es.store import DCB, EVENTS

_EXPECTED = (
    "expected a journal (a directory with a `manifest`), the directory of an application, or an"
    " AURORA_PATH. `aurora-es doctor` shows where the store of this environment is"
)
_BESIDE_MAX = 100  # names that are looked at, to say which applications are there
# The journal's own refusal names this setting.
_NETWORK_SETTING = "AURORA_ALLOW_NETWORK_FILE_SYSTEM"


class PathError(AuroraError):
    """The path names no journal, or more than one where one is needed."""


def find_journals(path: str) -> Findings:
    """Find the journal ``path``, or all journals up to two levels below it.

    A target of backups stands for its current copy. Raises PathError if there is none, and OSError
    if ``path`` itself cannot be listed.
    """
    check_directory(path)
    # Here its refusal is the user's answer; below it is one of many directories.
    is_empty = not os.listdir(path)
    copy = copy_in(path)
    findings = journals_below(copy or path)
    if not findings.journals:
        message = f"{path}: found no journal here or up to two levels below; {_EXPECTED}"
        if is_empty:
            message = (
                f"{path}: found no journal here: the directory is empty. An application whose"
                " AURORA_PATH it is makes its journals with its first event, `aurora-es init --app NAME`"
                " at once"
            )
        if copy is not None:
            message = (
                f"{path}: expected a backup, found no journal in {copy}, the copy that its record"
                f" names; `aurora-es verify {path}` says what to do"
            )
        if findings.unreadable:
            message += f". Not readable: {', '.join(findings.unreadable)}"
        raise PathError(message)
    return findings


def copy_in(path: str) -> str | None:
    """The current copy in a target of backups; None for what is none. Raises CorruptionError."""
    if not exists(SYSTEM_EFFECTS.files, os.path.join(path, BACKUP)):
        return None
    # All that looks after stores comes with it, which takes longer than most looks.
    with fork_waits:
        from aurora_es.care.backup_record import current_copy

    return current_copy(SYSTEM_EFFECTS.files, path)


def check_directory(path: str, *, may_be_missing: bool = False) -> None:
    """Raise PathError for what is there and no directory, or, unless it may be, for nothing."""
    if not os.path.lexists(path):
        if may_be_missing:
            return
        message = f"{path}: no such directory; {_EXPECTED}{_beside(path)}"
        raise PathError(message)
    if not os.path.isdir(path):
        message = f"{path} is not a directory; {_EXPECTED}"
        raise PathError(message)


def _beside(path: str) -> str:
    """The applications that a mistyped name may have meant, for a message."""
    parent = os.path.dirname(path)
    try:
        names = sorted(os.listdir(parent))[:_BESIDE_MAX]
    except OSError:
        return ""
    found = [
        name
        for name in names
        if any(os.path.exists(os.path.join(parent, name, part, MANIFEST)) for part in (EVENTS, DCB))
    ]
    return f". Beside it: {', '.join(found)}" if found else ""


def find_journal(path: str) -> str:
    """Find the one journal that ``path`` stands for; raises PathError.

    The directory of an application stands for its events, that of a queue for its messages.
    """
    journals = find_journals(path).journals
    if len(journals) == 1:
        return journals[0]
    events, messages = os.path.join(path, EVENTS), os.path.join(path, MESSAGES)
    if events in journals:
        return events
    if {*journals} == {messages, os.path.join(path, CURSORS)}:
        return messages
    message = (
        f"{path} holds {len(journals)} journals; name one of them: {', '.join(journals)}."
        f" `aurora-es info {path}` shows them"
    )
    raise PathError(message)


def open_to_read(path: str) -> Journal:
    """Open the journal ``path``; raises PathError if it was never finished, and as Journal.open."""
    journal = Journal.open(path, read_only=True, allow_network_file_system=network_allowed())
    if not journal.attach():
        journal.close()
        raise unfinished(path)
    return journal


def unfinished(path: str) -> PathError:
    """The error for a journal whose creator died before any append could reach it."""
    return PathError(
        f"{path}: expected a journal, found one whose creation was not finished; the next append"
        " makes it anew (`Journal.append`)"
    )


def network_allowed() -> bool:
    """Whether the environment allows journals on network file systems."""
    return read_setting(os.environ, "", _NETWORK_SETTING, parse_flag, default=False)
