"""Files that bear the name of a segment and are none are found, moved aside, and cost nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_es.care import repair, verify
from aurora_es.care.findings import SEGMENT_FOREIGN
from tests.care.repairing import check_repaired
from tests.care.stores import LAST_POSITION, PLAIN, SEALED, record, segment, write_store
from tests.journal.support import effects_with

BEHIND = "0000000005-00000000000000000019.segment"
FAR = "0000000050-00000000000000000999.segment"
AT_THE_END = "9999999999-00000000000000000999.segment"
TRUTH = {position: record(position) for position in range(1, LAST_POSITION + 1)}


def _copy_of(number: int) -> Callable[[Path, str], object]:
    return lambda path, name: shutil.copy(path / segment(number), path / name)


def _empty(path: Path, name: str) -> None:
    (path / name).touch()


@pytest.mark.parametrize("stray", [BEHIND, FAR, AT_THE_END])
@pytest.mark.parametrize("make", [_empty, _copy_of(3), _copy_of(4)], ids=["empty", "older", "tail"])
def test_a_stray_segment_costs_nothing(
    stray: str, make: Callable[[Path, str], object], tmp_path: Path
) -> None:
    """It is named by ``verify``, moved aside by ``repair``, and no position is lost by it."""
    effects, path = effects_with(), write_store(tmp_path / "journal", SEALED)
    make(path, stray)
    report = verify(path)
    assert [(one.kind, Path(one.path).name) for one in report.findings] == [
        (SEGMENT_FOREIGN, stray)
    ]
    assert (report.lost, report.lost_behind) == ((), None)
    planned = repair(path, dry_run=True, effects=effects)
    assert [(one.file, one.action) for one in planned.repairs] == [(stray, "moved aside")]
    done = repair(path, effects=effects)
    assert (done.lost, done.lost_behind, done.epoch) == ((), None, 1)
    assert verify(path).is_whole
    check_repaired(effects, str(path), TRUTH, done)


@pytest.mark.parametrize("garbled", [True, False])
def test_a_commit_that_the_damaged_slot_vouched_for(garbled: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    """The older slot of the mark cannot say whether there was more: nobody claims to know."""
    effects, path = effects_with(), write_store(tmp_path / "journal", PLAIN)
    mark = bytearray((path / "mark").read_bytes())
    slots = {int.from_bytes(mark[at + 8 : at + 16], "little"): at for at in (0, 4096)}
    newest = slots[max(slots)]
    mark[newest + 20] ^= 1
    (path / "mark").write_bytes(mark)
    if garbled:
        (tail,) = path.glob("*.segment")
        data = tail.read_bytes()
        at = data.index(b"state of record 18")
        tail.write_bytes(data[:at] + b"?" + data[at + 1 :])
    report = verify(path)
    assert report.lost == ()
    assert report.lost_behind == (15 if garbled else None)
    planned = repair(path, dry_run=True, effects=effects)
    assert (planned.lost, planned.lost_behind) == ((), report.lost_behind)
