"""Databases with bad rows, and with gaps in their notification ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_es import ArgumentError, Journal
from aurora_es.moving import (
    GapsError,
    JsonLines,
    SourceError,
    SqliteFile,
    TargetError,
    export_events,
    import_events,
    position_of_source_id,
)
from aurora_es.moving.stretches import Stretches
from tests.moving.sides import delete_events, events, execute, make_sqlite, read_store


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE stored_events SET state = 'text' WHERE rowid = 3", "state as bytes, found str"),
        ("UPDATE stored_events SET state = NULL WHERE rowid = 3", "state as bytes, found NoneType"),
        ("UPDATE stored_events SET topic = NULL WHERE rowid = 3", "topic as str"),
        (
            "UPDATE stored_events SET originator_version = 'x' WHERE rowid = 3",
            "originator_version as int",
        ),
        (
            "UPDATE stored_events SET originator_id = NULL WHERE rowid = 3",
            "originator_id as str",
        ),
        (
            "UPDATE stored_events SET originator_id = 'order-1' WHERE rowid = 3",
            "ORIGINATOR_ID_TYPE=text",
        ),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, statement: str, expected: str) -> None:
    """SQLite lets anything be anywhere: the error names table, row, expected and found."""
    path = make_sqlite(tmp_path / "shop.db", events(5))
    execute(path, statement)
    with pytest.raises(SourceError, match=expected) as caught:
        import_events(SqliteFile(path), tmp_path / "store" / "Shop")
    assert "table stored_events, rowid 3" in str(caught.value)
    assert not (tmp_path / "store" / "Shop").exists()


def test_files_that_are_no_databases_of_the_library(tmp_path: Path) -> None:
    """What is no database, and what has other tables, is refused before anything is made."""
    (tmp_path / "text").write_text("no database, but long enough to have been one" * 10)
    execute(tmp_path / "other.db", "CREATE TABLE orders (id INTEGER)")
    for name, expected in (("text", "not a database"), ("other.db", "found orders")):
        with pytest.raises(SourceError, match=expected):
            import_events(SqliteFile(tmp_path / name), tmp_path / "store" / "Shop")
    assert not (tmp_path / "store").exists()


def test_what_is_no_database_is_closed(tmp_path: Path) -> None:
    """SQLite finds out with the first query, when the file is open: it does not stay open."""
    (tmp_path / "text").write_text("no database, but long enough to have been one" * 10)
    closed: list[str] = []

    class Closing(SqliteFile):
        def close(self) -> None:
            super().close()
            closed.append(self.path)

    with pytest.raises(SourceError, match="not a database"):
        import_events(Closing(tmp_path / "text"), tmp_path / "store" / "Shop")
    execute(tmp_path / "other.db", "CREATE TABLE stored_events (something TEXT)")
    import_events(SqliteFile(make_sqlite(tmp_path / "shop.db", [])), tmp_path / "store" / "Shop")
    with pytest.raises(TargetError, match="export sqlite"):
        export_events(tmp_path / "store" / "Shop", Closing(tmp_path / "other.db"))
    assert closed == [str(tmp_path / "text"), str(tmp_path / "other.db")]


def test_other_tables_are_named(tmp_path: Path) -> None:
    """A recorder with table names of its own is moved, too, also with names to be quoted."""
    path = make_sqlite(tmp_path / "shop.db", events(5))
    execute(path, 'ALTER TABLE stored_events RENAME TO "my ""events"""')
    source = SqliteFile(path, events_table='my "events"')
    assert import_events(source, tmp_path / "store" / "Shop").parts[0].count == 5


def test_a_projections_tracking_comes_to_its_journal(tmp_path: Path) -> None:
    """A database with tracking records alone is that of a projection."""
    path = make_sqlite(tmp_path / "shop.db", [], tracking=[("Shop", 3)])
    for table in ("stored_events", "stored_snapshots"):
        execute(path, f"DROP TABLE {table}")
    import_events(SqliteFile(path), tmp_path / "store" / "Totals")
    with Journal.open(tmp_path / "store" / "Totals" / "tracking", read_only=True) as journal:
        assert journal.tracking() == {"Shop": 3}


def test_gaps_are_refused_unless_that_is_asked_for(tmp_path: Path) -> None:
    """The error names the first missing id, and how to go on."""
    path = make_sqlite(tmp_path / "shop.db", events(20))
    delete_events(path, [7, 8, 15])
    with pytest.raises(GapsError, match=r"id 7 of events, found 9.*--gaps renumber"):
        import_events(SqliteFile(path), tmp_path / "store" / "Shop")
    with pytest.raises(GapsError):
        import_events(SqliteFile(path), tmp_path / "dry" / "Shop", dry_run=True)
    assert not (tmp_path / "store" / "Shop").exists()


