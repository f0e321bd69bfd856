"""Repair: what is kept, what is lost, and that a dry run says so before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aurora_es.care.repair import repair
from tests.care.repairing import DAMAGES, check_repaired, fill
from tests.journal.support import effects_with, snapshot


@pytest.mark.parametrize("name", DAMAGES)
def test_dry_run_and_repair(tmp_path: Path, name: str) -> None:
    """A dry run changes nothing and says what is then done; the rest is there, and no more."""
    effects, path = effects_with(), str(tmp_path / "journal")
    truth = fill(effects, path)
    DAMAGES[name](effects.files, path)
    before = {k: v for k, v in snapshot(tmp_path).items() if "lock" not in k}
    planned = repair(path, dry_run=True, effects=effects)
    assert {k: v for k, v in snapshot(tmp_path).items() if "lock" not in k} == before
    done = repair(path, effects=effects)
    assert planned.dry_run
    assert not done.dry_run
    assert (planned.repairs, planned.lost, planned.kept_in) == (
        done.repairs,
        done.lost,
        done.kept_in,
    )
    assert done.repairs
    assert done.kept_in is not None
    assert os.path.isdir(done.kept_in)
    check_repaired(effects, path, truth, done)
