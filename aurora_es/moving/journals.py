"""The journals of one application as a side of a move.

Theory of operation: what is imported is gathered in a directory beside the application's, with a
``~`` in its name, which no application has, and is renamed when everything in it has been read back
and is on disk. So an application never finds half of its events: killed anywhere, there is none
yet, and the next import goes on in the directory beside. An application that is there already gets
what its source has more, in place; nobody else may have it open for appending.

A page is one commit, synced as the journal says (``always`` is one sync for thousands of rows).
Closed segments are sealed on the way, so that memory is bounded by the tail.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, suppress
from fcntl import LOCK_EX, LOCK_NB
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from aurora_es.environment import parse_flag, read_setting
from aurora_es.errors import ArgumentError, InUseError
from aurora_es.files.layer import DIRECTORY_MODE, SYSTEM_EFFECTS, exists
from aurora_es.format.names import MANIFEST, directory_name
from aurora_es.format.payload import TrackingData
from aurora_es.index.keys import originator_key
from aurora_es.journal import background
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import Journal
from aurora_es.journal.opening import refuse_network
from aurora_es.journal.presence import alone
from aurora_es.journal.reading import read_piece, read_selected
from aurora_es.moving.moving_errors import SourceError, TargetError
from aurora_es.moving.pages import (
    EVENTS,
    PARTS,
    SNAPSHOTS,
    TRACKING,
    Extent,
    Page,
    Tracked,
)
from aurora_es.options import CompressionFormat, RollCycle, Sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aurora_es.files.layer import Effects
    from aurora_es.format.payload import RecordData
    from aurora_es.moving.pages import Row

BUILD_SUFFIX = "~importing"
_NETWORK_SETTING = "AURORA_ALLOW_NETWORK_FILE_SYSTEM"
_NEW_PARENTS_MAX = 2  # as of stores: AURORA_PATH and the application's directory


def application_name(path: str) -> str:
    """Name of the application whose directory ``path`` is; raises ArgumentError."""
    directory = os.path.basename(path)
    name = "" if directory == "_default" else unquote(directory, errors="surrogateescape")
    if directory_name(name) != directory:
        message = (
            f"{path}: expected the directory of an application, AURORA_PATH/NAME with NAME"
            f" percent-encoded outside of A-Z, a-z, 0-9, _, . and -; found {directory!r}"
        )
        raise ArgumentError(message)
    return name


class ApplicationJournals:
    """The journals of one application, to be read, or appended to."""

    keeps_ids = False
    can_repeat = True
    is_durable = True

    def __init__(
        self,
        path: str,
        purpose: Literal["read", "append", "look"],
        *,
        env: Mapping[str, str],
        effects: Effects = SYSTEM_EFFECTS,
    ) -> None:
        """Open ``path``, the application's directory; to append, also one that is not there yet.

        ``look`` only reads what would be appended to. ``env`` has the settings of the application.
        Raises ArgumentError, AuroraConfigurationError, TargetError, InUseError.
        """
        self.path = self.name = os.path.abspath(path)
        self.application_name = application_name(self.path)
        self._effects = effects
        self._read_only = purpose != "append"
        self._stack = ExitStack()
        self._journals: dict[str, Journal] = {}
        self._until: dict[str, int] = {}  # last position at the time of opening, by part
        self._tracking: dict[str, dict[str, int]] = {}  # at that time
        self._segments: dict[str, int] = {}
        self._settings = self._settings_of(env)
        self._building = self.path + BUILD_SUFFIX
        self._directory = self.path if purpose == "read" else self._find_directory()
        if purpose == "append":
            try:
                self._hold_directory()
            except BaseException:
                self._stack.close()  # nobody else will, and the next import would wait for us
                raise

    def _settings_of(self, env: Mapping[str, str]) -> Settings:
        name = self.application_name
        if not read_setting(env, name, _NETWORK_SETTING, parse_flag, default=False):
            refuse_network(self.path)
        if self._read_only:
            return Settings()
        return Settings(
            sync=read_setting(env, name, "AURORA_SYNC", Sync.parse, None),
            roll_cycle=read_setting(env, name, "AURORA_ROLL_CYCLE", RollCycle.parse, None),
            compression=read_setting(
                env, name, "AURORA_COMPRESSION", CompressionFormat.parse, None
            ),
            name=name,
        )

    def _find_directory(self) -> str:
        files = self._effects.files
        # An empty directory, made beforehand, is no application: the import takes its place.
        is_there = exists(files, self.path) and bool(files.listdir(self.path))
        if is_there and exists(self._effects.files, self._building):
            message = (
                f"{self.path}: expected to go on in {self._building}, which an import left"
                " unfinished, but the application is there, too; nothing was changed. Remove one of"
                " the two, and run `aurora-es import` again"
            )
            raise TargetError(message)
        return self.path if is_there else self._building

    @property
    def is_building(self) -> bool:
        """Whether the application does not find this yet."""
        return self._directory == self._building

    def _hold_directory(self) -> None:
        """Keep other imports out; raises InUseError."""
        files = self._effects.files
        for directory in (os.path.dirname(self.path), self._directory):
            with suppress(FileExistsError):
                files.mkdir(directory, DIRECTORY_MODE)
        fd = files.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._stack.callback(files.close, fd)
        try:
            files.flock(fd, LOCK_EX | LOCK_NB)
            status = files.fstat(fd)
            there = files.stat(self._directory)
            is_held = (status.st_dev, status.st_ino) == (there.st_dev, there.st_ino)
        except (BlockingIOError, FileNotFoundError):
            is_held = False  # another import has it, or has just given it its name
        if not is_held:
            message = (
                f"{self._directory}: another import is at work there; nothing was changed. Let it"
                " end, then run `aurora-es import` again (`fuser -v` lists who has it open)"
            )
            raise InUseError(message)

    def journal(self, part: str) -> Journal:
        """The journal of ``part``."""
        journal = self._journals.get(part)
        if journal is None:
            journal = Journal(
                self._effects,
                os.path.join(self._directory, part),
                self._settings,
                read_only=self._read_only,
                new_parents_max=_NEW_PARENTS_MAX,
                background=False,
            )
            self._stack.callback(journal.close)
            self._journals[part] = journal
            self._until[part] = journal.last_position
            # As of that position: asked for later, it might be ahead of the events.
            tracked = journal.handle.state.index.tracking
            self._tracking[part] = {name: tracked[name].notification_id for name in sorted(tracked)}
            if not self._read_only and journal.attach():
                self._stack.enter_context(alone(journal.handle, purpose="run `aurora-es import`"))
        return journal

    def has(self, part: str) -> bool:
        """Whether there is a journal of ``part``."""
        return exists(self._effects.files, os.path.join(self._directory, part, MANIFEST))

    # As a source

    def extents(self) -> dict[str, Extent]:
        """Counts of what can be read."""
        found = {}
        # Events last: a snapshot must not be ahead of them where the store is in use.
        for part in reversed(PARTS):
            if self.has(part):
                journal = self.journal(part)
                first, last = journal.first_position, self._until[part]
                found[part] = Extent(max(last - first + 1, 0), last)
        if not found and not self.has(TRACKING):
            message = (
                f"{self.path}: expected the directory of an application with a journal of its"
                f" {', '.join(PARTS)} or {TRACKING}, found none; `aurora-es info` lists journals"
            )
            raise SourceError(message)
        return found

    def stream(self) -> Iterator[Page | Tracked]:
        """Events, snapshots, DCB events, then tracking records."""
        parts = self.extents()
        for part in PARTS:
            if part in parts:
                yield from self.pages(part)
        for part in (EVENTS, TRACKING):
            if self.has(part) and self.journal(part) and self._tracking[part]:
                yield Tracked(part, self._tracking[part])

    def left_out(self) -> list[str]:
        """What is there and is not moved."""
        if self.has(TRACKING) and self.journal(TRACKING).last_position:
            return [f"{TRACKING}: the tables of a view, which its projection builds anew"]
        return []

    # As a target

    def pages(self, part: str) -> Iterator[Page]:
        """All records of ``part``, as of now if they are appended here."""
        if not self.has(part):
            return
        journal = self.journal(part)
        until = self._until[part] if self._read_only else journal.last_position
        position = journal.first_position
        while position <= until:
            groups, behind = read_piece(journal.handle, position, until)
            rows: list[Row] = []
            ids: list[int] = []
            times: list[int] = []
            for first, timestamp, records in groups:
                count = len(records)
                rows += _rows_of(records)
                ids += range(first, first + count)
                times += [timestamp] * count
            # The outer frames may hold more than was asked for.
            begin = next((at for at, found in enumerate(ids) if found >= position), len(ids))
            end = len(ids)
            while end > begin and ids[end - 1] > until:
                end -= 1
            if begin < end:
                yield Page(part, rows[begin:end], ids[begin:end], times[begin:end])
            position = behind

    def read_back(self, parts: Sequence[str]) -> Iterator[Page]:
        """Rows of all ``parts``."""
        for part in parts:
            yield from self.pages(part)

    def is_keyed(self, part: str) -> bool:
        """Snapshots are: nobody follows them, and sources list them by id."""
        return part == SNAPSHOTS

    def find(self, part: str, rows: Sequence[Row]) -> list[Row | None]:
        """Look rows up by id and version."""
        if not self.has(part):
            return [None] * len(rows)
        journal = self.journal(part)
        until = journal.last_position
        found: list[Row | None] = []
        for row in rows:
            key, version = originator_key(row[0]), row[1]
            assert key is not None
            records = read_selected(
                journal.handle, key, gt=version - 1, lte=version, desc=False, limit=1, until=until
            )
            found.append(_rows_of(records)[0] if records else None)
        return found

    def append(self, page: Page) -> None:
        """Append a page as one commit; raises TargetError if anybody else has appended meanwhile."""
        journal = self.journal(page.part)
        expected = journal.last_position + 1
        identities = [(originator_key(row[0]), row[1]) for row in page.rows]
        first = journal.append_rows(page.rows, identities, None)
        if first != expected:
            message = (
                f"{journal.handle.path}: expected to append at position {expected}, found {first}:"
                " somebody else has appended meanwhile. Move the directory away, and run"
                " `aurora-es import` again while nobody has the application open"
            )
            raise TargetError(message)
        self._seal_closed(page.part, journal)

    def _seal_closed(self, part: str, journal: Journal) -> None:
        """Seal what a roll has closed, here and now: a process beside would outlive the rename."""
        chain = journal.handle.state.chain
        assert chain is not None  # something was appended
        if chain.segment_number != self._segments.setdefault(part, chain.segment_number):
            self._segments[part] = chain.segment_number
            background.seal(journal.handle.path, effects=self._effects)
            journal.renew()

    def tracked(self, part: str) -> dict[str, int]:
        """Tracking records of the journal of ``part``."""
        return self.journal(part).tracking() if self.has(part) else {}

    def track(self, tracked: Tracked) -> None:
        """Append tracking records, one commit each."""
        journal = self.journal(tracked.part)
        for name, notification_id in sorted(tracked.ids.items()):
            journal.append_rows((), (), TrackingData(name, notification_id))

    def finish(self, counts: dict[str, int], digests: dict[str, str]) -> None:
        """Sync everything, and give the directory its name if it has none yet."""
        if not any(self.has(part) for part in (*PARTS, TRACKING)):
            self.journal(EVENTS).create()  # an application without events is one, too
        for journal in self._journals.values():
            if journal.attach():
                journal.sync()
        files = self._effects.files
        if self.is_building:
            self.close()
            self._give_name()
            self._directory = self.path
        # Also where it was renamed before: who did may have died before he synced the name.
        files.sync_directory(os.path.dirname(self.path))

    def _give_name(self) -> None:
        try:
            self._effects.files.rename(self._directory, self.path)
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                raise
            message = (
                f"{self.path}: expected no application there yet, found one that was made during the"
                f" import; all is read back and in {self._building}. Move away what is at"
                f" {self.path}, and run `aurora-es import` again, which only has to give the name"
            )
            raise TargetError(message) from error

    def close(self) -> None:
        """Close all journals and let others import."""
        self._stack.close()
        self._journals.clear()


def _rows_of(records: list[RecordData]) -> list[Row]:
    return [
        (record.originator_id, record.originator_version, record.topic, record.state)
        if record.metadata is None and record.event_uuid is None and not record.tags
        else (
            record.originator_id,
            record.originator_version,
            record.topic,
            record.state,
            record.tags,
            record.event_uuid,
            record.metadata,
        )
        for record in records
    ]
