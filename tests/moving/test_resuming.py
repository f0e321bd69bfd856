"""Moves that are interrupted anywhere, repeated by the same call; and targets of something else."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from eventsourcing.persistence import StoredEvent

from aurora_es import InUseError, Journal, Record
from aurora_es.files.layer import Files
from aurora_es.journal import reading
from aurora_es.moving import (
    JsonLines,
    MoveReport,
    NotMovedError,
    SqliteFile,
    TargetError,
    export_events,
    import_events,
    library_tables,
    pages,
    sqlite_file,
)
from aurora_es.moving import json_lines as json_lines_module
from aurora_es.moving.journals import ApplicationJournals
from aurora_es.moving.pages import Page, Tracked
from aurora_es.testing.crashable import CrashableFiles, SimulatedKill
from aurora_es.testing.disk import CrashableDisk
from aurora_es.testing.faulty import Fault, FaultyFiles
from tests.journal.support import effects_with
from tests.moving.sides import (
    ORDER,
    OTHER,
    events,
    execute,
    make_sqlite,
    read_sqlite,
    read_store,
)

SNAPSHOTS = [StoredEvent(ORDER, 7, "s", b"7"), StoredEvent(OTHER, 3, "s", b"\xff")]
ROOT = Path(__file__).parents[2]


class StoppedError(Exception):
    """Stands for whatever ends a move between two pages."""


class Interrupted(SqliteFile):
    """A source that ends before its page ``after``."""

    after = 0

    def stream(self) -> Iterator[Page | Tracked]:
        """The pages up to there."""
        for at, item in enumerate(super().stream()):
            if at == self.after:
                raise StoppedError
            yield item


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (pages, library_tables, json_lines_module):
        monkeypatch.setattr(module, "ROWS_MAX", 4)


def _database(path: Path, count: int = 18) -> Path:
    return make_sqlite(path, events(count), snapshots=SNAPSHOTS, tracking=[("Up", 42)])


def test_an_import_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """Before whichever page it ends: there is no application yet, and the next call goes on."""
    path = _database(tmp_path / "shop.db")
    expected = read_sqlite(path)
    whole = SqliteFile(path)
    whole.open_source()
    pages_count = len(list(whole.stream()))
    whole.close()
    assert pages_count == 7
    for after in range(pages_count):
        target = tmp_path / f"store{after}" / "Shop"
        source = Interrupted(path)
        source.after = after
        with pytest.raises(StoppedError):
            import_events(source, target)
        assert not target.exists()
        report = import_events(SqliteFile(path), target)
        assert report.parts[0].moved == 18 - min(4 * after, 18)
        assert read_store(target.parent) == expected


def test_an_import_is_repeated_and_catches_up(tmp_path: Path) -> None:
    """A source that has grown is moved again: what is there stays, the rest comes, over rolls too."""
    path = _database(tmp_path / "shop.db")
    env = {"AURORA_ROLL_CYCLE": "5events"}
    target = tmp_path / "store" / "Shop"
    assert import_events(SqliteFile(path), target, env=env).parts[0].moved == 18
    assert import_events(SqliteFile(path), target, env=env).parts[0].moved == 0
    make_sqlite(
        path,
        events(30, 19),
        snapshots=[StoredEvent(ORDER, 1, "s", b"0")],
        tracking=[("Up", 43), ("New", 1)],
    )
    report = import_events(SqliteFile(path), target, env=env)
    assert [(part.count, part.moved) for part in report.parts] == [(48, 30), (3, 1)]
    assert read_store(target.parent) == read_sqlite(path)


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("source_kind", ["sqlite", "lines"])
def test_an_import_killed_at_every_file_operation(
    tmp_path: Path, source_kind: str, *, power: bool
) -> None:
    """There is no application, or a whole one; and a new run completes it, without doubles."""
    path = _database(tmp_path / "shop.db", 6)
    import_events(SqliteFile(path), tmp_path / "store" / "Shop")
    export_events(tmp_path / "store" / "Shop", JsonLines(tmp_path / "lines"))

    def source() -> SqliteFile | JsonLines:
        return SqliteFile(path) if source_kind == "sqlite" else JsonLines(tmp_path / "lines")

    step, killed = 0, True
    env = {"AURORA_ROLL_CYCLE": "3events"}
    while killed:
        rng = random.Random(step)
        disk = CrashableDisk()
        disk.make_directories("/data")
        faulty = FaultyFiles(CrashableFiles(disk), rng)
        faulty.arm(Fault("kill", "middle"), step)
        try:
            import_events(
                source(), "/data/Shop", env=env, effects=effects_with(cast("Files", faulty))
            )
            killed = False
        except SimulatedKill:
            pass
        if power:
            disk.crash(rng)
        survivor = effects_with(cast("Files", CrashableFiles(disk)))
        there = "Shop" in survivor.files.listdir("/data")
        report = import_events(source(), "/data/Shop", env=env, effects=survivor)
        assert [(part.count, part.digest) for part in report.parts] == _digests(path)
        if there:
            assert [part.moved for part in report.parts] == [0, 0]
        assert report.tracking == {"Up": 42}
        assert there or killed  # what was reported as done is there, whatever happens then
        step += 1 if step < 40 else 7
    assert step > 100


@pytest.mark.parametrize("seed", range(10))
def test_what_is_reported_as_durable_survives_a_power_cut(tmp_path: Path, seed: int) -> None:
    """The name of the application's directory is on disk, too."""
    path = _database(tmp_path / "shop.db", 6)
    disk = CrashableDisk()
    disk.make_directories("/data")
    effects = effects_with(cast("Files", CrashableFiles(disk)))
    assert import_events(SqliteFile(path), "/data/Shop", effects=effects).durable
    disk.crash(random.Random(seed))
    assert CrashableFiles(disk).listdir("/data") == ["Shop"]


