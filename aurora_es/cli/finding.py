"""Finds the journals under a path that a user gave, and opens one for reading.

Theory of operation: a path is a journal, the directory of an application (journals one level down)
or a whole AURORA_PATH (journals two levels down). Nothing deeper is looked at, so that a mistaken
path costs a moment and not a walk over the disk. A journal is known by its manifest's first bytes
or by the name of a segment: either is enough, so that one that lost the other is still found and
reported as damaged.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from aurora_es.environment import parse_flag, read_setting
from aurora_es.errors import AuroraError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.manifest import MANIFEST_MAGIC
from aurora_es.format.names import MANIFEST, parse_segment_name
from aurora_es.journal.journal import Journal
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.opening import refuse_network
from aurora_es.store import EVENTS

_LEVELS_MAX = 2  # application, purpose
_EXPECTED = (
    "expected a journal (a directory with a `manifest`), the directory of an application, or an"
    " AURORA_PATH"
)
# The journal's own refusal names this setting.
_NETWORK_SETTING = "AURORA_ALLOW_NETWORK_FILE_SYSTEM"


class PathError(AuroraError):
    """The path names no journal, or more than one where one is needed."""


@dataclass(slots=True)
class Findings:
    """Journals under a path, sorted, and the directories that could not be looked into."""

    journals: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def find_journals(path: str) -> Findings:
    """Find the journal ``path``, or all journals up to two levels below it.

    Raises PathError if there is none, and OSError if ``path`` itself cannot be listed.
    """
    if not os.path.lexists(path):
        message = f"{path}: no such directory; {_EXPECTED}"
        raise PathError(message)
    if not os.path.isdir(path):
        message = f"{path} is not a directory; {_EXPECTED}"
        raise PathError(message)
    os.listdir(path)  # here its refusal is the user's answer; below it is one of many directories
    findings = Findings()
    _search(path, _LEVELS_MAX, findings)
    if not findings.journals:
        message = f"{path}: found no journal here or up to two levels below; {_EXPECTED}"
        if findings.unreadable:
            message += f". Not readable: {', '.join(findings.unreadable)}"
        raise PathError(message)
    return findings


def find_journal(path: str) -> str:
    """Find the one journal that ``path`` stands for; raises PathError.

    The directory of an application stands for its events.
    """
    journals = find_journals(path).journals
    if len(journals) == 1:
        return journals[0]
    events = os.path.join(path, EVENTS)
    if events in journals:
        return events
    message = f"{path} holds {len(journals)} journals; name one of them: {', '.join(journals)}"
    raise PathError(message)


def find_to_change(path: str) -> list[str]:
    """Find the journals under ``path`` that a command is to work on; raises as ``find_journals``.

    One whose creation was not finished is left out, but refused where it is ``path`` itself.
    """
    found = []
    for journal in find_journals(path).journals:
        if not _network_allowed():
            refuse_network(journal)
        if read_manifest(SYSTEM_EFFECTS.files, journal) is not None:
            found.append(journal)
        elif journal == path:
            raise unfinished(path)
    return found


def open_to_read(path: str) -> Journal:
    """Open the journal ``path``; raises PathError if it was never finished, and as Journal.open."""
    journal = Journal.open(path, read_only=True, allow_network_file_system=_network_allowed())
    if not journal.attach():
        journal.close()
        raise unfinished(path)
    return journal


def unfinished(path: str) -> PathError:
    """The error for a journal whose creator died before any append could reach it."""
    return PathError(
        f"{path}: expected a journal, found one whose creation was not finished; the next append"
        " makes it anew"
    )


def _network_allowed() -> bool:
    return read_setting(os.environ, "", _NETWORK_SETTING, parse_flag, default=False)


def _search(path: str, levels: int, findings: Findings) -> None:
    try:
        names = sorted(os.listdir(path))
        if _is_journal(path, names):
            findings.journals.append(path)
            return
    except (FileNotFoundError, NotADirectoryError):
        return  # removed meanwhile
    except OSError:
        findings.unreadable.append(path)
        return
    if levels:
        for name in names:
            below = os.path.join(path, name)
            if os.path.isdir(below):
                _search(below, levels - 1, findings)


def _is_journal(path: str, names: list[str]) -> bool:
    if any(parse_segment_name(name) for name in names):
        return True
    manifest = os.path.join(path, MANIFEST)
    if MANIFEST not in names or not os.path.isfile(manifest):
        return False
    with open(manifest, "rb") as file:
        return file.read(len(MANIFEST_MAGIC)) == MANIFEST_MAGIC
