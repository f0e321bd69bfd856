"""Data that no application has written, and targets that are not as they should be.

What cannot be moved is refused by an error that says which row it is and how to go on; and once the
source is mended, the same call goes on and moves all of it.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.popo import POPOProcessRecorder
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_es import AuroraError, Journal, Record
from aurora_es.moving import (
    JsonLines,
    LibraryRecorders,
    NotMovedError,
    SourceError,
    SqliteFile,
    TargetError,
    export_events,
    import_events,
    library_recorders,
    pages,
)
from aurora_es.moving.json_lines_format import BadLineError, LineCoder
from aurora_es.moving.pages import Page, bounded
from aurora_es.moving.row_checks import check_rows
from tests.cli.support import COMMAND, environment, refused, run
from tests.moving.sides import ORDER, OTHER, events, execute, make_sqlite, read_sqlite, read_store

LINE = (
    b'{"part":"events","id":%d,"originator_id":"a","originator_version":%d,"topic":"t","state":1}\n'
)


def _store(tmp_path: Path, count: int) -> Path:
    """A store of so many events."""
    path = make_sqlite(tmp_path / f"{count}.db", events(count))
    import_events(SqliteFile(path), tmp_path / f"store{count}" / "Shop")
    return tmp_path / f"store{count}" / "Shop"


# Sources


@pytest.mark.parametrize("version", [1 << 63, -(1 << 63) - 1, 1 << 64, 1 << 70])
def test_versions_of_more_than_64_bits_are_refused(tmp_path: Path, version: int) -> None:
    """Some of them could be written, and never be read again."""
    lines = tmp_path / "lines"
    lines.write_bytes(LINE % (1, 1) + LINE % (2, version))
    for dry_run in (True, False):
        with pytest.raises(SourceError, match=r"line 2: .*cannot be read"):
            import_events(JsonLines(lines), tmp_path / "store" / "Shop", dry_run=dry_run)
    lines.write_bytes(LINE % (1, 1) + LINE % (2, 2))
    assert import_events(JsonLines(lines), tmp_path / "store" / "Shop").parts[0].count == 2


def test_ids_of_more_than_63_bits_are_refused(tmp_path: Path) -> None:
    """No follower could have them."""
    (tmp_path / "lines").write_bytes(LINE % (1, 1) + LINE % (1 << 63, 2))
    with pytest.raises(SourceError, match=r"line 2: .*cannot be read"):
        import_events(JsonLines(tmp_path / "lines"), tmp_path / "s" / "Shop", gaps="renumber")


@pytest.mark.parametrize("version", [1 << 63, -(1 << 63) - 1, 1 << 70])
def test_versions_of_recorders_are_checked_as_well(version: int) -> None:
    """Recorders that keep what they are given hold any version, and any id."""
    rows: list[Any] = [(None, None, "t", b""), (ORDER.bytes, version, "t", b"")]
    with pytest.raises(SourceError, match=r"signed 64 bits, found .* with id 2"):
        check_rows("source", Page("events", rows, [1, 2]))
    rows = [(ORDER.bytes, 1, "t", b"")]
    with pytest.raises(SourceError, match="notification ids of at most"):
        check_rows("source", Page("events", rows, [1 << 63]))


def test_versions_that_come_twice_are_named(tmp_path: Path) -> None:
    """In one page and in two; the error says where the first one is."""
    path, target = tmp_path / "shop.db", tmp_path / "store" / "Shop"
    make_sqlite(path, events(3))
    # As a table that somebody else has made lets them be.
    execute(
        path,
        "CREATE TABLE own (originator_id TEXT, originator_version INTEGER, topic TEXT, state BLOB)",
    )
    execute(path, "INSERT INTO own SELECT * FROM stored_events")
    import_events(SqliteFile(path, events_table="own"), target)
    execute(path, "INSERT INTO own SELECT * FROM own WHERE rowid = 2")
    with pytest.raises(
        SourceError, match=r"once \(this one is at position 2\), found .* with id 4"
    ):
        import_events(SqliteFile(path, events_table="own"), target)
    other = tmp_path / "other" / "Shop"
    with pytest.raises(SourceError, match=r"once, found .* with id 4"):
        import_events(SqliteFile(path, events_table="own"), other)
    execute(path, "DELETE FROM own WHERE rowid = 4")
    assert import_events(SqliteFile(path, events_table="own"), other).verified


def test_an_id_with_blanks_is_no_uuid(tmp_path: Path) -> None:
    """As many characters as a UUID has digits, and fewer digits."""
    path = make_sqlite(tmp_path / "shop.db", events(3))
    odd = "00 " * 10 + "00"
    assert len(odd) == 32
    execute(path, "UPDATE stored_events SET originator_id = ? WHERE rowid = 2", odd)
    with pytest.raises(SourceError, match="rowid 2: expected an originator_id that is a UUID"):
        import_events(SqliteFile(path), tmp_path / "store" / "Shop")


def test_a_state_beyond_the_limit_is_named(tmp_path: Path) -> None:
    """The row is named, in a dry run, too; what is before it is kept, and the rest comes later."""
    path = make_sqlite(
        tmp_path / "shop.db", [*events(3), StoredEvent(ORDER, 99, "t", bytes(1 << 24))]
    )
    for dry_run in (True, False):
        with pytest.raises(SourceError, match=r"at most 16777216 bytes, found .* with id 4"):
            import_events(SqliteFile(path), tmp_path / "store" / "Shop", dry_run=dry_run)
    execute(path, "UPDATE stored_events SET state = zeroblob(16777000) WHERE rowid = 4")
    target = tmp_path / "store" / "Shop"
    assert import_events(SqliteFile(path), target).verified
    export_events(target, JsonLines(tmp_path / "lines"))
    import_events(JsonLines(tmp_path / "lines"), tmp_path / "again" / "Shop")
    export_events(tmp_path / "again" / "Shop", SqliteFile(tmp_path / "back.db"))
    assert read_sqlite(tmp_path / "back.db") == read_sqlite(path)


def test_texts_of_no_length_and_with_nul(tmp_path: Path) -> None:
    """Empty ids, topics, states and names, and NUL characters, come back as they were."""
    stored = [
        StoredEvent("", 0, "", b""),
        StoredEvent("a\0b", -1, "t\0", b"\0"),
        StoredEvent("\0", 1, "\x7f\x80\u2028", b"\xff\xfe"),
    ]
    path = tmp_path / "shop.db"
    make_sqlite(
        path,
        stored,
        snapshots=[StoredEvent("", 0, "", b""), StoredEvent("a\0b", -1, "\0", b"")],
        tracking=[("", 1), ("a\0b", 2)],
        originator_id_type="text",
    )
    expected = read_sqlite(path, "text")
    assert (len(expected.notifications), expected.tracking) == (3, {"": 1, "a\0b": 2})
    import_events(SqliteFile(path, originator_id_type="text"), tmp_path / "a" / "Shop")
    assert read_store(tmp_path / "a", ORIGINATOR_ID_TYPE="text") == expected
    export_events(tmp_path / "a" / "Shop", JsonLines(tmp_path / "lines"))
    import_events(JsonLines(tmp_path / "lines"), tmp_path / "b" / "Shop")
    back = SqliteFile(tmp_path / "back.db", originator_id_type="text")
    export_events(tmp_path / "b" / "Shop", back)
    assert read_sqlite(tmp_path / "back.db", "text") == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (b'"metadata":{"a":1},"metadata_base64":"gA=="', "found both"),
        (b'"metadata_base64":""', "map in MessagePack"),
        (b'"metadata_base64":"gQEB"', "map in MessagePack"),
        (b'"metadata_base64":"gaFhgQEB"', "keys of type str"),
        (b'"metadata":{"a":' + b"[" * 65 + b"]" * 65 + b"}", "at most 64 levels"),
        (b'"metadata":{"a":18446744073709551616}', "metadata that a record can have"),
        (b'"originator_id_type":"uuid"', "cannot be read"),
        (b'"tracking":{"part":"events","ids":{}}', "on lines of their own"),
        (b'"tags":["\\ud800"]', "cannot be read"),
    ],
)
def test_lines_that_would_lose_something_are_refused(more: bytes, expected: str) -> None:
    """Nothing of a line is dropped unseen, and nothing is written that cannot be read again."""
    line = (
        b'{"part":"events","id":1,"originator_id":"a","originator_version":1,"topic":"t","state":1,'
    )
    with pytest.raises(BadLineError, match=expected):
        LineCoder().decode(line + more + b"}")


# Sources through the library's interfaces


class _Slow(LibraryRecorders):
    """Recorders of the library whose application is at work: something is recorded meanwhile."""

    meanwhile: Any = None

    def _last_id(self) -> int:
        last = super()._last_id()
        if self.meanwhile is not None:
            self.meanwhile(self._recorder)
        return last


def _popo(events_count: int, state: bytes = b"{}") -> POPOProcessRecorder:
    recorder = POPOProcessRecorder()
    recorder.insert_events(
        [StoredEvent(OTHER, at, "t", state) for at in range(events_count)],
        tracking=Tracking("Up", 1),
    )
    return recorder


def _sqlite(path: Path) -> dict[str, str]:
    return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}


def test_tracking_records_are_never_ahead_of_the_events(tmp_path: Path) -> None:
    """Where the application records meanwhile, both are of one moment: none is missing for ever."""
    path = make_sqlite(tmp_path / "shop.db", events(3), tracking=[("Up", 7)])
    source = _Slow(_sqlite(path), "Shop", ["Up"])
    reached = [7]

    def meanwhile(recorder: Any) -> None:
        if reached[0] < 9:
            reached[0] += 1
            event = StoredEvent(ORDER, 90 + reached[0], "t", b"")
            recorder.insert_events([event], tracking=Tracking("Up", reached[0]))

    source.meanwhile = meanwhile
    report = import_events(source, tmp_path / "store" / "Shop")
    assert (report.parts[0].count, report.tracking) == (5, {"Up": 9})


def test_an_application_that_never_rests_is_told(tmp_path: Path) -> None:
    """Rather than moving what does not belong together."""
    path = make_sqlite(tmp_path / "shop.db", events(3), tracking=[("Up", 1)])
    source = _Slow(_sqlite(path), "Shop", ["Up"])
    reached = iter(range(2, 1000))
    source.meanwhile = lambda recorder: recorder.insert_tracking(Tracking("Up", next(reached)))
    with pytest.raises(SourceError, match="Stop the application"):
        import_events(source, tmp_path / "store" / "Shop")
    assert not (tmp_path / "store").exists()


def test_an_application_without_snapshots_is_moved(tmp_path: Path) -> None:
    """Its database has no table of snapshots, as that of most applications."""
    path = make_sqlite(tmp_path / "shop.db", events(3))
    execute(path, "DROP TABLE stored_snapshots")
    source = LibraryRecorders(_sqlite(path), "Shop")
    assert import_events(source, tmp_path / "store" / "Shop").parts[0].count == 3


def test_states_of_any_size_come_in_pages_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of the interfaces is a number of rows, which together may be more than a commit."""
    monkeypatch.setattr(pages, "BYTES_MAX", 1000)
    monkeypatch.setattr(library_recorders, "BYTES_MAX", 1000)
    path = make_sqlite(
        tmp_path / "shop.db", [StoredEvent(ORDER, at, "t", bytes(300)) for at in range(40)]
    )
    sizes = []

    class Watched(LibraryRecorders):
        def _asked(self, *arguments: Any, **more: Any) -> list[Any]:
            found = super()._asked(*arguments, **more)
            sizes.append(len(found))
            return found

    report = import_events(Watched(_sqlite(path), "Shop"), tmp_path / "store" / "Shop")
    assert report.parts[0].count == 40
    assert sizes[0] == 16
    assert max(sizes[1:]) == 16  # of the walks that begin anew
    assert sizes.count(3) > 10


