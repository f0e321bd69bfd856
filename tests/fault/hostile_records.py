"""Targets for hostile content: records that a whole journal vouches for, and files of text.

Theory of operation: as in ``hostile.py``, bytes are read as edits of valid ones. Here the frames are
fine, and what somebody else has written is the state of a record that the package itself reads: a
view's, a queue's, an import's. So the journal is written anew by our own code, with that state in
it, and whoever reads such records is asked. The same for the two files of text: the record of a
backup and lines of JSON.
"""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec
from eventsourcing.domain import DomainEvent
from eventsourcing.persistence import JSONTranscoder, MapperDeserialisationError, StoredEvent
from eventsourcing.utils import get_topic

from aurora_es.care.backup_record import RECORD, BackedUpJournal, BackupReport, read_record
from aurora_es.errors import AuroraError
from aurora_es.files.layer import replace_file
from aurora_es.format.payload import encode_payload
from aurora_es.format.view import (
    VIEW_CHANGE,
    VIEW_CHECKPOINT,
    CheckpointPart,
    encode_changes,
    encode_checkpoint_part,
)
from aurora_es.inspection.states import decode_state as show_state
from aurora_es.journal import background
from aurora_es.journal.catch_up import refresh
from aurora_es.journal.compaction import compact
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import Journal
from aurora_es.journal.records import Record
from aurora_es.mapper import MsgpackMapper
from aurora_es.moving.json_lines import JsonLines
from aurora_es.moving.json_lines_format import encode_end, encode_header, encode_tracked
from aurora_es.moving.pages import EVENTS, Digest, Page
from aurora_es.moving.stretches import Stretch, position_in
from aurora_es.options import RollCycle, Sync
from aurora_es.queue.cursor_records import (
    GROUP,
    RECEIVER,
    STATE_TOPIC,
    Acknowledge,
    AnyRecord,
    Begin,
    Claim,
    Commit,
    Discard,
    EpochChange,
    Extend,
    Forget,
    Move,
    Park,
    Redeliver,
    Release,
    draft_of,
    state_draft,
)
from aurora_es.queue.cursor_state import CursorState, choose, encode_state, fold, next_time
from aurora_es.queue.cursors import CursorLog
from aurora_es.queue.looking import look, parked_in, resolve
from aurora_es.queue.messages import decode_body
from aurora_es.state_coding import StateCoder
from aurora_es.testing.crashable import CrashableFiles
from aurora_es.testing.disk import CrashableDisk
from aurora_es.view_state import ViewState
from tests.fault.enumeration import HOME
from tests.fault.hostile_edits import edited
from tests.fault.small_journal import effects_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.files.layer import Effects
    from aurora_es.journal.commit import Row

_SETTINGS = Settings(Sync.NEVER, RollCycle.events(2))
_TIME = 1_700_000_000_000_000
_VIEW = f"{HOME}/tracking"


def _disk() -> tuple[CrashableDisk, Effects]:
    disk = CrashableDisk()
    disk.make_directories(HOME)
    return disk, effects_on(disk)


def _journal(effects: Effects, path: str, rows: list[Row]) -> Journal:
    """A journal with one record in each commit, two in each segment."""
    journal = Journal(effects, path, _SETTINGS)
    for row in rows:
        journal.append_rows((row,), (_identity(row),), None)
    return journal


def _identity(row: Row) -> tuple[Any, int | None]:
    return (None, None) if row[0] is None else (row[0], row[1])


# Views

CHANGES = [
    ("counts", encode_payload("a"), encode_payload(1)),
    ("places", encode_payload([1, "x"]), encode_payload(["y"])),
    ("counts", encode_payload("b"), b""),
]


def _ask_view(rows: list[Row]) -> None:
    """Open a view before and behind sealing, and let retention ask what it needs."""
    _, effects = _disk()
    with _journal(effects, _VIEW, rows) as journal:
        _open_view(journal)
        background.seal(_VIEW, effects=effects)
    with suppress(AuroraError):
        compact(_VIEW, effects=effects, dry_run=True)
    with Journal(effects, _VIEW, _SETTINGS) as journal:
        _open_view(journal)


def _open_view(journal: Journal) -> None:
    state = ViewState()
    try:
        last = refresh(journal.handle)
        state.catch_up(journal.handle, last)
    except AuroraError:
        return
    assert state.position == last
    for rows in state.tables.values():
        assert all(rows.values())
    state.checkpoint(state.position)


def _change(data: bytes) -> None:
    change = encode_changes(CHANGES)
    _ask_view([_view_row(change), _view_row(edited(change, data)), _view_row(change)])


