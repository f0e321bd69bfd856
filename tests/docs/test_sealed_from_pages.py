"""A reader written from docs/format/ alone reads cooled segments and tables of frames."""

import ast
from pathlib import Path

import pytest

from aurora_es.format.payload import encode_payload
from aurora_es.segment.digest import logical_digest
from aurora_es.segment.frame_table import write_frame_table
from aurora_es.segment.pack import write_packed
from tests.docs import sealed_from_pages
from tests.docs.reader_from_pages import FRAME_HEADER
from tests.docs.sealed_from_pages import find_frame, read_cooled
from tests.journal.support import effects_with
from tests.segment.sealed import Commit, timestamp, write_sealed
from tests.segment.test_walk import BASE_COMMIT, BASE_POSITION

COMMITS = [
    Commit(
        [(bytes([number]) * 16, number, "topic", b"%d " % number * 60)]
        * (1, 0, 3, 150)[number % 4],
        ("upstream", number, 0) if number % 4 == 1 else None,
        frames=1 + number % 3,
    )
    for number in range(100)
]
EXPECTED = [
    (timestamp(number), encode_payload(row))
    for number, commit in enumerate(COMMITS, BASE_COMMIT)
    for row in commit.rows
]


def test_the_reader_is_written_from_the_pages() -> None:
    """The reader imports nothing of aurora_es."""
    tree = ast.parse(Path(sealed_from_pages.__file__).read_text("utf-8"))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imported
    assert not [node for node in imported if "aurora_es" in ast.unparse(node)]


@pytest.mark.parametrize("codec", [0, 1, 2, 3])
def test_it_reads_a_cooled_segment(tmp_path: Path, codec: int) -> None:
    """Records, times, tracking, digest and what the successor names are found as they were."""
    source = write_sealed(tmp_path / "raw", COMMITS)
    digest, walk = logical_digest(source)
    packed = write_packed(effects_with(), str(tmp_path), source, revision=1, codec=codec)
    found = read_cooled((tmp_path / (packed.name + ".new")).read_bytes())
    assert found.records == [
        (position, *expected) for position, expected in enumerate(EXPECTED, BASE_POSITION)
    ]
    assert found.tracking == [["upstream", 3, 0]]
    assert found.digest == digest
    assert walk.end is not None
    assert found.before == walk.end[:2]


@pytest.mark.parametrize("revision", [0, 1])
def test_it_finds_frames(tmp_path: Path, revision: int) -> None:
    """By the table every record is found in the frame that the segment has at the offset named."""
    source = write_sealed(tmp_path / "raw", COMMITS)
    path, (_, walk) = tmp_path / "raw", logical_digest(source)
    identity, places = walk.identity(0), walk.places
    if revision:
        packed = write_packed(effects_with(), str(tmp_path), source, revision=1, codec=1)
        path, identity, places = tmp_path / (packed.name + ".new"), packed.identity, packed.places
    name = write_frame_table(effects_with(), str(tmp_path), identity, places)
    table, data = (tmp_path / name).read_bytes(), path.read_bytes()
    for position in range(BASE_POSITION, BASE_POSITION + len(EXPECTED)):
        offset, end, first = find_frame(table, position)
        frame = FRAME_HEADER.unpack_from(data, offset)
        assert (frame[0], frame[8]) == (data[56:64], first)
        assert first <= position < first + frame[7]
        assert offset + 72 + frame[5] <= end
