"""A restored journal holds what the backup held up to its point, and is a new epoch."""

from __future__ import annotations

from pathlib import Path

from aurora_es.care import backup, restore, verify
from aurora_es.care.backup import BackupReport
from aurora_es.files.layer import Effects
from aurora_es.journal.manifest_file import read_manifest
from tests.care.repairing import fill
from tests.journal.support import QuickFiles, event, open_with

EFFECTS = Effects(QuickFiles())


def backed_up(tmp_path: Path) -> tuple[BackupReport, str]:
    """A journal with segments of every kind, and a backup of it."""
    path = str(tmp_path / "journal")
    fill(EFFECTS, path)
    return backup(path, tmp_path / "backups", effects=EFFECTS), path


def test_every_position_can_be_restored(tmp_path: Path) -> None:
    """Whatever the kind of segment that the cut falls into: records and digest are the same."""
    report, path = backed_up(tmp_path)
    with open_with(path, EFFECTS, read_only=True) as journal:
        whole = [*journal.read()]
    for position in range(whole[-1].position + 1):
        target = tmp_path / f"restored-{position}"
        done = restore(report.directory, target, position=position, effects=EFFECTS)
        (restored,) = done.journals
        assert restored.last_position in {position, position - 1}  # a commit has two records
        checked = verify(target, digest=True, effects=EFFECTS)
        assert checked.is_whole, checked.findings
        original = verify(path, digest=True, until_commit=restored.last_commit, effects=EFFECTS)
        assert checked.digest == original.digest == restored.digest
        with open_with(str(target), EFFECTS) as journal:
            assert [*journal.read()] == whole[: restored.last_position]
            (new,) = journal.append([event("new", 1)])
            assert new == restored.last_position + 1
        manifest = read_manifest(EFFECTS.files, str(target))
        assert manifest is not None
        assert manifest.epoch == restored.epoch == 1
        assert manifest.epochs
        assert manifest.epochs[-1].first_position == restored.last_position + 1
        assert verify(target, effects=EFFECTS).is_whole
