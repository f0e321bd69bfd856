"""From and to the library's PostgreSQL recorders; where no server runs, all is skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import StoredEvent, Tracking

from aurora_es import AuroraConfigurationError
from aurora_es.moving import (
    GapsError,
    PostgresDatabase,
    SourceError,
    SqliteFile,
    TargetError,
    export_events,
    import_events,
    library_tables,
    position_of_source_id,
)
from aurora_es.moving import postgres_database as postgres_module
from tests.cli.support import run
from tests.moving.sides import ORDER, OTHER, events, make_sqlite, read_sqlite, read_store
from tests.postgres import Server, open_server

SNAPSHOTS = [StoredEvent(ORDER, 7, "s", b"7"), StoredEvent(OTHER, 3, "s", b"\xff")]


@pytest.fixture
def server() -> Iterator[Server]:
    """A schema of its own."""
    made = open_server()
    yield made
    made.close()


def _fill(server: Server, count: int = 10) -> None:
    with server.factory() as factory:
        recorder = factory.process_recorder()
        recorder.insert_events(events(count), tracking=Tracking("Up", 42))
        factory.aggregate_recorder("snapshots").insert_events(SNAPSHOTS)


def test_a_round_trip_through_postgres(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite to journals to PostgreSQL to journals: all is there, page by page."""
    monkeypatch.setattr(library_tables, "ROWS_MAX", 4)
    path = make_sqlite(tmp_path / "shop.db", events(18), snapshots=SNAPSHOTS, tracking=[("Up", 42)])
    first = import_events(SqliteFile(path), tmp_path / "a" / "Shop")
    second = export_events(tmp_path / "a" / "Shop", server.database())
    again = export_events(tmp_path / "a" / "Shop", server.database())
    third = import_events(server.database(), tmp_path / "b" / "Shop")
    assert [part.moved for part in again.parts] == [0, 0]
    assert len({tuple((p.count, p.digest) for p in r.parts) for r in (first, second, third)}) == 1
    assert read_store(tmp_path / "b") == read_sqlite(path)
    with server.factory() as factory:
        recorder = factory.process_recorder()
        assert recorder.max_tracking_id("Up") == 42
        # What the application records next gets the next id.
        assert recorder.insert_events([StoredEvent(ORDER, 99, "t", b"")]) == [19]


def test_texts_as_ids(tmp_path: Path, server: Server) -> None:
    """Applications with ORIGINATOR_ID_TYPE=text are moved as well."""
    stored = [StoredEvent("order-ü", 1, "t", b"1"), StoredEvent(str(ORDER), 1, "t", b"2")]
    path = make_sqlite(tmp_path / "shop.db", stored, originator_id_type="text")
    import_events(SqliteFile(path, originator_id_type="text"), tmp_path / "a" / "Shop")
    export_events(tmp_path / "a" / "Shop", server.database("text"))
    import_events(server.database("text"), tmp_path / "b" / "Shop")
    assert [row[1:] for row in read_store(tmp_path / "b").notifications] == [
        (event.originator_id, event.originator_version, event.topic, event.state)
        for event in stored
    ]
    with pytest.raises(TargetError, match="--originator-id-type text"):
        export_events(tmp_path / "a" / "Shop", PostgresDatabase(server.dsn, schema=server.schema))


def test_gaps_of_a_sequence(tmp_path: Path, server: Server) -> None:
    """An insert that was rolled back has left a gap, as ordinary life does."""
    _fill(server)
    server.execute("SELECT nextval('shop_events_notification_id_seq')")
    with server.factory() as factory:
        factory.process_recorder().insert_events([StoredEvent(ORDER, 99, "t", b"")])
    with pytest.raises(GapsError, match="id 11 of events, found 12"):
        import_events(server.database(), tmp_path / "store" / "Shop")
    import_events(server.database(), tmp_path / "store" / "Shop", gaps="renumber")
    assert position_of_source_id(tmp_path / "store" / "Shop", 12) == 11


def test_bad_rows_and_missing_tables(tmp_path: Path, server: Server) -> None:
    """NULLs are named, and a database without the tables is no source."""
    with pytest.raises(SourceError, match="expected a table shop_events"):
        import_events(server.database(), tmp_path / "store" / "Shop")
    assert not (tmp_path / "store").exists()
    _fill(server)
    server.execute("UPDATE shop_events SET topic = NULL WHERE notification_id = 3")
    with pytest.raises(SourceError, match="found NULL"):
        import_events(server.database(), tmp_path / "store" / "Shop")


