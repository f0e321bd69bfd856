"""A small journal with holes, byte by byte; see test_golden_journal.

``tests/golden/holes.txt`` holds the files of the sealed golden journal, of which segment 1 (cooled)
has lost a frame, segment 3 its last commit, and segment 4 everything: repaired, then appended to.
"""

from pathlib import Path

from aurora_es import Journal
from aurora_es.care import repair, verify
from aurora_es.journal import background
from tests.format.test_golden_journal import GOLDEN as FIRST
from tests.format.test_golden_journal import constant_bytes, dump, restore
from tests.format.test_golden_sealed import RECORDS, record
from tests.format.test_golden_sealed import write as write_sealed
from tests.journal.support import START, ManualClock, effects_with, flip, open_with

GOLDEN = FIRST.parent / "holes.txt"
LOST = ((1, 4), (11, 16))
LEFT = [
    position for position in range(1, 26) if not 1 <= position <= 4 and not 11 <= position <= 16
]


def write(path: Path) -> None:
    """Write the journal, damage it and repair it."""
    write_sealed(path)
    flip(path / "0000000001-00000000000000000001.r1.segment", 300)
    flip(path / "0000000003-00000000000000000009.segment", 500)
    (path / "0000000004-00000000000000000013.segment").unlink()
    effects = effects_with(
        clock=ManualClock(START + (1 << 30)), reserve_bytes=0, random_bytes=constant_bytes
    )
    assert repair(path, effects=effects).lost == LOST
    with open_with(path, effects) as journal:
        journal.append([record(24)])


def test_what_is_written_has_not_changed(tmp_path: Path) -> None:
    """Given the same clock and the same random bytes, every byte of every file is the known one."""
    write(tmp_path / "journal")
    assert dump(tmp_path / "journal") == GOLDEN.read_text()


def test_what_was_written_can_be_read_and_continued(tmp_path: Path) -> None:
    """The known bytes are read as what is left, and can be merged, cooled and appended to."""
    path = tmp_path / "journal"
    restore(GOLDEN.read_text(), path)
    before = dump(path)
    with Journal.open(path, read_only=True) as journal:
        left = {stored.position: stored.record for stored in journal.read()}
    assert dump(path) == before
    assert verify(path).is_whole
    assert left == {at: [*RECORDS, record(24)][at - 1] for at in LEFT}
    background.merge(str(path), everything=True)
    background.cool(str(path), older_than_hours=0)
    with Journal.open(path) as journal:
        assert {stored.position: stored.record for stored in journal.read()} == left
        assert journal.append([record(25)]) == range(26, 27)
    assert verify(path).is_whole