def _view_row(state: bytes) -> Row:
    return (None, None, VIEW_CHANGE, state)


def _checkpoint(data: bytes) -> None:
    """Two parts of a checkpoint behind a change, of which the edits choose one."""
    at, data = _chosen(data, 2)
    parts = [encode_checkpoint_part(CheckpointPart(1, part, 2, CHANGES)) for part in (1, 2)]
    parts[at] = edited(parts[at], data)
    change = _view_row(encode_changes(CHANGES))
    _ask_view(
        [change, *(_part_row(part, version) for version, part in enumerate(parts, 1)), change]
    )


def _part_row(state: bytes, version: int) -> Row:
    return (VIEW_CHECKPOINT, version, VIEW_CHECKPOINT, state)


def _chosen(data: bytes, count: int) -> tuple[int, bytes]:
    return (data[0] % count, data[1:]) if data else (0, data)


# Queues

RECORDS: tuple[AnyRecord, ...] = (
    Begin("g", GROUP, 0, 1),
    Begin("r", RECEIVER, 1, 1),
    Claim("g", "h", _TIME, 4, [(1, None), (2, "k"), (4, None)], [(3, "k")], []),
    Acknowledge("g", [1]),
    Release("g", "h", [2], _TIME + 5, is_counted=True),
    Extend("g", "h", [4], _TIME + 9),
    Park("g", "h", [4], "because"),
    Redeliver("g", [4]),
    Claim("g", "i", _TIME, 5, [(5, None)], [], [3]),
    Park("g", "i", [5], "because"),
    Discard("g", [3]),
    Commit("r", 3),
    EpochChange(2, 5),
    Move("g", 2),
    Forget("r"),
)
_MESSAGES = 6


def _ask_cursors(rows: list[Row]) -> None:
    """Fold the records, look at all names, choose for each group, and act on what is parked."""
    _, effects = _disk()
    messages = _journal(effects, f"{HOME}/messages", [_message_row(at) for at in range(_MESSAGES)])
    log = CursorLog(_journal(effects, f"{HOME}/cursors", rows), messages)
    try:
        for ask in (_look, CursorLog.reconcile, _choose, _resolve, CursorLog.append_due_state):
            try:
                ask(log)
            except AuroraError:
                continue
    finally:
        log.close()


def _message_row(at: int) -> Row:
    return (None, None, "str", encode_payload(f"message {at}"))


def _look(log: CursorLog) -> None:
    for name in look(log, HOME).names:
        if name.kind == GROUP:
            for parked in parked_in(log, name.name):
                assert parked.message.position


def _choose(log: CursorLog) -> None:
    for name, state in log.names().items():
        if state.kind == GROUP:
            options: dict[str, Any] = {"last_position": _MESSAGES, "attempts_max": 3}
            found = choose(state, lambda _: None, now=_TIME, count=4, **options)
            next_time(state, _TIME)
            if found is not None:
                log.append(draft_of(Claim(name, "j", _TIME, *found)))
                log.refresh()


def _resolve(log: CursorLog) -> None:
    for name, state in log.names().items():
        if state.kind == GROUP:
            resolve(log, name, None, action="redeliver")
            log.forget(name)


def _cursor_record(data: bytes) -> None:
    at, data = _chosen(data, len(RECORDS))
    rows = [draft_of(record).rows[0] for record in RECORDS]
    rows[at] = (*rows[at][:3], edited(rows[at][3], data))
    _ask_cursors(rows)


def _cursor_state(data: bytes) -> None:
    state = CursorState(state_version=1)
    for state.as_of, record in enumerate(RECORDS[:-2], 1):
        fold(state, record)
    rows = [draft_of(record).rows[0] for record in RECORDS[:-2]]
    ((originator, version, _, body),) = state_draft(encode_state(state), 1).rows
    rows.append((originator, version, STATE_TOPIC, edited(body, data)))
    _ask_cursors([*rows, draft_of(RECORDS[-2]).rows[0]])


class _Body(msgspec.Struct):
    """A message's own type."""

    names: list[str]
    amount: float
    near: tuple[int, str] | None
    more: Any


def _message(data: bytes) -> None:
    body = edited(encode_payload(_Body(["a", "b"], 1.5, (1, "x"), {"k": [1, b"2", None]})), data)
    for kind, name in ((None, "_Body"), (_Body, "_Body"), (_Body | int, "int"), (bytes, "bytes")):
        try:
            decode_body(kind, name, body, 1)
        except AuroraError:
            continue


# States of events

