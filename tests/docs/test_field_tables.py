"""The field tables of docs/format/ and the structures of the code are the same."""

import struct

import pytest

from aurora_es.format import frame, frame_table, manifest, mark, run, segment_header
from tests.docs.pages import field_tables

TABLES = field_tables()
# Most structures end with their own checksum, which the code packs apart.
STRUCTURES = {
    "segment header": segment_header.SEGMENT_HEADER.format + "I",
    "frame table header": frame_table.TABLE_HEADER.format + "I",
    "frame header": frame.HEADER.format + "I",
    "mark slot": mark.SLOT.format,
    "run header": run.RUN_HEADER.format + "I",
    "run source": run.SOURCE.format,
    "run block head": run.BLOCK_HEAD.format,
    "manifest header": manifest.MANIFEST_HEADER.format + "I",
}


def test_every_structure_has_its_table() -> None:
    """The pages describe the structures of the code, and no others."""
    assert set(TABLES) == set(STRUCTURES)


@pytest.mark.parametrize("name", sorted(STRUCTURES))
def test_a_table_says_what_the_code_writes(name: str) -> None:
    """Types, sizes and offsets of a table are those of the struct, without a gap."""
    fields = TABLES[name]
    assert "<" + "".join(field.code for field in fields) == STRUCTURES[name]
    end = 0
    for field in fields:
        assert field.offset == end, field
        assert field.size == struct.calcsize("<" + field.code), field
        end += field.size