@given(st.lists(st.integers(0, 30), max_size=20), st.booleans())
@settings(max_examples=100)
def test_bounded_pages_are_the_page(sizes: list[int], has_ids: bool) -> None:  # noqa: FBT001
    """In order, none of them empty, none with more than one row behind the bound."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "BYTES_MAX", 25)
        rows = [(None, None, str(at), bytes(size)) for at, size in enumerate(sizes)]
        ids = list(range(1, len(rows) + 1)) if has_ids else None
        found = list(bounded(Page("events", list(rows), ids)))
    assert [row for page in found for row in page.rows] == rows
    assert all(page.rows and sum(len(row[3]) for row in page.rows[:-1]) < 25 for page in found)
    if has_ids:
        assert [at for page in found for at in page.ids or ()] == ids


# Targets


def test_a_target_with_events_is_refused_where_the_source_has_none(tmp_path: Path) -> None:
    """An export of nothing does not call it a success that something else is there."""
    empty = tmp_path / "none" / "Shop"
    import_events(SqliteFile(make_sqlite(tmp_path / "none.db", [])), empty)
    full = _store(tmp_path, 5)
    export_events(full, SqliteFile(tmp_path / "back.db"))
    export_events(full, JsonLines(tmp_path / "lines"))
    before = (tmp_path / "lines").read_bytes()
    for target in (SqliteFile(tmp_path / "back.db"), JsonLines(tmp_path / "lines")):
        with pytest.raises(TargetError, match="expected no events, as the source has none"):
            export_events(empty, target)
    assert (tmp_path / "lines").read_bytes() == before
    with pytest.raises(TargetError, match="expected no events"):
        import_events(SqliteFile(tmp_path / "none.db"), full)


def test_an_empty_source_is_said_to_be_empty(tmp_path: Path) -> None:
    """The command tells a count where there is nothing, too."""
    make_sqlite(tmp_path / "none.db", [])
    done = run("import", "sqlite", tmp_path / "none.db", tmp_path / "store" / "Shop")
    assert done.stdout.startswith("0 events: nothing is in the source\n")
    assert (tmp_path / "store" / "Shop" / "events").is_dir()


def test_an_empty_directory_is_no_application(tmp_path: Path) -> None:
    """Made beforehand, it is taken by the import as a whole: nobody finds half of it."""
    path = make_sqlite(tmp_path / "shop.db", events(5))
    target = tmp_path / "store" / "Shop"
    target.mkdir(parents=True)

    class Looking(SqliteFile):
        def stream(self) -> Iterator[Any]:
            for item in super().stream():
                yield item
                assert not list(target.iterdir())

    assert import_events(Looking(path), target).verified
    assert read_store(target.parent) == read_sqlite(path)


def test_an_application_that_is_made_meanwhile_is_told(tmp_path: Path) -> None:
    """What was imported stays beside it, whole; out of the way, the next call gives the name."""
    path = make_sqlite(tmp_path / "shop.db", events(5))
    target = tmp_path / "store" / "Shop"

    class Meanwhile(SqliteFile):
        def stream(self) -> Iterator[Any]:
            yield from super().stream()
            if not target.exists():
                target.mkdir()
                with Journal.open(target / "events") as journal:
                    journal.append([Record(topic="t", state=b"")])

    with pytest.raises(TargetError, match="made during the import"):
        import_events(Meanwhile(path), target)
    target.rename(tmp_path / "aside")
    assert import_events(SqliteFile(path), target).parts[0].moved == 0
    assert read_store(target.parent) == read_sqlite(path)


def test_a_database_of_something_else_is_no_target(tmp_path: Path) -> None:
    """The error is one of the target, and speaks of the export."""
    store = _store(tmp_path, 3)
    execute(tmp_path / "other.db", "CREATE TABLE stored_events (something TEXT)")
    with pytest.raises(TargetError, match="export sqlite"):
        export_events(store, SqliteFile(tmp_path / "other.db"))


def test_tracking_records_that_a_database_refuses_are_told(tmp_path: Path) -> None:
    """As on a full disk at the very end: the same call goes on there."""
    path = make_sqlite(tmp_path / "shop.db", events(3), tracking=[("Up", 42)])
    import_events(SqliteFile(path), tmp_path / "store" / "Shop")
    back = make_sqlite(tmp_path / "back.db", [])
    execute(
        back,
        "CREATE TRIGGER full BEFORE INSERT ON tracking BEGIN SELECT RAISE(FAIL, 'is full'); END",
    )
    with pytest.raises(TargetError, match=r"is full.*export sqlite"):
        export_events(tmp_path / "store" / "Shop", SqliteFile(back))
    execute(back, "DROP TRIGGER full")
    report = export_events(tmp_path / "store" / "Shop", SqliteFile(back))
    assert (report.parts[0].moved, report.tracking) == (0, {"Up": 42})
    assert read_sqlite(back) == read_sqlite(path)


def test_a_full_database_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """SQLite's own bound stands for the disk: no half page, and all of it afterwards."""
    store = _store(tmp_path, 5_000)
    back = tmp_path / "back.db"

    class Small(SqliteFile):
        def _connect(self, mode: str) -> None:
            super()._connect(mode)
            assert self._connection is not None
            self._connection.execute("PRAGMA max_page_count = 30")

    with pytest.raises(TargetError, match=r"full.*export sqlite` again"):
        export_events(store, Small(back))
    assert export_events(store, SqliteFile(back)).verified
    assert read_sqlite(back) == read_sqlite(tmp_path / "5000.db")


