"""What a move is made of: a source that is read in pages, a target that is appended to and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.moving.pages import Extent, Page, Row, Tracked


class Source(Protocol):
    """Events, snapshots and tracking records of one application, somewhere.

    ``name`` says what it is in messages; ``can_repeat`` whether it can be read more than once.
    """

    name: str
    can_repeat: bool

    def extents(self) -> dict[str, Extent]:
        """What is there by part, as far as it is known without reading all of it."""

    def stream(self) -> Iterator[Page | Tracked]:
        """All that is there: events before snapshots, in order, the rows of a page of one part.

        Raises SourceError.
        """

    def left_out(self) -> list[str]:
        """What is there besides and is not moved, and why."""

    def close(self) -> None:
        """Release everything; idempotent."""


class OpenableSource(Source, Protocol):
    """A source that its user has constructed, not opened."""

    def open_source(self) -> None:
        """Open it for reading; raises SourceError."""


class Target(Protocol):
    """A side that events are written to."""

    name: str
    keeps_ids: bool  # of the source, whatever they are; positions of journals have no gaps
    can_repeat: bool
    is_durable: bool  # what was finished is on disk, as far as this side can know

    def pages(self, part: str) -> Iterator[Page]:
        """What is there of ``part`` now, in order."""

    def read_back(self, parts: Sequence[str]) -> Iterator[Page]:
        """What is there of all ``parts``, each in order."""

    def is_keyed(self, part: str) -> bool:
        """Whether rows of ``part`` have no place in an order, but are found by id and version."""

    def find(self, part: str, rows: Sequence[Row]) -> list[Row | None]:
        """The rows that are there under the same ids and versions, of a keyed part."""

    def append(self, page: Page) -> None:
        """Append all rows of a page, or none of them. Raises TargetError, nothing written."""

    def tracked(self, part: str) -> dict[str, int]:
        """Tracking records that are there."""

    def track(self, tracked: Tracked) -> None:
        """Append tracking records, which rise."""

    def finish(self, counts: dict[str, int], digests: dict[str, str]) -> None:
        """Force everything to disk; and only now let the target be found, where that can be.

        ``counts`` and ``digests`` are those of all rows, by part, for who writes them down.
        """

    def close(self) -> None:
        """Release everything; idempotent."""


class OpenableTarget(Target, Protocol):
    """A target that its user has constructed, not opened."""

    def open_target(self, application_name: str, *, is_process: bool) -> None:
        """Open it for writing, and make what is missing; raises TargetError.

        ``is_process`` says whether there are tracking records.
        """
