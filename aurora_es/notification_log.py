"""``AuroraNotificationLog``: sections that end where segments end, and know when they are final.

Theory of operation: a segment that has been closed never changes, and its bounds are the same for
every process at any time. So a section that is cut at them and either is as long as was asked for
or ends its segment is the same whenever it is asked for: a remote follower or an HTTP cache may
keep it. Only a section that ends at the head of the log may be longer the next time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventsourcing.application import LocalNotificationLog, Section

from aurora_es.journal.generation import renew_manifest
from aurora_es.journal.holes import holes_of
from aurora_es.journal.reading import is_durable
from aurora_es.recorder_errors import FAULTS, recorder_error

if TYPE_CHECKING:
    from aurora_es.recorders import AuroraApplicationRecorder


@dataclass(frozen=True)
class AuroraSection(Section):
    """A section of the log; ``is_archived`` says that it will be the same for ever."""

    is_archived: bool = False  # its segment is sealed: it may be cached for ever


class AuroraNotificationLog(LocalNotificationLog):
    """The library's notification log, with sections that never cross a segment's end.

    A section that ends its segment may be shorter than was asked for and has its ``next_id`` set
    all the same: followers go on with the next one, as they do behind a full section.
    """

    recorder: AuroraApplicationRecorder  # whose events are shown

    def __init__(
        self,
        recorder: AuroraApplicationRecorder,
        section_size: int = LocalNotificationLog.DEFAULT_SECTION_SIZE,
    ) -> None:
        """Present the events of ``recorder`` in sections of at most ``section_size``."""
        super().__init__(recorder, section_size)

    def __getitem__(self, requested_section_id: str) -> AuroraSection:
        """Return the section that begins as ``requested_section_id`` ("first,last") does.

        Its own ``id`` says which notifications are in it. Raises ValueError for what is no id.
        """
        first, last = map(int, requested_section_id.split(",")[:2])
        start = max(1, first)
        limit = min(max(0, last - start + 1), self.section_size)
        start, end, visible = self._bounds(start)
        items = self.select(start, limit, stop=visible if end is None else min(end, visible))
        if not items:
            return AuroraSection(id=None, items=items, next_id=None)
        last = items[-1].id
        is_whole = len(items) == limit or last == end
        return AuroraSection(
            id=self.format_section_id(items[0].id, last),
            items=items,
            next_id=self.format_section_id(last + 1, last + limit) if is_whole else None,
            is_archived=is_whole and self._is_durable(last),
        )

    def archived_section_ids(self) -> list[str]:
        """One section id for each sealed segment that holds events, in order.

        What is longer than ``section_size`` is returned from its beginning, with ``next_id`` set.
        """
        try:
            handle, _ = self.recorder._handle()  # noqa: SLF001 - the face's own way to the journal
            if handle.descriptors is None:
                return []
            renew_manifest(handle)
            manifest = handle.manifest
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
        return [
            self.format_section_id(segment.base_position, segment.last_position)
            for segment in (() if manifest is None else manifest.segments)
            if any(holes_of([segment]).pieces(segment.base_position, segment.last_position))
        ]

    def _bounds(self, position: int) -> tuple[int, int | None, int]:
        """First position from ``position`` on that is not lost, and last one of its segment.

        None for the latter in the tail. And the last position of the log: in this order the tail,
        if it is that, reaches as far as the log did.
        """
        try:
            handle, visible = self.recorder._handle()  # noqa: SLF001 - as above
            index = handle.state.index
            position = index.holes.behind(position)
            end = index.segment_end(position)
            if end is not None and index.holes:
                *_, (_, end) = index.holes.pieces(position, end)
            return position, end, visible
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__

    def _is_durable(self, position: int) -> bool:
        try:
            handle, _ = self.recorder._handle()  # noqa: SLF001 - as above
            return is_durable(handle, position)
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
