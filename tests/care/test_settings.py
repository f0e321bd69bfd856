"""Settings of a closed journal are changed; who has it open for appending is seen."""

from __future__ import annotations

import gc
import os
from datetime import timedelta
from pathlib import Path

import pytest

from aurora_es import (
    ArgumentError,
    AuroraConfigurationError,
    CompressionFormat,
    InUseError,
    Journal,
    Record,
    RollCycle,
    Sync,
)
from aurora_es.care import change_settings
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal import opening, presence
from aurora_es.journal.presence import is_open_for_appending
from tests.cli.support import writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a closed journal of one record, under ``never``."""
    with Journal.open(tmp_path / "journal", sync=Sync.NEVER) as journal:
        journal.append([Record(topic="t", state=b"")])
    return tmp_path / "journal"


def snapshot(path: Path) -> dict[str, tuple[bytes, int]]:
    """Contents and inode of every file."""
    return {one.name: (one.read_bytes(), one.stat().st_ino) for one in path.iterdir()}


def test_all_settings_are_changed_at_once_and_hold(path: Path) -> None:
    """The report says what holds and what held before; the next open finds it."""
    report = change_settings(
        path,
        sync=Sync.interval(20),
        roll_cycle=RollCycle.HOUR | RollCycle.events(7),
        compression=CompressionFormat.LZ4,
        cool_after=timedelta(minutes=90),
    )
    assert (report.sync, report.roll_cycle, report.compression, report.cool_after_hours) == (
        "20ms",
        "hour+7events",
        "lz4",
        2,
    )
    assert report.changed == {
        "sync": "never",
        "roll_cycle": "day",
        "compression": "none",
        "cool_after_hours": "never",
    }
    with Journal.open(path) as journal:
        assert journal.statistics().sync == "20ms"
        assert journal.statistics().durable
        assert journal.statistics().compression == "lz4"
        assert journal.handle.manifest is not None
        assert journal.handle.manifest.generation == 2
    never = change_settings(path, cool_after="never")
    assert (never.cool_after_hours, never.changed) == (None, {"cool_after_hours": "2"})


def test_without_settings_nothing_is_touched(path: Path) -> None:
    """What holds is told, also of an open journal, and no file changes."""
    with Journal.open(path):
        before = snapshot(path)
        report = change_settings(path)
        assert snapshot(path) == before
    assert (report.sync, report.changed) == ("never", {})


def test_what_holds_already_is_not_written_again(path: Path) -> None:
    """A journal that is open under the very settings needs no closing."""
    with Journal.open(path):
        assert change_settings(path, sync=Sync.NEVER).changed == {}


def test_an_appender_of_this_process_is_seen(path: Path) -> None:
    """Until it is closed, or dropped, no setting is changed."""
    journal = Journal.open(path, lock_timeout=0.1)
    before = snapshot(path)
    with pytest.raises(InUseError, match="is open for appending"):
        change_settings(path, sync=Sync.ALWAYS, lock_timeout=0.01)
    with pytest.raises(InUseError, match=r"aurora-es set"):
        Journal.set_sync(path, Sync.ALWAYS)
    assert snapshot(path)["manifest"] == before["manifest"]
    assert journal.append([Record(topic="t", state=b"")]) == range(2, 3)
    del journal
    gc.collect()
    assert change_settings(path, sync=Sync.ALWAYS).sync == "always"


def test_an_appender_of_another_process_is_seen_until_it_dies(path: Path) -> None:
    """A process that was killed holds nothing."""
    with writer(path) as other:
        other.append("t", "")
        assert is_open_for_appending(SYSTEM_EFFECTS, str(path))
        with pytest.raises(InUseError):
            change_settings(path, roll_cycle=RollCycle.WEEK, lock_timeout=0.01)
    assert not is_open_for_appending(SYSTEM_EFFECTS, str(path))
    assert change_settings(path, roll_cycle=RollCycle.WEEK).roll_cycle == "week"


def test_readers_need_not_close(path: Path) -> None:
    """They do not go by the settings."""
    with Journal.open(path, read_only=True) as reader:
        assert change_settings(path, sync=Sync.ALWAYS).sync == "always"
        assert reader.last_position == 1


def test_a_forked_child_neither_shows_nor_hides_its_parent(path: Path) -> None:
    """The child's copies close without unlocking; the parent is seen until it closes."""
    with Journal.open(path):
        child = os.fork()
        if child == 0:
            os._exit(0 if is_open_for_appending(SYSTEM_EFFECTS, str(path)) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert is_open_for_appending(SYSTEM_EFFECTS, str(path))
    assert not is_open_for_appending(SYSTEM_EFFECTS, str(path))


def test_settings_changed_while_a_handle_attaches_are_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the manifest and being seen, somebody may have been alone with it."""
    show = presence.show_presence
    pending = [lambda: change_settings(path, sync=Sync.ALWAYS)]

    def changed_before(handle: object, descriptors: object) -> None:
        if pending:
            pending.pop()()
        show(handle, descriptors)  # type: ignore[arg-type] # passed on

    monkeypatch.setattr(opening, "show_presence", changed_before)
    with Journal.open(path) as journal:
        assert journal.handle.sync_mode == Sync.ALWAYS


def test_what_is_no_setting_is_refused(path: Path, tmp_path: Path) -> None:
    """Texts, negative ages and a directory without a journal change nothing."""
    before = snapshot(path)
    with pytest.raises(AuroraConfigurationError, match="expected a Sync"):
        change_settings(path, sync="always")  # type: ignore[arg-type]
    with pytest.raises(AuroraConfigurationError, match="or 'never'"):
        change_settings(path, cool_after="24h")  # type: ignore[arg-type]
    with pytest.raises(AuroraConfigurationError, match="0 or more"):
        change_settings(path, cool_after=timedelta(-1))
    with pytest.raises(ArgumentError, match="found none"):
        change_settings(tmp_path / "nothing", sync=Sync.ALWAYS)
    assert snapshot(path) == before
    assert not (tmp_path / "nothing").exists()
