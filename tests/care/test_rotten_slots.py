"""What rot of the mark's newer slot costs, alone and together with the commit that it vouched for.

The second is assumed not to happen (``docs/internals/assumptions.md``); here stands what would.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from aurora_es import CorruptionError, RollCycle
from aurora_es.care import repair, verify
from aurora_es.format.frame import HEADER_BYTES
from aurora_es.format.mark import SLOT_OFFSETS, decode_slot
from aurora_es.format.names import MARK, RECOVERED, segment_name
from aurora_es.journal.manifest_file import read_manifest
from tests.care.stores import frames
from tests.journal.support import effects_with, event, flip, open_with, states

_TAIL = segment_name(1, 1)


def _closed_journal(path: Path) -> Path:
    """Write three commits; the older slot of the mark names the second."""
    with open_with(path) as journal:
        for version in (1, 2, 3):
            journal.append([event("a", version, b"%d" % version)])
    return path


def _rot_slot(path: Path, *, newer: bool) -> None:
    data = (path / MARK).read_bytes()
    slots = {at: decode_slot(data[at : at + 64]) for at in SLOT_OFFSETS}
    sequences = {mark.sequence: at for at, mark in slots.items() if mark is not None}
    assert len(sequences) == 2
    at = sequences[max(sequences) if newer else min(sequences)]
    flip(f"{path}/{MARK}", at + 20)


def _rot_newest_commit(path: Path) -> None:
    offset, header = list(frames(path / _TAIL))[-1]
    assert header.first_position == 3
    flip(f"{path}/{_TAIL}", offset + HEADER_BYTES)


@pytest.mark.parametrize("newer", [True, False], ids=["newer", "older"])
def test_one_rotten_slot_costs_nothing(newer: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    """Opening for appending adopts what is there, and both slots are valid again."""
    path = _closed_journal(tmp_path / "journal")
    _rot_slot(path, newer=newer)
    with open_with(path) as journal:
        assert journal.append([event("a", 4, b"4")]) == range(4, 5)
        assert states(journal) == [b"1", b"2", b"3", b"4"]
    assert verify(path).is_whole


def test_a_rotten_commit_is_refused_while_a_slot_vouches_for_it(tmp_path: Path) -> None:
    """With the older slot gone as well the newer one says that something was acknowledged."""
    path = _closed_journal(tmp_path / "journal")
    _rot_slot(path, newer=False)
    _rot_newest_commit(path)
    with pytest.raises(CorruptionError), open_with(path) as journal:
        journal.append([event("a", 4)])


def test_the_newer_slot_and_its_commit_rotten_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Opening takes the commit for a torn tail, and uses its position again in a new epoch.

    The bytes are kept and the cut is logged.
    """
    path = _closed_journal(tmp_path / "journal")
    _rot_slot(path, newer=True)
    _rot_newest_commit(path)
    report = verify(path)
    assert (report.is_whole, report.lost, report.lost_behind) == (False, (), 2)
    with open_with(path) as journal:
        assert journal.append([event("b", 1, b"another")]) == range(3, 4)
        assert states(journal) == [b"1", b"2", b"another"]
        assert journal.statistics().epoch == 1
    assert verify(path).is_whole
    (kept,) = (path / RECOVERED).iterdir()
    assert kept.stat().st_size > HEADER_BYTES
    assert [one.levelname for one in caplog.records if "unfinished write cut" in one.message] == [
        "WARNING"
    ]


def test_repair_before_opening_begins_an_epoch(tmp_path: Path) -> None:
    """It says that nobody knows what was behind, and followers that saw the commit learn of it."""
    path = _closed_journal(tmp_path / "journal")
    _rot_slot(path, newer=True)
    _rot_newest_commit(path)
    effects = effects_with()
    done = repair(path, effects=effects)
    assert (done.lost, done.lost_behind, done.epoch) == ((), 2, 1)
    with open_with(path, effects) as journal:
        assert journal.append([event("b", 1, b"another")]) == range(3, 4)
        assert journal.statistics().epoch == 1


def test_a_stale_mark_is_repaired_with_an_epoch_behind_all_that_is_there(tmp_path: Path) -> None:
    """Opening only walks on from it; after a repair no follower of what is there is refused."""
    effects = effects_with()
    for name, repaired in (("opened", False), ("repaired", True)):
        path = tmp_path / name
        with open_with(path, effects, roll_cycle=RollCycle.events(2)) as journal:
            journal.append([event("a", 1)])
            stale = (path / MARK).read_bytes()
            for version in range(2, 8):
                journal.append([event("a", version)])
        (path / MARK).write_bytes(stale)
        if repaired:
            done = repair(path, effects=effects)
            assert (done.lost, done.lost_behind, done.epoch) == ((), 7, 1)
        with open_with(path, effects) as journal:
            assert journal.append([event("a", 8)]) == range(8, 9)
            assert journal.statistics().epoch == int(repaired)
        manifest = read_manifest(effects.files, str(path))
        assert manifest is not None
        assert [*(manifest.epochs or ())] == ([(1, 8)] if repaired else [])