def test_renumbered_events_keep_a_record_of_their_ids(tmp_path: Path) -> None:
    """Followers that are imported later go on where they were, and nobody has to calculate."""
    path = make_sqlite(tmp_path / "shop.db", events(20))
    delete_events(path, [1, 7, 8, 15])
    target = tmp_path / "store" / "Shop"
    report = import_events(SqliteFile(path), target, gaps="renumber")
    assert (report.parts[0].count, report.parts[0].missing_ids) == (16, 4)
    ids = [at for at in range(1, 21) if at not in {1, 7, 8, 15}]
    for source_id in range(30):
        expected = sum(found <= source_id for found in ids)
        assert position_of_source_id(target, source_id) == expected
    assert [row[0] for row in read_store(target.parent).notifications] == list(range(1, 17))
    follower = make_sqlite(tmp_path / "copy.db", events(3), tracking=[("Shop", 14), ("Else", 9)])
    report = import_events(SqliteFile(follower), tmp_path / "store" / "Copy")
    assert report.tracking == {"Shop": 11, "Else": 9}
    again = import_events(SqliteFile(path), target, gaps="renumber")
    assert (again.parts[0].moved, again.parts[0].missing_ids) == (0, 4)
    assert import_events(SqliteFile(follower), tmp_path / "store" / "Copy").tracking["Shop"] == 11


def test_gaps_that_come_later_are_recorded_as_well(tmp_path: Path) -> None:
    """An import that began without gaps can go on with them."""
    path = make_sqlite(tmp_path / "shop.db", events(10))
    target = tmp_path / "store" / "Shop"
    import_events(SqliteFile(path), target)
    assert position_of_source_id(target, 5) == 5
    make_sqlite(path, events(10, 11))
    delete_events(path, [12])
    with pytest.raises(GapsError, match="id 12"):
        import_events(SqliteFile(path), target)
    import_events(SqliteFile(path), target, gaps="renumber")
    assert [position_of_source_id(target, at) for at in (10, 11, 12, 13, 20, 99)] == [
        10,
        11,
        11,
        12,
        19,
        19,
    ]


def test_gaps_of_json_lines_are_noticed(tmp_path: Path) -> None:
    """A file of lines with ids is a source like any other."""
    path = make_sqlite(tmp_path / "shop.db", events(10))
    import_events(SqliteFile(path), tmp_path / "a" / "Shop")
    export_events(tmp_path / "a" / "Shop", JsonLines(tmp_path / "lines"))
    lines = (tmp_path / "lines").read_bytes().splitlines(keepends=True)
    (tmp_path / "lines").write_bytes(b"".join(lines[1:4] + lines[6:11]))
    with pytest.raises(GapsError, match="id 4 of events, found 6"):
        import_events(JsonLines(tmp_path / "lines"), tmp_path / "b" / "Shop")
    report = import_events(JsonLines(tmp_path / "lines"), tmp_path / "b" / "Shop", gaps="renumber")
    assert (report.parts[0].count, report.parts[0].missing_ids) == (8, 2)


def test_only_applications_that_were_imported_have_source_ids(tmp_path: Path) -> None:
    """Asking elsewhere is an error that says so."""
    with pytest.raises(ArgumentError, match="expected an application that was imported"):
        position_of_source_id(tmp_path, 5)


def test_only_directories_of_applications_are_targets(tmp_path: Path) -> None:
    """A name that no application would have is refused before anything is made."""
    path = make_sqlite(tmp_path / "shop.db", events(1))
    with pytest.raises(ArgumentError, match="percent-encoded"):
        import_events(SqliteFile(path), tmp_path / "my shop")
    with pytest.raises(ArgumentError, match="refuse or renumber"):
        import_events(SqliteFile(path), tmp_path / "Shop", gaps="ignore")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="uuid or text"):
        SqliteFile(path, originator_id_type="hex")


@given(
    ids=st.lists(st.integers(1, 60), unique=True, min_size=1).map(sorted),
    sizes=st.lists(st.integers(1, 7), min_size=1),
)
@settings(max_examples=200)
def test_stretches_do_not_depend_on_pages(ids: list[int], sizes: list[int]) -> None:
    """However ids come in pages, the same stretches begin at the same positions."""
    whole = Stretches()
    expected = whole.rows_of(1, ids)
    paged = Stretches()
    found = []
    at = 0
    while at < len(ids):
        size = sizes[at % len(sizes)]
        found += paged.rows_of(at + 1, ids[at : at + size])
        at += size
    assert found == expected
    assert (paged.count, paged.missing_ids) == (whole.count, whole.missing_ids)
    assert whole.missing_ids == ids[-1] - len(ids)
