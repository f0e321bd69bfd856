"""Backup and restore remove nothing that is not known to be theirs, and do not disturb each other."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from aurora_es import (
    CorruptionError,
    ForeignDirectoryError,
    Journal,
    LockTimeoutError,
    NeedsRecoveryError,
    RollCycle,
)
from aurora_es.care import backup, repair, restore, verify
from aurora_es.care.backup_record import RECORD
from aurora_es.care.findings import RECOVERY_DUE
from aurora_es.files.layer import Effects, SystemFiles
from aurora_es.journal import background
from tests.journal.support import message
from tests.patience import PATIENCE_SECONDS


def made(tmp_path: Path) -> Path:
    """A journal with one record."""
    path = tmp_path / "journal"
    with Journal.open(path) as journal:
        journal.append([message()])
    return path


def precious(directory: Path) -> Path:
    """A file of somebody else."""
    directory.mkdir(parents=True)
    path = directory / "precious"
    path.write_text("mine")
    return path


def test_a_directory_of_ten_digits_is_not_taken_for_a_copy(tmp_path: Path) -> None:
    """Without a record a target with anything else is refused; with one, the rest is left alone."""
    journal, target = made(tmp_path), tmp_path / "target"
    kept = precious(target / "1795653542")
    with pytest.raises(ForeignDirectoryError, match="1795653542"):
        backup(journal, target)
    assert kept.read_text() == "mine"
    other = tmp_path / "other"
    backup(journal, other)
    kept = precious(other / "0000000002")
    for _ in range(3):
        restored = backup(journal, other).directory
        assert kept.read_text() == "mine"
        assert sorted(name for name in os.listdir(other) if name.isdigit()) == [
            "0000000002",
            restored,
        ]


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither as a copy nor inside of one: what a link leads to stays."""
    journal, target = made(tmp_path), tmp_path / "target"
    kept = precious(tmp_path / "outside")
    target.mkdir()
    (target / "0000000007").symlink_to(kept.parent)
    with pytest.raises(ForeignDirectoryError):
        backup(journal, target)
    (target / "0000000007").unlink()
    report = backup(journal, target)
    (target / report.directory / "link").symlink_to(kept.parent)
    backup(journal, target)
    assert not (target / report.directory).exists()
    assert kept.read_text() == "mine"


def test_a_copy_whose_record_is_lost_stays(tmp_path: Path) -> None:
    """It may be the only one; it is restored by its own path."""
    journal, target = made(tmp_path), tmp_path / "target"
    report = backup(journal, target)
    (target / RECORD).unlink()
    with pytest.raises(ForeignDirectoryError, match=report.directory):
        backup(journal, target)
    assert restore(target / report.directory, tmp_path / "restored").journals[0].position == 1


def test_what_is_in_the_way_of_a_restore_stays(tmp_path: Path) -> None:
    """A directory with the name that a restore builds under is somebody else's, unless marked."""
    backup(made(tmp_path), tmp_path / "target")
    kept = precious(tmp_path / "restored.restoring")
    with pytest.raises(ForeignDirectoryError, match="not ours to remove"):
        restore(tmp_path / "target", tmp_path / "restored")
    assert kept.read_text() == "mine"


def rolled(tmp_path: Path) -> tuple[Path, str]:
    """A journal of several segments, and the name of one that never changes any more."""
    path = tmp_path / "journal"
    with Journal.open(path, roll_cycle=RollCycle.events(50), background=False) as journal:
        for number in range(4):
            journal.append(message(b"%d" % number * 100) for _ in range(50))
    background.seal(str(path))
    return path, sorted(one.name for one in path.glob("*.segment"))[1]