def test_texts_that_postgres_cannot_hold(tmp_path: Path, server: Server) -> None:
    """A topic with a NUL is refused, and nothing of its page is written."""
    path = make_sqlite(tmp_path / "shop.db", [StoredEvent(ORDER, 1, "a\0b", b"")])
    import_events(SqliteFile(path), tmp_path / "a" / "Shop")
    with pytest.raises(TargetError, match=r"no NUL.*nothing of this page was written"):
        export_events(tmp_path / "a" / "Shop", server.database())


def test_tracking_records_that_postgres_cannot_hold(tmp_path: Path, server: Server) -> None:
    """What is refused at the end of an export is an error of the target, too."""
    path = make_sqlite(tmp_path / "shop.db", events(2), tracking=[("a\0b", 1)])
    import_events(SqliteFile(path), tmp_path / "a" / "Shop")
    with pytest.raises(TargetError, match="export postgres` again"):
        export_events(tmp_path / "a" / "Shop", server.database())


def test_a_dsn_may_name_a_service(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables are made where rows are written, whatever parts of the DSN are elsewhere."""
    parts = [
        f"{key.lower().removeprefix('postgres_')}={value}" for key, value in server.env.items()
    ]
    lines = [part for part in parts if not part.startswith("schema=")]
    (tmp_path / "services").write_text("\n".join(["[shop]", *lines, ""]))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    path = make_sqlite(tmp_path / "shop.db", events(3))
    import_events(SqliteFile(path), tmp_path / "a" / "Shop")
    there = PostgresDatabase("service=shop", application_name="Shop", schema=server.schema)
    assert export_events(tmp_path / "a" / "Shop", there).verified
    assert server.execute("SELECT COUNT(*) FROM shop_events").fetchall() == [(3,)]


def test_a_source_that_goes_on_is_moved_as_of_one_moment(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recorded during an import comes with the next one, tracking records as well."""
    monkeypatch.setattr(library_tables, "ROWS_MAX", 4)
    _fill(server)

    class InUse(PostgresDatabase):
        pages_count = 0

        def _page(self, statement: str, parameters: Any) -> list[tuple[Any, ...]]:
            self.pages_count += 1
            if self.pages_count == 2:
                with server.factory() as factory:
                    more = [StoredEvent(ORDER, 99, "t", b"")]
                    factory.process_recorder().insert_events(more, tracking=Tracking("Up", 43))
            return super()._page(statement, parameters)

    source = InUse(server.dsn, application_name="Shop", schema=server.schema)
    first = import_events(source, tmp_path / "store" / "Shop")
    assert (first.parts[0].count, first.tracking) == (10, {"Up": 42})
    again = import_events(server.database(), tmp_path / "store" / "Shop")
    assert (again.parts[0].moved, again.tracking) == (1, {"Up": 43})


def test_the_commands(tmp_path: Path, server: Server) -> None:
    """Tables are those of the application that PATH names, unless it is told otherwise."""
    _fill(server)
    more = ("--schema", server.schema)
    done = run("import", "postgres", server.dsn, tmp_path / "store" / "Shop", *more)
    assert done.returncode == 0, done.stderr
    assert "10 events, 10 of them moved now" in done.stdout
    done = run(
        "export", "postgres", server.dsn, tmp_path / "store" / "Shop", *more, "--application", "New"
    )
    assert done.returncode == 0, done.stderr
    assert server.execute("SELECT COUNT(*) FROM new_events").fetchall() == [(10,)]


def test_no_server_is_told(tmp_path: Path) -> None:
    """A database that cannot be reached is an error with the words of libpq; so is no psycopg."""
    source = PostgresDatabase("host=127.0.0.1 port=1 dbname=none connect_timeout=2")
    with pytest.raises((SourceError, AuroraConfigurationError)) as caught:
        import_events(source, tmp_path / "store" / "Shop")
    assert "port 1" in str(caught.value) or "aurora-es[postgres]" in str(caught.value)


def test_a_missing_extra_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg the error says what to install."""

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(postgres_module, "import_module", missing)
    with pytest.raises(AuroraConfigurationError, match=r"pip install 'aurora-es\[postgres\]'"):
        import_events(PostgresDatabase(""), tmp_path / "store" / "Shop")


def test_tables_are_made_as_the_dsn_says(tmp_path: Path, server: Server) -> None:
    """What a DSN has besides name and password, as sslmode, is for the library's connection, too."""
    path = make_sqlite(tmp_path / "shop.db", events(1))
    import_events(SqliteFile(path), tmp_path / "a" / "Shop")
    target = PostgresDatabase(
        f"{server.dsn} options='-c default_transaction_read_only=on'",
        application_name="Shop",
        schema=server.schema,
    )
    with pytest.raises(TargetError, match="read-only transaction"):
        export_events(tmp_path / "a" / "Shop", target)
    found = server.execute("SELECT to_regclass('shop_events') IS NULL").fetchall()
    assert found == [(True,)]
