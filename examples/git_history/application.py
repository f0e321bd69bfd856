"""The event-sourced application: every file of the repository is an aggregate.

Nothing here knows aurora_es: the persistence module is chosen by the environment, as for any
application of the library.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.utils import EnvType

from examples.git_history.commits import Commit, FileChange


class SourceFile(Aggregate):
    """One file, from the first commit that is known to have touched it."""

    class Created(Aggregate.Created):
        """The first change of a file; with `renamed_from` if it had another path before."""

        path: str
        commit: str
        author: str
        at: datetime
        lines_added: int | None
        lines_removed: int | None
        renamed_from: str | None

    class Changed(Aggregate.Event):
        """A later change of a file; the line counts are None for a binary one."""

        commit: str
        author: str
        at: datetime
        lines_added: int | None
        lines_removed: int | None

    @event(Created)
    def __init__(  # noqa: PLR0913 - the parameters are the event's fields
        self,
        *,
        path: str,
        commit: str,
        author: str,
        at: datetime,
        lines_added: int | None,
        lines_removed: int | None,
        renamed_from: str | None,
    ) -> None:
        self.path = path
        self.renamed_from = renamed_from
        self.lines_added = 0
        self.lines_removed = 0
        self.changes_by_author: defaultdict[str, int] = defaultdict(int)
        self._apply(commit, author, at, lines_added, lines_removed)

    @staticmethod
    def create_id(path: str) -> UUID:
        """Return the id of the file at this path, the same in every store and every run."""
        return uuid5(NAMESPACE_URL, f"file:{path}")

    @event(Changed)
    def change(
        self,
        *,
        commit: str,
        author: str,
        at: datetime,
        lines_added: int | None,
        lines_removed: int | None,
    ) -> None:
        """Record that a commit changed this file."""
        self._apply(commit, author, at, lines_added, lines_removed)

    def _apply(
        self,
        commit: str,
        author: str,
        at: datetime,
        lines_added: int | None,
        lines_removed: int | None,
    ) -> None:
        self.last_commit = commit
        self.last_change_at = at
        self.lines_added += lines_added or 0
        self.lines_removed += lines_removed or 0
        self.changes_by_author[author] += 1


class GitHistory(Application[UUID]):
    """Records commits, and answers what a file looked like after any number of its changes."""

    def __init__(self, env: EnvType | None = None) -> None:
        super().__init__(env)
        # Every file stays at hand while commits are recorded: most are changed again, and reading
        # them back each time would make the import an exercise in replay.
        self._files: dict[str, SourceFile] = {}

    def record_commit(self, commit: Commit) -> int:
        """Record one event per changed file, all or none; returns their number."""
        try:
            files = {change.path: self._record_change(commit, change) for change in commit.changes}
            self.save(*files.values())
        except BaseException:
            # Their events were not recorded, so these copies are ahead of the store.
            for change in commit.changes:
                self._files.pop(change.path, None)
            raise
        return len(commit.changes)

    def file(self, path: str, *, version: int | None = None) -> SourceFile:
        """Return a file as it is, or as it was after its first `version` changes."""
        return self.repository.get(SourceFile.create_id(path), version=version)

    def _record_change(self, commit: Commit, change: FileChange) -> SourceFile:
        source_file = self._files.get(change.path) or self._find(change.path)
        if source_file is None:
            source_file = SourceFile(
                path=change.path,
                commit=commit.commit_hash,
                author=commit.author,
                at=commit.at,
                lines_added=change.lines_added,
                lines_removed=change.lines_removed,
                renamed_from=change.renamed_from,
            )
        else:
            source_file.change(
                commit=commit.commit_hash,
                author=commit.author,
                at=commit.at,
                lines_added=change.lines_added,
                lines_removed=change.lines_removed,
            )
        self._files[change.path] = source_file
        return source_file

    def _find(self, path: str) -> SourceFile | None:
        try:
            return self.file(path)
        except AggregateNotFoundError:
            return None
