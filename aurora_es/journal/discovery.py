"""Finds the journals below a directory.

Theory of operation: a directory is a journal, that of an application (journals one level down) or a
whole AURORA_PATH (journals two levels down). Nothing deeper is looked at, so that a mistaken path
costs a moment and not a walk over the disk. A journal is known by its manifest's first bytes or by
the name of a segment: either is enough, so that one that lost the other is still found and reported
as damaged. What a repair has set aside is none, unless it is the very path that is asked for.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from aurora_es.format.manifest import MANIFEST_MAGIC
from aurora_es.format.names import MANIFEST, parse_cooled_name, parse_segment_name

_LEVELS_MAX = 2  # application, purpose
SET_ASIDE = re.compile(r"(?P<journal>.+)\.broken-[0-9]+")  # by a repair, beside the journal


@dataclass(slots=True)
class Findings:
    """Journals under a path, sorted, and the directories that could not be looked into."""

    journals: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def journals_below(path: str) -> Findings:
    """Find the journal ``path``, or all journals up to two levels below it."""
    findings = Findings()
    _search(path, _LEVELS_MAX, findings)
    return findings


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
            if os.path.isdir(below) and not SET_ASIDE.fullmatch(name):
                _search(below, levels - 1, findings)


def _is_journal(path: str, names: list[str]) -> bool:
    if any(parse_segment_name(name) or parse_cooled_name(name) for name in names):
        return True
    manifest = os.path.join(path, MANIFEST)
    if MANIFEST not in names or not os.path.isfile(manifest):
        return False
    with open(manifest, "rb") as file:
        return file.read(len(MANIFEST_MAGIC)) == MANIFEST_MAGIC