def _digests(path: Path) -> list[tuple[int, str]]:
    report = import_events(SqliteFile(path), path.parent / "expected" / "Shop")
    return [(part.count, part.digest) for part in report.parts]


@pytest.mark.parametrize("power", [False, True])
def test_an_export_killed_at_every_file_operation(tmp_path: Path, *, power: bool) -> None:
    """A file without its end line is not taken for a whole one; a new run completes it."""
    path = _database(tmp_path / "shop.db", 6)
    step, killed = 0, True
    disk = CrashableDisk()
    disk.make_directories("/data")
    effects = effects_with(cast("Files", CrashableFiles(disk)))
    import_events(SqliteFile(path), "/data/Shop", effects=effects)
    while killed:
        rng = random.Random(step)
        faulty = FaultyFiles(CrashableFiles(disk), rng)
        faulty.arm(Fault("kill", "middle"), step)
        target = f"/data/lines{step}"
        try:
            export_events(
                "/data/Shop",
                JsonLines(target, effects=effects_with(cast("Files", faulty))),
                effects=effects_with(cast("Files", faulty)),
            )
            killed = False
        except SimulatedKill:
            pass
        if power:
            disk.crash(rng)
        survivor = effects_with(cast("Files", CrashableFiles(disk)))
        if not killed:  # what was reported as done is there, whatever happens then
            import_events(JsonLines(target, effects=survivor), "/data/Done", effects=survivor)
        export_events("/data/Shop", JsonLines(target, effects=survivor), effects=survivor)
        lines = JsonLines(target, effects=survivor)
        report = import_events(lines, f"/data/Shop{step}", effects=survivor)
        assert [(part.count, part.digest) for part in report.parts] == _digests(path)
        step += 1
    assert step > 20


KILLED = """
import sys
from aurora_es.moving import JsonLines, SqliteFile, export_events, import_events
what, source, target = sys.argv[1:]
if what == "import":
    import_events(SqliteFile(source), target)
elif what == "lines":
    export_events(source, JsonLines(target))
else:
    export_events(source, SqliteFile(target))
"""


