"""A small journal with sealed, merged and cooled segments, byte by byte; see test_golden_journal.

``tests/golden/sealed.txt`` holds its files: index runs over segments 1 to 4 and 5, segments 1 and 2
cooled with LZ4 and without compression, segments 3 to 5 as they were appended to, and the tail.
"""

from pathlib import Path
from typing import Any

from aurora_es import Journal, Record, RollCycle
from aurora_es.index.keys import originator_key
from aurora_es.journal import background
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.creation import Settings
from aurora_es.journal.manifest_file import read_manifest
from tests.format.test_golden_journal import GOLDEN as FIRST
from tests.format.test_golden_journal import (
    UUID_1,
    constant_bytes,
    dump,
    expected_facts,
    facts,
    restore,
)
from tests.journal.support import SECOND, ManualClock, effects_with

GOLDEN = FIRST.parent / "sealed.txt"


def record(number: int) -> Record:
    """One of 24 records: of a UUID, of a text, and messages."""
    identity: dict[str, Any] = [
        {"originator_id": UUID_1, "originator_version": number},
        {"originator_id": "plain text", "originator_version": 20 - number},
        {},
    ][number % 3]
    return Record(
        topic=("Opened", "Renamed")[number % 2],
        state=b"state %d " % number * 4,
        tags=("a", "b")[: number % 3],
        **identity,
    )


RECORDS = [record(number) for number in range(24)]


def write(path: Path) -> None:
    """Write the small journal."""
    clock = ManualClock()
    effects = effects_with(clock=clock, reserve_bytes=0, random_bytes=constant_bytes)
    settings = Settings(roll_cycle=RollCycle.events(3), name="golden")
    with Journal(effects, str(path), settings) as journal:
        for number in range(0, len(RECORDS), 2):
            journal.append(RECORDS[number : number + 2], tracking=("upstream", number + 1))
            clock.now += SECOND
            if number == 4:  # the first segment is closed
                background.seal(str(path), effects=effects)
                background.cool(str(path), codec="lz4", older_than_hours=-1, effects=effects)
            if number == 8:  # and the second
                background.seal(str(path), effects=effects)
                background.cool(str(path), codec="none", older_than_hours=-1, effects=effects)
    with BackgroundLock(effects, str(path), timeout=0):
        clear_away(effects, str(path), at_once=True)
    clock.now += SECOND
    background.seal(str(path), effects=effects)


def check(journal: Journal) -> None:
    """Read all of it, and look everything up."""
    assert [one.record for one in journal.read()] == RECORDS
    index = journal.handle.state.index
    assert index.tracking["upstream"].notification_id == len(RECORDS) - 1
    for position, one in enumerate(RECORDS, 1):
        key = originator_key(one.originator_id)
        if key is not None and one.originator_version is not None:
            assert index.find(key, one.originator_version) == position


def test_what_is_written_has_not_changed(tmp_path: Path) -> None:
    """Given the same clock and the same random bytes, every byte of every file is the known one."""
    write(tmp_path / "journal")
    assert dump(tmp_path / "journal") == GOLDEN.read_text()


def test_what_was_written_can_be_read(tmp_path: Path) -> None:
    """The known bytes, whatever wrote them, are read as the known records."""
    restore(GOLDEN.read_text(), tmp_path / "journal")
    before = dump(tmp_path / "journal")
    with Journal.open(tmp_path / "journal", read_only=True) as journal:
        check(journal)
    assert dump(tmp_path / "journal") == before


def test_what_was_written_can_be_continued(tmp_path: Path) -> None:
    """To the known bytes one can append, and all can be sealed, merged and cooled."""
    path = tmp_path / "journal"
    restore(GOLDEN.read_text(), path)
    with Journal.open(path) as journal:
        assert journal.statistics().recoveries == 0
        assert journal.append([]) == range(0)
        background.seal(str(path))
        background.merge(str(path), everything=True)
        background.cool(str(path))
        check(journal)
    with Journal.open(path) as journal:
        check(journal)


def test_a_journal_of_the_first_format_can_be_sealed(tmp_path: Path) -> None:
    """What was written before there were sealed segments reads the same, sealed and cooled, too."""
    path = tmp_path / "journal"
    restore(FIRST.read_text(), path)
    with Journal.open(path) as journal:
        assert facts(journal) == expected_facts()
        assert background.seal(str(path)) == 1
        assert background.cool(str(path)) == 1
        assert facts(journal) == expected_facts()
    with Journal.open(path) as journal:
        assert facts(journal) == expected_facts()
        assert journal.handle.state.index.tracking["upstream"].notification_id == 42
    manifest = read_manifest(effects_with().files, str(path))
    assert manifest is not None
    assert [(one.segment_number, one.revision) for one in manifest.segments] == [(1, 1)]
