"""A run that is not what it was gives no answer or the right one."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_es.errors import ForeignDirectoryError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.run import RUN_HEADER_BYTES, decode_run_header, encode_run_header
from aurora_es.index.columns import position_column
from aurora_es.index.run import Run
from aurora_es.index.run_file import RunDamagedError
from aurora_es.testing.faulty import Fault, FaultyFiles
from tests.index.runs import (
    DIGEST,
    GENESIS_ID,
    SMALL,
    imagined_effects,
    open_run,
    write_run,
)

KEYS = (0, 1, 5, 1 << 62)
QUESTIONS: list[Callable[[Run], object]] = [
    lambda run: run.header,
    lambda run: run.topics(),
    lambda run: (run.common(7), run.common(8)),
    lambda run: [run.last(key) for key in KEYS],
    lambda run: [run.find(key, version) for key in KEYS for version in (-3, 0, 69, 70)],
    lambda run: run.select(1, gt=3, desc=True, limit=4),
    lambda run: [run.select(key) for key in KEYS],
    lambda run: [run.posting_range(key, after=0, until=1 << 40) for key in KEYS],
    lambda run: run.positions(0, run.header.entry_count),
    lambda run: list(position_column(run, 0, run.header.entry_count)),
    lambda run: list(run.keys("topic")),
    lambda run: list(run.keys("originator")),
]


def answers(path: str) -> list[object]:
    """Ask everything; an answer that is refused as damaged is the error's class."""
    try:
        run = open_run(SYSTEM_EFFECTS.files, path)
    except RunDamagedError:
        return [RunDamagedError] * len(QUESTIONS)
    given: list[object] = []
    for question in QUESTIONS:
        try:
            given.append(question(run))
        except RunDamagedError:
            given.append(RunDamagedError)
    return given


def check(path: str, right: list[object]) -> None:
    """Check that no answer is wrong, and that the damage is noticed."""
    given = answers(path)
    assert RunDamagedError in given
    for answer, expected in zip(given, right, strict=True):
        assert answer in (expected, RunDamagedError)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Write the small run, which has two blocks."""
    path = str(tmp_path / "run")
    topics, commons = {"a": 1}, [(7, 10, 200)]
    write_run(
        SYSTEM_EFFECTS,
        SMALL.coverage(),
        SMALL.entries,
        path=path,
        topics=topics,
        commons=commons,
    )
    return path


def test_every_flipped_bit(path: str) -> None:
    """Whichever bit of the file is flipped: answers are the same or refused, one at least is."""
    right = answers(path)
    assert RunDamagedError not in right
    fd = os.open(path, os.O_RDWR)
    data = os.pread(fd, 1 << 16, 0)
    for offset, byte in enumerate(data):
        # All bits of the zeros that fill the header up are under one checksum.
        is_filler = 200 < offset < RUN_HEADER_BYTES - 8
        for bit in (0,) if is_filler else range(8):
            os.pwrite(fd, bytes([byte ^ 1 << bit]), offset)
            check(path, right)
        os.pwrite(fd, bytes([byte]), offset)
    os.close(fd)
    assert answers(path) == right


def test_every_length(path: str) -> None:
    """A file that is shorter or longer than its header says is refused."""
    right = answers(path)
    data = Path(path).read_bytes()
    for length in range(len(data) - 1, -1, -1):
        os.truncate(path, length)
        check(path, right)
    Path(path).write_bytes(data + b"\0")
    check(path, right)


def test_truncation_under_an_open_run(path: str) -> None:
    """A file that is cut while it is open is damaged when a block is missing."""
    run = open_run(SYSTEM_EFFECTS.files, path)
    os.truncate(path, RUN_HEADER_BYTES + 1500)
    with pytest.raises(RunDamagedError, match="1024 bytes at offset 2048"):
        run.last(1)


def test_blocks_that_change_places(path: str) -> None:
    """A valid block in the place of another one is damage."""
    data = Path(path).read_bytes()
    first, second = data[1024:2048], data[2048:3072]
    right = answers(path)
    Path(path).write_bytes(data[:1024] + second + first + data[3072:])
    check(path, right)


def test_a_block_of_another_run(tmp_path: Path, path: str) -> None:
    """A valid block with another run's salt is damage, even if everything else is the same."""
    other = str(tmp_path / "other")
    write_run(SYSTEM_EFFECTS, SMALL.coverage(), [(1, 7, 10), *SMALL.entries[1:]], path=other)
    right = answers(path)
    data, grafted = Path(path).read_bytes(), Path(other).read_bytes()
    Path(path).write_bytes(data[:1024] + grafted[1024:2048] + data[2048:])
    check(path, right)


@pytest.mark.parametrize(
    ("genesis_id", "digest"), [(bytes(16), DIGEST), (GENESIS_ID, b"other digest 16.")]
)
def test_foreign_and_stale_runs(path: str, genesis_id: bytes, digest: bytes) -> None:
    """A run of another journal, or of segments that are no longer those, is refused."""
    with pytest.raises(RunDamagedError, match="source digest"):
        Run(SYSTEM_EFFECTS.files, path, genesis_id=genesis_id, source_digest=digest)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"incompatible_flags": 1},
        {"ordinal_width": 2},
        {"position_width": 0},
        {"salt": bytes(8)},
        {"first_segment": 2},
        {"base_position": 202},
        {"entry_count": 1 << 62},
        {"entry_count": 1 << 62, "block_count": 0xFFFFFFFF},
        {"entry_count": 63 << 25, "block_count": 1 << 25},
        {"directory_length": 0xFFFFFFFF},
        {"directory_offset": 1024},
        {"directory_length": 0},
    ],
)
def test_a_header_that_contradicts_itself(path: str, changes: dict[str, int | bytes]) -> None:
    """Unknown versions, impossible counts and lengths are refused before anything else is read."""
    data = Path(path).read_bytes()
    header = decode_run_header(data)
    assert header is not None
    changed = encode_run_header(header._replace(**changes))  # type: ignore[arg-type]
    Path(path).write_bytes(changed + data[RUN_HEADER_BYTES:])
    with pytest.raises(RunDamagedError, match="fits the file"):
        open_run(SYSTEM_EFFECTS.files, path)


def test_a_link_is_refused(tmp_path: Path, path: str) -> None:
    """A symbolic link is not followed."""
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(ForeignDirectoryError):
        open_run(SYSTEM_EFFECTS.files, str(tmp_path / "link"))


def test_a_disk_that_does_not_read() -> None:
    """A read error at opening or at a look-up is damage, and leaks no descriptor."""
    effects, files = imagined_effects()
    write_run(effects, SMALL.coverage(), SMALL.entries)
    faulty = FaultyFiles(files, random.Random(1))
    for after in range(3):  # header, directory, fence
        faulty.arm(Fault("error"), after, frozenset({"pread"}))
        with pytest.raises(RunDamagedError):
            open_run(faulty)
        assert files.open_paths == []
    run = open_run(faulty)
    faulty.arm(Fault("error"), 0, frozenset({"pread"}))
    with pytest.raises(RunDamagedError):
        run.last(1)
    assert run.last(1) == (69, 79)