def _kill_until_done(what: str, source: Path, target: Path) -> int:
    """Run a move again and again, each time killed a little later; returns the number of kills."""
    kills = 0
    while True:
        command = [sys.executable, "-c", KILLED, what, str(source), str(target)]
        with subprocess.Popen(command, cwd=ROOT) as process:
            try:
                process.wait(timeout=0.05 * 1.25**kills)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                continue
        assert process.returncode == 0
        return kills


def test_real_kills(tmp_path: Path) -> None:
    """Killed for real at any moment, again and again, moves end with what the source has."""
    path = make_sqlite(
        tmp_path / "shop.db", events(8_000), snapshots=SNAPSHOTS, tracking=[("Up", 42)]
    )
    expected = read_sqlite(path)
    target = tmp_path / "store" / "Shop"
    kills = _kill_until_done("import", path, target)
    assert read_store(target.parent) == expected
    kills += _kill_until_done("lines", target, tmp_path / "lines")
    import_events(JsonLines(tmp_path / "lines"), tmp_path / "again" / "Shop")
    assert read_store(tmp_path / "again") == expected
    kills += _kill_until_done("sqlite", target, tmp_path / "back.db")
    assert read_sqlite(tmp_path / "back.db") == expected
    assert kills >= 3


# Targets of something else


def _refused(path: Path, target: Path, match: str) -> None:
    before = read_store(target.parent)
    with pytest.raises(TargetError, match=match):
        import_events(SqliteFile(path), target)
    assert read_store(target.parent) == before


def test_a_target_with_other_events_is_refused(tmp_path: Path) -> None:
    """Nothing is changed where the events that are there are not those of the source."""
    path = _database(tmp_path / "shop.db")
    target = tmp_path / "store" / "Shop"
    import_events(SqliteFile(path), target)
    execute(path, "UPDATE stored_events SET state = X'00' WHERE rowid = 3")
    _refused(path, target, r"expected events as in the source")


def test_a_target_with_other_snapshots_is_refused(tmp_path: Path) -> None:
    """A snapshot of the same version must be the same."""
    path = _database(tmp_path / "shop.db")
    target = tmp_path / "store" / "Shop"
    import_events(SqliteFile(path), target)
    execute(path, "UPDATE stored_snapshots SET topic = 'other'")
    _refused(path, target, r"expected snapshots as in the source")


def test_a_target_that_has_gone_on_is_refused(tmp_path: Path) -> None:
    """Events or tracking records that the source does not have are not overtaken."""
    path = _database(tmp_path / "shop.db")
    target = tmp_path / "store" / "Shop"
    import_events(SqliteFile(path), target)
    execute(path, "UPDATE tracking SET notification_id = 41 WHERE application_name = 'Up'")
    _refused(path, target, r"tracked up to 41 at most, found 42")
    execute(path, "DELETE FROM stored_events WHERE rowid = 18")
    _refused(path, target, r"found more")


def test_a_file_of_another_store_is_refused_and_not_cut(tmp_path: Path) -> None:
    """An export over somebody else's file changes no byte of it."""
    for name, count in (("a", 5), ("b", 9)):
        path = make_sqlite(tmp_path / f"{name}.db", events(count, 2 if name == "b" else 1))
        import_events(SqliteFile(path), tmp_path / name / "Shop")
    lines = tmp_path / "lines"
    export_events(tmp_path / "a" / "Shop", JsonLines(lines))
    before = lines.read_bytes()
    with pytest.raises(TargetError, match="expected events as in the source"):
        export_events(tmp_path / "b" / "Shop", JsonLines(lines))
    assert lines.read_bytes() == before
    lines.write_bytes(b"dear diary\n")
    with pytest.raises(TargetError, match="found something else"):
        export_events(tmp_path / "a" / "Shop", JsonLines(lines))
    assert lines.read_bytes() == b"dear diary\n"


