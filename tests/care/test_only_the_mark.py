"""Manifest and segments are gone, and the mark still tells of commits: nothing is begun anew there."""

from __future__ import annotations

from pathlib import Path

import pytest

from aurora_es import CorruptionError, Journal
from aurora_es.care import doctor, repair, verify
from aurora_es.format.names import MARK
from aurora_es.journal.discovery import journals_below
from tests.care.stores import write_store
from tests.journal.support import message


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Leave nothing but the mark of a journal of 18 positions."""
    path = write_store(tmp_path / "journal", "cooled")
    for one in path.iterdir():
        if one.name != MARK:
            one.unlink()
    return path


@pytest.mark.parametrize("read_only", [False, True])
def test_no_journal_is_made_in_its_place(store: Path, read_only: bool) -> None:  # noqa: FBT001 - a parameter
    """Whoever lost his events would otherwise go on at position 1, and hear of it from nobody."""
    before = (store / MARK).read_bytes()
    with (
        pytest.raises(CorruptionError, match=r"since the mark beside it names \d+ commits"),
        Journal.open(store, read_only=read_only) as journal,
    ):
        journal.append([message()])
    assert (store / MARK).read_bytes() == before


def test_it_is_found_and_told(store: Path) -> None:
    """By everything that a person may ask, and the way ends at a backup."""
    before = (store / MARK).read_bytes()
    assert journals_below(str(store.parent)).journals == [str(store)]
    report = verify(store)
    assert report.is_damaged
    assert report.lost == ((1, 18),)
    (found,) = doctor(store).journals
    assert found.error_kind == "journal-damaged"
    with pytest.raises(CorruptionError, match="restore a backup with `aurora-es restore BACKUP"):
        repair(store, dry_run=True)
    assert (store / MARK).read_bytes() == before