_EVENT = {
    "timestamp": 1.5,
    "id": UUID(int=5),
    "pair": (1, (2, "x")),
    "large": 1 << 70,
    "names": ["a", {"b": None, "c": b"d"}],
}


def _event_state(data: bytes) -> None:
    """An event's state, as the mapper and as a person read it."""
    at, data = _chosen(data, 2)
    transcoder = JSONTranscoder()
    state = StateCoder(transcoder).encode(_EVENT) if at else b'{"a": [1, {"b": null}]}'
    state = edited(state, data)
    mapper: MsgpackMapper[UUID] = MsgpackMapper(transcoder)
    with suppress(MapperDeserialisationError):
        mapper.to_domain_event(StoredEvent(UUID(int=1), 1, get_topic(DomainEvent), state))
    shown = show_state(Record(topic="t", state=state))
    assert isinstance(shown.text, str)
    msgspec.json.decode(bytes(shown.value))


# Moving

_ROWS: list[Row] = [
    (UUID(int=1).bytes, 1, "t", b'{"a":1}'),
    ("name", 2, "t", b"\xff\x00"),
    (None, None, "t", b"x", ("tag",), UUID(int=2).bytes, {"k": [1]}),
]


class _Lines(NamedTuple):
    header: bytes
    body: bytes


def _lines() -> _Lines:
    page = Page("events", _ROWS[:2], [1, 5])
    stream = io.BytesIO()
    target = JsonLines(stream)
    target.append(page)
    target.append(Page("snapshots", _ROWS[2:]))
    digests = {"events": Digest("events"), "snapshots": Digest("snapshots")}
    digests["events"].add(_ROWS[:2])
    digests["snapshots"].add(_ROWS[2:])
    end = encode_end(
        {name: digest.count for name, digest in digests.items()},
        {name: digest.text() for name, digest in digests.items()},
    )
    return _Lines(
        encode_header("Bank"), stream.getvalue() + encode_tracked("events", {"Bank": 4}) + end
    )


_WHOLE = _lines()


def _json_lines(data: bytes) -> None:
    """Read lines as a source; go on writing behind them as a target."""
    content = edited(_WHOLE.header + _WHOLE.body, data)
    try:
        for item in JsonLines(io.BytesIO(content)).stream():
            assert item.part
    except AuroraError:
        pass
    _, effects = _disk()
    path = f"{HOME}/export"
    replace_file(effects.files, path, _WHOLE.header + edited(_WHOLE.body, data), draft=path + "+")
    target = JsonLines(path, effects=effects)
    try:
        target.open_target("Bank", is_process=False)
        target.append(Page("events", _ROWS[:1], [9]))
        target.finish({}, {})
    except AuroraError:
        pass
    finally:
        target.close()


def _stretch(data: bytes) -> None:
    _, effects = _disk()
    _journal(effects, f"{HOME}/{EVENTS}", [_message_row(at) for at in range(_MESSAGES)]).close()
    at, data = _chosen(data, 3)
    states = [msgspec.json.encode(Stretch(at, 3 * at)) for at in (1, 3, 5)]
    states[at] = edited(states[at], data)
    rows: list[Row] = [(None, None, "aurora_es.moving:Stretch", state) for state in states]
    _journal(effects, f"{HOME}/source_ids", rows).close()
    for source_id in (0, 4, 10, 1 << 63):
        try:
            assert 0 <= position_in(effects, HOME, source_id) <= _MESSAGES
        except AuroraError:
            continue


# Care

_BACKUP = BackupReport(
    path="/store",
    target=HOME,
    directory="0000000001",
    created_at=_TIME,
    journals=(BackedUpJournal(path="events", genesis_id="00" * 16, epoch=1, position=5, commit=3),),
)


def _backup_record(data: bytes) -> None:
    disk, _ = _disk()
    files = CrashableFiles(disk)
    content = edited(msgspec.json.encode(_BACKUP), data)
    replace_file(files, f"{HOME}/{RECORD}", content, draft=f"{HOME}/{RECORD}+")
    try:
        found = read_record(files, HOME)
    except AuroraError:
        return
    assert found is not None
    for one in found.journals:
        assert not one.path.startswith("/")
        assert ".." not in one.path.split("/")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "change of a view": _change,
    "checkpoint of a view": _checkpoint,
    "record of cursors": _cursor_record,
    "state of cursors": _cursor_state,
    "message": _message,
    "state of an event": _event_state,
    "lines of JSON": _json_lines,
    "stretch of ids": _stretch,
    "record of a backup": _backup_record,
}
