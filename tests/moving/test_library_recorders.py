"""Any recorders of the library, by topic: a page at a time, through the library's interfaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import StoredEvent

from aurora_es import Journal, Record
from aurora_es.compat import DCBEvent
from aurora_es.moving import (
    GapsError,
    LibraryDcbRecorder,
    LibraryRecorders,
    SourceError,
    SqliteFile,
    TargetError,
    export_events,
    import_events,
    library_recorders,
)
from tests.cli.support import run
from tests.moving.sides import (
    ORDER,
    OTHER,
    delete_events,
    events,
    make_sqlite,
    read_sqlite,
    read_store,
)

SNAPSHOTS = [StoredEvent(ORDER, 7, "s", b"7"), StoredEvent(OTHER, 3, "s", b"\xff")]


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_recorders, "_PAGE_ROWS", 4)


def _sqlite(path: Path) -> dict[str, str]:
    return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}


def test_recorders_are_found_by_topic_both_ways(tmp_path: Path) -> None:
    """Events, snapshots, and tracking records of those who are named; digests agree with others."""
    path = make_sqlite(tmp_path / "shop.db", events(18), snapshots=SNAPSHOTS, tracking=[("Up", 42)])
    source = LibraryRecorders(_sqlite(path), "Shop", ["Up", "Nobody"])
    report = import_events(source, tmp_path / "a" / "Shop")
    direct = import_events(SqliteFile(path), tmp_path / "b" / "Shop")
    assert report.parts == direct.parts
    assert report.tracking == {"Up": 42}
    assert read_store(tmp_path / "a") == read_sqlite(path)
    back = LibraryRecorders(_sqlite(tmp_path / "back.db"), "Shop")
    export_events(tmp_path / "a" / "Shop", back)
    assert [part.moved for part in export_events(tmp_path / "a" / "Shop", back).parts] == [0, 0]
    assert read_sqlite(tmp_path / "back.db") == read_sqlite(path)


def test_tracking_records_that_cannot_be_listed_are_told(tmp_path: Path) -> None:
    """Nobody believes that all has been moved."""
    path = make_sqlite(tmp_path / "shop.db", events(3))
    report = import_events(LibraryRecorders(_sqlite(path), "Shop"), tmp_path / "a" / "Shop")
    assert "--upstream" in report.left_out[0]


def test_recorders_that_number_otherwise_are_told(tmp_path: Path) -> None:
    """Where ids of the store cannot be had, the error says so."""
    path = make_sqlite(tmp_path / "shop.db", events(6))
    delete_events(path, [1, 2])
    with pytest.raises(GapsError):
        import_events(LibraryRecorders(_sqlite(path), "Shop"), tmp_path / "a" / "Shop")

    class Skipping(LibraryRecorders):
        def _insert(self, page: Any) -> list[int] | None:
            ids = super()._insert(page)
            return None if ids is None else [at + 1 for at in ids]

    import_events(SqliteFile(path), tmp_path / "b" / "Shop", gaps="renumber")
    with pytest.raises(TargetError, match="number events themselves"):
        export_events(tmp_path / "b" / "Shop", Skipping(_sqlite(tmp_path / "back.db"), "Shop"))


def test_dcb_events_are_moved(tmp_path: Path) -> None:
    """Types, tags, data and positions, from one DCB recorder to another."""
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path / "a")}
    recorder_side = LibraryDcbRecorder(env, "Shop")
    recorder_side.open_target("Shop", is_process=False)
    recorder_side._recorder.append(
        [DCBEvent(type=f"t{at % 3}", data=b"%d" % at, tags=[f"tag{at}"]) for at in range(10)]
    )
    recorder_side.close()
    report = import_events(LibraryDcbRecorder(env, "Shop"), tmp_path / "b" / "Shop")
    assert (report.parts[0].part, report.parts[0].count) == ("dcb", 10)
    again = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path / "c")}
    other = export_events(tmp_path / "b" / "Shop", LibraryDcbRecorder(again, "Shop"))
    assert other.parts[0].digest == report.parts[0].digest
    with Journal.open(tmp_path / "c" / "Shop" / "dcb", read_only=True) as journal:
        assert [stored.record for stored in journal.read(limit=1)] == [
            Record(topic="t0", state=b"0", tags=("tag0",))
        ]


def test_parts_that_a_recorder_does_not_hold_are_refused(tmp_path: Path) -> None:
    """Events of aggregates are none with tags, and the other way round."""
    path = make_sqlite(tmp_path / "shop.db", events(3))
    import_events(SqliteFile(path), tmp_path / "a" / "Shop")
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path / "b")}
    with pytest.raises(TargetError, match="hold no events"):
        export_events(tmp_path / "a" / "Shop", LibraryDcbRecorder(env, "Shop"))


def test_settings_that_are_missing_are_told(tmp_path: Path) -> None:
    """What the library says of them, and which command shows them."""
    for topic in ("eventsourcing.sqlite", "no.such.module"):
        source = LibraryRecorders({"PERSISTENCE_MODULE": topic}, "Shop")
        with pytest.raises(SourceError, match="aurora-es doctor"):
            import_events(source, tmp_path / "a" / "Shop")
    target = LibraryRecorders({"PERSISTENCE_MODULE": "eventsourcing.sqlite"}, "Shop")
    path = make_sqlite(tmp_path / "shop.db", events(3))
    import_events(SqliteFile(path), tmp_path / "a" / "Shop")
    with pytest.raises(TargetError, match="aurora-es doctor"):
        export_events(tmp_path / "a" / "Shop", target)


def test_the_commands(tmp_path: Path) -> None:
    """Settings come from the environment, as an application sees them."""
    path = make_sqlite(tmp_path / "shop.db", events(9), tracking=[("Up", 42)])
    store, topic = tmp_path / "store" / "Shop", "eventsourcing.sqlite"
    done = run("import", "recorder", topic, store, "--upstream", "Up", SHOP_SQLITE_DBNAME=str(path))
    assert done.returncode == 0, done.stderr
    assert "tracked Up up to 42" in done.stdout
    done = run("export", "recorder", topic, store, SQLITE_DBNAME=str(tmp_path / "back.db"))
    assert done.returncode == 0, done.stderr
    assert read_sqlite(tmp_path / "back.db") == read_sqlite(path)
