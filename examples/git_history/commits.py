"""Commits of a git repository as plain values: read by the readers, recorded by the application."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

# git takes any number as an author time; datetime ends with the year 9999.
SECONDS_MAX = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


@dataclass(frozen=True, slots=True)
class FileChange:
    """What one commit did to one file; the line counts are None for a binary file."""

    path: str
    lines_added: int | None
    lines_removed: int | None
    renamed_from: str | None = None

    @property
    def churn(self) -> int:
        """Lines added plus lines removed; a binary file counts as 0."""
        return (self.lines_added or 0) + (self.lines_removed or 0)


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its hash, its author and author time, and the files it changed."""

    commit_hash: str
    author: str
    at: datetime
    changes: tuple[FileChange, ...]


def author_time(seconds: int) -> datetime:
    """Return an author time in UTC; what is before 1970 or after 9999 is moved to the edge."""
    return datetime.fromtimestamp(min(max(seconds, 0), SECONDS_MAX), tz=UTC)
