"""Every damage of the catalogue is found, named, and nothing else is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aurora_es.care import verify
from aurora_es.care.findings import UNCHECKED_KINDS
from tests.care.damages import CATALOGUE
from tests.care.harms import Damage
from tests.care.stores import KINDS, write_store
from tests.journal.support import snapshot


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write one store of each kind."""
    directory = tmp_path_factory.mktemp("stores")
    return {kind: write_store(directory / kind, kind) for kind in KINDS}


@pytest.mark.parametrize("damage", CATALOGUE, ids=lambda damage: damage.name)
def test_a_damage_is_named_exactly(damage: Damage, stores: dict[str, Path], tmp_path: Path) -> None:
    """Kind, file, offset, expectation, finding and lost positions are those of the catalogue."""
    path = tmp_path / "journal"
    shutil.copytree(stores[damage.store], path)
    damage.inflict(path)
    before = snapshot(path)
    report = verify(path)
    found = sorted((one.kind, Path(one.path).name, one.offset, one.lost) for one in report.findings)
    assert found == sorted(
        (one.kind, one.file_name, one.offset, one.lost) for one in damage.findings
    ), report.findings
    for expected in damage.findings:
        assert any(
            one.kind == expected.kind
            and Path(one.path).name == expected.file_name
            and expected.expected in one.expected
            and expected.found in one.found
            and one.cure.startswith("aurora-es ")
            for one in report.findings
        ), report.findings
    assert report.is_whole == (not damage.findings)
    assert report.is_damaged == any(one.kind not in UNCHECKED_KINDS for one in damage.findings)
    assert snapshot(path) == before


def test_names_are_unique() -> None:
    """A damage is found by its name."""
    names = [damage.name for damage in CATALOGUE]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_store_is_whole(kind: str, stores: dict[str, Path]) -> None:
    """Nothing is found where nothing is wrong."""
    report = verify(stores[kind], digest=True)
    assert report.findings == ()
    assert (report.is_whole, report.is_damaged, report.lost) == (True, False, ())
    assert (report.digest_position, report.digest_commit) == (18, 10)
