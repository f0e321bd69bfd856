"""SQLite to journals to JSON lines to journals to SQLite: what comes back is what left."""

from __future__ import annotations

import tempfile
from pathlib import Path
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_es import Journal, Record, Sync
from aurora_es.moving import JsonLines, SqliteFile, TargetError, export_events, import_events
from tests.moving.sides import (
    ORDER,
    OTHER,
    Contents,
    events,
    make_sqlite,
    read_sqlite,
    read_store,
)

# SQLite and JSON hold text that UTF-8 can encode.
CHARACTERS = st.characters(codec="utf-8")
TEXTS = st.text(CHARACTERS, min_size=1, max_size=20)
JSON_STATES = st.sampled_from(
    [
        b"{}",
        b'{"a":1.00,"b":[1e5,-0.0]}',
        b' {"a":1}',
        b'{"a":1}\n',
        b'{"a":\n1}',
        b'"\xc3\xa9"',
        b'"\xff"',
        b"1,2",
        b"null",
        b"",
        b"[1",
        b"2]",
        b'"\\ud800"',
        b"NaN",
        b'{"base64":"AA=="}',
        b'{"a":1,"a":2}',
        b"12345678901234567890123456789",
        b"[" * 2000 + b"]" * 2000,
    ]
)
STATES = st.one_of(st.binary(max_size=40), JSON_STATES)
SNAPSHOT = StoredEvent(ORDER, 7, "shop:Snapshot", b'{"at": 7}')


def _events(originator_id_type: str) -> st.SearchStrategy[list[StoredEvent]]:
    ids = st.sampled_from([ORDER, OTHER]) if originator_id_type == "uuid" else TEXTS
    return st.lists(
        st.builds(StoredEvent, ids, st.integers(-(1 << 63), (1 << 63) - 1), TEXTS, STATES),
        max_size=30,
        unique_by=lambda event: (event.originator_id, event.originator_version),
    )


def _expected(stored: list[StoredEvent], tracking: dict[str, int]) -> Contents:
    return Contents(
        [
            (at, event.originator_id, event.originator_version, event.topic, event.state)
            for at, event in enumerate(stored, 1)
        ],
        [(ORDER, 7, "shop:Snapshot", b'{"at": 7}')],
        tracking,
    )


def _travel(directory: Path, path: Path, kind: str) -> Path:
    """Move a database to the end of the journey; every report has the same digests."""
    first = import_events(SqliteFile(path, originator_id_type=kind), directory / "a" / "Shop")
    lines = export_events(directory / "a" / "Shop", JsonLines(directory / "lines"))
    second = import_events(JsonLines(directory / "lines"), directory / "b" / "Shop")
    back = directory / "back.db"
    last = export_events(directory / "b" / "Shop", SqliteFile(back, originator_id_type=kind))
    reports = [first, lines, second, last]
    assert all(report.verified and report.durable for report in reports)
    assert (
        len({tuple((p.part, p.count, p.digest) for p in report.parts) for report in reports}) == 1
    )
    return back


@given(
    stored=_events("uuid"),
    tracking=st.dictionaries(TEXTS, st.integers(1, (1 << 63) - 1), max_size=3),
)
@settings(max_examples=25)
def test_a_round_trip_changes_nothing(stored: list[StoredEvent], tracking: dict[str, int]) -> None:
    """Whatever is in a database: it comes back, with ids, snapshots and tracking records."""
    tracking.pop("__migration__", None)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = make_sqlite(
            directory / "shop.db", stored, snapshots=[SNAPSHOT], tracking=tracking.items()
        )
        back = _travel(directory, path, "uuid")
        expected = _expected(stored, tracking)
        assert read_store(directory / "a") == expected
        assert read_store(directory / "b") == expected
        assert read_sqlite(back) == expected


