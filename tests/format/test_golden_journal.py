"""A whole small journal, byte by byte: what is written today, and that it can be read for ever.

``tests/golden/journal.txt`` holds its files: a line ``name size`` and then, for every 32 bytes that
are not all zero, a line ``offset hex``. A change of these bytes is a change of the format: it needs
a new format version, and a dated note.
"""

from pathlib import Path
from typing import Any
from uuid import UUID

from aurora_es import Journal, Record, RollCycle
from aurora_es.journal.creation import Settings
from tests.journal.support import SECOND, ManualClock, effects_with

GOLDEN = Path(__file__).parent.parent / "golden" / "journal.txt"
ROW_BYTES = 32
LOCK_FILES = {"lock", "turn", "background.lock", "manifest.lock"}

UUID_1 = UUID("00112233-4455-6677-8899-aabbccddeeff")
COMMITS: list[tuple[list[Record], tuple[str, int] | None]] = [
    (
        [
            Record(topic="Opened", state=b"{}", originator_id=UUID_1, originator_version=0),
            Record(
                topic="Renamed",
                state=b'{"to":"x"}',
                originator_id="plain text",
                originator_version=-1,
                tags=("a", "b"),
                uuid=UUID(int=7),
                metadata={"by": "me", "n": [1, None]},
            ),
        ],
        None,
    ),
    ([], ("upstream", 41)),
    ([Record(topic="Message", state=bytes(range(20)))], ("upstream", 42)),
    # The tail has its three records: this one starts segment 2.
    ([Record(topic="Opened", state=b"", originator_id=str(UUID_1), originator_version=1)], None),
]


def constant_bytes(count: int) -> bytes:
    """Stand for random bytes: the same, however many are drawn at a time, in whatever order."""
    return (b"not quite random" * (count // 16 + 1))[:count]


def write(path: Path) -> None:
    """Write the small journal."""
    clock = ManualClock()
    effects = effects_with(clock=clock, reserve_bytes=0, random_bytes=constant_bytes)
    settings = Settings(roll_cycle=RollCycle.events(3), name="golden")
    with Journal(effects, str(path), settings) as journal:
        for records, tracking in COMMITS:
            journal.append(records, tracking=tracking)
            clock.now += SECOND


def dump(path: Path) -> str:
    """Give all files of a journal as text; its lock files are empty."""
    lines = []
    for file in sorted(path.iterdir()):
        content = file.read_bytes()
        lines.append(f"{file.name} {len(content)}")
        for offset in range(0, len(content), ROW_BYTES):
            row = content[offset : offset + ROW_BYTES]
            if any(row):
                lines.append(f"{offset:6} {row.hex()}")
    return "\n".join(lines) + "\n"


def restore(text: str, path: Path) -> None:
    """Write the files that a text of ``dump`` describes."""
    path.mkdir(mode=0o700)
    content = bytearray()
    for line in text.splitlines():
        first, second = line.split()
        if line.startswith(" "):
            row = bytes.fromhex(second)
            content[int(first) : int(first) + len(row)] = row
        else:
            file, content = path / first, bytearray(int(second))
        file.write_bytes(content)


def facts(journal: Journal) -> list[Any]:
    """All that a journal holds, in plain values."""
    return [(one.position, one.timestamp.isoformat(), one.record) for one in journal.read()]


def expected_facts() -> list[Any]:
    """What the small journal has to hold; a tracking commit takes a moment but no position."""
    times = ["22:13:20", "22:13:20", "22:13:22", "22:13:23"]
    records = [record for records, _ in COMMITS for record in records]
    return [
        (position, f"2023-11-14T{time}+00:00", record)
        for position, (time, record) in enumerate(zip(times, records, strict=True), start=1)
    ]


def test_what_is_written_has_not_changed(tmp_path: Path) -> None:
    """Given the same clock and the same random bytes, every byte of every file is the known one."""
    write(tmp_path / "journal")
    assert dump(tmp_path / "journal") == GOLDEN.read_text()


def test_what_was_written_can_be_read(tmp_path: Path) -> None:
    """The known bytes, whatever wrote them, are read as the known records and tracking."""
    restore(GOLDEN.read_text(), tmp_path / "journal")
    with Journal.open(tmp_path / "journal", read_only=True) as journal:
        assert facts(journal) == expected_facts()
        assert journal.handle.state.index.tracking["upstream"].notification_id == 42
        assert journal.statistics().roll_cycle == "3events"


def test_what_was_written_can_be_continued(tmp_path: Path) -> None:
    """To the known bytes one can append, and nothing of them has to be recovered."""
    restore(GOLDEN.read_text(), tmp_path / "journal")
    with Journal.open(tmp_path / "journal") as journal:
        assert journal.statistics().recoveries == 0
        assert journal.append([Record(topic="t", state=b"new")]) == range(5, 6)
        assert facts(journal)[:4] == expected_facts()
