"""Finds the journals below a directory.

Theory of operation: a directory is a journal, that of an application (journals one level down) or a
whole AURORA_PATH (journals two levels down). Nothing deeper is looked at, so that a mistaken path
costs a moment and not a walk over the disk. A journal is known by its manifest's first bytes, by the
name of a segment or by a mark that names commits: each is enough, so that one that lost the others is
still found and reported as damaged. What a repair has set aside is none, unless it is the very path that is asked for.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.manifest import MANIFEST_MAGIC
from aurora_es.format.names import MANIFEST, MARK, parse_cooled_name, parse_segment_name
from aurora_es.journal.mark_file import marked_commits

if TYPE_CHECKING:
    from collections.abc import Collection

    from aurora_es.files.layer import Files

_LEVELS_MAX = 2  # application, purpose
SET_ASIDE = re.compile(r"(?P<journal>.+)\.broken-[0-9]+")  # by a repair, beside the journal


@dataclass(slots=True)
class Findings:
    """Journals under a path, sorted, and the directories that could not be looked into."""

    journals: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def journals_below(path: str, files: Files = SYSTEM_EFFECTS.files) -> Findings:
    """Find the journal ``path``, or all journals up to two levels below it."""
    findings = Findings()
    _search(files, path, _LEVELS_MAX, findings)
    return findings


def _search(files: Files, path: str, levels: int, findings: Findings) -> None:
    try:
        names = sorted(files.listdir(path))
        if is_journal(files, path, names):
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
            if not SET_ASIDE.fullmatch(name) and stat.S_ISDIR(_mode(files, below)):
                _search(files, below, levels - 1, findings)


def is_journal(files: Files, path: str, names: Collection[str]) -> bool:
    """Whether a directory with these names in it is a journal, or was one."""
    if any(parse_segment_name(name) or parse_cooled_name(name) for name in names):
        return True
    if MARK in names and marked_commits(files, path):
        return True
    manifest = os.path.join(path, MANIFEST)
    if MANIFEST not in names or not stat.S_ISREG(_mode(files, manifest)):
        return False
    fd = files.open(manifest, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return files.pread(fd, len(MANIFEST_MAGIC), 0) == MANIFEST_MAGIC
    finally:
        files.close(fd)


def _mode(files: Files, path: str) -> int:
    """Type of what a name leads to; 0 where that is nothing, or cannot be known."""
    try:
        return files.stat(path).st_mode
    except OSError:
        return 0
