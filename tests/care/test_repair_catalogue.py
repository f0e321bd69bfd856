"""Every damage of the catalogue is repaired: what the check calls lost is lost, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aurora_es import UnsupportedFormatError
from aurora_es.care import repair, verify
from aurora_es.care.findings import UNSUPPORTED, joined
from tests.care.damages import CATALOGUE
from tests.care.harms import Damage
from tests.care.repairing import check_repaired
from tests.care.stores import KINDS, LAST_POSITION, record, write_store
from tests.journal.support import effects_with, snapshot

TRUTH = {position: record(position) for position in range(1, LAST_POSITION + 1)}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write one store of each kind."""
    directory = tmp_path_factory.mktemp("stores")
    return {kind: write_store(directory / kind, kind) for kind in KINDS}


@pytest.mark.parametrize("damage", CATALOGUE, ids=lambda damage: damage.name)
def test_a_damage_is_repaired(damage: Damage, stores: dict[str, Path], tmp_path: Path) -> None:
    """The dry run says what is done; then the store opens, is whole, and holds all that is left."""
    effects, path = effects_with(), tmp_path / "journal"
    shutil.copytree(stores[damage.store], path)
    damage.inflict(path)
    before = _content(path)
    if any(finding.kind == UNSUPPORTED for finding in damage.findings):
        with pytest.raises(UnsupportedFormatError, match="nothing was changed"):
            repair(path, effects=effects)
        assert _content(path) == before
        return
    planned = repair(path, dry_run=True, effects=effects)
    assert _content(path) == before
    assert planned.lost == joined(lost for finding in damage.findings for lost in finding.lost)
    assert bool(planned.repairs) == bool(damage.findings)
    done = repair(path, effects=effects)
    assert (done.repairs, done.lost) == (planned.repairs, planned.lost)
    report = verify(path)
    assert report.findings == ()
    check_repaired(effects, str(path), TRUTH, done)
    assert verify(path).is_whole


def _content(path: Path) -> dict[str, object]:
    """All files but those that are made to be locked."""
    return {name: state for name, state in snapshot(path).items() if "lock" not in name}
