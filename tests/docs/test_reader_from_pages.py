"""A reader that was written from docs/format/ alone finds what aurora_es has written."""

import ast
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest

from aurora_es import CompressionFormat, Journal, Record, RollCycle, Sync
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal.creation import Settings
from tests.docs import reader_from_pages, worked_example
from tests.docs.reader_from_pages import DamagedError, Found, JournalReader, read_mark

NAMESPACE = UUID(int=1)
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
CODECS = {CompressionFormat.NONE: {0}, CompressionFormat.LZ4: {1}, CompressionFormat.SNAPPY: {2}}


def records_of(commit: int) -> Iterator[Record]:
    """Records of one commit: now and then none, or so many that it takes several frames."""
    for number in range((0, 1, 3, 120, 1)[commit % 5]):
        originator_id = uuid5(NAMESPACE, f"{number % 7}")
        yield Record(
            topic=("app:Opened", "app:Größer")[number % 2],
            state=b'{"text": "%s"}' % (b"yes and no, " * (commit * number % 90)),
            originator_id=str(originator_id) if number % 3 else originator_id,
            originator_version=(commit * 1000 + number) * (-1) ** commit,
        )
    if commit % 5 == 4:
        yield Record(topic="message", state=bytes(range(256)))
        yield Record(
            topic="all fields",
            state=b"",
            originator_id=f"text {commit}",
            originator_version=-(1 << 63),
            tags=("a", "ü"),
            uuid=UUID(int=commit),
            metadata={"n": None, "list": [1.5, True, b"\0", {"x": -1}]},
        )


def write(path: Path, compression: CompressionFormat, sync: Sync = Sync.ALWAYS) -> None:
    """Write a journal with rolls, tracking, and commits of none, one and several frames."""
    with Journal.open(
        path, sync=sync, compression=compression, roll_cycle=RollCycle.events(150)
    ) as journal:
        for commit in range(20):
            tracking = (f"upstream {commit % 3}", commit) if commit % 2 == 0 else None
            journal.append(records_of(commit), tracking=tracking)


def read_with_aurora_es(path: Path) -> Found:
    """What the package reads, in the form in which the reader from the pages gives it."""
    found = Found([], {})
    with Journal.open(path, read_only=True) as journal:
        for stored in journal.read():
            record = stored.record
            originator_id: Any = record.originator_id
            fields = [
                originator_id.bytes if isinstance(originator_id, UUID) else originator_id,
                record.originator_version,
                record.topic,
                record.state,
                list(record.tags),
                record.uuid.bytes if record.uuid else None,
                record.metadata,
            ]
            time = (stored.timestamp - EPOCH) // MICROSECOND
            found.records.append((stored.position, time, fields))
        for name, tracking in journal.handle.state.index.tracking.items():
            found.tracking[name] = tracking.notification_id
    return found


def test_the_reader_is_written_from_the_pages() -> None:
    """The reader imports nothing of aurora_es."""
    tree = ast.parse(Path(reader_from_pages.__file__).read_text("utf-8"))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imported
    assert not [node for node in imported if "aurora_es" in ast.unparse(node)]


@pytest.mark.parametrize("compression", list(CompressionFormat))
def test_it_finds_the_same_records(compression: CompressionFormat, tmp_path: Path) -> None:
    """Rolls, tracking, commits of several frames, and every codec are read as they were written."""
    path = tmp_path / "journal"
    write(path, compression)
    found = JournalReader(path).read()
    assert found == read_with_aurora_es(path)
    assert len(found.records) == sum(len(list(records_of(commit))) for commit in range(20))
    assert found.tracking == {"upstream 0": 18, "upstream 1": 16, "upstream 2": 14}
    assert read_mark(path).segment_number > 2
    assert codecs_of(path) >= CODECS[compression]
    assert any(frames > 1 for frames in frames_in_commits(path))


def test_it_reads_the_worked_example(tmp_path: Path) -> None:
    """The journal whose bytes the pages show holds what the page says."""
    path = tmp_path / "journal"
    worked_example.write_journal(path)
    found = JournalReader(path).read()
    assert found == read_with_aurora_es(path)
    topics = [fields[2] for _, _, fields in found.records]
    assert topics == ["Opened", "Deposited", "Note", "Opened"]
    assert found.tracking == {"orders": 7}


def test_it_stops_at_the_mark(tmp_path: Path) -> None:
    """What lies behind the mark is not read, be it an unfinished write or a whole commit."""
    path = tmp_path / "journal"
    write(path, CompressionFormat.NONE)
    before = JournalReader(path).read()
    mark_bytes = (path / "mark").read_bytes()
    with Journal.open(path) as journal:
        journal.append([Record(topic="late", state=b"")])
    (path / "mark").write_bytes(mark_bytes)
    assert JournalReader(path).read() == before


def test_it_notices_damage(tmp_path: Path) -> None:
    """A byte that was changed below the mark is noticed, or changes nothing (padding)."""
    path = tmp_path / "journal"
    effects = replace(SYSTEM_EFFECTS, reserve_bytes=0)
    with Journal(effects, str(path), Settings(roll_cycle=RollCycle.events(4))) as journal:
        for commit in (1, 2, 4, 6):
            journal.append(records_of(commit), tracking=("upstream", commit))
    before = JournalReader(path).read()
    copy = tmp_path / "copy"
    silent = 0
    for segment in sorted(path.glob("*.segment")):
        data = segment.read_bytes()
        for at in range(0, len(data), 5):
            shutil.copytree(path, copy)
            (copy / segment.name).write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
            try:
                assert JournalReader(copy).read() == before
                silent += 1
            except (DamagedError, FileNotFoundError):
                pass
            shutil.rmtree(copy)
    assert silent < 20, "only padding may change unseen"


def headers_of(path: Path) -> Iterator[tuple[Any, ...]]:
    """Headers of all frames of records."""
    for segment in path.glob("*.segment"):
        data = segment.read_bytes()
        for offset, _, _ in worked_example.frame_ends(data):
            header = reader_from_pages.FRAME_HEADER.unpack_from(data, offset)
            if header[1] == reader_from_pages.RECORDS:
                yield header


def codecs_of(path: Path) -> set[int]:
    """Codecs that the frames of records use."""
    return {header[3] for header in headers_of(path)}


def frames_in_commits(path: Path) -> set[int]:
    """Of how many frames the commits consist."""
    return {header[13] for header in headers_of(path)}