def test_a_database_that_somebody_reads_is_not_whole_by_itself(tmp_path: Path) -> None:
    """What lies beside it is said to be needed; when the reader is gone, the file is all."""
    store, back = _store(tmp_path, 50), make_sqlite(tmp_path / "back.db", [])
    reader = sqlite3.connect(back, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM stored_events").fetchall()

    class Impatient(SqliteFile):
        def _connect(self, mode: str) -> None:
            super()._connect(mode)
            assert self._connection is not None
            self._connection.execute("PRAGMA busy_timeout = 10")

    with pytest.raises(TargetError, match=r"back.db-wal"):
        export_events(store, Impatient(back))
    reader.close()
    assert export_events(store, SqliteFile(back)).parts[0].moved == 0


def test_recorders_as_targets_say_what_they_can(tmp_path: Path) -> None:
    """How durable they are is theirs to say; what they refuse is told with the way on."""
    store = _store(tmp_path, 5)
    topic = "eventsourcing.sqlite"
    done = run("export", "recorder", topic, store, SQLITE_DBNAME=str(tmp_path / "back.db"))
    assert "read back and the same, as durable as its recorders are" in done.stdout
    report = export_events(store, LibraryRecorders(_sqlite(tmp_path / "back.db"), "Shop"))
    assert (report.verified, report.durable) == (True, False)
    path = make_sqlite(tmp_path / "shop.db", events(5), tracking=[("Up", 42)])
    import_events(SqliteFile(path), tmp_path / "tracking" / "Shop")
    execute(
        make_sqlite(tmp_path / "full.db", []),
        "CREATE TRIGGER full BEFORE INSERT ON tracking BEGIN SELECT RAISE(FAIL, 'is full'); END",
    )
    with pytest.raises(TargetError, match=r"is full.*export recorder` again"):
        export_events(
            tmp_path / "tracking" / "Shop", LibraryRecorders(_sqlite(tmp_path / "full.db"), "Shop")
        )


def test_what_the_operating_system_refuses_says_how_to_go_on(tmp_path: Path) -> None:
    """A path through a file, and an output that is full, end with a typed error and a cure."""
    store = _store(tmp_path, 5)
    (tmp_path / "file").write_text("text")
    with pytest.raises(AuroraError, match="import` again"):
        import_events(SqliteFile(tmp_path / "5.db"), tmp_path / "file" / "Shop")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "export", "jsonl", "-", str(store)],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert re.search(r"space.*export` again", done.stderr)
    assert done.stderr.count("\n") == 1
    message = refused(1, "export", "jsonl", tmp_path / "file" / "lines", store)
    assert "export` again" in message