@given(stored=_events("text"))
@settings(max_examples=25)
def test_a_round_trip_with_ids_that_are_texts(stored: list[StoredEvent]) -> None:
    """Ids of an application with ORIGINATOR_ID_TYPE=text come back as the texts they were."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = directory / "shop.db"
        make_sqlite(path, stored, originator_id_type="text")
        back = _travel(directory, path, "text")
        expected = [
            (at, event.originator_id, event.originator_version, event.topic, event.state)
            for at, event in enumerate(stored, 1)
        ]
        assert read_sqlite(back, "text").notifications == expected


METADATA = st.dictionaries(
    st.text(CHARACTERS, max_size=5),
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 63), (1 << 64) - 1),
        st.floats(),
        st.binary(max_size=5),
        st.text(CHARACTERS, max_size=5),
        st.lists(st.integers(0, 3), max_size=2),
    ),
    max_size=3,
)
RECORDS = st.lists(
    st.builds(
        Record,
        topic=TEXTS,
        state=STATES,
        tags=st.lists(TEXTS, max_size=2).map(tuple),
        uuid=st.one_of(st.none(), st.uuids()),
        metadata=st.one_of(st.none(), METADATA),
    ),
    min_size=1,
    max_size=15,
)


@given(records=RECORDS)
@settings(max_examples=50)
def test_json_lines_keep_all_that_a_record_has(records: list[Record]) -> None:
    """Tags, uuids and metadata, of DCB events and others, come back bit by bit."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for part in ("dcb", "events"):
            (directory / "a" / "Shop").mkdir(parents=True, exist_ok=True)
            with Journal.open(directory / "a" / "Shop" / part, sync=Sync.NEVER) as journal:
                journal.append(records)
        export_events(directory / "a" / "Shop", JsonLines(directory / "lines"))
        (directory / "lines").read_text("utf-8")  # is UTF-8, whatever the states are
        import_events(JsonLines(directory / "lines"), directory / "b" / "Shop")
        for part in ("dcb", "events"):
            with Journal.open(directory / "b" / "Shop" / part, read_only=True) as journal:
                # By their text, since NaN is not equal to itself, and 1 is equal to True.
                found = [repr(stored.record) for stored in journal.read()]
            assert found == [repr(record) for record in records]


def test_texts_that_look_like_uuids_stay_texts(tmp_path: Path) -> None:
    """JSON lines tell the text of a UUID from the UUID."""
    looks_like_one = str(UUID(int=5))
    (tmp_path / "a").mkdir()
    with Journal.open(tmp_path / "a" / "events") as journal:
        journal.append(
            [
                Record(topic="t", state=b"", originator_id=looks_like_one, originator_version=1),
                Record(topic="t", state=b"", originator_id=UUID(int=6), originator_version=1),
            ]
        )
    export_events(tmp_path / "a", JsonLines(tmp_path / "lines"))
    import_events(JsonLines(tmp_path / "lines"), tmp_path / "b")
    with Journal.open(tmp_path / "b" / "events", read_only=True) as journal:
        assert [stored.record.originator_id for stored in journal.read()] == [
            looks_like_one,
            UUID(int=6),
        ]


def test_what_sqlite_cannot_hold_is_refused_or_left_out(tmp_path: Path) -> None:
    """Metadata is not dropped unless that is asked for, and then it is counted."""
    (tmp_path / "Shop").mkdir()
    with Journal.open(tmp_path / "Shop" / "events") as journal:
        journal.append(
            [
                Record(
                    topic="t",
                    state=b"{}",
                    originator_id=ORDER,
                    originator_version=1,
                    metadata={"by": "Zoë"},
                )
            ]
        )
    with pytest.raises(TargetError, match="without-extras"):
        export_events(tmp_path / "Shop", SqliteFile(tmp_path / "shop.db"))
    report = export_events(tmp_path / "Shop", SqliteFile(tmp_path / "shop.db"), without_extras=True)
    assert report.parts[0].extras_left_out == 1
    assert read_sqlite(tmp_path / "shop.db").notifications == [(1, ORDER, 1, "t", b"{}")]


def test_an_aggregate_recorders_table_is_moved_in_the_order_of_its_key(tmp_path: Path) -> None:
    """A table without notification ids can be moved, too."""
    path = make_sqlite(tmp_path / "shop.db", [], snapshots=events(9))
    source = SqliteFile(path, events_table="stored_snapshots", snapshots_table="none")
    import_events(source, tmp_path / "store" / "Shop")
    with Journal.open(tmp_path / "store" / "Shop" / "events", read_only=True) as journal:
        found = [
            (stored.record.originator_id, stored.record.originator_version)
            for stored in journal.read()
        ]
    assert found == sorted((event.originator_id, event.originator_version) for event in events(9))
