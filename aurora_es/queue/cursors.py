"""The journal of cursors: reads it, folds it, and says what is to be appended to it.

Theory of operation: whoever wants to know reads what is new and folds it. Every thousand records
somebody appends the folded state; reading begins at the newest one, and sealed segments before it
are dropped. A journal of cursors that has lost its end, to a power cut under a weak sync mode, is an
earlier state: messages are received again, none is lost.

Messages may have lost their end, too, and then positions are given out a second time. Who opens the
queue to send therefore looks first, before anything can be sent, whether cursors know of messages
that are not there, or of another epoch, and takes every frontier back behind what was lost. (The
epoch alone does not tell: it is not raised where the mark was lost together with the messages.)
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from aurora_es.errors import (
    ArgumentError,
    AuroraError,
    ClosedError,
    ConflictError,
    CorruptionError,
    LockTimeoutError,
    StorageError,
    TruncatedError,
)
from aurora_es.format.limits import RECORD_BYTES_MAX
from aurora_es.format.payload import UNDECODABLE
from aurora_es.index.keys import originator_key
from aurora_es.journal.catch_up import refresh
from aurora_es.journal.reading import read_groups, read_selected
from aurora_es.journal.retention import retain
from aurora_es.queue.cursor_records import (
    EPOCH_ID,
    FORGOTTEN,
    STATE_ID,
    STATE_TOPIC,
    Begin,
    Draft,
    EpochChange,
    Forget,
    decode_cursor_record,
    name_id,
    state_draft,
    versioned_draft,
)
from aurora_es.queue.cursor_state import CursorState, NameState, decode_state, encode_state, fold
from aurora_es.queue.queue_errors import NameKindError, QueueError
from aurora_es.queue.queue_logs import logger
from aurora_es.queue.reader import MessageReader

if TYPE_CHECKING:
    from aurora_es.journal.journal import Journal
    from aurora_es.queue.reader import Target

STATE_EVERY_RECORDS = 1_000
STATE_BYTES_MAX = RECORD_BYTES_MAX - (1 << 16)
NAME_BYTES_MAX = 200
_SEALED_MIN = 2  # the newest sealed segment always stays


class CursorLog:
    """The folded state of the journal of cursors; for any thread."""

    def __init__(
        self, journal: Journal, messages: Journal, *, poll_interval: float | None = None
    ) -> None:
        """Read ``journal``, which may not exist yet, about the messages of ``messages``."""
        self.journal = journal
        self.poll_interval = poll_interval  # for who waits for changes of either
        self.messages = messages
        # Both written under the lock; a state is changed in place by ``refresh`` only.
        self.lock = threading.RLock()
        self._state: CursorState | None = None
        self._state_position = 0  # of the newest record of the folded state
        self._too_large_at = 0  # what was known when the folded state was last too large

    def refresh(self) -> CursorState:
        """Fold what is new, and return the state; the caller holds ``lock`` while it looks at it.

        Raises CorruptionError, StorageError.
        """
        try:
            if not self.journal.attach():
                return CursorState()
            visible = refresh(self.journal.handle)
            state = self._state
            if state is None or state.as_of > visible:
                state = self._state = self._newest_state(visible)
            if state.as_of < visible:
                try:
                    self._fold_up_to(state, visible)
                except TruncatedError:
                    # Behind what retention has left: the newest folded state is not.
                    state = self._state = self._newest_state(visible)
                    self._fold_up_to(state, visible)
        except AuroraError:
            raise
        except OSError as error:
            message = f"{self.journal.handle.path}: {error}; cursors could not be read; `aurora-es doctor` looks at rights and limits"
            raise StorageError(message) from error
        return state

    def _newest_state(self, visible: int) -> CursorState:
        key = originator_key(STATE_ID)
        assert key is not None
        found = read_selected(
            self.journal.handle, key, gt=None, lte=None, desc=True, limit=1, until=visible
        )
        if not found:
            return CursorState()
        try:
            state = decode_state(found[0].state)
        except UNDECODABLE as error:
            raise self._undecodable(STATE_TOPIC, "the newest of its kind", error) from error
        if not 0 <= state.as_of < visible:
            problem = ValueError(f"as of position {state.as_of}, the last record is at {visible}")
            raise self._undecodable(STATE_TOPIC, "the newest of its kind", problem)
        state.state_version = found[0].originator_version or 0
        self._state_position = state.as_of
        return state

    def _fold_up_to(self, state: CursorState, visible: int) -> None:
        for first, _, records in read_groups(self.journal.handle, state.as_of + 1, visible):
            for position, data in enumerate(records, first):
                if not state.as_of < position <= visible:
                    continue
                try:
                    record = decode_cursor_record(data.topic, data.state)
                except UNDECODABLE as error:
                    place = f"at position {position}"
                    raise self._undecodable(data.topic, place, error) from error
                if record is not None:
                    fold(state, record)
                elif data.topic == STATE_TOPIC:
                    state.state_version = data.originator_version or 0
                    self._state_position = position
                state.as_of = position

    def _undecodable(self, topic: str, place: str, error: Exception) -> CorruptionError:
        path = self.journal.handle.path
        return CorruptionError(
            path, 0, expected=f"a record of cursors, {topic!r}, {place}", found=str(error)
        )

    def find(self, name: str) -> NameState | None:
        """What is known of ``name``; None if nobody uses it. The caller holds ``lock``."""
        found = self.refresh().names.get(name)
        return None if found is None or found.kind == FORGOTTEN else found

    def known(self, name: str, kind: str) -> NameState:
        """What is known of ``name``, which must be of this kind; the caller holds ``lock``.

        Raises NameKindError, QueueError after it was forgotten.
        """
        found = self.find(name)
        if found is None:
            message = f"{name!r} was forgotten meanwhile; subscribe or join again to use it anew"
            raise QueueError(message)
        check_kind(name, found, kind)
        return found

    def next_version(self, name: str) -> int:
        """Version of the next versioned record of ``name``; the caller holds ``lock``."""
        found = self.refresh().names.get(name)
        return 1 if found is None else found.version + 1

    def due_state(self) -> Draft | None:
        """The folded state, ready to be appended, where it is due; a conflict may be ignored."""
        with self.lock:
            newest = self.journal.handle.state.index.position  # what this process knows of
            if newest - max(self._state_position, self._too_large_at) < STATE_EVERY_RECORDS:
                return None
            state = self.refresh()
            if state.as_of - self._state_position < STATE_EVERY_RECORDS:
                return None
            encoded = encode_state(state)
            if len(encoded) > STATE_BYTES_MAX:
                # It would be refused. Until there is less, cursors are folded from the last one on.
                self._too_large_at = newest
                logger.warning(
                    "%s: what is known of all names takes %d bytes, and at most %d can be appended"
                    " at once, so old cursors stay (aurora-es queue parked shows what is put aside)",
                    self.journal.handle.path,
                    len(encoded),
                    STATE_BYTES_MAX,
                )
                return None
            return state_draft(encoded, state.state_version + 1)

    def begin(self, name: str, kind: str, start: Target) -> Draft | None:
        """What to append, and to sync, so that ``name`` can be used; None if it is in use.

        It has to be on disk in every sync mode: a name that begins anew would begin elsewhere.
        Raises NameKindError, ArgumentError.
        """
        if (
            not isinstance(name, str)
            or not 0 < len(name.encode(errors="replace")) <= NAME_BYTES_MAX
        ):
            message = f"name: expected a str of 1 to {NAME_BYTES_MAX} bytes, found {name!r}"
            raise ArgumentError(message)
        with self.lock:
            found = self.find(name)
            if found is not None:
                check_kind(name, found, kind)
                return None
            frontier = self.frontier_at(start)
            record = Begin(name, kind, frontier, self.messages.handle.epoch or 0)
            return versioned_draft(record, name_id(name), self.next_version(name))

    def frontier_at(self, target: Target) -> int:
        """The frontier of a name that begins at ``target``; never beyond the last message.

        What is beyond it at the next recovery was lost: see ``reconcile``.
        """
        reader = MessageReader(self.messages, target)
        return min(reader.position, reader.last_position())

    def forget(self, name: str) -> Draft | None:
        """What to append so that ``name`` is used no more; None if nobody uses it."""
        with self.lock:
            found = self.find(name)
            if found is None:
                return None
            return versioned_draft(Forget(name), name_id(name), found.version + 1)

    def state_position(self) -> int:
        """Position of the newest folded state: earlier records are needed no more."""
        with self.lock:
            self.refresh()
            return self._state_position

    def names(self) -> dict[str, NameState]:
        """All names in use, with copies of what is known of them."""
        with self.lock:
            encoded = encode_state(self.refresh())
        return {
            name: state
            for name, state in decode_state(encoded).names.items()
            if state.kind != FORGOTTEN
        }

    def reconcile(self) -> None:
        """Take frontiers back if messages were taken back; before anything is sent.

        Nobody sends after a recovery before the record of it is on disk: so the last position that
        is seen here is that of the recovery, whoever comes first. Cursors are read before it: what
        they know of was there.
        """
        while self.journal.attach():
            with self.lock:
                state = self.refresh()
                last_position = self.messages.last_position
                epoch = self.messages.handle.epoch
                if epoch is None or not state.names:
                    return
                if state.epoch == epoch and state.last_known() <= last_position:
                    return
                change = EpochChange(epoch, last_position)
                draft = versioned_draft(change, EPOCH_ID, state.epoch_version + 1)
            try:
                self.append(draft)
            except ConflictError:
                continue  # another process has seen it, too
            self.journal.sync()
            return

    def close(self) -> None:
        """Close both journals."""
        try:
            self.journal.close()
        finally:
            self.messages.close()

    def append(self, draft: Draft) -> None:
        """Append and wait; raises ConflictError when a versioned record comes too late."""
        identities = draft.identities or ((None, None),)
        self.journal.append_rows(draft.rows, identities, None)

    def append_due_state(self) -> None:
        """Append the folded state where it is due, and wait."""
        draft = self.due_state()
        if draft is not None:
            try:
                self.append(draft)
            except ConflictError:
                return  # another process was faster
            self.trim()

    def trim(self) -> None:
        """Drop sealed segments that the newest folded state stands for; never raises for it.

        Nobody has to ask for that: unlike messages they are of no use to anybody.
        """
        handle = self.journal.handle
        try:
            before = self.state_position()
            manifest = handle.manifest
            segments = manifest.segments if manifest is not None else []
            if len(segments) >= _SEALED_MIN and segments[0].last_position < before:
                retain(
                    handle.path, before_position=before, effects=handle.effects, lock_timeout=0.0
                )
                self.journal.renew()
        except ClosedError:
            return  # meanwhile, by another thread
        except LockTimeoutError:
            return  # a background run is at work; the next folded state is the next occasion
        except (AuroraError, OSError) as error:
            logger.warning("%s: old cursors could not be dropped: %s", handle.path, error)


def check_kind(name: str, found: NameState, kind: str) -> None:
    """Raise NameKindError if a name is of another kind."""
    if found.kind != kind:
        message = (
            f"{name!r} is the name of a {found.kind}, and a {kind} was asked for: subscribe(name)"
            " is for receivers, join(name) for groups; take another name, or forget() this one"
        )
        raise NameKindError(message)