def test_a_store_that_lost_its_beginning_is_refused_where_that_is_there(tmp_path: Path) -> None:
    """The same call never calls two different sources the same."""
    store = _store(tmp_path, 5)
    export_events(store, JsonLines(tmp_path / "lines"))
    other = make_sqlite(tmp_path / "other.db", events(4, 2))
    import_events(SqliteFile(other), tmp_path / "other" / "Shop")
    with pytest.raises((TargetError, NotMovedError)):
        export_events(tmp_path / "other" / "Shop", JsonLines(tmp_path / "lines"))


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "directory", "device"])
def test_what_is_no_file_is_never_replaced(tmp_path: Path, kind: str) -> None:
    """A device, and /dev/stdout, which is a link, stay what they are."""
    store, place, other = _store(tmp_path, 3), tmp_path / "place", tmp_path / "other"
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    elif kind == "device":
        if os.geteuid():
            pytest.skip("only root makes devices")
        os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    else:
        place.symlink_to(other)
        if kind == "link":
            other.write_bytes(b"")
    before = place.lstat()
    with pytest.raises(TargetError, match="export jsonl -"):
        export_events(store, JsonLines(place))
    assert (place.lstat().st_ino, place.lstat().st_mode) == (before.st_ino, before.st_mode)
    if kind != "dangling":
        with pytest.raises(SourceError, match="import jsonl -"):
            import_events(JsonLines(place), tmp_path / "store" / "Shop")