def test_an_export_is_repeated_and_catches_up(tmp_path: Path) -> None:
    """Files and databases get what the store has more."""
    path = _database(tmp_path / "shop.db")
    target = tmp_path / "store" / "Shop"
    back, lines = tmp_path / "back.db", tmp_path / "lines"
    import_events(SqliteFile(path), target)
    first = [export_events(target, SqliteFile(back)), export_events(target, JsonLines(lines))]
    assert [report.parts[0].moved for report in first] == [18, 18]
    make_sqlite(path, events(5, 19), tracking=[("Up", 50)])
    import_events(SqliteFile(path), target)
    second = [export_events(target, SqliteFile(back)), export_events(target, JsonLines(lines))]
    assert [report.parts[0].moved for report in second] == [5, 5]
    assert read_sqlite(back) == read_sqlite(path)
    import_events(JsonLines(lines), tmp_path / "again" / "Shop")
    assert read_store(tmp_path / "again") == read_sqlite(path)


def test_a_source_that_does_not_say_the_same_twice_is_noticed(tmp_path: Path) -> None:
    """What is read back at the end is compared with the source as it is then."""
    path = _database(tmp_path / "shop.db")

    class Changing(SqliteFile):
        streams = 0

        def stream(self) -> Iterator[Page | Tracked]:
            self.streams += 1
            for item in super().stream():
                if self.streams == 2 and isinstance(item, Page) and item.part == "events":
                    yield item._replace(rows=item.rows[::-1])
                else:
                    yield item

    with pytest.raises(NotMovedError, match="Did the source change"):
        import_events(Changing(path), tmp_path / "store" / "Shop")
    assert not (tmp_path / "store" / "Shop").exists()


def test_a_database_in_use_is_moved_as_of_one_moment(tmp_path: Path) -> None:
    """What is recorded during an import comes with the next one, tracking records as well."""
    path = _database(tmp_path / "shop.db")
    target = tmp_path / "store" / "Shop"
    before = read_sqlite(path)

    class InUse(SqliteFile):
        streams = 0

        def stream(self) -> Iterator[Page | Tracked]:
            self.streams += 1
            for at, item in enumerate(super().stream()):
                if self.streams == 1 and at == 1:
                    more = [StoredEvent(ORDER, 1, "s", b"0")]
                    make_sqlite(path, events(5, 19), snapshots=more, tracking=[("Up", 50)])
                yield item

    import_events(InUse(path), target)
    assert read_store(target.parent) == before
    report = import_events(SqliteFile(path), target)
    assert [part.moved for part in report.parts] == [5, 1]
    assert read_store(target.parent) == read_sqlite(path) != before


def test_a_store_in_use_is_exported_as_of_one_moment(tmp_path: Path) -> None:
    """A tracking record that comes meanwhile is not ahead of the events."""
    path = _database(tmp_path / "shop.db")
    target = tmp_path / "store" / "Shop"
    import_events(SqliteFile(path), target)

    class Meanwhile(SqliteFile):
        def append(self, page: Page) -> None:
            with Journal.open(target / "events") as journal:
                last = journal.tracking()["Up"]
                journal.append([Record(topic="t", state=b"")], tracking=("Up", last + 1))
            super().append(page)

    report = export_events(target, Meanwhile(tmp_path / "back.db"))
    assert report.tracking == {"Up": 42}
    assert read_sqlite(tmp_path / "back.db") == read_sqlite(path)