def flip(path: Path, offset: int) -> None:
    """Rot: in a copy of its own, so that no other name of the file sees it."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize("check", [False, True])
def test_a_rotten_source_does_not_replace_a_good_copy(tmp_path: Path, *, check: bool) -> None:
    """Where the two differ, the source is read, and refused: the copy before can be restored."""
    path, name = rolled(tmp_path)
    backup(path, tmp_path / "target", copy=True)
    flip(path / name, 600)
    with pytest.raises(CorruptionError, match=name):
        backup(path, tmp_path / "target", copy=True, verify=check)
    restore(tmp_path / "target", tmp_path / "restored")


@pytest.mark.parametrize("check", [False, True])
def test_a_good_copy_is_kept_where_no_difference_is_seen(tmp_path: Path, *, check: bool) -> None:
    """Of files that begin alike the one of the copy before is linked, and not the rotten one."""
    path, name = rolled(tmp_path)
    backup(path, tmp_path / "target", copy=True)
    flip(path / name, 4500)
    backup(path, tmp_path / "target", copy=True, verify=check)
    restore(tmp_path / "target", tmp_path / "restored")


@pytest.mark.parametrize("offset", [600, 4500])
def test_a_rotten_copy_is_healed_from_the_source(tmp_path: Path, offset: int) -> None:
    """By the next backup that looks."""
    path, name = rolled(tmp_path)
    first = backup(path, tmp_path / "target", copy=True)
    flip(tmp_path / "target" / first.directory / name, offset)
    backup(path, tmp_path / "target", copy=True, verify=True)
    restore(tmp_path / "target", tmp_path / "restored")


def test_a_link_that_leads_nowhere_is_no_journal(tmp_path: Path) -> None:
    """It does not keep the rest of a store from being backed up."""
    store = tmp_path / "store"
    store.mkdir()
    made(store)
    (store / "old").symlink_to("/nonexistent")
    (journal,) = backup(store, tmp_path / "target").journals
    assert journal.path == "journal"


def test_an_old_mark_is_told(tmp_path: Path) -> None:
    """After a power cut the mark may name a segment that is sealed: recovery is due, not a backup."""
    path = tmp_path / "journal"
    with Journal.open(path, roll_cycle=RollCycle.events(50), background=False) as journal:
        journal.append([message()])
        mark = (path / "mark").read_bytes()
        for _ in range(3):
            journal.append(message() for _ in range(50))
    background.seal(str(path))
    (path / "mark").write_bytes(mark)
    # The check and a repair say so, too, and the error names what to run.
    (finding,) = verify(path).findings
    assert (finding.kind, finding.lost) == (RECOVERY_DUE, ())
    planned = repair(path, dry_run=True)
    assert ([one.file for one in planned.repairs], planned.lost) == (["mark"], ())
    with pytest.raises(NeedsRecoveryError, match=f"`aurora-es repair {path}`.*`Journal.open`"):
        backup(path, tmp_path / "target")
    with Journal.open(path) as journal:
        assert journal.last_position == 151
    assert verify(path).is_whole
    assert not repair(path, dry_run=True).repairs
    assert backup(path, tmp_path / "target").journals[0].position == 151


def test_a_missing_closed_segment_is_told(tmp_path: Path) -> None:
    """Also where no manifest lists it: a backup without it could not be restored."""
    path = tmp_path / "journal"
    with Journal.open(path, roll_cycle=RollCycle.events(50), background=False) as journal:
        for _ in range(4):
            journal.append(message() for _ in range(50))
    sorted(path.glob("*.segment"))[1].unlink()
    with pytest.raises(CorruptionError, match="segment 2"):
        backup(path, tmp_path / "target")


class _Held(SystemFiles):
    """Stops in front of the first rename of a directory until it is let go."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def rename(self, source: str, target: str) -> None:  # type: ignore[override]
        """Wait, then rename."""
        if source.endswith(".restoring"):
            self.reached.set()
            assert self.go_on.wait(PATIENCE_SECONDS)
        os.rename(source, target)


def test_restores_and_backups_wait_for_each_other(tmp_path: Path) -> None:
    """While one restore is under way, another to its place and a backup are refused; it succeeds."""
    journal, target, place = made(tmp_path), tmp_path / "target", tmp_path / "restored"
    backup(journal, target)
    files = _Held()
    thread = threading.Thread(
        target=restore, args=(target, place), kwargs={"effects": Effects(files)}
    )
    thread.start()
    assert files.reached.wait(PATIENCE_SECONDS)
    try:
        with pytest.raises(
            LockTimeoutError,
            match=r"another restore.*whatever AURORA_LOCK_TIMEOUT says.*or name another place$",
        ):
            restore(target, place)
        with pytest.raises(LockTimeoutError):
            backup(journal, target, lock_timeout=0.01)
        restore(target, tmp_path / "elsewhere")
    finally:
        files.go_on.set()
        thread.join()
    with Journal.open(place) as restored:
        assert restored.last_position == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "elsewhere",
        "journal",
        "restored",
        "target",
    ]
