"""A restored journal holds what the backup held up to its point, wherever the cut falls."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aurora_es.care import backup, restore, verify
from aurora_es.care.repair import repair
from aurora_es.files.layer import Effects
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.mark_file import read_mark
from tests.care.repairing import DAMAGES, fill
from tests.journal.support import QuickFiles, event, open_with

EFFECTS = Effects(QuickFiles())


@pytest.mark.parametrize("damage", [None, "frame of middle", "missing first", "tail frame"])
def test_every_position_can_be_restored(tmp_path: Path, damage: str | None) -> None:
    """Whatever the kind of segment that is cut, holes included: records and digest are the same."""
    path = str(tmp_path / "journal")
    fill(EFFECTS, path)
    if damage is not None:
        DAMAGES[damage](EFFECTS.files, path)
        repair(path, effects=EFFECTS)
    backup(path, tmp_path / "backup", effects=EFFECTS)
    with open_with(path, EFFECTS, read_only=True) as journal:
        whole = [*journal.read()]
    target = tmp_path / "restored"
    for position in range(whole[-1].position + 1):
        done = restore(tmp_path / "backup", target, position=position, effects=EFFECTS)
        (restored,) = done.journals
        mark = read_mark(EFFECTS.files, str(target))
        assert (mark.epoch, mark.visible_position) == (restored.epoch, restored.position)
        checked = verify(target, digest=True, effects=EFFECTS)
        assert checked.is_whole, checked.findings
        original = verify(path, digest=True, until_commit=restored.commit, effects=EFFECTS)
        assert checked.digest == original.digest == restored.digest
        with open_with(str(target), EFFECTS) as journal:
            kept = [stored for stored in whole if stored.position <= restored.position]
            left = [stored for stored in whole if restored.position < stored.position <= position]
            assert [*journal.read()] == kept
            assert len(left) < 2  # the first half of a commit
            assert [*journal.append([event("new", 1)])] == [restored.position + 1]
        manifest = read_manifest(EFFECTS.files, str(target))
        assert manifest is not None
        assert manifest.epochs
        assert manifest.epochs[-1] == (restored.epoch, restored.position + 1)
        assert verify(target, effects=EFFECTS).is_whole
        shutil.rmtree(target)
