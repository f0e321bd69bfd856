"""What a process knows of a journaled view: its tables, as of a position of the view's journal.

Theory of operation: a view is the fold of its journal. Its changes are applied once, in order; a
process that opens it begins with the newest checkpoint and goes on from the position that this
reflects. A checkpoint may stand anywhere behind that position: only a view that was rebuilt takes
the place of all that was before. Applying a record twice does no harm, so an interrupt between a
record and its position costs nothing.

Keys and values stay as they are on disk until somebody asks for them: readers get copies by
construction, and tables that the view's class of today does not declare stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.errors import CorruptionError
from aurora_es.format.limits import VERSION_MIN
from aurora_es.format.payload import UNDECODABLE
from aurora_es.format.view import (
    VIEW_CHANGE,
    VIEW_CHECKPOINT,
    Change,
    CheckpointPart,
    decode_changes,
    decode_checkpoint_part,
    encode_checkpoint_part,
)
from aurora_es.journal.reading import read_records, read_selected
from aurora_es.journal.truncation import check_position

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aurora_es.format.payload import RecordData
    from aurora_es.journal.handle import Handle

# A checkpoint is due when the changes behind the last one exceed twice its size, and this: so it
# adds half to what is written, and opening reads three times the size of the view at most.
_CHANGE_BYTES_MIN = 1 << 18
_PART_BYTES = 1 << 20
# Together with their headers the parts have to fit into one commit.
CHECKPOINT_BYTES_MAX = 192 << 20


class ViewState:
    """Tables of a view up to ``position``; the caller excludes other threads."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.tables: dict[str, dict[bytes, bytes]] = {}
        self.position = 0
        self.epoch: int | None = None
        self._change_bytes = 0  # of changes behind the newest checkpoint
        self._checkpoint_bytes = 0

    def catch_up(self, handle: Handle, until: int) -> None:
        """Apply what is visible up to ``until``; raises what reading a journal raises."""
        if self.epoch is not None and self.epoch != handle.epoch:
            # A recovery took back what was applied.
            self.tables = {}
            self.position = self._change_bytes = self._checkpoint_bytes = 0
        self.epoch = handle.epoch
        if self.position == 0 or self.position + 1 < handle.retained_from:
            self._load_checkpoint(handle, until)
        if self.position < until:
            check_position(handle, self.position + 1)
        while self.position < until:
            first, records = read_records(handle, self.position + 1, until)
            for record in records[self.position + 1 - first : until + 1 - first]:
                self._apply(handle, record, self.position + 1)
                self.position += 1

    def applied(self, first: int, last: int, changes: Iterable[Change], size: int) -> None:
        """Apply changes that this process has appended at positions ``first`` to ``last``."""
        if self.position == first - 1:  # else another thread has read them from the journal
            self._change(changes)
            self._change_bytes += size
            self.position = last

    def rows(self, table: str) -> dict[bytes, bytes]:
        """Rows of a table, by key."""
        found = self.tables.get(table)
        return self.tables.setdefault(table, {}) if found is None else found

    @property
    def checkpoint_is_due(self) -> bool:
        """Whether opening the view would have to read many changes."""
        return self._change_bytes > max(_CHANGE_BYTES_MIN, 2 * self._checkpoint_bytes)

    def checkpoint(self, position: int) -> list[bytes] | None:
        """States of the records of a checkpoint at ``position``; None if it would be too large."""
        pieces: list[list[Change]] = [[]]
        size = total = 0
        for name, rows in self.tables.items():
            for key, value in rows.items():
                if size > _PART_BYTES:
                    pieces.append([])
                    size = 0
                pieces[-1].append((name, key, value))
                length = len(name) + len(key) + len(value)
                size += length
                total += length
        if total > CHECKPOINT_BYTES_MAX:
            self._change_bytes = 0  # ask again when there is more
            return None
        return [
            encode_checkpoint_part(CheckpointPart(position, part, len(pieces), piece))
            for part, piece in enumerate(pieces, 1)
        ]

    # Reading

    def _load_checkpoint(self, handle: Handle, until: int) -> None:
        """Begin with the newest checkpoint, if there is one."""
        index = handle.state.index
        positions, _ = index.select(
            VIEW_CHECKPOINT, gt=None, lte=None, desc=True, limit=1, until=until
        )
        newest = read_selected(
            handle, VIEW_CHECKPOINT, gt=None, lte=None, desc=True, limit=1, until=until
        )
        if not newest:
            return
        version = newest[0].originator_version
        assert version is not None
        parts = self._part(handle, newest[0], positions[0]).parts
        records = read_selected(
            handle,
            VIEW_CHECKPOINT,
            gt=max(version - parts, VERSION_MIN),
            lte=version,
            desc=False,
            limit=None,
            until=until,
        )
        if len(records) != parts:
            found = f"{len(records)} of its {parts} records"
            raise CorruptionError(
                handle.path,
                0,
                expected=f"the checkpoint of a view that ends at position {positions[0]}",
                found=found,
            )
        self.tables = {}
        self._change_bytes = self._checkpoint_bytes = 0
        position = 0
        for record in records:
            part = self._part(handle, record, positions[0])
            self._change(part.rows)
            self._checkpoint_bytes += len(record.state)
            position = part.position or positions[0]
        self.position = position

    def _apply(self, handle: Handle, record: RecordData, position: int) -> None:
        if record.topic == VIEW_CHANGE:
            try:
                changes = decode_changes(record.state)
            except UNDECODABLE as error:
                raise _undecodable(handle, "the changes of a view", position, error) from error
            self._change(changes)
            self._change_bytes += len(record.state)
        elif record.topic == VIEW_CHECKPOINT:
            part = self._part(handle, record, position)
            if part.part == 1:
                self._change_bytes = self._checkpoint_bytes = 0
                if part.position == 0:
                    self.tables = {}
            self._checkpoint_bytes += len(record.state)
            if part.position == 0:
                self._change(part.rows)

    def _part(self, handle: Handle, record: RecordData, position: int) -> CheckpointPart:
        try:
            return decode_checkpoint_part(record.state, position)
        except UNDECODABLE as error:
            raise _undecodable(handle, "a checkpoint of a view", position, error) from error

    def _change(self, changes: Iterable[Change]) -> None:
        tables = self.tables
        for name, key, value in changes:
            rows = tables.get(name)
            if rows is None:
                rows = tables[name] = {}
            if value:
                rows[key] = value
            else:
                rows.pop(key, None)


def _undecodable(
    handle: Handle, expected: str, position: int, error: BaseException
) -> CorruptionError:
    return CorruptionError(
        handle.path, 0, expected=expected, found=f"{error}, in the record at position {position}"
    )