def test_a_snapshot_that_comes_meanwhile_is_not_ahead_of_the_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a store in use, no snapshot is exported without the event that it was taken at."""
    path = _database(tmp_path / "shop.db")
    target = tmp_path / "store" / "Shop"
    import_events(SqliteFile(path), target)
    opened = ApplicationJournals.journal

    def open_and_go_on(self: ApplicationJournals, part: str) -> Journal:
        is_first = not self._journals
        journal = opened(self, part)
        if is_first:
            for purpose in ("events", "snapshots"):
                with Journal.open(target / purpose) as other:
                    record = Record(
                        topic="t", state=b"", originator_id=ORDER, originator_version=99
                    )
                    other.append([record])
        return journal

    monkeypatch.setattr(ApplicationJournals, "journal", open_and_go_on)
    export_events(target, SqliteFile(tmp_path / "back.db"))
    contents = read_sqlite(tmp_path / "back.db")
    versions = {row[2] for row in contents.notifications if row[1] == ORDER}
    assert 99 in versions
    assert 99 not in {row[1] for row in contents.snapshots}


def test_what_a_killed_export_left_behind_is_cut_off(tmp_path: Path) -> None:
    """However much of it there is behind the last good line."""
    path = _database(tmp_path / "shop.db")
    target, lines = tmp_path / "store" / "Shop", tmp_path / "lines"
    import_events(SqliteFile(path), target)
    export_events(target, JsonLines(lines))
    expected = lines.read_bytes()
    for torn in (b"\0" * 5000, b'{"part":"events","id":' + b"9" * 5000, expected[100:]):
        lines.write_bytes(expected[: expected.index(b"\n", 500) + 1] + torn)
        export_events(target, JsonLines(lines))
        assert lines.read_bytes() == expected


def test_two_imports_exclude_each_other(tmp_path: Path) -> None:
    """While one is at work, another one to the same place is refused."""
    path = _database(tmp_path / "shop.db")
    target = tmp_path / "store" / "Shop"

    class Meanwhile(SqliteFile):
        def stream(self) -> Iterator[Page | Tracked]:
            with pytest.raises(InUseError, match="another import"):
                import_events(SqliteFile(path), target)
            yield from super().stream()

    import_events(Meanwhile(path), target)


def test_an_application_in_use_is_refused(tmp_path: Path) -> None:
    """Catching up asks for a store that nobody else has open for appending."""
    path = _database(tmp_path / "shop.db")
    target = tmp_path / "store" / "Shop"
    import_events(SqliteFile(path), target)
    with (
        Journal.open(target / "events"),
        pytest.raises(InUseError, match="open for appending"),
    ):
        import_events(SqliteFile(path), target)


def test_an_unfinished_import_beside_an_application_is_refused(tmp_path: Path) -> None:
    """Nobody guesses which of the two counts."""
    path = _database(tmp_path / "shop.db")
    target = tmp_path / "store" / "Shop"
    import_events(SqliteFile(path), target)
    os.mkdir(f"{target}~importing")
    _refused(path, target, "Remove one of the two")


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    """It says what there is to move, and makes no directory."""
    path = _database(tmp_path / "shop.db")
    target = tmp_path / "store" / "Shop"
    report: MoveReport = import_events(SqliteFile(path), target, dry_run=True)
    assert (report.parts[0].count, report.parts[0].moved) == (18, 18)
    assert (report.verified, report.durable, report.dry_run) == (False, False, True)
    assert not target.parent.exists()
    import_events(SqliteFile(path), target)
    report = import_events(SqliteFile(path), target, dry_run=True)
    assert [part.moved for part in report.parts] == [0, 0]


class InterruptedTarget(SqliteFile):
    """A target that ends the move before its append ``after``."""

    after = 0

    def append(self, page: Page) -> None:
        """Insert, up to there."""
        if not self.after:
            raise StoppedError
        self.after -= 1
        super().append(page)


def test_an_export_goes_on_behind_what_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction holds several pages: what was not committed is inserted again, with its ids."""
    monkeypatch.setattr(reading, "_RUN_BYTES_MAX", 1)
    monkeypatch.setattr(sqlite_file, "_COMMIT_ROWS", 8)
    path = make_sqlite(tmp_path / "shop.db", events(18), tracking=[("Up", 42)])
    store = tmp_path / "store" / "Shop"
    import_events(SqliteFile(path), store)
    for after in range(5):
        target = InterruptedTarget(tmp_path / f"{after}.db")
        target.after = after
        with pytest.raises(StoppedError):
            export_events(store, target)
        report = export_events(store, SqliteFile(target.path))
        assert report.parts[0].moved == 18 - 4 * after // 8 * 8
        assert read_sqlite(Path(target.path)) == read_sqlite(path)
