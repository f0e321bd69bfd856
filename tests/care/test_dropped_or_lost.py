"""Without a manifest nothing says whether the oldest segments were dropped or are lost: it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from aurora_es.care import repair, verify
from aurora_es.care.findings import MANIFEST_DAMAGED, MANIFEST_MISSING, SEGMENT_MISSING
from tests.care.harms import cut, removed
from tests.care.stores import LAST_POSITION, SEALED, record, segment, write_store
from tests.journal.support import effects_with, open_with


@pytest.mark.parametrize("is_cut", [True, False])
def test_the_oldest_segment_and_the_manifest_are_gone(is_cut: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    """``verify`` names what is not there, ``repair`` what it assumes; the rest is kept."""
    effects, path = effects_with(), write_store(tmp_path / "journal", SEALED)
    (cut("manifest", 100) if is_cut else removed("manifest"))(path)
    removed(segment(1))(path)
    told = [(one.kind, Path(one.path).name, one.expected) for one in verify(path).findings]
    assert [(kind, name) for kind, name, _ in told] == [
        (MANIFEST_DAMAGED if is_cut else MANIFEST_MISSING, "manifest"),
        (SEGMENT_MISSING, segment(1)),
    ]
    assert told[1][2] == "segments before segment 2, unless `retain` has dropped them"
    planned = repair(path, dry_run=True, effects=effects)
    done = repair(path, effects=effects)
    assert planned.assumptions == done.assumptions
    assert "segment 2 are taken for dropped by `retain`; if they were not" in done.assumptions[0]
    assert verify(path).is_whole
    with open_with(str(path), effects, read_only=True) as journal:
        found = {stored.position: stored.record for stored in journal.read(start=5)}
    assert found == {at: record(at) for at in range(5, LAST_POSITION + 1)}


def test_the_oldest_segment_alone_is_lost(tmp_path: Path) -> None:
    """A manifest that lists it says that it is no longer there, and which positions were in it."""
    path = write_store(tmp_path / "journal", SEALED)
    removed(segment(1))(path)
    report = verify(path)
    assert report.lost == ((1, 4),)
    assert [one.kind for one in report.findings if one.lost] == [SEGMENT_MISSING]
